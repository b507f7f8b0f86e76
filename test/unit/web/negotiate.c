#include "../http1/host.h"

#include "web/negotiate.h"

#define TEXT "text/plain; version=0.0.4; charset=utf-8"

static struct http1_request request_with(struct http1_header *header, const char *name,
					 const char *value)
{
	*header = (struct http1_header){ str_from(name), str_from(value) };
	return (struct http1_request){ .headers = header, .n_headers = value ? 1 : 0 };
}

static void any_accept_gets_text(void **state)
{
	static const char *const accepts[] = {
		NULL,
		"",
		"*/*",
		"text/html",
		"text/plain",
		"text/plain;version=9",
		"text/plain;version=1.0.0;escaping=underscores",
		"application/openmetrics-text;q=0, */*;q=0.1",
		/* Prometheus 2.42, 2.42 with native histograms, 3.x */
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		"version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		"encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
		"application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;"
		"q=0.5,*/*;q=0.1",
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
		"escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		/* asked for another format, or not with this one */
		"application/openmetrics-text;escaping=dots,text/plain;version=0.0.4",
		"*/*;escaping=dots",
		"text/*;escaping=dots",
		/* no scheme that this format carries, or none at all */
		"text/plain;version=0.0.4;escaping=allow-utf-8",
		"text/plain;version=0.0.4;escaping=backslashes",
		"text/plain;version=0.0.4;escaping=",
		"text/plain;version=0.0.4;escaping=dots;q=0",
		/* weights that are none */
		"text/plain;escaping=dots;q=1e9",
		"text/plain;escaping=dots;q=nan",
		"text/plain;escaping=dots;q=-1",
		"text/plain;escaping=dots;q=1.001",
		"text/plain;escaping=dots;q=2",
		"text/plain;escaping=dots;q=0.1234",
		"text/plain;escaping=dots;q=",
		"text/plain;escaping=dots;q",
		/* garbage */
		",,,;;;===\"\"\"",
		"text/plain;x=\"a,text/plain;escaping=dots",
		"text/plain;x=\"\\",
		"\"",
		"/;q=1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepts); i++) {
		struct http1_header header;
		struct http1_request request = request_with(&header, "Accept", accepts[i]);

		assert_string_equal(negotiate_text(&request), TEXT);
	}
}

static void escaping_is_said_where_it_was_asked_for(void **state)
{
	static const struct {
		const char *accept, *escaping;
	} rows[] = {
		{ "text/plain;version=0.0.4;escaping=underscores", "underscores" },
		{ "text/plain;escaping=dots", "dots" },
		{ "TEXT/Plain ; Version = 0.0.4 ; Escaping = Values ; Q = 0.5", "values" },
		{ "text/plain;version=\"0.0.4\";escaping=\"dots\"", "dots" },
		{ "text/plain;q=0.5;escaping=dots,text/plain;q=0.6;escaping=values", "values" },
		{ "text/plain;escaping=dots,text/plain;escaping=values", "dots" },
		{ "text/plain;x=\"\\\",\";escaping=dots,*/*", "dots" },
		{ "text/plain;version=1.0.0;escaping=dots,text/plain;q=0.001;escaping=values",
		  "values" },
		{ "text/plain;escaping=dots;q=1.000", "dots" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http1_header header;
		struct http1_request request = request_with(&header, "ACCEPT", rows[i].accept);
		char expected[100];

		snprintf(expected, sizeof(expected), TEXT "; escaping=%s", rows[i].escaping);
		assert_string_equal(negotiate_text(&request), expected);
	}
}

static void fields_of_one_name_are_one_list(void **state)
{
	static const struct http1_header headers[] = {
		{ STR_INIT("Accept"), STR_INIT("text/plain;q=0.5;escaping=dots") },
		{ STR_INIT("Accept-Encoding"), STR_INIT("br") },
		{ STR_INIT("accept"), STR_INIT("text/plain;q=0.7;escaping=values") },
		{ STR_INIT("accept-encoding"), STR_INIT("gzip") },
	};
	const struct http1_request request = { .headers = headers, .n_headers = 4 };

	(void)state;
	assert_string_equal(negotiate_text(&request), TEXT "; escaping=values");
	assert_true(negotiate_gzip(&request));
}

static void gzip_is_used_where_it_is_allowed(void **state)
{
	static const struct {
		const char *accept_encoding;
		bool gzip;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "gzip", true },
		{ "GZIP", true },
		{ "x-gzip", true },
		{ "gzip;q=0", false },
		{ "gzip;q=0.000", false },
		{ "gzip;q=0.001", true },
		{ "gzip ; q = 0.5", true },
		{ "gzip;q=1e9", false },
		{ "br", false },
		{ "identity", false },
		{ "identity;q=0", false },
		{ "identity;q=0, gzip;q=0", false },
		{ "deflate, gzip;q=0.5, br", true },
		{ "identity;q=1, gzip;q=0.5", true },
		{ "*", true },
		{ "*;q=0", false },
		{ "*;q=0, gzip", true },
		{ "gzip;q=0, *", false },
		{ "gzipped", false },
		{ "gzip, deflate, br, zstd", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http1_header header;
		struct http1_request request =
			request_with(&header, "Accept-Encoding", rows[i].accept_encoding);

		if (negotiate_gzip(&request) != rows[i].gzip) {
			print_error("Accept-Encoding: %s\n", rows[i].accept_encoding);
		}
		assert_int_equal(negotiate_gzip(&request), rows[i].gzip);
	}
}

static void garbage_is_passed_over(void **state)
{
	static const char alphabet[] = "text/plain;,=\"\\q0.19 \t*gzipescaping\x01\xff";
	char value[8 * KIB + 1] = { 0 };
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		size_t n = round == 0 ? sizeof(value) - 1 : (size_t)round * 3;
		char *exact;
		struct http1_header header;
		struct http1_request request;

		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			value[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		exact = malloc(n); /* so that a read past the end is seen */
		assert_non_null(exact);
		memcpy(exact, value, n);
		request = request_with(&header, "Accept", "");
		header.value = (struct str){ exact, n };
		assert_memory_equal(negotiate_text(&request), TEXT, strlen(TEXT));
		header.name = STR("Accept-Encoding");
		(void)negotiate_gzip(&request);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_accept_gets_text),
		cmocka_unit_test(escaping_is_said_where_it_was_asked_for),
		cmocka_unit_test(fields_of_one_name_are_one_list),
		cmocka_unit_test(gzip_is_used_where_it_is_allowed),
		cmocka_unit_test(garbage_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
