#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "service/faults_p.h"

const char *const faults_modes[] = { "random", "every-nth", NULL };

static const char *const healths[] = { "serving", "not-serving", NULL };

static const char *const abort_names[FAULT_KINDS] = {
#define X(symbol, text) [FAULT_##symbol] = text,
	FAULT_ABORTS(X)
#undef X
};

/* --- lists --------------------------------------------------------------------- */

static bool read_status(const char *name, struct fault *ret)
{
	for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
		if (strcmp(name, grpc_status_name(status)) == 0) {
			*ret = (struct fault){ .kind = FAULT_STATUS,
					       .status = (enum grpc_status)status };
			return true;
		}
	}
	return false;
}

static bool read_abort(const char *name, struct fault *ret)
{
	for (int kind = FAULT_STATUS + 1; kind < FAULT_KINDS; kind++) {
		if (strcmp(name, abort_names[kind]) == 0) {
			*ret = (struct fault){ .kind = (enum fault_kind)kind };
			return true;
		}
	}
	return false;
}

bool fault_parse(struct str name, struct fault *ret)
{
	char text[FAULTS_ITEM_SIZE];

	if (name.len >= sizeof(text) || memchr(name.data, '\0', name.len)) {
		return false;
	}
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	return read_status(text, ret) || read_abort(text, ret);
}

const char *fault_name(enum fault_kind kind, enum grpc_status status)
{
	return kind == FAULT_STATUS ? grpc_status_name(status) : abort_names[kind];
}

struct list_form {
	bool (*read)(const char *name, struct fault *ret);
	const char *wrong; /* of a name that is none */
	const char *form;
};

/* One "UNAVAILABLE:2" into the list. */
static int parse_fault(struct fault_list *list, const struct list_form *form, char *item, char *why,
		       size_t size)
{
	struct fault fault;
	char *percent = strchr(item, ':');

	if (!percent) {
		return faults_refuse(item, form->form, why, size);
	}
	*percent++ = '\0';
	if (!form->read(item, &fault)) {
		return faults_refuse(item, form->wrong, why, size);
	}
	for (size_t i = 0; i < list->n; i++) {
		if (list->faults[i].kind == fault.kind && list->faults[i].status == fault.status) {
			return faults_refuse(item, "is there twice", why, size);
		}
	}
	if (faults_share_parse(percent, &fault.share, why, size) < 0) {
		return -1;
	}
	list->faults[list->n++] = fault; /* each once, so there is room */
	return 0;
}

static uint64_t sum_of(const struct fault_list *list)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < list->n; i++) {
		sum += list->faults[i].share;
	}
	return sum;
}

static int parse_list(const char *text, const struct list_form *form, struct fault_list *ret,
		      char *why, size_t size)
{
	struct fault_list list = { 0 };
	char item[FAULTS_ITEM_SIZE];
	int more = 0;

	if (strcmp(text, "none") != 0) {
		while ((more = faults_next_item(&text, item, why, size)) > 0) {
			if (parse_fault(&list, form, item, why, size) < 0) {
				return -1;
			}
		}
	}
	if (more == 0 && sum_of(&list) > FAULTS_WHOLE) {
		snprintf(why, size, "comes to more than 100 %%");
		return -1;
	}
	if (more == 0) {
		*ret = list;
	}
	return more;
}

int faults_status_parse(const char *text, void *ret_list, char *why, size_t size)
{
	static const struct list_form form = {
		.read = read_status,
		.wrong = "is no status of a fault (as in UNAVAILABLE)",
		.form = "is not STATUS:PERCENT",
	};

	return parse_list(text, &form, ret_list, why, size);
}

int faults_abort_parse(const char *text, void *ret_list, char *why, size_t size)
{
	static const struct list_form form = {
		.read = read_abort,
		.wrong = "is none of reset, close, hang, truncate",
		.form = "is not KIND:PERCENT",
	};

	return parse_list(text, &form, ret_list, why, size);
}

static int list_print(const struct fault_list *list, struct buffer *out)
{
	int err = list->n > 0 ? 0 : buffer_printf(out, "none");

	for (size_t i = 0; i < list->n && err == 0; i++) {
		const struct fault *fault = &list->faults[i];
		char share[FAULTS_SHARE_SIZE];

		faults_share_print(fault->share, share);
		err = buffer_printf(out, "%s%s:%s", i > 0 ? "," : "",
				    fault_name(fault->kind, fault->status), share);
	}
	return err;
}

