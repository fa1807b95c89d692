/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "../backoff.h"
#include "../error.h"
#include "../keyed_table.h"

#define FILE_NAME      "p2panda.db"
#define SCHEMA_VERSION 2
#define PATH_SIZE      1100
#define ASIDE_SIZE     (PATH_SIZE + 32)
/* Somebody else reads or writes the file now and then (a backup, a curious person). */
#define BUSY_MS 1000
/* So many unused pages (of 4 KiB) stay in the file, to be used again. */
#define SHRINK_PAGES 256
/* When what could not be written is tried again: after the first failure, and at the latest. */
#define RETRY_FIRST_NS UINT64_C(1000000000)
#define RETRY_MOST_NS  (60 * RETRY_FIRST_NS)

/* Of a row that is kept, besides what it holds; and how many are read at most. */
#define KEPT_OVERHEAD 128
#define KEPT_ROWS     32768

#define TEXT_OF(token) #token
#define TEXT(macro)    TEXT_OF(macro)

enum statement {
	PUT_NODE,
	DELETE_NODE,
	PUT_RECORD,
	DELETE_RECORD,
	PUT_VALUE,
	DELETE_VALUE,
	FORGET_NEIGHBOUR,
	PUT_KEPT,
	STATEMENTS
};

/* All take a key; those that put take a value too. */
static const char *const statement_texts[STATEMENTS] = {
	[PUT_NODE] = "INSERT OR REPLACE INTO node (id, row) VALUES (?, ?)",
	[DELETE_NODE] = "DELETE FROM node WHERE id = ?",
	[PUT_RECORD] = "INSERT OR REPLACE INTO record VALUES (?, ?)",
	[DELETE_RECORD] = "DELETE FROM record WHERE key = ?",
	[PUT_VALUE] = "INSERT OR REPLACE INTO own VALUES (?, ?)",
	[DELETE_VALUE] = "DELETE FROM own WHERE name = ?",
	[FORGET_NEIGHBOUR] = "DELETE FROM neighbour WHERE node = ?",
	[PUT_KEPT] = "INSERT OR REPLACE INTO kept VALUES (?, ?)",
};

/* In which table a change is to be made. */
enum table { NODE, RECORD, VALUE, KEPT };

/* One write that waits for the pool. */
struct change {
	struct change *prev, *next;
	UT_hash_handle hh; /* while it waits: a later change of the same key replaces it */
	uint8_t *value;	   /* NULL: the row is deleted */
	size_t value_size;
	size_t key_size;
	uint8_t key[]; /* the table, then the key in it */
};

struct store {
	uv_loop_t *loop;
	sqlite3 *db; /* NULL: nothing is kept */
	sqlite3_stmt *statements[STATEMENTS];
	bool anew;	     /* there were no tables */
	bool has_neighbours; /* of version 1, until their nodes are written anew */
	bool keeps;	     /* there is the table for what is kept from one start to the next */
	size_t kept_number, kept_bytes, kept_written;
	struct keyed keyed;
	struct change *waiting, *waiting_by_key; /* the loop's */
	size_t waiting_size;
	struct change *working; /* the pool's, while work is under way */
	bool busy, written;	/* work is under way; the pool's: it has succeeded */
	int failure;		/* the pool's: what SQLite said when it did not */
	uint64_t retry_ns, backoff_ns; /* by uv_hrtime; backoff 0: the last write was good */
	struct store_owner owner;
	uv_work_t work;
};

/* ---- bytes in the file ---- */

#define ADDRESS_SIZE 19 /* family, 16 bytes, port */

/* Decodes addresses of version 1. Returns how many. */
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

static const void *column(sqlite3_stmt *statement, int number, size_t *size)
{
	const void *bytes = sqlite3_column_blob(statement, number);

	*size = (size_t)sqlite3_column_bytes(statement, number);
	return bytes ? bytes : "";
}

