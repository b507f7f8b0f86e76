/*
 * Mutates inputs of the session targets as what they are: two bytes of choices,
 * perhaps the preface, and frames, whose lengths stay true. Most of what a
 * blind change would break is broken on purpose elsewhere: a field of a frame's
 * header takes any value now and then, and one mutation in eight is libFuzzer's own.
 */
#include <stdbool.h>
#include <string.h>

#include "base/random.h"
#include "host.h"

#define CHOICE_BYTES 2
#define MAX_FRAMES   512
#define MAX_BYTES    (64 * 1024)

struct frame {
	size_t at, len; /* with its header */
};

struct script {
	uint8_t bytes[MAX_BYTES];
	size_t len;
	struct frame frames[MAX_FRAMES];
	size_t n;
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* Fields that a request or a response may have, or might not; "" ends a name's list. */
static const struct {
	const char *name, *values[8];
} fields[] = {
	{ ":method", { "POST", "GET", "HEAD", "CONNECT" } },
	{ ":scheme", { "http", "https", "ftp" } },
	{ ":path",
	  { "/f.F/U", "/f.F/C", "/f.F/S", "/f.F/B", "/muzz.Service/Echo", "/x", "/f.F/", "" } },
	{ ":authority", { "a", "", "a:1" } },
	{ ":status", { "200", "100", "103", "404", "503", "000", "20" } },
	{ ":protocol", { "websocket" } },
	{ "te", { "trailers", "gzip" } },
	{ "content-type",
	  { "application/grpc", "application/grpc+proto", "application/grpc+x", "text/html", "" } },
	{ "grpc-timeout", { "1S", "0n", "1n", "50m", "99999999H", "x" } },
	{ "grpc-encoding", { "gzip", "identity", "x" } },
	{ "grpc-accept-encoding", { "gzip", "identity,gzip", "x", "" } },
	{ "grpc-status", { "0", "1", "13", "16", "17", "-1", "00", "" } },
	{ "grpc-message", { "no", "%E2%98%BA", "%", "" } },
	{ "grpc-status-details-bin", { "CAUSAm5v", "CAU", "CA", "=", "" } },
	{ "grpc-retry-pushback-ms", { "1", "-1", "x" } },
	{ "do-bin", { "EQ", "ERIE", "DA", "HCE=", "EQ,EQ", "dxgQ" } },
	{ "x-bin", { "AAEC", "AA==,AQ", "A", "" } },
	{ "x-a", { "1", " 1 ", "\xff", "" } },
	{ "X-Upper", { "1" } },
	{ "content-length", { "0", "5", "99", "x" } },
	{ "connection", { "close" } },
	{ "host", { "a" } },
	{ "user-agent", { "grpc-c/1" } },
};

static void parse(struct script *script, const uint8_t *data, size_t size)
{
	size_t at = CHOICE_BYTES;

	script->len = MIN(size, sizeof(script->bytes));
	script->n = 0;
	memcpy(script->bytes, data, script->len);
	if (script->len >= at + PREFACE_BYTES && memcmp(script->bytes + at, "PRI * ", 6) == 0) {
		at += PREFACE_BYTES;
	}
	while (script->len >= at + FRAME_HEADER_BYTES && script->n < MAX_FRAMES) {
		const uint8_t *head = script->bytes + at;
		size_t len = FRAME_HEADER_BYTES +
			     ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);

		len = MIN(len, script->len - at);
		script->frames[script->n++] = (struct frame){ at, len };
		at += len;
	}
}

static void set_length(uint8_t *head, size_t length)
{
	head[0] = (uint8_t)(length >> 16);
	head[1] = (uint8_t)(length >> 8);
	head[2] = (uint8_t)length;
}

static void set_id(uint8_t *head, uint32_t id)
{
	head[5] = (uint8_t)(id >> 24);
	head[6] = (uint8_t)(id >> 16);
	head[7] = (uint8_t)(id >> 8);
	head[8] = (uint8_t)id;
}

