/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages that have come, on their way to the owner: those of applications are verified. */
#ifndef BRIDGE_MESH_ARRIVALS_H
#define BRIDGE_MESH_ARRIVALS_H

#include "context.h"

/* Takes a message that has come from a neighbour, and its reference. */
void arrival(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message);

/* Verifies some of the messages that wait for that, and tells the owner of them. Returns whether
 * there were any. */
bool arrivals_verify(struct mesh *mesh);
/* Tells the owner of the messages that wait, unverified: the overlay is about to be left. */
void arrivals_leave(struct mesh *mesh, const struct id *topic);

#endif
