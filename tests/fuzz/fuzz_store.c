/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What lies in the node's database, of both versions: for each row its table (low two bits) and
 * the types of its columns (two bits each), then the columns, a size (u8) before each. All of it
 * can be read back, and what is handed out has the sizes it is said to have.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge/bytes/reader.h"
#include "bridge/io/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMNS 3

static char folder[64], path[80];

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Reads all of it, so that ASan sees what is beyond. */
static void touch(const void *bytes, size_t size)
{
	static volatile uint8_t sum;

	for (size_t i = 0; i < size; i++)
		sum ^= ((const uint8_t *)bytes)[i];
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	touch(key, key_size);
	touch(value, value_size);
}

static void on_value(void *context, const char *name, const void *bytes, size_t size)
{
	require(strlen(name) < STORE_VALUE_NAME_SIZE);
	touch(bytes, size);
}

static void on_node(void *context, const struct id *node, const uint8_t *row, size_t size)
{
	touch(node, sizeof *node);
	touch(row, size);
}

static void on_kept(void *context, const void *row, size_t size)
{
	touch(row, size);
}

static void on_neighbour(void *context, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count)
{
	require(count <= LIMIT_ADDRESSES_PER_NODE);
	for (size_t i = 0; i < count; i++)
		require(address_is_dialable(&addresses[i]));
	touch(topic, sizeof *topic);
	touch(node, sizeof *node);
}

static void remove_files(void)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[96];

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(folder);
}

static void read_back(uv_loop_t *loop, bool expect_anew)
{
	const struct store_visitor visitor = {
		NULL, on_record, on_value, on_node, on_kept, on_neighbour};
	char reason[STORE_REASON_SIZE];
	struct store *store;
	bool anew;

	require(store_open(folder, loop, &visitor, NULL, &store, &anew, reason) == 0);
	require(!reason[0] && anew == expect_anew);
	store_free(store);
}

static void set_up(uv_loop_t *loop)
{
	if (folder[0])
		return;
	snprintf(folder, sizeof folder, "/tmp/p2panda-fuzz-XXXXXX");
	require(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/p2panda.db", folder);
	atexit(remove_files);
	read_back(loop, true);
}

static void bind_column(sqlite3_stmt *statement, int number, unsigned type, const uint8_t *bytes, int size)
{
	int64_t integer = 0;

	switch (type) {
	case 0:
		sqlite3_bind_blob(statement, number, bytes, size, SQLITE_STATIC);
		break;
	case 1:
		sqlite3_bind_text(statement, number, (const char *)bytes, size, SQLITE_STATIC);
		break;
	case 2:
		memcpy(&integer, bytes, size < 8 ? (size_t)size : 8);
		sqlite3_bind_int64(statement, number, integer);
		break;
	default:
		sqlite3_bind_zeroblob(statement, number, size * 64);
	}
}

static void fill(const uint8_t *data, size_t size)
{
	/* The table neighbour as version 1 made it; it goes when it is empty. */
	static const char begin[] =
		"PRAGMA synchronous = OFF; BEGIN;"
		"CREATE TABLE IF NOT EXISTS neighbour (topic BLOB NOT NULL, node BLOB NOT NULL,"
		" addresses BLOB NOT NULL, seen INTEGER NOT NULL DEFAULT 0);"
		"DELETE FROM node; DELETE FROM record; DELETE FROM own; DELETE FROM neighbour";
	static const char *const inserts[] = {
		"INSERT OR REPLACE INTO node (id, row) VALUES (?, ?)",
		"INSERT OR REPLACE INTO record (key, value) VALUES (?, ?)",
		"INSERT OR REPLACE INTO own (name, value) VALUES (?, ?)",
		"INSERT OR REPLACE INTO neighbour (topic, node, addresses) VALUES (?, ?, ?)",
	};
	struct reader reader;
	sqlite3 *db;

	require(sqlite3_open(path, &db) == SQLITE_OK);
	require(sqlite3_exec(db, begin, NULL, NULL, NULL) == SQLITE_OK);
	reader_init(&reader, data, size);
	while (reader_left(&reader) > 0) {
		uint8_t head = reader_u8(&reader);
		sqlite3_stmt *statement;

		require(sqlite3_prepare_v2(db, inserts[head & 3], -1, &statement, NULL) == SQLITE_OK);
		for (int i = 0; i < sqlite3_bind_parameter_count(statement); i++) {
			size_t length = reader_left(&reader) ? reader_u8(&reader) : 0;

			if (length > reader_left(&reader))
				length = reader_left(&reader);
			bind_column(statement, i + 1, head >> (2 + 2 * i) & 3, reader_bytes(&reader, length),
				(int)length);
		}
		sqlite3_step(statement); /* what a column does not take is not there */
		sqlite3_finalize(statement);
	}
	require(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uv_loop_t loop;

	require(uv_loop_init(&loop) == 0);
	set_up(&loop);
	fill(data, size);
	read_back(&loop, false);
	uv_run(&loop, UV_RUN_DEFAULT);
	require(uv_loop_close(&loop) == 0);
	return 0;
}