/* --- the parts ----------------------------------------------------------------- */

static int set_delay(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	return delay_parse(value, &plan->delay, why, size);
}

static int print_delay(const struct faults_plan *plan, struct buffer *out)
{
	return delay_print(&plan->delay, out);
}

static int set_status(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	return faults_status_parse(value, &plan->statuses, why, size);
}

static int print_status(const struct faults_plan *plan, struct buffer *out)
{
	return list_print(&plan->statuses, out);
}

static int set_abort(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	return faults_abort_parse(value, &plan->aborts, why, size);
}

static int print_abort(const struct faults_plan *plan, struct buffer *out)
{
	return list_print(&plan->aborts, out);
}

/* The index of one of two words. */
static int choose(const char *value, const char *const words[], int *ret, char *why, size_t size)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	snprintf(why, size, "is neither %s nor %s", words[0], words[1]);
	return -1;
}

static int set_mode(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	return choose(value, faults_modes, &plan->mode, why, size);
}

static int print_mode(const struct faults_plan *plan, struct buffer *out)
{
	return buffer_printf(out, "%s", faults_modes[plan->mode]);
}

static int set_seed(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	return parse_uint(value, &plan->seed, why, size);
}

static int print_seed(const struct faults_plan *plan, struct buffer *out)
{
	return buffer_printf(out, "%" PRIu64, plan->seed);
}

static int set_hang_limit(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	int64_t limit_ns;

	if (parse_duration(value, &limit_ns, why, size) < 0) {
		return -1;
	}
	if (limit_ns < FAULTS_LEAST_HANG_NS || limit_ns > FAULTS_LONGEST_HANG_NS) {
		snprintf(why, size, "is not between 1ms and 1h");
		return -1;
	}
	plan->hang_limit_ns = limit_ns;
	return 0;
}

static int print_hang_limit(const struct faults_plan *plan, struct buffer *out)
{
	char text[32];

	format_duration(plan->hang_limit_ns, text, sizeof(text));
	return buffer_printf(out, "%s", text);
}

static int set_health(struct faults_plan *plan, const char *value, char *why, size_t size)
{
	int health;

	if (choose(value, healths, &health, why, size) < 0) {
		return -1;
	}
	plan->unhealthy = health;
	return 0;
}

static int print_health(const struct faults_plan *plan, struct buffer *out)
{
	return buffer_printf(out, "%s", healths[plan->unhealthy]);
}

static const struct part {
	const char *name;
	bool drawn;
	int (*set)(struct faults_plan *plan, const char *value, char *why, size_t size);
	int (*print)(const struct faults_plan *plan, struct buffer *out);
} parts[] = {
	{ "delay", true, set_delay, print_delay },
	{ "status", true, set_status, print_status },
	{ "abort", true, set_abort, print_abort },
	{ "fault-mode", true, set_mode, print_mode },
	{ "seed", true, set_seed, print_seed },
	{ "hang-limit", false, set_hang_limit, print_hang_limit },
	{ "health", false, set_health, print_health },
};

static const struct part *part_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(name, parts[i].name) == 0) {
			return &parts[i];
		}
	}
	return NULL;
}

int faults_plan_set(struct faults_plan *plan, const char *name, const char *value, char *why,
		    size_t size)
{
	const struct part *part = part_of(name);

	if (!part) {
		snprintf(why, size, "is no part of a plan");
		return -1;
	}
	return part->set(plan, value, why, size);
}

bool faults_part_is_drawn(const char *name)
{
	const struct part *part = part_of(name);

	return part && part->drawn;
}

int faults_plan_print(const struct faults_plan *plan, struct buffer *out)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && err == 0; i++) {
		err = buffer_printf(out, "%s=", parts[i].name);
		if (err == 0) {
			err = parts[i].print(plan, out);
		}
		if (err == 0) {
			err = buffer_append_str(out, STR("\n"));
		}
	}
	return err;
}

int faults_plan_check(const struct faults_plan *plan, char *why, size_t size)
{
	if (sum_of(&plan->statuses) + sum_of(&plan->aborts) > FAULTS_WHOLE) {
		snprintf(why, size, "together come to more than 100 %%");
		return -1;
	}
	return 0;
}
