/* What a scrape shows of a run is what its recorder holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../failing.h"
#include "base/buffer.h"
#include "client/instruments.h"
#include "metrics/exposition.h"
#include "metrics/parse.h"

struct stage {
	struct instruments instruments;
	struct recorder results, warmup;
	struct counter received, sent;
	double rate; /* negative: none */
};

static bool offered_rate(void *user, double *ret_rate)
{
	const struct stage *stage = user;

	*ret_rate = stage->rate;
	return stage->rate >= 0;
}

static int show(struct stage *stage, bool open_loop)
{
	const struct instruments_run run = {
		.service = "muzz.Service",
		.method = "Echo",
		.results = &stage->results,
		.warmup = &stage->warmup,
		.received_bytes = &stage->received,
		.sent_bytes = &stage->sent,
		.offered_rate = open_loop ? offered_rate : NULL,
		.user = stage,
	};

	stage->results.open_loop = open_loop;
	return instruments_show(&stage->instruments, &run);
}

static void stage_init(struct stage *stage, bool open_loop)
{
	*stage = (struct stage){ .rate = 250 };
	assert_int_equal(recorder_init(&stage->results), 0);
	assert_int_equal(recorder_init(&stage->warmup), 0);
	assert_int_equal(instruments_init(&stage->instruments), 0);
	assert_int_equal(show(stage, open_loop), 0);
}

static void stage_deinit(struct stage *stage)
{
	instruments_deinit(&stage->instruments);
	recorder_deinit(&stage->results);
	recorder_deinit(&stage->warmup);
}

static void start(struct recorder *recorder, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		recorder_due(recorder, 0, 1);
		recorder_started(recorder, 0, false);
	}
}

static void end(struct stage *stage, struct recorder *recorder, const struct recorder_call *call)
{
	recorder_ended(recorder, call);
	instruments_call_ended(&stage->instruments, recorder, call);
}

/* One that was meant for 0, started after 1 ms, was sent after 2 ms and ended after `ms`. */
static struct recorder_call call_of(int64_t ms, enum recorder_end how, enum grpc_status status)
{
	return (struct recorder_call){
		.started_ns = NS_PER_MS,
		.sent_ns = how == RECORDER_NO_SERVER ? -1 : 2 * NS_PER_MS,
		.ended_ns = ms * NS_PER_MS,
		.end = how,
		.status = status,
		.origin = GRPC_FROM_PEER,
	};
}

struct wanted {
	const char *sample; /* "name{label=value,...}", labels in the order of the text */
	size_t found;
	double value;
};

static int compare(void *user, const struct exposition_sample *sample)
{
	struct wanted *wanted = user;
	struct buffer name = BUFFER_INIT;
	struct bytes text;

	assert_int_equal(buffer_append_str(&name, sample->name), 0);
	for (size_t i = 0; i < sample->n_labels; i++) {
		const struct exposition_label *label = &sample->labels[i];

		assert_int_equal(buffer_printf(&name, "%c%.*s=%.*s", i == 0 ? '{' : ',',
					       (int)label->name.len, label->name.data,
					       (int)label->value.len, label->value.data),
				 0);
	}
	if (sample->n_labels > 0) {
		assert_int_equal(buffer_append_str(&name, STR("}")), 0);
	}
	text = buffer_bytes(&name);
	if (str_equal((struct str){ (const char *)text.data, text.len },
		      str_from(wanted->sample))) {
		wanted->found++;
		wanted->value = sample->value;
	}
	buffer_free(&name);
	return 0;
}

/* -1: there is no such sample. */
static double value_of(const struct stage *stage, const char *sample)
{
	struct buffer text = BUFFER_INIT;
	struct wanted wanted = { .sample = sample };
	char why[256] = "";
	struct bytes bytes;

	assert_int_equal(exposition_text.encode(stage->instruments.registry, NULL, &text), 0);
	bytes = buffer_bytes(&text);
	if (exposition_parse((struct str){ (const char *)bytes.data, bytes.len }, compare, &wanted,
			     why, sizeof(why)) < 0) {
		fail_msg("%s", why);
	}
	buffer_free(&text);
	assert_in_range(wanted.found, 0, 1);
	return wanted.found == 1 ? wanted.value : -1;
}

