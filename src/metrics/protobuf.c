/*
 * io.prometheus.client.MetricFamily messages, each behind its length: the format of
 * scrapers that want native histograms. Written by hand, as the messages are few and
 * this layer knows no library for them.
 *
 * The most that a family's head or a sample can take is reserved once, and then written
 * without a check for each piece. A message within another begins with a place for its
 * length, one byte of which is left free; what is longer than that can say is moved along
 * once it is complete.
 */
#include "metrics/exposition.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "metrics/protobuf_p.h"

/* The wire types (Protocol Buffers, Encoding): what follows a field's number. */
enum { VARINT, FIXED64, DELIMITED };

/* The numbers of the fields, by message. */
enum { FAMILY_NAME = 1, FAMILY_HELP, FAMILY_TYPE, FAMILY_METRIC };
enum { TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM = 4 };
enum { METRIC_LABEL = 1, METRIC_OF_GAUGE, METRIC_OF_COUNTER, METRIC_OF_HISTOGRAM = 7 };
enum { LABEL_NAME = 1, LABEL_VALUE };
enum { NUMBER_VALUE = 1 }; /* of counter and gauge */
enum {
	HISTOGRAM_COUNT = 1,
	HISTOGRAM_SUM,
	HISTOGRAM_BUCKET,
	HISTOGRAM_SCHEMA = 5,
	HISTOGRAM_ZERO_THRESHOLD,
	HISTOGRAM_ZERO_COUNT,
	HISTOGRAM_POSITIVE_SPAN = 12,
	HISTOGRAM_POSITIVE_DELTA,
	HISTOGRAM_EXEMPLAR = 16,
};
enum { BUCKET_CUMULATIVE = 1, BUCKET_UPPER_BOUND, BUCKET_EXEMPLAR };
enum { SPAN_OFFSET = 1, SPAN_LENGTH };
enum { EXEMPLAR_LABEL = 1, EXEMPLAR_VALUE, EXEMPLAR_TIMESTAMP };
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS };

/* What a varint, a field that is a number, and a message without its content take at most. */
#define VARINT_MOST  10
#define NUMBER_ROOM  (2 + VARINT_MOST)
#define MESSAGE_ROOM (2 + VARINT_MOST)
#define LABEL_ROOM   (3 * MESSAGE_ROOM) /* without the texts */
#define EXEMPLAR_ROOM                                                                  \
	(2 * MESSAGE_ROOM + 3 * NUMBER_ROOM + 2 * LABEL_ROOM + EXEMPLAR_TRACE_DIGITS + \
	 EXEMPLAR_SPAN_DIGITS + sizeof("trace_id") + sizeof("span_id"))

/* Empty buckets that are written out rather than that another span begins: as in Go's client. */
#define LARGEST_GAP 2

struct writer {
	struct buffer *out;
	size_t family;      /* where its length stands, in `out` */
	uint8_t *at, *stop; /* what was reserved, from where the next byte goes */
};

/* --- the wire -------------------------------------------------------------- */

/* Room for what is written before commit(). False: no memory. */
static bool reserve(struct writer *writer, size_t room)
{
	writer->at = buffer_reserve(writer->out, room);
	writer->stop = writer->at ? writer->at + room : NULL;
	return writer->at;
}

static void commit(struct writer *writer)
{
	assert(writer->at <= writer->stop);
	buffer_commit(writer->out,
		      (size_t)(writer->at - buffer_data(writer->out)) - buffer_len(writer->out));
}

