/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages that have come, on their way to the owner: what is an application's is verified. */
#ifndef BRIDGE_MESH_ARRIVALS_H
#define BRIDGE_MESH_ARRIVALS_H

#include "context.h"

/* A message has come from a neighbour (its reference is taken). */
void arrival(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message);

/* Verifies some of those that wait for it, and tells the owner; whether there were any. */
bool arrivals_verify(struct mesh *mesh);
/* The overlay is about to be left: what waits is told as it is. */
void arrivals_leave(struct mesh *mesh, const struct id *topic);

#endif
