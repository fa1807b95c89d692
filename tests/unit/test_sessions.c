/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/memory.h"
#include "plugin/sessions.h"

#define HEX    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define TOPIC  "p2panda/" HEX
#define SHARED "$share/group/" TOPIC

static struct {
	struct identity identity;
	struct node *node;
	struct interest *interest;
	char dir[64];
	unsigned visits, joins, asked;
	char asked_for[32];
} world;

static int on_verify(void *context, const struct id *topic, bool verify)
{
	return 0;
}

static int on_join(void *context, const struct id *topic)
{
	assert_int_equal(topic->bytes[1], 0x11);
	world.joins++;
	return 0;
}

static int on_leave(void *context, const struct id *topic)
{
	return 0;
}

static bool is_allowed(
	void *context, const char *client, const char *filter, const struct id *topic)
{
	return true;
}

static struct interest_owner nobody(void *context, const char *client)
{
	return (struct interest_owner){NULL, NULL};
}

static bool has_session(void *context, const char *client)
{
	world.asked++;
	snprintf(world.asked_for, sizeof world.asked_for, "%s", client);
	return true;
}

static int on_remember(void *context, const char *client, const char *filter, uint8_t qos)
{
	fail_msg("it is on record");
}

static void on_forget(void *context, const char *client, const char *filter)
{
	sessions_forget(world.node, client, filter);
}

static void on_limited(void *context, const char *client, const struct id *topic)
{
	fail_msg("far from any limit");
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	world.visits++;
	sessions_restore(world.interest, key, key_size, value, value_size);
}

/* The node with what was on record goes on in interest. */
static void begin(void)
{
	static const struct interest_actions actions = {
		.allowed = is_allowed,
		.owner = nobody,
		.join = on_join,
		.leave = on_leave,
		.verify = on_verify,
		.has_session = has_session,
		.remember = on_remember,
		.forget = on_forget,
		.denied = on_limited,
		.limited = on_limited,
		.gave_way = on_limited,
		.unrecorded = on_limited,
	};
	static const struct interest_config limits = {
		.max_overlays = 10, .max_overlays_per_client = 10};
	static const struct address bind = {.family = 4, .ip = {127, 0, 0, 1}};
	const struct random random = random_system();
	struct node_config config = {
		.identity = &world.identity,
		.network = identity_default_network,
		.binds = &bind,
		.binds_count = 1,
		.state_dir = world.dir,
		.max_overlays = 10,
		.record = on_record,
	};
	char reason[NODE_REASON_SIZE];

	assert_int_equal(interest_new(&actions, &limits, &random, &world.interest), 0);
	assert_int_equal(node_start(&config, &world.node, reason), 0);
}

static void end(void)
{
	node_stop(world.node);
	interest_free(world.interest);
	world.node = NULL;
	world.interest = NULL;
	world.visits = world.joins = world.asked = 0;
}

static int setup(void **state)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};

	memset(&world, 0, sizeof world);
	strcpy(world.dir, "/tmp/test_sessions.XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	assert_int_equal(identity_from_secret(secret, &world.identity), 0);
	begin();
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"p2panda.db", "p2panda.db-wal", "p2panda.db-shm"};
	char path[128];

	end();
	identity_clear(&world.identity);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", world.dir, files[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(world.dir), 0);
	return 0;
}

static void known_after_a_restart(void **state)
{
	sessions_remember(world.node, "lamp", TOPIC, 1);
	sessions_remember(world.node, "lamp", SHARED, 0);
	sessions_remember(world.node, "door", TOPIC, 2);
	sessions_remember(world.node, "door", SHARED, 1);
	sessions_forget(world.node, "door", TOPIC);
	sessions_forget(world.node, "door", SHARED);
	sessions_forget(world.node, "bell", TOPIC); /* never known */
	for (int i = 0; i < 2; i++) {
		end();
		begin();
		assert_int_equal(world.visits, 2);
		assert_int_equal(world.joins, 0);
		interest_tick(world.interest, 0);
		assert_int_equal(world.asked, 1);
		assert_string_equal(world.asked_for, "lamp");
		assert_int_equal(world.joins, 1);
	}
	/* The last word counts: at QoS 0 it holds nothing while it is offline. */
	sessions_remember(world.node, "lamp", TOPIC, 0);
	end();
	begin();
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 1);
	assert_int_equal(world.joins, 0);
}

