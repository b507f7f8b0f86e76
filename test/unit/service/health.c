#include "fake_call.h"

#include "health.pb-c.h"
#include "service/health.h"

static Health__CheckRequest request_of(struct str service)
{
	Health__CheckRequest request = HEALTH__CHECK_REQUEST__INIT;

	request.service.data = (uint8_t *)(uintptr_t)service.data;
	request.service.len = service.len;
	return request;
}

static void begin(struct grpc_call *call, struct health *health, const char *method,
		  struct str service)
{
	Health__CheckRequest request = request_of(service);

	call_begin(call, &health_service, method, health);
	assert_true(call_receive(call, &request.base));
}

static int status_sent(const struct grpc_call *call, size_t at)
{
	assert_true(at < call->n_sent);
	return (int)((const Health__CheckResponse *)call->sent[at])->status;
}

static struct health *serving(void)
{
	static struct health health;

	health_init(&health);
	health_set(&health, "", HEALTH_SERVING);
	health_set(&health, "a.Service", HEALTH_SERVING);
	return &health;
}

static void check_says_how_a_known_service_is(void **state)
{
	struct health *health = serving();
	struct grpc_call call;

	(void)state;
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	begin(&call, health, "Check", STR(""));
	assert_int_equal(call.n_sent, 1);
	assert_int_equal(status_sent(&call, 0), HEALTH_SERVING);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
	begin(&call, health, "Check", STR("a.Service"));
	assert_int_equal(status_sent(&call, 0), HEALTH_NOT_SERVING);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void check_of_an_unknown_service_is_not_found(void **state)
{
	static const struct str unknown[] = { STR_INIT("b.Service"), STR_INIT("a.Service\0x"),
					      STR_INIT("\0"), STR_INIT("a.Servic") };
	struct health *health = serving();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		struct grpc_call call;

		begin(&call, health, "Check", unknown[i]);
		assert_int_equal(call.n_sent, 0);
		assert_int_equal(call.status, GRPC_NOT_FOUND);
		call_end(&call);
	}
}

static void a_name_that_is_not_utf8_is_not_valid(void **state)
{
	static const char *const methods[] = { "Check", "Watch" };
	Health__CheckRequest request = request_of(STR("a\xff"));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct grpc_call call;

		call_begin(&call, &health_service, methods[i], serving());
		assert_false(call_receive(&call, &request.base));
		call_end(&call);
	}
}

