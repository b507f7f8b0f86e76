#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/timers.h"
#include "base/util.h"

static int64_t read_clock(void *context)
{
	return *(int64_t *)context;
}

/* A timer that writes down that it fired, and does what its test wants done. */
struct probe {
	struct timer timer;
	int id;
	struct bench *bench;
	void (*then)(struct probe *probe);
	int64_t model_due_ns; /* -1: not started */
	uint64_t model_order;
};

struct bench {
	struct timers timers;
	int64_t now_ns;
	int fired[4096];
	size_t n_fired;
	struct probe probes[64];
	struct random random;
	uint64_t order, run_order;
};

static void on_fire(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);
	struct bench *bench = probe->bench;

	assert_false(timer_active(timer));
	assert_true(bench->n_fired < ARRAY_SIZE(bench->fired));
	bench->fired[bench->n_fired++] = probe->id;
	if (probe->then) {
		probe->then(probe);
	}
}

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	timers_init(&bench->timers, read_clock, &bench->now_ns);
	random_seed(&bench->random, 42);
	for (size_t i = 0; i < ARRAY_SIZE(bench->probes); i++) {
		struct probe *probe = &bench->probes[i];

		timer_init(&probe->timer, on_fire);
		probe->id = (int)i;
		probe->bench = bench;
		probe->model_due_ns = -1;
	}
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void assert_fired(struct bench *bench, const int *ids, size_t n)
{
	assert_int_equal(bench->n_fired, n);
	assert_memory_equal(bench->fired, ids, n * sizeof(*ids));
	bench->n_fired = 0;
}

static void fires_in_order_of_due_then_start(void **state)
{
	struct bench *bench = *state;
	struct timers *timers = &bench->timers;

	timer_start(timers, &bench->probes[0].timer, 30);
	timer_start(timers, &bench->probes[1].timer, 10);
	timer_start(timers, &bench->probes[2].timer, 20);
	timer_start(timers, &bench->probes[3].timer, 10);
	timer_start(timers, &bench->probes[4].timer, 31);
	assert_int_equal(timers_next_ns(timers), 10);
	bench->now_ns = 9;
	assert_int_equal(timers_run(timers), 0);
	bench->now_ns = 30;
	assert_int_equal(timers_next_ns(timers), 0);
	assert_int_equal(timers_run(timers), 4);
	assert_fired(bench, (int[]){ 1, 3, 2, 0 }, 4);
	assert_int_equal(timers_next_ns(timers), 1);
	timer_stop(timers, &bench->probes[4].timer);
	assert_int_equal(timers_next_ns(timers), -1);
}

static void starting_again_moves_it(void **state)
{
	struct bench *bench = *state;
	struct timers *timers = &bench->timers;

	timer_start(timers, &bench->probes[0].timer, 10);
	timer_start(timers, &bench->probes[1].timer, 10);
	timer_start(timers, &bench->probes[0].timer, 10);
	assert_true(timer_active(&bench->probes[0].timer));
	bench->now_ns = 10;
	timers_run(timers);
	assert_fired(bench, (int[]){ 1, 0 }, 2);
}

static void stop_is_harmless_when_not_active(void **state)
{
	struct bench *bench = *state;

	timer_stop(&bench->timers, &bench->probes[0].timer);
	timer_start(&bench->timers, &bench->probes[0].timer, 1);
	timer_stop(&bench->timers, &bench->probes[0].timer);
	timer_stop(&bench->timers, &bench->probes[0].timer);
	bench->now_ns = 5;
	assert_int_equal(timers_run(&bench->timers), 0);
}

static void delays_saturate(void **state)
{
	struct bench *bench = *state;
	struct timers *timers = &bench->timers;

	bench->now_ns = 1000;
	timer_start(timers, &bench->probes[0].timer, INT64_MAX);
	assert_int_equal(timers_next_ns(timers), INT64_MAX - 1000);
	timer_start(timers, &bench->probes[1].timer, -5);
	assert_int_equal(timers_next_ns(timers), 0);
	timer_start_at(timers, &bench->probes[2].timer, INT64_MIN);
	assert_int_equal(timers_next_ns(timers), 0);
	timers_run(timers);
	assert_fired(bench, (int[]){ 2, 1 }, 2);
	bench->now_ns = -1000;
	assert_int_equal(timers_next_ns(timers), INT64_MAX);
}

static void restart_at_once(struct probe *probe)
{
	timer_start(&probe->bench->timers, &probe->timer, 0);
	assert_int_equal(timers_next_ns(&probe->bench->timers), 0);
}

static void what_is_started_by_fire_waits_for_the_next_run(void **state)
{
	struct bench *bench = *state;
	struct timers *timers = &bench->timers;

	bench->probes[0].then = restart_at_once;
	timer_start_at(timers, &bench->probes[0].timer, 1);
	timer_start_at(timers, &bench->probes[1].timer, 2);
	bench->now_ns = 2;
	assert_int_equal(timers_run(timers), 2);
	assert_fired(bench, (int[]){ 0, 1 }, 2);
	assert_int_equal(timers_run(timers), 1);
	assert_fired(bench, (int[]){ 0 }, 1);
}

