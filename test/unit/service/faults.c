#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/build.h"
#include "metrics/exposition.h"
#include "service/faults.h"

/* -- Plans as they are written -- */

static void set(struct faults_plan *plan, const char *name, const char *value)
{
	char why[128] = "";

	if (faults_plan_set(plan, name, value, why, sizeof(why)) < 0) {
		fail_msg("%s=%s %s", name, value, why);
	}
}

static struct faults_plan planned(const char *status, const char *abort, const char *mode)
{
	struct faults_plan plan = { 0 };

	set(&plan, "status", status);
	set(&plan, "abort", abort);
	set(&plan, "fault-mode", mode);
	return plan;
}

/* The caller frees it. */
static const char *printed(const struct faults_plan *plan, struct buffer *out)
{
	assert_int_equal(faults_plan_print(plan, out), 0);
	assert_int_equal(buffer_append(out, "", 1), 0);
	return (const char *)buffer_data(out);
}

static void a_plan_is_printed_as_it_is_set(void **state)
{
	struct faults_plan plan = { .hang_limit_ns = 60 * NS_PER_S };
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_string_equal(printed(&plan, &out),
			    "delay=none\nstatus=none\nabort=none\nfault-mode=random\nseed=0\n"
			    "hang-limit=1m\nhealth=serving\n");
	buffer_clear(&out);
	set(&plan, "delay", "uniform:0s,5s");
	set(&plan, "status", "UNAVAILABLE:2,INTERNAL:0.5");
	set(&plan, "abort", "truncate:0.25,reset:1,close:3,hang:0");
	set(&plan, "fault-mode", "every-nth");
	set(&plan, "seed", "18446744073709551615");
	set(&plan, "hang-limit", "1500ms");
	set(&plan, "health", "not-serving");
	assert_string_equal(printed(&plan, &out),
			    "delay=uniform:0s,5s\nstatus=UNAVAILABLE:2,INTERNAL:0.5\n"
			    "abort=truncate:0.25,reset:1,close:3,hang:0\nfault-mode=every-nth\n"
			    "seed=18446744073709551615\nhang-limit=1.5s\nhealth=not-serving\n");
	assert_true(plan.unhealthy);
	assert_int_equal(plan.mode, FAULTS_EVERY_NTH);
	assert_int_equal(plan.statuses.faults[1].share, 5000000);
	assert_int_equal(plan.aborts.faults[2].kind, FAULT_CLOSE);
	buffer_free(&out);
}

static void every_status_but_ok_and_every_abort_can_be_had(void **state)
{
	struct faults_plan plan = { 0 };
	char text[512] = "";

	(void)state;
	for (int status = 1; status < GRPC_STATUS_COUNT; status++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, "%s%s:1", status > 1 ? "," : "",
			 grpc_status_name(status));
	}
	set(&plan, "status", text);
	assert_int_equal(plan.statuses.n, GRPC_STATUS_COUNT - 1);
	for (int status = 1; status < GRPC_STATUS_COUNT; status++) {
		assert_int_equal(plan.statuses.faults[status - 1].status, status);
	}
	set(&plan, "abort", "reset:1,close:1,hang:1,truncate:1");
	assert_int_equal(plan.aborts.n, FAULT_KINDS - FAULT_STATUS - 1);
	assert_true(plan.statuses.n + plan.aborts.n <= FAULTS_MOST);
}

