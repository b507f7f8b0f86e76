/* The layout of a loop, for the files of net/ only. */
#pragma once

#include <uv.h>

#include "base/buffer.h"
#include "net/loop.h"

#define LOOP_READ_BYTES (64 * 1024)

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_check_t check;
	int64_t slept_at_ns;
	uint64_t idle_ns; /* waited in polls */
	uv_idle_t spin;   /* active: the next poll does not block */
	uv_poll_t timer_poll;
	int timer_fd;
	int64_t armed_ns; /* what the timerfd waits for; INT64_MAX: nothing */
	struct timers timers;
	struct list dirty;
	struct loop_meters meters;
	struct timer lag;
	int64_t lag_due_ns;
	uint8_t read_buffer[LOOP_READ_BYTES]; /* one for all transports */
	struct buffer out;                    /* one for all connections that produce */
};

static inline uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}
