#include "script.h"

#include <errno.h>
#include <string.h>

/* Bytes of messages that one run may send. */
#define MAX_SENT (2 * MIB)

enum act {
	ACT_NOTHING,
	ACT_SEND, /* a message; the argument is its size */
	ACT_FINISH,
	ACT_CANCEL,
	ACT_HOLD,
	ACT_NEXT,
	ACT_SEND_HEADERS,
	ACT_ADD_HEADER,
	ACT_ADD_TRAILER,
	ACT_COMPRESS,
	ACT_DETAILS,
	ACT_LATER,      /* a timer: then next, and a message */
	ACT_PUMP,       /* messages until it is full, and again when it is writable */
	ACT_LOOK,       /* at all that can be asked */
	ACT_HALF_CLOSE, /* server: breaks the call */
	ACT_OK,
};

static void send(struct actor *actor, size_t size)
{
	static uint8_t zeros[64 * 1024];
	struct bytes message = { zeros, MIN(size, sizeof(zeros)) };
	int rv;

	if (actor->full || actor->world->sent > MAX_SENT) {
		return;
	}
	actor->world->sent += message.len + 1;
	actor->world->host.work += 1 + message.len / 64;
	rv = grpc_call_send(actor->call, &message);
	MUST(rv == 0 || rv == 1 || rv == -ECANCELED || rv == -ENOMEM || rv == -EMSGSIZE);
	actor->full = rv == 1;
}

static void pump(struct actor *actor)
{
	for (unsigned i = 0; i < 1000 && !actor->full && !actor->finished; i++) {
		size_t before = actor->world->sent;

		send(actor, 1000);
		if (actor->world->sent == before) {
			break;
		}
	}
}

static void on_timer(struct timer *timer)
{
	struct actor *actor = container_of(timer, struct actor, timer);

	if (actor->held) {
		actor->held = false;
		grpc_call_next(actor->call);
	}
	send(actor, 3);
}

static void add(struct actor *actor, unsigned argument, bool trailer)
{
	static const struct {
		struct str name, value;
		bool good;
	} fields[] = {
		{ STR_INIT("x-a"), STR_INIT("1"), true },
		{ STR_INIT("x-a"), STR_INIT("2"), true },
		{ STR_INIT("x-bin"), STR_INIT("\0\1\2\377"), true },
		{ STR_INIT("X-Upper"), STR_INIT("1"), false },
		{ STR_INIT("grpc-status"), STR_INIT("0"), false },
		{ STR_INIT("x-bad"), STR_INIT("\1"), false },
		{ STR_INIT("x-empty"), STR_INIT(""), true },
		{ STR_INIT("x-long"), STR_INIT("0123456789012345678901234567890123456789"), true },
	};
	size_t i = argument % ARRAY_SIZE(fields);
	int rv;

	if (!actor->server) {
		return;
	}
	rv = trailer ? grpc_call_add_trailer(actor->call, fields[i].name, fields[i].value)
		     : grpc_call_add_header(actor->call, fields[i].name, fields[i].value);
	MUST(fields[i].good ? rv == 0 || rv == -ENOMEM || rv == -ECANCELED : rv == -EINVAL);
}

static void look(struct actor *actor)
{
	struct grpc_call *call = actor->call;
	const struct metadata *metadata = grpc_call_metadata(call);
	size_t n = 0;

	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		MUST(!metadata_reserved(entry->name));
		n += entry->name.len + entry->value.len;
	}
	MUST(n < MIB && grpc_call_method(call) && grpc_call_timers(call));
	MUST(grpc_call_started_ns(call) <= actor->world->host.now_ns);
	MUST(grpc_call_deadline_ns(call) >= grpc_call_started_ns(call));
	MUST(!actor->server || grpc_call_peer(call)->id == 1);
}

static void finish(struct actor *actor, enum act act, unsigned argument)
{
	static const uint8_t details[] = { 0x08, 5, 0x12, 2, 'n', 'o' };

	if (!actor->server) {
		return;
	}
	actor->finished = true;
	if (act == ACT_DETAILS) {
		grpc_call_finish_details(actor->call, argument % GRPC_STATUS_COUNT,
					 STR("caf\xe9 %"),
					 (struct bytes){ details, sizeof(details) });
	} else {
		grpc_call_finish(actor->call,
				 act == ACT_OK ? GRPC_OK : argument % GRPC_STATUS_COUNT,
				 argument & 1 ? "\t\nno % \xe2\x98\xba" : NULL);
	}
}

static void break_it(struct actor *actor, unsigned argument)
{
	static uint8_t zeros[100];
	struct bytes message = { zeros, argument * argument % sizeof(zeros) };

	actor->finished = true;
	grpc_call_break(actor->call, (enum grpc_break)(argument % 3), &message);
}

static void act(struct actor *actor, enum act act, unsigned argument)
{
	actor->world->host.work += 4;
	switch (act) {
	case ACT_NOTHING:
		break;
	case ACT_SEND:
		send(actor, (size_t)argument * argument * argument * 17);
		break;
	case ACT_FINISH:
	case ACT_DETAILS:
	case ACT_OK:
		finish(actor, act, argument);
		break;
	case ACT_CANCEL:
		actor->finished = true;
		grpc_call_cancel(actor->call, argument % GRPC_STATUS_COUNT);
		break;
	case ACT_HOLD:
		if (actor->in_message && !actor->held) {
			actor->held = true;
			grpc_call_hold(actor->call);
		}
		break;
	case ACT_NEXT:
		if (actor->held) {
			actor->held = false;
			grpc_call_next(actor->call);
		}
		break;
	case ACT_SEND_HEADERS:
		if (actor->server) {
			grpc_call_send_headers(actor->call);
		}
		break;
	case ACT_ADD_HEADER:
	case ACT_ADD_TRAILER:
		add(actor, argument, act == ACT_ADD_TRAILER);
		break;
	case ACT_COMPRESS:
		grpc_call_compress(actor->call, argument & 1);
		break;
	case ACT_LATER:
		timer_start(&actor->world->host.timers, &actor->timer,
			    argument * argument * NS_PER_MS);
		break;
	case ACT_PUMP:
		actor->pumping = true;
		pump(actor);
		break;
	case ACT_LOOK:
		look(actor);
		break;
	case ACT_HALF_CLOSE:
		if (actor->server) {
			break_it(actor, argument);
		} else {
			grpc_call_half_close(actor->call);
		}
		break;
	}
}

