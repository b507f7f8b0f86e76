#include "../http1/host.h"

#include "web/negotiate.h"

#define TEXT     "text/plain; version=0.0.4; charset=utf-8"
#define OM       "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OM_DRAFT "application/openmetrics-text; version=0.0.1; charset=utf-8"
#define PROTO                                                                        \
	"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; " \
	"encoding=delimited"

/* What Prometheus sends: 2.42, the same with native histograms, 3, and 3 for protobuf. */
#define PROMETHEUS_2                                         \
	"application/openmetrics-text;version=1.0.0,"        \
	"application/openmetrics-text;version=0.0.1;q=0.75," \
	"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
#define PROMETHEUS_2_NATIVE                                                                 \
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"          \
	"encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"              \
	"application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5," \
	"*/*;q=0.1"
#define PROMETHEUS_3                                                                          \
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"              \
	"application/openmetrics-text;version=0.0.1;q=0.5,"                                   \
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3," \
	"*/*;q=0.2"
#define PROMETHEUS_3_PROTO                                                         \
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;" \
	"encoding=delimited;q=0.6,"                                                \
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"   \
	"application/openmetrics-text;version=0.0.1;q=0.4,"                        \
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"                     \
	"text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

static struct http1_request request_with(struct http1_header *header, const char *name,
					 const char *value)
{
	*header = (struct http1_header){ str_from(name), str_from(value) };
	return (struct http1_request){ .headers = header, .n_headers = value ? 1 : 0 };
}

static void assert_chosen(const char *accept, bool openmetrics, const char *type)
{
	struct http1_header header;
	struct http1_request request = request_with(&header, "ACCEPT", accept);
	struct negotiated got = negotiate_format(&request, openmetrics);

	if (strcmp(got.content_type, type) != 0) {
		print_error("Accept: %s\n", accept);
	}
	assert_string_equal(got.content_type, type);
	assert_int_equal(got.format, strstr(type, "openmetrics") ? NEGOTIATED_OPENMETRICS
				     : strstr(type, "protobuf")  ? NEGOTIATED_PROTOBUF
								 : NEGOTIATED_TEXT);
}

static void in_doubt_it_is_text(void **state)
{
	static const char *const accepts[] = {
		NULL,
		"",
		"*/*",
		"text/*",
		"text/html",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"application/*",
		"image/png",
		"text/plain",
		"text/plain;q=0",
		"*/*;q=0",
		/* versions that are not served */
		"text/plain;version=9",
		"text/plain;version=1.0.0",
		"text/plain;version=1.0.0;escaping=underscores",
		"text/plain;version=0.0.40",
		"text/plain;version=\"0.0.4",
		"application/openmetrics-text;version=2.0.0",
		"application/openmetrics-text;version=1.0",
		"application/openmetrics-text;version=1.0.0;q=0",
		"application/openmetrics-text;q=0, */*;q=0.1",
		"application/openmetrics-textual",
		"openmetrics-text",
		/* protobuf of another encoding, of other messages, or of none that are named */
		"application/vnd.google.protobuf",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		"encoding=text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		"encoding=compact-text",
		"application/vnd.google.protobuf;encoding=delimited",
		"application/vnd.google.protobuf;proto=other.Family;encoding=delimited",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		"encoding=delimited;q=0",
		/* no scheme of escaping, or asked for of another */
		"*/*;escaping=dots",
		"text/*;escaping=dots",
		"application/openmetrics-text;version=2.0.0;escaping=dots,text/plain;version=0.0.4",
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
		"application/openmetrics-text;q=inf",
		"application/openmetrics-text;q=0x1",
		"application/openmetrics-text;q=.5",
		/* garbage */
		",,,;;;===\"\"\"",
		"text/plain;x=\"a,text/plain;escaping=dots",
		"text/plain;x=\"a,application/openmetrics-text",
		"text/plain;x=\"\\",
		"\"",
		"/;q=1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepts); i++) {
		assert_chosen(accepts[i], true, TEXT);
	}
}

