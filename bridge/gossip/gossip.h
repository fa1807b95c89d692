/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Gossip: the whole of iroh-gossip 0.98 (wire "/iroh-gossip/1") for all overlays of one node,
 * without any IO. HyParView (DSN 2007) keeps the views, PlumTree (SRDS 2007) broadcasts along them.
 *
 * The caller reports what has happened, together with the time, and then takes effects with
 * gossip_effect until there are none. Timers are inside: gossip_deadline says when gossip_step has
 * to be called next.
 *
 * Times are monotonic nanoseconds. One thread. Behaviour: n0-computer/iroh-gossip v0.98.0
 * src/proto/{state,topic,hyparview,plumtree}.rs; where we do better than upstream, the code says so
 * at that place.
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
	struct counters *counters; /* must outlive the gossip */
	size_t max_overlays;
	size_t cache_bytes; /* content kept for GRAFT, over all overlays */
	/* Tells whether an id can be a node's at all (identity_is_node); NULL: any id can. Upstream
	 * ends a stream on which it reads an id that cannot, so passing such an id on would cost us
	 * our neighbours. */
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
	/* A gossip_probe has led to peer, and nobody on the way has named a node that this overlay
	 * knows: peer belongs to a part of the overlay that ours does not reach. */
	GOSSIP_APART,
	/* This overlay does not need the link to peer any more (upstream: DisconnectPeer, but for
	 * one overlay only: the other overlays are not concerned). */
	GOSSIP_RELEASE,
	/* Hearsay: another node (source) says that peer can be reached at these addresses, and at
	 * this relay. */
	GOSSIP_PEER_ADDRESSES,
};

/* Why a node is no neighbour any more. */
enum gossip_down {
	GOSSIP_DOWN_LOST,	 /* there has been no connection to the node for a while */
	GOSSIP_DOWN_LEFT,	 /* the node has left the overlay, and said so */
	GOSSIP_DOWN_TURNED_AWAY, /* the node has dropped us for another neighbour */
	GOSSIP_DOWN_GAVE_WAY,	 /* we have dropped the node for another neighbour */
};

struct gossip_effect {
	enum gossip_effect_type type;
	enum gossip_down down; /* NEIGHBOUR_DOWN */
	struct id peer;	 /* all; for DELIVER the neighbour that sent the message */
	struct id topic; /* all but PEER_ADDRESSES */
	struct frame *frame;
	bool last;
	struct message *message;
	struct id source; /* PEER_ADDRESSES: the neighbour that said so */
	size_t addresses_count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t relay_size; /* 0: none */
	char relay[RELAY_URL_SIZE]; /* the URL of a relay of peer, as it came */
};

/* Makes a gossip without overlays. ERROR_NOMEM. */
int gossip_new(const struct gossip_config *config, struct gossip **out);
/* Frees a gossip without any farewell: call gossip_leave for that. NULL is fine. */
void gossip_free(struct gossip *gossip);

/* Begins to take part in an overlay; joining twice is fine. ERROR_LIMIT (max_overlays),
 * ERROR_NOMEM. */
int gossip_join(struct gossip *gossip, uint64_t now, const struct id *topic);

/* Says farewell to every neighbour (ShuffleReply, Disconnect) and forgets the
 * overlay. ERROR_NOT_JOINED. */
int gossip_leave(struct gossip *gossip, uint64_t now, const struct id *topic);

/* Asks peer to become a neighbour: Neighbor(High), then Join. A Join alone is not always answered
 * (an upstream node stays silent while the joiner is in its pending set, hyparview.rs:746); a
 * Neighbor before the Join always is. The caller asks again with backoff until GOSSIP_NEIGHBOUR_UP
 * comes. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_ask(struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Asks peer, which may belong to a part of the overlay that ours does not reach, to become a
 * neighbour: Neighbor(High) without a Join. peer always accepts, so each end may lose a neighbour
 * for the new one; no other node is concerned. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_merge(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Asks peer, which is said to take part in the overlay, for nodes that it knows there (a Shuffle
 * that goes no further), then asks one of those nodes, and so on. GOSSIP_APART may follow; a probe
 * changes nothing else. One probe at a time: a further one takes the place of one that was not
 * answered. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_probe(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Tells the overlay of a node that is said to take part in it: the node enters the passive view if
 * there is a place, and is asked with Neighbor(Low) if the active view has a place (also if the
 * node was asked before: it may have room now). The node is not passed on in Shuffles before the
 * overlay has named it, too. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_offer(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Reminds a neighbour that it is our neighbour: sends a Neighbor(High), whose answer is not
 * answered. To be used when the neighbour may have lost us without our noticing. Does nothing if
 * peer is no neighbour. ERROR_NOT_JOINED, ERROR_NOMEM. */
