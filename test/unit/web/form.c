#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "web/form.h"

/* "name=value;" for each field, then what ended it. */
static const char *read_all(const char *text, struct buffer *out)
{
	struct str rest = str_from(text);
	struct arena arena;
	struct form_field field;
	int rv;

	buffer_clear(out);
	arena_init(&arena, NULL, 0, KIB);
	while ((rv = form_next(&rest, &arena, &field)) == 1) {
		assert_int_equal(strlen(field.name.data), field.name.len);
		assert_int_equal(strlen(field.value.data), field.value.len);
		assert_int_equal(buffer_printf(out, "%s=%s;", field.name.data, field.value.data),
				 0);
	}
	assert_int_equal(buffer_printf(out, "%s%c",
				       rv == 0         ? "end"
				       : rv == -EINVAL ? "bad"
						       : "mem",
				       0),
			 0);
	arena_reset(&arena);
	return (const char *)buffer_data(out);
}

static void fields_are_cut_and_decoded(void **state)
{
	static const struct {
		const char *text, *read;
	} rows[] = {
		{ "", "end" },
		{ "a=1", "a=1;end" },
		{ "a=1&b=2", "a=1;b=2;end" },
		{ "&&a=1&&", "a=1;end" },
		{ "a", "a=;end" },
		{ "a=", "a=;end" },
		{ "=a", "=a;end" },
		{ "a=b=c", "a=b=c;end" },
		{ "status=UNAVAILABLE:2,INTERNAL:0.5", "status=UNAVAILABLE:2,INTERNAL:0.5;end" },
		{ "a+b=c%20d%2B%2b", "a b=c d++;end" },
		{ "name%5B%5D=x", "name[]=x;end" },
		{ "a=%C3%A9", "a=\xc3\xa9;end" },
		{ "a=1&b=%", "a=1;bad" },
		{ "a=%4", "bad" },
		{ "a=%zz", "bad" },
		{ "a=%00", "bad" },
		{ "%0", "bad" },
	};
	struct buffer out = BUFFER_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(read_all(rows[i].text, &out), rows[i].read);
	}
	buffer_free(&out);
}

static void a_nul_is_refused_also_as_it_is(void **state)
{
	static const char text[] = "a=b\0c&d=e";
	struct str rest = { text, sizeof(text) - 1 };
	struct arena arena;
	struct form_field field;

	(void)state;
	arena_init(&arena, NULL, 0, KIB);
	assert_int_equal(form_next(&rest, &arena, &field), -EINVAL);
	arena_reset(&arena);
}

static void no_more_is_kept_than_the_arena_may_hold(void **state)
{
	char text[2 * KIB];
	struct buffer out = BUFFER_INIT;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_string_equal(read_all(text, &out), "mem");
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_cut_and_decoded),
		cmocka_unit_test(a_nul_is_refused_also_as_it_is),
		cmocka_unit_test(no_more_is_kept_than_the_arena_may_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
