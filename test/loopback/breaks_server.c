/*
 * Calls that the serving end breaks on purpose, seen by a client that is no part of
 * ours: what the wire shows of each, and what it takes along.
 */
#include <stdio.h>
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "stage.h"

#define CALLS 12

enum where { IN_OPENED, IN_MESSAGE, IN_HALF_CLOSED, IN_WRITABLE, IN_TIMER, WHERES };
enum what { ANSWER, REFUSE, RESET, TRUNCATE, CLOSE, STAY, DEEDS };

/* One call, at both ends. */
struct one {
	struct peer_stream stream;
	enum where where;
	enum what what;
	size_t length; /* of the reply */
	bool headers_first;
	struct one *breaks; /* as this one closes */
	/* what came of it */
	struct grpc_call *call;
	struct timer timer;
	unsigned closed, late; /* late: upcalls after a break, other than `closed` */
	enum grpc_status status;
	enum grpc_origin origin;
};

struct scene {
	struct peer peer;
	struct one ones[CALLS];
	bool broken; /* some call had CLOSE */
	unsigned wakes, wakes_before;
	struct counter started, handled_ok, handled_failed, calls_ok, calls_failed;
	struct counter received, sent, taken_along, unavailable;
	struct gauge in_flight;
	struct histogram latency;
	struct grpc_server_meters server_meters;
	struct grpc_method_meters meters[4];
};

static uint8_t text[200000];

static struct bytes reply_of(const struct one *one)
{
	return (struct bytes){ text, one->length };
}

static void act(struct one *one)
{
	struct scene *scene = grpc_call_context(one->call);
	struct bytes reply = reply_of(one);
	enum what what = one->what;

	one->what = STAY;
	if (one->headers_first) {
		assert_int_equal(grpc_call_send_headers(one->call), 0);
	}
	switch (what) {
	case ANSWER:
		(void)grpc_call_send(one->call, &reply);
		grpc_call_finish(one->call, GRPC_OK, NULL);
		break;
	case REFUSE:
		grpc_call_finish(one->call, GRPC_NOT_FOUND, "no");
		break;
	case RESET:
		grpc_call_break(one->call, GRPC_BREAK_RESET, NULL);
		break;
	case TRUNCATE:
		assert_int_equal(grpc_call_add_trailer(one->call, STR("fault"), STR("torn")), 0);
		grpc_call_break(one->call, GRPC_BREAK_TRUNCATE, &reply);
		break;
	case CLOSE:
		scene->broken = true;
		grpc_call_break(one->call, GRPC_BREAK_CLOSE, NULL);
		break;
	default:
		break;
	}
}

/* The call's place in the scene is what it says in its metadata. */
static struct one *one_of(struct grpc_call *call)
{
	struct scene *scene = grpc_call_context(call);
	struct str n = metadata_get(grpc_call_metadata(call), STR("n"));

	assert_int_equal(n.len, 1);
	return &scene->ones[n.data[0] - 'a'];
}

static void hear(struct grpc_call *call, enum where where)
{
	struct scene *scene = grpc_call_context(call);
	struct one *one = one_of(call);

	one->late += scene->broken;
	if (one->where == where) {
		act(one);
	}
}

static void on_timer(struct timer *timer)
{
	act(container_of(timer, struct one, timer));
}

static void on_opened(struct grpc_call *call)
{
	struct one *one = one_of(call);

	one->call = call;
	if (one->where == IN_TIMER) {
		timer_init(&one->timer, on_timer);
		timer_start(grpc_call_timers(call), &one->timer, NS_PER_MS);
	}
	hear(call, IN_OPENED);
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct one *one = one_of(call);

	(void)message;
	if (one->where == IN_WRITABLE) { /* more than the window takes */
		struct bytes much = { text, sizeof(text) };

		assert_int_equal(grpc_call_send(call, &much), 1);
	}
	hear(call, IN_MESSAGE);
}

static void on_half_closed(struct grpc_call *call)
{
	hear(call, IN_HALF_CLOSED);
}

