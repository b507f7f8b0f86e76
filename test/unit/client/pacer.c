/* The open loop's clockwork, with a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "client/pacer.h"

#define ZERO (5 * NS_PER_S) /* when pacers begin */
#define MOST 4096

struct bench {
	int64_t now_ns;
	struct timers timers;
	struct random random;
	struct schedule_spec spec;
	struct pacer pacer;
	size_t places; /* that are free */
	struct pacer_call calls[MOST];
	size_t n;
	unsigned overs;
	int64_t end_ns;
	uint64_t missed[2], times_missed;
	int64_t first_missed_ns, last_missed_ns;
};

static int64_t read_clock(void *context)
{
	return *(int64_t *)context;
}

static bool on_start(void *user, const struct pacer_call *call)
{
	struct bench *bench = user;

	if (bench->places == 0) {
		return false;
	}
	bench->places--;
	assert_true(bench->n < MOST);
	bench->calls[bench->n++] = *call;
	return true;
}

static void on_over(void *user, int64_t end_ns)
{
	struct bench *bench = user;

	bench->overs++;
	bench->end_ns = end_ns;
}

static void on_missed(void *user, bool warmup, int64_t intended_ns, uint64_t n)
{
	struct bench *bench = user;

	if (bench->missed[0] + bench->missed[1] == 0) {
		bench->first_missed_ns = intended_ns;
	}
	assert_true(intended_ns >= bench->last_missed_ns);
	bench->times_missed++;
	bench->last_missed_ns = intended_ns;
	bench->missed[warmup] += n;
}

static const struct pacer_events events = { on_start, on_over, on_missed };

static void begin(struct bench *bench, const char *rate, struct pacer_options options)
{
	char why[200];

	*bench = (struct bench){ .now_ns = ZERO, .places = MOST };
	bench->spec.poisson = options.random != NULL;
	assert_int_equal(schedule_parse(rate, &bench->spec, why, sizeof(why)), 0);
	timers_init(&bench->timers, read_clock, &bench->now_ns);
	random_seed(&bench->random, 7);
	options.timers = &bench->timers;
	options.spec = &bench->spec;
	options.random = options.random ? &bench->random : NULL;
	pacer_init(&bench->pacer, &options, &events, bench);
	pacer_begin(&bench->pacer, ZERO);
}

/* The clock goes on, and timers fire at their time. */
static void pass(struct bench *bench, int64_t ns)
{
	int64_t until_ns = bench->now_ns + ns, next_ns;

	while ((next_ns = timers_next_ns(&bench->timers)) >= 0 &&
	       bench->now_ns + next_ns <= until_ns) {
		bench->now_ns += next_ns;
		timers_run(&bench->timers);
	}
	bench->now_ns = until_ns;
}

static void free_place(struct bench *bench)
{
	bench->places++;
	pacer_go_on(&bench->pacer, bench->now_ns);
}

static void calls_start_at_their_instants(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = NS_PER_S });
	pass(&bench, 10 * NS_PER_S);
	assert_int_equal(bench.n, 1000);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(bench.calls[i].intended_ns, ZERO + (int64_t)i * NS_PER_MS);
		assert_false(bench.calls[i].deferred);
		assert_false(bench.calls[i].warmup);
	}
	assert_int_equal(bench.overs, 1);
	assert_int_equal(bench.end_ns, ZERO + NS_PER_S);
}

/* A process that was late starts what was due meanwhile: late, and not deferred. */
static void lateness_moves_no_intended_start(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = NS_PER_S });
	bench.now_ns += 100 * NS_PER_MS;
	timers_run(&bench.timers);
	assert_int_equal(bench.n, 101);
	assert_int_equal(bench.calls[100].intended_ns, ZERO + 100 * NS_PER_MS);
	assert_false(bench.calls[100].deferred);
	pass(&bench, NS_PER_S);
	assert_int_equal(bench.n, 1000);
}

/* So that what came in is looked at between. */
static void a_great_many_starts_are_made_in_portions(void **state)
{
	struct bench bench;
	size_t before = 0;
	int turns = 0;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = 2 * NS_PER_S });
	bench.now_ns += 2 * NS_PER_S;
	while (bench.overs == 0) {
		timers_run(&bench.timers);
		assert_true(bench.n > before && bench.n - before <= 256);
		before = bench.n;
		turns++;
	}
	assert_int_equal(bench.n, 2000);
	assert_int_equal(turns, 8);
}

/* A timer for each of a hundred thousand a second would cost more than the calls. */
static void calls_of_a_quantum_start_together(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000",
	      (struct pacer_options){ .duration_ns = NS_PER_S, .quantum_ns = 5 * NS_PER_MS });
	pass(&bench, 5 * NS_PER_MS - 1);
	assert_int_equal(bench.n, 1);
	pass(&bench, 1);
	assert_int_equal(bench.n, 6);
	for (unsigned i = 1; i < 6; i++) {
		assert_int_equal(bench.calls[i].intended_ns, ZERO + i * NS_PER_MS);
		assert_int_equal(bench.calls[i].nth, i - 1);
	}
	pass(&bench, NS_PER_S);
	assert_int_equal(bench.n, 1000);
	/* Where no two of them would come together each is on time, however late the one before. */
	begin(&bench, "300",
	      (struct pacer_options){ .duration_ns = NS_PER_S, .quantum_ns = 5 * NS_PER_MS });
	timers_run(&bench.timers);
	for (unsigned i = 1; i < 300; i++) {
		bench.now_ns += timers_next_ns(&bench.timers);
		assert_int_equal(bench.now_ns, bench.pacer.call.intended_ns);
		bench.now_ns += NS_PER_MS;
		timers_run(&bench.timers);
		assert_int_equal(bench.n, i + 1);
	}
}

