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

#define FILE_NAME      "p2panda.db"
#define SCHEMA_VERSION 1
#define PATH_SIZE      1100
#define ASIDE_SIZE     (PATH_SIZE + 32)
/* Somebody else reads or writes the file now and then (a backup, a curious person). */
#define BUSY_MS	     1000
#define ADDRESS_SIZE 19 /* family, 16 bytes, port */

/* What is remembered; in memory, newest last. */
struct row {
	struct id topic, node;
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct row *prev, *next;
};

enum statement {
	PUT_NEIGHBOUR,	  /* topic, node, addresses */
	DELETE_NEIGHBOUR, /* topic, node */
	PUT_RECORD,	  /* key, value */
	DELETE_RECORD,	  /* key */
	STATEMENTS
};

static const char *const statement_texts[STATEMENTS] = {
	[PUT_NEIGHBOUR] = "INSERT OR REPLACE INTO neighbour VALUES (?, ?, ?, unixepoch())",
	[DELETE_NEIGHBOUR] = "DELETE FROM neighbour WHERE topic = ? AND node = ?",
	[PUT_RECORD] = "INSERT OR REPLACE INTO record VALUES (?, ?)",
	[DELETE_RECORD] = "DELETE FROM record WHERE key = ?",
};

#define CHANGE_PARTS 3

struct part {
	const void *bytes;
	size_t size;
};

/* One write that waits for the pool: a statement and the blobs it takes. */
struct change {
	enum statement statement;
	size_t sizes[CHANGE_PARTS];
	struct change *next;
	uint8_t bytes[]; /* the parts, one after the other */
};

struct store {
	uv_loop_t *loop;
	sqlite3 *db; /* NULL: memory only */
	sqlite3_stmt *statements[STATEMENTS];
	struct row *rows;
	size_t rows_count;
	struct change *waiting, *waiting_last; /* the loop's */
	struct change *working;		       /* the pool's, while work is under way */
	bool busy;
	uv_work_t work;
};

/* ---- rows ---- */

static struct row *find(struct store *store, const struct id *topic, const struct id *node)
{
	struct row *row;

	DL_FOREACH (store->rows, row)
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

	DL_FOREACH (store->rows, row) {
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
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	sqlite3_close(store->db);
	store->db = NULL;
}

/* The first column of the only row, -1 if there is none. */
static int ask(sqlite3 *db, const char *query)
{
	sqlite3_stmt *statement = NULL;
	int answer = -1;

	if (sqlite3_prepare_v2(db, query, -1, &statement, NULL) == SQLITE_OK &&
		sqlite3_step(statement) == SQLITE_ROW)
		answer = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return answer;
}

static bool read_rows(struct store *store)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	sqlite3_stmt *statement = NULL;
	struct id topic, node;
	size_t count;
	int status = sqlite3_prepare_v2(store->db,
		"SELECT topic, node, addresses FROM neighbour ORDER BY seen", -1, &statement, NULL);

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

static bool read_records(struct store *store, store_record_visit *visit, void *context)
{
	sqlite3_stmt *statement = NULL;
	int status = sqlite3_prepare_v2(
		store->db, "SELECT key, value FROM record", -1, &statement, NULL);

	if (status == SQLITE_OK)
		while ((status = sqlite3_step(statement)) == SQLITE_ROW)
			visit(context, sqlite3_column_blob(statement, 0),
				(size_t)sqlite3_column_bytes(statement, 0),
				sqlite3_column_blob(statement, 1),
				(size_t)sqlite3_column_bytes(statement, 1));
	sqlite3_finalize(statement);
	return status == SQLITE_DONE;
}

static bool prepare_statements(struct store *store)
{
	for (size_t i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v2(store->db, statement_texts[i], -1, &store->statements[i],
			    NULL) != SQLITE_OK)
			return false;
	return true;
}

/* Whether it is the file that is wrong, not the disk, a permission or another process. */
static bool is_damage(sqlite3 *db)
{
	switch (sqlite3_errcode(db)) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
	case SQLITE_ERROR: /* other tables than ours */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return true;
	default:
		return false;
	}
}

static bool make_tables(sqlite3 *db)
{
	static const char schema[] =
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"CREATE TABLE IF NOT EXISTS neighbour (topic BLOB NOT NULL, node BLOB NOT NULL,"
		" addresses BLOB NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (topic, node))"
		" WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS record (key BLOB NOT NULL PRIMARY KEY,"
		" value BLOB NOT NULL) WITHOUT ROWID;"
		"PRAGMA user_version = 1;";

	return sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK;
}

/* Opens, checks, reads. On failure why says what is wrong; true in damaged: with the
 * file itself. */