static void stop_the_others(struct probe *probe)
{
	for (size_t i = 0; i < ARRAY_SIZE(probe->bench->probes); i++) {
		timer_stop(&probe->bench->timers, &probe->bench->probes[i].timer);
	}
}

static void fire_may_stop_what_is_due_with_it(void **state)
{
	struct bench *bench = *state;

	bench->probes[2].then = stop_the_others;
	for (int i = 0; i < 10; i++) {
		timer_start_at(&bench->timers, &bench->probes[i].timer, i);
	}
	bench->now_ns = 100;
	assert_int_equal(timers_run(&bench->timers), 3);
	assert_fired(bench, (int[]){ 0, 1, 2 }, 3);
	assert_int_equal(timers_next_ns(&bench->timers), -1);
}

/*
 * Starts the next one due, which still waits in this run, later; and stops it there
 * again.
 */
static void move_the_next(struct probe *probe)
{
	struct probe *next = probe + 1;

	timer_start(&probe->bench->timers, &next->timer, 5);
	timer_start(&probe->bench->timers, &(next + 1)->timer, 5);
	timer_stop(&probe->bench->timers, &(next + 1)->timer);
}

static void fire_may_move_what_is_due_with_it(void **state)
{
	struct bench *bench = *state;

	bench->probes[0].then = move_the_next;
	for (int i = 0; i < 4; i++) {
		timer_start_at(&bench->timers, &bench->probes[i].timer, i);
	}
	bench->now_ns = 10;
	assert_int_equal(timers_run(&bench->timers), 2);
	assert_fired(bench, (int[]){ 0, 3 }, 2);
	assert_int_equal(timers_next_ns(&bench->timers), 5);
	bench->now_ns = 15;
	timers_run(&bench->timers);
	assert_fired(bench, (int[]){ 1 }, 1);
}

static void free_it(struct timer *timer)
{
	free(timer);
}

static void fire_may_free_its_own(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 100; i++) {
		struct timer *timer = malloc(sizeof(*timer));

		timer_init(timer, free_it);
		timer_start(&bench->timers, timer, i % 7);
	}
	bench->now_ns = 7;
	assert_int_equal(timers_run(&bench->timers), 100);
}

static int64_t last_due_ns;

static void check_order(struct timer *timer)
{
	assert_true(timer->due_ns >= last_due_ns);
	last_due_ns = timer->due_ns;
}

/* Long lists of siblings must not become deep recursion. */
static void many_in_any_order(void **state)
{
	struct bench *bench = *state;
	const size_t n = 200000;
	struct timer *many = calloc(n, sizeof(*many));

	for (int order = 0; order < 3; order++) {
		for (size_t i = 0; i < n; i++) {
			size_t due = order == 0   ? i
				     : order == 1 ? n - i
						  : random_below(&bench->random, n);

			timer_init(&many[i], check_order);
			timer_start_at(&bench->timers, &many[i], (int64_t)due);
		}
		for (size_t i = 0; i < n; i += 2) {
			timer_stop(&bench->timers, &many[i]);
		}
		last_due_ns = 0;
		bench->now_ns = (int64_t)n;
		assert_int_equal(timers_run(&bench->timers), n / 2);
		assert_int_equal(timers_next_ns(&bench->timers), -1);
	}
	free(many);
}

/* White box: neither an hour nor an instant in between sends the others to the heap. */
static void timers_of_the_same_delay_are_a_queue(void **state)
{
	struct bench *bench = *state;
	struct timers *timers = &bench->timers;
	struct probe *hour = &bench->probes[20], *instant = &bench->probes[21];

	for (int i = 0; i < 20; i++) {
		bench->now_ns = i;
		timer_start(timers, &bench->probes[i].timer, 100);
		if (i == 5) {
			timer_start(timers, &hour->timer, 3600 * NS_PER_S);
			assert_true(hour->timer.queued);
		} else if (i == 10) {
			timer_start(timers, &instant->timer, 1);
			assert_false(instant->timer.queued);
			bench->now_ns++;
			assert_int_equal(timers_run(timers), 1);
			bench->n_fired = 0;
		}
	}
	for (int i = 0; i < 20; i++) {
		assert_true(bench->probes[i].timer.queued);
	}
	assert_false(hour->timer.queued);
	assert_ptr_equal(timers_first(timers), &bench->probes[0].timer);
	timer_stop(timers, &bench->probes[0].timer);
	timer_stop(timers, &bench->probes[10].timer);
	timer_stop(timers, &bench->probes[19].timer);
	assert_ptr_equal(timers_first(timers), &bench->probes[1].timer);
	bench->now_ns = 118;
	assert_int_equal(timers_run(timers), 17);
	assert_ptr_equal(timers_first(timers), &hour->timer);
	assert_false(timers_others(timers, &hour->timer));
	assert_true(timers_others(timers, &instant->timer));
	timer_start(timers, &instant->timer, 1);
	assert_true(timers_others(timers, &hour->timer));
	assert_true(timers_others(timers, &instant->timer));
	timer_stop(timers, &hour->timer);
	assert_true(timers_others(timers, &hour->timer));
	assert_false(timers_others(timers, &instant->timer));
}

