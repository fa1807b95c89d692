/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The messages that an overlay has seen: their ids for 90 s, so that no message is delivered twice,
 * and their content for 30 s, so that a GRAFT can be answered (PlumTree's caches; the times are
 * upstream's, src/proto/plumtree.rs).
 *
 * Both times are constant, so the oldest is always the first to go: no heap is needed. The
 * content of all overlays shares one budget of bytes; when it is used up the oldest content of any
 * overlay is dropped early, which is counted. The ids of all overlays share one budget likewise;
 * there the oldest id of the overlay that holds most ids is dropped, so that a busy overlay does
 * not make quiet ones forget.
 *
 * No call but cache_clear takes long because there are a million ids (ids.h): they are forgotten in
 * slices. Time must not go backwards.
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
#include "ids.h"

#define CACHE_ID_NS	 UINT64_C(90000000000)
#define CACHE_CONTENT_NS UINT64_C(30000000000)
/* What is due is removed up to this much later, so that one wake-up a second is enough;
 * upstream's eviction interval. */
#define CACHE_EVICT_NS UINT64_C(1000000000)
/* At most so many ids or contents are removed at a time (0.1 to 0.3 us each), and the next ones so much
 * later. */
#define CACHE_EVICT_MOST 1024
#define CACHE_AGAIN_NS	 UINT64_C(1000000)

/* Overlays are ranked by how many ids they hold, four ranks to each doubling. So the overlay that
 * holds most is known to within a quarter, at the price of a step on one list now and then. */
#define CACHE_RANKS 128

struct cache;
struct content; /* a message that can be sent again */

/* The contents that all overlays of a node share. */
struct contents {
	struct content *oldest; /* a list, oldest first */
	uint64_t again;		/* when the next slice is removed; UINT64_MAX: none is due */
	size_t bytes;
	size_t limit;
	struct counters *counters;
};

/* The number of ids of all overlays of a node, and which overlays hold most. */
struct census {
	size_t ids; /* in all overlays, those included that were left and are not freed yet */
	size_t limit;
	struct cache *ranks[CACHE_RANKS]; /* lists */
};

struct cache {
	struct ids ids;
	uint64_t again; /* see contents.again */
	struct contents *contents;
	struct census *census;
	const struct keyed *keyed;
	unsigned rank;		   /* index in census.ranks; 0: on no list, for there are no ids */
	struct cache *prev, *next; /* on that list */
};

void contents_init(struct contents *contents, size_t limit, struct counters *counters);
uint64_t contents_deadline(const struct contents *contents);
void contents_evict(struct contents *contents, uint64_t now);

/* Sets up an empty census. limit: ids in all; LIMIT_RECEIVED_IDS. */
void census_init(struct census *census, size_t limit);
/* Returns about how many bytes of memory the ids of all overlays take. */
size_t census_bytes(const struct census *census);

/* Sets up an empty cache, which must stay at its address while there are ids in it. */
void cache_init(struct cache *cache, struct contents *contents, struct census *census,
	const struct keyed *keyed);
/* Frees all at once; only tests call it (overlays are freed step by step). */
void cache_clear(struct cache *cache);
/* Clears a cache in slices: forgets at most *allowance ids, and lessens *allowance by as many
 * as were forgotten. Returns whether the cache is empty. */
bool cache_clear_some(struct cache *cache, size_t *allowance);

/* Remembers an id that is not known yet, and a reference to its message with the round at which the
 * message is sent on; message may be NULL for the id alone. If there is one id too many over all
 * overlays then, the oldest id of the overlay with most ids is forgotten. ERROR_NOMEM. */
int cache_add(struct cache *cache, uint64_t now, const struct id *id, struct message *message,
	uint16_t round);

bool cache_knows(const struct cache *cache, const struct id *id);

/* Returns the message with this id, if its content is still kept (no reference is taken); NULL
 * otherwise. */
struct message *cache_content(const struct cache *cache, const struct id *id, uint16_t *round);

/* Returns when cache_evict has to be called; UINT64_MAX for never. */
uint64_t cache_deadline(const struct cache *cache);
void cache_evict(struct cache *cache, uint64_t now);

#endif
