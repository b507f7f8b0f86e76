#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/random.h"
#include "metrics/exposition.h"

#define NAMES(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define VALUES(...) ((const char *const[]){ __VA_ARGS__ })

static int set_up(void **state)
{
	*state = registry_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	registry_free(*state);
	return 0;
}

/* A literal, without its closing NUL. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static void assert_bytes(struct registry *registry, const char *expected, size_t n)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(exposition_protobuf.encode(registry, NULL, &out), 0);
	assert_int_equal(buffer_len(&out), n);
	assert_memory_equal(buffer_data(&out), expected, n);
	buffer_free(&out);
}

static void a_counter_with_a_label(void **state)
{
	struct family *family = registry_family(*state, METRIC_COUNTER, "c_total", "C", NAMES("x"));

	counter_add(family_counter(family, VALUES("y")), 3);
	assert_bytes(*state, BYTES("\x23" /* 35 bytes */
				   "\x0a\x07"
				   "c_total" /* name */
				   "\x12\x01"
				   "C"                          /* help */
				   "\x18\x00"                   /* COUNTER */
				   "\x22\x13"                   /* metric */
				   "\x0a\x06\x0a\x01x\x12\x01y" /* label */
				   "\x1a\x09\x09\x00\x00\x00\x00\x00\x00\x08\x40"));
}

static void a_gauge_below_zero(void **state)
{
	gauge_set(registry_gauge(*state, "g", "G"), -2);
	assert_bytes(*state, BYTES("\x15\x0a\x01g\x12\x01G\x18\x01\x22\x0b"
				   "\x12\x09\x09\x00\x00\x00\x00\x00\x00\x00\xc0"));
}

static void a_classic_histogram_has_its_bounds_and_leaves_infinity_out(void **state)
{
	static const struct histogram_bounds bounds = { 1, { 2 }, { "2" } };
	struct histogram *histogram =
		family_histogram(registry_histogram_family(*state, "h", "H", NULL, &bounds), NULL);

	histogram_observe(histogram, 2);
	histogram_observe(histogram, 2.5);
	assert_bytes(*state, BYTES("\x24\x0a\x01h\x12\x01H\x18\x04\x22\x1a\x3a\x18"
				   "\x08\x02"
				   "\x11\x00\x00\x00\x00\x00\x00\x12\x40" /* 4.5 */
				   "\x1a\x0b\x08\x01"
				   "\x11\x00\x00\x00\x00\x00\x00\x00\x40"));
}

#define NATIVE_HEAD    "\x0a\x01n\x12\x01N\x18\x04\x22"
#define SCHEMA_4       "\x28\x08"
#define ZERO_THRESHOLD "\x31\x00\x00\x00\x00\x00\x00\xf0\x37"

static void a_native_histogram_without_observations_is_known_as_one(void **state)
{
	family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	assert_bytes(*state,
		     BYTES("\x24" NATIVE_HEAD "\x1a\x3a\x18"
			   "\x08\x00\x11\x00\x00\x00\x00\x00\x00\x00\x00" SCHEMA_4 ZERO_THRESHOLD
			   "\x38\x00"));
}

/*
 * Of 50, 52 and 60 us, 1 s and 4.9 s the indices are -228, -227, -224, 0 and 37: two
 * empty buckets are written as such, more are a gap between spans.
 */
static void buckets_are_spans_and_differences(void **state)
{
	static const double values[] = { 50e-6, 52e-6, 60e-6, 1, 4.9 };
	char expected[] = "\x41" NATIVE_HEAD "\x37\x3a\x35"
			  "\x08\x05\x11........" SCHEMA_4 ZERO_THRESHOLD "\x38\x00"
			  "\x62\x05\x08\xc7\x03\x10\x05"          /* -228 on, 5 */
			  "\x62\x05\x08\xbe\x03\x10\x01"          /* 223 after those, 1 */
			  "\x62\x04\x08\x48\x10\x01"              /* 36 after that, 1 */
			  "\x6a\x07\x02\x00\x01\x00\x02\x00\x00"; /* 1 +0 -1 +0 +1 +0 +0 */
	struct native_histogram *native =
		family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	double sum = 0;
	uint64_t bits;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_true(native_observe(native, values[i]));
		sum += values[i];
	}
	memcpy(&bits, &sum, sizeof(bits));
	for (size_t i = 0; i < sizeof(bits); i++) {
		strchr(expected + 10, '.')[0] = (char)(bits >> 8 * i);
	}
	assert_bytes(*state, expected, sizeof(expected) - 1);
}

