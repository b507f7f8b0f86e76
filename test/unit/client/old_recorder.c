#include "client/old_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int set_up(void **state)
{
	static struct old_recorder recorder;

	*state = &recorder;
	return old_recorder_init(&recorder);
}

static int tear_down(void **state)
{
	old_recorder_deinit(*state);
	return 0;
}

static void test_a_new_one_is_empty(void **state)
{
	const struct old_recorder *recorder = *state;

	assert_int_equal(old_recorder_calls(recorder), 0);
	assert_int_equal(old_recorder_reached(recorder), 0);
	assert_string_equal(recorder->examples[OLD_RECORDER_NEVER_FOUND], "");
}

static void test_every_call_is_counted_in_one_place(void **state)
{
	struct old_recorder *recorder = *state;

	old_recorder_answered(recorder, GRPC_OK, 1000, STR(""));
	old_recorder_answered(recorder, GRPC_OK, 2000, STR(""));
	old_recorder_answered(recorder, GRPC_DEADLINE_EXCEEDED, 9000, STR("too late"));
	old_recorder_mismatched(recorder, 3000);
	old_recorder_never_found(recorder, STR("connection refused"));
	old_recorder_unfinished(recorder);
	old_recorder_unfinished(recorder);
	assert_int_equal(recorder->by_status[GRPC_OK], 2);
	assert_int_equal(recorder->by_status[GRPC_DEADLINE_EXCEEDED], 1);
	assert_int_equal(recorder->by_status[GRPC_UNAVAILABLE], 0);
	assert_int_equal(recorder->mismatched, 1);
	assert_int_equal(recorder->never_found, 1);
	assert_int_equal(recorder->unfinished, 2);
	assert_int_equal(old_recorder_reached(recorder), 4);
	assert_int_equal(old_recorder_calls(recorder), 7);
}

static void test_only_ok_calls_are_in_the_latency_of_ok_calls(void **state)
{
	struct old_recorder *recorder = *state;

	old_recorder_answered(recorder, GRPC_OK, 5 * NS_PER_MS, STR(""));
	old_recorder_answered(recorder, GRPC_INTERNAL, 700 * NS_PER_MS, STR("no"));
	old_recorder_mismatched(recorder, 800 * NS_PER_MS);
	old_recorder_never_found(recorder, STR("nobody"));
	old_recorder_unfinished(recorder);
	assert_int_equal(latencies_count(recorder->ok), 1);
	assert_int_equal(latencies_max(recorder->ok), 5 * NS_PER_MS);
	assert_int_equal(latencies_count(recorder->failed), 2);
	assert_int_equal(latencies_min(recorder->failed), 700 * NS_PER_MS);
	assert_int_equal(latencies_max(recorder->failed), 800 * NS_PER_MS);
}

static void test_the_first_example_of_a_status_is_kept(void **state)
{
	struct old_recorder *recorder = *state;

	old_recorder_answered(recorder, GRPC_INTERNAL, 1, STR(""));
	old_recorder_answered(recorder, GRPC_INTERNAL, 1, STR("first"));
	old_recorder_answered(recorder, GRPC_INTERNAL, 1, STR("second"));
	old_recorder_answered(recorder, GRPC_UNKNOWN, 1, STR("a\nb\x1b[31m"));
	assert_string_equal(recorder->examples[GRPC_INTERNAL], "first");
	assert_string_equal(recorder->examples[GRPC_UNKNOWN], "a b [31m");
	assert_string_equal(recorder->examples[GRPC_OK], "");
}

static void test_a_long_example_is_cut_between_characters(void **state)
{
	struct old_recorder *recorder = *state;
	char text[OLD_RECORDER_EXAMPLE_BYTES + 40];

	/* Two-byte characters behind one odd byte: the cut would fall in the middle of one. */
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i + 1 < sizeof(text); i += 2) {
		memcpy(text + i, "\xc3\xa9", 2);
	}
	old_recorder_never_found(recorder, (struct str){ text, sizeof(text) });
	assert_int_equal(strlen(recorder->examples[OLD_RECORDER_NEVER_FOUND]),
			 OLD_RECORDER_EXAMPLE_BYTES - 2);
	assert_memory_equal(recorder->examples[OLD_RECORDER_NEVER_FOUND], text,
			    OLD_RECORDER_EXAMPLE_BYTES - 2);
}

static void test_merging_adds_everything(void **state)
{
	struct old_recorder *into = *state;
	struct old_recorder from;

	assert_int_equal(old_recorder_init(&from), 0);
	for (int64_t i = 1; i <= 100; i++) {
		old_recorder_answered(i <= 50 ? into : &from, GRPC_OK, i * NS_PER_MS, STR(""));
	}
	old_recorder_answered(into, GRPC_INTERNAL, 1, STR("mine"));
	old_recorder_answered(&from, GRPC_INTERNAL, 1, STR("theirs"));
	old_recorder_answered(&from, GRPC_UNAVAILABLE, 1, STR("lost"));
	old_recorder_never_found(&from, STR("refused"));
	old_recorder_mismatched(&from, 1);
	old_recorder_unfinished(&from);
	old_recorder_merge(into, &from);
	old_recorder_deinit(&from);

	assert_int_equal(into->by_status[GRPC_OK], 100);
	assert_int_equal(into->by_status[GRPC_INTERNAL], 2);
	assert_int_equal(into->by_status[GRPC_UNAVAILABLE], 1);
	assert_int_equal(into->never_found, 1);
	assert_int_equal(into->mismatched, 1);
	assert_int_equal(into->unfinished, 1);
	assert_string_equal(into->examples[GRPC_INTERNAL], "mine");
	assert_string_equal(into->examples[GRPC_UNAVAILABLE], "lost");
	assert_int_equal(latencies_count(into->ok), 100);
	assert_int_equal(latencies_max(into->ok), 100 * NS_PER_MS);
	assert_in_range(latencies_quantile(into->ok, .5), 50 * NS_PER_MS, 51 * NS_PER_MS);
	assert_in_range(latencies_quantile(into->ok, .99), 99 * NS_PER_MS, 100 * NS_PER_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_one_is_empty),
		TEST(every_call_is_counted_in_one_place),
		TEST(only_ok_calls_are_in_the_latency_of_ok_calls),
		TEST(the_first_example_of_a_status_is_kept),
		TEST(a_long_example_is_cut_between_characters),
		TEST(merging_adds_everything),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