static void on_writable(struct grpc_call *call)
{
	hear(call, IN_WRITABLE);
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct scene *scene = grpc_call_context(call);
	struct one *one = one_of(call);

	timer_stop(grpc_call_timers(call), &one->timer);
	one->closed++;
	one->status = outcome->status;
	one->origin = outcome->origin;
	if (one->origin == GRPC_FROM_TRANSPORT && one->status == GRPC_UNAVAILABLE) {
		counter_increment(&scene->taken_along);
	}
	if (one->breaks) {
		scene->wakes_before = scene->wakes;
		grpc_call_break(one->breaks->call, GRPC_BREAK_CLOSE, NULL);
	}
	one->what = CLOSE; /* of no effect on a call that has ended, nor on its connection */
	grpc_call_break(call, GRPC_BREAK_CLOSE, NULL);
}

static const struct grpc_call_events events = {
	.opened = on_opened,
	.message = on_message,
	.half_closed = on_half_closed,
	.writable = on_writable,
	.closed = on_closed,
};

static const struct grpc_method methods[] = {
	{ .name = "Unary", .shape = GRPC_UNARY, .events = &events },
	{ .name = "Chat", .shape = GRPC_BIDI_STREAM, .events = &events },
};

static const struct grpc_service service = { "test.Breaks", methods, 2 };

static void scene_init(struct scene *scene, const struct peer_options *options)
{
	struct peer_options with = options ? *options : (struct peer_options){ 0 };

	*scene = (struct scene){ 0 };
	memset(text, 'x', sizeof(text));
	histogram_init(&scene->latency, &histogram_default_bounds);
	with.meters = &scene->server_meters;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		scene->meters[i] = (struct grpc_method_meters){
			.started = &scene->started,
			.in_flight = &scene->in_flight,
			.handled_ok = &scene->handled_ok,
			.handled_failed = &scene->handled_failed,
			.calls_ok = &scene->calls_ok,
			.calls_failed = &scene->calls_failed,
			.latency = &scene->latency,
			.by_status[GRPC_UNAVAILABLE] = &scene->unavailable,
			.messages_received = &scene->received,
			.messages_sent = &scene->sent,
		};
	}
	peer_init(&scene->peer, &with);
	assert_int_equal(grpc_server_add(scene->peer.server, &service, scene, scene->meters), 0);
}

static void scene_deinit(struct scene *scene)
{
	peer_deinit(&scene->peer);
	for (int i = 0; i < CALLS; i++) {
		peer_stream_deinit(&scene->ones[i].stream);
	}
}

/* HEADERS, a message and the end, none of which has moved yet. */
static struct one *ask(struct scene *scene, int i, const char *path, enum where where,
		       enum what what, size_t length)
{
	struct one *one = &scene->ones[i];
	const char n[] = { (char)('a' + i), '\0' };
	const char *const more[] = { "n", n, "grpc-accept-encoding", "gzip", NULL };

	one->where = where;
	one->what = what;
	one->length = length;
	peer_call(&scene->peer, &one->stream, path, more);
	peer_message(&scene->peer, &one->stream, STR("x"));
	peer_end(&scene->peer, &one->stream);
	return one;
}

#define UNARY "/test.Breaks/Unary"
#define CHAT  "/test.Breaks/Chat"

static bool finished(const struct scene *scene)
{
	return scene->peer.engine->ops->finished(scene->peer.engine);
}

/* -- What the client has of it -- */

static void assert_reset(struct one *one)
{
	assert_true(one->stream.closed && !one->stream.ended);
	assert_int_equal(one->stream.code, NGHTTP2_INTERNAL_ERROR);
}

static void assert_cut_off(struct one *one)
{
	assert_false(one->stream.closed || one->stream.ended);
}

static void assert_answered(struct one *one)
{
	assert_true(one->stream.ended);
	assert_string_equal(peer_field(&one->stream, "grpc-status"), "0");
	assert_int_equal(buffer_len(&one->stream.in), GRPC_PREFIX_BYTES + one->length);
}