#define METHOD "{grpc_method=Echo,grpc_service=muzz.Service,grpc_type=unary}"
#define HANDLED(code)                               \
	"grpc_client_handled_total{grpc_code=" code \
	",grpc_method=Echo,grpc_service=muzz.Service,grpc_type=unary}"

#define assert_sample(stage, sample, expected)                                        \
	do {                                                                          \
		double is = value_of(stage, sample);                                  \
		if (is != (double)(expected)) {                                       \
			fail_msg("%s is %g, not %g", sample, is, (double)(expected)); \
		}                                                                     \
	} while (0)

static void test_everything_stands_at_zero_before_the_first_call(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, false);
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		char sample[160];

		snprintf(sample, sizeof(sample), HANDLED("%s"), grpc_status_camel_name(status));
		assert_sample(&stage, sample, 0);
	}
	assert_sample(&stage, "grpc_calls_total{method=Echo,status=success}", 0);
	assert_sample(&stage, "grpc_calls_total{method=Echo,status=fail}", 0);
	assert_sample(&stage, "grpc_client_started_total" METHOD, 0);
	assert_sample(&stage, "grpc_call_latency_seconds_count", 0);
	assert_sample(&stage, "echod_client_in_flight", 0);
	assert_sample(&stage, "echod_client_goaway_received_total{error_code=other}", 0);
	stage_deinit(&stage);
}

static void test_calls_are_those_of_the_recorder(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, true);
	start(&stage.results, 9);
	recorder_due(&stage.results, 0, 2);
	recorder_never_sent(&stage.results, 2);
	const struct recorder_call calls[] = {
		call_of(4, RECORDER_ANSWERED, GRPC_OK),
		call_of(4, RECORDER_ANSWERED, GRPC_OK),
		call_of(4, RECORDER_MISMATCHED, GRPC_OK),
		call_of(4, RECORDER_ANSWERED, GRPC_UNAVAILABLE),
		call_of(4, RECORDER_NO_SERVER, GRPC_UNAVAILABLE),
		call_of(4, RECORDER_ANSWERED, GRPC_CANCELLED),
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		end(&stage, &stage.results, &calls[i]);
	}
	recorder_unfinished(&stage.results);
	assert_sample(&stage, "grpc_client_started_total" METHOD, 9);
	assert_sample(&stage, HANDLED("OK"), 3);
	assert_sample(&stage, HANDLED("Unavailable"), 2);
	assert_sample(&stage, HANDLED("Canceled"), 1);
	assert_sample(&stage, "grpc_calls_total{method=Echo,status=success}", 2);
	assert_sample(&stage, "grpc_calls_total{method=Echo,status=fail}", 4);
	assert_sample(&stage, "echod_client_in_flight", 2);
	assert_sample(&stage, "echod_client_unfinished_total", 1);
	assert_sample(&stage, "echod_client_never_sent_total", 2);
	assert_sample(&stage, "echod_client_due_total", 11);
	assert_sample(&stage, "echod_client_mismatched_total", 1);
	assert_sample(&stage, "echod_client_without_server_total", 1);
	stage_deinit(&stage);
}

static void test_what_was_injected_and_messages(void **state)
{
	struct stage stage;
	struct recorder_call failed = call_of(4, RECORDER_ANSWERED, GRPC_UNAVAILABLE);
	struct recorder_call ok = call_of(30, RECORDER_ANSWERED, GRPC_OK);
	struct recorder_call wrong = call_of(30, RECORDER_MISMATCHED, GRPC_OK);

	(void)state;
	stage_init(&stage, false);
	assert_sample(&stage, "grpc_client_msg_received_total" METHOD, 0);
	assert_sample(&stage, "echod_client_injected_total{grpc_code=Canceled}", 0);
	start(&stage.results, 4);
	end(&stage, &stage.results, &failed);
	failed.injected.word = (enum injected_word)GRPC_UNAVAILABLE;
	end(&stage, &stage.results, &failed);
	ok.injected.delay_ns = NS_PER_S / 64;
	end(&stage, &stage.results, &ok);
	end(&stage, &stage.results, &wrong);
	assert_sample(&stage, "echod_client_injected_total{grpc_code=Unavailable}", 1);
	assert_sample(&stage, HANDLED("Unavailable"), 2);
	assert_sample(&stage, "echod_client_injected_delays_total", 1);
	assert_sample(&stage, "echod_client_injected_delay_seconds_total", 1. / 64);
	assert_sample(&stage, "grpc_client_msg_sent_total" METHOD, 4);
	assert_sample(&stage, "grpc_client_msg_received_total" METHOD, 2);
	stage_deinit(&stage);
}

