/* /-/faults: what it says of the plan, and that a form changes all of it or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "daemon/faults_page.h"

#define FORM   "application/x-www-form-urlencoded"
#define PLAIN  "delay=none\nstatus=none\nabort=none\nfault-mode=random\nseed=0\n"
#define RESTED "hang-limit=1m\nhealth=serving\n"

struct fixture {
	struct faults faults;
	struct random random;
	struct faults_page page;
	unsigned changed;
	char text[1024]; /* the latest body */
};

static void on_changed(void *user)
{
	((struct fixture *)user)->changed++;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct faults_plan plan = { .hang_limit_ns = 60 * NS_PER_S };

	assert_non_null(f);
	random_seed(&f->random, 1);
	faults_use(&f->faults, &plan, 1);
	f->page = (struct faults_page){ &f->faults, &f->random, true, on_changed, f };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static int ask(struct fixture *f, const char *type, const char *body)
{
	struct http1_header header = { STR("Content-Type"), str_from(type ? type : "") };
	struct http1_request request = { .headers = &header, .n_headers = type != NULL };
	struct http1_response response = { .status = 200 };

	request.body = str_from(body ? body : "");
	(body ? faults_page_post : faults_page_get)(&f->page, &request, &response);
	assert_true(buffer_len(&response.body) < sizeof(f->text));
	memcpy(f->text, buffer_data(&response.body), buffer_len(&response.body));
	f->text[buffer_len(&response.body)] = '\0';
	buffer_free(&response.body);
	assert_string_equal(response.content_type, "text/plain; charset=utf-8");
	return response.status;
}

static void the_plan_is_shown(void **state)
{
	struct fixture *f = *state;

	f->page.enabled = false;
	assert_int_equal(ask(f, NULL, NULL), 200);
	assert_string_equal(f->text, PLAIN RESTED);
}

static void what_a_form_names_changes_and_the_rest_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, FORM, "status=UNAVAILABLE:2,INTERNAL:0.5&health=not-serving"), 200);
	assert_int_equal(ask(f, FORM "; charset=utf-8",
			     "delay=uniform%3A0s%2c5s&fault-mode=every-nth&seed=7&hang-limit=2s"),
			 200);
	assert_string_equal(f->text, "delay=uniform:0s,5s\nstatus=UNAVAILABLE:2,INTERNAL:0.5\n"
				     "abort=none\nfault-mode=every-nth\nseed=7\nhang-limit=2s\n"
				     "health=not-serving\n");
	assert_int_equal(f->changed, 2);
	assert_int_equal(f->faults.plan.statuses.n, 2);
	assert_true(f->faults.plan.unhealthy);
	assert_int_equal(ask(f, NULL, NULL), 200);
	assert_non_null(strstr(f->text, "seed=7\n"));
}

static void what_a_form_gets_wrong_changes_nothing(void **state)
{
	static const struct {
		const char *form, *reason;
	} rows[] = {
		{ "status=UNAVAILABLE:101",
		  "400 status: \"UNAVAILABLE:101\" has \"101\", which is more than 100 %\n" },
		{ "delay=1s&status=FINE:1", "400 status: \"FINE:1\" " },
		{ "status=INTERNAL:60&abort=reset:41",
		  "400 status and abort together come to more than 100 %\n" },
		{ "delay=1s&dealy=2s", "400 dealy: \"2s\" is no part of a plan\n" },
		{ "delay=1s&delay=2s", "400 delay is there twice\n" },
		{ "delay", "400 delay: \"\" " },
		{ "", "400 the form names no part of a plan\n" },
		{ "&&", "400 the form names no part of a plan\n" },
		{ "delay=%2", "400 the form has an escape that is none\n" },
		{ "delay=1s%00", "400 the form has an escape that is none\n" },
		{ "delay=%0d%0aSet-Cookie:x", "400 delay: \"??Set-Cookie:x\" " },
		{ "delay=x%ff%c3%a9%c3", "400 delay: \"x?\xc3\xa9?\" " },
		{ "health=ill", "400 health: \"ill\" is neither serving nor not-serving\n" },
		{ "hang-limit=2h", "400 hang-limit: \"2h\" is not between 1ms and 1h\n" },
		{ "seed=-1", "400 seed: \"-1\" " },
	};
	struct fixture *f = *state;

	assert_int_equal(ask(f, FORM, "status=UNAVAILABLE:50"), 200);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ask(f, FORM, rows[i].form), 400);
		assert_memory_equal(f->text, rows[i].reason, strlen(rows[i].reason));
		assert_ptr_equal(strchr(f->text, '\n'), f->text + strlen(f->text) - 1);
	}
	assert_int_equal(f->changed, 1);
	assert_int_equal(ask(f, NULL, NULL), 200);
	assert_string_equal(f->text, "delay=none\nstatus=UNAVAILABLE:50\nabort=none\n"
				     "fault-mode=random\nseed=0\n" RESTED);
}

