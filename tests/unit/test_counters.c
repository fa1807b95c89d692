/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>

#include "bridge/counters.h"

#define TIMES 10000

static const struct {
	const char *name, *topic, *meaning;
} table[] = {
#define X(name, topic, meaning) {#name, topic, meaning},
	COUNTER_TABLE(X)
#undef X
};

static struct counters counters;

/* They become topics below $SYS/broker/p2panda/. */
static void topics(void **state)
{
	assert_int_equal(sizeof table / sizeof *table, COUNTERS);
	for (size_t i = 0; i < COUNTERS; i++) {
		assert_int_equal(strspn(table[i].topic, "abcdefghijklmnopqrstuvwxyz_/"),
			strlen(table[i].topic));
		assert_true(strlen(table[i].meaning) > 0);
		/* What was not carried is found in one place. */
		assert_int_equal(strncmp(table[i].name, "DROPPED_", 8) == 0,
			strncmp(table[i].topic, "dropped/", 8) == 0);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(table[i].topic, table[j].topic);
	}
}

static void *count(void *context)
{
	for (int i = 0; i < TIMES; i++)
		counters_add(&counters, COUNTER_IN, 2);
	return NULL;
}

static void counted_by_any_thread(void **state)
{
	pthread_t threads[2];

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	while (counters_get(&counters, COUNTER_IN) < TIMES)
		;
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counters_get(&counters, COUNTER_IN), 4 * TIMES);
	assert_int_equal(counters_get(&counters, COUNTER_SENT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics),
		cmocka_unit_test(counted_by_any_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
