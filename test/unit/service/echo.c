#include "echo.pb-c.h"
#include "fake_call.h"
#include "service/echo.h"

/* Echo with its ledger, and one call of it. */
struct stage {
	struct echo_service service;
	struct histogram overhead;
	struct counter delay_ns, delayed, by_status[GRPC_STATUS_COUNT], by_kind[FAULT_KINDS];
	struct grpc_call call;
};

static void set(struct faults_plan *plan, const char *name, const char *value)
{
	char why[128] = "";

	if (faults_plan_set(plan, name, value, why, sizeof(why)) < 0) {
		fail_msg("%s=%s %s", name, value, why);
	}
}

static void set_up(struct stage *stage, const char *delay, const char *status, const char *abort)
{
	struct faults_plan plan = { .hang_limit_ns = 60 * NS_PER_S };
	struct faults *faults = &stage->service.faults;

	*stage = (struct stage){ 0 };
	set(&plan, "delay", delay);
	set(&plan, "status", status);
	set(&plan, "abort", abort);
	faults_use(faults, &plan, 1);
	faults->meters.delayed = &stage->delayed;
	for (int i = 1; i < GRPC_STATUS_COUNT; i++) {
		faults->meters.by_status[i] = &stage->by_status[i];
	}
	for (int i = FAULT_STATUS + 1; i < FAULT_KINDS; i++) {
		faults->meters.by_kind[i] = &stage->by_kind[i];
	}
	histogram_init(&stage->overhead, &histogram_fine_bounds);
	stage->service.meters = (struct echo_meters){ &stage->delay_ns, &stage->overhead };
	call_begin(&stage->call, &echo_service, "Echo", &stage->service);
}

static void ask(struct stage *stage, const char *name, const char *value)
{
	assert_int_equal(metadata_add(&stage->call.metadata, &stage->call.arena, str_from(name),
				      str_from(value)),
			 0);
}

static void open_and_send(struct stage *stage)
{
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

	request.message = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t) "hello" };
	call_open(&stage->call);
	assert_true(call_receive(&stage->call, &request.base));
}

static uint64_t faults_counted(const struct stage *stage)
{
	uint64_t n = 0;

	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		n += counter_read(&stage->by_status[i]);
	}
	for (int i = 0; i < FAULT_KINDS; i++) {
		n += counter_read(&stage->by_kind[i]);
	}
	return n;
}

/* Ends the call; then what was waited on purpose and what was not are these. */
static void end(struct stage *stage, int64_t waited_ns, int64_t overhead_ns)
{
	struct histogram_snapshot overhead;

	call_end(&stage->call);
	histogram_read(&stage->overhead, &overhead);
	assert_int_equal(counter_read(&stage->delay_ns), waited_ns);
	assert_int_equal(overhead.cumulative[histogram_fine_bounds.n], 1);
	assert_int_equal((int64_t)(overhead.sum * 1e9 + 0.5), overhead_ns);
}

static void assert_answered(const struct stage *stage)
{
	const Echo__EchoResponse *response = stage->call.sent[0];

	assert_int_equal(stage->call.n_sent, 1);
	assert_int_equal(response->message.len, 5);
	assert_memory_equal(response->message.data, "hello", 5);
	assert_true(stage->call.finished);
	assert_int_equal(stage->call.status, GRPC_OK);
}

static void without_a_plan_it_answers_at_once_and_says_nothing_more(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "none", "none", "none");
	open_and_send(&stage);
	assert_answered(&stage);
	assert_string_equal(stage.call.trailers, "");
	assert_string_equal(stage.call.headers, "");
	stage.call.ended_ns = 3 * NS_PER_MS;
	end(&stage, 0, 3 * NS_PER_MS);
	assert_int_equal(faults_counted(&stage), 0);
	assert_int_equal(counter_read(&stage.delayed), 0);
}

static void a_delay_is_waited_for_and_told_and_its_lateness_is_ours(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "none", "none");
	open_and_send(&stage);
	call_pass(&stage.call, 50 * NS_PER_MS - 1);
	assert_false(stage.call.finished);
	call_pass(&stage.call, 10 * NS_PER_MS + 1);
	assert_answered(&stage);
	assert_string_equal(stage.call.trailers, "echod-delay-ns: 50000000\n");
	assert_int_equal(counter_read(&stage.delayed), 1);
	end(&stage, 50 * NS_PER_MS, 10 * NS_PER_MS);
}

static void a_call_that_closes_in_its_delay_meets_no_fault(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "ABORTED:100", "none");
	open_and_send(&stage);
	call_pass(&stage.call, 20 * NS_PER_MS);
	end(&stage, 20 * NS_PER_MS, 0);
	assert_int_equal(faults_counted(&stage), 0);
	assert_int_equal(counter_read(&stage.delayed), 1);
}