int gossip_remind(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer);

/* Broadcasts a message (scope Swarm). The message is referenced as long as it is needed.
 * *neighbours (may be NULL) becomes the number of neighbours to which it was pushed at once.
 * ERROR_NOT_JOINED, ERROR_TOO_LARGE, ERROR_REPEATED (id known for 90 s), ERROR_NOMEM. */
int gossip_publish(struct gossip *gossip, uint64_t now, const struct id *topic,
	struct message *message, size_t *neighbours);

/* Notes that a neighbour is too slow to be sent this message now: the message is announced to the
 * neighbour instead. */
void gossip_refused(struct gossip *gossip, uint64_t now, const struct id *topic,
	const struct id *peer, const struct id *id);

/* Handles one frame body (without the length) that came from peer on a stream whose header named
 * topic. A malformed body is counted, and returns ERROR_INVALID or ERROR_TRUNCATED: the caller ends
 * that stream. For a topic that is not joined it returns 0; only messages with content are counted
 * then. ERROR_NOMEM. */
int gossip_receive(struct gossip *gossip, uint64_t now, const struct id *peer,
	const struct id *topic, const uint8_t *body, size_t size);

/* Reports that the last connection to peer has ended; another may follow. Questions to peer may be
 * lost with the connection, so the next Neighbor from peer is not taken for an answer. */
void gossip_link_down(struct gossip *gossip, uint64_t now, const struct id *peer);

/* Reports that there has been no connection to peer for a while: peer is removed from every
 * overlay. */
void gossip_peer_lost(struct gossip *gossip, uint64_t now, const struct id *peer);

/* Sets the addresses that we send about ourselves in Join, Neighbor and Shuffle. Addresses beyond
 * LIMIT_ADDRESSES_PER_NODE are left out. ERROR_NOMEM. */
int gossip_set_addresses(struct gossip *gossip, const struct relay_url *relay,
	const struct address *addresses, size_t count);

/* Returns when gossip_step has to be called; UINT64_MAX for never. */
uint64_t gossip_deadline(const struct gossip *gossip);
/* Performs all work that is due; only tests call it, see gossip_step. */
void gossip_tick(struct gossip *gossip, uint64_t now);
/* Performs some of the work that is due, the longest due first, in well below a millisecond: for
 * callers that have other work in between. */
void gossip_step(struct gossip *gossip, uint64_t now);

/* Takes the oldest effect; returns false when there is none. */
bool gossip_effect(struct gossip *gossip, struct gossip_effect *out);

/* Tells whether an overlay is joined; only tests call it. */
bool gossip_is_joined(const struct gossip *gossip, const struct id *topic);
size_t gossip_neighbours(const struct gossip *gossip, const struct id *topic);
/* Lists the nodes to which content is pushed in an overlay; out has room for LIMIT_ACTIVE_VIEW.
 * Returns how many. */
size_t gossip_pushed(const struct gossip *gossip, const struct id *topic, struct id *out);
bool gossip_is_neighbour(
	const struct gossip *gossip, const struct id *topic, const struct id *peer);
/* Tells whether the overlay itself has told us of peer, lately: then peer belongs to our part of
 * the overlay. */
bool gossip_knows(const struct gossip *gossip, const struct id *topic, const struct id *peer);
/* Returns about how many bytes the messages and ids take that are remembered. */
size_t gossip_held(const struct gossip *gossip);
/* Returns how many overlays are joined; only tests call it. */
size_t gossip_overlays(const struct gossip *gossip);

#endif
