/* Histograms of a report, which are only taken whole: their numbers must belong together. */
#include <inttypes.h>

#include "client/report_reader.h"

/* More buckets than any precision has. */
#define MAX_BUCKETS 65536

/* The sum lies between those of all buckets' lower and upper edges; beyond 2^64 it is not told. */
struct edges {
	uint64_t low, high;
};

static void add(uint64_t *sum, int64_t edge, uint64_t n)
{
	uint64_t product;

	if (__builtin_mul_overflow((uint64_t)edge, n, &product) ||
	    __builtin_add_overflow(*sum, product, sum)) {
		*sum = UINT64_MAX;
	}
}

static void read_bucket(struct report_reader *reader, const json_t *pair, const char *member,
			int64_t *last, struct latencies *ret)
{
	const json_t *index = json_array_get(pair, 0), *n = json_array_get(pair, 1);
	uint64_t total;

	if (json_array_size(pair) != 2 || !json_is_integer(index) || !json_is_integer(n)) {
		report_reader_fail(reader, member, "has a bucket that is not [index, count]");
	} else if (json_integer_value(index) <= *last) {
		report_reader_fail(reader, member, "has buckets that do not ascend");
	} else if (json_integer_value(n) <= 0) {
		report_reader_fail(reader, member, "has a bucket with a count below 1");
	} else if (__builtin_add_overflow(latencies_count(ret), (uint64_t)json_integer_value(n),
					  &total) ||
		   total > REPORT_MAX_COUNT) {
		report_reader_fail(reader, member, "counts more than there can be");
	} else if (json_integer_value(index) > UINT32_MAX ||
		   latencies_add(ret, (uint32_t)json_integer_value(index),
				 (uint64_t)json_integer_value(n)) < 0) {
		report_reader_fail(reader, member, "has no bucket %" PRId64,
				   (int64_t)json_integer_value(index));
	} else {
		*last = json_integer_value(index);
	}
}

static void check_extremes(struct report_reader *reader, const char *member,
			   const struct latencies *histogram, int64_t min_ns, int64_t max_ns,
			   uint64_t sum_ns)
{
	struct latencies_bucket bucket, first = { 0 };
	struct edges edges = { 0, 0 };
	uint32_t at = 0;

	while (latencies_next(histogram, at, &bucket)) {
		first = at == 0 ? bucket : first;
		at = bucket.index + 1;
		add(&edges.low, bucket.low_ns, bucket.n);
		add(&edges.high, bucket.high_ns, bucket.n);
	}
	if (at == 0) {
		if (min_ns != 0 || max_ns != 0 || sum_ns != 0) {
			report_reader_fail(reader, member, "is empty, and has extremes or a sum");
		}
	} else if (min_ns < first.low_ns || min_ns > first.high_ns || min_ns > max_ns) {
		report_reader_fail(reader, member, "has a min_ns that is not in its first bucket");
	} else if (max_ns < bucket.low_ns || max_ns > bucket.high_ns) {
		report_reader_fail(reader, member, "has a max_ns that is not in its last bucket");
	} else if (sum_ns < INT64_MAX && (sum_ns < edges.low || sum_ns > edges.high)) {
		report_reader_fail(reader, member, "has a sum_ns that its buckets cannot have");
	}
}

void report_reader_histogram(struct report_reader *reader, const json_t *in, const char *member,
			     struct latencies *ret)
{
	const json_t *histogram = report_reader_member(reader, in, member, JSON_OBJECT), *pair;
	uint64_t count = report_reader_count(reader, histogram, "count");
	int64_t min_ns = report_reader_ns(reader, histogram, "min_ns", 0);
	int64_t max_ns = report_reader_ns(reader, histogram, "max_ns", 0);
	uint64_t sum_ns = (uint64_t)report_reader_ns(reader, histogram, "sum_ns", 0);
	const json_t *buckets = report_reader_array(reader, histogram, "buckets", MAX_BUCKETS);
	int64_t last = -1;
	size_t i;

	json_array_foreach(buckets, i, pair)
	{
		if (reader->failed) {
			return;
		}
		read_bucket(reader, pair, member, &last, ret);
	}
	if (!reader->failed && count != latencies_count(ret)) {
		report_reader_fail(reader, member,
				   "says that it counts %" PRIu64
				   ", and its buckets add up to %" PRIu64,
				   count, latencies_count(ret));
	}
	if (!reader->failed) {
		check_extremes(reader, member, ret, min_ns, max_ns, sum_ns);
	}
	if (!reader->failed && count > 0) {
		latencies_restore(ret, min_ns, max_ns, sum_ns);
	}
}