/* `len` bytes at `at` become `new_len` bytes; false where there is no room. */
static bool replace(struct script *script, size_t at, size_t len, const uint8_t *with,
		    size_t new_len)
{
	if (script->len - len + new_len > sizeof(script->bytes)) {
		return false;
	}
	memmove(script->bytes + at + new_len, script->bytes + at + len, script->len - at - len);
	if (new_len > 0) {
		memcpy(script->bytes + at, with, new_len);
	}
	script->len = script->len - len + new_len;
	return true;
}

static const struct frame *any_frame(const struct script *script, struct random *random)
{
	return &script->frames[random_below(random, script->n)];
}

/* Where a frame may be put in: before one, or at the end. */
static size_t any_place(const struct script *script, struct random *random)
{
	size_t i = random_below(random, script->n + 1);

	return i < script->n ? script->frames[i].at : script->len;
}

static uint32_t any_id(struct random *random)
{
	uint64_t die = random_below(random, 16);

	return die == 0   ? 0
	       : die == 1 ? (uint32_t)random_next(random)
			  : 2 * (uint32_t)random_below(random, 6) + (die > 2);
}

/* A literal field without indexing, new name (RFC 7541 6.2.2), no Huffman. */
static size_t put_field(uint8_t *out, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value), at = 0;

	out[at++] = 0;
	out[at++] = (uint8_t)n;
	memcpy(out + at, name, n);
	at += n;
	out[at++] = (uint8_t)v;
	memcpy(out + at, value, v);
	return at + v;
}

static size_t put_any_field(uint8_t *out, size_t i, struct random *random)
{
	size_t n = 1;

	while (n < ARRAY_SIZE(fields[i].values) && fields[i].values[n]) {
		n++;
	}
	/* mostly the first */
	n = random_below(random, 2) ? 0 : random_below(random, n);
	return put_field(out, fields[i].name, fields[i].values[n]);
}

/* A request, a response, or trailers, with something amiss now and then. */
static size_t put_headers(uint8_t *out, struct random *random)
{
	static const uint8_t request[] = { 0, 1, 2, 3, 6, 7 };
	uint64_t kind = random_below(random, 4);
	size_t at = 0;

	if (kind < 2) {
		for (size_t i = 0; i < sizeof(request); i++) {
			if (random_below(random, 32) > 0) {
				at += put_any_field(out + at, request[i], random);
			}
		}
	} else if (kind == 2) {
		at += put_any_field(out + at, 4, random);
		at += put_any_field(out + at, 7, random);
	} else {
		at += put_any_field(out + at, 11, random);
	}
	while (random_below(random, 2)) {
		at += put_any_field(out + at, random_below(random, ARRAY_SIZE(fields)), random);
	}
	return at;
}

/* Messages that are scripts (see script.h). */
static size_t put_messages(uint8_t *out, struct random *random)
{
	size_t at = 0;

	do {
		size_t n = random_below(random, 6);

		memset(out + at, 0, 5);
		out[at] = random_below(random, 16) == 0;
		out[at + 4] = (uint8_t)(n + (random_below(random, 16) == 0));
		at += 5;
		while (n-- > 0) {
			out[at++] = (uint8_t)random_next(random);
		}
	} while (random_below(random, 2) && at < 200);
	return at;
}

static size_t put_number(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++) {
		out[i] = (uint8_t)(value >> (24 - 8 * i));
	}
	return 4;
}

static size_t put_settings(uint8_t *out, struct random *random)
{
	static const uint32_t values[] = { 0, 1, 2, 100, 4096, 16384, 65535, 16777215, 0x7fffffff };
	size_t at = 0;

	while (random_below(random, 3)) {
		out[at++] = 0;
		out[at++] = (uint8_t)random_below(random, 9);
		at += put_number(out + at, values[random_below(random, ARRAY_SIZE(values))]);
		if (at > 60) {
			break;
		}
	}
	return at;
}

