#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/descriptors.h"

extern const struct bytes shapes_set; /* shapes.proto, and what it imports */

static struct descriptors shown(const char *service)
{
	struct descriptors descriptors;

	assert_true(descriptors_init(&descriptors, shapes_set));
	assert_true(descriptors_show(&descriptors, str_from(service)));
	return descriptors;
}

static const char *file_of(const struct descriptors *descriptors, int file)
{
	static char name[64];

	if (file < 0) {
		return "none";
	}
	memset(name, 0, sizeof(name));
	memcpy(name, descriptors->files[file].name.data, descriptors->files[file].name.len);
	return name;
}

static void every_kind_of_symbol_resolves_to_its_file(void **state)
{
	static const char *const in_shapes[] = {
		"test.shapes.Outer",
		"test.shapes.Outer.Inner",
		"test.shapes.Outer.Inner.Deep",
		"test.shapes.Outer.Inner.Deep.bottom",
		"test.shapes.Outer.Inner.Mood",
		"test.shapes.Outer.Inner.GOOD",
		"test.shapes.Outer.Inner.BAD",
		"test.shapes.Outer.plain",
		"test.shapes.Outer.choice",
		"test.shapes.Outer.left",
		"test.shapes.Outer.TableEntry",
		"test.shapes.Outer.TableEntry.key",
		"test.shapes.Outer.from_within",
		"test.shapes.OuterMost",
		"test.shapes.Colour",
		"test.shapes.BLUE",
		"test.shapes.added",
		"test.shapes.Painter",
		"test.shapes.Painter.Paint",
	};
	struct descriptors descriptors = shown("test.shapes.Painter");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(in_shapes); i++) {
		int file = descriptors_find_symbol(&descriptors, str_from(in_shapes[i]));

		if (strcmp(file_of(&descriptors, file), "shapes.proto") != 0) {
			fail_msg("%s is in %s", in_shapes[i], file_of(&descriptors, file));
		}
	}
	assert_string_equal(
		file_of(&descriptors, descriptors_find_symbol(&descriptors, STR("Bare"))),
		"unnamed.proto");
	assert_string_equal(file_of(&descriptors, descriptors_find_symbol(
							  &descriptors, STR("test.imported.Leaf"))),
			    "imported.proto");
}

static void what_is_no_symbol_is_not_found(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"test",
		"test.shapes",
		"test.shapes.",
		".test.shapes.Outer",
		"test.shapes.Outer.",
		"test.shapes.Outer..plain",
		"test.shapes.Oute",
		"test.shapes.Outermost",
		"test.shapes.Outer_plain",
		"test.shapes.Outer.Inner.Mood.GOOD", /* values stand beside their enum */
		"test.shapes.Outer.GOOD",
		"test.shapes.Colour.RED",
		"test.shapes.Outer.plain.more",
		"test.shapes.Painter.Paint.x",
		"test.imported.Bare",
		"shapes.proto",
	};
	struct descriptors descriptors = shown("test.shapes.Painter");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (descriptors_find_symbol(&descriptors, str_from(names[i])) >= 0) {
			fail_msg("%s was found", names[i]);
		}
	}
	assert_int_equal(descriptors_find_symbol(&descriptors, STR("test.shapes.Outer\0x")), -1);
}

static void only_what_a_served_service_needs_is_found(void **state)
{
	struct descriptors descriptors = shown("test.imported.Gardener");

	(void)state;
	assert_int_equal(descriptors_find_symbol(&descriptors, STR("test.shapes.Outer")), -1);
	assert_int_equal(descriptors_find_file(&descriptors, STR("shapes.proto")), -1);
	assert_int_equal(descriptors_find_extension(&descriptors, STR("test.shapes.Outer"), 120),
			 -1);
	assert_true(descriptors_find_symbol(&descriptors, STR("Bare")) >= 0);
	assert_true(descriptors_find_file(&descriptors, STR("unnamed.proto")) >= 0);
	assert_false(descriptors_show(&descriptors, STR("test.shapes.Outer")));
	assert_false(descriptors_show(&descriptors, STR("test.shapes.Baker")));
}

static void extensions_are_found_by_type_and_number(void **state)
{
	struct descriptors descriptors = shown("test.shapes.Painter");
	int32_t numbers[DESCRIPTORS_MAX_EXTENSIONS];
	const struct str outer = STR("test.shapes.Outer");

	(void)state;
	assert_string_equal(
		file_of(&descriptors, descriptors_find_extension(&descriptors, outer, 120)),
		"shapes.proto");
	assert_string_equal(
		file_of(&descriptors, descriptors_find_extension(&descriptors, outer, 150)),
		"shapes.proto");
	assert_int_equal(descriptors_find_extension(&descriptors, outer, 121), -1);
	assert_int_equal(
		descriptors_find_extension(&descriptors, STR("test.shapes.OuterMost"), 120), -1);

	assert_int_equal(descriptors_extension_numbers(&descriptors, outer, numbers), 3);
	assert_int_equal(numbers[0], 110);
	assert_int_equal(numbers[1], 120);
	assert_int_equal(numbers[2], 150);
	assert_int_equal(descriptors_extension_numbers(&descriptors, STR("Bare"), numbers), 0);
	assert_int_equal(descriptors_extension_numbers(&descriptors, STR("None"), numbers), -1);
	assert_int_equal(
		descriptors_extension_numbers(&descriptors, STR("test.shapes.Painter"), numbers),
		-1);
}