static void start_one_that_was_due_before(struct probe *probe)
{
	timer_start_at(&probe->bench->timers, &probe->bench->probes[9].timer, 5);
}

/* The second goes from the queue to the heap meanwhile, and is due in this run all the same. */
static void what_leaves_the_queue_in_a_run_still_fires_in_it(void **state)
{
	struct bench *bench = *state;

	bench->probes[0].then = start_one_that_was_due_before;
	timer_start_at(&bench->timers, &bench->probes[0].timer, 1);
	timer_start_at(&bench->timers, &bench->probes[1].timer, 10);
	bench->now_ns = 20;
	assert_int_equal(timers_run(&bench->timers), 2);
	assert_fired(bench, (int[]){ 0, 1 }, 2);
	assert_int_equal(timers_run(&bench->timers), 1);
	assert_fired(bench, (int[]){ 9 }, 1);
}

/* --- against a model that looks at every timer each time ------------------ */

static void model_start(struct bench *bench, struct probe *probe, int64_t delay_ns)
{
	timer_start(&bench->timers, &probe->timer, delay_ns);
	probe->model_due_ns = bench->now_ns + delay_ns;
	probe->model_order = bench->order++;
}

static void model_stop(struct bench *bench, struct probe *probe)
{
	timer_stop(&bench->timers, &probe->timer);
	probe->model_due_ns = -1;
}

static void do_something(struct bench *bench)
{
	struct probe *probe =
		&bench->probes[random_below(&bench->random, ARRAY_SIZE(bench->probes))];

	if (random_below(&bench->random, 3) == 0) {
		model_stop(bench, probe);
	} else {
		bool alike = random_below(&bench->random, 2) == 0; /* the queue's case */

		model_start(bench, probe, alike ? 20 : (int64_t)random_below(&bench->random, 50));
	}
}

/* The first of those that are due and were started before that. */
static struct probe *model_first(struct bench *bench, uint64_t order)
{
	struct probe *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bench->probes); i++) {
		struct probe *probe = &bench->probes[i];

		if (probe->model_due_ns < 0 || probe->model_order >= order) {
			continue;
		}
		if (!first || probe->model_due_ns < first->model_due_ns ||
		    (probe->model_due_ns == first->model_due_ns &&
		     probe->model_order < first->model_order)) {
			first = probe;
		}
	}
	return first;
}

static void compare_with_model(struct probe *probe)
{
	struct bench *bench = probe->bench;

	assert_ptr_equal(model_first(bench, bench->run_order), probe);
	assert_true(probe->model_due_ns <= bench->now_ns);
	probe->model_due_ns = -1;
	for (uint64_t i = random_below(&bench->random, 4); i > 0; i--) {
		do_something(bench);
	}
}

static void agrees_with_the_model(void **state)
{
	struct bench *bench = *state;
	size_t total = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bench->probes); i++) {
		bench->probes[i].then = compare_with_model;
	}
	for (int round = 0; round < 20000; round++) {
		struct probe *first;

		for (uint64_t i = random_below(&bench->random, 6); i > 0; i--) {
			do_something(bench);
		}
		bench->now_ns += (int64_t)random_below(&bench->random, 10);
		bench->run_order = bench->order;
		bench->n_fired = 0;
		total += timers_run(&bench->timers);
		first = model_first(bench, bench->run_order);
		assert_true(!first || first->model_due_ns > bench->now_ns);
		first = model_first(bench, UINT64_MAX);
		assert_int_equal(timers_next_ns(&bench->timers),
				 first ? MAX(first->model_due_ns - bench->now_ns, 0) : -1);
		for (size_t i = 0; i < ARRAY_SIZE(bench->probes); i++) {
			assert_int_equal(timer_active(&bench->probes[i].timer),
					 bench->probes[i].model_due_ns >= 0);
		}
	}
	assert_true(total > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fires_in_order_of_due_then_start),
		TEST(starting_again_moves_it),
		TEST(stop_is_harmless_when_not_active),
		TEST(delays_saturate),
		TEST(what_is_started_by_fire_waits_for_the_next_run),
		TEST(fire_may_stop_what_is_due_with_it),
		TEST(fire_may_move_what_is_due_with_it),
		TEST(fire_may_free_its_own),
		TEST(many_in_any_order),
		TEST(timers_of_the_same_delay_are_a_queue),
		TEST(what_leaves_the_queue_in_a_run_still_fires_in_it),
		TEST(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
