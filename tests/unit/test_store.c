/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <glob.h>
#include <sqlite3.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/io/store.h"
#include "support_heap.h"
#include "support_id.h"

#define MANY 10000

static struct {
	char dir[64], path[80];
	uv_loop_t loop;
	struct store *store;
	char reason[STORE_REASON_SIZE];
	bool anew;
	/* How writing went. */
	unsigned failures, recoveries;
	char failure[64]; /* the last one */
	size_t lost;
	/* What was read: the owner's records, */
	unsigned records;
	char key[16], value[16]; /* the last one, as a string */
	/* values of the node, */
	unsigned values;
	char name[STORE_VALUE_NAME_SIZE];
	uint64_t number; /* the last one */
	/* rows of the address book, */
	unsigned nodes;
	struct id first, node; /* the last one */
	uint8_t row[1024];
	size_t row_size;
	/* what was kept for the next start, */
	unsigned kept;
	char kept_rows[64]; /* one after the other */
	/* neighbours of version 1. */
	unsigned neighbours;
	struct id topic, neighbour; /* the last one */
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count;
} world;

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	assert_ptr_equal(context, &world);
	world.records++;
	snprintf(world.key, sizeof world.key, "%.*s", (int)key_size, (const char *)key);
	snprintf(world.value, sizeof world.value, "%.*s", (int)value_size, (const char *)value);
}

static void on_value(void *context, const char *name, const void *bytes, size_t size)
{
	assert_ptr_equal(context, &world);
	world.values++;
	strcpy(world.name, name);
	world.number = 0;
	if (size == sizeof world.number)
		memcpy(&world.number, bytes, size);
}

static void on_node(void *context, const struct id *node, const uint8_t *row, size_t size)
{
	assert_ptr_equal(context, &world);
	if (world.nodes++ == 0)
		world.first = *node;
	world.node = *node;
	world.row_size = size;
	if (size > 0)
		memcpy(world.row, row, size < sizeof world.row ? size : sizeof world.row);
}

static void on_kept(void *context, const void *row, size_t size)
{
	size_t used = strlen(world.kept_rows);

	assert_ptr_equal(context, &world);
	world.kept++;
	snprintf(world.kept_rows + used, sizeof world.kept_rows - used, "%.*s", (int)size,
		(const char *)row);
}

static void on_neighbour(void *context, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count)
{
	assert_ptr_equal(context, &world);
	assert_int_equal(world.nodes, 0); /* they come first */
	world.neighbours++;
	world.topic = *topic;
	world.neighbour = *node;
	world.count = count;
	if (count > 0)
		memcpy(world.addresses, addresses, count * sizeof *addresses);
}

static const struct store_visitor visitor = {
	.context = &world,
	.record = on_record,
	.value = on_value,
	.node = on_node,
	.neighbour = on_neighbour,
	.kept = on_kept,
};

static void on_wrote(void *context, const char *failure, size_t lost)
{
	assert_ptr_equal(context, &world);
	world.lost += lost;
	if (failure) {
		world.failures++;
		snprintf(world.failure, sizeof world.failure, "%s", failure);
	} else {
		world.recoveries++;
	}
}

static const struct store_owner owner = {.context = &world, .wrote = on_wrote};

static void open_in(const char *dir)
{
	world.records = world.values = world.nodes = world.neighbours = world.kept = 0;
	world.kept_rows[0] = 0;
	assert_int_equal(store_open(dir, &world.loop, &visitor, &owner, &world.store, &world.anew, world.reason), 0);
}

static void begin(void)
{
	open_in(world.dir);
}

static void settle(void)
{
	assert_int_equal(uv_run(&world.loop, UV_RUN_DEFAULT), 0);
}