static void the_highest_weight_wins_and_the_first_of_equals(void **state)
{
	static const struct {
		const char *accept, *type;
	} rows[] = {
		{ PROMETHEUS_2, OM },
		{ PROMETHEUS_2_NATIVE, PROTO },
		{ PROMETHEUS_3, OM "; escaping=allow-utf-8" },
		{ PROMETHEUS_3_PROTO, PROTO },
		{ "application/openmetrics-text", OM },
		{ "application/openmetrics-text;version=1.0.0", OM },
		{ "application/openmetrics-text; version=1.0.0; charset=utf-8", OM },
		{ "application/openmetrics-text;version=0.0.1", OM_DRAFT },
		{ "Application/OpenMetrics-Text ; Version = 1.0.0 ; Q = 0.3", OM },
		{ "application/openmetrics-text;version=\"1.0.0\"", OM },
		{ "application/openmetrics-text;version=\"1\\.0.0\"", OM },
		{ "application/openmetrics-text;version=2.0.0,"
		  "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.8",
		  OM },
		{ "application/openmetrics-text;version=2.0.0,text/plain;q=0.8", TEXT },
		{ "application/openmetrics-text;version=0.0.1;q=0.2,"
		  "application/openmetrics-text;version=1.0.0;q=0.1",
		  OM_DRAFT },
		{ "text/plain,application/openmetrics-text", TEXT },
		{ "application/openmetrics-text,text/plain", OM },
		{ "text/plain;q=0.5,application/openmetrics-text;q=0.501", OM },
		{ "text/plain;q=0.5,application/openmetrics-text;q=0.500", TEXT },
		{ "text/plain;q=0,application/openmetrics-text;q=0.001", OM },
		{ "text/plain;version=1.0.0,application/openmetrics-text;q=0.1", OM },
		{ "application/openmetrics-text;q=0.9," PROTO ";q=1.0", PROTO },
		{ "application/vnd.google.protobuf;ENCODING=Delimited;"
		  "PROTO=\"io.prometheus.client.MetricFamily\"",
		  PROTO },
		{ PROTO ";q=0.1,application/openmetrics-text;q=0.2", OM },
		/* ranges speak for text where it has no word of its own */
		{ "*/*,application/openmetrics-text", TEXT },
		{ "application/openmetrics-text,*/*", OM },
		{ "*/*;q=0.9,application/openmetrics-text;q=0.5", TEXT },
		{ "text/*;q=0.6,*/*;q=0.1,application/openmetrics-text;q=0.5", TEXT },
		{ "*/*,text/plain;q=0.1,application/openmetrics-text;q=0.5", OM },
		{ "*/*,text/plain;q=0,application/openmetrics-text;q=0.5", OM },
		{ "application/*;q=0.9,text/plain;q=0.1", TEXT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_chosen(rows[i].accept, true, rows[i].type);
	}
}

static void openmetrics_is_none_of_the_offers_unless_it_is_served(void **state)
{
	(void)state;
	assert_chosen(PROMETHEUS_2, false, TEXT);
	assert_chosen(PROMETHEUS_2_NATIVE, false, PROTO);
	assert_chosen(PROMETHEUS_3, false, TEXT);
	assert_chosen("application/openmetrics-text", false, TEXT);
	assert_chosen("application/openmetrics-text," PROTO ";q=0.1", false, PROTO);
}

static void escaping_is_said_where_it_was_asked_for(void **state)
{
	static const struct {
		const char *accept, *type;
	} rows[] = {
		{ "text/plain;version=0.0.4;escaping=underscores", TEXT "; escaping=underscores" },
		{ "text/plain;version=0.0.4;escaping=allow-utf-8", TEXT "; escaping=allow-utf-8" },
		{ "text/plain;escaping=dots", TEXT "; escaping=dots" },
		{ "TEXT/Plain ; Version = 0.0.4 ; Escaping = Values ; Q = 0.5",
		  TEXT "; escaping=values" },
		{ "text/plain;version=\"0.0.4\";escaping=\"dots\"", TEXT "; escaping=dots" },
		{ "text/plain;q=0.5;escaping=dots,text/plain;q=0.6;escaping=values",
		  TEXT "; escaping=values" },
		{ "text/plain;escaping=dots,text/plain;escaping=values", TEXT "; escaping=dots" },
		{ "text/plain;x=\"\\\",\";escaping=dots,*/*", TEXT "; escaping=dots" },
		{ "text/plain;version=1.0.0;escaping=dots,text/plain;q=0.001;escaping=values",
		  TEXT "; escaping=values" },
		{ "text/plain;escaping=dots;q=1.000", TEXT "; escaping=dots" },
		{ "application/openmetrics-text;version=0.0.1;escaping=values",
		  OM_DRAFT "; escaping=values" },
		{ "application/openmetrics-text;escaping=dots,text/plain;escaping=values;q=0.5",
		  OM "; escaping=dots" },
		{ PROTO ";escaping=underscores", PROTO "; escaping=underscores" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_chosen(rows[i].accept, true, rows[i].type);
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
	assert_string_equal(negotiate_format(&request, true).content_type,
			    TEXT "; escaping=values");
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
		assert_non_null(negotiate_format(&request, true).content_type);
		header.name = STR("Accept-Encoding");
		(void)negotiate_gzip(&request);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_doubt_it_is_text),
		cmocka_unit_test(the_highest_weight_wins_and_the_first_of_equals),
		cmocka_unit_test(openmetrics_is_none_of_the_offers_unless_it_is_served),
		cmocka_unit_test(escaping_is_said_where_it_was_asked_for),
		cmocka_unit_test(fields_of_one_name_are_one_list),
		cmocka_unit_test(gzip_is_used_where_it_is_allowed),
		cmocka_unit_test(garbage_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
