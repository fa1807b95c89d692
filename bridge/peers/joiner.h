/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The joiner: which nodes gossip asks to be neighbours, in which overlay and when.
 *
 * An overlay in which we are alone asks with Neighbor(High) and Join, again and again until a node
 * answers (a Join for an overlay that the other side has not joined is silently ignored, and a
 * Join after a crash often is). It asks every node that we have a link to, two at a time, those
 * first that have shown that they are in the overlay. Each node has a jittered backoff of 0.5 s
 * doubling to 8 s (a trusted node that has never shown that it is there: to 64 s). Trusted nodes
 * are asked for ever; others until JOINER_ASKS have gone unanswered: they have left that overlay.
 *
 * An overlay in which we have a neighbour asks nobody that way: a node that is asked with a high
 * priority must accept, and drops another neighbour, who asks in turn. Views are filled by
 * HyParView with a low priority (section 4.3 of its paper; "high" is for a node without any
 * neighbour). The exception is a node that probably belongs to a part of the overlay that our part
 * does not reach: the node is back after it could not be reached, or it has shown that it knows
 * other nodes than we do. One of these nodes is asked within a second, with Neighbor(High) alone;
 * when it answers the two parts are one, and the other nodes are no news any more. Of the nodes
 * that are new to the topic one is probed at a time: 2 s after the first time that one was heard
 * of, four times as long after each further time, two minutes at most; and after ten minutes
 * without a new node, 2 s again.
 *
 * At most LIMIT_JOINS_PER_SECOND in all; overlays that are due are served in the order in which
 * they became due. Each call is O(log n), but for calls about a peer or an overlay: they take time
 * in proportion to the number of wishes for that peer or overlay.
 *
 * sans-IO; times are monotonic nanoseconds; one thread.
 */
#ifndef BRIDGE_PEERS_JOINER_H
#define BRIDGE_PEERS_JOINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../counters.h"
#include "../id.h"
#include "../random.h"

struct joiner;

#define JOINER_ASKS 10

/* Why a node is wanted. */
enum joiner_reason {
	JOINER_NODE,	/* the node shares the topic */
	JOINER_TRUSTED, /* wanted for as long as the topic is */
};

enum joiner_news {
	JOINER_NEW,   /* the node was not known to share the topic */
	JOINER_APART, /* the node probably belongs to another part of the overlay */
};

enum joiner_effect_type {
	JOINER_ASK,	/* Neighbor(High) and Join: we are alone */
	JOINER_MERGE,	/* Neighbor(High): the peer probably is in another part of the overlay */
	JOINER_PROBE,	/* a Shuffle: the peer may belong to another part */
	JOINER_GAVE_UP, /* the peer does not answer: forgotten */
};

struct joiner_effect {
	enum joiner_effect_type type;
	struct id topic, peer;
};

/* Makes a joiner. Counts LIMIT_JOINS, once per second in which there were too many asks.
 * ERROR_NOMEM. */
int joiner_new(const struct random *random, struct counters *counters, struct joiner **out);
void joiner_free(struct joiner *joiner);

/* Wants peer as a neighbour in topic. linked: there is a connection to the peer now; shown: the
 * peer has shown that it is in the overlay. Fine to repeat: the strongest reason and shown count.
 * ERROR_NOMEM. */
int joiner_add(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_reason reason, bool shown);
/* Notes news of peer, which is no neighbour, in an overlay where we have neighbours; elsewhere the
 * news means nothing. Keeps few nodes at a time (2 * LIMIT_JOINS_PER_TOPIC): any of them will do.
 * ERROR_NOMEM. */
int joiner_tell(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_news news);
/* Notes that peer is not trusted any more: it is wanted where it is a neighbour, and nowhere
 * else. */
void joiner_distrust(struct joiner *joiner, const struct id *peer);
/* Forgets those nodes of a topic that could not be reached: neither linked, nor a neighbour, nor
 * trusted. Returns how many nodes are left. */
size_t joiner_prune(struct joiner *joiner, const struct id *topic);
void joiner_remove_topic(struct joiner *joiner, const struct id *topic);

/* Notes that a link to peer has come: the peer is asked at once wherever we are alone. */
void joiner_linked(struct joiner *joiner, uint64_t now, const struct id *peer);
/* Notes that the link to peer is gone. */
void joiner_unlinked(struct joiner *joiner, const struct id *peer);

/* Notes that peer is a neighbour in topic now. */
void joiner_up(struct joiner *joiner, const struct id *topic, const struct id *peer);
/* Notes that peer is not a neighbour in topic any more; neighbours: how many are left. A topic in
 * which we are alone again asks after half a second to a second: first HyParView has its turn, and
 * the peer that went may have had a reason. */
void joiner_down(struct joiner *joiner, uint64_t now, const struct id *topic,
	const struct id *peer, size_t neighbours);

uint64_t joiner_deadline(const struct joiner *joiner);
/* Takes the next effect that is due (its next time is set already); false: there is none. */
bool joiner_effect(struct joiner *joiner, uint64_t now, struct joiner_effect *out);

#endif
