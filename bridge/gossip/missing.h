/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The messages that neighbours have announced to an overlay and that have not come yet (PlumTree, 3.6):
 * who has announced them, and when the next of these neighbours is asked. Neighbours are known by their
 * slots, of which a set has a bit for each. Bounded for the overlay, and over all overlays of a node.
 * For one thread. Private to gossip/.
 */
#ifndef BRIDGE_GOSSIP_MISSING_H
#define BRIDGE_GOSSIP_MISSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "wire.h"

/* Upstream asks the next announcer after 40 ms (plumtree.rs Config::default), when the answer of the first
 * is still under way on most links, so that both send the message. */
#define GRAFT_TIMEOUT (80 * MS)

struct announcer {
	uint8_t slot;
	uint16_t round;
};

struct missing {
	struct id id;
	uint64_t since; /* first announced */
	uint64_t due;
	unsigned grafted; /* the set of neighbours that have been sent a GRAFT */
	uint8_t announcers_count;
	struct announcer announcers[LIMIT_ANNOUNCERS]; /* in order of announcement */
	struct missing *prev, *next;
	UT_hash_handle hh;
};

struct missing_list {
	struct core *core;
	struct missing *by_id;
	struct missing *waiting; /* the same as a list, oldest first: all wait equally long */
	/* When a message was pushed that had been announced before, and the latest such announcement. */
	uint64_t pushed_at, pushed_since;
};

void missing_init(struct missing_list *list, struct core *core);

/* Returns NULL if no such message is missing. */
struct missing *missing_find(struct missing_list *list, const struct id *id);
void missing_forget(struct missing_list *list, struct missing *missing);
/* Forgets at most *allowance messages, and lessens it likewise. Returns whether none is left. */
bool missing_clear_some(struct missing_list *list, size_t *allowance);

/* Notes that a neighbour has announced a message, which is not known. Errors go to core->effects. */
void missing_announced(
	struct missing_list *list, uint64_t now, uint8_t slot, const struct wire_ihave *ihave);
/* Notes that a message was pushed by a neighbour (a set of one, or of none): so far the pushes have
 * come. What was asked for says nothing about that. */
void missing_pushed(
	struct missing_list *list, uint64_t now, const struct missing *missing, unsigned pusher);
/* Forgets what a neighbour has announced, who has gone. */
void missing_slot_gone(struct missing_list *list, uint8_t slot);

/* Returns the set of neighbours that have the message, because they have announced it. */
unsigned missing_holders(const struct missing *missing);
/* Returns the announcer that is much nearer to the origin of a message than the neighbour that
 * pushed the message (PlumTree, 3.8), or NULL. round: the pushed message's, sent on. */
const struct announcer *missing_nearer(const struct missing *missing, uint16_t round);

/* Returns when the next announcer of some message is to be asked; UINT64_MAX: never. burst_until: when
 * the burst, if there is one, is over. */
uint64_t missing_deadline(const struct missing_list *list, uint64_t burst_until);
/* Takes the next announcer to ask for the message that has waited longest, of which there must be one.
 * The message waits once more then. NULL: nobody is left to ask for it, and it is forgotten. */
struct missing *missing_ask(struct missing_list *list, uint64_t now, struct announcer *announcer);
/* Notes that a neighbour begins to push, whom a GRAFT has told to: in a burst no more are asked for until
 * the pushes have had time to come. */
void missing_pushes_begin(struct missing_list *list, uint64_t now);

#endif
