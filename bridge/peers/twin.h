/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether another node has our key (a copied volume): others take the two for one, and each of
 * them gets some of what is meant for us.
 *
 * What tells is that infos of ours come back which are newer than all that we have signed. One
 * may be of an earlier life of ours whose state is lost and whose clock was ahead: ours is made
 * newer then, and nobody answers that. A twin does, and it finds ours as we find its own: a
 * second one that is newer again tells. So no clock is compared with another, and neither a step
 * of the clock nor an old info that somebody keeps passing on tells anything.
 *
 * Infos come back in discovery sessions, which an idle node has every half a minute. So whoever
 * has told of a first one is asked again soon, several times; and, once per life, who has told of
 * one of before our start that we do not remember. And a node that stays a neighbour but has ended
 * its stream to us may have found the twin: that takes its streams over, and nothing else here
 * shows that it has come.
 *
 * sans-IO; now: monotonic ns; one thread.
 */
#ifndef BRIDGE_PEERS_TWIN_H
#define BRIDGE_PEERS_TWIN_H

#include <stdbool.h>
#include <stdint.h>

#include "../discovery/info.h"
#include "../id.h"

/* So many newer ones tell, each this time after the last one at most. */
#define TWIN_SIGNS   2
#define TWIN_SIGN_MS 60000
/* Between two questions, and how many there are. */
#define TWIN_ASK_MS 1000
#define TWIN_ASKS   10
/* A twin whose infos we know of is answered so often, or the two would never rest. */
#define TWIN_ANSWER_MS 10000
/* After the end of a stream: another one may be on its way. And between two questions because of
 * that. */
#define TWIN_SUSPECT_MS	      1000
#define TWIN_SUSPECT_AGAIN_MS 10000

/* All zero at the beginning. */
struct twin {
	struct info_time before; /* the last one of the life before, as far as is remembered */
	struct info_time first;	 /* of this life; zero: none yet */
	struct info_time newest; /* of all that were signed by us or came back */
	bool had_older;
	unsigned signs;
	uint64_t sign_at;
	uint64_t answered; /* 0: not yet */
	struct id source;
	unsigned asks; /* left */
	uint64_t ask_at;
	struct id suspect, topic;
	uint64_t suspect_at; /* 0: there is none */
	uint64_t suspect_again;
};

/* We have signed one; before: the last one that is remembered, zero if none is. */
void twin_signed(struct twin *twin, struct info_time before, struct info_time time);

/* source has told of one, which need not be verified yet. */
void twin_heard(
	struct twin *twin, uint64_t now, const struct id *source, struct info_time time);

/* The same for one that is verified and newer than our last one. Whether there is a twin. */
bool twin_verified(
	struct twin *twin, uint64_t now, const struct id *source, struct info_time time);

/* Whether ours is to be made newer than one that has come back, which counts as done then. */
bool twin_answer(struct twin *twin, uint64_t now);

/* A stream of the node's for an overlay has ended. */
void twin_stream_ended(
	struct twin *twin, uint64_t now, const struct id *node, const struct id *topic);

/* When something is to be done; UINT64_MAX: never. */
uint64_t twin_deadline(const struct twin *twin);
/* Of whom it is to be found out now whether it is a neighbour in that overlay without a stream to
 * us: twin_deprived is called if so. */
bool twin_suspect(struct twin *twin, uint64_t now, struct id *node, struct id *topic);
void twin_deprived(struct twin *twin, uint64_t now, const struct id *node);
/* Whom to ask now, if anybody. */
bool twin_ask(struct twin *twin, uint64_t now, struct id *node);

#endif