static void a_closure_is_the_file_and_what_it_imports_each_once(void **state)
{
	struct descriptors descriptors = shown("test.shapes.Painter");
	size_t files[DESCRIPTORS_MAX_FILES];
	uint64_t sent = 0;
	size_t shapes = (size_t)descriptors_find_file(&descriptors, STR("shapes.proto"));
	size_t imported = (size_t)descriptors_find_file(&descriptors, STR("imported.proto"));

	(void)state;
	assert_int_equal(descriptors_closure(&descriptors, imported, &sent, files), 2);
	assert_string_equal(file_of(&descriptors, (int)files[0]), "imported.proto");
	assert_string_equal(file_of(&descriptors, (int)files[1]), "unnamed.proto");
	/* what was sent is left out */
	assert_int_equal(descriptors_closure(&descriptors, shapes, &sent, files), 1);
	assert_string_equal(file_of(&descriptors, (int)files[0]), "shapes.proto");
	/* except what is asked for */
	assert_int_equal(descriptors_closure(&descriptors, shapes, &sent, files), 1);
	assert_string_equal(file_of(&descriptors, (int)files[0]), "shapes.proto");
	sent = 0;
	assert_int_equal(descriptors_closure(&descriptors, shapes, &sent, files), 3);
	assert_string_equal(file_of(&descriptors, (int)files[0]), "shapes.proto");
}

/* protoc makes no such set; whoever reads one must not follow it for ever. */
static void files_that_import_each_other_come_once(void **state)
{
	static const char cycle[] = "\n\x10"
				    "\n\001a\032\001b\032\001a"
				    "2\005\n\003One"
				    "\n\006"
				    "\n\001b\032\001a";
	size_t files[DESCRIPTORS_MAX_FILES];
	struct descriptors descriptors;
	uint64_t sent = 0;

	(void)state;
	assert_true(descriptors_init(&descriptors,
				     (struct bytes){ (const uint8_t *)cycle, sizeof(cycle) - 1 }));
	assert_true(descriptors_show(&descriptors, STR("One")));
	assert_int_equal(descriptors_find_file(&descriptors, STR("b")), 1);
	assert_int_equal(descriptors_closure(&descriptors, 1, &sent, files), 2);
	assert_string_equal(file_of(&descriptors, (int)files[0]), "b");
	assert_string_equal(file_of(&descriptors, (int)files[1]), "a");
}

static void the_built_in_set_is_well_formed(void **state)
{
	static const char *const services[] = {
		"muzz.Service",
		"grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection",
		"grpc.testing.TestService",
	};
	struct descriptors descriptors;

	(void)state;
	assert_true(descriptors_init(&descriptors, descriptor_set));
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		assert_int_equal(descriptors_find_symbol(&descriptors, str_from(services[i])), -1);
		assert_true(descriptors_show(&descriptors, str_from(services[i])));
		assert_true(descriptors_find_symbol(&descriptors, str_from(services[i])) >= 0);
	}
}

static void a_torn_or_altered_set_is_refused_or_harmless(void **state)
{
	uint8_t *copy = malloc(shapes_set.len);
	struct descriptors descriptors;
	size_t refused = 0;

	(void)state;
	assert_non_null(copy);
	for (size_t len = 1; len < shapes_set.len; len++) {
		uint8_t *torn = malloc(len); /* so that a sanitizer sees a read behind it */

		assert_non_null(torn);
		memcpy(torn, shapes_set.data, len);
		refused += !descriptors_init(&descriptors, (struct bytes){ torn, len });
		free(torn);
	}
	/* of three files, each after those that it imports: one or two are a set as well */
	assert_int_equal(refused, shapes_set.len - 3);
	for (size_t at = 0; at < shapes_set.len; at++) {
		memcpy(copy, shapes_set.data, shapes_set.len);
		copy[at] ^= 0xff;
		if (descriptors_init(&descriptors, (struct bytes){ copy, shapes_set.len })) {
			(void)descriptors_show(&descriptors, STR("test.shapes.Painter"));
			(void)descriptors_find_symbol(&descriptors,
						      STR("test.shapes.Outer.Inner.Deep.bottom"));
		}
	}
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_symbol_resolves_to_its_file),
		cmocka_unit_test(what_is_no_symbol_is_not_found),
		cmocka_unit_test(only_what_a_served_service_needs_is_found),
		cmocka_unit_test(extensions_are_found_by_type_and_number),
		cmocka_unit_test(a_closure_is_the_file_and_what_it_imports_each_once),
		cmocka_unit_test(files_that_import_each_other_come_once),
		cmocka_unit_test(the_built_in_set_is_well_formed),
		cmocka_unit_test(a_torn_or_altered_set_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
