/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * PlumTree (Leitao, Pereira, Rodrigues: Epidemic Broadcast Trees, SRDS 2007) for one
 * overlay, as iroh-gossip v0.98.0 src/proto/plumtree.rs speaks it. Private to gossip/.
 *
 * Better than there: only members of the active view are eager or lazy peers, so
 * that whoever sends a duplicate does not stay for ever; an announcement by anybody
 * else is ignored; everything is bounded; timers run only while there is work. Fewer
 * copies: nobody is sent what it has announced, a GRAFT has time to be answered, not all
 * neighbours are eager from the beginning. And the tree becomes faster: who announces a
 * message well before it comes is preferred to who pushes it (docs/simulation.md).
 */
#ifndef BRIDGE_GOSSIP_BROADCAST_H
#define BRIDGE_GOSSIP_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "core.h"
#include "wire.h"

/* One member of the active view. */
struct neighbour {
	bool used;
	bool eager; /* else lazy */
	struct id id;
	struct id expected; /* a copy of this message is under way from it */
	struct wire_ihave *queue; /* what the next dispatch announces to it */
	size_t queued;
	size_t room;
};

struct missing; /* announced to us, not received yet */

struct broadcast {
	struct core *core;
	struct id topic;
	struct neighbour neighbours[LIMIT_ACTIVE_VIEW];
	struct cache cache;
	struct missing *missing; /* by id */
	struct missing *waiting; /* the same, oldest first: they wait equally long */
	uint64_t settled_at; /* the tree is not made faster before */
	uint64_t dispatch_at;	   /* UINT64_MAX: nothing is queued */
};

void broadcast_init(struct broadcast *broadcast, struct core *core, const struct id *topic);
void broadcast_clear(struct broadcast *broadcast);
/* The same in slices, as cache_clear_some. Only for this until then. */
bool broadcast_clear_some(struct broadcast *broadcast, size_t *allowance);

/* From the peer sampling service: the active view has gained or lost a member. */
void broadcast_neighbour_up(struct broadcast *broadcast, const struct id *peer);
void broadcast_neighbour_down(struct broadcast *broadcast, const struct id *peer);

/* WIRE_GOSSIP, WIRE_PRUNE, WIRE_GRAFT, WIRE_IHAVE. Errors go to core->effects. */
void broadcast_receive(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *message);

/* As gossip_publish. After an error nothing has been recorded. */
int broadcast_publish(
	struct broadcast *broadcast, uint64_t now, struct message *message, size_t *neighbours);

uint64_t broadcast_deadline(const struct broadcast *broadcast);
void broadcast_tick(struct broadcast *broadcast, uint64_t now);

#endif
