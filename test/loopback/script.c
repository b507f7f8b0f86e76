#include "script.h"

#include <assert.h>
#include <errno.h>

#define NOTE(script, ...)                                            \
	do {                                                         \
		int rv = buffer_printf(&(script)->log, __VA_ARGS__); \
		assert(rv == 0);                                     \
		(void)rv;                                            \
	} while (0)

static struct script *script_of(struct grpc_call *call)
{
	struct script *script = grpc_call_context(call);

	script->call = call;
	return script;
}

static void on_opened(struct grpc_call *call)
{
	struct script *script = script_of(call);

	NOTE(script, "opened; ");
	if (script->opened) {
		script->opened(script);
	}
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct script *script = script_of(call);
	const struct bytes *bytes = message;
	struct str text = { (const char *)bytes->data, bytes->len };

	if (text.len > 32) {
		NOTE(script, "message[%zu]; ", text.len);
	} else {
		NOTE(script, "message(%" STR_FMT "); ", STR_ARG(text));
	}
	if (script->message) {
		script->message(script, text);
	}
}

static void on_half_closed(struct grpc_call *call)
{
	struct script *script = script_of(call);

	NOTE(script, "half_closed; ");
	if (script->half_closed) {
		script->half_closed(script);
	}
}

static void on_writable(struct grpc_call *call)
{
	struct script *script = script_of(call);

	NOTE(script, "writable; ");
	if (script->writable) {
		script->writable(script);
	}
}

static void on_draining(struct grpc_call *call)
{
	struct script *script = script_of(call);

	NOTE(script, "draining; ");
	if (script->draining) {
		script->draining(script);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	static const char *const origins[] = { "peer", "here", "transport" };
	struct script *script = script_of(call);

	NOTE(script, "closed(%d %s); ", (int)outcome->status, origins[outcome->origin]);
	timer_stop(grpc_call_timers(call), &script->timer);
	script->closed++;
	script->call = NULL;
}

static const struct grpc_call_events events = {
	.opened = on_opened,
	.message = on_message,
	.half_closed = on_half_closed,
	.writable = on_writable,
	.draining = on_draining,
	.closed = on_closed,
};

/* A byte that text does not hold. */
static bool valid(const void *message)
{
	const struct bytes *bytes = message;

	return bytes->len == 0 || !memchr(bytes->data, 0xff, bytes->len);
}

static const struct grpc_method methods[] = {
	{ .name = "Unary", .shape = GRPC_UNARY, .events = &events, .valid = valid },
	{ .name = "Collect", .shape = GRPC_CLIENT_STREAM, .events = &events, .valid = valid },
	{ .name = "Spread", .shape = GRPC_SERVER_STREAM, .events = &events, .valid = valid },
	{ .name = "Chat", .shape = GRPC_BIDI_STREAM, .events = &events, .valid = valid },
};

const struct grpc_service script_service = {
	.name = "test.Streams",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

const char *script_log(struct script *script)
{
	NOTE(script, "%c", '\0');
	script->log.end--;
	return (const char *)buffer_data(&script->log);
}

void script_reset(struct script *script)
{
	buffer_clear(&script->log);
	script->closed = script->n = 0;
}

void script_send(struct script *script, struct str message)
{
	struct bytes bytes = { (const uint8_t *)message.data, message.len };

	script->last_send = grpc_call_send(script->call, &bytes);
}
