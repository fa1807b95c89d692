/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/bytes/writer.h"
#include "bridge/error.h"
#include "bridge/memory.h"
#include "bridge/node.h"
#include "plugin/guard.h"

#define S UINT64_C(1000000000)
/* Unix time. */
#define WALL UINT64_C(1790000000)
/* guard.c: of more overlays the first stay. */
#define GUARDED 10000

static struct {
	struct identity identity;
	struct node *node;
	struct guard *guard;
	char dir[64];
	unsigned restored, others;
} world;

static const struct id topic = {{0x77}}, other_topic = {{0x88}};

static void on_record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	if (guard_restore(world.guard, key, key_size, value, value_size))
		world.restored++;
	else
		world.others++;
}

static void begin(void)
{
	static const struct address bind = {.family = 4, .ip = {127, 0, 0, 1}};
	const struct random random = random_system();
	const struct node_config config = {
		.identity = &world.identity,
		.network = identity_default_network,
		.binds = &bind,
		.binds_count = 1,
		.state_dir = world.dir,
		.max_overlays = 10,
		.queue_limit = 128,
		.queue_age_ns = 30 * S,
		.cache_bytes = LIMIT_CACHE_BYTES,
		.record = on_record,
	};
	char reason[NODE_REASON_SIZE];

	world.restored = world.others = 0;
	assert_int_equal(guard_new(&random, &world.guard), 0);
	assert_int_equal(node_start(&config, &world.node, reason), 0);
}

static void end(void)
{
	node_stop(world.node);
	guard_free(world.guard);
}

static int setup(void **state)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};

	memset(&world, 0, sizeof world);
	snprintf(world.dir, sizeof world.dir, "/tmp/test_guard.XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	assert_int_equal(identity_from_secret(secret, &world.identity), 0);
	begin();
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	end();
	identity_clear(&world.identity);
	snprintf(command, sizeof command, "rm -r %s", world.dir);
	return system(command);
}

static void it_holds_for_a_day(void **state)
{
	assert_false(guard_holds(world.guard, &topic, WALL));
	guard_seen(world.guard, world.node, &topic, WALL);
	assert_true(guard_holds(world.guard, &topic, WALL));
	assert_true(guard_holds(world.guard, &topic, WALL + GUARD_S - 1));
	assert_false(guard_holds(world.guard, &topic, WALL + GUARD_S));
	assert_false(guard_holds(world.guard, &other_topic, WALL));
	/* From the last one on. */
	guard_seen(world.guard, world.node, &topic, WALL + 1000);
	assert_true(guard_holds(world.guard, &topic, WALL + 1000 + GUARD_S - 1));
	assert_false(guard_holds(world.guard, &topic, WALL + 1000 + GUARD_S));
}

static void it_holds_after_a_restart(void **state)
{
	static const char key[] = "a session's";

	guard_seen(world.guard, world.node, &topic, WALL);
	assert_int_equal(node_record(world.node, key, sizeof key, "x", 1), 0);
	end();
	begin();
	assert_int_equal(world.restored, 1);
	assert_int_equal(world.others, 1);
	assert_true(guard_holds(world.guard, &topic, WALL + GUARD_S - 1));
	assert_false(guard_holds(world.guard, &topic, WALL + GUARD_S));
	assert_false(guard_holds(world.guard, &other_topic, WALL));
}

/* How long it still holds when all of it is read again. */
static void assert_kept(uint64_t seen_s)
{
	end();
	begin();
	assert_true(guard_holds(world.guard, &topic, seen_s + GUARD_S - 1));
	assert_false(guard_holds(world.guard, &topic, seen_s + GUARD_S));
}

static void it_is_written_once_an_hour(void **state)
{
	guard_seen(world.guard, world.node, &topic, WALL);
	guard_seen(world.guard, world.node, &topic, WALL + 3599);
	assert_kept(WALL);
	guard_seen(world.guard, world.node, &topic, WALL + 3600);
	assert_kept(WALL + 3600);
}

/* It was in the future when it was written: it would hold for longer than a day. */
static void a_clock_that_was_set_back(void **state)
{
	guard_seen(world.guard, world.node, &topic, WALL);
	guard_seen(world.guard, world.node, &topic, WALL - 1000);
	assert_kept(WALL - 1000);
}

static void others_records_are_not_taken(void **state)
{
	uint8_t key[2 + ID_SIZE] = {0xff, 'g'}, value[8] = {0};

	assert_false(guard_restore(world.guard, key, sizeof key - 1, value, sizeof value));
	key[1] = 'h';
	assert_false(guard_restore(world.guard, key, sizeof key, value, sizeof value));
	assert_false(guard_restore(world.guard, "client", 6, value, sizeof value));
	key[1] = 'g';
	/* A value that is none holds nothing. */
	memset(key + 2, 0x77, ID_SIZE);
	assert_true(guard_restore(world.guard, key, sizeof key, value, 3));
	assert_false(guard_holds(world.guard, (const struct id *)(key + 2), WALL));
}

static void of_too_many_the_first_stay(void **state)
{
	uint8_t key[2 + ID_SIZE] = {0xff, 'g'}, value[8];
	struct writer writer;
	struct id id = {{0}};

	writer_init(&writer, value, sizeof value);
	writer_u64(&writer, WALL);
	for (unsigned i = 0; i <= GUARDED; i++) {
		id.bytes[0] = (uint8_t)i;
		id.bytes[1] = (uint8_t)(i >> 8);
		memcpy(key + 2, &id, ID_SIZE);
		assert_true(guard_restore(world.guard, key, sizeof key, value, sizeof value));
		assert_int_equal(guard_holds(world.guard, &id, WALL), i < GUARDED);
	}
	guard_seen(world.guard, world.node, &id, WALL);
	assert_false(guard_holds(world.guard, &id, WALL));
	id = (struct id){{0}};
	guard_seen(world.guard, world.node, &id, WALL + 5);
	assert_true(guard_holds(world.guard, &id, WALL + 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_holds_for_a_day),
		TEST(it_holds_after_a_restart),
		TEST(it_is_written_once_an_hour),
		TEST(a_clock_that_was_set_back),
		TEST(others_records_are_not_taken),
		TEST(of_too_many_the_first_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
