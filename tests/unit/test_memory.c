/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>

#include "bridge/memory.h"

static void *use_memory_ahead(void *context)
{
	char *blocks[64];

	memory_ahead(*(size_t *)context);
	for (size_t i = 0; i < 64; i++) {
		blocks[i] = memory_alloc(4096);
		if (blocks[i])
			memset(blocks[i], 1, 4096);
	}
	for (size_t i = 0; i < 64; i++)
		memory_free(blocks[i]);
	return NULL;
}

/* What it is for is counted in tests/broker/test_wakes.py. */
static void whatever_is_asked_for(void **state)
{
	size_t sizes[] = {0, 1, 1 << 20, MEMORY_AHEAD_MOST, SIZE_MAX};
	pthread_t thread;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(pthread_create(&thread, NULL, use_memory_ahead, &sizes[i]), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_is_asked_for)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
