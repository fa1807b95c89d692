/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The messages an overlay has seen: their ids for 90 s, so that none is delivered
 * twice, and their content for 30 s, so that a GRAFT can be answered (PlumTree's
 * caches; the times are upstream's, src/proto/plumtree.rs).
 *
 * Both times are constant, so the oldest entry is always the first to go: no heap.
 * The content of all overlays shares one budget of bytes; when it is used up the
 * oldest content of any overlay gives way early, which is counted. Their ids share one
 * budget likewise; there the oldest of the overlay that holds most gives way, so that a
 * busy one does not make quiet ones forget.
 *
 * No call but cache_clear takes long because there are a million ids: they are in tables of
 * some thousands each, as doubling a table is one step, and are forgotten in slices.
 * Time must not go backwards.
 */
#ifndef BRIDGE_GOSSIP_CACHE_H
#define BRIDGE_GOSSIP_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../counters.h"
#include "../id.h"
#include "../keyed.h"
#include "../message.h"

#define CACHE_ID_NS	 UINT64_C(90000000000)
#define CACHE_CONTENT_NS UINT64_C(30000000000)
/* What is due is removed up to this much later, so that one wake-up a second is
 * enough; upstream's eviction interval. */
#define CACHE_EVICT_NS UINT64_C(1000000000)
/* At most so many at a time (0.1 to 0.3 us each), and the next ones so much later. */
#define CACHE_EVICT_MOST 1024
#define CACHE_AGAIN_NS	 UINT64_C(1000000)

/* The first ids of an overlay are in one table, which is all that most overlays need; those
 * that come while there are CACHE_FIRST of them in one of CACHE_SHARDS, by their hash. */
#define CACHE_FIRST  8192
#define CACHE_SHARDS 128

/* Overlays are ranked by how many ids they hold, four ranks to each doubling: which of them
 * holds most is known to a fourth part, at the price of a step on one list now and then. */
#define CACHE_RANKS 128

struct cache;
struct cache_entry;

/* Shared by all overlays of a node. */
struct contents {
	struct cache_entry *oldest; /* a list, oldest first */
	uint64_t again;		    /* when the next slice is removed; UINT64_MAX: none is due */
	size_t bytes;
	size_t limit;
	struct counters *counters;
};

/* Likewise. */
struct census {
	size_t ids; /* in all overlays, those included that were left and are not freed yet */
	size_t limit;
	struct cache *ranks[CACHE_RANKS]; /* lists */
};

struct cache {
	struct cache_entry *first;   /* a table by id */
	struct cache_entry **shards; /* CACHE_SHARDS more; NULL: none is needed */
	size_t count;		     /* in all tables */
	struct cache_entry *oldest, *youngest; /* in order of insertion */
	uint64_t again;			       /* as above */
	struct contents *contents;
	struct census *census;
	const struct keyed *keyed;
	unsigned rank;		   /* on which list; 0: none, there are no ids */
	struct cache *prev, *next; /* there */
};

void contents_init(struct contents *contents, size_t limit, struct counters *counters);
uint64_t contents_deadline(const struct contents *contents);
void contents_evict(struct contents *contents, uint64_t now);

/* limit: ids; LIMIT_RECEIVED_IDS. */
void census_init(struct census *census, size_t limit);

/* Must stay where it is while there are ids in it. */
void cache_init(struct cache *cache, struct contents *contents, struct census *census,
	const struct keyed *keyed);
void cache_clear(struct cache *cache);
/* The same in slices: at most so many now, by which *allowance is lessened. Whether none is
 * left. */
bool cache_clear_some(struct cache *cache, size_t *allowance);

/* Remembers an id that is not known yet, and a reference to its message with the
 * round at which it is sent on; message may be NULL for the id alone. When that is one
 * id too many over all overlays, another one is forgotten. ERROR_NOMEM. */
int cache_add(struct cache *cache, uint64_t now, const struct id *id, struct message *message,
	uint16_t round);

bool cache_knows(const struct cache *cache, const struct id *id);

/* The message, if it is still here (no reference is taken); NULL otherwise. */
struct message *cache_content(const struct cache *cache, const struct id *id, uint16_t *round);

/* When cache_evict is wanted; UINT64_MAX for never. */
uint64_t cache_deadline(const struct cache *cache);
void cache_evict(struct cache *cache, uint64_t now);

#endif
