/* The layout of a loop, for the files of net/ only. */
#pragma once

#include <uv.h>

#include "base/buffer.h"
#include "net/loop.h"

#define LOOP_READ_BYTES (64 * 1024)

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_idle_t spin;  /* active: the next poll does not block */
	int64_t spin_ns; /* how long before a timer's time to poll so; 0: never */
	bool spinning;   /* for the earliest of them */
	uv_poll_t
		timer_poll; /* watches timer_fd; referenced while something keeps the loop alive */
	int timer_fd;
	bool timer_fired;  /* timer_fd stays readable until it is set again */
	int64_t armed_ns;  /* what timer_fd waits for; INT64_MAX: nothing */
	uint64_t turn;     /* counts polls */
	unsigned holds;    /* listeners and transports that are open */
	int64_t ran_at_ns; /* when loop_run() began; 0: it does not run */
	int64_t ran_cpu_ns;
	uint64_t idle_ns; /* of earlier loop_run()s */
	struct timers timers;
	struct list dirty;
	struct loop_meters meters;
	struct timer lag;
	uint8_t read_buffer[LOOP_READ_BYTES]; /* one for all transports */
	struct buffer out;                    /* one for all connections that produce */
};

static inline uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

/*
 * Keeps the loop alive while something is open, though libuv would see nothing
 * active: a transport that is paused or has heard its peer's FIN, a listener
 * that is paused.
 */
void loop_hold(struct loop *loop);
void loop_unhold(struct loop *loop);
