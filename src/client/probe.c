/*
 * `echod probe`: one call of grpc.health.v1.Health/Check, and an exit status.
 *
 * The happy path: the channel wants a connection -> the dialer makes one -> the
 * server's SETTINGS arrive, and the call leaves -> the answer -> closed ->
 * everything is let go, and the loop runs empty.
 *
 * What can fail: no address, no connection, a peer that takes the connection
 * and speaks no HTTP/2 (all of them EXIT_PROBE_NO_CONNECTION); whatever goes
 * wrong with a call that a server has got (EXIT_PROBE_CALL_FAILED); an answer
 * other than SERVING.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "client/client.h"
#include "client/dial.h"
#include "client/probe_plan.h"
#include "client/text.h"
#include "commands.h"
#include "grpc/channel.h"
#include "health.pb-c.h"
#include "net/loop.h"

#define DURATION_TEXT_MAX 32

struct probe {
	struct probe_plan plan;
	struct loop *loop;
	struct dial_target target;
	struct dialer dialer;
	uint64_t next_peer_id;
	struct grpc_channel *channel;
	struct grpc_call *call; /* NULL once it has closed */
	struct timer connecting, answering;
	struct loop_task finish;
	int64_t started_ns, ready_ns; /* the second: 0 while no server has spoken */
	bool too_late;                /* none did in time */
	bool answered;
	int health; /* where answered: the number of a status, which may be none that we know */
	int code;
};

