/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * State on disk. Which nodes were our neighbours in which overlay, and where they were to
 * be found, so that after a crash they are redialled without being configured. (An upstream
 * node does not redial one that has crashed.) And the owner's records, opaque here.
 *
 * SQLite in <state_dir>/p2panda.db, WAL, with a schema version. A file that is damaged,
 * foreign or newer is set aside with a line for the log and is never a reason not to start.
 * Writes go through libuv's thread pool, one after the other; what is known is also kept
 * in memory, bounded: LIMIT_REMEMBERED_PER_TOPIC, and LIMIT_REMEMBERED in all, the oldest
 * gives way.
 *
 * Threads: store_open may block and runs before the loop; the rest is the loop's thread.
 */
#ifndef BRIDGE_STORE_H
#define BRIDGE_STORE_H

#include <stddef.h>
#include <uv.h>

#include "address.h"
#include "id.h"
#include "limits.h"

#define STORE_REASON_SIZE 256

struct store;

/* Opens or makes the file and reads it; visit (may be NULL) is called for each of the
 * owner's records. dir NULL: memory only. When reason is not empty
 * afterwards, it is a line for the log about what could not be kept (the store still works,
 * in memory if need be). ERROR_NOMEM. */
typedef void store_record_visit(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size);
int store_open(const char *dir, uv_loop_t *loop, store_record_visit *visit, void *context,
	struct store **out, char reason[STORE_REASON_SIZE]);

/* The node is a neighbour in this overlay, to be found there. Fine to repeat. */
void store_remember(struct store *store, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count);

/* Calls back for every node remembered in this overlay. */
typedef void store_visit(
	void *context, const struct id *node, const struct address *addresses, size_t count);
void store_each(struct store *store, const struct id *topic, store_visit *visit, void *context);

/* Keeps a record of the owner's, or deletes it (value_size 0). */
void store_record(struct store *store, const void *key, size_t key_size, const void *value,
	size_t value_size);

/* When the loop has ended (its pending writes are part of the loop). NULL is fine. */
void store_free(struct store *store);

#endif