static void assert_torn(struct one *one)
{
	struct bytes in = buffer_bytes(&one->stream.in);

	assert_true(one->stream.ended);
	assert_string_equal(peer_field(&one->stream, "grpc-status"), "0");
	assert_string_equal(peer_field(&one->stream, "fault"), "torn");
	assert_in_range(in.len, 1, GRPC_PREFIX_BYTES + one->length - 1);
	if (one->length > 0) {
		assert_true(in.len >= GRPC_PREFIX_BYTES);
		assert_int_equal(grpc_prefix_length(in.data), one->length);
	} else {
		assert_true(in.len < GRPC_PREFIX_BYTES);
	}
}

static void assert_ended(const struct one *one, enum grpc_status status)
{
	assert_int_equal(one->closed, 1);
	assert_int_equal(one->status, status);
	assert_int_equal(one->origin, GRPC_FROM_HERE);
}

static void assert_taken_along(struct one *one)
{
	assert_int_equal(one->closed, 1);
	assert_int_equal(one->status, GRPC_UNAVAILABLE);
	assert_int_equal(one->origin, GRPC_FROM_TRANSPORT);
	assert_cut_off(one);
}

/* -- One at a time -- */

static void a_reset_is_all_that_the_client_hears(void **state)
{
	struct scene scene;
	struct one *one;

	(void)state;
	scene_init(&scene, NULL);
	one = ask(&scene, 0, UNARY, IN_MESSAGE, RESET, 0);
	peer_run(&scene.peer);
	assert_reset(one);
	assert_int_equal(one->stream.blocks, 0);
	assert_ended(one, GRPC_INTERNAL);

	one = ask(&scene, 1, CHAT, IN_TIMER, RESET, 0);
	peer_run(&scene.peer);
	assert_int_equal(grpc_call_send_headers(one->call), 0);
	peer_run(&scene.peer);
	peer_advance(&scene.peer, NS_PER_MS);
	assert_reset(one);
	assert_int_equal(one->stream.blocks, 1); /* they had left before */
	assert_ended(one, GRPC_INTERNAL);
	assert_false(finished(&scene)); /* and others go on */
	one = ask(&scene, 2, UNARY, IN_MESSAGE, ANSWER, 10);
	peer_run(&scene.peer);
	assert_answered(one);
	assert_int_equal(counter_read(&scene.sent), 1);
	assert_int_equal(counter_read(&scene.taken_along), 0);
	scene_deinit(&scene);
}

static void a_truncated_message_misses_at_least_a_byte(void **state)
{
	static const size_t lengths[] = { 0, 1, 2, 3, 1000, 60000 };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(lengths); i++) {
		struct scene scene;
		struct one *one;

		scene_init(&scene, NULL);
		one = ask(&scene, 0, i % 2 ? UNARY : CHAT, IN_HALF_CLOSED, TRUNCATE,
			  lengths[i / 2]);
		one->headers_first = i % 4 == 0;
		peer_run(&scene.peer);
		assert_torn(one);
		assert_int_equal(one->stream.blocks, 2);
		assert_ended(one, GRPC_INTERNAL);
		assert_int_equal(counter_read(&scene.received), 1);
		assert_int_equal(counter_read(&scene.sent), 0);
		assert_int_equal(counter_read(&scene.calls_failed), 1);
		assert_false(finished(&scene));
		scene_deinit(&scene);
	}
}

static void compress_and_truncate(struct timer *timer)
{
	struct one *one = container_of(timer, struct one, timer);

	grpc_call_compress(one->call, true);
	act(one);
}

static void a_truncated_message_may_be_compressed(void **state)
{
	struct scene scene;
	struct one *one;
	struct bytes in;

	(void)state;
	scene_init(&scene, NULL);
	one = ask(&scene, 0, UNARY, IN_TIMER, TRUNCATE, 5000);
	peer_run(&scene.peer);
	timer_stop(&scene.peer.timers, &one->timer);
	timer_init(&one->timer, compress_and_truncate);
	timer_start(&scene.peer.timers, &one->timer, NS_PER_MS);
	peer_advance(&scene.peer, NS_PER_MS);
	in = buffer_bytes(&one->stream.in);
	assert_true(in.len > GRPC_PREFIX_BYTES && in.data[0] == 1);
	assert_true(grpc_prefix_length(in.data) < 5000);
	assert_true(in.len - GRPC_PREFIX_BYTES < grpc_prefix_length(in.data));
	assert_true(one->stream.ended);
	scene_deinit(&scene);
}

