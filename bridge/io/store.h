/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * State on disk: the address book, row by row (which nodes are known and where they are to
 * be found, so that after a crash they are redialled without being configured; an upstream
 * node does not redial one that has crashed), the owner's records, and a few values of the
 * node itself. All of these are bytes here: who hands them in knows what they mean.
 *
 * SQLite in <state_dir>/p2panda.db, WAL, with a schema version. A file that is damaged,
 * foreign or newer is set aside with a line for the log and is never a reason not to start.
 * Nothing of the file is kept in memory. Writes go through libuv's thread pool, one batch after the
 * other, each in one transaction; of several writes of the same thing that wait the last one
 * counts.
 *
 * Threads: store_open may block and runs before the loop; the rest is the loop's thread.
 */
#ifndef BRIDGE_IO_STORE_H
#define BRIDGE_IO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "../address.h"
#include "../id.h"
#include "../limits.h"

#define STORE_REASON_SIZE     256
#define STORE_VALUE_NAME_SIZE 32 /* with the closing zero */

/* What it means that a file is not there, for a log. */
#define STORE_FORGOTTEN \
	"what sessions that are offline have subscribed is joined when they are back"

struct store;

/* Who is told how writing goes. */
struct store_owner {
	void *context;
	/* A write has failed, and is tried again, but for lost rows: too many waited. Or a write
	 * has succeeded after failures: failure is NULL. On the loop's thread. */
	void (*wrote)(void *context, const char *failure, size_t lost);
};

/* What is in the file, called within store_open; each may be NULL. The bytes are valid during
 * the call, and are somebody's bytes. */
struct store_visitor {
	void *context;
	/* The owner's records. */
	void (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	/* Values of the node itself. */
	void (*value)(void *context, const char *name, const void *bytes, size_t size);
	/* Rows of the address book, at most LIMIT_NODES, the one that was written longest ago
	 * first. */
	void (*node)(void *context, const struct id *node, const uint8_t *row, size_t size);
	/* What store_keep has kept, in order; forgotten with that. */
	void (*kept)(void *context, const void *row, size_t size);
	/* What version 1 has kept: node was a neighbour in that overlay, to be found at these
	 * addresses, the one that worked last first. Comes before the rows, and again at each
	 * start until a row of that node is put or deleted: nothing is lost on the way. */
	void (*neighbour)(void *context, const struct id *topic, const struct id *node,
		const struct address *addresses, size_t count);
};

/* Opens or makes the file and reads it; visitor and owner may be NULL, and so may dir: then nothing
 * is kept. *anew: there was no such file, or an empty one. When reason is not empty afterwards, it
 * is a line for the log about what could not be kept (the store still works, without keeping
 * anything if need be). ERROR_NOMEM. */
int store_open(const char *dir, uv_loop_t *loop, const struct store_visitor *visitor,
	const struct store_owner *owner, struct store **out, bool *anew,
	char reason[STORE_REASON_SIZE]);

/* Returns when store_tick is wanted for what could not be written, by uv_hrtime; UINT64_MAX:
 * never. */
uint64_t store_deadline(const struct store *store);
void store_tick(struct store *store);
/* Tries once more to write what waits, without waiting for the time of the next try: the end
 * comes. */
void store_write_now(struct store *store);

/* Keeps a row of the address book, which is copied. ERROR_FULL (more than LIMIT_STORE_WAITING_BYTES
 * of rows wait for the disk already), ERROR_NOMEM; then the row is as it was before. */
int store_put_node(struct store *store, const struct id *node, const uint8_t *row, size_t size);
/* Deletes a row of the address book. Errors as store_put_node. */
int store_delete_node(struct store *store, const struct id *node);
/* Tells whether a row of any size is taken now. If not, let the rows wait in the book, where each
 * node has only one. */
bool store_has_room(const struct store *store);

/* Keeps a value under a name of less than STORE_VALUE_NAME_SIZE, or deletes it (size 0). */
void store_put_value(struct store *store, const char *name, const void *bytes, size_t size);

/* Keeps a record of the owner's, or deletes it (value_size 0). */
void store_record(struct store *store, const void *key, size_t key_size, const void *value,
	size_t value_size);

/* Keeps something for the next start, behind what was kept before; at the end only. Returns 0,
 * ERROR_FULL (more than LIMIT_RESUMED_BYTES, or nothing is kept at all) or ERROR_NOMEM. */
int store_keep(struct store *store, const void *row, size_t size);
/* Tells whether store_keep may take something. */
bool store_keeps(const struct store *store);
/* Returns how many rows that store_keep has taken are written. */
size_t store_kept(const struct store *store);

/* Frees the store, when the loop has ended (pending writes are part of the loop). NULL is fine. */
void store_free(struct store *store);

#endif