static void a_plan_in_progress_is_kept_where_a_form_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t owed;

	assert_int_equal(ask(f, FORM, "status=UNAVAILABLE:30&fault-mode=every-nth"), 200);
	faults_draw(&f->faults, &(struct faults_draw){ 0 });
	owed = f->faults.owed[0];
	assert_true(owed > 0);
	assert_int_equal(ask(f, FORM, "delay=never"), 400);
	assert_true(f->faults.owed[0] == owed);
}

/* An exact run stays exact while health turns red; but a part that is drawn starts it again. */
static void health_and_the_hang_limit_leave_the_dice_alone(void **state)
{
	static const struct {
		const char *form;
		bool begins_anew;
	} table[] = {
		{ "health=not-serving", false },
		{ "hang-limit=3s", false },
		{ "hang-limit=2s&health=serving", false },
		{ "status=UNAVAILABLE:30", true }, /* what it was */
		{ "health=not-serving&status=UNAVAILABLE:30", true },
		{ "status=UNAVAILABLE:30&health=serving", true },
		{ "abort=none", true },
		{ "delay=none", true },
		{ "fault-mode=every-nth", true },
		{ "seed=0", true },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct random before;
		uint64_t owed;

		assert_int_equal(ask(f, FORM, "status=UNAVAILABLE:30&fault-mode=every-nth"), 200);
		faults_draw(&f->faults, &(struct faults_draw){ 0 });
		owed = f->faults.owed[0];
		before = f->faults.delay_dice;
		assert_int_equal(ask(f, FORM, table[i].form), 200);
		assert_int_equal(f->faults.owed[0], table[i].begins_anew ? 0 : owed);
		assert_int_equal(memcmp(&f->faults.delay_dice, &before, sizeof(before)) != 0,
				 table[i].begins_anew);
	}
	assert_int_equal(f->changed, 2 * ARRAY_SIZE(table));
}

static void only_who_may_changes_it_and_only_with_a_form(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, NULL, "delay=1s"), 415);
	assert_int_equal(ask(f, "application/json", "{}"), 415);
	assert_int_equal(ask(f, FORM "s", "delay=1s"), 415);
	assert_non_null(strstr(f->text, FORM));
	f->page.enabled = false;
	assert_int_equal(ask(f, FORM, "delay=1s"), 403);
	assert_string_equal(f->text, "403 this takes the flag --web.enable-lifecycle\n");
	assert_int_equal(f->changed, 0);
	assert_int_equal(f->faults.plan.delay.kind, DELAY_NONE);
}

static void without_memory_the_plan_stays(void **state)
{
	static const char form[] = "delay=1s&status=UNAVAILABLE:1,INTERNAL:2&health=not-serving";
	struct fixture *f = *state;
	struct http1_header header = { STR("Content-Type"), STR(FORM) };
	struct http1_request request = { .headers = &header, .n_headers = 1, .body = STR(form) };
	int failures = 0;

	for (long n = 0; f->changed == 0; n++) {
		struct http1_response response = { .status = 200 };

		failing_at = n;
		faults_page_post(&f->page, &request, &response);
		failing_at = -1;
		if (response.status == 500) {
			failures++;
			assert_int_equal(f->faults.plan.delay.kind, DELAY_NONE);
			assert_false(f->faults.plan.unhealthy);
			assert_int_equal(f->changed, 0);
		} else {
			assert_int_equal(response.status, 200);
			assert_int_equal(f->changed, 1);
		}
		buffer_free(&response.body);
	}
	assert_true(failures > 0);
	assert_true(f->faults.plan.unhealthy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_plan_is_shown),
		TEST(what_a_form_names_changes_and_the_rest_stays),
		TEST(what_a_form_gets_wrong_changes_nothing),
		TEST(a_plan_in_progress_is_kept_where_a_form_is_refused),
		TEST(health_and_the_hang_limit_leave_the_dice_alone),
		TEST(only_who_may_changes_it_and_only_with_a_form),
		TEST(without_memory_the_plan_stays),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
