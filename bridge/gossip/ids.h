/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ids of messages that an overlay remembers, in the order in which they came: a million of them
 * are kept, so they are small. An id takes 48 bytes, in blocks that are filled one after the other and
 * freed likewise, and some 20 more in open-addressed tables of pointers (Concurrency Kit's ck_hs).
 *
 * No call takes long because there are a million ids: they are in tables of some thousands each, for
 * doubling a table is one step. Time must not go backwards. For one thread. Private to gossip/.
 */
#ifndef BRIDGE_GOSSIP_IDS_H
#define BRIDGE_GOSSIP_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../keyed.h"

/* The first ids are in one table, which is all that most overlays need. Ids that come while there are
 * IDS_FIRST of them go into one of IDS_SHARDS tables, chosen by their hash. */
#define IDS_FIRST  8192
#define IDS_SHARDS 128

/* About so many bytes of memory for each id. */
#define IDS_BYTES 72

struct ids_block;
struct ids_table;
struct content; /* cache.c's */

struct remembered {
	struct id id;
	uint32_t hash;	/* keyed */
	uint32_t added; /* ms, modulo 2^32 */
	struct content *content; /* NULL at first; the caller's */
};

struct ids {
	const struct keyed *keyed;
	size_t count;
	struct ids_table *first;  /* NULL: there is none */
	struct ids_table *shards; /* IDS_SHARDS tables; NULL: none is needed */
	struct ids_block *oldest, *youngest;
	uint64_t last;	    /* when the youngest was added, ms */
	unsigned forgotten; /* since the last table was renewed */
};

void ids_init(struct ids *ids, const struct keyed *keyed);

/* Remembers an id that is not known yet. now: ns. Returns it as it is remembered, at an address at
 * which it stays; NULL: no memory, and nothing has changed. */
struct remembered *ids_add(struct ids *ids, uint64_t now, const struct id *id);

/* Returns NULL if the id is not known. */
struct remembered *ids_find(const struct ids *ids, const struct id *id);

/* Returns the oldest id, or NULL if there is none. */
struct remembered *ids_oldest(const struct ids *ids);

/* Returns when an id was added: ns, rounded up to whole milliseconds. */
uint64_t ids_added(const struct ids *ids, const struct remembered *remembered);

/* Forgets the oldest id; there must be one. When none is left all memory is free. */
void ids_forget_oldest(struct ids *ids);

#endif
