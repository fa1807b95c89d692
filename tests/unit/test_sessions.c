/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/memory.h"
#include "bridge/node.h"
#include "plugin/sessions.h"
#include "support_interest.h"

#define HEX    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define TOPIC  "p2panda/" HEX
#define SHARED "$share/group/" TOPIC

static struct {
	struct identity identity;
	struct node *node;
	struct interest *interest;
	struct sessions *sessions;
	char dir[64];
	unsigned visits, joins, asked;
	char asked_for[32];
} world;

static int on_join(void *context, const struct id *topic)
{
	assert_int_equal(topic->bytes[1], 0x11);
	world.joins++;
	return 0;
}

static bool has_session(void *context, const char *client)
{
	world.asked++;
	snprintf(world.asked_for, sizeof world.asked_for, "%s", client);
	return true;
}

static int on_remember(void *context, const char *client, const char *filter, struct terms terms)
{
	fail_msg("it is on record");
}

static void on_forget(void *context, const char *client, const char *filter)
{
	sessions_forget(world.sessions, client, filter);
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	world.visits++;
	sessions_restore(world.sessions, key, key_size, value, value_size);
}

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	return node_record(world.node, key, key_size, value, value_size);
}

/* The node with what was on record goes on in interest. */
static void begin(void)
{
	struct interest_actions actions = support_actions();
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
	const struct sessions_actions kept = {.record = record};
	char reason[NODE_REASON_SIZE];

	actions.join = on_join;
	actions.has_session = has_session;
	actions.remember = on_remember;
	actions.forget = on_forget;
	assert_int_equal(sessions_new(&kept, &random, &world.sessions), 0);
	assert_int_equal(interest_new(&actions, &limits, &random, &world.interest), 0);
	assert_int_equal(node_start(&config, &world.node, reason), 0);
	sessions_restored(world.sessions, world.interest);
}

static void end(void)
{
	node_stop(world.node);
	interest_free(world.interest);
	sessions_delete(world.sessions);
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
	sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1));
	sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(0));
	sessions_remember(world.sessions, "door", TOPIC, terms_of_qos(2));
	sessions_remember(world.sessions, "door", SHARED, terms_of_qos(1));
	sessions_forget(world.sessions, "door", TOPIC);
	sessions_forget(world.sessions, "door", SHARED);
	sessions_forget(world.sessions, "bell", TOPIC); /* never known */
	for (int i = 0; i < 2; i++) {
		end();
		begin();
		assert_int_equal(world.visits, 3); /* both filters, one client */
		assert_int_equal(world.joins, 0);
		interest_tick(world.interest, 0);
		assert_int_equal(world.asked, 1);
		assert_string_equal(world.asked_for, "lamp");
		assert_int_equal(world.joins, 1);
	}
	/* The last word counts: at QoS 0 it holds nothing while it is offline. */
	sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(0));
	end();
	begin();
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 1);
	assert_int_equal(world.joins, 0);
}

#define NAME_SIZE 16
#define HEAD_SIZE (2 + NAME_SIZE)

/* What is longer is not kept, and one is told so; the one's length is nothing to the other. */
static void names_of_any_length(void **state)
{
	static char client[65536], filter[65536];
	const size_t longest = LIMIT_RECORD - HEAD_SIZE - 1;
	const size_t longest_filter = LIMIT_RECORD - HEAD_SIZE - TERMS_SIZE;
	const size_t before = sizeof "$share/" - 1, tail = sizeof "/" TOPIC - 1;

	assert_int_equal(sessions_remember(world.sessions, "", TOPIC, terms_of_qos(1)), 0);
	memset(client, 'c', sizeof client - 1);
	memset(filter, 'g', sizeof filter - 1);
	memcpy(filter, "$share/", before);
	assert_int_equal(sessions_remember(world.sessions, client, TOPIC,
				 terms_of_qos(1)), ERROR_TOO_LARGE);
	assert_int_equal(sessions_remember(world.sessions, "lamp", filter,
				 terms_of_qos(1)), ERROR_TOO_LARGE);
	client[longest + 1] = 0;
	strcpy(filter + longest_filter + 1 - tail, "/" TOPIC);
	assert_int_equal(sessions_remember(world.sessions, client, TOPIC,
				 terms_of_qos(1)), ERROR_TOO_LARGE);
	assert_int_equal(sessions_remember(world.sessions, "lamp", filter,
				 terms_of_qos(1)), ERROR_TOO_LARGE);
	client[longest] = 0;
	strcpy(filter + longest_filter - tail, "/" TOPIC);
	assert_int_equal(sessions_remember(world.sessions, client, filter, terms_of_qos(1)), 0);
	sessions_forget(world.sessions, "lamp", filter); /* never known */
	end();
	begin();
	assert_int_equal(world.visits, 4);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 2);
	assert_int_equal(world.joins, 1);
}

