/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * HyParView (Leitao, Pereira, Rodrigues: a membership protocol for reliable gossip-based broadcast,
 * DSN 2007) for one overlay, as iroh-gossip v0.98.0 src/proto/hyparview.rs speaks it. Private to
 * gossip/.
 *
 * Better than upstream (hyparview.rs:599, :746): a neighbour request is settled when its peer
 * enters the active view, and expires wherever it was sent, so that a peer that crashed and came
 * back is answered, and refilling does not stall. The data of a peer is forgotten when the peer
 * leaves both views. We are never a member of our own views. When a peer refuses a request, the
 * next one is asked, so that the active view is full soon; but no more than MEMBERSHIP_REFILLS
 * peers are asked after a neighbour has gone and one after each Shuffle, so that asking ends where
 * nobody has room. Shuffles are more frequent at first, so that the passive view is filled soon. Of
 * a crowd that comes at once the passive view keeps an even sample.
 */
#ifndef BRIDGE_GOSSIP_MEMBERSHIP_H
#define BRIDGE_GOSSIP_MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broadcast.h"
#include "core.h"
#include "wire.h"

/* Peers outside both views that we have asked to become neighbours, at a time. */
#define MEMBERSHIP_STRANGERS 16
#define MEMBERSHIP_REFILLS   10
#define MEMBERSHIP_MEMBERS   (LIMIT_ACTIVE_VIEW + LIMIT_PASSIVE_VIEW + MEMBERSHIP_STRANGERS)

/* Former neighbours that are remembered for a moment, to tell a late message from a new request. */
#define MEMBERSHIP_PARTED 16

enum member_view {
	MEMBER_FREE,	 /* an unused place */
	MEMBER_STRANGER, /* in no view, only asked */
	MEMBER_PASSIVE,
	MEMBER_ACTIVE,
};

struct member {
	enum member_view view;
	/* We sent a Neighbor at asked_at, and the next Neighbor of this member is the answer. */
	bool asked;
	/* The member said that it lives on without us: losing the connection to it once does not
	 * remove it from the passive view. */
	bool alive;
	/* Passive: the member had no room for us when we last knew; it is not asked again until
	 * there is a reason to. */
	bool full;
	/* The overlay itself has told us of the member, so it is in our part of the overlay;
	 * otherwise only the address book has. */
	bool told;
	uint64_t asked_at;
	struct id id;
	struct wire_data data; /* what the member told about itself; owned */
};

struct parting {
	struct id peer;
	uint64_t at; /* 0: an unused place */
};

struct membership {
	struct core *core;
	struct broadcast *broadcast; /* is told of neighbours that come and go */
	struct id topic;
	struct member members[MEMBERSHIP_MEMBERS];
	size_t active;
	size_t passive;
	uint64_t shuffle_at; /* UINT64_MAX: nobody to shuffle with */
	uint64_t shuffle_interval;
	unsigned refills; /* how many members may still be asked with Low */
	uint32_t crowd; /* nodes that came when the passive view was full, since our last Shuffle */
	bool shuffled;	     /* the answer to our last Shuffle has not come */
	bool probing;	     /* the answer to the probe of the node probed has not come */
	struct id probed;
	unsigned probes_left; /* nodes that this probe still has to ask */
	struct parting partings[MEMBERSHIP_PARTED]; /* a ring */
	unsigned next_parting;
	uint64_t deadline;
};

void membership_init(struct membership *membership, struct core *core, struct broadcast *broadcast,
	const struct id *topic);
void membership_clear(struct membership *membership);

/* Handles a message of a type from WIRE_JOIN to WIRE_DISCONNECT; the message is changed if it is
 * sent on. Errors go to core->effects. */
void membership_receive(struct membership *membership, uint64_t now, const struct id *from,
	struct wire_message *message);
void membership_ask(struct membership *membership, uint64_t now, const struct id *peer);
void membership_merge(struct membership *membership, uint64_t now, const struct id *peer);
void membership_probe(struct membership *membership, const struct id *peer);
void membership_offer(struct membership *membership, uint64_t now, const struct id *peer);
void membership_remind(struct membership *membership, uint64_t now, const struct id *peer);
void membership_link_down(struct membership *membership, uint64_t now, const struct id *peer);
void membership_peer_lost(struct membership *membership, uint64_t now, const struct id *peer);
/* Says farewell to all neighbours; afterwards call membership_clear. */
void membership_leave(struct membership *membership);

/* Tells whether the overlay itself has told us of peer: a member named it, or it is or was a
 * neighbour. An offer or a question to peer does not count. */
bool membership_knows(const struct membership *membership, const struct id *peer);
bool membership_is_active(const struct membership *membership, const struct id *peer);

uint64_t membership_deadline(const struct membership *membership);
void membership_tick(struct membership *membership, uint64_t now);

#endif