static uint32_t any_argument(struct random *random, uint8_t what)
{
	static const uint32_t times[] = {
		1, 50, 1000, 5000, 10000, 20000, 60000, 3600000, 7200000
	};

	switch (what) {
	case ASIDE_ADVANCE:
		return times[random_below(random, ARRAY_SIZE(times))];
	case ASIDE_ROOM:
		return random_below(random, 3) ? 0x7fffffff : (uint32_t)random_below(random, 2000);
	case ASIDE_CALL:
		return (uint32_t)random_below(random, 65536);
	case ASIDE_PIECE:
		return (uint32_t)random_below(random, 40);
	case ASIDE_ACT:
		return (uint32_t)random_below(random, 8);
	case ASIDE_NO_MEMORY:
		return (uint32_t)random_below(random, 60) + (random_below(random, 4) == 0) * 0xff00;
	default:
		return random_below(random, 4) == 0;
	}
}

static size_t put_aside(uint8_t *head, struct random *random)
{
	uint8_t what = (uint8_t)random_below(random, ASIDE_COUNT);
	size_t n = 0;

	head[3] = ASIDE;
	head[4] = what;
	set_id(head, any_argument(random, what));
	if (what == ASIDE_ACT || what == ASIDE_CALL) {
		n = random_below(random, 5);
		for (size_t i = 0; i < n; i++) {
			head[FRAME_HEADER_BYTES + i] = (uint8_t)random_next(random);
		}
	}
	return n;
}

/* A frame of any kind that makes some sense. Returns its whole length. */
static size_t put_frame(uint8_t *head, struct random *random)
{
	uint8_t *payload = head + FRAME_HEADER_BYTES, type = (uint8_t)random_below(random, 16);
	uint8_t flags = (uint8_t)(random_below(random, 2) * 1 + 4); /* END_STREAM, END_HEADERS */
	uint32_t id = 2 * (uint32_t)random_below(random, 6) + 1;
	size_t n = 0;

	memset(head, 0, FRAME_HEADER_BYTES);
	switch (type) {
	case 0:
	case 10:
		type = 0;
		flags &= 1;
		n = put_messages(payload, random);
		break;
	case 1:
	case 9:
	case 11:
		type = 1;
		n = put_headers(payload, random);
		break;
	case 2:
		memset(payload, 0, 5);
		n = 5;
		break;
	case 3:
		n = put_number(payload, (uint32_t)random_below(random, 15));
		break;
	case 4:
		flags = random_below(random, 3) == 0;
		id = 0;
		n = flags ? 0 : put_settings(payload, random);
		break;
	case 6:
		flags = random_below(random, 3) == 0;
		id = 0;
		memcpy(payload, "draining", 8);
		n = 8;
		break;
	case 7:
		id = 0;
		n = put_number(payload, random_below(random, 2) ? 0x7fffffff : any_id(random));
		n += put_number(payload + n, (uint32_t)random_below(random, 15));
		memcpy(payload + n, "too_many_pings", 14);
		n += random_below(random, 2) * 14;
		break;
	case 8:
		id = random_below(random, 2) ? 0 : id;
		n = put_number(payload, random_below(random, 2) ? 65535 : 1);
		break;
	default:
		n = put_aside(head, random);
		set_length(head, n);
		return FRAME_HEADER_BYTES + n;
	}
	head[3] = type;
	head[4] = flags;
	set_id(head, id);
	set_length(head, n);
	return FRAME_HEADER_BYTES + n;
}

static void insert_frame(struct script *script, struct random *random)
{
	uint8_t frame[4096];
	size_t n = put_frame(frame, random);

	replace(script, any_place(script, random), 0, frame, n);
}

static void copy_frame(struct script *script, struct random *random)
{
	struct frame from = *any_frame(script, random);
	uint8_t copy[MAX_BYTES];

	memcpy(copy, script->bytes + from.at, from.len);
	replace(script, any_place(script, random), 0, copy, from.len);
}