void actor_act(struct actor *actor, struct bytes script)
{
	for (size_t i = 0; i < script.len && i < 64; i++) {
		act(actor, script.data[i] & 15, script.data[i] >> 4);
	}
}

void actor_begin(struct actor *actor, struct world *world, struct grpc_call *call, bool server)
{
	*actor = (struct actor){ .world = world, .call = call, .server = server };
	timer_init(&actor->timer, on_timer);
	actor->index = world->n_opened % SCRIPT_MAX_CALLS;
	world->n_opened++;
	world->actors[actor->index] = actor;
}

void actor_end(struct actor *actor)
{
	struct world *world = actor->world;

	timer_stop(&world->host.timers, &actor->timer);
	MUST(++actor->n_closed == 1);
	world->n_closed++;
	if (world->actors[actor->index] == actor) {
		world->actors[actor->index] = NULL;
	}
}

static struct actor *actor_of(struct grpc_call *call)
{
	struct actor *actor = grpc_call_context(call);

	return actor;
}

/* -- What every call must be told, and in which order -- */

static void told_message(struct actor *actor, const struct bytes *message)
{
	enum grpc_shape shape = grpc_call_method(actor->call)->shape;
	bool streams = actor->server ? grpc_shape_streams_requests(shape)
				     : grpc_shape_streams_responses(shape);

	MUST(actor->n_closed == 0 && !actor->held && !actor->finished);
	MUST(actor->n_opened == 1 && actor->n_half_closed == 0);
	MUST(streams || actor->n_messages == 0);
	actor->n_messages++;
	actor->in_message = streams;
	actor_act(actor, *message);
	actor->in_message = false;
}

static void told_writable(struct actor *actor)
{
	MUST(actor->n_closed == 0 && !actor->finished);
	actor->full = false;
	if (actor->pumping) {
		pump(actor);
	}
}

static void told_closed(struct actor *actor, const struct grpc_outcome *outcome)
{
	MUST((unsigned)outcome->status < GRPC_STATUS_COUNT || !actor->server);
	MUST(outcome->message.len == 0 || outcome->message.data);
	actor_end(actor);
}

/* -- Server -- */

static void server_opened(struct grpc_call *call)
{
	struct actor *actor = grpc_call_state(call);
	struct str script = metadata_get(grpc_call_metadata(call), STR("do-bin"));

	actor_begin(actor, grpc_call_context(call), call, true);
	actor->n_opened = 1;
	actor_act(actor, (struct bytes){ (const uint8_t *)script.data, script.len });
}

static void server_message(struct grpc_call *call, const void *message)
{
	told_message(grpc_call_state(call), message);
}

static void server_half_closed(struct grpc_call *call)
{
	struct actor *actor = grpc_call_state(call);

	MUST(actor->n_half_closed++ == 0 && actor->n_closed == 0 && !actor->held);
	MUST(!actor->finished);
	if (actor->n_messages == 0) {
		finish(actor, ACT_OK, 0);
	}
}

static void server_writable(struct grpc_call *call)
{
	told_writable(grpc_call_state(call));
}

static void server_draining(struct grpc_call *call)
{
	struct actor *actor = grpc_call_state(call);

	MUST(actor->n_closed == 0 && !actor->finished);
	if (actor->pumping) {
		finish(actor, ACT_FINISH, GRPC_UNAVAILABLE);
	}
}

/* A call whose headers are at fault closes without having been opened. */
static void server_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct actor *actor = grpc_call_state(call);

	if (actor->world) {
		told_closed(actor, outcome);
	}
}

const struct grpc_call_events script_server_events = {
	.opened = server_opened,
	.message = server_message,
	.half_closed = server_half_closed,
	.writable = server_writable,
	.draining = server_draining,
	.closed = server_closed,
};

/* -- Client -- */

static void client_opened(struct grpc_call *call)
{
	struct actor *actor = actor_of(call);

	MUST(actor->n_opened++ == 0 && actor->n_closed == 0);
}

static void client_message(struct grpc_call *call, const void *message)
{
	told_message(actor_of(call), message);
}

static void client_writable(struct grpc_call *call)
{
	told_writable(actor_of(call));
}

static void client_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct actor *actor = actor_of(call);

	told_closed(actor, outcome);
	free(actor);
}

const struct grpc_call_events script_client_events = {
	.opened = client_opened,
	.message = client_message,
	.writable = client_writable,
	.closed = client_closed,
};

#define METHOD(letter, kind)                                                    \
	{                                                                       \
		.name = letter, .shape = kind, .events = &script_server_events, \
		.state_size = sizeof(struct actor),                             \
	}

static const struct grpc_method methods[] = {
	METHOD("U", GRPC_UNARY),
	METHOD("C", GRPC_CLIENT_STREAM),
	METHOD("S", GRPC_SERVER_STREAM),
	METHOD("B", GRPC_BIDI_STREAM),
};

const struct grpc_service script_service = { "f.F", methods, ARRAY_SIZE(methods) };