static bool id_column(sqlite3_stmt *statement, int number, struct id *out)
{
	size_t size;
	const void *bytes = column(statement, number, &size);

	if (size == ID_SIZE)
		memcpy(out->bytes, bytes, ID_SIZE);
	return size == ID_SIZE;
}

static void visit_neighbour(const struct store_visitor *visitor, sqlite3_stmt *statement)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id topic, node;
	size_t size;
	const void *bytes = column(statement, 2, &size);

	if (visitor->neighbour && id_column(statement, 0, &topic) && id_column(statement, 1, &node))
		visitor->neighbour(
			visitor->context, &topic, &node, addresses, decode(bytes, size, addresses));
}

static void visit_node(const struct store_visitor *visitor, sqlite3_stmt *statement)
{
	struct id node;
	size_t size;
	const void *bytes = column(statement, 1, &size);

	if (visitor->node && id_column(statement, 0, &node))
		visitor->node(visitor->context, &node, bytes, size);
}

static void visit_record(const struct store_visitor *visitor, sqlite3_stmt *statement)
{
	size_t key_size, size;
	const void *key = column(statement, 0, &key_size), *value = column(statement, 1, &size);

	if (visitor->record)
		visitor->record(visitor->context, key, key_size, value, size);
}

static void visit_value(const struct store_visitor *visitor, sqlite3_stmt *statement)
{
	char name[STORE_VALUE_NAME_SIZE];
	size_t name_size, size;
	const void *bytes = column(statement, 1, &size), *text = column(statement, 0, &name_size);

	if (!visitor->value || name_size >= sizeof name || memchr(text, 0, name_size))
		return;
	memcpy(name, text, name_size);
	name[name_size] = 0;
	visitor->value(visitor->context, name, bytes, size);
}

