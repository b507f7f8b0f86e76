/*
 * Intrusive doubly linked list. A list is a node whose neighbours are itself;
 * a node that is in no list is its own neighbour too, so list_remove() may be
 * called twice. Nothing here allocates or fails.
 *
 *	list_for_each(&app->connections, node) { ... }   the body must not remove
 *	while ((node = list_pop(&ready))) { ... }         drains
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(list)          \
	{                        \
		&(list), &(list) \
	}

static inline void list_init(struct list *list)
{
	list->prev = list->next = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

/* `node` must be in no list. It becomes the last. */
static inline void list_append(struct list *list, struct list *node)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

/* `node` must be in no list. It becomes the first. */
static inline void list_prepend(struct list *list, struct list *node)
{
	list_append(list->next, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = node;
}

/* The first node, removed; NULL when the list is empty. */
static inline struct list *list_pop(struct list *list)
{
	struct list *node = list->next;

	if (node == list) {
		return NULL;
	}
	list_remove(node);
	return node;
}

/* Moves all of `from` to the end of `to`; `from` becomes empty. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from)) {
		return;
	}
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_for_each(head, node) \
	for (struct list *node = (head)->next; node != (head); node = node->next)

/* As list_for_each, and the body may remove the current node (no other). */
#define list_for_each_safe(head, node)                                                    \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
	     node = node##_next, node##_next = node->next)
