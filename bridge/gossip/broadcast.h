/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * PlumTree (Leitao, Pereira, Rodrigues: Epidemic Broadcast Trees, SRDS 2007) for one overlay, as
 * iroh-gossip v0.98.0 src/proto/plumtree.rs speaks it. Private to gossip/.
 *
 * Better than upstream: only members of the active view are eager or lazy peers, so that a node
 * that sends a duplicate does not stay in the tree for ever; an announcement by any other node is
 * ignored; everything is bounded; timers run only while there is work. Fewer copies: no neighbour
 * is sent a message that it has announced, a GRAFT has time to be answered, not all neighbours are
 * eager from the beginning. And the tree becomes faster: a neighbour that announces a message well
 * before the message arrives is preferred to the one that pushes the message (docs/simulation.md).
 * And it stays whole in bursts: the last neighbour that pushes is kept, what is on its way is not
 * asked for, and what a slow neighbour is not sent is announced to it.
 */
#ifndef BRIDGE_GOSSIP_BROADCAST_H
#define BRIDGE_GOSSIP_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "core.h"
#include "missing.h"
#include "wire.h"

/* One member of the active view. */
struct neighbour {
	bool used;
	bool eager; /* else lazy */
	struct id id;
	uint64_t changed_at; /* when it became eager or lazy; 0: it is as it began */
	struct id expected; /* a copy of this message is under way from this neighbour */
	struct wire_ihave *queue; /* the next dispatch announces these to this neighbour */
	size_t queued;
	size_t room;
};

struct broadcast {
	struct core *core;
	struct id topic;
	struct neighbour neighbours[LIMIT_ACTIVE_VIEW];
	struct cache cache;
	struct missing_list missing;
	uint64_t settled_at; /* the tree is not made faster before this time */
	/* New messages, to know a burst. */
	uint64_t window_at, burst_until;
	unsigned window_messages;
	uint64_t dispatch_at;	   /* UINT64_MAX: nothing is queued */
};

void broadcast_init(struct broadcast *broadcast, struct core *core, const struct id *topic);
/* Frees all at once; only tests call it (overlays are freed step by step). */
void broadcast_clear(struct broadcast *broadcast);
/* Clears in slices, as cache_clear_some does. Until nothing is left only this may be called. */
bool broadcast_clear_some(struct broadcast *broadcast, size_t *allowance);

/* Reports from the peer sampling service that the active view has gained or lost a member. */
void broadcast_neighbour_up(struct broadcast *broadcast, const struct id *peer);
void broadcast_neighbour_down(struct broadcast *broadcast, const struct id *peer);

/* Handles a message of type WIRE_GOSSIP, WIRE_PRUNE, WIRE_GRAFT or WIRE_IHAVE. Errors go to
 * core->effects. */
void broadcast_receive(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *message);

/* Publishes a message, see gossip_publish. After an error nothing has been recorded. */
int broadcast_publish(
	struct broadcast *broadcast, uint64_t now, struct message *message, size_t *neighbours);

/* Announces a message, whose content is still kept, to a neighbour to which it could not be pushed. */
void broadcast_refused(
	struct broadcast *broadcast, uint64_t now, const struct id *peer, const struct id *id);

/* Lists the eager neighbours; returns how many. */
size_t broadcast_eager(const struct broadcast *broadcast, struct id out[LIMIT_ACTIVE_VIEW]);

uint64_t broadcast_deadline(const struct broadcast *broadcast);
void broadcast_tick(struct broadcast *broadcast, uint64_t now);

#endif
