/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the log says of who is there and who cannot be reached: once per node, however many overlays
 * it is a neighbour in, and only what is new. */
#ifndef BRIDGE_MESH_PRESENCE_H
#define BRIDGE_MESH_PRESENCE_H

#include "context.h"

/* peer has become a neighbour in one more overlay (over a connection to address; NULL: unknown), or
 * is no longer one in topic's, in which left are. */
void presence_up(
	struct mesh *mesh, const struct id *peer, const struct address *address, bool dialled);
void presence_down(
	struct mesh *mesh, const struct id *topic, const struct id *peer, size_t left);
/* The overlay is about to be left. */
void presence_left(struct mesh *mesh, const struct id *topic);
/* A configured node has let us in. */
void presence_reached(struct mesh *mesh, const struct id *peer, const struct address *address);
/* A node has failed to connect, or to be found. */
void presence_failed(struct mesh *mesh, const struct id *peer, const struct address *address,
	const char *text);
void presence_not_found(struct mesh *mesh, struct configured *configured, const char *failure);
/* Should it fail again, that is news. */
void presence_succeeded(struct configured *configured);
/* peer has opened a stream for this overlay, which we have not joined. */
void presence_named(struct mesh *mesh, const struct id *peer, const struct id *topic);
/* Somebody who dialled us was refused before anything is known of who it is. */
void presence_stranger(struct mesh *mesh, const struct address *address, const char *why);
void presence_free(struct mesh *mesh);

#endif
