/*
 * The client of the gRPC interoperability tests: runs the named cases against a
 * server, one after the other, and prints a line for each. Exit code 0: all passed.
 *
 * Each case has a channel of its own, and a run of the loop: that ends when the last
 * call has ended and its connection is gone.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "interop_cases.h"

struct configuration {
	const char *server_host;
	uint64_t server_port;
	const char *test_case;
	bool use_tls;
	uint64_t soak_iterations, soak_max_failures;
	uint64_t soak_max_latency_ms, soak_overall_timeout_s, soak_min_time_ms;
	uint64_t soak_request_size, soak_response_size;
};

#define FIELD(name) offsetof(struct configuration, name)

static const struct option table[] = {
	{ .name = "server_host",
	  .type = OPTION_STRING,
	  .offset = FIELD(server_host),
	  .placeholder = "HOST",
	  .value = "localhost",
	  .help = "Where the server is." },
	{ .name = "server_port",
	  .type = OPTION_UINT,
	  .offset = FIELD(server_port),
	  .placeholder = "PORT",
	  .value = "8080",
	  .max = 65535,
	  .help = "Its port." },
	{ .name = "test_case",
	  .type = OPTION_STRING,
	  .offset = FIELD(test_case),
	  .placeholder = "CASE,...",
	  .value = "large_unary",
	  .help = "Which cases to run." },
	{ .name = "use_tls",
	  .type = OPTION_BOOL,
	  .offset = FIELD(use_tls),
	  .help = "There is no TLS here: only false is accepted." },
	{ .name = "soak_iterations",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_iterations),
	  .placeholder = "N",
	  .value = "10",
	  .help = "Calls of a soak case." },
	{ .name = "soak_max_failures",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_max_failures),
	  .placeholder = "N",
	  .value = "0",
	  .help = "How many of them may fail." },
	{ .name = "soak_per_iteration_max_acceptable_latency_ms",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_max_latency_ms),
	  .placeholder = "MS",
	  .value = "1000",
	  .help = "A call that takes longer has failed." },
	{ .name = "soak_overall_timeout_seconds",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_overall_timeout_s),
	  .placeholder = "S",
	  .value = "10",
	  .help = "All calls have to be over by then." },
	{ .name = "soak_min_time_ms_between_rpcs",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_min_time_ms),
	  .placeholder = "MS",
	  .value = "0",
	  .help = "From the start of one call to that of the next." },
	{ .name = "soak_request_size",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_request_size),
	  .placeholder = "BYTES",
	  .value = "271828",
	  .max = INT32_MAX,
	  .help = "Payload of a request." },
	{ .name = "soak_response_size",
	  .type = OPTION_UINT,
	  .offset = FIELD(soak_response_size),
	  .placeholder = "BYTES",
	  .value = "314159",
	  .max = INT32_MAX,
	  .help = "Payload of a response." },
};

static const struct options options = {
	.program = "interop-client",
	.synopsis = "[flags]",
	.about = "Runs cases of the gRPC interoperability tests against a server.",
	.table = table,
	.n = ARRAY_SIZE(table),
};

/* -- One case -- */

struct run {
	const struct configuration *configuration;
	const struct interop_case *test_case;
	struct loop *loop;
	struct endpoint endpoint;
	struct timer pause;
	struct loop_task next; /* what follows when the calls of a step have ended */
	size_t step;
	unsigned calls; /* in progress */
	char wrong[512];
	/* Of a soak: */
	struct step iteration;
	bool channel_used;
	uint64_t n_done, n_failed;
	int64_t began_ns, iteration_began_ns;
};

static int64_t now(const struct run *run)
{
	return timers_now(loop_timers(run->loop));
}

static void on_step_ended(void *user, const char *why)
{
	struct run *run = user;

	if (why && !run->wrong[0]) {
		snprintf(run->wrong, sizeof(run->wrong), "%s", why);
	}
	if (--run->calls == 0) {
		run->step++;
		loop_schedule(run->loop, &run->next);
	}
}

static void on_pause_over(struct timer *timer)
{
	struct run *run = container_of(timer, struct run, pause);
	const struct step *step = &run->test_case->steps[run->step];

	run->calls = MAX(step->times, 1);
	for (unsigned i = 0; i < MAX(step->times, 1); i++) {
		exchange_start(&run->endpoint, step, on_step_ended, run);
	}
}

static void on_next_step(struct loop_task *task)
{
	struct run *run = container_of(task, struct run, next);

	if (run->wrong[0] || run->step == run->test_case->n_steps) {
		endpoint_close(&run->endpoint);
	} else {
		timer_start(loop_timers(run->loop), &run->pause,
			    run->test_case->steps[run->step].pause_ns);
	}
}

/* -- Soak -- */

static void on_iteration_ended(void *user, const char *why)
{
	struct run *run = user;
	int64_t took_ms = (now(run) - run->iteration_began_ns) / NS_PER_MS;

	run->n_done++;
	if (why || took_ms > (int64_t)run->configuration->soak_max_latency_ms) {
		fprintf(stderr, "%s: call %llu failed after %lld ms: %s\n", run->test_case->name,
			(unsigned long long)run->n_done, (long long)took_ms,
			why ? why : "it took too long");
		run->n_failed++;
	}
	loop_schedule(run->loop, &run->next);
}

