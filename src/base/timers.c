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

void timer_start_at(struct timers *timers, struct timer *timer, int64_t due_ns)
{
	struct timer **root = timers->running ? &timers->started : &timers->root;

	timer_stop(timers, timer);
	timer->due_ns = due_ns;
	timer->sequence = timers->sequence++;
	timer->active = true;
	*root = *root ? meld(*root, timer) : timer;
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
	if (timer == timers->root) {
		timers->root = take_children(timer);
	} else if (timer == timers->started) {
		timers->started = take_children(timer);
	} else {
		cut(timer);
	}
}

int64_t timers_next_ns(const struct timers *timers)
{
	const struct timer *first = timers->root;
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

unsigned timers_run(struct timers *timers)
{
	int64_t now_ns = timers_now(timers);
	unsigned fired = 0;

	assert(!timers->running);
	timers->running = true;
	while (timers->root && timers->root->due_ns <= now_ns) {
		struct timer *timer = timers->root;

		timer_stop(timers, timer);
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
