/* The table of runs: bits, eviction, bounds, memory; and Echo, which fills it. */
#include "fake_call.h"

#include "../failing.h"
#include "echo.pb-c.h"
#include "service/echo.h"
#include "service/runs.h"

#define A "00000000000000aa"
#define B "00000000000000BB"

struct table {
	struct runs *runs;
	struct counter evicted, untracked;
};

static void make(struct table *table, size_t max)
{
	*table = (struct table){ 0 };
	table->runs = runs_new(max, &(struct runs_meters){ .evicted = &table->evicted,
							   .untracked = &table->untracked });
	assert_non_null(table->runs);
}

static struct runs_ticket receive(struct table *table, const char *value)
{
	struct metadata_entry run = { STR_INIT("echod-run"), str_from(value), NULL };
	struct metadata_entry other = { STR_INIT("x-other"), STR_INIT("1"), &run };
	struct metadata metadata = { .first = &other, .n = 2 };
	struct runs_ticket ticket = { 0 };

	runs_received(table->runs, &metadata, &ticket);
	assert_int_not_equal(ticket.slot, 0);
	return ticket;
}

static struct runs_ticket call(struct table *table, const char *id, uint64_t sequence)
{
	char value[64];

	snprintf(value, sizeof(value), "%s-%llu", id, (unsigned long long)sequence);
	return receive(table, value);
}

static struct runs_totals totals(const struct table *table, uint64_t id)
{
	struct runs_totals ret = { 0 };

	assert_true(runs_find(table->runs, id, &ret));
	assert_int_equal(ret.id, id);
	return ret;
}

/* "0-4,7" */
static const char *ranges(const struct table *table, uint64_t id, enum runs_set set)
{
	static char text[4096];
	uint64_t first, last, from = 0;

	text[0] = '\0';
	while (runs_next(table->runs, id, set, from, &first, &last)) {
		size_t used = strlen(text);

		assert_true(first >= from && last >= first && last < RUNS_MAX_CALLS);
		snprintf(text + used, sizeof(text) - used, first == last ? "%s%llu" : "%s%llu-%llu",
			 used ? "," : "", (unsigned long long)first, (unsigned long long)last);
		from = last + 1;
	}
	return text;
}

static void what_arrives_is_told_call_by_call(void **state)
{
	struct table table;
	struct runs_ticket ticket;

	(void)state;
	make(&table, 8);
	for (uint64_t i = 0; i < 200; i++) {
		ticket = call(&table, A, i);
		if (i != 100) {
			runs_answered(table.runs, &ticket);
		}
	}
	call(&table, A, 17);
	call(&table, A, 17);
	call(&table, A, 63);
	call(&table, A, 64);
	call(&table, A, 70000);
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "0-199,70000");
	assert_string_equal(ranges(&table, 0xaa, RUNS_TWICE), "17,63-64");
	assert_string_equal(ranges(&table, 0xaa, RUNS_ANSWERED), "0-99,101-199");
	assert_int_equal(totals(&table, 0xaa).received, 205);
	assert_int_equal(totals(&table, 0xaa).distinct, 201);
	assert_int_equal(totals(&table, 0xaa).twice, 3);
	assert_int_equal(totals(&table, 0xaa).answered, 199);
	assert_int_equal(totals(&table, 0xaa).highest, 70000);
	assert_int_equal(totals(&table, 0xaa).untracked, 0);
	runs_free(table.runs);
}

static void an_answer_given_twice_counts_once(void **state)
{
	struct table table;
	struct runs_ticket first, second;

	(void)state;
	make(&table, 1);
	first = call(&table, A, 5);
	second = call(&table, A, 5);
	runs_answered(table.runs, &first);
	runs_answered(table.runs, &second);
	assert_int_equal(totals(&table, 0xaa).answered, 1);
	assert_string_equal(ranges(&table, 0xaa, RUNS_ANSWERED), "5");
	runs_free(table.runs);
}