static const struct grpc_method methods[] = {
	{
		.name = "Check",
		.shape = GRPC_UNARY,
		.request = &health__check_request__descriptor,
		.response = &health__check_response__descriptor,
	},
};
static const struct grpc_service health_service = {
	.name = "grpc.health.v1.Health",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

/* "echod probe: TARGET: TEXT" on standard error. */
static void say(const struct probe *probe, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct probe *probe, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "echod probe: %s: ", probe->plan.target.text);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void complain(const char *text)
{
	fprintf(stderr, "echod probe: %s\n", text);
}

/* The exit code, as of all that follow here. */
static int tell_health(const struct probe *probe)
{
	const char *service = probe->plan.service;
	const ProtobufCEnumValue *value;

	if (probe->health == HEALTH__SERVING_STATUS__SERVING) {
		/* The exit status is the answer; whether anybody reads this one does not matter. */
		puts("SERVING");
		fflush(stdout);
		clearerr(stdout);
		return EXIT_DONE;
	}
	value = protobuf_c_enum_descriptor_get_value(&health__serving_status__descriptor,
						     probe->health);
	say(probe, "%s%s%s is not serving: it says %s (%d)",
	    service[0] ? "service \"" : "the server", service, service[0] ? "\"" : "",
	    value ? value->name : "what nobody knows", probe->health);
	return EXIT_PROBE_NOT_SERVING;
}

/* Nobody was there to be called. */
static int tell_unconnected(const struct probe *probe, const struct grpc_outcome *outcome)
{
	struct buffer text = BUFFER_INIT;
	char within[DURATION_TEXT_MAX];

	format_duration(probe->plan.connect_ns, within, sizeof(within));
	if (!probe->too_late) {
		(void)text_visible(&text, outcome->message);
		say(probe, "cannot connect: %.*s", (int)buffer_len(&text),
		    (const char *)buffer_bytes(&text).data);
	} else if (probe->dialer.n_attached > 0) {
		say(probe, "it took the connection, and spoke no HTTP/2 within %s", within);
	} else {
		say(probe, "no connection within %s", within);
	}
	buffer_free(&text);
	return EXIT_PROBE_NO_CONNECTION;
}

static int tell_failure(const struct probe *probe, const struct grpc_outcome *outcome)
{
	struct buffer text = BUFFER_INIT;
	char within[DURATION_TEXT_MAX];

	format_duration(probe->plan.answer_ns, within, sizeof(within));
	if (outcome->status == GRPC_OK) {
		say(probe, "the call ended OK, without an answer");
	} else if (outcome->status == GRPC_DEADLINE_EXCEEDED && outcome->origin == GRPC_FROM_HERE) {
		say(probe, "no answer within %s", within);
	} else {
		(void)text_failure(&text, outcome->status, outcome->message);
		say(probe, "%s: %.*s",
		    outcome->status == GRPC_UNIMPLEMENTED
			    ? "the server does not tell its health by grpc.health.v1"
			    : "the call failed",
		    (int)buffer_len(&text), (const char *)buffer_bytes(&text).data);
	}
	buffer_free(&text);
	return EXIT_PROBE_CALL_FAILED;
}

static void tell_times(const struct probe *probe, const struct grpc_peer *peer, int64_t now_ns)
{
	char connecting[DURATION_TEXT_MAX], answering[DURATION_TEXT_MAX];

	text_duration(probe->ready_ns - probe->started_ns, connecting, sizeof(connecting));
	text_duration(now_ns - probe->ready_ns, answering, sizeof(answering));
	say(probe, "connected to %s in %s, the call took %s", peer->address, connecting, answering);
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct probe *probe = grpc_call_context(call);
	const Health__CheckResponse *response = message;

	probe->answered = true;
	probe->health = (int)response->status;
}

/* After the call: lets go of everything that keeps the loop alive. */
static void on_finish(struct loop_task *task)
{
	struct probe *probe = container_of(task, struct probe, finish);

	grpc_channel_drain(probe->channel);
	/* A peer that failed the call is not waited for. */
	dialer_close(&probe->dialer, !probe->answered);
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct probe *probe = grpc_call_context(call);
	struct timers *timers = loop_timers(probe->loop);
	const struct grpc_peer *peer = grpc_call_peer(call);

	probe->call = NULL;
	timer_stop(timers, &probe->connecting);
	timer_stop(timers, &probe->answering);
	if (probe->plan.verbose && peer && probe->ready_ns != 0) {
		tell_times(probe, peer, timers_now(timers));
	}
	if (outcome->status == GRPC_OK && probe->answered) {
		probe->code = tell_health(probe);
	} else if (probe->too_late ||
		   (outcome->unprocessed && outcome->origin == GRPC_FROM_TRANSPORT)) {
		probe->code = tell_unconnected(probe, outcome);
	} else {
		probe->code = tell_failure(probe, outcome);
	}
	loop_schedule(probe->loop, &probe->finish);
}

static const struct grpc_call_events call_events = { .message = on_message, .closed = on_closed };

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct probe *probe = user;

	(void)channel;
	dialer_dial(&probe->dialer);
}

/* The call's time counts from the first server that speaks, whatever becomes of the connection. */
static void on_state_changed(void *user, struct grpc_channel *channel,
			     enum grpc_channel_state state)
{
	struct probe *probe = user;
	struct timers *timers = loop_timers(probe->loop);

	(void)channel;
	if (state == GRPC_CHANNEL_READY && probe->ready_ns == 0 && probe->call) {
		probe->ready_ns = timers_now(timers);
		timer_stop(timers, &probe->connecting);
		timer_start(timers, &probe->answering, probe->plan.answer_ns);
	}
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.state_changed = on_state_changed,
};
static const struct dialer_events dialer_events = { 0 };

static void on_connecting_too_long(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, connecting);

	probe->too_late = true;
	grpc_call_cancel(probe->call, GRPC_DEADLINE_EXCEEDED);
}

static void on_answering_too_long(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, answering);

	grpc_call_cancel(probe->call, GRPC_DEADLINE_EXCEEDED);
}

