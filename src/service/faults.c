#include "service/faults.h"

#include "metrics/build.h"

/* --- the plan in use ----------------------------------------------------------- */

static void tell(struct faults *faults, const struct fault_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct fault *fault = &list->faults[i];
		double *ratio = fault->kind == FAULT_STATUS
					? &faults->ratio_by_status[fault->status]
					: &faults->ratio_by_kind[fault->kind];

		*ratio = (double)fault->share / FAULTS_WHOLE;
	}
}

#define ASKED UINT64_C(0x61736b6564) /* any number: dice unlike the others, of the same seed */

void faults_use(struct faults *faults, const struct faults_plan *plan, uint64_t seed)
{
	static const double quantiles[FAULTS_STATISTICS] = { 0, 0.5, 0.9, 0.99 };
	struct faults fresh = { .plan = *plan, .meters = faults->meters };

	seed = plan->seed ? plan->seed : seed;
	random_seed(&fresh.delay_dice, seed);
	random_seed(&fresh.fault_dice, ~seed);
	random_seed(&fresh.asked_dice, seed ^ ASKED);
	tell(&fresh, &plan->statuses);
	tell(&fresh, &plan->aborts);
	fresh.expected_delay[0] = delay_mean(&plan->delay);
	for (size_t i = 1; i < FAULTS_STATISTICS; i++) {
		fresh.expected_delay[i] = delay_quantile(&plan->delay, quantiles[i]);
	}
	*faults = fresh;
}

void faults_adjust(struct faults *faults, const struct faults_plan *plan)
{
	faults->plan = *plan;
}

/* --- the dice ------------------------------------------------------------------ */

static const struct fault *throw_die(const struct fault_list *list, uint64_t *drawn)
{
	for (size_t i = 0; i < list->n; i++) {
		if (*drawn < list->faults[i].share) {
			return &list->faults[i];
		}
		*drawn -= list->faults[i].share;
	}
	return NULL;
}

/* Each of the list is owed its share; the first that has all of it, unless `met` is one. */
static const struct fault *add_up(const struct fault_list *list, uint64_t *owed,
				  const struct fault *met)
{
	for (size_t i = 0; i < list->n; i++) {
		owed[i] += list->faults[i].share;
		if (!met && owed[i] >= FAULTS_WHOLE) {
			owed[i] -= FAULTS_WHOLE;
			met = &list->faults[i];
		}
	}
	return met;
}

static const struct fault *draw_fault(struct faults *faults)
{
	const struct faults_plan *plan = &faults->plan;
	const struct fault *met;

	if (plan->statuses.n + plan->aborts.n == 0) {
		return NULL;
	}
	if (plan->mode == FAULTS_EVERY_NTH) {
		met = add_up(&plan->statuses, faults->owed, NULL);
		met = add_up(&plan->aborts, faults->owed + plan->statuses.n, met);
	} else {
		uint64_t drawn = random_below(&faults->fault_dice, FAULTS_WHOLE);

		met = throw_die(&plan->statuses, &drawn);
		met = met ? met : throw_die(&plan->aborts, &drawn);
	}
	return met;
}

void faults_draw(struct faults *faults, struct faults_draw *ret)
{
	const struct fault *fault = draw_fault(faults);

	*ret = (struct faults_draw){
		.delay_ns = delay_draw(&faults->plan.delay, &faults->delay_dice),
	};
	if (fault) {
		ret->kind = fault->kind;
		ret->status = fault->status;
	}
}

/* --- the ledger ---------------------------------------------------------------- */

enum grpc_status fault_counts_as(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_CLOSE:
		return GRPC_UNAVAILABLE;
	case FAULT_HANG:
		return GRPC_DEADLINE_EXCEEDED;
	default:
		return GRPC_INTERNAL; /* reset, truncate */
	}
}

void faults_injected(const struct faults *faults, const struct faults_draw *draw)
{
	if (draw->kind == FAULT_STATUS) {
		meter_count(faults->meters.by_status[draw->status]);
	} else if (draw->kind != FAULT_NONE) {
		meter_count(faults->meters.by_kind[draw->kind]);
	}
}

static bool read_double(void *user, double *ret)
{
	*ret = *(const double *)user;
	return true;
}

static void register_delays(struct faults *faults, struct build *build)
{
	static const char *const statistics[FAULTS_STATISTICS] = { "mean", "p50", "p90", "p99" };
	struct family *expected = build_family(
		build, METRIC_GAUGE, "echod_echo_delay_expected_seconds",
		"Delay of Echo that the plan in use makes on purpose: of its distribution, "
		"not measured.",
		BUILD_LABELS("statistic"));

	for (size_t i = 0; i < FAULTS_STATISTICS; i++) {
		build_computed(build, expected, BUILD_LABELS(statistics[i]), read_double,
			       &faults->expected_delay[i]);
	}
	faults->meters.delayed =
		build_plain_counter(build, "echod_delays_injected_total",
				    "Calls of Echo that a delay on purpose was begun for.");
}

static void register_taken_along(struct faults *faults, struct build *build)
{
	struct family *along = build_family(
		build, METRIC_COUNTER, "echod_fault_calls_taken_along_total",
		"Calls of Echo that ended because a fault of another call closed their "
		"connection.",
		BUILD_LABELS("fault"));

	faults->meters.taken_along[false] = build_counter(build, along, BUILD_LABELS("none"));
	faults->meters.taken_along[true] = build_counter(build, along, BUILD_LABELS("own"));
}

void faults_register(struct faults *faults, struct build *build)
{
	struct family *injected = build_family(
		build, METRIC_COUNTER, "echod_faults_injected_total",
		"Calls that were broken on purpose, by the kind of fault and the code that "
		"they count as.",
		BUILD_LABELS("kind", "code"));
	struct family *ratio = build_family(
		build, METRIC_GAUGE, "echod_fault_probability_ratio",
		"Share of calls that the plan in use breaks on purpose, by the kind of fault and "
		"the code that they count as.",
		BUILD_LABELS("kind", "code"));

	for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
		const char *const *labels = BUILD_LABELS("status", grpc_status_camel_name(status));

		faults->meters.by_status[status] = build_counter(build, injected, labels);
		build_computed(build, ratio, labels, read_double, &faults->ratio_by_status[status]);
	}
	for (int kind = FAULT_STATUS + 1; kind < FAULT_KINDS; kind++) {
		const char *const *labels = BUILD_LABELS(
			fault_name((enum fault_kind)kind, GRPC_OK),
			grpc_status_camel_name(fault_counts_as((enum fault_kind)kind)));

		faults->meters.by_kind[kind] = build_counter(build, injected, labels);
		build_computed(build, ratio, labels, read_double, &faults->ratio_by_kind[kind]);
	}
	register_taken_along(faults, build);
	register_delays(faults, build);
}