static void a_truncated_message_is_subject_to_the_limit(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct scene scene;
	struct one *one;

	(void)state;
	limits.max_send_message_bytes = 100;
	scene_init(&scene, &(struct peer_options){ .limits = &limits });
	one = ask(&scene, 0, UNARY, IN_MESSAGE, TRUNCATE, 101);
	peer_run(&scene.peer);
	assert_ended(one, GRPC_RESOURCE_EXHAUSTED);
	assert_string_equal(peer_field(&one->stream, "grpc-status"), "8");
	scene_deinit(&scene);
}

static void a_close_is_the_end_without_a_word(void **state)
{
	struct scene scene;
	struct one *one;

	(void)state;
	scene_init(&scene, NULL);
	one = ask(&scene, 0, UNARY, IN_MESSAGE, CLOSE, 0);
	peer_run(&scene.peer);
	assert_cut_off(one);
	assert_ended(one, GRPC_UNAVAILABLE);
	assert_true(finished(&scene));
	assert_false(scene.peer.goaway || scene.peer.failed);
	assert_int_equal(counter_read(&scene.taken_along), 0);
	/* what still comes is taken, means nothing, and is answered by nothing */
	one = ask(&scene, 1, UNARY, IN_MESSAGE, ANSWER, 0);
	peer_run(&scene.peer);
	assert_false(scene.peer.failed);
	assert_int_equal(one->closed, 0);
	assert_cut_off(one);
	assert_int_equal(counter_read(&scene.started), 1);
	scene_deinit(&scene);
}

/* -- What a close takes along -- */

static void what_is_finished_goes_out_and_the_rest_is_taken_along(void **state)
{
	struct scene scene;
	struct one *before, *open, *headers, *broken, *behind;

	(void)state;
	scene_init(&scene, NULL);
	open = ask(&scene, 1, CHAT, IN_OPENED, STAY, 0);
	headers = ask(&scene, 2, CHAT, IN_MESSAGE, STAY, 0);
	headers->headers_first = true;
	peer_run(&scene.peer);
	/* these three come in one read */
	before = ask(&scene, 0, UNARY, IN_MESSAGE, ANSWER, 20000);
	broken = ask(&scene, 3, UNARY, IN_MESSAGE, CLOSE, 0);
	behind = ask(&scene, 4, UNARY, IN_MESSAGE, ANSWER, 10);
	peer_run(&scene.peer);
	assert_answered(before);
	assert_ended(before, GRPC_OK);
	assert_cut_off(broken);
	assert_ended(broken, GRPC_UNAVAILABLE);
	assert_taken_along(open);
	assert_taken_along(headers);
	assert_int_equal(headers->stream.blocks, 1);
	assert_taken_along(behind); /* its message was not read any more */
	assert_int_equal(counter_read(&scene.taken_along), 3);
	assert_int_equal(counter_read(&scene.unavailable), 4);
	assert_int_equal(counter_read(&scene.started), 5);
	assert_int_equal(gauge_read(&scene.in_flight), 0);
	assert_int_equal(counter_read(&scene.sent), 1);
	assert_true(finished(&scene));
	assert_false(scene.peer.goaway);
	scene_deinit(&scene);
}

static void on_wake(void *host)
{
	((struct scene *)host)->wakes++;
}

/* Late in a production there is nothing left of it: the host is asked for another. */
static void a_close_in_the_closing_of_another_wakes_the_host(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, &(struct peer_options){ .room = 1 });
	peer_connect(&scene.peer);
	scene.peer.engine->wake = on_wake;
	scene.peer.engine->host = &scene;
	ask(&scene, 0, CHAT, IN_OPENED, STAY, 0);
	peer_run(&scene.peer);
	ask(&scene, 1, UNARY, IN_MESSAGE, ANSWER, 10)->breaks = &scene.ones[0];
	peer_run(&scene.peer);
	assert_answered(&scene.ones[1]);
	assert_true(scene.wakes > scene.wakes_before);
	assert_ended(&scene.ones[0], GRPC_UNAVAILABLE);
	assert_true(finished(&scene));
	scene_deinit(&scene);
}

