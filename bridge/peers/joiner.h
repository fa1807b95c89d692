/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The joiner: asks nodes to be our neighbours in an overlay, again and again until one
 * answers (a Join for an overlay that the other side has not joined is silently ignored,
 * and one after a crash often is): while there is a link, with a jittered backoff of 0.5 s
 * doubling to 8 s. Trusted ones for ever; others until JOINER_ASKS have gone unanswered:
 * they have left that overlay. At most LIMIT_JOINS_PER_SECOND in all.
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
	JOINER_PROBE,	/* asked once, even where there are neighbours enough */
	JOINER_NODE,	/* shares the topic */
	JOINER_TRUSTED, /* for as long as the topic */
};

struct joiner_effect {
	struct id topic, peer;
	bool probe;   /* ask it now, though the view may be full; forgotten */
	bool gave_up; /* it does not answer: forgotten. Neither of the two: ask it now */
};

/* Counts LIMIT_JOINS, once per second in which there were too many. ERROR_NOMEM. */
int joiner_new(const struct random *random, struct counters *counters, struct joiner **out);
void joiner_free(struct joiner *joiner);

/* Wants peer as a neighbour in topic; linked: there is a connection to it now. Fine to
 * repeat: the strongest reason counts. ERROR_NOMEM. */
int joiner_add(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_reason reason);
/* Forgets those that could not be reached: neither linked, nor a neighbour, nor trusted.
 * Returns how many are left. */
size_t joiner_prune(struct joiner *joiner, const struct id *topic);
void joiner_remove_topic(struct joiner *joiner, const struct id *topic);

/* A link to peer has come: everything that waited for it is asked at once. Or gone. */
void joiner_linked(struct joiner *joiner, uint64_t now, const struct id *peer);
void joiner_unlinked(struct joiner *joiner, const struct id *peer);

/* It is a neighbour now: no more asking. Or is not any more: ask again, after the first
 * backoff (it may have had a reason). */
void joiner_answered(struct joiner *joiner, const struct id *topic, const struct id *peer);
void joiner_lost(
	struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer);

uint64_t joiner_deadline(const struct joiner *joiner);
/* The next pair that is due (the next time is set already); false when there is none. */
bool joiner_effect(struct joiner *joiner, uint64_t now, struct joiner_effect *out);

#endif
