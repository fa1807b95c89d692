/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages that wait for somebody to look at their signature, and whose turn it is: the neighbours
 * take turns, and those overlays on which one neighbour brings some, so that nobody waits behind a
 * crowd of another's. A neighbour of which nothing has been looked at of late goes first. Each has
 * its part of a second (LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR, a quarter of it at once), and so have
 * all together (LIMIT_SIGNED_VERIFIED). Who has used up its part waits; there is no other penalty
 * for false ones, for gossip passes on what it has not looked at, and the neighbour may be as
 * honest as we are.
 */
#ifndef BRIDGE_MESH_UNVERIFIED_H
#define BRIDGE_MESH_UNVERIFIED_H

#include "context.h"

/* Takes the reference if there is a place; whether there is one. */
bool unverified_put(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message);
/* The next one, for whose signature there is time; its reference is the caller's. NULL: none has
 * its turn now. */
struct message *unverified_take(struct mesh *mesh, struct id *topic, struct id *neighbour);
/* The next one that was brought on this overlay, whoever's turn it is. */
struct message *unverified_take_of(struct mesh *mesh, const struct id *topic, struct id *neighbour);
/* When unverified_take has another one; UINT64_MAX: when one has been put. */
uint64_t unverified_deadline(const struct mesh *mesh);
void unverified_free(struct mesh *mesh);

#endif
