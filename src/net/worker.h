/*
 * Jobs on another thread (base/offload.h), over libuv's pool, which is the process's
 * own. One worker for a loop.
 *
 * libuv makes its threads when the first job comes, and aborts where it gets none. So they
 * are made here, at start-up, and only where the system has just given one to us: who gets
 * no worker does the work on the loop. There is one thread unless UV_THREADPOOL_SIZE says
 * otherwise: what the loop hands over is short, and would only compete for processors.
 */
#pragma once

#include "base/offload.h"
#include "net/loop.h"

struct worker;

/* NULL: no memory, or no thread. Sets UV_THREADPOOL_SIZE where it is not: before other threads. */
struct worker *worker_new(struct loop *loop);
/* Waits for the jobs under way and tells their ends, so not from within the loop. NULL is fine. */
void worker_free(struct worker *worker);
/* Lives as long as the worker. Its jobs keep loop_run() going until their `done`. */
struct offload *worker_offload(struct worker *worker);
