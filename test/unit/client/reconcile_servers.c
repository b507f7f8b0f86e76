/*
 * Reconciling over sockets, with servers in threads that say what they are told to:
 * the truth, lies, or nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/reconcile.h"
#include "client/report.h"

#define ID          "00000000000000aa"
#define MAX_ANSWERS 6

/* Answers that are none. */
static const char *const SILENCE = "silence", *const RESET = "reset", *const HUGE_BODY = "huge";
static const char ENDLESS[] = "endless"; /* of /-/runs/ID: there is always another part */

struct fake {
	int fd;
	pthread_t thread;
	char url[64];
	const char *metrics[MAX_ANSWERS]; /* one after the other; the last stays */
	size_t n_asked;
	const char *run; /* of /-/runs/ID; NULL: 404 */
	int held[16];    /* connections that are left without an answer */
	size_t n_held, n_parts;
};

static void send_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		if (sent <= 0) {
			return;
		}
		text += sent;
		n -= (size_t)sent;
	}
}

static void send_answer(int fd, const char *status, const char *body)
{
	char head[128];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status,
		 strlen(body));
	send_all(fd, head, strlen(head));
	send_all(fd, body, strlen(body));
}

/* Comments without end. */
static void send_huge(int fd)
{
	static char line[8192];

	memset(line, '#', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	send_all(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
	for (int i = 0; i < 4096; i++) {
		send_all(fd, line, sizeof(line));
	}
}

static void send_part(struct fake *fake, int fd, unsigned long from)
{
	char body[256];

	usleep(20000);
	fake->n_parts++;
	snprintf(body, sizeof(body),
		 "{\"run\":\"" ID "\",\"untracked\":0,\"lost\":0,\"from\":%lu,\"next\":%lu,"
		 "\"sets\":{\"received\":\"\",\"duplicated\":\"\",\"answered\":\"\"}}",
		 from, from + 1024);
	send_answer(fd, "200 OK", body);
}

static void serve(struct fake *fake, int fd)
{
	char request[2048];
	const char *answer = NULL;
	size_t n = 0;

	do {
		ssize_t got = recv(fd, request + n, sizeof(request) - 1 - n, 0);

		if (got <= 0) {
			close(fd);
			return;
		}
		n += (size_t)got;
		request[n] = '\0';
	} while (!strstr(request, "\r\n\r\n"));
	if (strncmp(request, "GET /-/runs/" ID "?from=", 28 + 6) == 0 && fake->run == ENDLESS) {
		send_part(fake, fd, strtoul(request + 28 + 6, NULL, 10));
		close(fd);
		return;
	}
	if (strncmp(request, "GET /-/runs/" ID "?from=", 28 + 6) == 0) {
		send_answer(fd, fake->run ? "200 OK" : "404 Not Found", fake->run ? fake->run : "");
		close(fd);
		return;
	}
	answer = fake->metrics[fake->n_asked];
	fake->n_asked += fake->n_asked + 1 < MAX_ANSWERS && fake->metrics[fake->n_asked + 1];
	if (answer == SILENCE) {
		fake->held[fake->n_held++] = fd;
		return;
	}
	if (answer == HUGE_BODY) {
		send_huge(fd);
	} else if (answer == RESET) {
		struct linger now = { 1, 0 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	} else {
		send_answer(fd, "200 OK", answer);
	}
	close(fd);
}

static void *run_fake(void *user)
{
	struct fake *fake = user;
	int fd;

	while ((fd = accept(fake->fd, NULL, NULL)) >= 0) {
		serve(fake, fd);
	}
	return NULL;
}

static void fake_start(struct fake *fake)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	fake->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fake->fd >= 0);
	assert_int_equal(bind(fake->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fake->fd, 16), 0);
	assert_int_equal(getsockname(fake->fd, (struct sockaddr *)&address, &len), 0);
	snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%d/metrics",
		 ntohs(address.sin_port));
	assert_int_equal(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
}

/* Its port refuses from here on. */
static void fake_stop(struct fake *fake)
{
	shutdown(fake->fd, SHUT_RDWR);
	pthread_join(fake->thread, NULL);
	close(fake->fd);
	for (size_t i = 0; i < fake->n_held; i++) {
		close(fake->held[i]);
	}
	fake->n_held = 0;
}

/* -- The client's side -- */

struct bench {
	struct loop *loop;
	struct reconcile *reconcile;
	const char *urls[4];
	int done;
	char why[400];
	struct recorder totals;
	struct run run;
};

static void on_done(void *user, const char *why)
{
	struct bench *bench = user;

	bench->done++;
	snprintf(bench->why, sizeof(bench->why), "%s", why ? why : "");
}

static void bench_init(struct bench *bench, struct fake *fakes, size_t n, int64_t timeout_ns)
{
	struct reconcile_options options = { .urls = bench->urls,
					     .n = n,
					     .run_id = ID,
					     .method = "muzz.Service/Echo",
					     .timeout_ns = timeout_ns };

	memset(bench, 0, sizeof(*bench));
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < n; i++) {
		fake_start(&fakes[i]);
		bench->urls[i] = fakes[i].url;
	}
	bench->loop = options.loop = loop_new();
	assert_non_null(bench->loop);
	bench->reconcile = reconcile_new(&options);
	assert_non_null(bench->reconcile);
	assert_int_equal(recorder_init(&bench->totals), 0);
	assert_int_equal(run_init(&bench->run), 0);
}