static void visit_kept(const struct store_visitor *visitor, sqlite3_stmt *statement)
{
	size_t size;
	const void *row = column(statement, 0, &size);

	if (visitor->kept)
		visitor->kept(visitor->context, row, size);
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

/* Returns the first column of the only row of an answer; -1: there is none. */
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

static bool read_all(struct store *store, const struct store_visitor *visitor, const char *query,
	void (*visit)(const struct store_visitor *visitor, sqlite3_stmt *statement))
{
	sqlite3_stmt *statement = NULL;
	int status = sqlite3_prepare_v2(store->db, query, -1, &statement, NULL);

	if (status == SQLITE_OK)
		while ((status = sqlite3_step(statement)) == SQLITE_ROW)
			visit(visitor, statement);
	sqlite3_finalize(statement);
	return status == SQLITE_DONE;
}

/* Reads what was kept and deletes it, for there may be secrets in it. What cannot be deleted now
 * (a full disk) is found once more at the next start. */
static bool take_kept(struct store *store, const struct store_visitor *visitor)
{
	if (!store->keeps || ask(store->db, "SELECT count(*) FROM kept") == 0)
		return true;
	return read_all(store, visitor,
		       "SELECT row FROM kept ORDER BY key LIMIT " TEXT(KEPT_ROWS), visit_kept) &&
	       sqlite3_exec(store->db,
		       "PRAGMA secure_delete = ON; DELETE FROM kept; PRAGMA secure_delete = OFF",
		       NULL, NULL, NULL) == SQLITE_OK;
}

static bool visit_all(struct store *store, const struct store_visitor *visitor)
{
	bool read = read_all(store, visitor, "SELECT key, value FROM record", visit_record);

	read = read_all(store, visitor, "SELECT name, value FROM own", visit_value) && read;
	if (store->has_neighbours)
		read = read_all(store, visitor,
			       "SELECT topic, node, addresses FROM neighbour ORDER BY seen"
			       " LIMIT " TEXT(LIMIT_SHARED),
			       visit_neighbour) &&
		       read;
	read = take_kept(store, visitor) && read;
	return read_all(store, visitor, "SELECT id, row FROM node ORDER BY written", visit_node) &&
	       read;
}

static bool prepare_statements(struct store *store)
{
	for (size_t i = 0; i < STATEMENTS; i++)
		if ((i != FORGET_NEIGHBOUR || store->has_neighbours) &&
			(i != PUT_KEPT || store->keeps) &&
			sqlite3_prepare_v2(store->db, statement_texts[i], -1, &store->statements[i],
				NULL) != SQLITE_OK)
			return false;
	return true;
}

/* Tells whether the file is what is wrong, not the disk, a permission or another process. */
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

/* Makes the tables that are missing. Version 1 had neighbours where version 2 has the address book.
 * The neighbours stay until their nodes have been written anew, so that nothing is lost if that
 * does not come about. */
static bool make_tables(struct store *store, int version)
{
	static const char beginning[] =
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"PRAGMA journal_size_limit = 1048576;"
		"BEGIN IMMEDIATE;";
	static const char schema[] =
		/* In the order of writing: what is replaced becomes the last one. */
		"CREATE TABLE IF NOT EXISTS node (written INTEGER PRIMARY KEY,"
		" id BLOB NOT NULL UNIQUE, row BLOB NOT NULL);"
		"CREATE TABLE IF NOT EXISTS own (name TEXT NOT NULL PRIMARY KEY,"
		" value BLOB NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS record (key BLOB NOT NULL PRIMARY KEY,"
		" value BLOB NOT NULL) WITHOUT ROWID;"
		"PRAGMA user_version = 2;";
	static const char there[] = "SELECT count(*) FROM sqlite_schema"
				    " WHERE name IN ('node', 'own', 'record')";
	static const char migration[] =
		"CREATE INDEX IF NOT EXISTS neighbour_node ON neighbour (node);";
	/* More than there may be: somebody else's doing, or deletions that were lost. */
	static const char tidying[] =
		"DELETE FROM node WHERE written <= (SELECT written FROM node"
		" ORDER BY written DESC LIMIT 1 OFFSET " TEXT(LIMIT_NODES) ");"
		"DELETE FROM record WHERE length(key) + length(value) > " TEXT(LIMIT_RECORD) ";"
		"DELETE FROM record WHERE key >= (SELECT key FROM record"
		" ORDER BY key LIMIT 1 OFFSET " TEXT(LIMIT_RECORD_ROWS) ");";

	if (sqlite3_exec(store->db, beginning, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	/* On a full disk nothing may be written that is there already. */
	if ((version != SCHEMA_VERSION || ask(store->db, there) != 3) &&
		sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	if (version == 1 && sqlite3_exec(store->db, migration, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	if (ask(store->db, "SELECT count(*) FROM sqlite_schema WHERE name = 'neighbour'") > 0) {
		store->has_neighbours = ask(store->db, "SELECT count(*) FROM neighbour") > 0;
		if (!store->has_neighbours && sqlite3_exec(store->db, "DROP TABLE neighbour", NULL,
						      NULL, NULL) != SQLITE_OK)
			return false;
	}
	return sqlite3_exec(store->db, tidying, NULL, NULL, NULL) == SQLITE_OK &&
	       sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
}

/* Makes the table for what is kept. Version 2 may be without it, as on a disk that is too full. */
static void make_kept(struct store *store)
{
	store->keeps = sqlite3_exec(store->db,
			       "CREATE TABLE IF NOT EXISTS kept (key BLOB NOT NULL PRIMARY KEY,"
			       " row BLOB NOT NULL) WITHOUT ROWID",
			       NULL, NULL, NULL) == SQLITE_OK &&
		       ask(store->db, "SELECT count(row) FROM kept WHERE key = x''") >= 0;
}

/* Gives unused pages back to the disk, when they are much of the file. Whatever fails: the file is
 * as good as before. */
static void shrink(sqlite3 *db)
{
	int unused = ask(db, "PRAGMA freelist_count");

	if (unused < SHRINK_PAGES || unused < ask(db, "PRAGMA page_count") / 4)
		return;
	/* What there is is written anew: there are bounds on it, and files of old cannot shrink in
	 * another way. */
	sqlite3_exec(db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
}

/* Checks the file before anything of it is handed out. */
static bool is_sound(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	bool sound = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) ==
			     SQLITE_OK &&
		     sqlite3_step(statement) == SQLITE_ROW &&
		     strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;

	sqlite3_finalize(statement);
	return sound;
}

/* Opens the file and checks it. alone: with no shared memory beside it, so that no other process can
 * read it meanwhile. On failure *why says what is wrong; *damaged: the file itself is. */
static bool open_as(
	struct store *store, const char *path, bool alone, const char **why, bool *damaged)
{
	int version;

	*damaged = false;
	*why = "it cannot be opened";
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
		SQLITE_OK)
		return false;
	sqlite3_busy_timeout(store->db, BUSY_MS);
	if (alone)
		sqlite3_exec(store->db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
	version = ask(store->db, "PRAGMA user_version");
	if (version > SCHEMA_VERSION) {
		*damaged = true;
		*why = "it was written by a newer version";
		return false;
	}
	store->anew = version == 0;
	if (version == 0 && ask(store->db, "SELECT count(*) FROM sqlite_schema") > 0) {
		*damaged = true;
		*why = "it is somebody else's";
		return false;
	}
	if (version >= 0 && is_sound(store->db) && make_tables(store, version)) {
		make_kept(store);
		if (prepare_statements(store)) {
			shrink(store->db);
			return true;
		}
	}
	*damaged = is_damage(store->db);
	*why = *damaged ? "it is damaged" : sqlite3_errstr(sqlite3_errcode(store->db));
	return false;
}

/* Opens the file, also where there is no room for the memory that processes share to read it. */
static bool open_file(struct store *store, const char *path, const char **why, bool *damaged)
{
	const char *why_alone;

	if (open_as(store, path, false, why, damaged))
		return true;
	close_file(store);
	if (*damaged)
		return false;
	if (open_as(store, path, true, &why_alone, damaged))
		return true;
	*damaged = false; /* no more than before */
	close_file(store);
	return false;
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

int store_open(const char *dir, uv_loop_t *loop, const struct store_visitor *visitor,
	const struct store_owner *owner, struct store **out, bool *anew,
	char reason[STORE_REASON_SIZE])
{
	struct store *store = memory_zalloc(sizeof *store);
	struct random random = random_system();
	char path[PATH_SIZE];
	const char *why;
	bool opened, damaged;
	mode_t mask;

	reason[0] = 0;
	*anew = false;
	if (!store)
		return ERROR_NOMEM;
	store->loop = loop;
	store->work.data = store;
	if (owner)
		store->owner = *owner;
	keyed_init(&store->keyed, &random);
	*out = store;
	if (!dir)
		return ERROR_NONE;
	snprintf(path, sizeof path, "%.1000s/" FILE_NAME, dir);
	mask = umask(0077); /* topic ids are secrets */
	opened = open_file(store, path, &why, &damaged);
	*anew = opened && store->anew;
	if (!opened && damaged && set_aside(path)) {
		snprintf(reason, STORE_REASON_SIZE,
			"%.110s: %s; set aside, a new one is begun: " STORE_FORGOTTEN, path, why);
		opened = open_file(store, path, &why, &damaged);
	}
	if (!opened)
		snprintf(reason, STORE_REASON_SIZE,
			"%.150s: %s; what is known is forgotten at a restart", path, why);
	umask(mask);
	if (opened && visitor && !visit_all(store, visitor))
		snprintf(reason, STORE_REASON_SIZE, "%.180s: not everything could be read back",
			path);
	return ERROR_NONE;
}

/* ---- writing ---- */

static size_t size_of(const struct change *change)
{
	return sizeof *change + change->key_size + change->value_size;
}

static void free_change(struct change *change)
{
	memory_free(change->value);
	memory_free(change);
}

static bool run(struct store *store, enum statement number, const struct change *change)
{
	sqlite3_stmt *statement = store->statements[number];
	const uint8_t *key = change->key + 1;
	int size = (int)change->key_size - 1;
	bool done;

	if (change->key[0] == VALUE)
		sqlite3_bind_text(statement, 1, (const char *)key, size, SQLITE_STATIC);
	else
		sqlite3_bind_blob(statement, 1, key, size, SQLITE_STATIC);
	if (sqlite3_bind_parameter_count(statement) > 1)
		sqlite3_bind_blob(
			statement, 2, change->value, (int)change->value_size, SQLITE_STATIC);
	done = sqlite3_step(statement) == SQLITE_DONE;
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return done;
}

static bool write_change(struct store *store, const struct change *change)
{
	bool put = change->value_size > 0;

	switch ((enum table)change->key[0]) {
	case NODE:
		return run(store, put ? PUT_NODE : DELETE_NODE, change) &&
		       (!store->has_neighbours || run(store, FORGET_NEIGHBOUR, change));
	case RECORD:
		return run(store, put ? PUT_RECORD : DELETE_RECORD, change);
	case VALUE:
		return run(store, put ? PUT_VALUE : DELETE_VALUE, change);
	case KEPT:
		return run(store, PUT_KEPT, change);
	}
	return false;
}

/* Writes all of the batch or nothing, on a thread of the pool. */
static void on_work(uv_work_t *work)
{
	struct store *store = work->data;
	struct change *change;
	bool done = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;

	if (done)
		DL_FOREACH (store->working, change)
			done = done && write_change(store, change);
	done = done && sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
	if (!done) {
		store->failure = sqlite3_errcode(store->db);
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	}
	store->written = done;
	if (done)
		shrink(store->db);
}

static struct change *find_waiting(const struct store *store, const uint8_t *key, size_t size)
{
	struct change *change;

	KEYED_FIND(&store->keyed, store->waiting_by_key, key, size, change);
	return change;
}

static bool enqueue(struct store *store, struct change *change)
{
	KEYED_PUT(&store->keyed, store->waiting_by_key, change->key, change->key_size, change);
	if (!change->hh.tbl)
		return false;
	DL_APPEND(store->waiting, change);
	store->waiting_size += size_of(change);
	return true;
}

static void tell(struct store *store, const char *failure, size_t lost)
{
	if (store->owner.wrote)
		store->owner.wrote(store->owner.context, failure, lost);
}

/* Ends a batch. A full disk, or somebody who holds the file for long, is no reason to stop: what
 * was not written is tried again after a while, unless it has been replaced or too much waits. The
 * owner's records always wait: there is a bound on their number. */
static void finish(struct store *store, bool written)
{
	struct change *change, *next;
	size_t lost = 0;

	DL_FOREACH_SAFE (store->working, change, next) {
		DL_DELETE(store->working, change);
		store->kept_written += written && change->key[0] == KEPT;
		if (written || find_waiting(store, change->key, change->key_size)) {
			free_change(change);
		} else if ((change->key[0] != RECORD && change->key[0] != KEPT &&
				   !store_has_room(store)) ||
			   !enqueue(store, change)) {
			free_change(change);
			lost++;
		}
	}
	store->busy = false;
	if (written) {
		if (store->backoff_ns > 0)
			tell(store, NULL, 0);
		store->backoff_ns = 0;
		return;
	}
	if (store->backoff_ns == 0)
		store->backoff_ns = RETRY_FIRST_NS;
	else
		backoff_double(&store->backoff_ns, RETRY_MOST_NS);
	store->retry_ns = uv_hrtime() + store->backoff_ns;
	tell(store, sqlite3_errstr(store->failure), lost);
}

static void write_soon(struct store *store);

static void on_written(uv_work_t *work, int status)
{
	struct store *store = work->data;

	finish(store, status == 0 && store->written);
	write_soon(store);
}

static void write_soon(struct store *store)
{
	if (store->busy || !store->waiting || store_deadline(store) > uv_hrtime())
		return;
	HASH_CLEAR(hh, store->waiting_by_key);
	store->working = store->waiting;
	store->waiting = NULL;
	store->waiting_size = 0;
	store->busy = true;
	store->written = false;
	store->failure = SQLITE_NOMEM; /* unless SQLite says something else */
	if (uv_queue_work(store->loop, &store->work, on_work, on_written) != 0)
		finish(store, false);
}

static struct change *new_change(enum table table, const void *key, size_t key_size)
{
	struct change *change = memory_zalloc(sizeof *change + 1 + key_size);

	if (!change)
		return NULL;
	change->key[0] = (uint8_t)table;
	if (key_size > 0)
		memcpy(change->key + 1, key, key_size);
	change->key_size = 1 + key_size;
	return change;
}

/* Returns the waiting change of the same key, or a new one; NULL: no memory. */
static struct change *obtain_change(
	struct store *store, enum table table, const void *key, size_t key_size)
{
	struct change *change = new_change(table, key, key_size), *waiting;

	if (!change)
		return NULL;
	waiting = find_waiting(store, change->key, change->key_size);
	if (waiting || !enqueue(store, change)) {
		free_change(change);
		return waiting;
	}
	return change;
}

static int put(struct store *store, enum table table, const void *key, size_t key_size,
	const void *value, size_t size)
{
	uint8_t *copy = NULL;
	struct change *change;

	if (!store->db)
		return ERROR_NONE;
	if (size > 0 && !(copy = memory_alloc(size)))
		return ERROR_NOMEM;
	change = obtain_change(store, table, key, key_size);
	if (!change) {
		memory_free(copy);
		return ERROR_NOMEM;
	}
	if (size > 0)
		memcpy(copy, value, size);
	store->waiting_size -= size_of(change);
	memory_free(change->value);
	change->value = copy;
	change->value_size = size;
	store->waiting_size += size_of(change);
	write_soon(store);
	return ERROR_NONE;
}

uint64_t store_deadline(const struct store *store)
{
	if (store->busy || !store->waiting)
		return UINT64_MAX;
	return store->backoff_ns > 0 ? store->retry_ns : 0;
}

void store_tick(struct store *store)
{
	write_soon(store);
}

void store_write_now(struct store *store)
{
	store->retry_ns = 0;
	write_soon(store);
}

bool store_has_room(const struct store *store)
{
	return store->waiting_size <= LIMIT_STORE_WAITING_BYTES;
}

int store_put_node(struct store *store, const struct id *node, const uint8_t *row, size_t size)
{
	if (!store_has_room(store))
		return ERROR_FULL;
	return put(store, NODE, node, sizeof *node, row, size);
}

int store_delete_node(struct store *store, const struct id *node)
{
	return store_put_node(store, node, NULL, 0);
}

void store_put_value(struct store *store, const char *name, const void *bytes, size_t size)
{
	put(store, VALUE, name, strnlen(name, STORE_VALUE_NAME_SIZE - 1), bytes, size);
}

void store_record(
	struct store *store, const void *key, size_t key_size, const void *value, size_t value_size)
{
	put(store, RECORD, key, key_size, value, value_size);
}

bool store_keeps(const struct store *store)
{
	return store->db && store->keeps && store->kept_bytes < LIMIT_RESUMED_BYTES;
}

int store_keep(struct store *store, const void *row, size_t size)
{
	size_t number = store->kept_number + 1;
	uint8_t key[8];
	int error;

	if (!store_keeps(store) || store->kept_bytes + size + KEPT_OVERHEAD > LIMIT_RESUMED_BYTES)
		return ERROR_FULL;
	for (unsigned i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
	error = put(store, KEPT, key, sizeof key, row, size);
	if (error)
		return error;
	store->kept_number = number;
	store->kept_bytes += size + KEPT_OVERHEAD;
	return ERROR_NONE;
}

size_t store_kept(const struct store *store)
{
	return store->kept_written;
}

void store_free(struct store *store)
{
	struct change *change, *next;

	if (!store)
		return;
	HASH_CLEAR(hh, store->waiting_by_key);
	DL_FOREACH_SAFE (store->waiting, change, next)
		free_change(change);
	close_file(store);
	memory_free(store);
}