static void on_iteration(struct timer *timer)
{
	struct run *run = container_of(timer, struct run, pause);

	run->channel_used = true;
	run->iteration_began_ns = now(run);
	exchange_start(&run->endpoint, &run->iteration, on_iteration_ended, run);
}

static bool soak_is_over(const struct run *run)
{
	const struct configuration *configuration = run->configuration;
	int64_t timeout_ns = (int64_t)configuration->soak_overall_timeout_s * NS_PER_S;

	return run->n_done == configuration->soak_iterations ||
	       now(run) - run->began_ns >= timeout_ns;
}

static void on_next_iteration(struct loop_task *task)
{
	struct run *run = container_of(task, struct run, next);
	int64_t between_ns = (int64_t)run->configuration->soak_min_time_ms * NS_PER_MS;

	if (soak_is_over(run) || (run->channel_used && run->test_case->fresh_channels)) {
		endpoint_close(&run->endpoint);
	} else {
		timer_start_at(loop_timers(run->loop), &run->pause,
			       run->iteration_began_ns + between_ns);
	}
}

static void judge_soak(struct run *run)
{
	const struct configuration *configuration = run->configuration;

	if (run->n_done < configuration->soak_iterations) {
		snprintf(run->wrong, sizeof(run->wrong), "%llu of %llu calls in the time",
			 (unsigned long long)run->n_done,
			 (unsigned long long)configuration->soak_iterations);
	} else if (run->n_failed > configuration->soak_max_failures) {
		snprintf(run->wrong, sizeof(run->wrong), "%llu of %llu calls failed",
			 (unsigned long long)run->n_failed, (unsigned long long)run->n_done);
	}
}

/* -- All of them -- */

/* One channel, from its first call until its connections are gone. */
static void run_channel(struct run *run)
{
	run->channel_used = false;
	endpoint_open(&run->endpoint, run->loop, run->configuration->server_host,
		      (unsigned)run->configuration->server_port, 0);
	loop_schedule(run->loop, &run->next);
	loop_run(run->loop);
	endpoint_free(&run->endpoint);
}

static void run_soak(struct run *run)
{
	const struct configuration *configuration = run->configuration;

	run->iteration = (struct step){
		.method = INTEROP_UNARY,
		.n_requests = 1,
		.requests = { {
			.size = (int32_t)configuration->soak_request_size,
			.n_responses = 1,
			.responses = { { .size = (int32_t)configuration->soak_response_size } },
		} },
	};
	run->began_ns = now(run);
	do {
		run_channel(run);
	} while (!soak_is_over(run));
	judge_soak(run);
}

static bool run_case(const struct configuration *configuration,
		     const struct interop_case *test_case)
{
	struct run run = {
		.configuration = configuration,
		.test_case = test_case,
		.loop = loop_new(),
	};

	if (!run.loop) {
		die("cannot make an event loop");
	}
	timer_init(&run.pause, test_case->soak ? on_iteration : on_pause_over);
	loop_task_init(&run.next, test_case->soak ? on_next_iteration : on_next_step);
	if (test_case->soak) {
		run_soak(&run);
	} else {
		run_channel(&run);
	}
	loop_free(run.loop);
	printf("%s: %s%s\n", test_case->name, run.wrong[0] ? "failed: " : "passed", run.wrong);
	fflush(stdout);
	return !run.wrong[0];
}

/* NULL: there is none of that name. */
static const struct interop_case *find_case(struct str name)
{
	for (const struct interop_case *one = interop_cases; one->name; one++) {
		if (str_equal(name, str_from(one->name))) {
			return one;
		}
	}
	return NULL;
}

/* The next of names that commas separate. */
static struct str next_name(const char **names)
{
	struct str name = { *names, strcspn(*names, ",") };

	*names += name.len;
	*names += **names == ',';
	return name;
}

/* The exit code. */
static int run_cases(const struct configuration *configuration)
{
	int code = 0;

	for (const char *names = configuration->test_case; *names;) {
		struct str name = next_name(&names);

		if (!find_case(name)) {
			fprintf(stderr, "interop-client: there is no case %.*s\n", STR_ARG(name));
			return 2;
		}
	}
	for (const char *names = configuration->test_case; *names;) {
		if (!run_case(configuration, find_case(next_name(&names)))) {
			code = 1;
		}
	}
	return code;
}

int main(int argc, char **argv)
{
	struct configuration configuration;
	char error[256];
	int code = 2;

	signal(SIGPIPE, SIG_IGN);
	switch (options_parse(&options, &configuration, argc, argv, NULL, NULL, NULL, error,
			      sizeof(error))) {
	case OPTIONS_HELP:
		options_help(&options, stdout);
		code = 0;
		break;
	case OPTIONS_OK:
		if (configuration.use_tls) {
			fprintf(stderr, "interop-client: there is no TLS here\n");
		} else {
			code = run_cases(&configuration);
		}
		break;
	default:
		fprintf(stderr, "interop-client: %s\n", error);
		break;
	}
	options_free(&options, &configuration, NULL);
	return code;
}