static void nonsense_is_refused_with_its_reason_and_changes_nothing(void **state)
{
	static const struct {
		const char *name, *value, *why;
	} rows[] = {
		{ "delay", "soon", "is no delay" },
		{ "status", "", "has an item that is empty" },
		{ "status", "UNAVAILABLE", "has \"UNAVAILABLE\", which is not STATUS:PERCENT" },
		{ "status", "OK:1", "has \"OK\", which is no status of a fault" },
		{ "status", "BROKEN:1", "has \"BROKEN\", which is no status of a fault" },
		{ "status", "Unavailable:1", "has \"Unavailable\", which is no status" },
		{ "status", "14:1", "has \"14\", which is no status" },
		{ "status", "reset:1", "has \"reset\", which is no status" },
		{ "status", ":1", "has \"\", which is no status" },
		{ "status", "INTERNAL:1,INTERNAL:2", "has \"INTERNAL\", which is there twice" },
		{ "status", "INTERNAL:1,", "has an item that is empty" },
		{ "status", ",INTERNAL:1", "has an item that is empty" },
		{ "status", "INTERNAL:1,,ABORTED:1", "has an item that is empty" },
		{ "status", "INTERNAL:", "has \"\", which is no percentage (as in 2 or 0.5)" },
		{ "status", "INTERNAL:-1", "has \"-1\", which is no percentage" },
		{ "status", "INTERNAL:+1", "has \"+1\", which is no percentage" },
		{ "status", "INTERNAL:NaN", "has \"NaN\", which is no percentage" },
		{ "status", "INTERNAL:1%", "has \"1%\", which is no percentage" },
		{ "status", "INTERNAL: 1", "has \" 1\", which is no percentage" },
		{ "status", "INTERNAL:0x1", "has \"0x1\", which is no percentage" },
		{ "status", "INTERNAL:101", "has \"101\", which is more than 100 %" },
		{ "status", "INTERNAL:0.00000001", "which is finer than 0.0000001 %" },
		{ "status", "INTERNAL:50,ABORTED:50.1", "comes to more than 100 %" },
		{ "status", "none,INTERNAL:1", "has \"none\", which is not STATUS:PERCENT" },
		{ "abort", "", "has an item that is empty" },
		{ "abort", "explode:1", "has \"explode\", which is none of reset, close, hang," },
		{ "abort", "status:1", "has \"status\", which is none of" },
		{ "abort", "UNAVAILABLE:1", "has \"UNAVAILABLE\", which is none of" },
		{ "abort", "reset", "has \"reset\", which is not KIND:PERCENT" },
		{ "abort", "reset:1,reset:1", "has \"reset\", which is there twice" },
		{ "abort", "reset:60,hang:60", "comes to more than 100 %" },
		{ "fault-mode", "sometimes", "is neither random nor every-nth" },
		{ "fault-mode", "", "is neither random nor every-nth" },
		{ "seed", "", "is not a whole number" },
		{ "seed", "-1", "is not a whole number" },
		{ "seed", "18446744073709551616", "is too large" },
		{ "hang-limit", "0s", "is not between 1ms and 1h" },
		{ "hang-limit", "2h", "is not between 1ms and 1h" },
		{ "hang-limit", "never", "is not a duration" },
		{ "health", "ill", "is neither serving nor not-serving" },
		{ "", "1", "is no part of a plan" },
		{ "echo.delay", "1s", "is no part of a plan" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct faults_plan plan = planned("ABORTED:3", "hang:4", "every-nth"), before;
		char why[128] = "";

		plan.seed = 5;
		plan.hang_limit_ns = 6;
		before = plan;
		if (faults_plan_set(&plan, rows[i].name, rows[i].value, why, sizeof(why)) != -1) {
			fail_msg("%s=%s was taken", rows[i].name, rows[i].value);
		}
		if (!strstr(why, rows[i].why)) {
			fail_msg("%s=%s %s", rows[i].name, rows[i].value, why);
		}
		assert_null(strchr(why, '\n'));
		assert_memory_equal(&plan, &before, sizeof(plan));
	}
}

static void statuses_and_aborts_share_one_whole(void **state)
{
	struct faults_plan plan = planned("INTERNAL:60", "hang:40", "random");
	char why[128] = "";

	(void)state;
	assert_int_equal(faults_plan_check(&plan, why, sizeof(why)), 0);
	set(&plan, "abort", "hang:40.0000001");
	assert_int_equal(faults_plan_check(&plan, why, sizeof(why)), -1);
	assert_string_equal(why, "together come to more than 100 %");
}

static void a_fault_is_known_by_its_name(void **state)
{
	struct fault fault;

	(void)state;
	assert_true(fault_parse(STR("UNAVAILABLE"), &fault));
	assert_int_equal(fault.kind, FAULT_STATUS);
	assert_int_equal(fault.status, GRPC_UNAVAILABLE);
	assert_true(fault_parse(STR("truncate"), &fault));
	assert_int_equal(fault.kind, FAULT_TRUNCATE);
	assert_string_equal(fault_name(FAULT_TRUNCATE, GRPC_OK), "truncate");
	assert_string_equal(fault_name(FAULT_STATUS, GRPC_DATA_LOSS), "DATA_LOSS");
	assert_false(fault_parse(STR("OK"), &fault));
	assert_false(fault_parse(STR("status"), &fault));
	assert_false(fault_parse(STR(""), &fault));
	assert_false(fault_parse(STR("reset\0"), &fault));
	assert_false(fault_parse(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				     "aaaaaaaaaaaaaaaa"),
				 &fault));
}

