#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/util.h"

struct item {
	int number;
	struct list node;
};

/* Forwards and backwards, so that both links are right. */
static void assert_list(struct list *list, const int *numbers, size_t n)
{
	struct list *node = list->next;

	for (size_t i = 0; i < n; i++, node = node->next) {
		assert_ptr_not_equal(node, list);
		assert_int_equal(container_of(node, struct item, node)->number, numbers[i]);
		assert_ptr_equal(node->next->prev, node);
		assert_ptr_equal(node->prev->next, node);
	}
	assert_ptr_equal(node, list);
	assert_int_equal(list_empty(list), n == 0);
}

#define ASSERT_LIST(list, ...) \
	assert_list(list, (int[]){ __VA_ARGS__ }, ARRAY_SIZE(((int[]){ __VA_ARGS__ })))

static void keeps_its_order(void **state)
{
	struct list list = LIST_INIT(list);
	struct item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };

	(void)state;
	assert_list(&list, NULL, 0);
	assert_null(list_pop(&list));
	list_append(&list, &items[1].node);
	list_append(&list, &items[2].node);
	list_prepend(&list, &items[0].node);
	ASSERT_LIST(&list, 0, 1, 2);
	assert_ptr_equal(list_pop(&list), &items[0].node);
	ASSERT_LIST(&list, 1, 2);
}

static void removing_twice_is_harmless(void **state)
{
	struct list list = LIST_INIT(list);
	struct item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		list_append(&list, &items[i].node);
	}
	list_remove(&items[1].node);
	list_remove(&items[1].node);
	ASSERT_LIST(&list, 0, 2);
	list_append(&list, &items[1].node);
	ASSERT_LIST(&list, 0, 2, 1);
}

static void splicing_moves_all(void **state)
{
	struct list to = LIST_INIT(to), from = LIST_INIT(from);
	struct item items[4] = {
		{ .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 }
	};

	(void)state;
	list_splice(&to, &from);
	assert_list(&to, NULL, 0);
	list_append(&from, &items[0].node);
	list_append(&from, &items[1].node);
	list_splice(&to, &from);
	ASSERT_LIST(&to, 0, 1);
	assert_list(&from, NULL, 0);
	list_append(&from, &items[2].node);
	list_append(&from, &items[3].node);
	list_splice(&to, &from);
	ASSERT_LIST(&to, 0, 1, 2, 3);
	list_splice(&to, &from);
	ASSERT_LIST(&to, 0, 1, 2, 3);
}

static void the_safe_loop_may_remove(void **state)
{
	struct list list = LIST_INIT(list);
	struct item items[5] = {
		{ .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 }
	};
	int seen = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		list_append(&list, &items[i].node);
	}
	list_for_each_safe (&list, node) {
		assert_int_equal(container_of(node, struct item, node)->number, seen++);
		if (seen % 2 == 0) {
			list_remove(node);
		}
	}
	assert_int_equal(seen, 5);
	ASSERT_LIST(&list, 0, 2, 4);
	list_for_each (&list, node) {
		seen += container_of(node, struct item, node)->number;
	}
	assert_int_equal(seen, 5 + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_its_order),
		cmocka_unit_test(removing_twice_is_harmless),
		cmocka_unit_test(splicing_moves_all),
		cmocka_unit_test(the_safe_loop_may_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