/* The pending writes are part of the loop. */
static void end(void)
{
	settle();
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

static int put_node(unsigned node, const char *row)
{
	struct id id = id_of(node);

	return store_put_node(world.store, &id, (const uint8_t *)row, strlen(row));
}

static void remember(unsigned node)
{
	assert_int_equal(put_node(node, "row"), 0);
}

static int forget(unsigned node)
{
	struct id id = id_of(node);

	return store_delete_node(world.store, &id);
}

static void put_value(const char *name, uint64_t number)
{
	store_put_value(world.store, name, &number, sizeof number);
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

/* The first column of the first row. */
static int ask_sql(const char *sql)
{
	sqlite3_stmt *statement;
	sqlite3 *db;
	int answer;

	assert_int_equal(sqlite3_open(world.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	answer = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
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

static void assert_row(unsigned node, const char *row)
{
	assert_int_equal(number_of(&world.node), node);
	assert_int_equal(world.row_size, strlen(row));
	assert_memory_equal(world.row, row, world.row_size);
}

static void rows_survive(void **state)
{
	static uint8_t large[131072];
	struct stat status;
	struct id id = id_of(9);

	begin();
	assert_string_equal(world.reason, "");
	assert_int_equal(world.nodes, 0);
	assert_int_equal(stat(world.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600); /* topic ids are secrets */
	assert_int_equal(put_node(7, "one"), 0);
	for (int i = 0; i < 2; i++) {
		reopen();
		assert_string_equal(world.reason, "");
		assert_int_equal(world.nodes, 1);
		assert_row(7, "one");
	}
	assert_int_equal(put_node(8, "two"), 0);
	assert_int_equal(put_node(7, "three"), 0);
	reopen();
	/* What was written last comes last. */
	assert_int_equal(world.nodes, 2);
	assert_int_equal(number_of(&world.first), 8);
	assert_row(7, "three");
	assert_int_equal(forget(7), 0);
	assert_int_equal(forget(70), 0);
	assert_int_equal(store_put_node(world.store, &id, large, sizeof large), 0);
	reopen();
	assert_int_equal(world.nodes, 2);
	assert_int_equal(number_of(&world.first), 8);
	assert_int_equal(world.row_size, sizeof large);
}

static void values_survive(void **state)
{
	begin();
	assert_int_equal(world.values, 0);
	put_value("info_time", 1);
	put_value("info_time", UINT64_MAX - 7);
	reopen();
	assert_int_equal(world.values, 1);
	assert_string_equal(world.name, "info_time");
	assert_true(world.number == UINT64_MAX - 7);
	put_value("", 3);
	put_value("a name of exactly thirty-one by", 4);
	reopen();
	assert_int_equal(world.values, 3);
	store_put_value(world.store, "info_time", NULL, 0);
	store_put_value(world.store, "", NULL, 0);
	store_put_value(world.store, "never", NULL, 0);
	reopen();
	assert_int_equal(world.values, 1);
	assert_string_equal(world.name, "a name of exactly thirty-one by");
	assert_int_equal(world.number, 4);
	assert_int_equal(ask_sql("SELECT count(*) FROM own WHERE typeof(name) = 'text'"), 1);
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

/* Once, and in order. */
static void what_is_kept_for_the_next_start(void **state)
{
	static char large[8192];
	char row[2] = "a";

	begin();
	assert_int_equal(world.kept, 0);
	for (; *row <= 'z'; ++*row)
		assert_int_equal(store_keep(world.store, row, 1), 0);
	settle();
	assert_int_equal(store_kept(world.store), 26);
	reopen();
	assert_int_equal(store_kept(world.store), 0);
	assert_string_equal(world.kept_rows, "abcdefghijklmnopqrstuvwxyz");
	assert_int_equal(ask_sql("SELECT count(*) FROM kept"), 0);
	reopen();
	assert_int_equal(world.kept, 0);
	/* As much as there may be. */
	for (size_t bytes = 0; bytes + sizeof large + 128 <= LIMIT_RESUMED_BYTES;
		bytes += sizeof large + 128)
		assert_int_equal(store_keep(world.store, large, sizeof large), 0);
	assert_int_equal(store_keep(world.store, large, sizeof large), ERROR_FULL);
	end();
	/* One that has no table for it. */
	run_sql("DROP TABLE kept");
	begin();
	assert_int_equal(world.reason[0], 0);
	assert_true(store_keeps(world.store));
	assert_int_equal(store_keep(world.store, "b", 1), 0);
	reopen();
	assert_string_equal(world.kept_rows, "b");
	/* And one whose table is another one. */
	end();
	run_sql("DROP TABLE kept; CREATE TABLE kept (key)");
	begin();
	assert_int_equal(world.reason[0], 0);
	assert_false(store_keeps(world.store));
	assert_int_equal(store_keep(world.store, "b", 1), ERROR_FULL);
}

static off_t file_size(void)
{
	struct stat status;

	assert_int_equal(stat(world.path, &status), 0);
	return status.st_size;
}

/* Puts (or deletes) so many records of some 1000 bytes. */
static void fill(unsigned count, const char *value)
{
	char key[LIMIT_RECORD - 24];

	memset(key, 'k', sizeof key);
	for (unsigned i = 0; i < count; i++) {
		memcpy(key, &i, sizeof i);
		store_record(world.store, key, sizeof key, value, strlen(value));
	}
	settle();
}

static void the_file_shrinks_again(void **state)
{
	off_t full;

	begin();
	fill(MANY, "1");
	reopen();
	full = file_size();
	assert_true(full > MANY * 900);
	fill(MANY, "");
	/* While it is open. */
	assert_true(file_size() < full / 4);
	reopen();
	assert_int_equal(world.records, 0);
	assert_true(file_size() < full / 4);
}

/* Records without bounds. */
static void a_file_of_old_shrinks_too(void **state)
{
	off_t full;

	begin();
	end();
	run_sql("PRAGMA journal_mode = DELETE;"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
		" INSERT INTO record SELECT CAST(i || zeroblob(65000) AS BLOB), x'01' FROM n;"
		"INSERT INTO record VALUES (x'61', x'01')");
	full = file_size();
	assert_true(full > 200 * 65000);
	begin();
	assert_int_equal(world.records, 1);
	assert_string_equal(world.key, "a");
	assert_true(file_size() < full / 4);
	end();
	run_sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
		" INSERT INTO record SELECT CAST(i AS BLOB), x'01' FROM n");
	begin();
	assert_int_equal(world.records, LIMIT_RECORD_ROWS);
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

/* Of what waits for the same node the last one counts, and it is written once. */
static void writes_that_wait_are_replaced(void **state)
{
	size_t blocks;

	begin();
	remember(1);
	for (unsigned node = 2; node < 12; node++)
		assert_int_equal(put_node(node, "0"), 0);
	blocks = heap_blocks();
	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(put_node(2 + i % 10, "some row"), 0);
		put("key", i % 2 ? "a" : "b");
		put_value("value", i);
	}
	assert_true(heap_blocks() <= blocks + 4);
	assert_int_equal(forget(3), 0);
	assert_int_equal(put_node(2, "last"), 0);
	reopen();
	assert_int_equal(world.nodes, 10);
	assert_int_equal(world.number, 9999);
	assert_string_equal(world.value, "a");
	/* Not more often than it had to be: here it came in one of two batches. */
	assert_true(ask_sql("SELECT max(written) FROM node") <= 12);
	assert_int_equal(ask_sql("SELECT count(*) FROM node WHERE row = CAST('last' AS BLOB)"), 1);
	assert_int_equal(
		ask_sql("SELECT count(*) FROM node WHERE row = CAST('some row' AS BLOB)"), 8);
}

/* The disk is slower than the network: what waits is bounded. */
static void the_queue_is_bounded(void **state)
{
	static uint8_t row[131072];
	unsigned taken = 0;
	struct id id;

	begin();
	assert_true(store_has_room(world.store));
	for (unsigned node = 0; node < 1000; node++) {
		int error;

		id = id_of(node);
		error = store_put_node(world.store, &id, row, sizeof row);
		assert_true(error == 0 || error == ERROR_FULL);
		taken += error == 0;
		assert_true(error == 0 || !store_has_room(world.store));
	}
	/* The first one was on its way at once. */
	assert_int_equal(taken, 1 + LIMIT_STORE_WAITING_BYTES / sizeof row);
	assert_int_equal(forget(1), ERROR_FULL);
	/* Records are never refused: their owner has no other place for them. */
	put("one", "1");
	put_value("value", 1);
	settle();
	assert_true(store_has_room(world.store));
	assert_int_equal(forget(1), 0);
	reopen();
	assert_int_equal(world.nodes, taken - 1);
	assert_int_equal(world.records + world.values, 2);
}

static double seconds(clock_t since)
{
	return (double)(clock() - since) / CLOCKS_PER_SEC;
}

static void ten_thousand_nodes(void **state)
{
	char row[700];
	clock_t begun;

	memset(row, 'x', sizeof row);
	row[sizeof row - 1] = 0;
	begin();
	begun = clock();
	for (unsigned node = 0; node < MANY; node++)
		assert_int_equal(put_node(node, row), 0);
	print_message("10000 rows: queued in %.3f s", seconds(begun));
	begun = clock();
	end();
	print_message(", written in %.3f s", seconds(begun));
	begun = clock();
	begin();
	print_message(", read in %.3f s\n", seconds(begun));
	assert_true(seconds(begun) < 1);
	assert_int_equal(world.nodes, MANY);
	assert_row(MANY - 1, row);
	/* More than there may be: the newest ones are kept. */
	for (unsigned node = 0; node < 10; node++)
		assert_int_equal(put_node(MANY + node, "new"), 0);
	reopen();
	assert_int_equal(world.nodes, LIMIT_NODES);
	assert_int_equal(number_of(&world.first), 10);
	assert_row(MANY + 9, "new");
	end();
	assert_int_equal(ask_sql("SELECT count(*) FROM node"), LIMIT_NODES);
}

static void no_folder_at_all(void **state)
{
	open_in(NULL);
	remember(2);
	put("one", "1");
	put_value("one", 1);
	assert_int_equal(forget(2), 0);
	assert_true(store_has_room(world.store));
	assert_string_equal(world.reason, "");
	end();
	open_in(NULL);
	assert_int_equal(world.nodes + world.records + world.values, 0);
}

/* ---- version 1 ---- */

#define VERSION_1 \
	"PRAGMA journal_mode = WAL;" \
	"CREATE TABLE IF NOT EXISTS neighbour (topic BLOB NOT NULL, node BLOB NOT NULL," \
	" addresses BLOB NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (topic, node))" \
	" WITHOUT ROWID;" \
	"CREATE TABLE IF NOT EXISTS record (key BLOB NOT NULL PRIMARY KEY," \
	" value BLOB NOT NULL) WITHOUT ROWID;" \
	"PRAGMA user_version = 1;"
#define ZEROS_12 "000000000000000000000000"
#define ZEROS_31 "00000000000000000000000000000000000000000000000000000000000000"
#define TOPIC_A	 "x'0a" ZEROS_31 "'"
#define TOPIC_B	 "x'0b" ZEROS_31 "'"
#define NODE_1	 "x'01" ZEROS_31 "'"
#define NODE_2	 "x'02" ZEROS_31 "'"
/* 192.0.2.1:1001, 192.0.2.2:1002, [2001:db8::1]:65535 */
#define ADDRESS_1 "04c0000201" ZEROS_12 "03e9"
#define ADDRESS_2 "04c0000202" ZEROS_12 "03ea"
#define ADDRESS_3 "0620010db8000000000000000000000001ffff"

static void a_file_of_version_1(void **state)
{
	run_sql(VERSION_1);
	run_sql("INSERT INTO record VALUES (CAST('one' AS BLOB), CAST('1' AS BLOB))");
	run_sql("INSERT INTO neighbour VALUES"
		" (" TOPIC_A "," NODE_1 ", x'" ADDRESS_1 ADDRESS_3 "', 5),"
		" (" TOPIC_B "," NODE_1 ", x'', 6),"
		" (" TOPIC_B "," NODE_2 ", x'" ADDRESS_2 "', 4)");
	for (int i = 0; i < 2; i++) {
		begin();
		assert_string_equal(world.reason, "");
		assert_int_equal(aside(), 0);
		assert_int_equal(world.records, 1);
		assert_string_equal(world.value, "1");
		assert_int_equal(world.nodes, 0);
		/* Oldest first; as long as they have not been written anew. */
		assert_int_equal(world.neighbours, 3);
		assert_int_equal(number_of(&world.topic), 0x0b);
		assert_int_equal(number_of(&world.neighbour), 1);
		assert_int_equal(world.count, 0);
		put_value("one", 1);
		end();
		assert_int_equal(ask_sql("PRAGMA user_version"), 2);
	}
	begin();
	remember(2);
	remember(3);
	reopen();
	assert_int_equal(world.nodes, 2);
	assert_int_equal(world.neighbours, 2);
	assert_int_equal(number_of(&world.neighbour), 1);
	end();
	run_sql("DELETE FROM neighbour WHERE topic = " TOPIC_B);
	begin();
	assert_int_equal(world.neighbours, 1);
	assert_int_equal(number_of(&world.topic), 0x0a);
	assert_int_equal(world.count, 2);
	assert_int_equal(world.addresses[0].family, 4);
	assert_memory_equal(world.addresses[0].ip, "\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(world.addresses[0].port, 1001);
	assert_int_equal(world.addresses[1].family, 6);
	assert_int_equal(world.addresses[1].port, 65535);
	/* The book had no room for it. */
	assert_int_equal(forget(1), 0);
	reopen();
	assert_int_equal(world.neighbours, 0);
	assert_int_equal(world.nodes, 2);
	end();
	assert_int_equal(ask_sql("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'neigh%'"), 0);
	begin();
	assert_string_equal(world.reason, "");
	assert_int_equal(world.records, 1);
}

static void a_large_file_of_version_1(void **state)
{
	clock_t begun;

	run_sql(VERSION_1
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4095)"
		"INSERT INTO neighbour SELECT CAST(printf('topic %026d', i / 8) AS BLOB),"
		" CAST(printf('node %027d', i) AS BLOB),"
		" x'" ADDRESS_2 "', i FROM n;");
	begin();
	assert_int_equal(world.neighbours, 4096);
	begun = clock();
	for (unsigned node = 0; node < 4096; node++) {
		char text[ID_SIZE + 1];
		struct id id;

		snprintf(text, sizeof text, "node %027u", node);
		memcpy(id.bytes, text, sizeof id.bytes);
		assert_int_equal(store_put_node(world.store, &id, (const uint8_t *)"row", 3), 0);
	}
	settle();
	print_message("4096 neighbours: migrated in %.3f s\n", seconds(begun));
	reopen();
	assert_int_equal(world.neighbours, 0);
	assert_int_equal(world.nodes, 4096);
}

/* ---- files that are not ours, or not whole ---- */

static void check_works(void)
{
	remember(2);
	put("one", "1");
	put_value("one", 1);
	reopen();
	assert_string_equal(world.reason, "");
	assert_int_equal(world.nodes, 1);
	assert_int_equal(world.records, 1);
	assert_int_equal(world.values, 1);
	assert_int_equal(aside(), 1);
}

static void check_set_aside(const char *why)
{
	begin();
	assert_non_null(strstr(world.reason, world.path));
	assert_non_null(strstr(world.reason, why));
	assert_non_null(strstr(world.reason, "set aside"));
	assert_int_equal(world.nodes + world.records + world.neighbours, 0);
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
	for (unsigned node = 0; node < 1000; node++)
		remember(node);
	end();
	overwrite(4096, "garbage garbage garbage garbage garbage ");
	check_set_aside("damaged");
}

/* Nothing of it is handed out, wherever the damage is. */
static void damage_somewhere(void **state)
{
	struct stat status;
	char row[700];

	memset(row, 'x', sizeof row);
	row[sizeof row - 1] = 0;
	begin();
	for (unsigned node = 0; node < 500; node++)
		assert_int_equal(put_node(node, row), 0);
	end();
	assert_int_equal(stat(world.path, &status), 0);
	overwrite(status.st_size / 4096 / 2 * 4096, "garbage garbage garbage ");
	check_set_aside("damaged");
}

static void of_a_newer_version(void **state)
{
	begin();
	end();
	run_sql("PRAGMA user_version = 3");
	check_set_aside("newer");
}

static void of_version_1_with_other_tables(void **state)
{
	run_sql("CREATE TABLE neighbour (one, two, three); PRAGMA user_version = 1");
	check_set_aside("damaged");
}

static void with_other_tables(void **state)
{
	run_sql("CREATE TABLE record (one, two, three); PRAGMA user_version = 2");
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
	run_sql(VERSION_1);
	begin();
	remember(2);
	put("one", "1");
	end();
	run_sql(VERSION_1);
	run_sql("INSERT INTO neighbour VALUES (x'00', zeroblob(32), x'', 0),"
		" (zeroblob(32), 'text', x'', 0), (zeroblob(32), zeroblob(32), zeroblob(500), 0);"
		"INSERT INTO node (id, row) VALUES (x'00', x'00'), ('text', 'text'),"
		" (zeroblob(32), x''), (1.5, 7);"
		"INSERT INTO own VALUES (x'610062', 7), (printf('%099d', 7), x'00'), ('empty', "
		"x'');"
		"INSERT INTO record VALUES (x'', x'')");
	run_sql("PRAGMA user_version = 2");
	begin();
	assert_string_equal(world.reason, "");
	assert_int_equal(world.nodes, 2);
	assert_int_equal(world.row_size, 0);
	assert_int_equal(world.neighbours, 1);
	assert_int_equal(world.count, 0);
	assert_int_equal(world.records, 2);
	assert_int_equal(world.values, 1);
	assert_string_equal(world.name, "empty");
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

/* Who holds it for long does not make us lose what was to be written. */
static void wait_for_retry(void)
{
	while (store_deadline(world.store) > uv_hrtime()) {
		assert_true(store_deadline(world.store) < UINT64_MAX);
		usleep(10000);
	}
	store_tick(world.store);
	settle();
}

/* A disk that is full, as far as this process goes. */
static void written_when_there_is_room(void **state)
{
	struct rlimit limit, before;

	begin();
	assert_true(world.anew);
	settle();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	limit = before;
	limit.rlim_cur = 64 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 300; i++) {
		char key[LIMIT_RECORD - 24] = "";

		memcpy(key, &i, sizeof i);
		store_record(world.store, key, sizeof key, "1", 1);
	}
	settle();
	assert_int_equal(world.failures, 1);
	wait_for_retry();
	assert_int_equal(world.failures, 2);
	assert_int_equal(world.recoveries, 0);
	/* The second time it waits longer; at the end there is one more attempt. */
	assert_true(store_deadline(world.store) > uv_hrtime() + UINT64_C(1500000000));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	store_write_now(world.store);
	settle();
	assert_int_equal(world.recoveries, 1);
	assert_int_equal(world.lost, 0);
	reopen();
	assert_false(world.anew);
	assert_int_equal(world.records, 300);
}

static void written_when_the_other_process_is_done(void **state)
{
	sqlite3 *db;

	begin();
	put("gone", "0");
	settle();
	assert_int_equal(sqlite3_open(world.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put("one", "1");
	put("gone", "");
	remember(1);
	remember(2);
	settle(); /* longer than the second for which it is waited */
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(put_node(1, "newer"), 0);
	/* It is told, and not tried again at once. */
	assert_int_equal(world.failures, 1);
	assert_string_equal(world.failure, "database is locked");
	settle();
	assert_int_equal(world.recoveries, 0);
	wait_for_retry();
	assert_int_equal(world.recoveries, 1);
	assert_int_equal(world.lost, 0);
	assert_true(store_deadline(world.store) == UINT64_MAX);
	reopen();
	assert_int_equal(world.records, 1);
	assert_string_equal(world.key, "one");
	assert_int_equal(world.nodes, 2);
	assert_int_equal(ask_sql("SELECT count(*) FROM node WHERE row = CAST('newer' AS BLOB)"), 1);
}

static void check_in_memory(const char *dir)
{
	open_in(dir);
	assert_non_null(strstr(world.reason, "forgotten at a restart"));
	assert_null(strchr(world.reason, '\n'));
	remember(2);
	put("one", "1");
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
		store_open(world.dir, &world.loop, NULL, NULL, &store, &world.anew, world.reason), ERROR_NOMEM);
	begin();
	for (size_t n = 1;; n++) {
		int error;

		heap_fail(n, false);
		error = put_node(1, "row");
		assert_int_equal(error, heap_has_failed() ? ERROR_NOMEM : 0);
		if (!error)
			error = put_node(2, "row");
		if (!error)
			error = forget(1);
		put("one", "1");
		put_value("one", 1);
		if (!heap_has_failed())
			break;
		failures++;
		heap_fail(0, false);
		if (n % 2)
			settle();
	}
	assert_true(failures >= 10);
	heap_fail(0, false);
	reopen();
	assert_int_equal(world.records, 1);
	assert_int_equal(world.values, 1);
	assert_int_equal(world.nodes, 1);
	assert_int_equal(number_of(&world.node), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rows_survive),
		TEST(values_survive),
		TEST(records_survive),
		TEST(what_is_kept_for_the_next_start),
		TEST(the_file_shrinks_again),
		TEST(a_file_of_old_shrinks_too),
		TEST(many_writes_in_their_order),
		TEST(writes_that_wait_are_replaced),
		TEST(the_queue_is_bounded),
		TEST(ten_thousand_nodes),
		TEST(no_folder_at_all),
		TEST(a_file_of_version_1),
		TEST(a_large_file_of_version_1),
		TEST(no_database),
		TEST(a_damaged_database),
		TEST(damage_somewhere),
		TEST(of_a_newer_version),
		TEST(of_version_1_with_other_tables),
		TEST(with_other_tables),
		TEST(of_somebody_else),
		TEST(an_empty_file),
		TEST(rows_that_make_no_sense),
		TEST(locked_by_another_process),
		TEST(written_beside_another_process),
		TEST(written_when_there_is_room),
		TEST(written_when_the_other_process_is_done),
		TEST(a_folder_that_is_none),
		TEST(a_folder_that_cannot_be_written),
		TEST(a_file_that_cannot_be_written),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