static void what_comes_behind_it_in_one_read_never_begins(void **state)
{
	struct scene scene;
	struct one *behind;

	(void)state;
	scene_init(&scene, NULL);
	ask(&scene, 0, UNARY, IN_OPENED, CLOSE, 0);
	behind = ask(&scene, 1, UNARY, IN_OPENED, ANSWER, 10);
	peer_run(&scene.peer);
	assert_ended(&scene.ones[0], GRPC_UNAVAILABLE);
	assert_cut_off(behind);
	assert_int_equal(behind->closed, 0);
	assert_int_equal(counter_read(&scene.started), 1);
	assert_int_equal(counter_read(&scene.taken_along), 0);
	scene_deinit(&scene);
}

static void an_answer_that_the_window_holds_back_is_taken_along(void **state)
{
	struct scene scene;
	struct one *held, *fits, *broken;

	(void)state;
	scene_init(&scene, &(struct peer_options){ .window = 1000 });
	held = ask(&scene, 0, UNARY, IN_MESSAGE, ANSWER, 5000);
	held->stream.stingy = true;
	peer_run(&scene.peer);
	assert_int_equal(held->closed, 0);
	fits = ask(&scene, 1, UNARY, IN_MESSAGE, ANSWER, 500);
	broken = ask(&scene, 2, CHAT, IN_MESSAGE, CLOSE, 0);
	peer_run(&scene.peer);
	assert_answered(fits);
	assert_ended(fits, GRPC_OK);
	assert_taken_along(held);
	assert_int_equal(buffer_len(&held->stream.in), 1000);
	assert_ended(broken, GRPC_UNAVAILABLE);
	assert_int_equal(counter_read(&scene.taken_along), 1);
	assert_int_equal(counter_read(&scene.sent), 1);
	scene_deinit(&scene);
}

/* A host whose peer does not read gives no room: what does not fit is lost, at both ends. */
static void an_answer_for_which_there_is_no_room_is_taken_along(void **state)
{
	struct scene scene;
	unsigned answered = 0;

	(void)state;
	scene_init(&scene, &(struct peer_options){ .room = 20000 });
	for (int i = 0; i < 5; i++) {
		ask(&scene, i, UNARY, IN_MESSAGE, ANSWER, 10000);
	}
	ask(&scene, 5, UNARY, IN_MESSAGE, CLOSE, 0);
	peer_run(&scene.peer);
	for (int i = 0; i < 5; i++) {
		struct one *one = &scene.ones[i];

		assert_int_equal(one->closed, 1);
		if (one->status == GRPC_OK) {
			assert_answered(one);
			answered++;
		} else {
			assert_taken_along(one);
		}
	}
	assert_in_range(answered, 1, 4);
	assert_int_equal(counter_read(&scene.taken_along), 5 - answered);
	assert_ended(&scene.ones[5], GRPC_UNAVAILABLE);
	assert_true(finished(&scene));
	scene_deinit(&scene);
}

static void a_connection_that_is_lost_meanwhile_counts_the_same(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, NULL);
	ask(&scene, 0, CHAT, IN_OPENED, STAY, 0);
	ask(&scene, 1, CHAT, IN_TIMER, STAY, 0);
	peer_run(&scene.peer);
	grpc_call_break(scene.ones[1].call, GRPC_BREAK_CLOSE, NULL);
	assert_int_equal(scene.ones[1].closed, 0); /* never from inside */
	peer_disconnect(&scene.peer);
	assert_taken_along(&scene.ones[0]);
	assert_ended(&scene.ones[1], GRPC_UNAVAILABLE);
	assert_int_equal(counter_read(&scene.taken_along), 1);
	scene_deinit(&scene);
}

/* -- Misuse -- */