static void a_call_without_a_place_is_deferred_and_keeps_its_instant(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = NS_PER_S });
	bench.places = 2;
	pass(&bench, 10 * NS_PER_MS); /* 0 to 10 ms are due, 0 and 1 ms have a place */
	assert_int_equal(bench.n, 2);
	assert_true(pacer_waits(&bench.pacer));
	assert_int_equal(pacer_backlog(&bench.pacer, bench.now_ns + 1), 9);
	for (int i = 0; i < 9; i++) {
		free_place(&bench);
		assert_int_equal(bench.n, 3 + i);
		assert_int_equal(bench.calls[2 + i].intended_ns, ZERO + (2 + i) * NS_PER_MS);
		assert_true(bench.calls[2 + i].deferred || i == 8);
	}
	assert_false(pacer_waits(&bench.pacer));
	free_place(&bench);
	pass(&bench, NS_PER_MS);
	assert_int_equal(bench.n, 12);
	assert_int_equal(bench.calls[11].intended_ns, ZERO + 11 * NS_PER_MS);
	assert_false(bench.calls[11].deferred);
}

/* Places that become free all at once go to those that waited, in order. */
static void who_was_due_while_no_place_was_free_was_deferred(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = NS_PER_S });
	bench.places = 1;
	pass(&bench, 10 * NS_PER_MS + 1);
	bench.places = 100;
	pacer_go_on(&bench.pacer, bench.now_ns);
	pass(&bench, 10 * NS_PER_MS);
	assert_int_equal(bench.n, 21);
	for (size_t i = 0; i < bench.n; i++) {
		assert_int_equal(bench.calls[i].deferred, i >= 1 && i <= 10);
	}
}

static void a_warm_up_comes_before_and_the_schedule_begins_anew(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "0..1000/1s",
	      (struct pacer_options){ .warmup_ns = NS_PER_S / 2, .duration_ns = NS_PER_S });
	pass(&bench, 2 * NS_PER_S);
	assert_int_equal(bench.n, 125 + 500);
	for (size_t i = 0; i < bench.n; i++) {
		bool warmup = i < 125;

		assert_int_equal(bench.calls[i].warmup, warmup);
		assert_true(warmup == (bench.calls[i].intended_ns < ZERO + NS_PER_S / 2));
	}
	assert_int_equal(bench.calls[125].intended_ns, ZERO + NS_PER_S / 2);
	assert_int_equal(bench.end_ns, ZERO + NS_PER_S / 2 + NS_PER_S);
}

static void a_count_is_of_measured_calls_and_ends_when_the_next_would_be_due(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .warmup_ns = NS_PER_S / 100, .count = 20 });
	pass(&bench, NS_PER_S);
	assert_int_equal(bench.n, 10 + 20);
	assert_int_equal(bench.overs, 1);
	assert_int_equal(bench.end_ns, ZERO + 30 * NS_PER_MS);
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = 10 * NS_PER_MS, .count = 20 });
	pass(&bench, NS_PER_S);
	assert_int_equal(bench.n, 10);
	assert_int_equal(bench.end_ns, ZERO + 10 * NS_PER_MS);
}

/* A rate that goes down to 0 for good ends with its schedule, not with the sun. */
static void a_rate_that_dies_ends_the_time(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000..0/1s", (struct pacer_options){ .count = 5000 });
	pass(&bench, 5 * NS_PER_S);
	assert_int_equal(bench.n, 500);
	assert_int_equal(bench.overs, 1);
	assert_int_equal(bench.end_ns, ZERO + NS_PER_S);
}

/* A schedule may be over before the first call is drawn; that is an end like any other. */
static void what_draws_no_call_ends_all_the_same(void **state)
{
	struct random any;
	struct bench bench;

	(void)state;
	for (int warmup = 0; warmup < 2; warmup++) {
		begin(&bench, "1..0/1ms",
		      (struct pacer_options){
			      .warmup_ns = warmup * NS_PER_S, .count = 10, .random = &any });
		pass(&bench, 10 * NS_PER_S);
		assert_int_equal(bench.n, 0);
		assert_int_equal(bench.overs, 1);
		assert_int_equal(bench.end_ns, ZERO + warmup * NS_PER_S + NS_PER_MS);
	}
}

