/*
 * The process_* families that dashboards know, read from /proc and getrusage
 * at each walk. What cannot be read is left out.
 */
#pragma once

#include "metrics/registry.h"

struct process_metrics;

/*
 * NULL: no memory, and the registry must not be walked any more. Call at start:
 * process_start_time_seconds is taken from CLOCK_REALTIME here.
 */
struct process_metrics *process_metrics_new(struct registry *registry);
/* The registry must not be walked after this. */
void process_metrics_free(struct process_metrics *process);
