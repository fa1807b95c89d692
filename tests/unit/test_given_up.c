/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "plugin/given_up.h"
#include "support_heap.h"

#define HEX   "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define TOPIC "p2panda/" HEX
#define ROWS  (GIVEN_UP_MOST + 10)

static struct {
	struct given_up *given_up;
	struct row {
		uint8_t key[32], value[LIMIT_RECORD];
		size_t key_size, value_size;
	} rows[ROWS];
	size_t count;
	int error; /* of what is written */
	size_t visits;
	char client[64], filter[LIMIT_RECORD];
	struct terms terms;
} world;

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	size_t i = 0;

	assert_ptr_equal(context, &world);
	assert_true(key_size <= sizeof world.rows[0].key && key_size + value_size <= LIMIT_RECORD);
	if (value_size && world.error)
		return world.error;
	while (i < world.count && memcmp(world.rows[i].key, key, key_size) != 0)
		i++;
	if (value_size == 0) {
		assert_true(i < world.count);
		memmove(&world.rows[i], &world.rows[i + 1],
			(--world.count - i) * sizeof world.rows[0]);
		return ERROR_NONE;
	}
	assert_true(i < ROWS);
	world.count += i == world.count;
	memcpy(world.rows[i].key, key, key_size);
	memcpy(world.rows[i].value, value, value_size);
	world.rows[i].key_size = key_size;
	world.rows[i].value_size = value_size;
	return ERROR_NONE;
}

static void begin(void)
{
	const struct random random = random_system();

	given_up_free(world.given_up);
	assert_int_equal(given_up_new(record, &world, &random, &world.given_up), 0);
}

/* A value of its very size, for the sanitizer. */
static bool restore(const void *key, size_t key_size, const void *value, size_t value_size)
{
	void *own = malloc(value_size);
	bool taken;

	if (value_size)
		memcpy(own, value, value_size);
	taken = given_up_restore(world.given_up, key, key_size, own, value_size);
	free(own);
	return taken;
}

static void restart(void)
{
	begin();
	for (size_t i = 0; i < world.count; i++)
		assert_true(restore(world.rows[i].key, world.rows[i].key_size, world.rows[i].value,
			world.rows[i].value_size));
}

static void on_visit(void *context, const char *client, const char *filter, struct terms terms)
{
	assert_ptr_equal(context, &world);
	world.visits++;
	snprintf(world.client, sizeof world.client, "%s", client);
	snprintf(world.filter, sizeof world.filter, "%s", filter);
	world.terms = terms;
}

static size_t visit(void)
{
	world.visits = 0;
	given_up_visit_all(world.given_up, on_visit, &world);
	return world.visits;
}

static int setup(void **state)
{
	heap_begin();
	memset(&world, 0, sizeof world);
	begin();
	return 0;
}

static int teardown(void **state)
{
	given_up_free(world.given_up);
	given_up_free(NULL);
	heap_end();
	return 0;
}

static void known_after_a_restart(void **state)
{
	const struct terms terms = {0x2e, true, 268435455};

	given_up_add(world.given_up, "lamp", TOPIC, terms);
	assert_int_equal(world.count, 1);
	assert_int_equal(visit(), 0); /* those of before the start only */
	given_up_settle(world.given_up);
	for (int i = 0; i < 2; i++) {
		restart();
		assert_int_equal(visit(), 1);
		assert_string_equal(world.client, "lamp");
		assert_string_equal(world.filter, TOPIC);
		assert_true(terms_equal(world.terms, terms));
	}
	/* One that is given up after the start waits for the next one. */
	given_up_add(world.given_up, "door", TOPIC, terms_of_qos(2));
	given_up_settle(world.given_up);
	assert_int_equal(world.count, 1);
	assert_int_equal(visit(), 0);
	restart();
	assert_int_equal(visit(), 1);
	assert_string_equal(world.client, "door");
	assert_true(terms_equal(world.terms, terms_of_qos(2)));
}

static void subscribed_again(void **state)
{
	given_up_add(world.given_up, "lamp", TOPIC, terms_of_qos(1));
	given_up_add(world.given_up, "lamp", TOPIC, terms_of_qos(2));
	assert_int_equal(world.count, 1);
	given_up_end(world.given_up, "door", TOPIC);
	given_up_end(world.given_up, "lamp", TOPIC);
	assert_int_equal(world.count, 0);
	given_up_end(world.given_up, "lamp", TOPIC);
	given_up_add(world.given_up, "lamp", TOPIC, terms_of_qos(1));
	restart();
	given_up_end(world.given_up, "lamp", TOPIC);
	assert_int_equal(world.count, 0);
	assert_int_equal(visit(), 0);
}