static void ranges_end_where_pieces_and_the_bound_do(void **state)
{
	struct table table;

	(void)state;
	make(&table, 1);
	for (uint64_t i = 65530; i < 65540; i++) {
		call(&table, A, i);
	}
	for (uint64_t i = 131072 - 64; i < 131072; i++) {
		call(&table, A, i);
	}
	call(&table, A, RUNS_MAX_CALLS - 1);
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED),
			    "65530-65539,131008-131071,16777215");
	assert_string_equal(ranges(&table, 0xaa, RUNS_TWICE), "");
	runs_free(table.runs);
}

static void what_is_malformed_is_counted_and_makes_no_run(void **state)
{
	static const char *const bad[] = {
		"",
		"-1",
		A,
		A "-",
		A "-x",
		A "--1",
		A "-1 ",
		A " 1",
		A "-0x1",
		A "-1000000000000000000",
		"00000000000000a-1",
		"00000000000000aaa-1",
		"00000000000000ag-1",
	};
	struct runs_totals ignored;
	struct table table;

	(void)state;
	make(&table, 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct runs_ticket ticket = receive(&table, bad[i]);

		assert_int_equal(ticket.slot, RUNS_NO_SLOT);
		runs_answered(table.runs, &ticket);
		assert_int_equal(counter_read(&table.untracked), i + 1);
	}
	assert_false(runs_at(table.runs, 0, &ignored));
	runs_free(table.runs);
}

static void a_number_beyond_the_bound_is_only_counted(void **state)
{
	struct table table;
	struct runs_ticket ticket;

	(void)state;
	make(&table, 2);
	ticket = call(&table, A, RUNS_MAX_CALLS);
	runs_answered(table.runs, &ticket);
	call(&table, A, 999999999999999999U);
	assert_int_equal(counter_read(&table.untracked), 2);
	assert_int_equal(totals(&table, 0xaa).received, 2);
	assert_int_equal(totals(&table, 0xaa).untracked, 2);
	assert_int_equal(totals(&table, 0xaa).lost, 0);
	assert_int_equal(totals(&table, 0xaa).distinct, 0);
	assert_int_equal(totals(&table, 0xaa).answered, 0);
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "");
	runs_free(table.runs);
}

static void other_metadata_or_none_means_nothing(void **state)
{
	struct metadata_entry other = { STR_INIT("echod-ran"), STR_INIT(A "-1"), NULL };
	struct metadata some = { .first = &other, .n = 1 }, none = { 0 };
	struct runs_ticket ticket = { 0 };
	struct table table;

	(void)state;
	make(&table, 1);
	runs_received(table.runs, &none, &ticket);
	assert_int_equal(ticket.slot, 0);
	runs_received(NULL, &some, &ticket);
	assert_int_equal(ticket.slot, 0);
	runs_received(table.runs, &some, &ticket);
	assert_int_equal(ticket.slot, RUNS_NO_SLOT);
	runs_answered(table.runs, &ticket);
	assert_int_equal(counter_read(&table.untracked), 0);
	runs_free(table.runs);
}

static void the_run_used_longest_ago_gives_way(void **state)
{
	struct table table;
	struct runs_ticket of_b;
	struct runs_totals ret;

	(void)state;
	make(&table, 2);
	call(&table, A, 1);
	of_b = call(&table, B, 2);
	call(&table, A, 3);
	call(&table, "cccccccccccccccc", 4);
	assert_int_equal(counter_read(&table.evicted), 1);
	assert_false(runs_find(table.runs, 0xbb, &ret));
	assert_true(runs_at(table.runs, 0, &ret) && ret.id == 0xcccccccccccccccc);
	assert_true(runs_at(table.runs, 1, &ret) && ret.id == 0xaa);
	assert_false(runs_at(table.runs, 2, &ret));
	/* the call of the run that has gone does not mark its successor's, even in its place */
	runs_answered(table.runs, &of_b);
	assert_int_equal(totals(&table, 0xcccccccccccccccc).answered, 0);
	assert_string_equal(ranges(&table, 0xcccccccccccccccc, RUNS_ANSWERED), "");
	/* and a run that comes back begins anew */
	call(&table, B, 9);
	assert_string_equal(ranges(&table, 0xbb, RUNS_RECEIVED), "9");
	assert_false(runs_next(table.runs, 0xaa, RUNS_RECEIVED, 0, &ret.id, &ret.id));
	runs_free(table.runs);
}

