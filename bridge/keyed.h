/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keyed hash for tables that hold what peers choose (ids, connection ids), so
 * that nobody can aim at one bucket: for uthash's ..._BYHASHVALUE macros. Include it
 * instead of uthash.h: it also binds uthash to memory.h and to errors as values.
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
/* Chains of up to ten cost a lookup of what is not there (most messages are new) four times
 * as much as those that come about by this: 0.3 us instead of 0.8 among 160,000 ids. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

/* What was hashed before: each message is looked up under the same few ids again and again. */
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
/* Of one thread at a time: the memo changes, const or not. */
unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size);

#endif