static void a_call_whose_deadline_is_within_its_delay_meets_no_fault(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "ABORTED:100", "none");
	stage.call.deadline_ns = 50 * NS_PER_MS;
	open_and_send(&stage);
	call_pass(&stage.call, 60 * NS_PER_MS);
	assert_false(stage.call.finished);
	assert_int_equal(faults_counted(&stage), 0);
	end(&stage, 50 * NS_PER_MS, 10 * NS_PER_MS);
}

static void a_call_without_a_message_meets_no_fault(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "ABORTED:100", "none");
	call_open(&stage.call);
	end(&stage, 0, 0);
	assert_int_equal(faults_counted(&stage), 0);
	assert_int_equal(counter_read(&stage.delayed), 0);
}

static void a_status_comes_after_the_delay_and_names_itself(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "DATA_LOSS:100", "none");
	open_and_send(&stage);
	assert_false(stage.call.finished);
	call_pass(&stage.call, 50 * NS_PER_MS);
	assert_int_equal(stage.call.n_sent, 0);
	assert_int_equal(stage.call.status, GRPC_DATA_LOSS);
	assert_string_equal(stage.call.text, "failed on purpose");
	assert_string_equal(stage.call.trailers,
			    "echod-delay-ns: 50000000\nechod-fault: DATA_LOSS\n");
	assert_int_equal(counter_read(&stage.by_status[GRPC_DATA_LOSS]), 1);
	end(&stage, 50 * NS_PER_MS, 0);
	assert_int_equal(faults_counted(&stage), 1);
}

static void calls_are_broken_as_the_plan_says(void **state)
{
	static const struct {
		const char *abort, *trailers;
		enum fault_kind kind;
		enum grpc_break how;
	} rows[] = {
		{ "reset:100", "echod-fault: reset\n", FAULT_RESET, GRPC_BREAK_RESET },
		{ "close:100", "echod-fault: close\n", FAULT_CLOSE, GRPC_BREAK_CLOSE },
		{ "truncate:100", "echod-fault: truncate\n", FAULT_TRUNCATE, GRPC_BREAK_TRUNCATE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stage stage;

		set_up(&stage, "none", "none", rows[i].abort);
		open_and_send(&stage);
		assert_true(stage.call.broken);
		assert_int_equal(stage.call.how, rows[i].how);
		assert_string_equal(stage.call.trailers, rows[i].trailers);
		assert_int_equal(counter_read(&stage.by_kind[rows[i].kind]), 1);
		end(&stage, 0, 0);
		assert_int_equal(faults_counted(&stage), 1);
	}
}

static void a_call_hangs_up_to_the_limit(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "1s", "none", "hang:100");
	open_and_send(&stage);
	call_pass(&stage.call, NS_PER_S);
	assert_int_equal(counter_read(&stage.by_kind[FAULT_HANG]), 1);
	call_pass(&stage.call, 60 * NS_PER_S - 1);
	assert_false(stage.call.finished);
	call_pass(&stage.call, NS_PER_MS + 1);
	assert_int_equal(stage.call.status, GRPC_DEADLINE_EXCEEDED);
	assert_string_equal(stage.call.text, "hung on purpose, and ended by --echo.hang-limit");
	assert_string_equal(stage.call.trailers, "echod-delay-ns: 1000000000\nechod-fault: hang\n");
	end(&stage, 61 * NS_PER_S, NS_PER_MS);
	assert_int_equal(faults_counted(&stage), 1);
}

static void a_call_that_hangs_can_be_given_up(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "none", "none", "hang:100");
	open_and_send(&stage);
	call_pass(&stage.call, 2 * NS_PER_S);
	end(&stage, 2 * NS_PER_S, 0);
	assert_int_equal(counter_read(&stage.by_kind[FAULT_HANG]), 1);
}

static void a_change_of_plan_leaves_calls_that_arrived_before(void **state)
{
	struct faults_plan none = { 0 };
	struct stage stage;

	(void)state;
	set_up(&stage, "50ms", "ABORTED:100", "none");
	open_and_send(&stage);
	faults_use(&stage.service.faults, &none, 1);
	call_pass(&stage.call, 50 * NS_PER_MS);
	assert_int_equal(stage.call.status, GRPC_ABORTED);
	assert_int_equal(counter_read(&stage.by_status[GRPC_ABORTED]), 1);
	end(&stage, 50 * NS_PER_MS, 0);
}

/* -- What callers ask for -- */

static void without_permission_what_is_asked_for_is_not_looked_at(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "none", "none", "none");
	ask(&stage, "echod-fault", "INTERNAL");
	ask(&stage, "echod-delay", "nonsense");
	open_and_send(&stage);
	assert_answered(&stage);
	end(&stage, 0, 0);
}