static void list_has_them_all(void **state)
{
	struct health *health = serving();
	Health__ListRequest request = HEALTH__LIST_REQUEST__INIT;
	const Health__ListResponse *response;
	struct grpc_call call;

	(void)state;
	health_set(health, "", HEALTH_NOT_SERVING);
	call_begin(&call, &health_service, "List", health);
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(call.n_sent, 1);
	response = call.sent[0];
	assert_int_equal(response->n_statuses, 2);
	assert_int_equal(response->statuses[0]->service.len, 0);
	assert_int_equal(response->statuses[0]->response->status, HEALTH_NOT_SERVING);
	assert_int_equal(response->statuses[1]->service.len, strlen("a.Service"));
	assert_memory_equal(response->statuses[1]->service.data, "a.Service", 9);
	assert_int_equal(response->statuses[1]->response->status, HEALTH_SERVING);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void watch_hears_the_state_at_once_and_then_changes_only(void **state)
{
	struct health *health = serving();
	struct grpc_call call, other;

	(void)state;
	begin(&call, health, "Watch", STR("a.Service"));
	begin(&other, health, "Watch", STR(""));
	assert_int_equal(call.n_sent, 1);
	assert_int_equal(status_sent(&call, 0), HEALTH_SERVING);
	health_set(health, "a.Service", HEALTH_SERVING);
	assert_int_equal(call.n_sent, 1);
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	assert_int_equal(call.n_sent, 2);
	assert_int_equal(status_sent(&call, 1), HEALTH_NOT_SERVING);
	health_set(health, "a.Service", HEALTH_SERVING);
	assert_int_equal(call.n_sent, 3);
	assert_false(call.finished);
	assert_int_equal(other.n_sent, 1);
	call_end(&call);
	health_set(health, "a.Service", HEALTH_NOT_SERVING); /* nobody listens */
	health_set(health, "", HEALTH_NOT_SERVING);
	assert_int_equal(other.n_sent, 2);
	call_end(&other);
	assert_true(list_empty(&health->watches));
}

static void watch_of_an_unknown_service_waits_for_it(void **state)
{
	struct health *health = serving();
	struct grpc_call call;

	(void)state;
	begin(&call, health, "Watch", STR("b.Service"));
	assert_int_equal(call.n_sent, 1);
	assert_int_equal(status_sent(&call, 0), HEALTH_SERVICE_UNKNOWN);
	assert_false(call.finished);
	health_set(health, "b.Service", HEALTH_UNKNOWN);
	assert_int_equal(status_sent(&call, 1), HEALTH_UNKNOWN);
	health_set(health, "b.Service", HEALTH_SERVING);
	assert_int_equal(status_sent(&call, 2), HEALTH_SERVING);
	call_end(&call);
}

static void who_does_not_read_hears_only_the_latest(void **state)
{
	struct health *health = serving();
	struct grpc_call call;

	(void)state;
	begin(&call, health, "Watch", STR("a.Service"));
	call.send_result = 1;
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	assert_int_equal(call.n_sent, 2); /* taken all the same */
	health_set(health, "a.Service", HEALTH_SERVING);
	health_set(health, "a.Service", HEALTH_UNKNOWN);
	assert_int_equal(call.n_sent, 2);
	call_drained(&call);
	assert_int_equal(call.n_sent, 3);
	assert_int_equal(status_sent(&call, 2), HEALTH_UNKNOWN);
	call_end(&call);

	/* and nothing where it came back to what was told */
	begin(&call, health, "Watch", STR("a.Service"));
	call.send_result = 1;
	health_set(health, "a.Service", HEALTH_SERVING);
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	health_set(health, "a.Service", HEALTH_SERVING);
	assert_int_equal(call.n_sent, 2);
	call_drained(&call);
	assert_int_equal(call.n_sent, 2);
	call_end(&call);
}

static void shutdown_is_heard_by_all_and_for_good(void **state)
{
	struct health *health = serving();
	struct grpc_call call, whole, unknown;

	(void)state;
	begin(&call, health, "Watch", STR("a.Service"));
	begin(&whole, health, "Watch", STR(""));
	begin(&unknown, health, "Watch", STR("b.Service"));
	health_shutdown(health);
	assert_int_equal(status_sent(&call, 1), HEALTH_NOT_SERVING);
	assert_int_equal(status_sent(&whole, 1), HEALTH_NOT_SERVING);
	assert_int_equal(unknown.n_sent, 1);
	assert_false(call.finished);
	health_set(health, "a.Service", HEALTH_SERVING);
	health_set(health, "b.Service", HEALTH_SERVING);
	assert_int_equal(call.n_sent, 2);
	assert_int_equal(unknown.n_sent, 1);
	call_end(&call);
	call_end(&whole);
	call_end(&unknown);
	begin(&call, health, "Check", STR("a.Service"));
	assert_int_equal(status_sent(&call, 0), HEALTH_NOT_SERVING);
	call_end(&call);
}

static void a_drain_ends_a_watch_after_its_last_word(void **state)
{
	struct health *health = serving();
	struct grpc_call call;

	(void)state;
	begin(&call, health, "Watch", STR("a.Service"));
	call.send_result = 1;
	health_set(health, "a.Service", HEALTH_UNKNOWN);
	health_shutdown(health);
	assert_int_equal(call.n_sent, 2);
	call.method->events->draining(&call);
	assert_int_equal(call.n_sent, 3);
	assert_int_equal(status_sent(&call, 2), HEALTH_NOT_SERVING);
	assert_int_equal(call.status, GRPC_UNAVAILABLE);
	assert_true(strlen(call.text) > 0);
	call_end(&call);
}

static void a_watch_that_ends_before_its_request_came_is_no_watch(void **state)
{
	struct health *health = serving();
	struct grpc_call call;

	(void)state;
	call_begin(&call, &health_service, "Watch", health);
	call.method->events->draining(&call);
	assert_int_equal(call.status, GRPC_UNAVAILABLE);
	call_end(&call);
	assert_true(list_empty(&health->watches));
}

static void a_watch_whose_message_finds_no_memory_ends_alone(void **state)
{
	struct health *health = serving();
	struct grpc_call call, other;

	(void)state;
	begin(&call, health, "Watch", STR("a.Service"));
	begin(&other, health, "Watch", STR("a.Service"));
	call.send_result = -ENOMEM;
	health_set(health, "a.Service", HEALTH_NOT_SERVING);
	assert_int_equal(call.status, GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(other.n_sent, 2);
	health_set(health, "a.Service", HEALTH_SERVING); /* before `closed` came */
	assert_int_equal(other.n_sent, 3);
	call_end(&call);
	call_end(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_says_how_a_known_service_is),
		cmocka_unit_test(check_of_an_unknown_service_is_not_found),
		cmocka_unit_test(a_name_that_is_not_utf8_is_not_valid),
		cmocka_unit_test(list_has_them_all),
		cmocka_unit_test(watch_hears_the_state_at_once_and_then_changes_only),
		cmocka_unit_test(watch_of_an_unknown_service_waits_for_it),
		cmocka_unit_test(who_does_not_read_hears_only_the_latest),
		cmocka_unit_test(shutdown_is_heard_by_all_and_for_good),
		cmocka_unit_test(a_drain_ends_a_watch_after_its_last_word),
		cmocka_unit_test(a_watch_that_ends_before_its_request_came_is_no_watch),
		cmocka_unit_test(a_watch_whose_message_finds_no_memory_ends_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