static void test_each_time_counts_from_its_own_beginning(void **state)
{
	struct stage stage;
	struct recorder_call ok = call_of(102, RECORDER_ANSWERED, GRPC_OK);
	struct recorder_call failed = call_of(12, RECORDER_ANSWERED, GRPC_INTERNAL);
	struct recorder_call nobody = call_of(1001, RECORDER_NO_SERVER, GRPC_UNAVAILABLE);

	(void)state;
	stage_init(&stage, true);
	start(&stage.results, 4);
	end(&stage, &stage.results, &ok);
	end(&stage, &stage.results, &failed);
	end(&stage, &stage.results, &nobody);
	ok.deferred = true;
	end(&stage, &stage.results, &ok);
	/* From the hand-over: 101, 101, 11, 1000 ms. */
	assert_sample(&stage, "grpc_call_latency_seconds_count", 4);
	assert_sample(&stage, "grpc_call_latency_seconds_sum", .101 + .011 + 1 + .101);
	assert_sample(&stage, "grpc_call_latency_seconds_bucket{le=0.1}", 1);
	assert_sample(&stage, "grpc_call_latency_seconds_bucket{le=1}", 4);
	assert_sample(&stage, "grpc_client_handling_seconds_count" METHOD, 4);
	/* From the intended start: 102 and 102 ms; 12 ms. */
	assert_sample(&stage, "echod_client_latency_seconds_sum{status=success}", .204);
	assert_sample(&stage, "echod_client_latency_seconds_count{status=fail}", 1);
	assert_sample(&stage, "echod_client_latency_seconds_sum{status=fail}", .012);
	/* From the sending: 100 ms, which its bucket includes; 10 ms. */
	assert_sample(&stage, "echod_client_service_seconds_bucket{status=success,le=0.1}", 2);
	assert_sample(&stage, "echod_client_service_seconds_bucket{status=success,le=0.05}", 0);
	assert_sample(&stage, "echod_client_service_seconds_sum{status=fail}", .01);
	/* What waited for a place is not the generator's lateness. */
	assert_sample(&stage, "echod_client_lag_seconds_count", 3);
	assert_sample(&stage, "echod_client_lag_seconds_bucket{le=0.001}", 3);
	assert_sample(&stage, "echod_client_lag_seconds_bucket{le=0.0005}", 0);
	stage_deinit(&stage);
}

static void test_counts_of_histograms_are_those_of_the_recorder(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, true);
	for (int i = 0; i < 500; i++) {
		struct recorder_call call = call_of(3 + i % 70, (enum recorder_end)(i % 3),
						    (enum grpc_status)(i % GRPC_STATUS_COUNT));

		call.deferred = i % 5 == 0;
		call.sent_ns = i % 11 == 0 ? -1 : call.sent_ns;
		start(&stage.results, 1);
		end(&stage, &stage.results, &call);
	}
	assert_sample(&stage, "echod_client_latency_seconds_count{status=success}",
		      latencies_count(stage.results.latency_ok));
	assert_sample(&stage, "echod_client_latency_seconds_count{status=fail}",
		      latencies_count(stage.results.latency_failed));
	assert_sample(&stage, "echod_client_service_seconds_count{status=success}",
		      latencies_count(stage.results.service_ok));
	assert_sample(&stage, "echod_client_service_seconds_count{status=fail}",
		      latencies_count(stage.results.service_failed));
	assert_sample(&stage, "echod_client_lag_seconds_count", latencies_count(stage.results.lag));
	assert_sample(&stage, "grpc_call_latency_seconds_count", recorder_done(&stage.results));
	stage_deinit(&stage);
}

