/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tells whether another node has our key (a copied volume): others take the two nodes for one, and
 * each of the two gets some of what is meant for the other.
 *
 * The sign of a twin is that infos of ours come back that are newer than all that we have signed.
 * One such info may be from an earlier life of ours whose state is lost and whose clock was ahead:
 * we make our info newer then, and nobody answers. A twin does answer, for it finds our info as we
 * find its own: a second info that is newer again tells of the twin. So no clock is compared with
 * another, and neither a step of the clock nor an old info that somebody keeps passing on counts
 * as a sign.
 *
 * Infos come back in discovery sessions, which an idle node has every half a minute. So a node
 * that has told us of a first such info is asked again soon, several times; and so is, once per
 * life, a node that has told us of an info from before our start that we do not remember. And a
 * node that stays a neighbour but has ended its stream to us may have found the twin: the twin
 * takes over the node's streams, and nothing else here shows that the twin has come.
 *
 * sans-IO; now: monotonic ns; one thread.
 */
#ifndef BRIDGE_PEERS_TWIN_H
#define BRIDGE_PEERS_TWIN_H

#include <stdbool.h>
#include <stdint.h>

#include "../discovery/info.h"
#include "../id.h"

/* So many newer infos tell of a twin, each at most this time after the last one. */
#define TWIN_SIGNS   2
#define TWIN_SIGN_MS 60000
/* The time between two questions, and how many questions there are. */
#define TWIN_ASK_MS 1000
#define TWIN_ASKS   10
/* A known twin's infos are answered at most this often, or the two nodes would never rest. */
#define TWIN_ANSWER_MS 10000
/* How long after the end of a neighbour's stream the neighbour is suspected: another stream may be
 * on its way. And the time between two such suspicions. */
#define TWIN_SUSPECT_MS	      1000
#define TWIN_SUSPECT_AGAIN_MS 10000

/* All zero at the beginning. */
struct twin {
	struct info_time before; /* our last info of the life before, if remembered */
	struct info_time first;	 /* our first info of this life; zero: none yet */
	struct info_time newest; /* of all infos that we signed or that came back */
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

/* Notes that we have signed an info. before: our last info that is remembered, zero if there is
 * none. */
void twin_signed(struct twin *twin, struct info_time before, struct info_time time);

/* Notes that source has told of an info of ours, which need not be verified yet. */
void twin_heard(
	struct twin *twin, uint64_t now, const struct id *source, struct info_time time);

/* Notes that source has told of an info of ours that is verified and newer than our last one.
 * Returns whether there is a twin. */
bool twin_verified(
	struct twin *twin, uint64_t now, const struct id *source, struct info_time time);

/* Tells whether our info is to be made newer than an info that has come back. If so the answer
 * counts as given. */
bool twin_answer(struct twin *twin, uint64_t now);

/* Notes that a stream of the node's for an overlay has ended. */
void twin_stream_ended(
	struct twin *twin, uint64_t now, const struct id *node, const struct id *topic);

/* Returns when there is something to do; UINT64_MAX: never. */
uint64_t twin_deadline(const struct twin *twin);
/* Returns a suspect that is due, if any: the caller finds out whether the node is a neighbour in
 * the overlay without a stream to us, and if so calls twin_deprived. */
bool twin_suspect(struct twin *twin, uint64_t now, struct id *node, struct id *topic);
void twin_deprived(struct twin *twin, uint64_t now, const struct id *node);
/* Returns a node that is to be asked now, if any. */
bool twin_ask(struct twin *twin, uint64_t now, struct id *node);

#endif
