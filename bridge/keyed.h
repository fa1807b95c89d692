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

struct keyed {
	uint8_t key[32];
};

void keyed_init(struct keyed *keyed, const struct random *random);
unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size);

#endif
