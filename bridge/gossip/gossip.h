/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Gossip: the whole of iroh-gossip 0.98 (wire "/iroh-gossip/1") for all overlays
 * of one node, without any IO. HyParView (DSN 2007) keeps the views, PlumTree
 * (SRDS 2007) broadcasts along them.
 *
 * The caller feeds what happened, together with the time, and then takes effects
 * with gossip_effect until there is none. Timers are inside: gossip_deadline
 * says when gossip_tick is wanted next.
 *
 * Times are monotonic nanoseconds. One thread. Behaviour: n0-computer/iroh-gossip
 * v0.98.0 src/proto/{state,topic,hyparview,plumtree}.rs; what is done better than
 * there is said where it is done.
 */
#ifndef BRIDGE_GOSSIP_GOSSIP_H
#define BRIDGE_GOSSIP_GOSSIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../counters.h"
#include "../id.h"
#include "../limits.h"
#include "../message.h"
#include "../random.h"
#include "../relay_url.h"

struct gossip;

struct gossip_config {
	struct id me;
	struct random random;	   /* must outlive the gossip */
	struct counters *counters; /* likewise */
	size_t max_overlays;
	size_t cache_bytes; /* content kept for GRAFT, over all overlays */
	/* Whether an id can be a node's at all (identity_is_node); NULL: any can.
	 * Upstream ends a stream on which it reads one that cannot, so passing one on
	 * would cost us our neighbours. */
	bool (*is_key)(const struct id *id);
};

enum gossip_effect_type {
	/* Put frame onto the stream to peer for topic; the receiver of the effect
	 * owns the frame now. last: finish the stream after it (a Disconnect). */
	GOSSIP_SEND,
	/* A message arrived for the application; the receiver owns one reference. */
	GOSSIP_DELIVER,
	GOSSIP_NEIGHBOUR_UP,
	GOSSIP_NEIGHBOUR_DOWN,
	/* A gossip_probe has led to peer, and nobody on the way has named anybody that this
	 * overlay knows: it belongs to a part that ours does not reach. */
	GOSSIP_APART,
	/* This overlay does not need the link to peer any more (upstream:
	 * DisconnectPeer, but for one overlay only: the others stay untouched). */
	GOSSIP_RELEASE,
	/* Hearsay: somebody says that peer is to be found at these addresses, and at this relay. */
	GOSSIP_PEER_ADDRESSES,
};

struct gossip_effect {
	enum gossip_effect_type type;
	struct id peer;	 /* all; for DELIVER the neighbour it came from */
	struct id topic; /* all but PEER_ADDRESSES */
	struct frame *frame;
	bool last;
	struct message *message;
	struct id source; /* PEER_ADDRESSES: the neighbour that said it */
	size_t addresses_count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t relay_size; /* 0: none */
	char relay[RELAY_URL_SIZE]; /* the URL of a relay at which it is to be found, too; as it came */
};

/* ERROR_NOMEM. */
int gossip_new(const struct gossip_config *config, struct gossip **out);
/* Without any farewell: call gossip_leave for that. NULL is fine. */
void gossip_free(struct gossip *gossip);

/* Begins to take part in an overlay. Fine if already joined. ERROR_LIMIT
 * (max_overlays), ERROR_NOMEM. */
int gossip_join(struct gossip *gossip, uint64_t now, const struct id *topic);

/* Says farewell to every neighbour (ShuffleReply, Disconnect) and forgets the
 * overlay. ERROR_NOT_JOINED. */
int gossip_leave(struct gossip *gossip, uint64_t now, const struct id *topic);

/* Asks peer to become a neighbour: Neighbor(High), then Join. A Join alone is not
 * always answered (an upstream node stays silent while the joiner is in its
 * pending set, hyparview.rs:746); Neighbor first always is. The caller repeats it
 * with backoff until GOSSIP_NEIGHBOUR_UP comes. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_ask(struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Asks peer, which may belong to a part of the overlay that ours does not reach, to become a
 * neighbour: Neighbor(High) without a Join. It always accepts, so each end may lose a neighbour
 * for it, and nobody else is concerned. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_merge(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Asks peer, which is said to take part in the overlay, for nodes that it knows there (a Shuffle
 * that goes no further), then one of those, and so on. GOSSIP_APART may follow; nothing changes
 * by it. One at a time: a further one takes the place of one that was not answered.
 * ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_probe(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Tells the overlay of a node that is said to take part in it: it enters the passive view if
 * there is a place, and is asked with Neighbor(Low) if the active view has one (or was asked
 * before, and may have room now). It is not passed on in Shuffles before the overlay has spoken
 * of it, too. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_offer(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Reminds a neighbour that it is one: Neighbor(High), whose answer is not answered. For
 * when it may have lost us without our noticing. Not a neighbour: nothing happens.
 * ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_remind(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Broadcasts (scope Swarm). The message is referenced as long as it is needed.
 * *neighbours (may be NULL) = to how many it was pushed at once. ERROR_NOT_JOINED,
 * ERROR_TOO_LARGE, ERROR_REPEATED (id known for 90 s), ERROR_NOMEM. */
int gossip_publish(struct gossip *gossip, uint64_t now, const struct id *topic,
	struct message *message, size_t *neighbours);

/* One frame body (without the length) that came from peer on a stream whose header
 * named topic. Malformed ones are counted and ERROR_INVALID or ERROR_TRUNCATED is
 * returned: the caller ends that stream. A topic that is not joined: silently 0. */
int gossip_receive(struct gossip *gossip, uint64_t now, const struct id *peer,
	const struct id *topic, const uint8_t *body, size_t size);

/* The last connection to peer has ended, perhaps to come back: what it was asked may have gone with
 * it, so that its next Neighbor is no answer. */
void gossip_link_down(struct gossip *gossip, uint64_t now, const struct id *peer);

/* There has been no connection to peer for a while: it is gone for every overlay. */
void gossip_peer_lost(struct gossip *gossip, uint64_t now, const struct id *peer);

/* What we tell about ourselves in Join, Neighbor and Shuffle. Addresses beyond
 * LIMIT_ADDRESSES_PER_NODE are left out. ERROR_NOMEM. */
int gossip_set_addresses(struct gossip *gossip, const struct relay_url *relay,
	const struct address *addresses, size_t count);

/* When gossip_tick is wanted; UINT64_MAX for never. */
uint64_t gossip_deadline(const struct gossip *gossip);
/* Does all that is due. */
void gossip_tick(struct gossip *gossip, uint64_t now);
/* Does some of it, longest due first, and takes well below a millisecond: for those who have
 * other things to do in between. */
void gossip_step(struct gossip *gossip, uint64_t now);

/* Takes the next effect, oldest first; false when there is none. */
bool gossip_effect(struct gossip *gossip, struct gossip_effect *out);

/* For status and for those who ask for neighbours. */
bool gossip_is_joined(const struct gossip *gossip, const struct id *topic);
size_t gossip_neighbours(const struct gossip *gossip, const struct id *topic);
bool gossip_is_neighbour(
	const struct gossip *gossip, const struct id *topic, const struct id *peer);
/* Whether the overlay itself has told us of peer, lately: then it belongs to the same part. */
bool gossip_knows(const struct gossip *gossip, const struct id *topic, const struct id *peer);
size_t gossip_overlays(const struct gossip *gossip);

#endif