static void test_a_warm_up_is_apart(void **state)
{
	struct stage stage;
	struct recorder_call call = call_of(4, RECORDER_ANSWERED, GRPC_OK);

	(void)state;
	stage_init(&stage, false);
	start(&stage.warmup, 3);
	end(&stage, &stage.warmup, &call);
	stage.warmup.connections.opened = 2;
	stage.warmup.connections.goaways[HTTP2_NO_ERROR] = 1;
	stage.results.connections.opened = 1;
	stage.results.connections.renewed = 1;
	stage.results.connections.goaways[HTTP2_NO_ERROR] = 1;
	assert_sample(&stage, "echod_client_warmup_calls_total", 3);
	assert_sample(&stage, "echod_client_in_flight", 2);
	assert_sample(&stage, "grpc_client_started_total" METHOD, 0);
	assert_sample(&stage, "grpc_call_latency_seconds_count", 0);
	assert_sample(&stage, "echod_client_connections_opened_total", 3);
	assert_sample(&stage, "echod_client_connections_renewed_total", 1);
	assert_sample(&stage, "echod_client_goaway_received_total{error_code=NO_ERROR}", 2);
	stage_deinit(&stage);
}

static void test_what_there_is_not_is_not_shown(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, false);
	assert_sample(&stage, "echod_client_offered_rate", -1);
	assert_sample(&stage, "echod_client_lag_seconds_count", -1);
	stage_deinit(&stage);
	stage_init(&stage, true);
	assert_sample(&stage, "echod_client_offered_rate", 250);
	assert_sample(&stage, "echod_client_lag_seconds_count", 0);
	stage.rate = -1;
	assert_sample(&stage, "echod_client_offered_rate", -1);
	counter_add(&stage.received, 7);
	counter_add(&stage.sent, 8);
	assert_sample(&stage, "echod_client_network_receive_bytes_total", 7);
	assert_sample(&stage, "echod_client_network_transmit_bytes_total", 8);
	stage_deinit(&stage);
}

static void test_nothing_is_observed_that_nobody_asked_for(void **state)
{
	struct instruments instruments;
	struct recorder recorder;
	struct recorder_call call = call_of(4, RECORDER_ANSWERED, GRPC_OK);

	(void)state;
	assert_int_equal(instruments_init(&instruments), 0);
	assert_int_equal(recorder_init(&recorder), 0);
	instruments_call_ended(&instruments, &recorder, &call);
	recorder_deinit(&recorder);
	instruments_deinit(&instruments);
}

static void test_every_allocation_fails_in_turn(void **state)
{
	struct stage stage = { .rate = 0 };
	long n = 0;
	int err = -1;

	(void)state;
	assert_int_equal(recorder_init(&stage.results), 0);
	assert_int_equal(recorder_init(&stage.warmup), 0);
	while (err < 0) {
		failing_at = n++;
		err = instruments_init(&stage.instruments);
		if (err == 0) {
			err = show(&stage, true);
		}
		assert_int_equal(err, failing_at < 0 ? -ENOMEM : 0);
		failing_at = -1;
		instruments_deinit(&stage.instruments);
	}
	assert_true(n > 60);
	recorder_deinit(&stage.results);
	recorder_deinit(&stage.warmup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_stands_at_zero_before_the_first_call),
		cmocka_unit_test(test_calls_are_those_of_the_recorder),
		cmocka_unit_test(test_what_was_injected_and_messages),
		cmocka_unit_test(test_each_time_counts_from_its_own_beginning),
		cmocka_unit_test(test_counts_of_histograms_are_those_of_the_recorder),
		cmocka_unit_test(test_a_warm_up_is_apart),
		cmocka_unit_test(test_what_there_is_not_is_not_shown),
		cmocka_unit_test(test_nothing_is_observed_that_nobody_asked_for),
		cmocka_unit_test(test_every_allocation_fails_in_turn),
	};

	return cmocka_run_group_tests_name("client/instruments", tests, NULL, NULL);
}
