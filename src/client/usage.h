/* What a run costs and what its channels count: readings, and what lies between two. */
#pragma once

#include <stdint.h>

#include "client/run.h"

struct client;

struct usage {
	int64_t cpu_user_ns, cpu_system_ns; /* of this process */
	uint64_t bytes_in, bytes_out;       /* on the run's connections */
	uint64_t attempts, retries, stream_waits, lost;
};

void usage_read(struct usage *usage, const struct client *client);
/* What came between the two is the run's. */
void usage_charge_run(struct run *run, const struct usage *from, const struct usage *to);
/* Of it, what is a recorder's: calls and connections. */
void usage_charge(struct recorder *recorder, const struct usage *from, const struct usage *to);