/* Else it would look as if calls that were answered had never arrived. */
static void a_run_that_gave_way_and_comes_again_lacks_what_came_before(void **state)
{
	struct table table;
	struct runs_ticket ticket;

	(void)state;
	make(&table, 1);
	ticket = call(&table, A, 0);
	call(&table, A, 9);
	call(&table, B, 0);
	call(&table, A, 1);
	runs_answered(table.runs, &ticket); /* of the place as it was */
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "1");
	assert_int_equal(totals(&table, 0xaa).received, 3);
	assert_int_equal(totals(&table, 0xaa).lost, 2);
	assert_int_equal(totals(&table, 0xaa).untracked, 2);
	assert_int_equal(totals(&table, 0xaa).highest, 9);
	assert_int_equal(totals(&table, 0xaa).answered, 0);
	call(&table, B, 1);
	assert_int_equal(totals(&table, 0xbb).lost, 1);
	call(&table, A, 2);
	assert_int_equal(totals(&table, 0xaa).lost, 3);
	for (unsigned i = 0; i < 300; i++) { /* one with a new id is whole */
		char id[RUNS_ID_DIGITS + 1];

		snprintf(id, sizeof(id), "%016x", 0x1000 + i);
		call(&table, id, 0);
		assert_int_equal(totals(&table, 0x1000 + i).lost, 0);
	}
	runs_free(table.runs);
}

/* Whoever makes 2^24 runs while a call is held up can have it end in another run's turn. */
static void a_call_that_outlived_all_turns_marks_nothing_that_is_not_there(void **state)
{
	struct table table;
	struct runs_ticket ticket;

	(void)state;
	make(&table, 1);
	ticket = call(&table, A, 0);
	ticket.sequence = 70000; /* as the call had that has this turn, too */
	runs_answered(table.runs, &ticket);
	assert_int_equal(totals(&table, 0xaa).answered, 0);
	runs_free(table.runs);
}

static void without_memory_a_call_is_not_told_apart_and_said_not_to_be(void **state)
{
	struct table table;
	struct runs_ticket ticket;

	(void)state;
	failing_at = 0;
	assert_null(runs_new(1, &(struct runs_meters){ 0 }));
	make(&table, 1);
	failing_at = 0; /* the piece */
	ticket = call(&table, A, 1);
	runs_answered(table.runs, &ticket);
	assert_int_equal(totals(&table, 0xaa).lost, 1);
	call(&table, A, 2);
	failing_at = 0; /* what came again */
	call(&table, A, 2);
	failing_at = -1;
	assert_int_equal(totals(&table, 0xaa).lost, 2);
	assert_int_equal(totals(&table, 0xaa).untracked, 2);
	assert_int_equal(counter_read(&table.untracked), 2);
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "2");
	assert_string_equal(ranges(&table, 0xaa, RUNS_TWICE), "");
	runs_free(table.runs);
}

static void calls_of_a_run_take_no_memory_but_their_piece(void **state)
{
	struct table table;
	long seen;

	(void)state;
	make(&table, 1);
	call(&table, A, 0);
	seen = failing_seen;
	for (uint64_t i = 1; i < 65536; i++) {
		struct runs_ticket ticket = call(&table, A, i);

		runs_answered(table.runs, &ticket);
	}
	assert_int_equal(failing_seen, seen);
	call(&table, A, 65536);
	assert_int_equal(failing_seen, seen + 1);
	runs_free(table.runs);
}

/* -- Echo -- */

