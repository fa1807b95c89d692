/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <glob.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/store.h"
#include "support_heap.h"

static struct {
	char dir[64], path[80];
	uv_loop_t loop;
	struct store *store;
	char reason[STORE_REASON_SIZE];
	/* The owner's records that were read. */
	unsigned records;
	char key[16], value[16]; /* the last one, as a string */
	/* The neighbours that were found. */
	unsigned nodes;
	struct id node;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count;
} world;

static struct id id_of(unsigned n)
{
	struct id id = {{0}};

	memcpy(id.bytes, &n, sizeof n);
	return id;
}

static struct address address_of(unsigned n)
{
	return (struct address){
		.family = 4, .ip = {192, 0, 2, (uint8_t)n}, .port = (uint16_t)(1000 + n)};
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	assert_ptr_equal(context, &world);
	world.records++;
	snprintf(world.key, sizeof world.key, "%.*s", (int)key_size, (const char *)key);
	snprintf(world.value, sizeof world.value, "%.*s", (int)value_size, (const char *)value);
}

static void on_node(
	void *context, const struct id *node, const struct address *addresses, size_t count)
{
	assert_ptr_equal(context, &world);
	world.nodes++;
	world.node = *node;
	world.count = count;
	memcpy(world.addresses, addresses, count * sizeof *addresses);
}

static void open_in(const char *dir)
{
	world.records = 0;
	assert_int_equal(
		store_open(dir, &world.loop, on_record, &world, &world.store, world.reason), 0);
}

static void begin(void)
{
	open_in(world.dir);
}

/* The pending writes are part of the loop. */
static void end(void)
{
	assert_int_equal(uv_run(&world.loop, UV_RUN_DEFAULT), 0);
	store_free(world.store);
	world.store = NULL;
}

static void reopen(void)
{
	end();
	begin();
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	strcpy(world.dir, "/tmp/test_store.XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	snprintf(world.path, sizeof world.path, "%s/p2panda.db", world.dir);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	char pattern[80];
	glob_t files;

	end();
	heap_end();
	assert_int_equal(uv_loop_close(&world.loop), 0);
	snprintf(pattern, sizeof pattern, "%s/*", world.dir);
	if (glob(pattern, 0, NULL, &files) == 0) {
		for (size_t i = 0; i < files.gl_pathc; i++)
			unlink(files.gl_pathv[i]);
		globfree(&files);
	}
	assert_int_equal(rmdir(world.dir), 0);
	return 0;
}

static void remember(unsigned topic, unsigned node)
{
	struct id topic_id = id_of(topic), node_id = id_of(node);
	struct address address = address_of(node);

	store_remember(world.store, &topic_id, &node_id, &address, 1);
}

static unsigned neighbours(unsigned topic)
{
	struct id id = id_of(topic);

	world.nodes = 0;
	store_each(world.store, &id, on_node, &world);
	return world.nodes;
}

static void put(const char *key, const char *value)
{
	store_record(world.store, key, strlen(key), value, strlen(value));
}

/* Runs SQL on the file, of which no store is open. */
static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(world.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static size_t aside(void)
{
	char pattern[96];
	glob_t files = {0};
	size_t count;

	snprintf(pattern, sizeof pattern, "%s.aside-*", world.path);
	glob(pattern, 0, NULL, &files);
	count = files.gl_pathc;
	globfree(&files);
	return count;
}

static void neighbours_survive(void **state)
{
	struct id topic = id_of(7), node = id_of(8);
	struct address addresses[] = {
		address_of(1),
		{.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 65535},
	};
	struct stat status;

	begin();
	assert_string_equal(world.reason, "");
	assert_int_equal(stat(world.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600); /* topic ids are secrets */
	store_remember(world.store, &topic, &node, addresses, 2);
	assert_int_equal(neighbours(7), 1); /* at once */
	store_remember(world.store, &topic, &node, addresses, 2);
	store_remember(world.store, &topic, &node, addresses, 0); /* nowhere to be found */
	assert_int_equal(neighbours(7), 1);
	for (int i = 0; i < 2; i++) {
		reopen();
		assert_string_equal(world.reason, "");
		assert_int_equal(neighbours(8), 0);
		assert_int_equal(neighbours(7), 1);
		assert_memory_equal(&world.node, &node, sizeof node);
		assert_int_equal(world.count, 2);
		assert_memory_equal(world.addresses, addresses, sizeof addresses);
	}
	/* It has moved. */
	store_remember(world.store, &topic, &node, addresses + 1, 1);
	reopen();
	assert_int_equal(neighbours(7), 1);
	assert_int_equal(world.count, 1);
	assert_memory_equal(world.addresses, addresses + 1, sizeof *addresses);
}

static void records_survive(void **state)
{
	static char large[LIMIT_RECORD];

	begin();
	assert_int_equal(world.records, 0);
	put("one", "1");
	put("two", "2");
	put("two", "3");
	put("gone", "4");
	put("gone", "");
	put("never", "");
	put("one", "");
	reopen();
	assert_int_equal(world.records, 1);
	assert_string_equal(world.key, "two");
	assert_string_equal(world.value, "3");
	/* Bytes are bytes. */
	store_record(world.store, large, sizeof large - 1, "\0", 1);
	store_record(world.store, "a\0b", 3, large, 1);
	store_record(world.store, "a\0c", 3, large, 1);
	reopen();
	assert_int_equal(world.records, 4);
	store_record(world.store, "a\0b", 3, NULL, 0);
	reopen();
	assert_int_equal(world.records, 3);
}

static void many_writes_in_their_order(void **state)
{
	char key[16], value[16];

	begin();
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "key %u", i % 10);
		snprintf(value, sizeof value, "%u", i);
		put(key, i % 20 < 10 ? value : "");
		if (i % 100 == 0)
			uv_run(&world.loop, UV_RUN_NOWAIT);
	}
	put("key 5", "last");
	reopen();
	assert_int_equal(world.records, 1);
	assert_string_equal(world.value, "last");
}

static void the_oldest_give_way(void **state)
{
	begin();
	for (unsigned node = 0; node < LIMIT_REMEMBERED_PER_TOPIC + 3; node++)
		remember(1, node);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(neighbours(1), LIMIT_REMEMBERED_PER_TOPIC);
		assert_int_equal(world.node.bytes[0], LIMIT_REMEMBERED_PER_TOPIC + 2);
		reopen();
	}
	for (unsigned topic = 2; topic < LIMIT_REMEMBERED + 2; topic++)
		remember(topic, 1);
	assert_int_equal(neighbours(1), 0);
	assert_int_equal(neighbours(2), 1);
	reopen();
	assert_int_equal(neighbours(1), 0);
	assert_int_equal(neighbours(2), 1);
	assert_int_equal(neighbours(LIMIT_REMEMBERED + 1), 1);
	remember(1, 1);
	assert_int_equal(neighbours(1), 1);
}