static void zero_and_an_exemplar_have_their_places(void **state)
{
	struct exemplar exemplar = {
		.trace_id = "t", .span_id = "s", .value = 0, .timestamp = 5.5
	};
	struct native_histogram *native =
		family_native(registry_native_family(*state, "n", "N", NULL), NULL);

	native_observe(native, 0);
	native_exemplify(native, &exemplar);
	assert_bytes(*state,
		     BYTES("\x57" NATIVE_HEAD "\x4d\x3a\x4b"
			   "\x08\x01\x11\x00\x00\x00\x00\x00\x00\x00\x00" SCHEMA_4 ZERO_THRESHOLD
			   "\x38\x01"
			   "\x82\x01\x30"
			   "\x0a\x0d\x0a\x08trace_id\x12\x01t"
			   "\x0a\x0c\x0a\x07span_id\x12\x01s"
			   "\x11\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x1a\x08\x08\x05\x10\x80\xca\xb5\xee\x01"));
}

/* Lengths of one, two and three bytes. */
static void long_messages_have_long_lengths(void **state)
{
	static const size_t lengths[] = { 100, 300, 20000 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct registry *registry = registry_new();
		struct buffer out = BUFFER_INIT;
		char *help = calloc(1, lengths[i] + 1);
		size_t at = 0, len = 0, shift = 0;

		assert_non_null(registry);
		assert_non_null(help);
		memset(help, 'x', lengths[i]);
		registry_counter(registry, "c_total", help);
		assert_int_equal(exposition_protobuf.encode(registry, NULL, &out), 0);
		do {
			len |= (size_t)(buffer_data(&out)[at] & 0x7f) << shift;
			shift += 7;
		} while (buffer_data(&out)[at++] & 0x80);
		assert_int_equal(at, i + 1);
		assert_int_equal(at + len, buffer_len(&out));
		buffer_free(&out);
		registry_free(registry);
		free(help);
	}
	(void)state;
}

/* --- what is written, read back ------------------------------------------- */

struct wire {
	const uint8_t *at, *stop;
};

struct field {
	unsigned number;
	uint64_t whole;
	struct wire inner;
};

static uint64_t read_varint(struct wire *wire)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(wire->at < wire->stop && shift < 70);
		value |= (uint64_t)(*wire->at & 0x7f) << shift;
		if (!(*wire->at++ & 0x80)) {
			return value;
		}
	}
}

static struct wire read_bytes(struct wire *wire, size_t n)
{
	struct wire inner = { wire->at, wire->at + n };

	assert_true(n <= (size_t)(wire->stop - wire->at));
	wire->at += n;
	return inner;
}

/* False: there is no other. */
static bool read_field(struct wire *wire, struct field *ret)
{
	uint64_t key;

	if (wire->at == wire->stop) {
		return false;
	}
	key = read_varint(wire);
	ret->number = (unsigned)(key >> 3);
	switch (key & 7) {
	case 0:
		ret->whole = read_varint(wire);
		break;
	case 1:
		ret->inner = read_bytes(wire, 8);
		memcpy(&ret->whole, ret->inner.at, 8); /* of the tests' machines, little-endian */
		break;
	default:
		assert_int_equal(key & 7, 2);
		ret->inner = read_bytes(wire, read_varint(wire));
		break;
	}
	return true;
}

static struct wire find_field(struct wire wire, unsigned number)
{
	struct field field;

	do {
		assert_true(read_field(&wire, &field));
	} while (field.number != number);
	return field.inner;
}

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

/* What a scraper makes of the spans and differences: each bucket at its index. */
struct decoded {
	uint64_t count, zero;
	int64_t next; /* bucket, where the last span ends */
	int64_t places[NATIVE_BUCKETS];
	size_t n_places, n_deltas, n_spans;
	uint64_t before, buckets[NATIVE_BUCKETS];
};

static void decode_span(struct wire wire, struct decoded *decoded)
{
	struct field offset, length;
	int64_t gap;

	assert_true(read_field(&wire, &offset) && read_field(&wire, &length));
	assert_int_equal(offset.number, 1);
	assert_int_equal(length.number, 2);
	gap = unzigzag(offset.whole);
	if (decoded->n_spans++ == 0) {
		gap -= NATIVE_FIRST_INDEX;
	} else {
		assert_true(gap > 2);
	}
	decoded->next += gap;
	for (uint64_t i = 0; i < length.whole; i++) {
		assert_true(decoded->next >= 0 && decoded->next < NATIVE_BUCKETS);
		decoded->places[decoded->n_places++] = decoded->next++;
	}
}