static void a_caller_gets_what_it_asks_for_and_nothing_else(void **state)
{
	static const struct {
		const char *delay, *fault, *trailers;
		int64_t waited_ns;
		uint64_t counted;
	} rows[] = {
		{ NULL, "INTERNAL", "echod-fault: INTERNAL\n", 0, 1 },
		{ "7ms", NULL, "echod-delay-ns: 7000000\n", 7 * NS_PER_MS, 0 },
		{ "7ms:100", "reset", "echod-delay-ns: 7000000\nechod-fault: reset\n",
		  7 * NS_PER_MS, 1 },
		{ "none", "none", "", 0, 0 },
		{ "0s", NULL, "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct faults before;
		struct stage stage;

		set_up(&stage, "uniform:0s,1s", "ABORTED:100", "none");
		stage.service.allow_metadata_faults = true;
		before = stage.service.faults;
		if (rows[i].delay) {
			ask(&stage, "echod-delay", rows[i].delay);
		}
		if (rows[i].fault) {
			ask(&stage, "echod-fault", rows[i].fault);
		}
		open_and_send(&stage);
		call_pass(&stage.call, rows[i].waited_ns);
		assert_true(stage.call.finished);
		assert_string_equal(stage.call.trailers, rows[i].trailers);
		end(&stage, rows[i].waited_ns, 0);
		assert_int_equal(faults_counted(&stage), rows[i].counted);
		assert_memory_equal(&stage.service.faults.delay_dice, &before.delay_dice,
				    sizeof(before.delay_dice));
		assert_memory_equal(&stage.service.faults.fault_dice, &before.fault_dice,
				    sizeof(before.fault_dice));
	}
}

static void who_asks_for_nothing_is_under_the_plan(void **state)
{
	struct stage stage;

	(void)state;
	set_up(&stage, "none", "ABORTED:100", "none");
	stage.service.allow_metadata_faults = true;
	ask(&stage, "other", "x");
	open_and_send(&stage);
	assert_int_equal(stage.call.status, GRPC_ABORTED);
	end(&stage, 0, 0);
}

static void who_asks_for_nonsense_is_told_so(void **state)
{
	static const struct {
		const char *name, *value, *why;
	} rows[] = {
		{ "echod-delay", "soon", "echod-delay: \"soon\" is no delay" },
		{ "echod-delay", "2h", "echod-delay: \"2h\" is longer than 1h" },
		{ "echod-delay", "", "echod-delay: \"\" is no delay" },
		{ "echod-fault", "OK",
		  "echod-fault: \"OK\" is neither a status of a fault (as in UNAVAILABLE), nor "
		  "reset, close, hang or truncate" },
		{ "echod-fault", "INTERNAL:5", "echod-fault: \"INTERNAL:5\" is neither" },
		{ "echod-fault", "", "echod-fault: \"\" is neither" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stage stage;

		set_up(&stage, "none", "none", "none");
		stage.service.allow_metadata_faults = true;
		ask(&stage, rows[i].name, rows[i].value);
		call_open(&stage.call);
		assert_true(stage.call.finished);
		assert_int_equal(stage.call.status, GRPC_INVALID_ARGUMENT);
		if (strncmp(stage.call.text, rows[i].why, strlen(rows[i].why)) != 0) {
			fail_msg("%s", stage.call.text);
		}
		end(&stage, 0, 0);
		assert_int_equal(faults_counted(&stage), 0);
	}
}

static void what_is_asked_for_at_length_is_refused(void **state)
{
	struct stage stage;
	char value[600];

	(void)state;
	memset(value, '1', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	set_up(&stage, "none", "none", "none");
	stage.service.allow_metadata_faults = true;
	ask(&stage, "echod-delay", value);
	call_open(&stage.call);
	assert_int_equal(stage.call.status, GRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(stage.call.text, "1\" is too long"));
	end(&stage, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_plan_it_answers_at_once_and_says_nothing_more),
		cmocka_unit_test(a_delay_is_waited_for_and_told_and_its_lateness_is_ours),
		cmocka_unit_test(a_call_that_closes_in_its_delay_meets_no_fault),
		cmocka_unit_test(a_call_whose_deadline_is_within_its_delay_meets_no_fault),
		cmocka_unit_test(a_call_without_a_message_meets_no_fault),
		cmocka_unit_test(a_status_comes_after_the_delay_and_names_itself),
		cmocka_unit_test(calls_are_broken_as_the_plan_says),
		cmocka_unit_test(a_call_hangs_up_to_the_limit),
		cmocka_unit_test(a_call_that_hangs_can_be_given_up),
		cmocka_unit_test(a_change_of_plan_leaves_calls_that_arrived_before),
		cmocka_unit_test(without_permission_what_is_asked_for_is_not_looked_at),
		cmocka_unit_test(a_caller_gets_what_it_asks_for_and_nothing_else),
		cmocka_unit_test(who_asks_for_nothing_is_under_the_plan),
		cmocka_unit_test(who_asks_for_nonsense_is_told_so),
		cmocka_unit_test(what_is_asked_for_at_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
