/*
 * Work that takes longer than the loop may be kept from its calls: done on another
 * thread, and its end told on the loop's. Whoever has threads implements this and gives
 * it to those who have work (net/worker.h); without one they work where they are.
 *
 * The job is its owner's, embedded in what the work needs. From a submit that succeeded
 * until `done` the other thread has it: what it points to must neither be read, nor
 * changed, nor freed meanwhile. `work` may touch that alone, must not log, and cannot be
 * called off: whoever does not want its result any more waits for `done`.
 */
#pragma once

#include <stdbool.h>

struct offload_job {
	void (*work)(struct offload_job *job); /* on another thread */
	void (*done)(struct offload_job *job); /* on the loop, later, never from inside submit() */
};

struct offload {
	/* 0: `done` follows. Negative: it does not, and nothing was done. */
	int (*submit)(struct offload *offload, struct offload_job *job);
};