static void the_oldest_are_forgotten(void **state)
{
	char client[16];

	for (int i = 0; i < GIVEN_UP_MOST + 3; i++) {
		snprintf(client, sizeof client, "%d", i);
		given_up_add(world.given_up, client, TOPIC, terms_of_qos(1));
	}
	assert_int_equal(world.count, GIVEN_UP_MOST);
	restart();
	assert_int_equal(visit(), GIVEN_UP_MOST);
	given_up_end(world.given_up, "2", TOPIC); /* is not there any more */
	assert_int_equal(world.count, GIVEN_UP_MOST);
	given_up_end(world.given_up, "3", TOPIC);
	assert_int_equal(world.count, GIVEN_UP_MOST - 1);
}

static void what_cannot_be_kept(void **state)
{
	char filter[LIMIT_RECORD + 1], client[16] = "c";
	/* Key, size of the terms, these, and both strings with their zeros. */
	size_t tail = sizeof "/" TOPIC - 1, longest = LIMIT_RECORD - 18 - 1 - TERMS_SIZE - 2 - 1;

	memset(filter, 'g', sizeof filter);
	memcpy(filter, "$share/", 7);
	strcpy(filter + longest + 1 - tail, "/" TOPIC);
	given_up_add(world.given_up, client, filter, terms_of_qos(1));
	assert_int_equal(world.count, 0);
	strcpy(filter + longest - tail, "/" TOPIC);
	given_up_add(world.given_up, client, filter, terms_of_qos(1));
	assert_int_equal(world.count, 1);
	world.error = ERROR_FULL;
	given_up_add(world.given_up, "d", TOPIC, terms_of_qos(1));
	world.error = 0;
	assert_int_equal(world.count, 1);
	restart();
	assert_int_equal(visit(), 1);
	assert_string_equal(world.filter, filter);
	heap_fail(1, false);
	given_up_add(world.given_up, "e", TOPIC, terms_of_qos(1));
	assert_true(heap_has_failed());
	heap_fail(0, false);
	assert_int_equal(world.count, 1);
}

static void rows_that_make_no_sense(void **state)
{
	static const struct {
		const char *value;
		size_t size;
	} values[] = {
		{"", 0},
		{"\1", 1},
		{"\1\1", 2},
		{"\1\1lamp\0" TOPIC, sizeof "\1\1lamp\0" TOPIC - 1}, /* not ended */
		{"\1\3lamp\0" TOPIC, sizeof "\1\3lamp\0" TOPIC},
		{"\2\1\1lamp\0" TOPIC, sizeof "\2\1\1lamp\0" TOPIC},
		{"\1\1lamp", sizeof "\1\1lamp"},
		{"\1\1lamp\0house", sizeof "\1\1lamp\0house"},
		{"\1\1lamp\0" TOPIC "\0", sizeof "\1\1lamp\0" TOPIC "\0"},
		{"\xff\1lamp\0" TOPIC, sizeof "\xff\1lamp\0" TOPIC},
		{"\1\1door\0" TOPIC, sizeof "\1\1door\0" TOPIC}, /* another's name */
	};
	uint8_t key[32];

	given_up_add(world.given_up, "lamp", TOPIC, terms_of_qos(1));
	memcpy(key, world.rows[0].key, sizeof key);
	begin();
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		assert_true(restore(key, world.rows[0].key_size, values[i].value, values[i].size));
	assert_int_equal(visit(), 0);
	/* Somebody else's. */
	assert_false(restore(key, world.rows[0].key_size - 1, "\1", 1));
	key[1] = 's';
	assert_false(restore(key, world.rows[0].key_size, "\1", 1));
	assert_false(restore("", 0, "", 0));
	key[1] = 'g';
	for (size_t n = 1; n < 3; n++) {
		heap_fail(n, false);
		assert_true(restore(key, world.rows[0].key_size, world.rows[0].value,
			world.rows[0].value_size));
		heap_fail(0, false);
		assert_int_equal(visit(), 0);
	}
	assert_true(restore(key, world.rows[0].key_size, world.rows[0].value,
		world.rows[0].value_size));
	assert_int_equal(visit(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(known_after_a_restart),
		TEST(subscribed_again),
		TEST(the_oldest_are_forgotten),
		TEST(what_cannot_be_kept),
		TEST(rows_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