static bool open_file(struct store *store, const char *path, const char **why, bool *damaged)
{
	int version;

	*damaged = false;
	*why = "it cannot be opened";
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
		SQLITE_OK)
		return false;
	sqlite3_busy_timeout(store->db, BUSY_MS);
	version = ask(store->db, "PRAGMA user_version");
	if (version > SCHEMA_VERSION) {
		*damaged = true;
		*why = "it was written by a newer version";
		return false;
	}
	if (version == 0 && ask(store->db, "SELECT count(*) FROM sqlite_schema") > 0) {
		*damaged = true;
		*why = "it is somebody else's";
		return false;
	}
	if (version >= 0 && make_tables(store->db) && prepare_statements(store) && read_rows(store))
		return true;
	*damaged = is_damage(store->db);
	*why = *damaged ? "it is damaged" : sqlite3_errstr(sqlite3_errcode(store->db));
	return false;
}

static void clear_rows(struct store *store)
{
	while (store->rows)
		remove_row(store, store->rows);
}

/* Moves the file and what SQLite keeps beside it out of the way. */
static bool set_aside(const char *path)
{
	static const char *const beside[] = {"-wal", "-shm"};
	char file[PATH_SIZE + 8], aside[ASIDE_SIZE];

	snprintf(aside, sizeof aside, "%s.aside-%lld", path, (long long)time(NULL));
	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof file, "%s%s", path, beside[i]);
		unlink(file);
	}
	return rename(path, aside) == 0;
}

int store_open(const char *dir, uv_loop_t *loop, store_record_visit *visit, void *context,
	struct store **out, char reason[STORE_REASON_SIZE])
{
	struct store *store = memory_zalloc(sizeof *store);
	char path[PATH_SIZE];
	const char *why;
	bool opened, damaged;
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
	opened = open_file(store, path, &why, &damaged);
	if (!opened) {
		close_file(store);
		clear_rows(store);
	}
	if (!opened && damaged && set_aside(path)) {
		snprintf(reason, STORE_REASON_SIZE, "%.200s: %s; set aside, a new one is begun",
			path, why);
		opened = open_file(store, path, &why, &damaged);
		if (!opened)
			close_file(store);
	}
	if (!opened)
		snprintf(reason, STORE_REASON_SIZE,
			"%.150s: %s; what is known is forgotten at a restart", path, why);
	umask(mask);
	if (opened && visit && !read_records(store, visit, context))
		snprintf(reason, STORE_REASON_SIZE, "%.180s: not every record could be read back",
			path);
	return ERROR_NONE;
}

/* ---- writing ---- */

static void write_change(struct store *store, const struct change *change)
{
	sqlite3_stmt *statement = store->statements[change->statement];
	int parts = sqlite3_bind_parameter_count(statement);
	const uint8_t *bytes = change->bytes;

	for (int i = 0; i < parts; i++) {
		sqlite3_bind_blob(statement, i + 1, bytes, (int)change->sizes[i], SQLITE_STATIC);
		bytes += change->sizes[i];
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
	LL_FOREACH (store->working, change)
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
	store->waiting = store->waiting_last = NULL;
	store->busy = true;
	if (uv_queue_work(store->loop, &store->work, on_work, on_written) != 0) {
		store->busy = false;
		free_changes(store->working);
		store->working = NULL;
	}
}

static void write_parts(
	struct store *store, enum statement statement, const struct part parts[CHANGE_PARTS])
{
	size_t size = parts[0].size + parts[1].size + parts[2].size, at = 0;
	struct change *change;

	if (!store->db)
		return;
	change = memory_alloc(sizeof *change + size);
	if (!change)
		return;
	change->statement = statement;
	change->next = NULL;
	for (size_t i = 0; i < CHANGE_PARTS; i++) {
		change->sizes[i] = parts[i].size;
		if (parts[i].size > 0)
			memcpy(change->bytes + at, parts[i].bytes, parts[i].size);
		at += parts[i].size;
	}
	if (store->waiting_last)
		store->waiting_last->next = change;
	else
		store->waiting = change;
	store->waiting_last = change;
	write_soon(store);
}

static void forget_row(struct store *store, struct row *row)
{
	struct part parts[CHANGE_PARTS] = {{&row->topic, ID_SIZE}, {&row->node, ID_SIZE}};

	write_parts(store, DELETE_NEIGHBOUR, parts);
	remove_row(store, row);
}

void store_remember(struct store *store, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count)
{
	uint8_t bytes[LIMIT_ADDRESSES_PER_NODE * ADDRESS_SIZE];
	struct part parts[CHANGE_PARTS] = {{topic, ID_SIZE}, {node, ID_SIZE}, {bytes, 0}};
	struct row *old;

	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (count == 0)
		return;
	if (!find(store, topic, node) && (old = over_limit(store, topic)))
		forget_row(store, old);
	if (!put_row(store, topic, node, addresses, count))
		return;
	parts[2].size = encode(addresses, count, bytes);
	write_parts(store, PUT_NEIGHBOUR, parts);
}

void store_record(
	struct store *store, const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct part parts[CHANGE_PARTS] = {{key, key_size}, {value, value_size}};

	write_parts(store, value_size > 0 ? PUT_RECORD : DELETE_RECORD, parts);
}

void store_each(struct store *store, const struct id *topic, store_visit *visit, void *context)
{
	struct row *row;

	DL_FOREACH (store->rows, row)
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