static void decode_deltas(struct wire wire, struct decoded *decoded)
{
	while (wire.at < wire.stop) {
		assert_true(decoded->n_deltas < decoded->n_places);
		decoded->before += (uint64_t)unzigzag(read_varint(&wire));
		decoded->buckets[decoded->places[decoded->n_deltas++]] = decoded->before;
	}
}

static void decode_native(struct wire wire, struct decoded *decoded)
{
	struct field field;

	memset(decoded, 0, sizeof(*decoded));
	wire = find_field(find_field(read_bytes(&wire, read_varint(&wire)), 4), 7);
	while (read_field(&wire, &field)) {
		switch (field.number) {
		case 1:
			decoded->count = field.whole;
			break;
		case 5:
			assert_int_equal(unzigzag(field.whole), NATIVE_SCHEMA);
			break;
		case 7:
			decoded->zero = field.whole;
			break;
		case 12:
			decode_span(field.inner, decoded);
			break;
		case 13:
			decode_deltas(field.inner, decoded);
			break;
		default:
			assert_true(field.number == 2 || field.number == 6 || field.number == 16);
		}
	}
	assert_int_equal(decoded->n_places, decoded->n_deltas);
}

static void assert_comes_back(struct registry *registry, const struct native_histogram *native)
{
	static struct native_snapshot snapshot;
	static struct decoded decoded;
	struct buffer out = BUFFER_INIT;

	assert_int_equal(exposition_protobuf.encode(registry, NULL, &out), 0);
	decode_native((struct wire){ buffer_data(&out), buffer_data(&out) + buffer_len(&out) },
		      &decoded);
	native_read(native, &snapshot);
	assert_int_equal(decoded.count, snapshot.count);
	assert_int_equal(decoded.zero, snapshot.zero);
	assert_memory_equal(decoded.buckets, snapshot.buckets, sizeof(snapshot.buckets));
	buffer_free(&out);
}

/* Some buckets in a thousand, from none to all, of counts from small to such as take most room. */
static void any_buckets_come_back(void **state)
{
	struct native_histogram *native =
		family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	struct random random;

	random_seed(&random, 11);
	for (uint64_t round = 0; round <= 200; round++) {
		uint64_t share = round * round / 40, shift = random_below(&random, 64);

		for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
			bool filled = random_below(&random, 1000) < share;

			atomic_store(&native->buckets[i],
				     filled ? random_next(&random) >> shift : 0);
		}
		assert_comes_back(*state, native);
	}
}

/* As many spans as there can be, and differences as long as they can be. */
static void what_takes_most_room_has_it(void **state)
{
	struct native_histogram *native =
		family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	struct exemplar exemplar = { .value = 1, .timestamp = 4e9 };

	memset(exemplar.trace_id, 'a', EXEMPLAR_TRACE_DIGITS);
	memset(exemplar.span_id, 'b', EXEMPLAR_SPAN_DIGITS);
	native_exemplify(native, &exemplar);
	for (size_t apart = 4; apart >= 1; apart--) {
		for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
			atomic_store(&native->buckets[i], i % apart != 0         ? 0
							  : i % (2 * apart) == 0 ? UINT64_C(1) << 63
										 : 1);
		}
		assert_comes_back(*state, native);
	}
}

static void without_memory_it_fails(void **state)
{
	struct buffer out = BUFFER_INIT;
	long failures = 0;
	int err;

	family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	family_histogram(
		registry_histogram_family(*state, "h", "H", NULL, &histogram_default_bounds), NULL);
	for (;; failures++) {
		failing_at = failures;
		err = exposition_protobuf.encode(*state, NULL, &out);
		if (err == 0) {
			break;
		}
		assert_int_equal(err, -ENOMEM);
		buffer_free(&out);
	}
	failing_at = -1;
	assert_true(failures >= 2);
	buffer_free(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_counter_with_a_label),
		TEST(a_gauge_below_zero),
		TEST(a_classic_histogram_has_its_bounds_and_leaves_infinity_out),
		TEST(a_native_histogram_without_observations_is_known_as_one),
		TEST(buckets_are_spans_and_differences),
		TEST(zero_and_an_exemplar_have_their_places),
		TEST(long_messages_have_long_lengths),
		TEST(any_buckets_come_back),
		TEST(what_takes_most_room_has_it),
		TEST(without_memory_it_fails),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