/* False: no memory. Any other failure arrives by on_closed. */
static bool start_call(struct probe *probe)
{
	const struct probe_plan *plan = &probe->plan;
	struct timers *timers = loop_timers(probe->loop);
	const struct grpc_call_options options = {
		.timeout_ns = plan->connect_ns + plan->answer_ns, /* our own timers come first */
		.metadata = plan->metadata.first,
	};
	Health__CheckRequest request = HEALTH__CHECK_REQUEST__INIT;
	char name[PROBE_MAX_NAME]; /* the generated field points to what is not const */

	probe->call = grpc_channel_call(probe->channel, &health_service, &methods[0], &call_events,
					&options, probe);
	if (!probe->call) {
		return false;
	}
	timer_start_at(timers, &probe->connecting, probe->started_ns + plan->connect_ns);
	request.service.len = strlen(plan->service);
	request.service.data = memcpy(name, plan->service, request.service.len);
	(void)grpc_call_send(probe->call, &request);
	grpc_call_half_close(probe->call);
	return true;
}

static void run_resolved(struct probe *probe)
{
	const struct probe_plan *plan = &probe->plan;
	char user_agent[96];
	const struct grpc_channel_options options = {
		.http2 = &http2_default_limits,
		.timers = loop_timers(probe->loop),
		.authority = plan->target.authority,
		.user_agent = plan->user_agent ? plan->user_agent : user_agent,
	};

	client_user_agent(user_agent, sizeof(user_agent));
	loop_task_init(&probe->finish, on_finish);
	timer_init(&probe->connecting, on_connecting_too_long);
	timer_init(&probe->answering, on_answering_too_long);
	dialer_init(&probe->dialer, probe->loop, &probe->target, &probe->next_peer_id,
		    &dialer_events, probe);
	probe->channel = grpc_channel_new(&options, &channel_events, probe);
	dialer_set_channel(&probe->dialer, probe->channel);
	if (probe->channel && start_call(probe)) {
		loop_run(probe->loop);
	} else {
		complain("out of memory");
	}
	grpc_channel_free(probe->channel);
	dialer_deinit(&probe->dialer);
}

/* In a signal's handler: names are resolved before the loop runs, by a function without a bound. */
static void on_alarm(int number)
{
	static const char text[] = "echod probe: the name was not resolved in time\n";

	(void)number;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(EXIT_PROBE_NO_CONNECTION);
}

static void set_alarm(int64_t ns)
{
	const struct itimerval after = {
		.it_value = { .tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / 1000 },
	};

	setitimer(ITIMER_REAL, &after, NULL);
}

static int resolve(struct probe *probe, char *why, size_t size)
{
	const struct target *target = &probe->plan.target;
	int rv;

	signal(SIGALRM, on_alarm);
	set_alarm(probe->plan.connect_ns);
	rv = dial_resolve(&probe->target, &target->spec, target->text, probe->plan.connect_ns, why,
			  size);
	set_alarm(0);
	signal(SIGALRM, SIG_DFL);
	return rv;
}

static void run(struct probe *probe)
{
	char why[512];

	probe->code = EXIT_PROBE_CALL_FAILED;
	probe->loop = loop_new();
	if (!probe->loop) {
		complain("cannot start: out of memory or of file descriptors");
		return;
	}
	probe->started_ns = timers_now(loop_timers(probe->loop));
	if (resolve(probe, why, sizeof(why)) < 0) {
		options_one_line(why);
		complain(why);
		probe->code = EXIT_PROBE_NO_CONNECTION;
	} else {
		run_resolved(probe);
	}
	loop_run(probe->loop); /* what is left closes */
	loop_free(probe->loop);
}

int probe_main(int argc, char **argv, char **envp)
{
	struct probe probe = { 0 };
	char why[1024];

	(void)envp;
	signal(SIGPIPE, SIG_IGN);
	switch (probe_plan_init(&probe.plan, argc, argv, why, sizeof(why))) {
	case OPTIONS_HELP:
		probe_plan_help(stdout);
		break;
	case OPTIONS_VERSION:
		print_version();
		break;
	case OPTIONS_ERROR:
		complain(why);
		probe.code = EXIT_PROBE_USAGE;
		break;
	case OPTIONS_OK:
		run(&probe);
		break;
	}
	probe_plan_deinit(&probe.plan);
	return probe.code;
}
