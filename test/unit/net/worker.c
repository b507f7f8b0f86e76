#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>

#include "../failing.h"
#include "harness.h"
#include "net/worker.h"

static bool no_thread;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	return no_thread ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

struct job {
	struct offload_job base;
	struct offload *offload; /* where it is submitted again, `again` times */
	pthread_t worked_on, done_on;
	sem_t *waits;
	unsigned worked, done, again;
	bool submitting;
};

static void work(struct offload_job *base)
{
	struct job *job = container_of(base, struct job, base);

	if (job->waits) {
		sem_wait(job->waits);
	}
	job->worked_on = pthread_self();
	job->worked++;
}

static void submit(struct job *job)
{
	job->submitting = true;
	assert_int_equal(job->offload->submit(job->offload, &job->base), 0);
	job->submitting = false;
}

static void done(struct offload_job *base)
{
	struct job *job = container_of(base, struct job, base);

	assert_false(job->submitting);
	job->done_on = pthread_self();
	job->done++;
	assert_int_equal(job->done, job->worked);
	if (job->again > 0) {
		job->again--;
		submit(job);
	}
}

static struct job job_of(struct worker *worker)
{
	return (struct job){ .base = { work, done }, .offload = worker_offload(worker) };
}

static void a_job_is_done_elsewhere_and_its_end_is_told_here(void **state)
{
	struct loop *loop = loop_new();
	struct worker *worker = worker_new(loop);
	struct job job;

	(void)state;
	assert_non_null(worker);
	job = job_of(worker);
	job.again = 2;
	submit(&job);
	assert_int_equal(job.done, 0);
	loop_run(loop); /* it goes on for as long as there are jobs */
	assert_int_equal(job.worked, 3);
	assert_int_equal(job.done, 3);
	assert_false(pthread_equal(job.worked_on, pthread_self()));
	assert_true(pthread_equal(job.done_on, pthread_self()));
	worker_free(worker);
	free_loop(loop);
}

static void the_loop_goes_on_while_a_job_runs(void **state)
{
	struct loop *loop = loop_new();
	struct worker *worker = worker_new(loop);
	struct job job;
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	assert_non_null(worker);
	job = job_of(worker);
	job.waits = &gate;
	submit(&job);
	turn_for(loop, 20 * NS_PER_MS);
	assert_int_equal(job.done, 0);
	sem_post(&gate);
	TURN_UNTIL(loop, job.done == 1);
	worker_free(worker);
	free_loop(loop);
	sem_destroy(&gate);
}

static void all_jobs_end_before_the_worker_is_gone(void **state)
{
	static struct job jobs[1000];
	struct loop *loop = loop_new();
	struct worker *worker = worker_new(loop);

	(void)state;
	assert_non_null(worker);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		jobs[i] = job_of(worker);
		submit(&jobs[i]);
	}
	worker_free(worker);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		assert_int_equal(jobs[i].done, 1);
	}
	free_loop(loop);
}

static void two_loops_have_workers_of_their_own(void **state)
{
	struct loop *loops[2] = { loop_new(), loop_new() };
	struct worker *workers[2] = { worker_new(loops[0]), worker_new(loops[1]) };
	struct job jobs[2] = { job_of(workers[0]), job_of(workers[1]) };

	(void)state;
	submit(&jobs[0]);
	submit(&jobs[1]);
	loop_run(loops[1]);
	assert_int_equal(jobs[1].done, 1);
	assert_int_equal(jobs[0].done, 0);
	loop_run(loops[0]);
	assert_int_equal(jobs[0].done, 1);
	for (int i = 0; i < 2; i++) {
		worker_free(workers[i]);
		free_loop(loops[i]);
	}
}

static void without_memory_nothing_is_done(void **state)
{
	struct loop *loop = loop_new();
	struct worker *worker = worker_new(loop);
	struct job job;

	(void)state;
	assert_non_null(worker);
	job = job_of(worker);
	failing_at = 0;
	assert_int_equal(job.offload->submit(job.offload, &job.base), -ENOMEM);
	failing_at = -1;
	loop_run(loop);
	assert_int_equal(job.worked + job.done, 0);
	worker_free(worker);
	free_loop(loop);
}

static void there_is_no_worker_without_a_thread_or_memory(void **state)
{
	struct loop *loop = loop_new();
	struct worker *worker = NULL;
	long failures = 0;

	(void)state;
	no_thread = true;
	assert_null(worker_new(loop));
	no_thread = false;
	for (; !worker; failures++) {
		failing_at = failures;
		worker = worker_new(loop);
		failing_at = -1;
	}
	assert_true(failures > 2); /* the worker, and what has the threads made */
	worker_free(worker);
	worker_free(NULL);
	free_loop(loop);
}

/* Threads of this process. */
static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(tasks);
	while (readdir(tasks)) {
		n++;
	}
	closedir(tasks);
	return n - 2; /* . and .. */
}

/* One that is made later may be refused then, and libuv knows no answer to that. */
static void no_thread_is_made_later(void **state)
{
	struct loop *loop = loop_new();
	struct worker *worker = worker_new(loop);
	unsigned before = count_threads();
	struct job job;

	(void)state;
	assert_true(before >= 2);
	assert_non_null(worker);
	job = job_of(worker);
	submit(&job);
	loop_run(loop);
	assert_int_equal(job.done, 1);
	assert_int_equal(count_threads(), before);
	worker_free(worker);
	free_loop(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_thread_is_made_later), /* first: nobody has made one */
		cmocka_unit_test(there_is_no_worker_without_a_thread_or_memory),
		cmocka_unit_test(a_job_is_done_elsewhere_and_its_end_is_told_here),
		cmocka_unit_test(the_loop_goes_on_while_a_job_runs),
		cmocka_unit_test(all_jobs_end_before_the_worker_is_gone),
		cmocka_unit_test(two_loops_have_workers_of_their_own),
		cmocka_unit_test(without_memory_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
