#include <arpa/inet.h>

#include "harness.h"

struct spelling {
	const char *text, *default_port, *expected; /* as address_spec_format() says it */
	enum address_kind kind;
};

static void good_spellings_are_taken_apart(void **state)
{
	static const struct spelling good[] = {
		{ ":9876", NULL, ":9876", ADDRESS_INET },
		{ ":0", NULL, ":0", ADDRESS_INET },
		{ ":65535", NULL, ":65535", ADDRESS_INET },
		{ ":00080", NULL, ":80", ADDRESS_INET },
		{ "0.0.0.0:9876", NULL, "0.0.0.0:9876", ADDRESS_INET },
		{ "[::]:9876", NULL, "[::]:9876", ADDRESS_INET },
		{ "[::1]:1", "7", "[::1]:1", ADDRESS_INET },
		{ "[::1]", "7", "[::1]:7", ADDRESS_INET },
		{ "[fe80::1%lo]:1", NULL, "[fe80::1%lo]:1", ADDRESS_INET },
		{ "[::ffff:127.0.0.1]:1", NULL, "[::ffff:127.0.0.1]:1", ADDRESS_INET },
		{ "localhost:9876", NULL, "localhost:9876", ADDRESS_INET },
		{ "example.org", "443", "example.org:443", ADDRESS_INET },
		{ "x_1-2.internal:1", NULL, "x_1-2.internal:1", ADDRESS_INET },
		{ "", "9876", ":9876", ADDRESS_INET },
		{ "unix:/run/x", NULL, "unix:/run/x", ADDRESS_UNIX },
		{ "unix:relative", "7", "unix:relative", ADDRESS_UNIX },
		{ "unix:/with:colon@and space", NULL, "unix:/with:colon@and space", ADDRESS_UNIX },
		{ "unix:@name", NULL, "unix:@name", ADDRESS_ABSTRACT },
		{ "unix:@@name", NULL, "unix:@@name", ADDRESS_ABSTRACT },
		{ "unix", "7", "unix:7", ADDRESS_INET },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct address_spec spec;
		char why[100] = "", text[400];

		if (address_parse(good[i].text, good[i].default_port, &spec, why, sizeof(why))) {
			fail_msg("%s %s", good[i].text, why);
		}
		assert_int_equal(spec.kind, good[i].kind);
		address_spec_format(&spec, text, sizeof(text));
		assert_string_equal(text, good[i].expected);
	}
}