static void a_call_breaks_once_and_not_after_its_finish(void **state)
{
	static const enum grpc_break breaks[] = { GRPC_BREAK_RESET, GRPC_BREAK_TRUNCATE,
						  GRPC_BREAK_CLOSE };
	const struct bytes reply = { text, 100 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
		struct scene scene;
		struct one *one;

		scene_init(&scene, &(struct peer_options){ .window = 50 });
		one = ask(&scene, 0, UNARY, IN_TIMER, ANSWER, 100);
		one->stream.stingy = true;
		peer_run(&scene.peer);
		peer_advance(&scene.peer, NS_PER_MS); /* finished, and held back */
		assert_int_equal(one->closed, 0);
		grpc_call_break(one->call, breaks[i], &reply);
		peer_run(&scene.peer);
		assert_int_equal(one->closed, 0);
		one->stream.stingy = false;
		peer_pay(&scene.peer, &one->stream);
		peer_run(&scene.peer);
		assert_answered(one);
		assert_ended(one, GRPC_OK);

		for (size_t j = 0; j < ARRAY_SIZE(breaks); j++) {
			one = ask(&scene, 1 + (int)j, CHAT, IN_TIMER, STAY, 40);
			peer_run(&scene.peer);
			grpc_call_break(one->call, breaks[j], &reply);
			grpc_call_break(one->call, breaks[i], &reply);
			assert_int_equal(grpc_call_send(one->call, &reply), -ECANCELED);
			grpc_call_finish(one->call, GRPC_OK, NULL);
			peer_run(&scene.peer);
			peer_pay(&scene.peer, &one->stream);
			peer_run(&scene.peer);
			assert_ended(one, j == 2 ? GRPC_UNAVAILABLE : GRPC_INTERNAL);
		}
		scene_deinit(&scene);
	}
}

static void two_closes_count_as_two(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, NULL);
	for (int i = 0; i < 3; i++) {
		ask(&scene, i, CHAT, IN_TIMER, i < 2 ? CLOSE : STAY, 0);
	}
	peer_run(&scene.peer);
	peer_advance(&scene.peer, NS_PER_MS);
	assert_ended(&scene.ones[0], GRPC_UNAVAILABLE);
	assert_ended(&scene.ones[1], GRPC_UNAVAILABLE);
	assert_taken_along(&scene.ones[2]);
	assert_int_equal(counter_read(&scene.taken_along), 1);
	scene_deinit(&scene);
}

static void a_deadline_does_not_change_what_a_broken_call_counts_as(void **state)
{
	struct scene scene;
	struct one *one = &scene.ones[0];
	const char *const more[] = { "n", "a", "grpc-timeout", "1m", NULL };

	(void)state;
	scene_init(&scene, NULL);
	one->where = IN_TIMER; /* at the very instant */
	one->what = CLOSE;
	peer_call(&scene.peer, &one->stream, CHAT, more);
	peer_run(&scene.peer);
	grpc_call_break(one->call, GRPC_BREAK_CLOSE, NULL);
	scene.peer.now_ns += 2 * NS_PER_MS;
	timers_run(&scene.peer.timers);
	peer_run(&scene.peer);
	assert_ended(one, GRPC_UNAVAILABLE);
	assert_cut_off(one);
	scene_deinit(&scene);
}

/* -- Anywhere, with others -- */

/* Each call came to the same at both ends, and the sums hold. */
static void verify(struct scene *scene, const enum what *asked)
{
	unsigned n = 0, ok = 0, along = 0, unavailable = 0;

	for (int i = 0; i < CALLS; i++) {
		struct one *one = &scene->ones[i];

		if (one->closed == 0) { /* still open, or the server has never heard of it */
			assert_false(one->stream.ended);
			continue;
		}
		n++;
		assert_int_equal(one->closed, 1);
		assert_int_equal(one->late, 0);
		switch (one->status) {
		case GRPC_OK:
			assert_int_equal(asked[i], ANSWER);
			assert_answered(one);
			ok++;
			break;
		case GRPC_NOT_FOUND:
			assert_string_equal(peer_field(&one->stream, "grpc-status"), "5");
			break;
		case GRPC_INTERNAL:
			if (asked[i] == RESET) {
				assert_reset(one);
			} else {
				assert_int_equal(asked[i], TRUNCATE);
				assert_torn(one);
			}
			break;
		default:
			assert_int_equal(one->status, GRPC_UNAVAILABLE);
			assert_cut_off(one);
			along += one->origin == GRPC_FROM_TRANSPORT;
			assert_true(asked[i] == CLOSE || one->origin == GRPC_FROM_TRANSPORT);
			unavailable++;
		}
	}
	assert_int_equal(counter_read(&scene->unavailable), unavailable);
	assert_int_equal(counter_read(&scene->taken_along), along);
	assert_true(unavailable == 0 || along < unavailable); /* one was the cause */
	assert_int_equal(counter_read(&scene->calls_ok), ok);
	assert_int_equal(counter_read(&scene->calls_ok) + counter_read(&scene->calls_failed), n);
	assert_int_equal(finished(scene), unavailable > 0);
	assert_false(scene->peer.goaway || scene->peer.failed);
}