static void bench_deinit(struct bench *bench)
{
	reconcile_free(bench->reconcile);
	loop_run(bench->loop);
	loop_free(bench->loop);
	recorder_deinit(&bench->totals);
	run_deinit(&bench->run);
}

static const char *begin(struct bench *bench)
{
	bench->done = 0;
	reconcile_begin(bench->reconcile, on_done, bench);
	assert_int_equal(bench->done, 0); /* never from inside */
	loop_run(bench->loop);
	assert_int_equal(bench->done, 1);
	return bench->why;
}

static const char *end(struct bench *bench)
{
	bench->done = 0;
	reconcile_end(bench->reconcile, on_done, bench);
	assert_int_equal(bench->done, 0);
	loop_run(bench->loop);
	assert_int_equal(bench->done, 1);
	assert_int_equal(reconcile_result(bench->reconcile, &bench->totals, &bench->run), 0);
	return bench->why;
}

/* So many calls, all sent, those from `lost` on without an answer. */
static void make_calls(struct bench *bench, uint64_t n, uint64_t lost)
{
	for (uint64_t i = 0; i < n; i++) {
		reconcile_sent(bench->reconcile, i);
		if (i < lost) {
			reconcile_answered(bench->reconcile, i);
			bench->totals.by_origin[GRPC_FROM_PEER][GRPC_OK]++;
		}
	}
}

#define ECHO "{grpc_service=\"muzz.Service\",grpc_method=\"Echo\""
/* A server's counts: begun, ended OK, ended CANCELLED. */
#define COUNTS(started, ok, cancelled, since)                                        \
	"grpc_server_started_total" ECHO "} " #started "\n"                          \
	"grpc_server_handled_total" ECHO ",grpc_code=\"OK\"} " #ok "\n"              \
	"grpc_server_handled_total" ECHO ",grpc_code=\"Canceled\"} " #cancelled "\n" \
	"process_start_time_seconds " #since "\n"
#define RUN(received, twice, answered)                                                        \
	"{\"run\":\"" ID "\",\"untracked\":0,\"lost\":0,\"from\":0,\"next\":null,\"sets\":{"  \
	"\"received\":\"" received "\",\"duplicated\":\"" twice "\",\"answered\":\"" answered \
	"\"}}"

static void no_difference_is_said_to_be_none(void **state)
{
	struct fake fakes[] = {
		{ .metrics = { COUNTS(5, 5, 0, 1), COUNTS(15, 15, 0, 1) },
		  .run = RUN("0-9", "", "0-9") },
		{ .metrics = { "x 1\n", COUNTS(90, 90, 0, 2) }, .run = RUN("10-99", "", "10-99") },
	};
	const struct run_reconciliation *result;
	struct bench bench;

	(void)state;
	bench_init(&bench, fakes, 2, 10 * NS_PER_S);
	assert_string_equal(begin(&bench), "");
	make_calls(&bench, 100, 100);
	assert_string_equal(end(&bench), "");
	result = &bench.run.reconciliation;
	assert_int_equal(result->n, 2);
	assert_true(result->complete && result->by_call);
	assert_int_equal(result->sent, 100);
	assert_int_equal(result->received, 100);
	assert_int_equal(result->answered, 100);
	assert_int_equal(result->servers[0].received, 10);
	assert_int_equal(result->servers[1].by_status[GRPC_OK], 90);
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		assert_int_equal(result->by_status[i], 0);
	}
	assert_int_equal(result->never_arrived + result->arrived_twice + result->answer_lost, 0);
	assert_null(result->examples);
	fake_stop(&fakes[0]);
	fake_stop(&fakes[1]);
	bench_deinit(&bench);
}