static inline uint8_t *encode_varint(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

static inline void put_varint(struct writer *writer, uint64_t value)
{
	writer->at = encode_varint(writer->at, value);
}

static inline void put_tag(struct writer *writer, unsigned field, unsigned wire_type)
{
	put_varint(writer, field << 3 | wire_type);
}

static void put_whole(struct writer *writer, unsigned field, uint64_t value)
{
	put_tag(writer, field, VARINT);
	put_varint(writer, value);
}

/* 0, -1, 1, -2 ... as 0, 1, 2, 3 ... */
static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static void put_double(struct writer *writer, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	bits = htole64(bits);
	put_tag(writer, field, FIXED64);
	memcpy(writer->at, &bits, sizeof(bits));
	writer->at += sizeof(bits);
}

static void put_bytes(struct writer *writer, const void *bytes, size_t len)
{
	memcpy(writer->at, bytes, len);
	writer->at += len;
}

static void put_text(struct writer *writer, unsigned field, const char *text, size_t len)
{
	put_tag(writer, field, DELIMITED);
	put_varint(writer, len);
	put_bytes(writer, text, len);
}

/* From here on what is written belongs to one message: its length goes where this says. */
static uint8_t *begin(struct writer *writer, unsigned field)
{
	put_tag(writer, field, DELIMITED);
	return writer->at++;
}

static void end(struct writer *writer, uint8_t *length)
{
	size_t len = (size_t)(writer->at - length) - 1;
	uint8_t bytes[VARINT_MOST];
	size_t n;

	if (len < 0x80) {
		*length = (uint8_t)len;
		return;
	}
	n = (size_t)(encode_varint(bytes, len) - bytes);
	memmove(length + n, length + 1, len);
	writer->at += n - 1;
	memcpy(length, bytes, n);
}

/* --- the messages ---------------------------------------------------------- */

static void put_label(struct writer *writer, unsigned field, const char *name, const char *value)
{
	uint8_t *at = begin(writer, field);

	put_text(writer, LABEL_NAME, name, strlen(name));
	put_text(writer, LABEL_VALUE, value, strlen(value));
	end(writer, at);
}

size_t protobuf_labels_room(const struct family_view *family, const char *const *values)
{
	size_t room = 0;

	for (size_t i = 0; i < family->n_labels; i++) {
		room += LABEL_ROOM + strlen(family->label_names[i]) + strlen(values[i]);
	}
	return room;
}

uint8_t *protobuf_put_labels(uint8_t *at, const struct family_view *family,
			     const char *const *values)
{
	struct writer writer = { .at = at };

	for (size_t i = 0; i < family->n_labels; i++) {
		put_label(&writer, METRIC_LABEL, family->label_names[i], values[i]);
	}
	return writer.at;
}

static void put_exemplar(struct writer *writer, unsigned field, const struct exemplar *exemplar)
{
	uint8_t *at = begin(writer, field), *time;
	uint64_t seconds = (uint64_t)exemplar->timestamp;

	put_label(writer, EXEMPLAR_LABEL, "trace_id", exemplar->trace_id);
	put_label(writer, EXEMPLAR_LABEL, "span_id", exemplar->span_id);
	put_double(writer, EXEMPLAR_VALUE, exemplar->value);
	time = begin(writer, EXEMPLAR_TIMESTAMP);
	put_whole(writer, TIMESTAMP_SECONDS, seconds);
	put_whole(writer, TIMESTAMP_NANOS,
		  (uint64_t)((exemplar->timestamp - (double)seconds) * NS_PER_S));
	end(writer, time);
	end(writer, at);
}

static void put_bucket(struct writer *writer, const struct histogram_snapshot *histogram, size_t i,
		       double bound, const struct exemplar *exemplar)
{
	uint8_t *at = begin(writer, HISTOGRAM_BUCKET);

	put_whole(writer, BUCKET_CUMULATIVE, histogram->cumulative[i]);
	put_double(writer, BUCKET_UPPER_BOUND, bound);
	if (exemplar) {
		put_exemplar(writer, BUCKET_EXEMPLAR, exemplar);
	}
	end(writer, at);
}

/* NULL: the bucket has none. */
static const struct exemplar *exemplar_of(const struct histogram_snapshot *histogram, size_t i)
{
	const struct exemplar *exemplars = histogram->exemplars;

	return exemplars && exemplars[i].trace_id[0] != '\0' ? &exemplars[i] : NULL;
}

/* The bucket of +Inf is the count, and is written where it has an exemplar to show. */
static void put_histogram(struct writer *writer, const struct histogram_bounds *bounds,
			  const struct histogram_snapshot *histogram)
{
	uint8_t *at = begin(writer, METRIC_OF_HISTOGRAM);

	put_whole(writer, HISTOGRAM_COUNT, histogram->cumulative[bounds->n]);
	put_double(writer, HISTOGRAM_SUM, histogram->sum);
	for (size_t i = 0; i < bounds->n; i++) {
		put_bucket(writer, histogram, i, bounds->values[i], exemplar_of(histogram, i));
	}
	if (exemplar_of(histogram, bounds->n)) {
		put_bucket(writer, histogram, bounds->n, INFINITY,
			   exemplar_of(histogram, bounds->n));
	}
	end(writer, at);
}

/* The first bucket from `i` on that is not empty; NATIVE_BUCKETS: none is. */
static size_t next_filled(const struct native_snapshot *native, size_t i)
{
	while (i < NATIVE_BUCKETS && native->buckets[i] == 0) {
		i++;
	}
	return i;
}

/* Where the span that begins at `i`, with a filled bucket, ends. */
static size_t span_end(const struct native_snapshot *native, size_t i)
{
	size_t stop, next = i;

	do {
		stop = next + 1;
		next = next_filled(native, stop);
	} while (next < NATIVE_BUCKETS && next - stop <= LARGEST_GAP);
	return stop;
}

/*
 * Spans of buckets: the first begins at its index, each other so many buckets after the
 * end of the one before it.
 */
static void put_spans(struct writer *writer, const struct native_snapshot *native)
{
	int64_t before = -NATIVE_FIRST_INDEX;

	for (size_t i = next_filled(native, 0), stop; i < NATIVE_BUCKETS;
	     i = next_filled(native, stop)) {
		uint8_t *at = begin(writer, HISTOGRAM_POSITIVE_SPAN);

		stop = span_end(native, i);
		put_whole(writer, SPAN_OFFSET, zigzag((int64_t)i - before));
		put_whole(writer, SPAN_LENGTH, stop - i);
		end(writer, at);
		before = (int64_t)stop;
	}
}

/* Of the buckets of all spans, each as its difference to the one before it. */
static void put_deltas(struct writer *writer, const struct native_snapshot *native)
{
	uint8_t *at = begin(writer, HISTOGRAM_POSITIVE_DELTA);
	size_t stop;
	uint64_t before = 0;

	for (size_t i = next_filled(native, 0); i < NATIVE_BUCKETS; i = next_filled(native, i)) {
		for (stop = span_end(native, i); i < stop; i++) {
			put_varint(writer, zigzag((int64_t)(native->buckets[i] - before)));
			before = native->buckets[i];
		}
	}
	end(writer, at);
}

/* The zero threshold says that this is a native histogram, also of one without buckets. */
static void put_native(struct writer *writer, const struct native_snapshot *native)
{
	uint8_t *at = begin(writer, METRIC_OF_HISTOGRAM);

	put_whole(writer, HISTOGRAM_COUNT, native->count);
	put_double(writer, HISTOGRAM_SUM, native->sum);
	put_whole(writer, HISTOGRAM_SCHEMA, zigzag(NATIVE_SCHEMA));
	put_double(writer, HISTOGRAM_ZERO_THRESHOLD, NATIVE_ZERO_THRESHOLD);
	put_whole(writer, HISTOGRAM_ZERO_COUNT, native->zero);
	put_spans(writer, native);
	if (native->count > native->zero) {
		put_deltas(writer, native);
	}
	if (native->exemplar->trace_id[0] != '\0') {
		put_exemplar(writer, HISTOGRAM_EXEMPLAR, native->exemplar);
	}
	end(writer, at);
}

static void put_number(struct writer *writer, const struct family_view *family,
		       const struct sample_view *sample)
{
	bool gauge = family->type == METRIC_GAUGE;
	uint8_t *at = begin(writer, gauge ? METRIC_OF_GAUGE : METRIC_OF_COUNTER);

	put_double(writer, NUMBER_VALUE,
		   sample->is_double ? sample->real
		   : gauge           ? (double)(int64_t)sample->whole
				     : (double)sample->whole);
	end(writer, at);
}

/* --- the walk -------------------------------------------------------------- */

static int protobuf_family(void *user, const struct family_view *family)
{
	static const uint8_t types[] = {
		[METRIC_COUNTER] = TYPE_COUNTER,
		[METRIC_GAUGE] = TYPE_GAUGE,
		[METRIC_HISTOGRAM] = TYPE_HISTOGRAM,
		[METRIC_NATIVE] = TYPE_HISTOGRAM,
	};
	struct writer *writer = user;

	writer->family = buffer_len(writer->out);
	if (!reserve(writer,
		     1 + 2 * MESSAGE_ROOM + family->name_len + family->help_len + NUMBER_ROOM)) {
		return -ENOMEM;
	}
	writer->at++; /* its length, for now */
	put_text(writer, FAMILY_NAME, family->name, family->name_len);
	put_text(writer, FAMILY_HELP, family->help, family->help_len);
	put_whole(writer, FAMILY_TYPE, types[family->type]);
	commit(writer);
	return 0;
}

/* The most that a sample can take. */
static size_t sample_room(const struct family_view *family, const struct sample_view *sample)
{
	size_t room = 2 * MESSAGE_ROOM + sample->label_pairs.len;

	switch (family->type) {
	case METRIC_HISTOGRAM:
		return room + 2 * NUMBER_ROOM +
		       (family->bounds->n + 1) *
			       (MESSAGE_ROOM + 2 * NUMBER_ROOM +
				(sample->histogram->exemplars ? EXEMPLAR_ROOM : 0));
	case METRIC_NATIVE: /* spans are at least one bucket, and more than the gap apart */
		return room + 5 * NUMBER_ROOM + MESSAGE_ROOM + EXEMPLAR_ROOM +
		       NATIVE_BUCKETS * VARINT_MOST +
		       (NATIVE_BUCKETS / (LARGEST_GAP + 2) + 1) * (MESSAGE_ROOM + 2 * NUMBER_ROOM);
	default:
		return room + NUMBER_ROOM;
	}
}

static int protobuf_sample(void *user, const struct family_view *family,
			   const struct sample_view *sample)
{
	struct writer *writer = user;
	uint8_t *at;

	if (!reserve(writer, sample_room(family, sample))) {
		return -ENOMEM;
	}
	at = begin(writer, FAMILY_METRIC);
	put_bytes(writer, sample->label_pairs.data, sample->label_pairs.len);
	switch (family->type) {
	case METRIC_COUNTER:
	case METRIC_GAUGE:
		put_number(writer, family, sample);
		break;
	case METRIC_HISTOGRAM:
		put_histogram(writer, family->bounds, sample->histogram);
		break;
	case METRIC_NATIVE:
		put_native(writer, sample->native);
		break;
	}
	end(writer, at);
	commit(writer);
	return 0;
}

static int protobuf_family_end(void *user, const struct family_view *family)
{
	struct writer *writer = user;

	(void)family;
	if (!reserve(writer, VARINT_MOST)) {
		return -ENOMEM;
	}
	end(writer, buffer_data(writer->out) + writer->family);
	commit(writer);
	return 0;
}

static int protobuf_encode(struct registry *registry, const struct registry_filter *filter,
			   struct buffer *out)
{
	static const struct registry_visitor visitor = {
		.family = protobuf_family,
		.sample = protobuf_sample,
		.family_end = protobuf_family_end,
		.takes_native = true,
	};
	struct writer writer = { .out = out };

	return registry_walk(registry, filter, &visitor, &writer);
}

const struct exposition exposition_protobuf = {
	.content_type = EXPOSITION_PROTOBUF_TYPE,
	.encode = protobuf_encode,
};