static void drawn_arrivals_repeat_with_their_seed(void **state)
{
	struct bench *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct random any;

	(void)state;
	begin(a, "1000", (struct pacer_options){ .duration_ns = NS_PER_S, .random = &any });
	begin(b, "1000", (struct pacer_options){ .duration_ns = NS_PER_S, .random = &any });
	pass(a, 2 * NS_PER_S);
	pass(b, 2 * NS_PER_S);
	assert_in_range(a->n, 800, 1200);
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->calls, b->calls, a->n * sizeof(a->calls[0]));
	free(a);
	free(b);
}

/* However it ends: what was due was started, or is told. */
static void what_is_never_started_is_told(void **state)
{
	static const char *const rates[] = { "1000", "100..2000/2s", "500,0,1500/500ms" };
	struct random any;

	(void)state;
	for (int drawn = 0; drawn < 2; drawn++) {
		for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
			struct bench free, full;
			const struct pacer_options options = {
				.warmup_ns = NS_PER_S / 4,
				.duration_ns = 3 * NS_PER_S / 2,
				.random = drawn ? &any : NULL,
			};
			uint64_t warmup = 0;

			begin(&free, rates[i], options);
			pass(&free, 10 * NS_PER_S);
			for (size_t j = 0; j < free.n; j++) {
				warmup += free.calls[j].warmup;
			}
			begin(&full, rates[i], options);
			full.places = 5;
			pass(&full, 3 * NS_PER_S);
			pacer_stop(&full.pacer, full.now_ns);
			assert_int_equal(full.n, 5);
			assert_int_equal(full.missed[1], warmup - 5);
			assert_int_equal(full.missed[0], free.n - warmup);
			assert_int_equal(full.first_missed_ns, free.calls[5].intended_ns);
			pacer_stop(&full.pacer, full.now_ns + NS_PER_S);
			assert_int_equal(full.missed[0], free.n - warmup);
			assert_int_equal(timers_next_ns(&full.timers), -1);
		}
	}
}

static void what_lies_ahead_of_an_early_end_never_was_due(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .duration_ns = 60 * NS_PER_S });
	bench.places = 5;
	pass(&bench, 2 * NS_PER_S + NS_PER_MS / 2);
	pacer_stop(&bench.pacer, bench.now_ns);
	assert_int_equal(bench.missed[0], 2001 - 5);
	free_place(&bench);
	pass(&bench, NS_PER_S);
	assert_int_equal(bench.n, 5);
	assert_int_equal(bench.overs, 0);
}

static void a_count_bounds_what_was_missed(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, "1000", (struct pacer_options){ .count = 30 });
	bench.places = 5;
	pass(&bench, 10 * NS_PER_S);
	assert_int_equal(pacer_backlog(&bench.pacer, bench.now_ns), 25);
	pacer_stop(&bench.pacer, bench.now_ns);
	assert_int_equal(bench.missed[0], 25);
}

/* A million each second, and an hour without a place: 3,600 million that nobody draws. */
static void a_great_many_drawn_arrivals_are_missed_at_once(void **state)
{
	struct random any;
	struct bench bench;

	(void)state;
	begin(&bench, "1000000",
	      (struct pacer_options){ .warmup_ns = 600 * NS_PER_S, .random = &any });
	bench.places = 0;
	pass(&bench, 4200 * NS_PER_S);
	pacer_stop(&bench.pacer, bench.now_ns);
	assert_in_range(bench.missed[1], 599990000, 600010000);
	assert_in_range(bench.missed[0], 3599990000, 3600010000);
	assert_true(bench.times_missed < 1100000);
}

static void a_count_bounds_drawn_arrivals_that_nobody_draws(void **state)
{
	struct random any;
	struct bench bench;

	(void)state;
	begin(&bench, "1000000", (struct pacer_options){ .count = 2000000, .random = &any });
	bench.places = 3;
	pass(&bench, 10 * NS_PER_S);
	pacer_stop(&bench.pacer, bench.now_ns);
	assert_int_equal(bench.n, 3);
	assert_int_equal(bench.missed[0], 2000000 - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_start_at_their_instants),
		cmocka_unit_test(lateness_moves_no_intended_start),
		cmocka_unit_test(a_great_many_starts_are_made_in_portions),
		cmocka_unit_test(calls_of_a_quantum_start_together),
		cmocka_unit_test(a_call_without_a_place_is_deferred_and_keeps_its_instant),
		cmocka_unit_test(who_was_due_while_no_place_was_free_was_deferred),
		cmocka_unit_test(a_warm_up_comes_before_and_the_schedule_begins_anew),
		cmocka_unit_test(a_count_is_of_measured_calls_and_ends_when_the_next_would_be_due),
		cmocka_unit_test(a_rate_that_dies_ends_the_time),
		cmocka_unit_test(what_draws_no_call_ends_all_the_same),
		cmocka_unit_test(drawn_arrivals_repeat_with_their_seed),
		cmocka_unit_test(what_is_never_started_is_told),
		cmocka_unit_test(what_lies_ahead_of_an_early_end_never_was_due),
		cmocka_unit_test(a_count_bounds_what_was_missed),
		cmocka_unit_test(a_great_many_drawn_arrivals_are_missed_at_once),
		cmocka_unit_test(a_count_bounds_drawn_arrivals_that_nobody_draws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