static void change_head(struct script *script, struct random *random)
{
	uint8_t *head = script->bytes + any_frame(script, random)->at;

	switch (random_below(random, 6)) {
	case 0:
		head[3] = (uint8_t)random_below(random, 12);
		break;
	case 1:
		head[4] ^= (uint8_t)(1 << random_below(random, 8));
		break;
	case 2:
		head[2] ^= (uint8_t)random_next(random);
		break;
	default:
		set_id(head, any_id(random));
	}
}

/* The payload as libFuzzer likes it, or in two frames (a block goes on in CONTINUATION). */
static void change_payload(struct script *script, struct random *random)
{
	struct frame frame = *any_frame(script, random);
	uint8_t payload[MAX_BYTES], *head = script->bytes + frame.at;
	size_t n = frame.len - MIN(frame.len, (size_t)FRAME_HEADER_BYTES), cut;

	if (frame.len < FRAME_HEADER_BYTES) {
		return;
	}
	memcpy(payload, head + FRAME_HEADER_BYTES, n);
	if (n > 1 && head[3] <= 1 && random_below(random, 4) == 0) {
		uint8_t second[FRAME_HEADER_BYTES];

		cut = 1 + random_below(random, n - 1);
		memcpy(second, head, sizeof(second));
		set_length(second, n - cut);
		if (head[3] == 1) {
			second[3] = 9;
			second[4] &= 4;
			head[4] &= (uint8_t)~4;
		} else {
			head[4] &= (uint8_t)~1;
		}
		if (replace(script, frame.at + FRAME_HEADER_BYTES + cut, 0, second,
			    sizeof(second))) {
			set_length(head, cut);
		}
		return;
	}
	cut = LLVMFuzzerMutate(payload, n, MIN(n + 64, sizeof(payload)));
	if (replace(script, frame.at + FRAME_HEADER_BYTES, n, payload, cut)) {
		set_length(head, cut);
	}
}

static void mutate_once(struct script *script, struct random *random)
{
	uint64_t die = random_below(random, 16);

	if (script->n == 0 || die < 6) {
		insert_frame(script, random);
	} else if (die < 10) {
		change_payload(script, random);
	} else if (die < 12) {
		change_head(script, random);
	} else if (die < 13) {
		copy_frame(script, random);
	} else if (die < 15) {
		const struct frame *frame = any_frame(script, random);

		replace(script, frame->at, frame->len, NULL, 0);
	} else {
		script->bytes[random_below(random, CHOICE_BYTES)] ^=
			(uint8_t)(1 << random_below(random, 8));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static struct script script;
	struct random random;

	random_seed(&random, seed);
	if (random_below(&random, 8) == 0) {
		return LLVMFuzzerMutate(data, size, max_size);
	}
	if (size < CHOICE_BYTES) {
		memset(script.bytes, 0, CHOICE_BYTES);
		memcpy(script.bytes + CHOICE_BYTES, preface, PREFACE_BYTES);
		size = CHOICE_BYTES + PREFACE_BYTES;
		script.len = size;
		script.n = 0;
	} else {
		parse(&script, data, size);
	}
	for (uint64_t n = 1 + random_below(&random, 4); n > 0; n--) {
		uint8_t copy[MAX_BYTES];

		mutate_once(&script, &random);
		memcpy(copy, script.bytes, script.len);
		parse(&script, copy, script.len);
	}
	size = MIN(script.len, max_size);
	memcpy(data, script.bytes, size);
	return size;
}

/* The beginning of one and the end of the other, at bounds of frames. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_size, const uint8_t *second,
				 size_t second_size, uint8_t *out, size_t max_size, unsigned seed)
{
	static struct script a, b;
	struct random random;
	size_t end, begin, n;

	random_seed(&random, seed);
	if (first_size < CHOICE_BYTES || second_size < CHOICE_BYTES) {
		return 0;
	}
	parse(&a, first, first_size);
	parse(&b, second, second_size);
	end = any_place(&a, &random);
	begin = any_place(&b, &random);
	n = MIN(b.len - begin, max_size - MIN(end, max_size));
	if (end > max_size) {
		return 0;
	}
	memcpy(out, a.bytes, end);
	memcpy(out + end, b.bytes + begin, n);
	return end + n;
}