static void off_by_one_is_off_by_one(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(0, 0, 0, 1), COUNTS(100, 99, 1, 1) },
		.run = RUN("0-49,51-99", "7", "0-49,51-99"),
	};
	const struct run_reconciliation *result;
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 100, 98);
	bench.totals.mismatched = 1; /* one of the answers was wrong, and an answer */
	bench.totals.by_origin[GRPC_FROM_PEER][GRPC_OK]--;
	bench.totals.by_origin[GRPC_FROM_HERE][GRPC_DEADLINE_EXCEEDED] = 2; /* given up */
	end(&bench);
	result = &bench.run.reconciliation;
	assert_true(result->complete && result->by_call);
	assert_int_equal(result->sent, 100);
	assert_int_equal(result->received, 100);
	assert_int_equal(result->answered, 98);
	assert_int_equal(result->by_status[GRPC_OK], 1);
	assert_int_equal(result->by_status[GRPC_CANCELLED], 1);
	assert_int_equal(result->by_status[GRPC_DEADLINE_EXCEEDED], 0);
	assert_int_equal(result->never_arrived, 1);
	assert_int_equal(result->arrived_twice, 1);
	assert_int_equal(result->answer_lost, 2);
	assert_string_equal(result->examples, "never arrived: 50; arrived twice: 7; "
					      "answered and not received: 98-99");
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void examples_are_bounded(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(0, 0, 0, 1), COUNTS(7, 7, 0, 1) },
		.run = RUN("1,3,5,7,9,11,13", "", ""),
	};
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 14, 14);
	end(&bench); /* what is missing is waited for, for a while, and then is missing */
	assert_string_equal(bench.run.reconciliation.examples, "never arrived: 0, 2, 4, 6, 8, ...");
	assert_int_equal(bench.run.reconciliation.by_status[GRPC_OK], -7);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void calls_in_flight_are_waited_for(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(0, 0, 0, 1), COUNTS(3, 1, 0, 1), COUNTS(5, 3, 1, 1),
			     COUNTS(5, 4, 1, 1) },
		.run = RUN("0-4", "", "0-3"),
	};
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 60 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 5, 4);
	assert_string_equal(end(&bench), "");
	assert_true(bench.run.reconciliation.complete);
	assert_int_equal(bench.run.reconciliation.received, 5);
	assert_int_equal(bench.run.reconciliation.by_status[GRPC_OK], 0);
	assert_int_equal(bench.run.reconciliation.by_status[GRPC_CANCELLED], 1);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void calls_that_stay_in_flight_are_not_waited_for_for_ever(void **state)
{
	struct fake fake = { .metrics = { COUNTS(0, 0, 0, 1), COUNTS(5, 3, 0, 1) } };
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 500 * NS_PER_MS);
	begin(&bench);
	make_calls(&bench, 5, 3);
	assert_string_equal(end(&bench), "");
	assert_false(bench.run.reconciliation.complete || bench.run.reconciliation.by_call);
	assert_int_equal(bench.run.reconciliation.received, 5);
	assert_int_equal(bench.run.reconciliation.servers[0].in_flight, 2);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void a_restart_is_said(void **state)
{
	struct fake fake = { .metrics = { COUNTS(5, 5, 0, 1), COUNTS(6, 6, 0, 2) } };
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 500 * NS_PER_MS);
	begin(&bench);
	make_calls(&bench, 10, 10);
	end(&bench);
	assert_true(bench.run.reconciliation.servers[0].restarted);
	assert_false(bench.run.reconciliation.complete || bench.run.reconciliation.by_call);
	assert_int_equal(bench.run.reconciliation.received, 6);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void servers_that_keep_no_runs_are_compared_by_code_alone(void **state)
{
	static const char *const answers[] = { NULL, "", "<html>", RUN("0-10", "", "0-9") "trash",
					       RUN("x", "", "") };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct fake fake = { .metrics = { COUNTS(0, 0, 0, 1), COUNTS(9, 9, 0, 1) },
				     .run = answers[i] };
		struct bench bench;

		bench_init(&bench, &fake, 1, 10 * NS_PER_S);
		begin(&bench);
		make_calls(&bench, 9, 9);
		assert_string_equal(end(&bench), "");
		assert_true(bench.run.reconciliation.complete);
		assert_false(bench.run.reconciliation.by_call);
		assert_int_equal(bench.run.reconciliation.received, 9);
		fake_stop(&fake);
		bench_deinit(&bench);
	}
}

