#include "service/faults_call.h"

#include <inttypes.h>
#include <stdio.h>

/* As text that ends. False: longer than any that means something, or a NUL inside. */
static bool copy_text(struct str value, char *text, size_t size)
{
	if (value.len >= size || memchr(value.data, '\0', value.len)) {
		return false;
	}
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	return true;
}

static int asked_delay(struct faults *faults, struct str value, int64_t *ret_ns, char *why,
		       size_t size)
{
	struct delay delay;
	char text[512], reason[160] = "is too long";

	if (!copy_text(value, text, sizeof(text)) ||
	    delay_parse(text, &delay, reason, sizeof(reason)) < 0) {
		snprintf(why, size, FAULTS_METADATA_DELAY ": \"%.*s\" %s", (int)MIN(value.len, 64),
			 value.data, reason);
		return -1;
	}
	*ret_ns = delay_draw(&delay, &faults->asked_dice);
	return 0;
}

int faults_asked(struct faults *faults, const struct metadata *metadata, struct faults_draw *ret,
		 char *why, size_t size)
{
	struct str delay = metadata_get(metadata, STR(FAULTS_METADATA_DELAY));
	struct str name = metadata_get(metadata, STR(FAULTS_METADATA_FAULT));
	struct faults_draw asked = { 0 };
	struct fault fault = { 0 };

	if (!delay.data && !name.data) {
		return 0;
	}
	if (delay.data && asked_delay(faults, delay, &asked.delay_ns, why, size) < 0) {
		return -1;
	}
	if (name.data && !str_equal(name, STR("none")) && !fault_parse(name, &fault)) {
		snprintf(why, size,
			 FAULTS_METADATA_FAULT ": \"%.*s\" is neither a status of a fault (as in "
					       "UNAVAILABLE), nor reset, close, hang or truncate",
			 (int)MIN(name.len, 64), name.data);
		return -1;
	}
	asked.kind = fault.kind;
	asked.status = fault.status;
	*ret = asked;
	return 1;
}

/*
 * Without memory the reply goes without the mark: it is the same reply, and a call that
 * failed for want of memory would be no fault that was asked for.
 */
static void mark(struct grpc_call *call, struct str name, const char *value)
{
	(void)grpc_call_add_trailer(call, name, str_from(value));
}

void faults_delay(const struct faults *faults, struct grpc_call *call,
		  const struct faults_draw *draw)
{
	char text[24];

	meter_count(faults->meters.delayed);
	snprintf(text, sizeof(text), "%" PRId64, draw->delay_ns);
	mark(call, STR(FAULTS_TRAILER_DELAY_NS), text);
}

void faults_inject(const struct faults *faults, struct grpc_call *call,
		   const struct faults_draw *draw, const void *response)
{
	static const enum grpc_break breaks[FAULT_KINDS] = {
		[FAULT_RESET] = GRPC_BREAK_RESET,
		[FAULT_CLOSE] = GRPC_BREAK_CLOSE,
		[FAULT_TRUNCATE] = GRPC_BREAK_TRUNCATE,
	};

	faults_injected(faults, draw);
	mark(call, STR(FAULTS_TRAILER_FAULT), fault_name(draw->kind, draw->status));
	if (draw->kind == FAULT_STATUS) {
		grpc_call_finish(call, draw->status, "failed on purpose");
	} else if (draw->kind != FAULT_HANG) {
		grpc_call_break(call, breaks[draw->kind], response);
	}
}

void faults_hung(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED,
			 "hung on purpose, and ended by --echo.hang-limit");
}
