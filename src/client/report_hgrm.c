/*
 * HdrHistogram's percentile distribution, in ms: of the calls that were OK, from their
 * intended start. The levels are its own: five to each halving of what is left.
 */
#include <inttypes.h>
#include <math.h>

#include "client/figures.h"
#include "client/report.h"
#include "client/text.h"

#define TICKS_PER_HALF 5
#define MS(ns)         ((double)(ns) / NS_PER_MS)

/* A number at the right end of so many columns. */
static int append_right(struct buffer *out, int columns, double number, unsigned digits)
{
	struct buffer text = BUFFER_INIT;
	struct bytes bytes;
	int err = text_fixed(&text, number, digits);

	bytes = buffer_bytes(&text);
	TEXT_PRINT(err, out, "%*.*s", columns, (int)bytes.len, (const char *)bytes.data);
	buffer_free(&text);
	return err;
}

static int append_row(struct buffer *out, int64_t value_ns, double level, uint64_t total)
{
	int err = append_right(out, 12, MS(value_ns), 6);

	TEXT_PRINT(err, out, " ");
	TEXT_CHAIN(err, append_right(out, 14, level, 12));
	TEXT_PRINT(err, out, " %10" PRIu64, total);
	if (level < 1) {
		TEXT_PRINT(err, out, " ");
		TEXT_CHAIN(err, append_right(out, 14, 1 / (1 - level), 2));
	}
	TEXT_PRINT(err, out, "\n");
	return err;
}

/* The step gets half as long each time that what is left of 1 has halved. */
static double next_level(double level)
{
	double halvings = floor(log2(1 / (1 - level))) + 1;

	return level + 1 / (TICKS_PER_HALF * exp2(halvings));
}

static int append_rows(struct buffer *out, const struct latencies *latencies)
{
	uint64_t count = latencies_count(latencies), total = 0;
	struct latencies_bucket bucket;
	double level = 0;
	int err = 0;

	for (uint32_t i = 0; err == 0 && latencies_next(latencies, i, &bucket);
	     i = bucket.index + 1) {
		total += bucket.n;
		while (err == 0 && (double)total >= level * (double)count) {
			err = append_row(out, figures_high(latencies, &bucket), level, total);
			level = next_level(level);
			if (total == count) {
				break;
			}
		}
	}
	TEXT_CHAIN(err, append_row(out, latencies_max(latencies), 1, count));
	return err;
}

/* As it speaks of its own memory: powers of two, and the steps that each is cut into. */
static int append_memory(struct buffer *out, const struct latencies *latencies)
{
	unsigned steps = 2u << latencies_bits(latencies), powers = 1;

	while (((int64_t)steps << (powers - 1)) <= LATENCIES_LONGEST) {
		powers++;
	}
	return buffer_printf(out, "#[Buckets = %12u, SubBuckets     = %12u]\n", powers, steps);
}

int report_hgrm(struct buffer *out, const struct run *run)
{
	const struct latencies *latencies = run->results.latency_ok;
	int err = 0;

	TEXT_PRINT(err, out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		   "1/(1-Percentile)");
	TEXT_CHAIN(err, append_rows(out, latencies));
	TEXT_PRINT(err, out, "#[Mean    = ");
	TEXT_CHAIN(err, append_right(out, 12, MS(latencies_mean(latencies)), 6));
	TEXT_PRINT(err, out, ", StdDeviation   = ");
	TEXT_CHAIN(err, append_right(out, 12, MS(latencies_deviation(latencies)), 6));
	TEXT_PRINT(err, out, "]\n#[Max     = ");
	TEXT_CHAIN(err, append_right(out, 12, MS(latencies_max(latencies)), 6));
	TEXT_PRINT(err, out, ", Total count    = %12" PRIu64 "]\n", latencies_count(latencies));
	TEXT_CHAIN(err, append_memory(out, latencies));
	return err;
}