/* ---- rows in memory, in place of a node's ---- */

#define ROWS 64

static struct {
	struct row {
		uint8_t key[LIMIT_RECORD];
		size_t key_size;
		uint8_t value[LIMIT_RECORD];
		size_t value_size;
	} rows[ROWS];
	size_t count;
	size_t written;
	int error; /* of what is written; deletions succeed */
} disk;

static int keep(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	size_t i = 0;

	assert_true(key_size > 0 && key_size + value_size <= LIMIT_RECORD);
	if (value_size && disk.error)
		return disk.error;
	while (i < disk.count && (disk.rows[i].key_size != key_size ||
					 memcmp(disk.rows[i].key, key, key_size) != 0))
		i++;
	if (!value_size) {
		if (i < disk.count)
			disk.rows[i] = disk.rows[--disk.count];
		return 0;
	}
	assert_true(i < ROWS);
	disk.written++;
	disk.count += i == disk.count;
	memcpy(disk.rows[i].key, key, key_size);
	memcpy(disk.rows[i].value, value, value_size);
	disk.rows[i].key_size = key_size;
	disk.rows[i].value_size = value_size;
	return 0;
}

static void lay(const void *key, size_t key_size, const void *value, size_t value_size)
{
	assert_int_equal(keep(NULL, key, key_size, value, value_size), 0);
}

/* So many of this kind. */
static size_t rows(char kind)
{
	size_t count = 0;

	for (size_t i = 0; i < disk.count; i++)
		count += disk.rows[i].key[0] == 0xfe && disk.rows[i].key[1] == kind;
	return count;
}

static size_t old_rows(void)
{
	return disk.count - rows('c') - rows('s');
}

static void begin_on_disk(void)
{
	static const struct sessions_actions actions = {.record = keep};
	const struct random random = random_system();

	sessions_delete(world.sessions);
	assert_int_equal(sessions_new(&actions, &random, &world.sessions), 0);
}

/* Anew with what is there, each row in memory of its very size, for the sanitizer. How many
 * sessions the broker is asked for. */
static unsigned restart(bool backwards)
{
	struct row *found = malloc(sizeof disk.rows);
	size_t count = disk.count;

	assert_non_null(found);
	memcpy(found, disk.rows, sizeof disk.rows);
	end();
	begin();
	begin_on_disk();
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &found[backwards ? count - 1 - i : i];
		void *key = malloc(row->key_size), *value = malloc(row->value_size);

		memcpy(key, row->key, row->key_size);
		memcpy(value, row->value, row->value_size);
		sessions_restore(
			world.sessions, key, row->key_size, value, row->value_size);
		free(key);
		free(value);
	}
	free(found);
	sessions_restored(world.sessions, world.interest);
	interest_tick(world.interest, 0);
	return world.asked;
}

static int setup_disk(void **state)
{
	memset(&disk, 0, sizeof disk);
	setup(state);
	begin_on_disk();
	return 0;
}

static void each_client_id_once(void **state)
{
	assert_int_equal(sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1)), 0);
	assert_int_equal(rows('c'), 1);
	assert_int_equal(sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(1)), 0);
	assert_int_equal(sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(2)), 0); /* no third */
	assert_int_equal(disk.written, 4); /* the client id only once */
	assert_int_equal(rows('c'), 1);
	assert_int_equal(rows('s'), 2);
	sessions_forget(world.sessions, "lamp", TOPIC);
	sessions_forget(world.sessions, "lamp", TOPIC); /* it counts once */
	assert_int_equal(rows('c'), 1);
	assert_int_equal(rows('s'), 1);
	/* Known by what was read, too. */
	assert_int_equal(restart(false), 1);
	assert_int_equal(sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1)), 0);
	assert_int_equal(rows('s'), 2);
	sessions_forget(world.sessions, "lamp", SHARED);
	assert_int_equal(rows('c'), 1);
	sessions_forget(world.sessions, "lamp", TOPIC);
	assert_int_equal(disk.count, 0);
}

static void rows_in_any_order(void **state)
{
	for (int backwards = 0; backwards < 2; backwards++) {
		sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1));
		sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(1));
		sessions_remember(world.sessions, "door", TOPIC, terms_of_qos(1));
		assert_int_equal(restart(backwards), 2);
		assert_int_equal(world.joins, 1);
		assert_int_equal(rows('c'), 2);
		assert_int_equal(rows('s'), 3);
	}
}