static void a_server_that_got_nothing_need_not_know_the_run(void **state)
{
	struct fake fakes[] = {
		{ .metrics = { COUNTS(0, 0, 0, 1), COUNTS(9, 9, 0, 1) },
		  .run = RUN("0-8", "", "0-8") },
		{ .metrics = { COUNTS(7, 7, 0, 1) } },
	};
	struct bench bench;

	(void)state;
	bench_init(&bench, fakes, 2, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 9, 9);
	end(&bench);
	assert_true(bench.run.reconciliation.by_call && bench.run.reconciliation.complete);
	assert_int_equal(bench.run.reconciliation.never_arrived, 0);
	fake_stop(&fakes[0]);
	fake_stop(&fakes[1]);
	bench_deinit(&bench);
}

static void what_cannot_be_read_before_the_run_is_told(void **state)
{
	const struct {
		const char *answer, *why;
	} rows[] = {
		{ "<html></html>\n", "its metrics cannot be read: line 1: malformed metric name" },
		{ "grpc_server_started_total" ECHO "} -1\n", "a count that is no whole number" },
		{ HUGE_BODY, "the answer is larger than 16777216 bytes" },
		{ SILENCE, "no answer in time" },
		{ RESET, "the connection was" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake fakes[] = { { .metrics = { rows[i].answer } },
					{ .metrics = { COUNTS(0, 0, 0, 1) } } };
		struct bench bench;

		bench_init(&bench, fakes, 2,
			   rows[i].answer == SILENCE ? 300 * NS_PER_MS : 30 * NS_PER_S);
		assert_non_null(strstr(begin(&bench), rows[i].why));
		assert_non_null(strstr(bench.why, fakes[0].url));
		fake_stop(&fakes[0]);
		fake_stop(&fakes[1]);
		bench_deinit(&bench);
	}
}

static void a_server_that_is_gone_after_the_run_is_told_beside_the_others(void **state)
{
	const char *const answers[] = { NULL, "garbage\n", SILENCE };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fake fakes[] = { { .metrics = { COUNTS(0, 0, 0, 1), answers[i] } },
					{ .metrics = { COUNTS(0, 0, 0, 1), COUNTS(6, 6, 0, 1) } } };
		const struct run_reconciliation *result;
		struct bench bench;

		bench_init(&bench, fakes, 2, 700 * NS_PER_MS);
		assert_string_equal(begin(&bench), "");
		make_calls(&bench, 9, 9);
		if (!answers[i]) {
			fake_stop(&fakes[0]);
		}
		assert_non_null(strstr(end(&bench), fakes[0].url));
		result = &bench.run.reconciliation;
		assert_non_null(result->servers[0].problem);
		assert_null(result->servers[1].problem);
		assert_false(result->complete || result->by_call);
		assert_int_equal(result->received, 6);
		assert_int_equal(result->by_status[GRPC_OK], -3);
		if (answers[i]) {
			fake_stop(&fakes[0]);
		}
		fake_stop(&fakes[1]);
		bench_deinit(&bench);
	}
}

#define INJECTED(kind, code, n) \
	"echod_faults_injected_total{kind=\"" kind "\",code=\"" code "\"} " #n "\n"
#define FAILED(unavailable) \
	"grpc_server_handled_total" ECHO ",grpc_code=\"Unavailable\"} " #unavailable "\n"

/*
 * Of 20 calls 4 were injected, and all but one of them told; 2 closed their connections,
 * and took one along; 1 more ended there with the same status, which nothing explains.
 */
