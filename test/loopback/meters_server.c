/*
 * What the serving end counts of its calls: messages, how long they took, those that
 * named no method, and which are examples.
 */
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "stage.h"

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

enum { UNARY, COLLECT, SPREAD, CHAT, UNKNOWN, METHODS };

static const char *const paths[METHODS] = {
	"/test.Streams/Unary", "/test.Streams/Collect", "/test.Streams/Spread",
	"/test.Streams/Chat",  "/test.Streams/None",
};

struct set {
	struct counter started, handled_ok, handled_failed, calls_ok, calls_failed;
	struct counter by_status[GRPC_STATUS_COUNT], received, sent;
	struct gauge in_flight;
	struct histogram latency;
	struct exemplar exemplars[HISTOGRAM_MAX_BOUNDS + 1];
	struct native_histogram duration;
};

struct scene {
	struct stage stage;
	struct set sets[METHODS];
	struct grpc_method_meters meters[METHODS];
	struct grpc_server_meters server_meters;
};

static void bind(struct set *set, struct grpc_method_meters *meters)
{
	histogram_init(&set->latency, &histogram_default_bounds);
	set->latency.exemplars = set->exemplars;
	native_init(&set->duration);
	*meters = (struct grpc_method_meters){
		.started = &set->started,
		.in_flight = &set->in_flight,
		.handled_ok = &set->handled_ok,
		.handled_failed = &set->handled_failed,
		.calls_ok = &set->calls_ok,
		.calls_failed = &set->calls_failed,
		.latency = &set->latency,
		.messages_received = &set->received,
		.messages_sent = &set->sent,
		.duration = &set->duration,
	};
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		meters->by_status[i] = &set->by_status[i];
	}
}

static struct scene *scene_new(const struct peer_options *options)
{
	struct peer_options with = options ? *options : (struct peer_options){ 0 };
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	for (int i = 0; i < METHODS; i++) {
		bind(&scene->sets[i], &scene->meters[i]);
	}
	scene->server_meters.unknown = &scene->meters[UNKNOWN];
	with.meters = &scene->server_meters;
	peer_init(&scene->stage.peer, &with);
	assert_int_equal(grpc_server_add(scene->stage.peer.server, &script_service,
					 &scene->stage.script, scene->meters),
			 0);
	return scene;
}

static void scene_free(struct scene *scene)
{
	stage_deinit(&scene->stage);
	free(scene);
}

static uint64_t count_of(const struct histogram *histogram)
{
	struct histogram_snapshot snapshot;

	histogram_read(histogram, &snapshot);
	return snapshot.cumulative[histogram->bounds->n];
}

/* What counts the same thing says the same. */
static void assert_sums(const struct set *set, unsigned calls)
{
	struct native_snapshot *native = malloc(sizeof(*native));
	uint64_t by_status = 0;

	assert_non_null(native);
	native_read(&set->duration, native);
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		by_status += counter_read(&set->by_status[i]);
	}
	assert_int_equal(counter_read(&set->started), calls);
	assert_int_equal(gauge_read(&set->in_flight), 0);
	assert_int_equal(counter_read(&set->handled_ok) + counter_read(&set->handled_failed),
			 calls);
	assert_int_equal(counter_read(&set->calls_ok) + counter_read(&set->calls_failed), calls);
	assert_int_equal(by_status, calls);
	assert_int_equal(count_of(&set->latency), calls);
	assert_int_equal(native->count, calls);
	assert_true(native->sum == set->latency.sum);
	free(native);
}

static void assert_messages(const struct set *set, unsigned received, unsigned sent)
{
	assert_int_equal(counter_read(&set->received), received);
	assert_int_equal(counter_read(&set->sent), sent);
}

/* -- What handlers do -- */

