/*
 * A call without a server: the functions of grpc/call.h that services use, and
 * what they were told. Include this in one file of a program.
 *
 *	call_begin(&call, &service, "Check", context);
 *	call_receive(&call, &request.base);
 *	assert_int_equal(call.n_sent, 1);
 *	call_end(&call);			the upcall `closed`
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "grpc/call.h"
#include "grpc/message.h"

#define CALL_MAX_SENT 64

struct grpc_call {
	const struct grpc_method *method;
	void *context;
	struct timers timers;
	int64_t now_ns, deadline_ns, ended_ns; /* it began at 0; ended_ns 0: now */
	struct arena arena;
	struct metadata metadata;

	/* what the service did */
	size_t n_sent;
	void *sent[CALL_MAX_SENT]; /* unpacked as the method's response */
	bool sent_compressed[CALL_MAX_SENT];
	char headers[256], trailers[256]; /* "name: value\n" */
	bool compress;
	bool held;
	unsigned n_next;
	bool finished;
	enum grpc_status status;
	char text[256];
	bool broken, cancelled;
	enum grpc_break how;

	/* what it is answered */
	int send_result;
	int add_result; /* of a header or trailer */
	bool was_compressed;

	uint8_t state[256] __attribute__((aligned(16)));
};

static int64_t call_clock(void *context)
{
	return ((struct grpc_call *)context)->now_ns;
}

static void call_begin(struct grpc_call *call, const struct grpc_service *service,
		       const char *method, void *context)
{
	*call = (struct grpc_call){
		.context = context,
		.status = GRPC_STATUS_COUNT,
		.deadline_ns = INT64_MAX,
	};
	for (size_t i = 0; i < service->n_methods; i++) {
		if (strcmp(service->methods[i].name, method) == 0) {
			call->method = &service->methods[i];
		}
	}
	assert_non_null(call->method);
	assert_true(call->method->state_size <= sizeof(call->state));
	timers_init(&call->timers, call_clock, call);
	arena_init(&call->arena, NULL, 0, 64 * MIB);
}

/* Headers are in; what of them is to be metadata was added to call->metadata before. */
static inline void call_open(struct grpc_call *call)
{
	if (call->method->events->opened) {
		call->method->events->opened(call);
	}
}

/* By way of the wire, into memory that lives as long as the call. False: it was not valid. */
static inline bool call_receive(struct grpc_call *call, const ProtobufCMessage *request)
{
	size_t size = protobuf_c_message_get_packed_size(request);
	uint8_t *wire = arena_alloc(&call->arena, size);
	void *message;

	assert_false(call->finished);
	assert_false(call->held);
	assert_non_null(wire);
	protobuf_c_message_pack(request, wire);
	assert_int_equal(grpc_message_unpack(call->method->request, (struct bytes){ wire, size },
					     &call->arena, &message),
			 0);
	if (call->method->valid && !call->method->valid(message)) {
		return false;
	}
	call->method->events->message(call, message);
	return true;
}

static inline void call_half_close(struct grpc_call *call)
{
	assert_false(call->finished);
	assert_false(call->held);
	call->method->events->half_closed(call);
}

/* The peer has read what waited. */
static inline void call_drained(struct grpc_call *call)
{
	call->send_result = 0;
	call->method->events->writable(call);
}

static inline void call_pass(struct grpc_call *call, int64_t ns)
{
	call->now_ns += ns;
	timers_run(&call->timers);
}

static inline void call_end(struct grpc_call *call)
{
	const struct grpc_outcome outcome = { .status = GRPC_CANCELLED };

	if (call->method->events->closed) {
		call->method->events->closed(call, &outcome);
	}
	assert_int_equal(timers_next_ns(&call->timers), -1); /* no timer outlives its call */
	for (size_t i = 0; i < call->n_sent; i++) {
		protobuf_c_message_free_unpacked(call->sent[i], NULL);
	}
	arena_reset(&call->arena);
}

/* -- What the service calls -- */

int grpc_call_send(struct grpc_call *call, const void *message)
{
	size_t size = grpc_message_packed_size(message);
	uint8_t *wire;

	if (call->finished) {
		return -ECANCELED;
	}
	if (call->send_result < 0) {
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
		return call->send_result;
	}
	assert_true(call->n_sent < CALL_MAX_SENT);
	wire = malloc(size + 1);
	assert_non_null(wire);
	protobuf_c_message_pack(message, wire);
	call->sent_compressed[call->n_sent] = call->compress;
	call->sent[call->n_sent] =
		protobuf_c_message_unpack(call->method->response, NULL, size, wire);
	assert_non_null(call->sent[call->n_sent++]);
	free(wire);
	return call->send_result;
}

void grpc_call_finish_details(struct grpc_call *call, enum grpc_status status, struct str message,
			      struct bytes details)
{
	assert_int_equal(details.len, 0);
	if (!call->finished) {
		call->finished = true;
		call->status = status;
		assert_true(message.len < sizeof(call->text));
		memcpy(call->text, message.data ? message.data : "", message.len);
	}
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
	grpc_call_finish_details(call, status, str_from(message), (struct bytes){ 0 });
}

void grpc_call_cancel(struct grpc_call *call, enum grpc_status status)
{
	if (!call->finished) {
		call->finished = call->cancelled = true;
		call->status = status;
	}
}

void grpc_call_break(struct grpc_call *call, enum grpc_break how, const void *message)
{
	assert_non_null(message);
	if (!call->finished) {
		call->finished = call->broken = true;
		call->how = how;
	}
}

void grpc_call_compress(struct grpc_call *call, bool on)
{
	call->compress = on;
}

bool grpc_call_was_compressed(const struct grpc_call *call)
{
	return call->was_compressed;
}

void grpc_call_hold(struct grpc_call *call)
{
	call->held = true;
}

void grpc_call_next(struct grpc_call *call)
{
	assert_true(call->held);
	call->held = false;
	call->n_next++;
}

bool grpc_call_keeps(struct grpc_call *call, size_t bytes)
{
	(void)bytes;
	return !call->finished;
}

static void note(char text[256], struct str name, struct str value)
{
	size_t used = strlen(text);

	snprintf(text + used, 256 - used, "%" STR_FMT ": %" STR_FMT "\n", STR_ARG(name),
		 STR_ARG(value));
}

int grpc_call_add_header(struct grpc_call *call, struct str name, struct str value)
{
	if (call->add_result == 0) {
		note(call->n_sent == 0 ? call->headers : call->trailers, name, value);
	}
	return call->add_result;
}

int grpc_call_add_trailer(struct grpc_call *call, struct str name, struct str value)
{
	if (call->add_result == 0) {
		note(call->trailers, name, value);
	}
	return call->add_result;
}

const struct metadata *grpc_call_metadata(const struct grpc_call *call)
{
	return &call->metadata;
}

void *grpc_call_state(struct grpc_call *call)
{
	return call->state;
}

void *grpc_call_context(struct grpc_call *call)
{
	return call->context;
}

struct timers *grpc_call_timers(struct grpc_call *call)
{
	return &call->timers;
}

int64_t grpc_call_started_ns(const struct grpc_call *call)
{
	(void)call;
	return 0;
}

int64_t grpc_call_deadline_ns(const struct grpc_call *call)
{
	return call->deadline_ns;
}

int64_t grpc_call_ended_ns(const struct grpc_call *call)
{
	return call->ended_ns ? call->ended_ns : call->now_ns;
}