static void what_was_injected_is_compared_with_what_was_told(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(5, 5, 0, 1) FAILED(0) INJECTED("status", "Unavailable", 2)
				     INJECTED("close", "Unavailable", 0),
			     COUNTS(25, 17, 0, 1) FAILED(8) INJECTED("status", "Unavailable", 6)
				     INJECTED("close", "Unavailable",
					      2) "echod_fault_calls_taken_along_total 1\n" },
	};
	const struct run_reconciliation *result;
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 20, 12);
	bench.totals.by_origin[GRPC_FROM_PEER][GRPC_UNAVAILABLE] = 4;
	bench.totals.by_origin[GRPC_FROM_TRANSPORT][GRPC_UNAVAILABLE] = 4;
	bench.totals.injected.by_word[GRPC_UNAVAILABLE] = 3;
	end(&bench);
	result = &bench.run.reconciliation;
	assert_true(result->complete && result->ledger);
	assert_int_equal(result->by_status[GRPC_UNAVAILABLE], 4);
	assert_int_equal(result->explained[GRPC_UNAVAILABLE], 3);
	assert_int_equal(run_unexplained(result, GRPC_UNAVAILABLE), 1);
	assert_int_equal(result->faults[GRPC_UNAVAILABLE], 4);
	assert_int_equal(result->faults[INJECTED_CLOSE], 2);
	assert_int_equal(run_untold(result, (enum injected_word)GRPC_UNAVAILABLE), 1);
	fake_stop(&fake);
	bench_deinit(&bench);
}

/* 5 hung: 1 was ended by its server, 1 by the deadline there, and 2 of 3 were cancelled. */
static void a_hang_may_end_as_the_servers_deadline_or_as_the_clients(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(0, 0, 0, 1),
			     COUNTS(20, 15, 3, 1) "grpc_server_handled_total" ECHO
						  ",grpc_code=\"DeadlineExceeded\"} 2\n" INJECTED(
							  "hang", "DeadlineExceeded", 4) },
	};
	const struct run_reconciliation *result;
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 20, 15);
	bench.totals.by_origin[GRPC_FROM_PEER][GRPC_DEADLINE_EXCEEDED] = 1;
	bench.totals.injected.by_word[INJECTED_HANG] = 1;
	end(&bench);
	result = &bench.run.reconciliation;
	assert_int_equal(result->explained[GRPC_DEADLINE_EXCEEDED], 1);
	assert_int_equal(result->explained[GRPC_CANCELLED], 2);
	assert_int_equal(run_unexplained(result, GRPC_CANCELLED), 1); /* that was no fault */
	fake_stop(&fake);
	bench_deinit(&bench);
}

/* One that has ever more to tell, each time after a while. */
static void a_server_that_never_comes_to_an_end_is_not_listened_to_for_ever(void **state)
{
	struct fake fake = {
		.metrics = { COUNTS(0, 0, 0, 1), COUNTS(3, 3, 0, 1) },
		.run = ENDLESS,
	};
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 500 * NS_PER_MS);
	begin(&bench);
	make_calls(&bench, 3, 3);
	end(&bench);
	assert_true(bench.run.reconciliation.complete);
	assert_false(bench.run.reconciliation.by_call);
	assert_in_range(fake.n_parts, 1, 200); /* of 16384 that there can be */
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void where_no_server_could_be_asked_there_is_nothing_to_differ_from(void **state)
{
	struct fake fake = { .metrics = { COUNTS(0, 0, 0, 1), "garbage\n" } };
	struct buffer json = BUFFER_INIT;
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 3, 3);
	end(&bench);
	assert_int_equal(bench.run.reconciliation.answered, 3);
	assert_int_equal(bench.run.reconciliation.by_status[GRPC_OK], 0);
	assert_int_equal(report_json(&json, &bench.run), 0);
	assert_int_equal(buffer_append(&json, "", 1), 0);
	assert_non_null(strstr((const char *)buffer_data(&json), "\"difference\":null"));
	buffer_free(&json);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void servers_that_count_something_else_are_no_truth(void **state)
{
	struct fake fake = { .metrics = { "up 1\n" } };
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 500 * NS_PER_MS);
	begin(&bench);
	make_calls(&bench, 3, 3);
	assert_non_null(strstr(end(&bench), "no grpc_server_started_total of muzz.Service/Echo"));
	assert_false(bench.run.reconciliation.complete);
	assert_non_null(bench.run.reconciliation.servers[0].problem);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void what_nobody_listens_on_or_has_no_address_is_told_before_the_run(void **state)
{
	struct fake fake = { .metrics = { "" } };
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	fake_stop(&fake);
	assert_non_null(strstr(begin(&bench), "connection refused"));
	bench_deinit(&bench);

	struct reconcile_options options = {
		.urls = (const char *const[]){ "http://no-such-host.invalid:1/metrics" },
		.n = 1,
		.run_id = ID,
		.method = "muzz.Service/Echo",
		.timeout_ns = NS_PER_S,
	};

	memset(&bench, 0, sizeof(bench));
	bench.loop = options.loop = loop_new();
	bench.reconcile = reconcile_new(&options);
	assert_int_equal(recorder_init(&bench.totals), 0);
	assert_int_equal(run_init(&bench.run), 0);
	assert_non_null(strstr(begin(&bench), "cannot resolve no-such-host.invalid:1"));
	bench_deinit(&bench);
}

