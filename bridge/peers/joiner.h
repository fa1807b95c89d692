/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The joiner: whom gossip asks to be a neighbour, in which overlay and when.
 *
 * An overlay in which we are alone asks with Neighbor(High) and Join, again and again until
 * somebody answers (a Join for an overlay that the other side has not joined is silently
 * ignored, and one after a crash often is): whoever there is a link to, those that have shown
 * that they are there first, two at a time, each with a jittered backoff of 0.5 s doubling to
 * 8 s (trusted ones that have never shown it: to 64 s). Trusted ones for ever; others until
 * JOINER_ASKS have gone unanswered: they have left that overlay.
 *
 * An overlay in which we have a neighbour asks nobody that way: who is asked with a high
 * priority must accept, and turns somebody else away who asks in turn; views are filled by
 * HyParView with a low priority (section 4.3 of its paper, "high" is for a node without any
 * neighbour). The exception is a node that probably belongs to a part of the overlay that ours
 * does not reach: it is back after it could not be reached, or it has shown that it knows others
 * than we. Of those one is asked within a second, with Neighbor(High) alone; when it answers the
 * two parts are one, and the others are no news any more. Of those that are new to the topic one
 * is probed at a time: 2 s after it was heard of the first time, four times as long after that each
 * further time, two minutes at most; and after ten minutes without any, 2 s again.
 *
 * At most LIMIT_JOINS_PER_SECOND in all; overlays whose turn it is are served in the order in
 * which it came. Each call is O(log n), but for those about a peer or an overlay: as often as it
 * is wanted there.
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

/* Why somebody is wanted. */
enum joiner_reason {
	JOINER_NODE,	/* it shares the topic */
	JOINER_TRUSTED, /* for as long as the topic */
};

enum joiner_news {
	JOINER_NEW,   /* it was not known to share the topic */
	JOINER_APART, /* it probably belongs to another part of the overlay */
};

enum joiner_effect_type {
	JOINER_ASK,	/* Neighbor(High) and Join: we are alone */
	JOINER_MERGE,	/* Neighbor(High): it probably belongs to another part of the overlay */
	JOINER_PROBE,	/* a Shuffle: it may */
	JOINER_GAVE_UP, /* it does not answer: forgotten */
};

struct joiner_effect {
	enum joiner_effect_type type;
	struct id topic, peer;
};

/* Counts LIMIT_JOINS, once per second in which there were too many. ERROR_NOMEM. */
int joiner_new(const struct random *random, struct counters *counters, struct joiner **out);
void joiner_free(struct joiner *joiner);

/* Wants peer as a neighbour in topic; linked: there is a connection to it now; shown: it has
 * shown that it is there. Fine to repeat: the strongest of both counts. ERROR_NOMEM. */
int joiner_add(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_reason reason, bool shown);
/* There is news of peer, who is no neighbour, in an overlay where there are some; elsewhere it
 * means nothing. Of few nodes at a time (2 * LIMIT_JOINS_PER_TOPIC): any of them will do.
 * ERROR_NOMEM. */
int joiner_tell(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_news news);
/* Forgets those that could not be reached: neither linked, nor a neighbour, nor trusted.
 * Returns how many are left. */
size_t joiner_prune(struct joiner *joiner, const struct id *topic);
void joiner_remove_topic(struct joiner *joiner, const struct id *topic);

/* A link to peer has come: it is asked at once wherever we are alone. Or gone. */
void joiner_linked(struct joiner *joiner, uint64_t now, const struct id *peer);
void joiner_unlinked(struct joiner *joiner, const struct id *peer);

/* Peer is a neighbour in topic now, or is not any more; neighbours: how many there are now.
 * Who is alone again asks after half a second to a second: it is HyParView's turn first, and the
 * one that went may have had a reason. */
void joiner_up(struct joiner *joiner, const struct id *topic, const struct id *peer);
void joiner_down(struct joiner *joiner, uint64_t now, const struct id *topic,
	const struct id *peer, size_t neighbours);

uint64_t joiner_deadline(const struct joiner *joiner);
/* The next pair that is due (the next time is set already); false when there is none. */
bool joiner_effect(struct joiner *joiner, uint64_t now, struct joiner_effect *out);

#endif
