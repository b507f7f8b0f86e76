/*
 * The client's own metrics. What a run counts anyway, in its recorder, is read when a
 * scrape comes by, so that metrics and report cannot differ and a call costs nothing for
 * them. Only the classic histograms are filled call by call, and only where somebody may
 * come to read them.
 *
 * Calls are those that are measured: while a warm-up lasts its calls have a count of
 * their own and all others stand at zero. Connections, attempts and bytes are of the
 * process, warm-up included.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/recorder.h"
#include "grpc/call.h"
#include "grpc/channel.h"
#include "metrics/registry.h"

/* Two recorders, or one count of each of them, shown as one: either may be NULL. */
struct instruments_sum {
	const uint64_t *one, *other;
};

/* Of every call that ends; the registry owns what they point to. */
struct instruments_histograms {
	struct histogram *calls;    /* grpc_call_latency_seconds */
	struct histogram *handling; /* grpc_client_handling_seconds: the same */
	struct histogram *latency_ok, *latency_failed;
	struct histogram *service_ok, *service_failed;
	struct histogram *lag; /* NULL: closed loop */
};

/* One set for a process. */
struct instruments {
	struct registry *registry;
	struct grpc_channel_meters channel; /* in every channel's options */
	bool observing;                     /* histograms are wanted */
	struct instruments_histograms histograms;
	const struct recorder *results, *warmup; /* of the run that is shown; NULL: none */
	struct instruments_sum handled[GRPC_STATUS_COUNT];
	struct instruments_sum goaways[HTTP2_ERROR_COUNT + 1];
	struct instruments_sum opened, renewed, replies;
};

/* What there is of a run to show. Everything is borrowed until nobody can scrape any more. */
struct instruments_run {
	const char *service, *method; /* names, as labels */
	const struct recorder *results;
	const struct recorder *warmup; /* NULL: none */
	/* On connections; may be NULL. */
	const struct counter *received_bytes, *sent_bytes;
	/*
	 * Calls per second that are due by the schedule at this moment; false: none any
	 * more. NULL: a closed loop.
	 */
	bool (*offered_rate)(void *user, double *ret_rate);
	void *user;
};

/* 0 or -ENOMEM; instruments_deinit() is due after either. */
int instruments_init(struct instruments *instruments);
void instruments_deinit(struct instruments *instruments);
/*
 * The families of calls, and with `observe` the histograms, from now on: before the first
 * call, once, and only where there is somebody to show them to. 0 or -ENOMEM.
 */
int instruments_show(struct instruments *instruments, const struct instruments_run *run);

void instruments_observe(const struct instruments *instruments, const struct recorder_call *call);
/* Once for each call that `recorder` was told of by recorder_ended(). */
static inline void instruments_call_ended(const struct instruments *instruments,
					  const struct recorder *recorder,
					  const struct recorder_call *call)
{
	if (instruments->observing && recorder == instruments->results) {
		instruments_observe(instruments, call);
	}
}
