/*
 * Counters and gauges: lock-free, one writer (the loop's thread), readers
 * anywhere. A write is a relaxed load and a relaxed store: no lock prefix, and
 * no torn value, since aligned 8-byte atomics never tear.
 *
 * A hot path holds a pointer that it got at registration, and adds.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");

/* Monotone. Wraps after 2^64, which no process sees. */
struct counter {
	_Atomic uint64_t value;
};

/* Goes both ways; never negative unless its owner says so. */
struct gauge {
	_Atomic int64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
	atomic_store_explicit(&counter->value,
			      atomic_load_explicit(&counter->value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counter_increment(struct counter *counter)
{
	counter_add(counter, 1);
}

static inline uint64_t counter_read(const struct counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void gauge_add(struct gauge *gauge, int64_t n)
{
	atomic_store_explicit(&gauge->value,
			      atomic_load_explicit(&gauge->value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void gauge_set(struct gauge *gauge, int64_t value)
{
	atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

static inline int64_t gauge_read(const struct gauge *gauge)
{
	return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

/* For a meter that its owner may not have been given: NULL counts nothing. */
static inline void meter_count(struct counter *counter)
{
	if (counter) {
		counter_increment(counter);
	}
}
