/*
 * Health, reflection and interop over real calls: any cut of the bytes gives the
 * same answers, and every allocation fails in turn: each call still closes
 * exactly once, and nothing leaks (the sanitizers say).
 *
 * Linked with -Wl,--wrap for the allocator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../unit/failing.h"
#include "harness.h"
#include "health.pb-c.h"
#include "interop.pb-c.h"
#include "reflection.pb-c.h"
#include "service/health.h"
#include "service/interop.h"
#include "service/reflection.h"

struct talk {
	struct grpc_call *call; /* NULL: never began, or closed */
	unsigned messages, closed;
	enum grpc_status status;
};

static void on_message(struct grpc_call *call, const void *message)
{
	(void)message;
	((struct talk *)grpc_call_context(call))->messages++;
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct talk *talk = grpc_call_context(call);

	talk->closed++;
	talk->call = NULL;
	talk->status = outcome->status;
}

static const struct grpc_call_events events = { .message = on_message, .closed = on_closed };

/* Calls, sends the same request `times` times, and half-closes. False: no memory. */
static bool talk(struct pair *pair, struct talk *ret, const struct grpc_service *service,
		 const char *name, const void *request, unsigned times)
{
	const struct grpc_method *method = NULL;

	for (size_t i = 0; i < service->n_methods; i++) {
		if (strcmp(service->methods[i].name, name) == 0) {
			method = &service->methods[i];
		}
	}
	assert_non_null(method);
	ret->call = grpc_channel_call(pair->channel, service, method, &events, NULL, ret);
	if (!ret->call) {
		return false;
	}
	for (unsigned i = 0; i < times; i++) {
		(void)grpc_call_send(ret->call, request);
	}
	grpc_call_half_close(ret->call);
	return true;
}

enum { WATCH, CHECK, LIST, REFLECT, OUTPUT, DUPLEX, HALF, INPUT, TALKS };

/* Two responses: one at once and large, one after a pause. */
static void begin_outputs(struct pair *pair, struct talk talks[TALKS], bool began[TALKS])
{
	Interop__StreamingOutputRequest request = INTEROP__STREAMING_OUTPUT_REQUEST__INIT;
	Interop__ResponseParameters large = INTEROP__RESPONSE_PARAMETERS__INIT, late = large;
	Interop__ResponseParameters *parameters[] = { &large, &late };

	large.size = 300000;
	late.size = 10;
	late.interval_us = 1000;
	request.n_response_parameters = ARRAY_SIZE(parameters);
	request.response_parameters = parameters;
	began[OUTPUT] =
		talk(pair, &talks[OUTPUT], &interop_service, "StreamingOutputCall", &request, 1);
	began[DUPLEX] = talk(pair, &talks[DUPLEX], &interop_service, "FullDuplexCall", &request, 3);
	began[HALF] = talk(pair, &talks[HALF], &interop_service, "HalfDuplexCall", &request, 3);
}

static void begin(struct pair *pair, struct talk talks[TALKS], bool began[TALKS])
{
	Health__CheckRequest check = HEALTH__CHECK_REQUEST__INIT;
	Health__ListRequest list = HEALTH__LIST_REQUEST__INIT;
	Reflection__Request reflect = REFLECTION__REQUEST__INIT;
	Interop__StreamingInputRequest input = INTEROP__STREAMING_INPUT_REQUEST__INIT;

	began[WATCH] = talk(pair, &talks[WATCH], &health_service, "Watch", &check, 1);
	began[CHECK] = talk(pair, &talks[CHECK], &health_service, "Check", &check, 1);
	began[LIST] = talk(pair, &talks[LIST], &health_service, "List", &list, 1);
	reflect.wanted_case = REFLECTION__REQUEST__WANTED_FILE_CONTAINING_SYMBOL;
	reflect.file_containing_symbol.data = (uint8_t *)(uintptr_t) "grpc.testing.Payload";
	reflect.file_containing_symbol.len = 20;
	began[REFLECT] = talk(pair, &talks[REFLECT], &reflection_v1alpha_service,
			      "ServerReflectionInfo", &reflect, 40);
	began[INPUT] = talk(pair, &talks[INPUT], &interop_service, "StreamingInputCall", &input, 5);
	begin_outputs(pair, talks, began);
}