/* -- Dice -- */

static void every_nth_gives_the_whole_part_of_its_share_at_any_time(void **state)
{
	static const char *const shares[] = { "2",  "33.3333333", "100",       "0",
					      "50", "0.1",        "99.9999999" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		char text[64];
		struct faults faults = { 0 };
		struct faults_plan plan;
		uint64_t met = 0;

		snprintf(text, sizeof(text), "UNAVAILABLE:%s", shares[i]);
		plan = planned(text, "none", "every-nth");
		faults_use(&faults, &plan, 1);
		for (uint64_t n = 1; n <= 100000; n++) {
			struct faults_draw draw;

			faults_draw(&faults, &draw);
			if (draw.kind == FAULT_STATUS) {
				assert_int_equal(draw.status, GRPC_UNAVAILABLE);
				met++;
			}
			assert_int_equal(met, n * plan.statuses.faults[0].share / FAULTS_WHOLE);
		}
	}
}

static void every_nth_takes_those_that_are_ready_in_the_order_of_the_plan(void **state)
{
	struct faults_plan plan = planned("UNAVAILABLE:50,INTERNAL:25", "hang:25", "every-nth");
	static const char *const met[] = { "none",     "UNAVAILABLE", "none", "UNAVAILABLE",
					   "INTERNAL", "UNAVAILABLE", "hang", "UNAVAILABLE",
					   "INTERNAL", "UNAVAILABLE", "hang" };
	struct faults faults = { 0 };

	(void)state;
	faults_use(&faults, &plan, 1);
	for (size_t i = 0; i < ARRAY_SIZE(met); i++) {
		struct faults_draw draw;

		faults_draw(&faults, &draw);
		assert_string_equal(draw.kind == FAULT_NONE ? "none"
							    : fault_name(draw.kind, draw.status),
				    met[i]);
	}
}

static void of_several_less_is_owed_than_there_are(void **state)
{
	/* The last has the most, and all before it are ready at the same call. */
	struct faults_plan plan = planned("ABORTED:1,INTERNAL:1,UNKNOWN:1,NOT_FOUND:1,"
					  "DATA_LOSS:1,UNAVAILABLE:94",
					  "reset:1", "every-nth");
	struct faults faults = { 0 };
	uint64_t met = 0;

	(void)state;
	faults_use(&faults, &plan, 1);
	for (uint64_t n = 1; n <= 100000; n++) {
		struct faults_draw draw;
		uint64_t owed = 0;

		faults_draw(&faults, &draw);
		met += draw.status == GRPC_UNAVAILABLE;
		for (size_t i = 0; i < 7; i++) {
			owed += faults.owed[i];
		}
		assert_true(owed < 7 * (uint64_t)FAULTS_WHOLE);
		assert_int_equal(met * FAULTS_WHOLE + faults.owed[5], n * 94 * FAULTS_WHOLE / 100);
	}
	assert_in_range(met, 94000 - 6, 94000);
}

static void the_die_falls_as_the_shares_say(void **state)
{
	struct faults_plan plan = planned("UNAVAILABLE:2,INTERNAL:0.5", "hang:10", "random");
	struct faults faults = { 0 };
	const double n = 200000;
	double met[3] = { 0 }, shares[3] = { 0.02, 0.005, 0.1 }, all = 0;

	(void)state;
	faults_use(&faults, &plan, 7);
	for (int i = 0; i < (int)n; i++) {
		struct faults_draw draw;

		faults_draw(&faults, &draw);
		met[0] += draw.kind == FAULT_STATUS && draw.status == GRPC_UNAVAILABLE;
		met[1] += draw.kind == FAULT_STATUS && draw.status == GRPC_INTERNAL;
		met[2] += draw.kind == FAULT_HANG;
		all += draw.kind != FAULT_NONE;
	}
	for (size_t i = 0; i < 3; i++) {
		double slack = 3 * sqrt(n * shares[i] * (1 - shares[i]));

		assert_true(fabs(met[i] - n * shares[i]) <= slack);
	}
	assert_true(all == met[0] + met[1] + met[2]);
}

static void a_whole_share_is_every_call_and_none_is_no_call(void **state)
{
	static const char *const modes[] = { "random", "every-nth" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct faults_plan plan = planned("ABORTED:0", "reset:100", modes[i]);
		struct faults faults = { 0 };

		faults_use(&faults, &plan, 1);
		for (int n = 0; n < 1000; n++) {
			struct faults_draw draw;

			faults_draw(&faults, &draw);
			assert_int_equal(draw.kind, FAULT_RESET);
		}
	}
}