static void no_folder_at_all(void **state)
{
	open_in(NULL);
	remember(1, 2);
	put("one", "1");
	assert_string_equal(world.reason, "");
	assert_int_equal(neighbours(1), 1);
	end();
	open_in(NULL);
	assert_int_equal(neighbours(1) + world.records, 0);
}

static void check_works(void)
{
	remember(1, 2);
	put("one", "1");
	reopen();
	assert_string_equal(world.reason, "");
	assert_int_equal(neighbours(1), 1);
	assert_int_equal(world.records, 1);
	assert_int_equal(aside(), 1);
}

static void check_set_aside(const char *why)
{
	begin();
	assert_non_null(strstr(world.reason, world.path));
	assert_non_null(strstr(world.reason, why));
	assert_non_null(strstr(world.reason, "set aside"));
	assert_int_equal(neighbours(1) + world.records, 0);
	check_works();
}

static void overwrite(long at, const char *text)
{
	FILE *file = fopen(world.path, at < 0 ? "w" : "r+");

	assert_non_null(file);
	fseek(file, at < 0 ? 0 : at, SEEK_SET);
	for (int i = 0; i < 200; i++)
		fputs(text, file);
	fclose(file);
}

static void no_database(void **state)
{
	overwrite(-1, "garbage ");
	check_set_aside("damaged");
}

static void a_damaged_database(void **state)
{
	begin();
	for (unsigned topic = 0; topic < 1000; topic++)
		remember(topic, 1);
	end();
	overwrite(4096, "garbage garbage garbage garbage garbage ");
	check_set_aside("damaged");
}

static void of_a_newer_version(void **state)
{
	begin();
	end();
	run_sql("PRAGMA user_version = 2");
	check_set_aside("newer");
}

static void with_other_tables(void **state)
{
	run_sql("CREATE TABLE record (one, two, three); PRAGMA user_version = 1");
	check_set_aside("damaged");
}