static void orphans_are_deleted(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1));
		assert_int_equal(disk.count, 2);
		if (i < 2) { /* One of both rows is lost. */
			disk.rows[0] = disk.rows[disk.rows[0].key[1] == "cs"[i] ? 1 : 0];
			disk.count = 1;
		} else { /* Another's name. */
			lay(disk.rows[0].key, HEAD_SIZE, "door", 5);
			assert_int_equal(disk.rows[0].key[1], 'c');
		}
		assert_int_equal(restart(false), 0);
		assert_int_equal(disk.count, 0);
	}
}

#define OLD(client, filter) client "\0" filter, sizeof client "\0" filter

static void old_rows_are_replaced(void **state)
{
	lay(OLD("lamp", TOPIC), "\1", 1);
	lay(OLD("lamp", SHARED), "\1", 1);
	lay(OLD("door", TOPIC), "\2", 1);
	assert_int_equal(restart(false), 2);
	assert_int_equal(old_rows(), 0);
	assert_int_equal(rows('c'), 2);
	assert_int_equal(rows('s'), 3);
	assert_int_equal(restart(false), 2);
	assert_int_equal(world.joins, 1);
	/* Not while nothing can be written; it is there still, and goes with the next word. */
	lay(OLD("bell", TOPIC), "\1", 1);
	lay(OLD("gate", TOPIC), "\1", 1);
	disk.error = ERROR_FULL;
	assert_int_equal(restart(true), 4);
	assert_int_equal(old_rows(), 2);
	assert_int_equal(sessions_remember(world.sessions, "bell", TOPIC, terms_of_qos(2)), ERROR_FULL);
	assert_int_equal(old_rows(), 2);
	sessions_forget(world.sessions, "bell", TOPIC);
	assert_int_equal(old_rows(), 1);
	disk.error = 0;
	assert_int_equal(sessions_remember(world.sessions, "gate", TOPIC, terms_of_qos(2)), 0);
	assert_int_equal(old_rows(), 0);
	assert_int_equal(rows('c'), 3);
	/* One that was replaced, but not deleted. */
	for (int backwards = 0; backwards < 2; backwards++) {
		lay(OLD("gate", TOPIC), "\0", 1);
		assert_int_equal(restart(backwards), 3);
		assert_int_equal(old_rows(), 0);
	}
	assert_int_equal(rows('s'), 4);
	/* The later word counts. */
	for (size_t i = 0; i < disk.count; i++)
		assert_int_not_equal(disk.rows[i].value[0], 0);
}

/* Its old row stays as long as it is known. */
static void an_old_row_that_is_too_long_now(void **state)
{
	char key[LIMIT_RECORD - 1] = {'c', 0}, *filter = key + 2;
	const size_t start = sizeof key - sizeof "/" TOPIC;

	memset(filter, 'g', sizeof key - 2);
	memcpy(filter, "$share/", 7);
	memcpy(key + start, "/" TOPIC, sizeof "/" TOPIC);
	lay(key, sizeof key, "\1", 1);
	assert_int_equal(restart(false), 1);
	assert_int_equal(restart(false), 1);
	assert_int_equal(disk.count, 1);
	assert_int_equal(sessions_remember(world.sessions, "c", filter, terms_of_qos(2)),
		ERROR_TOO_LARGE);
	sessions_forget(world.sessions, "c", filter);
	assert_int_equal(disk.count, 0);
}

static void what_is_not_written_leaves_nothing(void **state)
{
	disk.error = ERROR_FULL;
	assert_int_equal(sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1)), ERROR_FULL);
	disk.error = 0;
	assert_int_equal(disk.count, 0);
	assert_int_equal(sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(1)), 0);
	sessions_forget(world.sessions, "lamp", SHARED);
	assert_int_equal(disk.count, 0); /* it counted for nothing */
	assert_int_equal(sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1)), 0);
	assert_int_equal(disk.count, 2);
	/* It stays as it was before. */
	disk.error = ERROR_FULL;
	assert_int_equal(sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(2)), ERROR_FULL);
	disk.error = 0;
	assert_int_equal(restart(false), 1);
	sessions_forget(world.sessions, "lamp", TOPIC);
	assert_int_equal(disk.count, 0);
}