/* What `faults` does to the next calls. */
static void sequence(struct faults *faults, struct faults_draw ret[1000])
{
	for (int i = 0; i < 1000; i++) {
		faults_draw(faults, &ret[i]);
	}
}

static void a_seed_repeats_all_and_another_does_not(void **state)
{
	struct faults_plan plan = planned("ABORTED:50", "none", "random");
	struct faults_draw first[1000], again[1000];
	struct faults faults = { 0 };

	(void)state;
	set(&plan, "delay", "uniform:0s,5s");
	faults_use(&faults, &plan, 5);
	sequence(&faults, first);
	faults_use(&faults, &plan, 5);
	sequence(&faults, again);
	assert_memory_equal(again, first, sizeof(first));
	faults_use(&faults, &plan, 6);
	sequence(&faults, again);
	assert_memory_not_equal(again, first, sizeof(first));
	plan.seed = 5; /* goes before the one that is given */
	faults_use(&faults, &plan, 6);
	sequence(&faults, again);
	assert_memory_equal(again, first, sizeof(first));
}

static void delays_and_faults_do_not_disturb_each_other(void **state)
{
	struct faults_plan both = planned("ABORTED:50", "none", "random"), one;
	struct faults_draw drawn[1000], alone[1000];
	struct faults faults = { 0 };
	int slow_and_failed = 0;

	(void)state;
	set(&both, "delay", "1s:50");
	faults_use(&faults, &both, 5);
	sequence(&faults, drawn);
	one = both;
	set(&one, "status", "none");
	faults_use(&faults, &one, 5);
	sequence(&faults, alone);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(alone[i].delay_ns, drawn[i].delay_ns);
		assert_int_equal(alone[i].kind, FAULT_NONE);
		slow_and_failed += drawn[i].delay_ns > 0 && drawn[i].kind == FAULT_STATUS;
	}
	one = both;
	set(&one, "delay", "none");
	faults_use(&faults, &one, 5);
	sequence(&faults, alone);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(alone[i].kind, drawn[i].kind);
	}
	assert_in_range(slow_and_failed, 250 - 41, 250 + 41); /* three sigma of a quarter */
}

static void a_new_plan_begins_anew(void **state)
{
	struct faults_plan plan = planned("ABORTED:50", "none", "every-nth");
	struct faults faults = { 0 };
	struct faults_draw draw;

	(void)state;
	faults_use(&faults, &plan, 1);
	faults_draw(&faults, &draw);
	assert_int_equal(draw.kind, FAULT_NONE);
	faults_use(&faults, &plan, 1);
	faults_draw(&faults, &draw);
	assert_int_equal(draw.kind, FAULT_NONE);
	faults_draw(&faults, &draw);
	assert_int_equal(draw.kind, FAULT_STATUS);
}

static void nothing_planned_is_idle(void **state)
{
	struct faults faults = { 0 };
	struct faults_plan plan = { 0 };

	(void)state;
	assert_true(faults_idle(&faults));
	faults_use(&faults, &plan, 1);
	assert_true(faults_idle(&faults));
	set(&plan, "delay", "0s");
	faults_use(&faults, &plan, 1);
	assert_false(faults_idle(&faults));
	plan = planned("none", "hang:1", "random");
	faults_use(&faults, &plan, 1);
	assert_false(faults_idle(&faults));
	plan = planned("ABORTED:1", "none", "random");
	faults_use(&faults, &plan, 1);
	assert_false(faults_idle(&faults));
}

/* -- The ledger -- */

static bool has_line(const struct buffer *page, const char *line)
{
	char wanted[256];

	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	return strstr((const char *)buffer_data(page), wanted);
}

static void assert_line(struct registry *registry, const char *line)
{
	struct buffer page = BUFFER_INIT;

	assert_int_equal(exposition_text.encode(registry, NULL, &page), 0);
	assert_int_equal(buffer_append(&page, "", 1), 0);
	if (!has_line(&page, line)) {
		fail_msg("no \"%s\" in\n%s", line, (const char *)buffer_data(&page));
	}
	buffer_free(&page);
}

static size_t count_lines(struct registry *registry)
{
	struct buffer page = BUFFER_INIT;
	size_t n = 0;

	assert_int_equal(exposition_text.encode(registry, NULL, &page), 0);
	for (size_t i = 0; i < buffer_len(&page); i++) {
		n += buffer_data(&page)[i] == '\n';
	}
	buffer_free(&page);
	return n;
}

