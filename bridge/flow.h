/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is under way from one thread to another, by overlay: the giver puts parcels into a mailbox
 * (mailbox.h), the taker sorts them and takes them overlay by overlay in turns, so that none waits
 * behind all that another one has. Both see how much of an overlay is under way: the giver can
 * wait (node.c) before an overlay has more than its part, and the taker can let an overlay stand.
 *
 * Giver's and taker's functions belong to one thread each; the counts are atomic. A flow lives as
 * long as anything of it is under way, and a while longer.
 */
#ifndef BRIDGE_FLOW_H
#define BRIDGE_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id.h"
#include "keyed.h"
#include "mailbox.h"

/* One overlay's. */
struct flow {
	_Atomic size_t items, bytes; /* given, and not done with */
	_Atomic uint64_t done;	     /* items, ever: whether the taker gets on */
	/* The giver's. */
	struct id topic;
	UT_hash_handle hh;
	uint64_t seen_done;   /* what done was when it was looked at last */
	uint64_t seen_at;     /* and since when it is that (ns); 0: it was not looked at */
	_Atomic bool awaited; /* the giver wants to be told when it is low */
	/* The taker's. */
	struct mail *first, *last;
	struct flow *prev, *next; /* of the ring, or of those that stand */
	bool queued, standing;
	unsigned urgent; /* parcels in it that may not stand */
};

/* What is given: the first member of it. */
struct parcel {
	struct mail mail; /* first; bytes are set by the giver */
	struct flow *flow;
	bool urgent; /* it and what is before it in its flow go on in any case */
};

struct flows {
	size_t max_items, max_bytes; /* of all together */
	bool shared; /* one may have half of what the others leave, and no more */
	_Atomic size_t items, bytes;
	/* The giver's. */
	struct keyed keyed;
	struct flow *table, *newest;
	size_t prune_at;
	/* The taker's. */
	struct flow *ring, *stand;
	unsigned taken; /* of the first of the ring, in its turn */
	struct flow rest; /* what belongs to no overlay */
};

void flows_init(struct flows *flows, size_t max_items, size_t max_bytes, bool shared,
	const struct random *random);
/* Frees all flows. Nothing may be under way any more. */
void flows_clear(struct flows *flows);

/* ---- the giver ---- */

/* Returns the flow of this overlay (topic NULL: of what belongs to no overlay). NULL: no memory. */
struct flow *flows_of(struct flows *flows, const struct id *topic);
/* Counts a parcel in; false: there is no room for it (forced: there always is). */
bool flows_admit(struct flows *flows, struct parcel *parcel, struct flow *flow, bool forced);
/* Returns how much of what this flow may have is under way, in 256ths; more than 256 when parcels
 * were forced. */
unsigned flows_fill(const struct flows *flows, const struct flow *flow);
/* Tells whether so much is under way that the giver should wait until the flow is low. */
bool flow_is_high(const struct flow *flow);
bool flow_is_low(const struct flow *flow);
/* Returns for how long (ns) the taker has not got on with the flow, as far as was looked at. */
uint64_t flow_stands_for(struct flow *flow, uint64_t now);

/* ---- the taker ---- */

/* Sorts what came out of the mailbox in order, a list linked by next. */
void flows_put(struct flows *flows, struct mail *mail);
/* Returns the flow whose turn it is; NULL: nothing is left but in flows that stand. */
struct flow *flows_turn(struct flows *flows);
/* Takes its oldest parcel; flows_done when that is dealt with. */
struct parcel *flow_pop(struct flows *flows, struct flow *flow);
/* Notes that a parcel of the flow is dealt with. bytes: what the parcel counted. Returns true if
 * the giver has set awaited, and the flow is low now. Nothing may be done with the flow after its
 * last parcel. */
bool flows_done(struct flows *flows, struct flow *flow, size_t bytes);
/* Lets the flow stand, until it may go on or something urgent comes. */
void flow_stand(struct flows *flows, struct flow *flow);
void flow_go_on(struct flows *flows, struct flow *flow);

#endif
