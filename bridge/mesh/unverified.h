/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages whose signatures wait to be verified, and whose turn it is: the neighbours take turns,
 * and so do the overlays on which one neighbour brings messages, so that nobody waits behind a
 * crowd of another's. A neighbour of which nothing was verified of late goes first. Each neighbour
 * has its number of messages per second (LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR, a quarter of that at
 * once), and so have all together (LIMIT_SIGNED_VERIFIED). A neighbour that has used up its number
 * waits. There is no other penalty for false signatures: gossip passes on what it has not verified,
 * and the neighbour may be as honest as we are.
 */
#ifndef BRIDGE_MESH_UNVERIFIED_H
#define BRIDGE_MESH_UNVERIFIED_H

#include "context.h"

/* Takes a message, and its reference, if there is a place. Returns whether there is one. */
bool unverified_put(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message);
/* Returns the next message, for whose signature there is time; its reference is the caller's. NULL:
 * none has its turn now. */
struct message *unverified_take(struct mesh *mesh, struct id *topic, struct id *neighbour);
/* Returns the next message that was brought on this overlay, whoever's turn it is; its reference is
 * the caller's. NULL: there is none. */
struct message *unverified_take_of(struct mesh *mesh, const struct id *topic, struct id *neighbour);
/* Returns when unverified_take has another message; UINT64_MAX: none is waiting. */
uint64_t unverified_deadline(const struct mesh *mesh);
void unverified_free(struct mesh *mesh);

#endif