#define KEY  "c\0" TOPIC
#define NAME "0123456789abcdef"

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
		{"\xfe", 1, "\1", 1},
		{"\xfe" "c", 2, "c", 2},
		{"\xfe" "s", 2, "\1", 1},
		{"\xfe" "x" NAME TOPIC, HEAD_SIZE + sizeof TOPIC - 1, "\1", 1},
		{"\xfe" "c" NAME, HEAD_SIZE - 1, "c", 2},
		{"\xfe" "c" NAME, HEAD_SIZE + 1, "c", 2},
		{"\xfe" "c" NAME, HEAD_SIZE, "c", 1}, /* not ended */
		{"\xfe" "c" NAME, HEAD_SIZE, "c\0", 3},
		{"\xfe" "c" NAME, HEAD_SIZE, NULL, 0},
		{"\xfe" "s" NAME, HEAD_SIZE, "\1", 1},
		{"\xfe" "s" NAME TOPIC, HEAD_SIZE + sizeof TOPIC, "\1", 1}, /* its zero */
		{"\xfe" "s" NAME TOPIC, HEAD_SIZE + sizeof TOPIC - 2, "\1", 1},
		{"\xfe" "s" NAME TOPIC, HEAD_SIZE + sizeof TOPIC - 1, "\3", 1},
		{"\xfe" "s" NAME TOPIC, HEAD_SIZE + sizeof TOPIC - 1, NULL, 0},
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
			world.sessions, key, records[i].key_size, value, records[i].value_size);
		free(key);
		free(value);
	}
	sessions_restored(world.sessions, world.interest);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 0);
	sessions_restore(world.sessions, KEY, sizeof KEY, "\1", 1);
	sessions_restored(world.sessions, world.interest);
	interest_tick(world.interest, 0);
	assert_int_equal(world.asked, 1);
	assert_int_equal(world.joins, 1);
}

/* So many allocations succeed. */
static size_t left;

static void *do_alloc(void *context, size_t size)
{
	return left > 0 && left-- ? malloc(size) : NULL;
}

static void *do_realloc(void *context, void *block, size_t size)
{
	return left > 0 && left-- ? realloc(block, size) : NULL;
}

static void do_free(void *context, void *block)
{
	free(block);
}

static const struct memory scarce = {do_alloc, do_realloc, do_free, NULL};

static void without_memory(void **state)
{
	int error = ERROR_NOMEM;

	for (size_t given = 0; error; given++) {
		memory_set(&scarce);
		left = given;
		error = sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1));
		memory_set(NULL);
		assert_true(error == 0 || (error == ERROR_NOMEM && given < 20));
		assert_int_equal(disk.count, error ? 0 : 2);
	}
	/* Forgetting needs none. */
	memory_set(&scarce);
	left = 0;
	sessions_forget(world.sessions, "lamp", TOPIC);
	memory_set(NULL);
	assert_int_equal(disk.count, 0);
}

/* What could not be read is not taken for missing. */
static void restored_without_memory(void **state)
{
	bool all = false;

	sessions_remember(world.sessions, "lamp", TOPIC, terms_of_qos(1));
	sessions_remember(world.sessions, "lamp", SHARED, terms_of_qos(1));
	lay(OLD("door", TOPIC), "\1", 1);
	for (size_t given = 0; !all; given++) {
		assert_true(given < 50);
		for (int backwards = 0; backwards < 2; backwards++) {
			begin_on_disk();
			memory_set(&scarce);
			left = given;
			for (size_t i = 0; i < disk.count; i++) {
				const struct row *row =
					&disk.rows[backwards ? disk.count - 1 - i : i];

				sessions_restore(world.sessions, row->key, row->key_size,
					row->value, row->value_size);
			}
			memory_set(NULL);
			/* Nothing new, to tell it from what was there. */
			disk.error = ERROR_FULL;
			sessions_restored(world.sessions, world.interest);
			disk.error = 0;
			assert_int_equal(disk.count, 4);
			all = left > 0;
		}
	}
	assert_int_equal(restart(false), 2);
	assert_int_equal(disk.count, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define DISK(name) cmocka_unit_test_setup_teardown(name, setup_disk, teardown)
	const struct CMUnitTest tests[] = {
		TEST(known_after_a_restart),
		TEST(names_of_any_length),
		TEST(records_that_make_no_sense),
		DISK(each_client_id_once),
		DISK(rows_in_any_order),
		DISK(orphans_are_deleted),
		DISK(old_rows_are_replaced),
		DISK(an_old_row_that_is_too_long_now),
		DISK(what_is_not_written_leaves_nothing),
		DISK(without_memory),
		DISK(restored_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
