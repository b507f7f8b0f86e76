#include "base/timers.h"

#include <assert.h>
#include <stddef.h>
#include <time.h>

#include "base/util.h"

/*
 * A pairing heap: a tree in which no timer is due before its parent. The
 * children of a node are a list (`next`) whose first is the parent's `child`.
 * `prev` is the left sibling, or the parent of a first child, so that any timer
 * can be cut out in O(1).
 *
 *	start  melds a single node with the root: one comparison.
 *	stop   puts a timer's children, melded into one tree, in its place. The
 *	       frequent case, a deadline that is stopped long before it is due,
 *	       has no children: two pointers change.
 *	run    takes the root away and melds its children in pairs: O(log n)
 *	       amortized, and the cost of many starts is paid only by those timers
 *	       that live until they fire.
 *
 * What costs most there is to stop the earliest, as whoever gives each of many calls
 * the same time does all the while. So beside the heap there is a queue, in the order of
 * being due: a timer that is due no earlier than its last is appended, and all that is
 * done with it later is O(1). One that is due much later than those which follow it
 * would keep them out; the first of them that would fit without it sends it to the heap.
 */

int64_t timers_monotonic(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void timers_init(struct timers *timers, int64_t (*clock)(void *context), void *context)
{
	*timers = (struct timers){ .clock = clock, .context = context };
}

static bool before(const struct timer *a, const struct timer *b)
{
	return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->sequence < b->sequence);
}

/* One tree of two; both are roots without siblings. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *parent = a, *child = b;

	if (before(b, a)) {
		parent = b;
		child = a;
	}
	child->prev = parent;
	child->next = parent->child;
	if (child->next) {
		child->next->prev = child;
	}
	parent->child = child;
	return parent;
}

static struct timer *detach(struct timer *node)
{
	node->next = node->prev = NULL;
	return node;
}

/*
 * One tree of a list of siblings: in pairs from the left, then all pairs from the
 * right. NULL for none.
 */
static struct timer *meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL; /* linked by `next`, the last pair first */
	struct timer *tree;

	while (first) {
		struct timer *left = first, *right = first->next;

		first = right ? right->next : NULL;
		tree = detach(left);
		if (right) {
			tree = meld(tree, detach(right));
		}
		tree->next = pairs;
		pairs = tree;
	}
	if (!pairs) {
		return NULL;
	}
	tree = pairs;
	pairs = pairs->next;
	detach(tree);
	while (pairs) {
		struct timer *left = pairs;

		pairs = pairs->next;
		tree = meld(detach(left), tree);
	}
	return tree;
}

/* Takes the children away from `node`: one tree, or NULL. */
static struct timer *take_children(struct timer *node)
{
	struct timer *first = node->child;

	node->child = NULL;
	return first ? meld_siblings(first) : NULL;
}

/*
 * Puts what is below a timer, which is not a root, in its place: none of it is due
 * before its parent.
 */
static void cut(struct timer *timer)
{
	struct timer *tree = take_children(timer);
	struct timer *follower = timer->next;

	if (tree) {
		tree->next = follower;
		if (follower) {
			follower->prev = tree;
		}
		follower = tree;
	}
	if (timer->prev->child == timer) {
		timer->prev->child = follower;
	} else {
		timer->prev->next = follower;
	}
	if (follower) {
		follower->prev = timer->prev;
	}
	detach(timer);
}

static void add_to_heap(struct timers *timers, struct timer *timer)
{
	bool later = timers->running && timer->sequence >= timers->run;
	struct timer **root = later ? &timers->started : &timers->root;

	*root = *root ? meld(*root, timer) : timer;
}

static void unqueue(struct timers *timers, struct timer *timer)
{
	*(timer->prev ? &timer->prev->next : &timers->queue_first) = timer->next;
	*(timer->next ? &timer->next->prev : &timers->queue_last) = timer->prev;
	timer->queued = false;
	detach(timer);
}

/* False: it would not be last. */
static bool enqueue(struct timers *timers, struct timer *timer)
{
	struct timer *last = timers->queue_last;

	if (last && timer->due_ns < last->due_ns) {
		if (last->prev && timer->due_ns < last->prev->due_ns) {
			return false;
		}
		unqueue(timers, last);
		add_to_heap(timers, last);
		last = timers->queue_last;
	}
	timer->queued = true;
	timer->prev = last;
	*(last ? &last->next : &timers->queue_first) = timer;
	timers->queue_last = timer;
	return true;
}

void timer_start_at(struct timers *timers, struct timer *timer, int64_t due_ns)
{
	timer_stop(timers, timer);
	timer->due_ns = due_ns;
	timer->sequence = timers->sequence++;
	timer->active = true;
	if (!enqueue(timers, timer)) {
		add_to_heap(timers, timer);
	}
}

void timer_start(struct timers *timers, struct timer *timer, int64_t delay_ns)
{
	int64_t due_ns;

	if (__builtin_add_overflow(timers_now(timers), MAX(delay_ns, 0), &due_ns)) {
		due_ns = INT64_MAX;
	}
	timer_start_at(timers, timer, due_ns);
}

void timer_remove(struct timers *timers, struct timer *timer)
{
	timer->active = false;
	if (timer->queued) {
		unqueue(timers, timer);
	} else if (timer == timers->root) {
		timers->root = take_children(timer);
	} else if (timer == timers->started) {
		timers->started = take_children(timer);
	} else {
		cut(timer);
	}
}

const struct timer *timers_first(const struct timers *timers)
{
	const struct timer *queued = timers->queue_first;

	return timers->root && (!queued || before(timers->root, queued)) ? timers->root : queued;
}

bool timers_others(const struct timers *timers, const struct timer *timer)
{
	const struct timer *root = timers->root, *queued = timers->queue_first;

	return (root && (root != timer || root->child)) ||
	       (queued && (queued != timer || queued->next));
}

int64_t timers_next_ns(const struct timers *timers)
{
	const struct timer *first = timers_first(timers);
	int64_t left_ns;

	if (!first || (timers->started && before(timers->started, first))) {
		first = timers->started;
	}
	if (!first) {
		return -1;
	}
	if (__builtin_sub_overflow(first->due_ns, timers_now(timers), &left_ns)) {
		return first->due_ns < 0 ? 0 : INT64_MAX;
	}
	return MAX(left_ns, 0);
}

/* The earliest that was started before timers_run() was; NULL: none. */
static struct timer *earliest(const struct timers *timers)
{
	struct timer *queued = timers->queue_first;

	if (queued && queued->sequence >= timers->run) {
		queued = NULL; /* and so are those behind it */
	}
	return timers->root && (!queued || before(timers->root, queued)) ? timers->root : queued;
}

unsigned timers_run(struct timers *timers)
{
	int64_t now_ns = timers_now(timers);
	struct timer *timer;
	unsigned fired = 0;

	assert(!timers->running);
	timers->running = true;
	timers->run = timers->sequence;
	while ((timer = earliest(timers)) && timer->due_ns <= now_ns) {
		timer_remove(timers, timer);
		fired++;
		timer->fire(timer);
	}
	timers->running = false;
	if (timers->started) {
		timers->root = timers->root ? meld(timers->root, timers->started) : timers->started;
		timers->started = NULL;
	}
	return fired;
}