static void of_somebody_else(void **state)
{
	run_sql("CREATE TABLE accounts (name); INSERT INTO accounts VALUES ('me')");
	check_set_aside("somebody else's");
}

/* An empty file is a new database. */
static void an_empty_file(void **state)
{
	overwrite(-1, "");
	begin();
	assert_string_equal(world.reason, "");
}

static void rows_that_make_no_sense(void **state)
{
	begin();
	remember(1, 2);
	put("one", "1");
	end();
	run_sql("INSERT INTO neighbour VALUES (x'00', zeroblob(32), x'', 0);"
		"INSERT INTO neighbour VALUES (zeroblob(32), 'text', x'', 0);"
		"INSERT INTO neighbour VALUES (zeroblob(32), zeroblob(32), zeroblob(500), 0);"
		"INSERT INTO record VALUES (x'', x'')");
	begin();
	assert_string_equal(world.reason, "");
	assert_int_equal(neighbours(1), 1);
	assert_int_equal(world.records, 2);
	neighbours(0);
	assert_int_equal(world.count == 0 || world.nodes == 0, 1);
}

/* It is not the file that is wrong: nothing is set aside. */
static void locked_by_another_process(void **state)
{
	sqlite3 *db;

	begin();
	put("one", "1");
	end();
	assert_int_equal(sqlite3_open(world.path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE", NULL, NULL, NULL),
		SQLITE_OK);
	begin();
	assert_non_null(strstr(world.reason, "locked"));
	assert_int_equal(aside(), 0);
	put("two", "2");
	sqlite3_close(db);
	reopen();
	assert_string_equal(world.reason, "");
	assert_string_equal(world.key, "one");
}

/* What is written while somebody else does is not lost for that. */
static void written_beside_another_process(void **state)
{
	sqlite3 *db;

	begin();
	assert_int_equal(sqlite3_open(world.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put("one", "1");
	usleep(100000); /* the pool's thread is at it */
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	reopen();
	assert_int_equal(world.records, 1);
}

static void check_in_memory(const char *dir)
{
	open_in(dir);
	assert_non_null(strstr(world.reason, "forgotten at a restart"));
	assert_null(strchr(world.reason, '\n'));
	remember(1, 2);
	put("one", "1");
	assert_int_equal(neighbours(1), 1);
	assert_int_equal(aside(), 0);
}

static void a_folder_that_is_none(void **state)
{
	check_in_memory("/dev/null");
}

static void a_folder_that_cannot_be_written(void **state)
{
	bool root = geteuid() == 0;

	assert_int_equal(chmod(world.dir, 0555), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	check_in_memory(world.dir);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(world.dir, 0700), 0);
}

static void a_file_that_cannot_be_written(void **state)
{
	bool root = geteuid() == 0;

	begin();
	put("one", "1");
	end();
	assert_int_equal(chmod(world.path, 0444), 0);
	assert_int_equal(chmod(world.dir, 0555), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	check_in_memory(world.dir);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(world.dir, 0700), 0);
	assert_int_equal(chmod(world.path, 0600), 0);
	reopen();
	assert_int_equal(world.records, 1);
}

static void each_allocation_fails(void **state)
{
	struct store *store;
	unsigned failures = 0;

	heap_fail(1, false);
	assert_int_equal(
		store_open(world.dir, &world.loop, NULL, NULL, &store, world.reason), ERROR_NOMEM);
	begin();
	for (size_t n = 1;; n++) {
		heap_fail(n, false);
		remember(1, 1);
		put("one", "1");
		if (!heap_has_failed())
			break;
		failures++;
		heap_fail(0, false);
		assert_true(neighbours(1) <= 1);
	}
	assert_true(failures >= 2);
	heap_fail(0, false);
	reopen();
	assert_int_equal(world.records, 1);
	end();
	heap_fail(2, false); /* the row that was read */
	begin();
	heap_fail(0, false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(neighbours_survive),
		TEST(records_survive),
		TEST(many_writes_in_their_order),
		TEST(the_oldest_give_way),
		TEST(no_folder_at_all),
		TEST(no_database),
		TEST(a_damaged_database),
		TEST(of_a_newer_version),
		TEST(with_other_tables),
		TEST(of_somebody_else),
		TEST(an_empty_file),
		TEST(rows_that_make_no_sense),
		TEST(locked_by_another_process),
		TEST(written_beside_another_process),
		TEST(a_folder_that_is_none),
		TEST(a_folder_that_cannot_be_written),
		TEST(a_file_that_cannot_be_written),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
