/*
 * One pass over the input, a switch for each frame. Torn frame headers are
 * gathered in `head`; payloads are skipped.
 */
#include "http2/ledger.h"

#include <string.h>

#include "base/util.h"

enum type {
	DATA = 0x0,
	HEADERS = 0x1,
	PRIORITY = 0x2,
	RST_STREAM = 0x3,
	SETTINGS = 0x4,
	PUSH_PROMISE = 0x5,
	PING = 0x6,
	GOAWAY = 0x7,
	WINDOW_UPDATE = 0x8,
	CONTINUATION = 0x9,
};

enum flag { ACK = 0x1, END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };

/* A client raises the connection's window as it begins, and perhaps once more. */
#define FIRST_CREDIT 2

struct head {
	uint32_t length, id;
	uint8_t type, flags;
};

void http2_ledger_init(struct http2_ledger *ledger, bool server)
{
	*ledger = (struct http2_ledger){ .server = server, .credit = FIRST_CREDIT };
}

/* Written so that compilers make one load of it. */
static uint32_t big_endian(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static struct head parse(const uint8_t *bytes)
{
	return (struct head){
		.length = big_endian(bytes) >> 8,
		.type = bytes[3],
		.flags = bytes[4],
		.id = big_endian(bytes + 5) & INT32_MAX,
	};
}

static uint64_t *word_of(uint64_t *words, uint32_t id)
{
	return &words[id / 128 % (HTTP2_LEDGER_IDS / 64)];
}

static uint64_t bit_of(uint32_t id)
{
	return UINT64_C(1) << (id / 2 % 64);
}

/* The bits of `id` are its own, and not those of a later stream. */
static bool remembered(const struct http2_ledger *ledger, uint32_t id)
{
	return id % 2 == 1 && id <= ledger->highest && ledger->highest - id < 2 * HTTP2_LEDGER_IDS;
}

static void end(struct http2_ledger *ledger, uint32_t id)
{
	if (remembered(ledger, id)) {
		*word_of(ledger->ended, id) |= bit_of(id);
	}
}

static bool has_ended(struct http2_ledger *ledger, uint32_t id)
{
	return remembered(ledger, id) && (*word_of(ledger->ended, id) & bit_of(id));
}

/* `id` is above the highest so far: it becomes it, and those between were never opened. */
static void advance(struct http2_ledger *ledger, uint32_t id)
{
	uint32_t first = ledger->highest + (ledger->highest ? 2 : 1);

	if (id - ledger->highest >= 2 * HTTP2_LEDGER_IDS) {
		memset(ledger->opened, 0, sizeof(ledger->opened));
		memset(ledger->ended, 0, sizeof(ledger->ended));
		first = id;
	}
	for (; first <= id; first += 2) {
		*word_of(ledger->opened, first) &= ~bit_of(first);
		*word_of(ledger->ended, first) &= ~bit_of(first);
	}
	*word_of(ledger->opened, id) |= bit_of(id);
	ledger->highest = id;
}

static enum http2_ledger_stop read_headers(struct http2_ledger *ledger, const struct head *head)
{
	uint32_t id = head->id;

	ledger->in_block = !(head->flags & END_HEADERS);
	ledger->continuations = 0;
	if (id % 2 == 0) {
		return HTTP2_LEDGER_NO_STOP; /* nghttp2 says what is wrong with it */
	}
	if (id > ledger->highest) {
		advance(ledger, id);
		ledger->opens++;
		http2_ledger_allow(ledger, 1); /* some give each stream a window of its own */
	} else if (has_ended(ledger, id)) {
		return HTTP2_LEDGER_STREAM_CLOSED;
	} else if (ledger->server && remembered(ledger, id) &&
		   !(*word_of(ledger->opened, id) & bit_of(id))) {
		return HTTP2_LEDGER_NEVER_OPENED;
	}
	if (head->flags & END_STREAM) {
		end(ledger, id);
	}
	return HTTP2_LEDGER_NO_STOP;
}

/* `rest`: what there is behind the frame's header, `n` bytes. */
static enum http2_ledger_stop read_data(struct http2_ledger *ledger, const struct head *head,
					const uint8_t *rest, size_t n)
{
	uint64_t *ended = remembered(ledger, head->id) ? word_of(ledger->ended, head->id) : NULL;
	uint64_t bit = bit_of(head->id);

	if (ended && *ended & bit) {
		return HTTP2_LEDGER_STREAM_CLOSED;
	}
	if (head->flags & END_STREAM) {
		if (ended) {
			*ended |= bit;
		}
	} else if (head->length == 0 ||
		   (head->flags & PADDED && n > 0 && rest[0] + 1u == head->length)) {
		ledger->useless++;
	} else if (ledger->server && head->length < HTTP2_SMALL_DATA_BYTES) {
		ledger->unheard++;
	}
	return HTTP2_LEDGER_NO_STOP;
}

void http2_ledger_settle(struct http2_ledger *ledger)
{
	uint32_t open = ledger->unheard > 0 && ledger->type == DATA && ledger->left > 0;
	uint32_t gone = ledger->unheard - open, late = MIN(gone, ledger->late);

	ledger->unheard = open;
	ledger->late -= late;
	ledger->useless += gone - late;
}

static enum http2_ledger_stop read_frame(struct http2_ledger *ledger, const struct head *head,
					 const uint8_t *rest, size_t n)
{
	switch (head->type) {
	case DATA:
		return read_data(ledger, head, rest, n);
	case HEADERS:
		return read_headers(ledger, head);
	case CONTINUATION:
		ledger->in_block = !(head->flags & END_HEADERS);
		if (ledger->continuations++ == HTTP2_MAX_CONTINUATIONS) {
			return HTTP2_LEDGER_CONTINUATIONS;
		}
		break;
	case RST_STREAM:
		end(ledger, head->id);
		break;
	case WINDOW_UPDATE:
		if (ledger->credit > 0) {
			ledger->credit--;
		} else {
			ledger->useless++;
		}
		break;
	case SETTINGS:
		ledger->useless += !(head->flags & ACK);
		break;
	case PING: /* those of a client are policed by themselves */
		ledger->useless += (head->flags & ACK) || !ledger->server;
		break;
	case PUSH_PROMISE: /* nghttp2 ends the connection */
		break;
	case PRIORITY:
	case GOAWAY:
	default:
		ledger->useless++;
		break;
	}
	return HTTP2_LEDGER_NO_STOP;
}

/* A frame's header, whole: from the input, or with what came before. NULL: it is torn. */
static const uint8_t *take_head(struct http2_ledger *ledger, const uint8_t *bytes, size_t n,
				size_t *ret_taken)
{
	size_t part = HTTP2_FRAME_HEADER_BYTES - ledger->have;

	if (ledger->have == 0 && !ledger->in_block) {
		ledger->units++;
	}
	if (ledger->have == 0 && n >= HTTP2_FRAME_HEADER_BYTES) {
		*ret_taken = HTTP2_FRAME_HEADER_BYTES;
		return bytes;
	}
	part = MIN(part, n);
	memcpy(ledger->head + ledger->have, bytes, part);
	ledger->have = (uint8_t)(ledger->have + part);
	*ret_taken = part;
	if (ledger->have < HTTP2_FRAME_HEADER_BYTES) {
		return NULL;
	}
	ledger->have = 0;
	return ledger->head;
}

/* Of the current frame's payload, as much as there is. */
static size_t skip_payload(struct http2_ledger *ledger, size_t n)
{
	size_t part = MIN(ledger->left, n);

	ledger->left -= (uint32_t)part;
	return part;
}

size_t http2_ledger_read(struct http2_ledger *ledger, const uint8_t *bytes, size_t n,
			 uint32_t max_opens, enum http2_ledger_stop *ret_stop)
{
	size_t at = skip_payload(ledger, n);

	*ret_stop = HTTP2_LEDGER_NO_STOP;
	while (at < n) {
		bool torn = ledger->have > 0;
		size_t taken;
		const uint8_t *found = take_head(ledger, bytes + at, n - at, &taken);
		struct head head;

		if (!found) {
			return n;
		}
		head = parse(found);
		/* What has been handed on in part must be handed on whole. */
		if (head.type == HEADERS && ledger->opens >= max_opens && !torn &&
		    head.id > ledger->highest && !ledger->in_block) {
			ledger->units--;
			*ret_stop = HTTP2_LEDGER_ENOUGH;
			return at;
		}
		ledger->type = head.type;
		*ret_stop = read_frame(ledger, &head, bytes + at + taken, n - at - taken);
		if (*ret_stop != HTTP2_LEDGER_NO_STOP) {
			return at;
		}
		at += taken;
		ledger->left = head.length;
		at += skip_payload(ledger, n - at);
	}
	return n;
}