static void the_ledger_counts_each_fault_and_tells_the_plan(void **state)
{
	struct registry *registry = registry_new();
	struct build build = { .registry = registry };
	struct faults faults = { 0 };
	struct faults_plan plan = planned("UNAVAILABLE:2,INTERNAL:0.5", "hang:10", "random");
	size_t lines;

	(void)state;
	faults_register(&faults, &build);
	assert_false(build.failed);
	lines = count_lines(registry);
	assert_line(registry,
		    "echod_faults_injected_total{code=\"Unavailable\",kind=\"status\"} 0");
	assert_line(registry, "echod_fault_probability_ratio{code=\"Internal\",kind=\"reset\"} 0");
	set(&plan, "delay", "uniform:0s,5s");
	faults_use(&faults, &plan, 1);
	faults_injected(&faults, &(struct faults_draw){ .kind = FAULT_NONE });
	faults_injected(&faults,
			&(struct faults_draw){ .kind = FAULT_STATUS, .status = GRPC_UNAVAILABLE });
	for (int kind = FAULT_STATUS + 1; kind < FAULT_KINDS; kind++) {
		for (int i = FAULT_STATUS; i < kind; i++) {
			faults_injected(&faults,
					&(struct faults_draw){ .kind = (enum fault_kind)kind });
		}
	}
	assert_line(registry,
		    "echod_faults_injected_total{code=\"Unavailable\",kind=\"status\"} 1");
	assert_line(registry, "echod_faults_injected_total{code=\"Internal\",kind=\"reset\"} 1");
	assert_line(registry, "echod_faults_injected_total{code=\"Unavailable\",kind=\"close\"} 2");
	assert_line(registry,
		    "echod_faults_injected_total{code=\"DeadlineExceeded\",kind=\"hang\"} 3");
	assert_line(registry, "echod_faults_injected_total{code=\"Internal\",kind=\"truncate\"} 4");
	assert_line(registry, "echod_faults_injected_total{code=\"Internal\",kind=\"status\"} 0");
	assert_line(registry,
		    "echod_fault_probability_ratio{code=\"Unavailable\",kind=\"status\"} 0.02");
	assert_line(registry,
		    "echod_fault_probability_ratio{code=\"Internal\",kind=\"status\"} 0.005");
	assert_line(registry,
		    "echod_fault_probability_ratio{code=\"DeadlineExceeded\",kind=\"hang\"} 0.1");
	assert_line(registry, "echod_echo_delay_expected_seconds{statistic=\"mean\"} 2.4995");
	assert_line(registry, "echod_echo_delay_expected_seconds{statistic=\"p90\"} 4.499");
	assert_line(registry, "echod_delays_injected_total 0");
	faults_use(&faults, &(struct faults_plan){ 0 }, 1); /* what was counted stays */
	assert_line(registry,
		    "echod_faults_injected_total{code=\"Unavailable\",kind=\"status\"} 1");
	assert_line(registry,
		    "echod_fault_probability_ratio{code=\"Unavailable\",kind=\"status\"} 0");
	assert_line(registry, "echod_echo_delay_expected_seconds{statistic=\"mean\"} 0");
	assert_int_equal(count_lines(registry), lines);
	registry_free(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_is_printed_as_it_is_set),
		cmocka_unit_test(every_status_but_ok_and_every_abort_can_be_had),
		cmocka_unit_test(nonsense_is_refused_with_its_reason_and_changes_nothing),
		cmocka_unit_test(statuses_and_aborts_share_one_whole),
		cmocka_unit_test(a_fault_is_known_by_its_name),
		cmocka_unit_test(every_nth_gives_the_whole_part_of_its_share_at_any_time),
		cmocka_unit_test(every_nth_takes_those_that_are_ready_in_the_order_of_the_plan),
		cmocka_unit_test(of_several_less_is_owed_than_there_are),
		cmocka_unit_test(the_die_falls_as_the_shares_say),
		cmocka_unit_test(a_whole_share_is_every_call_and_none_is_no_call),
		cmocka_unit_test(a_seed_repeats_all_and_another_does_not),
		cmocka_unit_test(delays_and_faults_do_not_disturb_each_other),
		cmocka_unit_test(a_new_plan_begins_anew),
		cmocka_unit_test(nothing_planned_is_idle),
		cmocka_unit_test(the_ledger_counts_each_fault_and_tells_the_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
