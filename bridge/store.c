/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "error.h"
#include "memory.h"

#define FILE_NAME "p2panda.db"
#define SCHEMA_VERSION 1
#define PATH_SIZE 1100
#define ASIDE_SIZE (PATH_SIZE + 32)
#define ADDRESS_SIZE 19 /* family, 16 bytes, port */

/* What is remembered; in memory, newest last. */
struct row {
	struct id topic, node;
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct row *prev, *next;
};

/* One write that waits for the pool. */
struct change {
	bool forget;
	struct id topic, node;
	size_t size;
	uint8_t addresses[LIMIT_ADDRESSES_PER_NODE * ADDRESS_SIZE];
	struct change *next;
};

struct store {
	uv_loop_t *loop;
	sqlite3 *db; /* NULL: memory only */
	sqlite3_stmt *insert, *erase;
	struct row *rows;
	size_t rows_count;
	struct change *waiting; /* the loop's */
	struct change *working; /* the pool's, while work is under way */
	bool busy;
	uv_work_t work;
};

/* ---- rows ---- */

static struct row *find(struct store *store, const struct id *topic, const struct id *node)
{
	struct row *row;

	DL_FOREACH(store->rows, row)
		if (id_equal(&row->topic, topic) && id_equal(&row->node, node))
			return row;
	return NULL;
}

static void remove_row(struct store *store, struct row *row)
{
	DL_DELETE(store->rows, row);
	store->rows_count--;
	memory_free(row);
}

/* The row that has to give way for one more of this topic; NULL if none has to. */
static struct row *over_limit(struct store *store, const struct id *topic)
{
	struct row *row, *oldest = NULL;
	size_t count = 0;

	DL_FOREACH(store->rows, row)
	{
		if (!id_equal(&row->topic, topic))
			continue;
		count++;
		if (!oldest)
			oldest = row;
	}
	if (count >= LIMIT_REMEMBERED_PER_TOPIC)
		return oldest;
	return store->rows_count >= LIMIT_REMEMBERED ? store->rows : NULL;
}

static bool put_row(struct store *store, const struct id *topic, const struct id *node,
		    const struct address *addresses, size_t count)
{
	struct row *row = find(store, topic, node);

	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (row && row->count == count &&
	    memcmp(row->addresses, addresses, count * sizeof *addresses) == 0)
		return false;
	if (row)
		remove_row(store, row);
	row = memory_zalloc(sizeof *row);
	if (!row)
		return false;
	row->topic = *topic;
	row->node = *node;
	row->count = count;
	if (count > 0)
		memcpy(row->addresses, addresses, count * sizeof *addresses);
	DL_APPEND(store->rows, row);
	store->rows_count++;
	return true;
}

/* ---- bytes in the file ---- */

static size_t encode(const struct address *addresses, size_t count, uint8_t *out)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t *at = out + i * ADDRESS_SIZE;

		at[0] = addresses[i].family;
		memcpy(at + 1, addresses[i].ip, 16);
		at[17] = (uint8_t)(addresses[i].port >> 8);
		at[18] = (uint8_t)addresses[i].port;
	}
	return count * ADDRESS_SIZE;
}

static size_t decode(const uint8_t *bytes, size_t size, struct address *out)
{
	size_t count = 0;

	for (; size >= ADDRESS_SIZE && count < LIMIT_ADDRESSES_PER_NODE;
	     size -= ADDRESS_SIZE, bytes += ADDRESS_SIZE) {
		memset(&out[count], 0, sizeof out[count]);
		out[count].family = bytes[0];
		memcpy(out[count].ip, bytes + 1, 16);
		out[count].port = (uint16_t)(bytes[17] << 8 | bytes[18]);
		if ((bytes[0] == 4 || bytes[0] == 6) && address_is_dialable(&out[count]))
			count++;
	}
	return count;
}

/* ---- the file ---- */

static void close_file(struct store *store)
{
	sqlite3_finalize(store->insert);
	sqlite3_finalize(store->erase);
	sqlite3_close(store->db);
	store->insert = store->erase = NULL;
	store->db = NULL;
}

static int schema_version(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return version;
}

static bool read_rows(struct store *store)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	sqlite3_stmt *statement = NULL;
	struct id topic, node;
	size_t count;
	int status = sqlite3_prepare_v2(
		store->db, "SELECT topic, node, addresses FROM neighbour ORDER BY seen", -1,
		&statement, NULL);

	while (status == SQLITE_OK || status == SQLITE_ROW) {
		status = sqlite3_step(statement);
		if (status != SQLITE_ROW)
			break;
		if (sqlite3_column_bytes(statement, 0) != ID_SIZE ||
		    sqlite3_column_bytes(statement, 1) != ID_SIZE)
			continue;
		memcpy(topic.bytes, sqlite3_column_blob(statement, 0), ID_SIZE);
		memcpy(node.bytes, sqlite3_column_blob(statement, 1), ID_SIZE);
		count = decode(sqlite3_column_blob(statement, 2),
			       (size_t)sqlite3_column_bytes(statement, 2), addresses);
		if (!over_limit(store, &topic))
			put_row(store, &topic, &node, addresses, count);
	}
	sqlite3_finalize(statement);
	return status == SQLITE_DONE;
}