static void both_ends_agree_however_the_bytes_are_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		struct random random;
		struct scene scene;
		enum what asked[CALLS];

		random_seed(&random, seed);
		scene_init(&scene, &(struct peer_options){ .seed = seed % 3 ? seed : 0 });
		for (int i = 0; i < CALLS; i++) {
			enum where where = (enum where)random_below(&random, WHERES);

			asked[i] = (enum what)random_below(&random, DEEDS);
			if (asked[i] == CLOSE && random_below(&random, 3) > 0) {
				asked[i] = ANSWER;
			}
			if (where == IN_WRITABLE) {
				where = IN_OPENED;
			}
			/* of a unary call half_closed comes after its message, and is heard too */
			ask(&scene, i, random_below(&random, 2) ? UNARY : CHAT, where, asked[i],
			    (size_t)random_below(&random, 3000))
				->headers_first = random_below(&random, 2);
			if (random_below(&random, 3) == 0) {
				peer_run(&scene.peer);
			}
		}
		peer_run(&scene.peer);
		peer_advance(&scene.peer, NS_PER_MS);
		verify(&scene, asked);
		scene_deinit(&scene);
	}
}

static void each_break_may_come_from_inside_each_upcall(void **state)
{
	(void)state;
	for (int where = 0; where < WHERES; where++) {
		for (int what = RESET; what <= CLOSE; what++) {
			for (uint64_t seed = 0; seed < 20; seed++) {
				struct scene scene;
				struct one *one;

				scene_init(&scene, &(struct peer_options){ .seed = seed });
				one = ask(&scene, 0, CHAT, (enum where)where, (enum what)what, 50);
				peer_run(&scene.peer);
				peer_advance(&scene.peer, NS_PER_MS);
				assert_ended(one, what == CLOSE ? GRPC_UNAVAILABLE : GRPC_INTERNAL);
				assert_int_equal(finished(&scene), what == CLOSE);
				if (what == RESET) {
					assert_reset(one);
				} else if (what == CLOSE) {
					assert_cut_off(one);
				} else if (where != IN_WRITABLE) {
					assert_torn(one);
				}
				scene_deinit(&scene);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reset_is_all_that_the_client_hears),
		cmocka_unit_test(a_truncated_message_misses_at_least_a_byte),
		cmocka_unit_test(a_truncated_message_may_be_compressed),
		cmocka_unit_test(a_truncated_message_is_subject_to_the_limit),
		cmocka_unit_test(a_close_is_the_end_without_a_word),
		cmocka_unit_test(what_is_finished_goes_out_and_the_rest_is_taken_along),
		cmocka_unit_test(a_close_in_the_closing_of_another_wakes_the_host),
		cmocka_unit_test(what_comes_behind_it_in_one_read_never_begins),
		cmocka_unit_test(an_answer_that_the_window_holds_back_is_taken_along),
		cmocka_unit_test(an_answer_for_which_there_is_no_room_is_taken_along),
		cmocka_unit_test(a_connection_that_is_lost_meanwhile_counts_the_same),
		cmocka_unit_test(a_call_breaks_once_and_not_after_its_finish),
		cmocka_unit_test(two_closes_count_as_two),
		cmocka_unit_test(a_deadline_does_not_change_what_a_broken_call_counts_as),
		cmocka_unit_test(both_ends_agree_however_the_bytes_are_cut),
		cmocka_unit_test(each_break_may_come_from_inside_each_upcall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
