/*
 * One thread writes, others read, with the thread sanitizer watching: it
 * reports any access that is not ordered or atomic, and fails the run. What
 * the readers see must make sense at every moment: nothing goes backwards, and
 * the sum covers whatever is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "base/util.h"
#include "metrics/counter.h"
#include "metrics/histogram.h"
#include "metrics/latencies.h"
#include "metrics/native.h"

#define OBSERVATIONS 300000
#define READERS      3

static struct {
	struct counter counter;
	struct gauge gauge;
	struct histogram histogram;
	struct native_histogram native;
	struct latencies *latencies;
	atomic_bool done;
} shared;

/* Dyadic values: their sums are exact in any order. */
static double value_at(int i)
{
	return (double)(i % 64) / 4;
}

/* Of the first `n` observations. */
static double sum_of(uint64_t n)
{
	uint64_t rounds = n / 64, rest = n % 64;

	return (double)(rounds * (63 * 64 / 2) + rest * (rest - (rest > 0)) / 2) / 4;
}

static void *write_all(void *unused)
{
	for (int i = 0; i < OBSERVATIONS; i++) {
		counter_increment(&shared.counter);
		gauge_add(&shared.gauge, i % 2 == 0 ? 1 : -1);
		histogram_observe(&shared.histogram, value_at(i));
		native_observe(&shared.native, value_at(i));
		latencies_record(shared.latencies, i);
	}
	atomic_store(&shared.done, true);
	return unused;
}

/* The same of the native one, in which zero has a bucket of its own. */
static uintptr_t read_native(struct native_snapshot *before)
{
	struct native_snapshot now;
	uintptr_t wrong = 0;
	uint64_t count;

	native_read(&shared.native, &now);
	count = now.zero;
	for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
		wrong += now.buckets[i] < before->buckets[i];
		count += now.buckets[i];
	}
	wrong += now.count != count || now.count < before->count;
	wrong += now.sum < sum_of(now.count) || now.sum < before->sum;
	*before = now;
	return wrong;
}

/* Returns the number of things that made no sense. */
static void *read_all(void *unused)
{
	struct histogram_snapshot before = { .sum = 0 }, now;
	struct native_snapshot native = { .sum = 0 };
	uint64_t count = 0;
	uintptr_t wrong = 0;
	bool done;

	(void)unused;
	do {
		uint64_t counted;
		size_t n = histogram_default_bounds.n;

		done = atomic_load(&shared.done);
		counted = counter_read(&shared.counter);
		wrong += counted < count;
		count = counted;
		wrong += (uint64_t)gauge_read(&shared.gauge) > 1;
		histogram_read(&shared.histogram, &now);
		for (size_t i = 0; i <= n; i++) {
			wrong += now.cumulative[i] < before.cumulative[i];
			wrong += i > 0 && now.cumulative[i] < now.cumulative[i - 1];
		}
		wrong += now.sum < sum_of(now.cumulative[n]) || now.sum < before.sum;
		wrong += latencies_quantile(shared.latencies, 0.99) > OBSERVATIONS;
		wrong += read_native(&native);
		before = now;
	} while (!done);
	wrong += native.count != OBSERVATIONS;
	wrong += now.cumulative[histogram_default_bounds.n] != OBSERVATIONS;
	return (void *)wrong;
}

static void readers_see_only_what_makes_sense(void **state)
{
	pthread_t writer, readers[READERS];
	struct histogram_snapshot end;

	(void)state;
	histogram_init(&shared.histogram, &histogram_default_bounds);
	native_init(&shared.native);
	shared.latencies = latencies_new();
	assert_non_null(shared.latencies);
	for (size_t i = 0; i < READERS; i++) {
		assert_int_equal(pthread_create(&readers[i], NULL, read_all, NULL), 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
	pthread_join(writer, NULL);
	for (size_t i = 0; i < READERS; i++) {
		void *wrong;

		pthread_join(readers[i], &wrong);
		assert_null(wrong);
	}
	histogram_read(&shared.histogram, &end);
	assert_true(end.sum == sum_of(OBSERVATIONS));
	latencies_free(shared.latencies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_only_what_makes_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