/* Opens, checks, reads; why (static) says what is wrong with the file. */
static bool open_file(struct store *store, const char *path, const char **why)
{
	static const char schema[] =
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"CREATE TABLE IF NOT EXISTS neighbour (topic BLOB NOT NULL, node BLOB NOT NULL,"
		" addresses BLOB NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (topic, node))"
		" WITHOUT ROWID;"
		"PRAGMA user_version = 1;";
	int version;

	*why = "it cannot be opened";
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
	    SQLITE_OK)
		return false;
	version = schema_version(store->db);
	*why = version > SCHEMA_VERSION ? "it was written by a newer version" : "it is damaged";
	if (version < 0 || version > SCHEMA_VERSION ||
	    sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	*why = "it is damaged";
	return sqlite3_prepare_v2(store->db,
				  "INSERT OR REPLACE INTO neighbour VALUES (?, ?, ?, ?)", -1,
				  &store->insert, NULL) == SQLITE_OK &&
	       sqlite3_prepare_v2(store->db, "DELETE FROM neighbour WHERE topic = ? AND node = ?",
				  -1, &store->erase, NULL) == SQLITE_OK &&
	       read_rows(store);
}

static void clear_rows(struct store *store)
{
	while (store->rows)
		remove_row(store, store->rows);
}

/* Moves the file and what SQLite keeps beside it out of the way. */
static bool set_aside(const char *path, char aside[ASIDE_SIZE])
{
	static const char *const beside[] = {"-wal", "-shm"};
	char file[PATH_SIZE + 8];

	snprintf(aside, ASIDE_SIZE, "%s.aside-%lld", path, (long long)time(NULL));
	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof file, "%s%s", path, beside[i]);
		unlink(file);
	}
	return rename(path, aside) == 0;
}

int store_open(const char *dir, uv_loop_t *loop, struct store **out,
	       char reason[STORE_REASON_SIZE])
{
	struct store *store = memory_zalloc(sizeof *store);
	char path[PATH_SIZE], aside[ASIDE_SIZE];
	const char *why;
	mode_t mask;

	reason[0] = 0;
	if (!store)
		return ERROR_NOMEM;
	store->loop = loop;
	store->work.data = store;
	*out = store;
	if (!dir)
		return ERROR_NONE;
	snprintf(path, sizeof path, "%.1000s/" FILE_NAME, dir);
	mask = umask(0077); /* topic ids are secrets */
	if (!open_file(store, path, &why)) {
		close_file(store);
		clear_rows(store);
		if (set_aside(path, aside)) {
			snprintf(reason, STORE_REASON_SIZE,
				 "%.200s: %s; set aside, a new one is begun", path, why);
			if (!open_file(store, path, &why))
				close_file(store);
		}
		if (!store->db)
			snprintf(reason, STORE_REASON_SIZE,
				 "%.200s: %s; known nodes are forgotten at a restart", path, why);
	}
	umask(mask);
	return ERROR_NONE;
}

/* ---- writing ---- */

static void write_change(struct store *store, const struct change *change)
{
	sqlite3_stmt *statement = change->forget ? store->erase : store->insert;

	sqlite3_bind_blob(statement, 1, change->topic.bytes, ID_SIZE, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 2, change->node.bytes, ID_SIZE, SQLITE_STATIC);
	if (!change->forget) {
		sqlite3_bind_blob(statement, 3, change->addresses, (int)change->size,
				  SQLITE_STATIC);
		sqlite3_bind_int64(statement, 4, (sqlite3_int64)time(NULL));
	}
	/* A full disk is no reason to stop: it is remembered in memory. */
	sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

static void free_changes(struct change *changes)
{
	struct change *next;

	for (; changes; changes = next) {
		next = changes->next;
		memory_free(changes);
	}
}

/* On a thread of the pool. */
static void on_work(uv_work_t *work)
{
	struct store *store = work->data;
	struct change *change;

	sqlite3_exec(store->db, "BEGIN", NULL, NULL, NULL);
	LL_FOREACH(store->working, change)
		write_change(store, change);
	sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
}

static void write_soon(struct store *store);

static void on_written(uv_work_t *work, int status)
{
	struct store *store = work->data;

	(void)status;
	free_changes(store->working);
	store->working = NULL;
	store->busy = false;
	write_soon(store);
}

static void write_soon(struct store *store)
{
	if (store->busy || !store->waiting)
		return;
	store->working = store->waiting;
	store->waiting = NULL;
	store->busy = true;
	if (uv_queue_work(store->loop, &store->work, on_work, on_written) != 0) {
		store->busy = false;
		free_changes(store->working);
		store->working = NULL;
	}
}

static void change(struct store *store, bool forget, const struct id *topic,
		   const struct id *node, const struct address *addresses, size_t count)
{
	struct change *made;

	if (!store->db)
		return;
	made = memory_zalloc(sizeof *made);
	if (!made)
		return;
	made->forget = forget;
	made->topic = *topic;
	made->node = *node;
	made->size = encode(addresses, count, made->addresses);
	LL_APPEND(store->waiting, made);
	write_soon(store);
}

void store_remember(struct store *store, const struct id *topic, const struct id *node,
		    const struct address *addresses, size_t count)
{
	struct row *old;

	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (count == 0)
		return;
	if (!find(store, topic, node) && (old = over_limit(store, topic))) {
		change(store, true, &old->topic, &old->node, NULL, 0);
		remove_row(store, old);
	}
	if (put_row(store, topic, node, addresses, count))
		change(store, false, topic, node, addresses, count);
}

void store_each(struct store *store, const struct id *topic, store_visit *visit, void *context)
{
	struct row *row;

	DL_FOREACH(store->rows, row)
		if (id_equal(&row->topic, topic))
			visit(context, &row->node, row->addresses, row->count);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	clear_rows(store);
	free_changes(store->waiting);
	close_file(store);
	memory_free(store);
}