struct scene {
	struct pair pair;
	struct health health;
	struct reflection reflection;
	struct interop interop;
	struct talk talks[TALKS];
	bool began[TALKS];
};

/* From connecting to the drain; `fail_at`: the allocation that fails, -1: none. */
static void play(struct scene *scene, uint64_t seed, long fail_at)
{
	struct pair *pair = &scene->pair;

	*scene = (struct scene){ 0 };
	pair_init(pair, &(struct pair_options){ .seed = seed });
	health_init(&scene->health);
	health_set(&scene->health, "", HEALTH_SERVING);
	assert_true(reflection_init(&scene->reflection, descriptor_set));
	reflection_add(&scene->reflection, interop_service.name);
	assert_int_equal(interop_init(&scene->interop), 0);
	pair_add(pair, &health_service, &scene->health, NULL);
	pair_add(pair, &reflection_v1alpha_service, &scene->reflection, NULL);
	pair_add(pair, &interop_service, &scene->interop, NULL);
	failing_seen = 0;
	failing_at = fail_at;
	begin(pair, scene->talks, scene->began);
	pair_run(pair);
	for (int i = 0; i < 5; i++) {
		pair_advance(pair, NS_PER_MS);
	}
	health_shutdown(&scene->health);
	pair_run(pair);
	if (pair->server_end.engine) {
		pair->server_end.engine->ops->drain(pair->server_end.engine, ENGINE_DRAIN_GRACEFUL);
	}
	pair_run(pair);
	pair_advance(pair, 60 * NS_PER_S); /* whoever waited in vain has given up by now */
	failing_at = -1;
	for (int i = 0; i < TALKS; i++) {
		if (scene->talks[i].call) { /* retried to where no server is any more */
			grpc_call_cancel(scene->talks[i].call, GRPC_CANCELLED);
		}
	}
	pair_run(pair);
	for (int i = 0; i < TALKS; i++) {
		assert_int_equal(scene->talks[i].closed, scene->began[i]);
	}
	pair_deinit(pair);
	assert_true(list_empty(&scene->health.watches));
	interop_deinit(&scene->interop);
}

static void however_the_bytes_are_cut_the_answers_are_the_same(void **state)
{
	static const struct {
		unsigned messages;
		enum grpc_status status;
	} wanted[TALKS] = {
		[WATCH] = { 2, GRPC_UNAVAILABLE }, [CHECK] = { 1, GRPC_OK },
		[LIST] = { 1, GRPC_OK },           [REFLECT] = { 40, GRPC_OK },
		[OUTPUT] = { 2, GRPC_OK },         [DUPLEX] = { 6, GRPC_OK },
		[HALF] = { 6, GRPC_OK },           [INPUT] = { 1, GRPC_OK },
	};
	struct scene *scene = malloc(sizeof(*scene));

	(void)state;
	assert_non_null(scene);
	for (uint64_t seed = 0; seed < 100; seed++) {
		play(scene, seed, -1);
		for (int i = 0; i < TALKS; i++) {
			const struct talk *talk = &scene->talks[i];

			if (talk->messages != wanted[i].messages ||
			    talk->status != wanted[i].status) {
				fail_msg("seed %u: call %d had %u messages and ended with %s",
					 (unsigned)seed, i, talk->messages,
					 grpc_status_name((int)talk->status));
			}
		}
	}
	free(scene);
}

static void every_allocation_may_fail(void **state)
{
	struct scene *scene = malloc(sizeof(*scene));
	long all;

	(void)state;
	assert_non_null(scene);
	play(scene, 3, -1);
	all = failing_seen;
	assert_true(all > 50);
	for (long at = 0; at < all; at++) {
		play(scene, 3, at);
	}
	free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(however_the_bytes_are_cut_the_answers_are_the_same),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