static void answer(struct script *script, struct str message)
{
	script_send(script, message);
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void send_back(struct script *script, struct str message)
{
	script_send(script, message);
}

static void finish(struct script *script)
{
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void sum_up(struct script *script)
{
	script_send(script, STR("sum"));
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void truncate_it(struct script *script, struct str message)
{
	struct bytes bytes = { (const uint8_t *)message.data, message.len };

	grpc_call_break(script->call, GRPC_BREAK_TRUNCATE, &bytes);
}

static void refuse(struct script *script, struct str message)
{
	(void)message;
	grpc_call_finish(script->call, GRPC_ABORTED, "no");
}

static void answer_and_fail(struct script *script, struct str message)
{
	script_send(script, message);
	grpc_call_finish(script->call, GRPC_ABORTED, "no");
}

static void forget(struct script *script)
{
	script->message = NULL;
	script->half_closed = NULL;
	script_reset(script);
}

/* -- Messages -- */

static void each_shape_counts_its_messages(void **state)
{
	struct scene *scene = scene_new(NULL);
	struct stage *stage = &scene->stage;
	const struct set *sets = scene->sets;

	(void)state;
	stage->script.message = answer;
	begin(stage, paths[UNARY], NULL);
	say(stage, "x");
	peer_run(&stage->peer);
	assert_messages(&sets[UNARY], 0, 0); /* not before the handler has it */
	end(stage);
	assert_messages(&sets[UNARY], 1, 1);
	assert_sums(&sets[UNARY], 1);

	forget(&stage->script);
	stage->script.half_closed = sum_up;
	begin(stage, paths[COLLECT], NULL);
	for (int i = 0; i < 5; i++) {
		say(stage, "x");
	}
	peer_run(&stage->peer);
	assert_messages(&sets[COLLECT], 5, 0); /* as they come */
	end(stage);
	assert_messages(&sets[COLLECT], 5, 1);
	assert_sums(&sets[COLLECT], 1);

	forget(&stage->script);
	stage->script.message = send_back;
	begin(stage, paths[SPREAD], NULL);
	say(stage, "x");
	end(stage);
	assert_messages(&sets[SPREAD], 1, 1); /* as they are queued: the call is open */
	script_send(&stage->script, STR("y"));
	grpc_call_finish(stage->script.call, GRPC_OK, NULL);
	peer_run(&stage->peer);
	assert_messages(&sets[SPREAD], 1, 2);
	assert_sums(&sets[SPREAD], 1);

	stage->script.half_closed = finish;
	begin(stage, paths[CHAT], NULL);
	say(stage, "x");
	say(stage, "y");
	end(stage);
	assert_messages(&sets[CHAT], 2, 2);
	assert_sums(&sets[CHAT], 1);
	assert_sums(&sets[UNKNOWN], 0);
	scene_free(scene);
}

static void one_message_that_did_not_go_out_whole_was_not_sent(void **state)
{
	struct scene *scene = scene_new(&(struct peer_options){ .window = 4 });
	struct stage *stage = &scene->stage;
	struct set *set = &scene->sets[UNARY];

	(void)state;
	stage->script.message = truncate_it;
	begin(stage, paths[UNARY], NULL);
	say(stage, "truncated");
	end(stage);
	assert_messages(set, 1, 0);

	stage->script.message = refuse;
	begin(stage, paths[UNARY], NULL);
	say(stage, "x");
	end(stage);
	assert_messages(set, 2, 0);

	stage->script.message = answer;
	begin(stage, paths[UNARY], NULL);
	stage->stream.stingy = true;
	say(stage, "more than the window takes");
	end(stage);
	peer_reset(&stage->peer, &stage->stream, NGHTTP2_CANCEL);
	peer_run(&stage->peer);
	assert_messages(set, 3, 0);
	assert_int_equal(counter_read(&set->by_status[GRPC_CANCELLED]), 1);

	stage->script.message = answer_and_fail;
	begin(stage, paths[UNARY], NULL);
	say(stage, "x");
	end(stage);
	assert_messages(set, 4, 1); /* the client has it, whatever it makes of it */
	assert_sums(set, 4);
	scene_free(scene);
}

static void a_message_that_no_handler_gets_was_not_received(void **state)
{
	struct scene *scene = scene_new(NULL);
	struct stage *stage = &scene->stage;

	(void)state;
	stage->script.message = answer;
	begin(stage, paths[UNARY], NULL);
	say(stage, "\xff"); /* text that is none */
	end(stage);
	begin(stage, paths[UNARY], NULL);
	say(stage, "one");
	say(stage, "two");
	end(stage);
	begin(stage, paths[UNARY], NULL);
	end(stage);
	assert_messages(&scene->sets[UNARY], 0, 0);
	assert_sums(&scene->sets[UNARY], 3);
	scene_free(scene);
}

/* -- Those that named no method -- */

static void what_names_no_method_counts_as_one(void **state)
{
	static const struct {
		const char *path, *more[3];
		bool grpc;
	} cases[] = {
		{ "/test.Streams/None", { NULL }, true },
		{ "/nobody.Home/Unary", { NULL }, true },
		{ "/malformed", { NULL }, true },
		{ "/test.Streams/Unary", { "content-type", "text/plain", NULL }, false },
	};
	struct scene *scene = scene_new(NULL);
	struct stage *stage = &scene->stage;
	struct set *set = &scene->sets[UNKNOWN];
	unsigned calls = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(stage, cases[i].path, cases[i].more);
		stage->stream.plain = !cases[i].grpc;
		say(stage, "x");
		peer_run(&stage->peer);
		calls += cases[i].grpc;
		end(stage);
		assert_true(stage->stream.closed);
		assert_sums(set, calls);
		assert_int_equal(counter_read(&set->by_status[GRPC_UNIMPLEMENTED]), calls);
	}
	assert_messages(set, 0, 0);
	assert_sums(&scene->sets[UNARY], 0);
	scene_free(scene);
}

static void a_refusal_is_in_flight_until_it_is_out(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct scene *scene;
	struct set *set;
	char large[600];
	const char *const more[] = { "large", large, NULL };

	(void)state;
	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	limits.http2.max_header_list_bytes = 500;
	scene = scene_new(&(struct peer_options){ .limits = &limits });
	set = &scene->sets[UNKNOWN];
	begin(&scene->stage, paths[UNARY], more); /* a method, but it was not heard out */
	end(&scene->stage);
	assert_status(&scene->stage, "8");
	assert_sums(set, 1);
	assert_int_equal(counter_read(&set->by_status[GRPC_RESOURCE_EXHAUSTED]), 1);
	assert_sums(&scene->sets[UNARY], 0);
	scene_free(scene);
}

/* -- Time -- */

static int64_t started_ns, ended_ns;

static void on_timed_message(struct grpc_call *call, const void *message)
{
	(void)grpc_call_send(call, message);
}

static void on_timed_half_closed(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_timed_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	(void)outcome;
	started_ns = grpc_call_started_ns(call);
	ended_ns = grpc_call_ended_ns(call);
}

static void the_end_that_a_service_reads_is_the_one_that_was_counted(void **state)
{
	static const struct grpc_call_events events = { .message = on_timed_message,
							.half_closed = on_timed_half_closed,
							.closed = on_timed_closed };
	static const struct grpc_method method = { .name = "M",
						   .shape = GRPC_BIDI_STREAM,
						   .events = &events };
	static const struct grpc_service service = { "test.Timed", &method, 1 };
	struct scene *scene = scene_new(NULL);
	struct stage *stage = &scene->stage;
	double seconds;

	(void)state;
	/* of the four sets two are not used otherwise */
	assert_int_equal(grpc_server_add(stage->peer.server, &service, NULL, &scene->meters[CHAT]),
			 0);
	begin(stage, "/test.Timed/M", NULL);
	say(stage, "x");
	peer_run(&stage->peer);
	peer_advance(&stage->peer, 123456789);
	end(stage);
	assert_int_equal(ended_ns - started_ns, 123456789);
	seconds = (double)(ended_ns - started_ns) / (double)NS_PER_S;
	assert_true(scene->sets[CHAT].latency.sum == seconds);
	assert_true(scene->sets[CHAT].duration.sum == seconds);
	/* also where the connection goes */
	begin(stage, "/test.Timed/M", NULL);
	peer_run(&stage->peer);
	stage->peer.now_ns += NS_PER_S;
	peer_disconnect(&stage->peer);
	assert_int_equal(ended_ns - started_ns, NS_PER_S);
	assert_sums(&scene->sets[CHAT], 2);
	scene_free(scene);
}

/* -- Examples -- */

static void a_traced_call_is_an_example(void **state)
{
	static const char *const traced[] = { "x-note", "n", "traceparent", TRACE, NULL };
	struct scene *scene = scene_new(NULL);
	struct stage *stage = &scene->stage;
	struct set *set = &scene->sets[CHAT];
	double now = (double)time(NULL);
	const struct exemplar *exemplar;

	(void)state;
	stage->script.half_closed = finish;
	begin(stage, paths[CHAT], traced);
	peer_run(&stage->peer);
	peer_advance(&stage->peer, 30 * NS_PER_MS);
	end(stage);
	for (size_t i = 0; i <= histogram_default_bounds.n; i++) {
		exemplar = &set->exemplars[i];
		assert_int_equal(exemplar->trace_id[0] != '\0', i == 3); /* (0.025, 0.05] */
	}
	exemplar = &set->exemplars[3];
	assert_string_equal(exemplar->trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(exemplar->span_id, "b7ad6b7169203331");
	assert_true(exemplar->value == 0.03);
	assert_true(exemplar->timestamp >= now && exemplar->timestamp < now + 600);
	assert_string_equal(set->duration.exemplar.trace_id, exemplar->trace_id);
	assert_true(set->duration.exemplar.value == 0.03);
	assert_sums(set, 1);
	scene_free(scene);
}

static void other_calls_are_none(void **state)
{
	static const char *const values[] = {
		NULL, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "nonsense", ""
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct scene *scene = scene_new(NULL);
		const char *const more[] = { "traceparent", values[i], NULL };

		scene->stage.script.half_closed = finish;
		begin(&scene->stage, paths[CHAT], values[i] ? more : NULL);
		end(&scene->stage);
		assert_sums(&scene->sets[CHAT], 1);
		assert_string_equal(scene->sets[CHAT].exemplars[0].trace_id, "");
		assert_string_equal(scene->sets[CHAT].duration.exemplar.trace_id, "");
		scene_free(scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_shape_counts_its_messages),
		cmocka_unit_test(one_message_that_did_not_go_out_whole_was_not_sent),
		cmocka_unit_test(a_message_that_no_handler_gets_was_not_received),
		cmocka_unit_test(what_names_no_method_counts_as_one),
		cmocka_unit_test(a_refusal_is_in_flight_until_it_is_out),
		cmocka_unit_test(the_end_that_a_service_reads_is_the_one_that_was_counted),
		cmocka_unit_test(a_traced_call_is_an_example),
		cmocka_unit_test(other_calls_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
