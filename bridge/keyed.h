/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keyed hash for tables whose keys are chosen by peers (ids, connection ids), so that nobody
 * can aim at one bucket: for uthash's ..._BYHASHVALUE macros. Include this header instead of
 * uthash.h: it also binds uthash to memory.h and to errors as values.
 *
 * It is XXH3 with a random secret, of which nobody sees a hash. (A cryptographic hash of 32 bytes
 * costs ten times as much, and a message is looked up a dozen times.)
 */
#ifndef BRIDGE_KEYED_H
#define BRIDGE_KEYED_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "random.h"

#define uthash_malloc(size)	  memory_alloc(size)
#define uthash_free(block, size)  memory_free(block)
#define HASH_NONFATAL_OOM	  1
#define uthash_nonfatal_oom(item) ((void)(item))
#include <uthash.h>
/* The length of a chain from which uthash adds buckets. With its default, ten, a lookup of a key
 * that is not in the table (most messages are new) costs more: 0.8 us instead of 0.3 us among
 * 160,000 ids. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

#define KEYED_SECRET 192

struct keyed {
	uint8_t secret[KEYED_SECRET];
};

void keyed_init(struct keyed *keyed, const struct random *random);
/* Returns the hash of data under this key. */
unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size);

#endif