static void on_abort(struct timer *timer);

struct aborter {
	struct timer timer;
	struct bench *bench;
};

static void on_abort(struct timer *timer)
{
	struct aborter *aborter = (struct aborter *)timer;

	reconcile_abort(aborter->bench->reconcile);
}

static void an_abort_ends_it_without_a_word(void **state)
{
	struct fake fake = { .metrics = { SILENCE } };
	struct bench bench;
	struct aborter aborter = { .bench = &bench };

	(void)state;
	bench_init(&bench, &fake, 1, 3600 * NS_PER_S);
	reconcile_begin(bench.reconcile, on_done, &bench);
	reconcile_abort(bench.reconcile); /* before anything */
	loop_run(bench.loop);
	reconcile_begin(bench.reconcile, on_done, &bench);
	timer_init(&aborter.timer, on_abort);
	timer_start(loop_timers(bench.loop), &aborter.timer, 50 * NS_PER_MS);
	loop_run(bench.loop);
	assert_int_equal(bench.done, 0);
	fake_stop(&fake);
	bench_deinit(&bench);
}

static void calls_beyond_what_is_told_apart_are_counted(void **state)
{
	struct fake fake = { .metrics = { COUNTS(0, 0, 0, 1), COUNTS(3, 3, 0, 1) },
			     .run = RUN("0", "", "0") };
	struct bench bench;

	(void)state;
	bench_init(&bench, &fake, 1, 10 * NS_PER_S);
	begin(&bench);
	make_calls(&bench, 1, 1);
	for (uint64_t i = RECONCILE_MAX_CALLS; i < RECONCILE_MAX_CALLS + 2; i++) {
		reconcile_sent(bench.reconcile, i);
		reconcile_answered(bench.reconcile, i);
	}
	end(&bench);
	assert_int_equal(bench.run.reconciliation.sent, 3);
	assert_int_equal(bench.run.reconciliation.untracked, 2);
	assert_true(bench.run.reconciliation.by_call);
	assert_int_equal(bench.run.reconciliation.never_arrived, 0);
	fake_stop(&fake);
	bench_deinit(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_difference_is_said_to_be_none),
		cmocka_unit_test(off_by_one_is_off_by_one),
		cmocka_unit_test(examples_are_bounded),
		cmocka_unit_test(calls_in_flight_are_waited_for),
		cmocka_unit_test(calls_that_stay_in_flight_are_not_waited_for_for_ever),
		cmocka_unit_test(a_restart_is_said),
		cmocka_unit_test(servers_that_keep_no_runs_are_compared_by_code_alone),
		cmocka_unit_test(a_server_that_got_nothing_need_not_know_the_run),
		cmocka_unit_test(what_cannot_be_read_before_the_run_is_told),
		cmocka_unit_test(a_server_that_is_gone_after_the_run_is_told_beside_the_others),
		cmocka_unit_test(what_was_injected_is_compared_with_what_was_told),
		cmocka_unit_test(a_hang_may_end_as_the_servers_deadline_or_as_the_clients),
		cmocka_unit_test(a_server_that_never_comes_to_an_end_is_not_listened_to_for_ever),
		cmocka_unit_test(where_no_server_could_be_asked_there_is_nothing_to_differ_from),
		cmocka_unit_test(servers_that_count_something_else_are_no_truth),
		cmocka_unit_test(what_nobody_listens_on_or_has_no_address_is_told_before_the_run),
		cmocka_unit_test(an_abort_ends_it_without_a_word),
		cmocka_unit_test(calls_beyond_what_is_told_apart_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