static void bad_spellings_are_told_why(void **state)
{
	static const struct {
		const char *text, *why; /* a part of it */
	} bad[] = {
		{ "", "port" },
		{ "localhost", "no port" },
		{ "localhost:", "port" },
		{ ":", "port" },
		{ ":65536", "port" },
		{ ":99999", "port" },
		{ ":100000", "port" },
		{ ":4294967376", "port" }, /* 80 in 32 bits */
		{ ":-1", "port" },
		{ ":+1", "port" },
		{ ": 1", "port" },
		{ ":1 ", "port" },
		{ ":0x50", "port" },
		{ ":http", "port" },
		{ "http://localhost:9876", "URL" },
		{ "dns:///localhost:9876", "URL" },
		{ "localhost:9876,localhost:9877", "list" },
		{ "a,b:1", "list" },
		{ "::1", "brackets" },
		{ "::", "brackets" },
		{ "fe80::1:80", "brackets" },
		{ "[::1", "]" },
		{ "[::1]80", "]" },
		{ "[::1]:", "port" },
		{ "[::1]:x", "port" },
		{ "[]:80", "IPv6" },
		{ "[127.0.0.1]:80", "IPv6" },
		{ "[localhost]:80", "IPv6" },
		{ "[::g]:80", "IPv6" },
		{ "http://localhost:80", "" },
		{ "local host:80", "host" },
		{ "a@b:80", "host" },
		{ "a/b:80", "host" },
		{ "a]:80", "host" },
		{ "\tx:80", "host" },
		{ "unix:", "path" },
		{ "unix:@", "path" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct address_spec spec = { .host = "untouched" };
		char why[100] = "";

		if (address_parse(bad[i].text, NULL, &spec, why, sizeof(why)) != -EINVAL) {
			fail_msg("'%s' was taken", bad[i].text);
		}
		if (why[0] == '\0' || !strstr(why, bad[i].why)) {
			fail_msg("'%s': '%s' does not speak of '%s'", bad[i].text, why, bad[i].why);
		}
		assert_string_equal(spec.host, "untouched");
	}
}

static void lengths_are_bounded(void **state)
{
	struct address_spec spec;
	char text[600], why[100];
	struct address address;

	(void)state;
	/* A host of 255 bytes, and one more. */
	memset(text, 'a', sizeof(text));
	memcpy(text + 255, ":1", 3);
	assert_int_equal(address_parse(text, NULL, &spec, why, sizeof(why)), 0);
	assert_int_equal(strlen(spec.host), 255);
	memset(text, 'a', sizeof(text));
	memcpy(text + 256, ":1", 3);
	assert_int_equal(address_parse(text, NULL, &spec, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "255"));
	/* Of a path sun_path holds 107 and a NUL; of a name as many behind the first NUL. */
	memset(text, 'p', sizeof(text));
	memcpy(text, "unix:", 5);
	text[5 + 107] = '\0';
	assert_int_equal(address_parse(text, NULL, &spec, why, sizeof(why)), 0);
	assert_int_equal(strlen(spec.path), 107);
	assert_int_equal(address_resolve(&spec, true, &address, 1), 1);
	assert_true(address.len <= sizeof(struct sockaddr_un));
	text[5] = '@';
	assert_int_equal(address_parse(text, NULL, &spec, why, sizeof(why)), 0);
	assert_int_equal(address_resolve(&spec, true, &address, 1), 1);
	assert_int_equal(address.len, offsetof(struct sockaddr_un, sun_path) + 1 + 106);
	text[5] = 'p';
	text[5 + 107] = 'p';
	text[5 + 108] = '\0';
	assert_int_equal(address_parse(text, NULL, &spec, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "107"));
	/* Why is cut where there is no room for it, not beyond. */
	memset(why, 'x', sizeof(why));
	assert_int_equal(address_parse("::1", NULL, &spec, why, 4), -EINVAL);
	assert_int_equal(why[3], '\0');
	assert_int_equal(why[4], 'x');
}

static void assert_formats(const void *name, socklen_t len, const char *expected)
{
	struct address address = { .len = len };
	char text[ADDRESS_TEXT_MAX];

	memset(text, 'x', sizeof(text));
	memcpy(&address.storage, name, MIN(len, sizeof(address.storage)));
	address_format(&address, text);
	assert_string_equal(text, expected);
}

static void addresses_are_written_as_they_are_read(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(65535) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(1) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	char expected[ADDRESS_TEXT_MAX];

	(void)state;
	in.sin_addr.s_addr = htonl(0x7f000001);
	assert_formats(&in, sizeof(in), "127.0.0.1:65535");
	in6.sin6_addr = in6addr_loopback;
	assert_formats(&in6, sizeof(in6), "[::1]:1");
	in6.sin6_scope_id = 7;
	assert_formats(&in6, sizeof(in6), "[::1%7]:1");
	in6.sin6_scope_id = 0;
	/* What a dual-stack socket says of an IPv4 peer (RFC 4291 2.5.5.2). */
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
	assert_formats(&in6, sizeof(in6), "192.0.2.1:1");
	memset(&in6.sin6_addr, 0xff, sizeof(in6.sin6_addr));
	assert_formats(&in6, sizeof(in6), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1");
	/* Unnamed: a peer that never bound. */
	assert_formats(&un, head, "unix:");
	memcpy(un.sun_path, "/run/x", 7);
	assert_formats(&un, head + 7, "unix:/run/x");
	assert_formats(&un, head + 6, "unix:/run/x"); /* the kernel needs no NUL */
	memcpy(un.sun_path, "\0name", 5);
	assert_formats(&un, head + 5, "unix:@name");
	assert_formats(&un, head + 4, "unix:@nam");
	memset(un.sun_path, 'p', sizeof(un.sun_path)); /* full, no NUL */
	memcpy(expected, "unix:", 5);
	memset(expected + 5, 'p', sizeof(un.sun_path));
	expected[5 + sizeof(un.sun_path)] = '\0';
	assert_formats(&un, head + sizeof(un.sun_path), expected);
	assert_formats(&(struct sockaddr){ .sa_family = AF_UNSPEC }, 2, "unknown");
}

static void numbers_are_resolved_as_they_stand(void **state)
{
	struct address_spec spec = spec_of("127.0.0.1:80");
	struct address addresses[4];
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	assert_int_equal(address_resolve(&spec, false, addresses, ARRAY_SIZE(addresses)), 1);
	address_format(&addresses[0], text);
	assert_string_equal(text, "127.0.0.1:80");
	spec = spec_of("[::1]:80");
	assert_int_equal(address_resolve(&spec, false, addresses, ARRAY_SIZE(addresses)), 1);
	address_format(&addresses[0], text);
	assert_string_equal(text, "[::1]:80");
	assert_int_equal(addresses[0].len, sizeof(struct sockaddr_in6));
	/* No room: none, and nothing is written. */
	assert_int_equal(address_resolve(&spec, false, addresses, 0), 0);
}

static void a_missing_host_is_loopback_to_dial_and_any_to_listen(void **state)
{
	struct address_spec spec = spec_of(":80");
	struct address addresses[4];
	char text[ADDRESS_TEXT_MAX];
	int n = address_resolve(&spec, false, addresses, ARRAY_SIZE(addresses));
	bool loopback = false;

	(void)state;
	assert_true(n >= 1);
	for (int i = 0; i < n; i++) {
		address_format(&addresses[i], text);
		loopback |= strcmp(text, "127.0.0.1:80") == 0;
		assert_true(!strcmp(text, "127.0.0.1:80") || !strcmp(text, "[::1]:80"));
	}
	assert_true(loopback);
	n = address_resolve(&spec, true, addresses, ARRAY_SIZE(addresses));
	assert_true(n >= 1);
	for (int i = 0; i < n; i++) {
		address_format(&addresses[i], text);
		assert_true(!strcmp(text, "0.0.0.0:80") || !strcmp(text, "[::]:80"));
	}
}

static void what_cannot_be_resolved_is_an_error_with_a_text(void **state)
{
	/* A label of more than 63 bytes (RFC 1035 2.3.4): nobody has to be asked. */
	struct address_spec spec =
		spec_of("a234567890123456789012345678901234567890123456789012345678901234:80");
	struct address address;
	int rv = address_resolve(&spec, false, &address, 1);

	(void)state;
	assert_true(rv < 0);
	assert_string_not_equal(net_strerror(rv), "unknown error");
}

static void a_unix_name_is_as_long_as_it_is(void **state)
{
	struct address address = address_of("unix:@ab");
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address.storage;

	(void)state;
	assert_int_equal(address.len, offsetof(struct sockaddr_un, sun_path) + 3);
	assert_memory_equal(un->sun_path, "\0ab", 3);
	address = address_of("unix:/ab");
	assert_int_equal(address.len, offsetof(struct sockaddr_un, sun_path) + 4);
	assert_string_equal(un->sun_path, "/ab");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_spellings_are_taken_apart),
		cmocka_unit_test(bad_spellings_are_told_why),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(addresses_are_written_as_they_are_read),
		cmocka_unit_test(numbers_are_resolved_as_they_stand),
		cmocka_unit_test(a_missing_host_is_loopback_to_dial_and_any_to_listen),
		cmocka_unit_test(what_cannot_be_resolved_is_an_error_with_a_text),
		cmocka_unit_test(a_unix_name_is_as_long_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