/* What is longer is not kept, and one is told so. */
static void names_of_any_length(void **state)
{
	static char client[65536];
	size_t longest = LIMIT_RECORD - sizeof TOPIC - 1 - 1; /* its own zero, the QoS */

	assert_int_equal(sessions_remember(world.node, "", TOPIC, 1), 0);
	memset(client, 'c', sizeof client - 1);
	assert_int_equal(sessions_remember(world.node, client, TOPIC, 1), ERROR_TOO_LARGE);
	client[longest + 1] = 0;
	assert_int_equal(sessions_remember(world.node, client, TOPIC, 1), ERROR_TOO_LARGE);
	client[longest] = 0;
	assert_int_equal(sessions_remember(world.node, client, TOPIC, 1), 0);
	end();
	begin();
	assert_int_equal(world.visits, 2);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 2);
	assert_int_equal(world.joins, 1);
}

#define KEY "c\0" TOPIC

/* The file may have been written by anybody. */
static void records_that_make_no_sense(void **state)
{
	static const struct {
		const char *key;
		size_t key_size;
		const char *value;
		size_t value_size;
	} records[] = {
		{NULL, 0, NULL, 0},
		{NULL, 0, "\1", 1},
		{"", 1, "\1", 1},
		{"\0", 2, "\1", 1},
		{"c\0", 3, "\1", 1},
		{"c", 1, "\1", 1},
		{"c", 2, "\1", 1},
		{KEY, sizeof KEY - 1, "\1", 1}, /* not ended */
		{KEY, sizeof KEY, NULL, 0},
		{KEY, sizeof KEY, "\1\1", 2},
		{KEY, sizeof KEY, "\3", 1},
		{KEY "\0", sizeof KEY + 1, "\1", 1}, /* a third part */
		{KEY "0", sizeof KEY + 1, "\1", 1},
		{"c\0p2panda/+", 12, "\1", 1},
		{"c\0house/lamp", 13, "\1", 1},
		{TOPIC, sizeof TOPIC, "\1", 1},
	};
	char *key, *value;

	for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
		/* Of their very size, for the sanitizer. */
		key = malloc(records[i].key_size);
		value = malloc(records[i].value_size);
		if (records[i].key_size)
			memcpy(key, records[i].key, records[i].key_size);
		if (records[i].value_size)
			memcpy(value, records[i].value, records[i].value_size);
		sessions_restore(
			world.interest, key, records[i].key_size, value, records[i].value_size);
		free(key);
		free(value);
	}
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 0);
	sessions_restore(world.interest, KEY, sizeof KEY, "\1", 1);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 1);
	assert_int_equal(world.joins, 1);
}

static void *no_alloc(void *context, size_t size)
{
	return NULL;
}

static void *no_realloc(void *context, void *block, size_t size)
{
	return NULL;
}

static void do_free(void *context, void *block)
{
	free(block);
}

static void without_memory(void **state)
{
	static const struct memory none = {no_alloc, no_realloc, do_free, NULL};

	memory_set(&none);
	sessions_remember(world.node, "lamp", TOPIC, 1);
	sessions_forget(world.node, "lamp", TOPIC);
	sessions_restore(world.interest, KEY, sizeof KEY, "\1", 1);
	memory_set(NULL);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 0);
	end();
	begin();
	assert_int_equal(world.visits, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(known_after_a_restart),
		TEST(names_of_any_length),
		TEST(records_that_make_no_sense),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
