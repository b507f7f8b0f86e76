/*
 * The happy path: submit() -> uv_queue_work() -> on_work() on a thread of the pool ->
 * on_done() on the loop -> the job's `done`.
 *
 * What can fail: submit(), without memory for libuv's request; nothing after it.
 */
#include "net/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "net/loop_p.h"

/* Of a thread of libuv's pool. */
#define STACK_BYTES (8 * MIB)

struct worker {
	struct offload offload;
	struct loop *loop;
	size_t n_tasks;
};

struct task {
	uv_work_t uv;
	struct worker *worker;
	struct offload_job *job; /* NULL: it only has the threads made */
};

static void on_work(uv_work_t *uv)
{
	struct task *task = container_of(uv, struct task, uv);

	if (task->job) {
		task->job->work(task->job);
	}
}

static void on_done(uv_work_t *uv, int status)
{
	struct task *task = container_of(uv, struct task, uv);
	struct offload_job *job = task->job;

	(void)status; /* nobody cancels */
	task->worker->n_tasks--;
	free(task);
	if (job) {
		job->done(job);
	}
}

static int start(struct worker *worker, struct offload_job *job)
{
	struct task *task = malloc(sizeof(*task));
	int err;

	if (!task) {
		return -ENOMEM;
	}
	task->worker = worker;
	task->job = job;
	err = uv_queue_work(loop_uv(worker->loop), &task->uv, on_work, on_done);
	if (err < 0) {
		free(task);
		return err;
	}
	worker->n_tasks++;
	return 0;
}

static int submit(struct offload *offload, struct offload_job *job)
{
	return start(container_of(offload, struct worker, offload), job);
}

static void *do_nothing(void *unused)
{
	return unused;
}

/* Whether the system has a thread for us, such as libuv is about to want. */
static bool threads_can_be_made(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	bool made;

	if (pthread_attr_init(&attributes) != 0) {
		return false;
	}
	made = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
	       pthread_create(&thread, &attributes, do_nothing, NULL) == 0;
	pthread_attr_destroy(&attributes);
	if (made) {
		pthread_join(thread, NULL);
	}
	return made;
}

struct worker *worker_new(struct loop *loop)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker) {
		return NULL;
	}
	worker->offload.submit = submit;
	worker->loop = loop;
	if (setenv("UV_THREADPOOL_SIZE", "1", 0) < 0 || !threads_can_be_made() ||
	    start(worker, NULL) < 0) {
		free(worker);
		return NULL;
	}
	return worker;
}

void worker_free(struct worker *worker)
{
	if (!worker) {
		return;
	}
	while (worker->n_tasks > 0) {
		uv_run(loop_uv(worker->loop), UV_RUN_ONCE);
	}
	free(worker);
}

struct offload *worker_offload(struct worker *worker)
{
	return &worker->offload;
}
