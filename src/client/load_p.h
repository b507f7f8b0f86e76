/* The layout of a run, for load.c and load_phases.c only. */
#pragma once

#include "client/client.h"
#include "client/flight.h"
#include "client/lane.h"
#include "client/load_report.h"
#include "client/pacer.h"
#include "client/progress.h"
#include "client/reconcile.h"
#include "client/usage.h"

enum load_phase { PREPARING, WARMING_UP, MEASURING, WAITING, CLOSING, CLOSED };

struct load {
	struct client *client;
	const struct plan *plan;
	struct timers *timers;
	bool open_loop;
	enum load_phase phase;
	struct lanes lanes;
	struct flight flight;
	struct flight_part warmup, measured;
	struct list free;   /* open loop: slots without a call */
	size_t lane;        /* open loop: whose turn it is */
	struct pacer pacer; /* open loop */
	struct random random;
	struct timer turn; /* to the next phase */

	struct run run;
	struct recorder warmup_results;
	uint64_t due_ahead; /* counted as due for the live view alone */
	struct usage first, at_zero;
	int64_t phase_ns;     /* when the phase began */
	int64_t end_ns;       /* until when calls are due, as planned; INT64_MAX: not known yet */
	int64_t due_until_ns; /* until when they were */
	int64_t lost_ns;      /* since when no server is found; 0: there is one */
	struct progress progress;
	struct progress_options progress_options;
	struct reconcile *reconcile; /* NULL: not asked for */
	bool reconciled;
	bool refused; /* it could not begin; its line is out */
	struct loop_task finish;
	struct loop_signal *signals[2];
	struct load_ending ending;
	char lost_text[64];
};

/* load.c: ns since 1970. */
int64_t load_wall_clock(void);

/* load_phases.c */
extern const struct lane_events load_lane_events;
extern const struct pacer_events load_pacer_events;
/* Of a part of it that has no memory yet: timers and tasks. */
void load_phases_init(struct load *load);
/* From PREPARING on. */
void load_begin(struct load *load);
/* The run could not begin. */
void load_refuse(struct load *load, const char *why);
/* A slot's call has ended. */
void load_freed(void *user, struct slot *slot, int64_t now_ns);
void load_signalled(void *user, int number);
/* From here on a signal ends the process. Idempotent. */
void load_release_signals(struct load *load);