static void open_echo(struct grpc_call *echo, struct echo_service *service, const char *value)
{
	call_begin(echo, &echo_service, "Echo", service);
	assert_int_equal(
		metadata_add(&echo->metadata, &echo->arena, STR("echod-run"), str_from(value)), 0);
	call_open(echo);
}

static void close_echo(struct grpc_call *echo, enum grpc_origin origin)
{
	const struct grpc_outcome outcome = { .status = GRPC_OK, .origin = origin };

	echo->method->events->closed(echo, &outcome);
	for (size_t i = 0; i < echo->n_sent; i++) {
		protobuf_c_message_free_unpacked(echo->sent[i], NULL);
	}
	arena_reset(&echo->arena);
}

static void echo_notes_what_came_and_what_it_answered(void **state)
{
	struct table table;
	struct echo_service service = { 0 };
	struct grpc_call echo;
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

	(void)state;
	make(&table, 1);
	service.runs = table.runs;
	open_echo(&echo, &service, A "-0");
	assert_true(call_receive(&echo, &request.base));
	close_echo(&echo, GRPC_FROM_HERE);
	open_echo(&echo, &service, A "-1"); /* cancelled by its caller, after the answer */
	assert_true(call_receive(&echo, &request.base));
	close_echo(&echo, GRPC_FROM_PEER);
	open_echo(&echo, &service, A "-2"); /* lost before its message */
	close_echo(&echo, GRPC_FROM_TRANSPORT);
	open_echo(&echo, &service, A "-3"); /* refused before it got this far */
	close_echo(&echo, GRPC_FROM_HERE);
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "0-3");
	assert_string_equal(ranges(&table, 0xaa, RUNS_ANSWERED), "0,3");
	assert_int_equal(totals(&table, 0xaa).received, 4);
	runs_free(table.runs);
}

/* A status or a reset says something to who called; a connection that ends does not. */
static void of_faults_all_but_a_close_are_answers(void **state)
{
	struct table table;
	struct echo_service service = { .allow_metadata_faults = true };
	static const char *const asked[] = { "close", "reset", "truncate", "UNAVAILABLE", "hang" };
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

	(void)state;
	make(&table, 1);
	service.runs = table.runs;
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		struct grpc_call echo;
		char value[32];

		snprintf(value, sizeof(value), A "-%zu", i);
		call_begin(&echo, &echo_service, "Echo", &service);
		assert_int_equal(metadata_add(&echo.metadata, &echo.arena, STR("echod-run"),
					      str_from(value)),
				 0);
		assert_int_equal(metadata_add(&echo.metadata, &echo.arena, STR("echod-fault"),
					      str_from(asked[i])),
				 0);
		call_open(&echo);
		assert_true(call_receive(&echo, &request.base));
		close_echo(&echo, GRPC_FROM_HERE);
	}
	assert_string_equal(ranges(&table, 0xaa, RUNS_RECEIVED), "0-4");
	assert_string_equal(ranges(&table, 0xaa, RUNS_ANSWERED), "1-4");
	runs_free(table.runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_arrives_is_told_call_by_call),
		cmocka_unit_test(an_answer_given_twice_counts_once),
		cmocka_unit_test(ranges_end_where_pieces_and_the_bound_do),
		cmocka_unit_test(what_is_malformed_is_counted_and_makes_no_run),
		cmocka_unit_test(a_number_beyond_the_bound_is_only_counted),
		cmocka_unit_test(other_metadata_or_none_means_nothing),
		cmocka_unit_test(the_run_used_longest_ago_gives_way),
		cmocka_unit_test(a_call_that_outlived_all_turns_marks_nothing_that_is_not_there),
		cmocka_unit_test(a_run_that_gave_way_and_comes_again_lacks_what_came_before),
		cmocka_unit_test(without_memory_a_call_is_not_told_apart_and_said_not_to_be),
		cmocka_unit_test(calls_of_a_run_take_no_memory_but_their_piece),
		cmocka_unit_test(echo_notes_what_came_and_what_it_answered),
		cmocka_unit_test(of_faults_all_but_a_close_are_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
