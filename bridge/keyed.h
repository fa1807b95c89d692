/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keyed hash for tables whose keys are chosen by peers (ids, connection ids), so that nobody
 * can aim at one bucket: for uthash's ..._BYHASHVALUE macros. Include this header instead of
 * uthash.h: it also binds uthash to memory.h and to errors as values.
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

/* Hashes that are remembered: each message is looked up under the same few ids again and again. */
#define KEYED_MEMO 64

struct keyed {
	uint8_t key[32];
	struct {
		uint8_t data[32];
		size_t size; /* 0: unused */
		unsigned hash;
	} memo[KEYED_MEMO];
};

void keyed_init(struct keyed *keyed, const struct random *random);
/* Returns the hash of data under this key. By one thread at a time: the memo changes although keyed
 * is const. */
unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size);

#endif
