/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "plugin/codecs/keys.h"
#include "support_heap.h"

static int push(struct keys *keys, const char *key)
{
	return keys_push(keys, &(struct key){(const uint8_t *)key, strlen(key), 0});
}

static void sorted_by_bytes(void **state)
{
	struct keys keys = {0};

	push(&keys, "z"); /* of a map around it: not looked at */
	push(&keys, "aab");
	push(&keys, "aa");
	push(&keys, "b");
	push(&keys, "\xf6");
	assert_true(keys_ascend(&keys, 4) && keys_ascend(&keys, 5));
	assert_false(keys_ascend(&keys, 1));
	assert_true(keys_sort(&keys, 1));
	assert_true(keys_ascend(&keys, 1));
	assert_memory_equal(keys.list[0].at, "z", 1);
	assert_memory_equal(keys.list[1].at, "aa", 3);
	assert_memory_equal(keys.list[2].at, "aab", 4);
	assert_memory_equal(keys.list[3].at, "b", 2);
	push(&keys, "aab");
	assert_false(keys_sort(&keys, 1)); /* twice */
	keys_drop(&keys, 1);
	assert_int_equal(keys.count, 1);
	assert_true(keys_sort(&keys, 1)); /* none */
	keys_clear(&keys);
}

static void no_memory(void **state)
{
	struct keys keys = {0};
	size_t pushed = 0;

	heap_begin();
	heap_fail(1, false);
	assert_int_equal(push(&keys, "a"), ERROR_NOMEM);
	heap_fail(2, false);
	while (push(&keys, "a") == 0)
		pushed++;
	assert_int_equal(keys.count, pushed);
	assert_int_equal(push(&keys, "a"), 0);
	keys_clear(&keys);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_by_bytes),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
