/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the log says of who is there and who cannot be reached: once per node, however many overlays
 * the node is a neighbour in, and only what is new. */
#ifndef BRIDGE_MESH_PRESENCE_H
#define BRIDGE_MESH_PRESENCE_H

#include "context.h"

/* Notes that peer has become a neighbour in one more overlay. address, dialled: of a connection to
 * peer; address NULL: unknown. */
void presence_up(
	struct mesh *mesh, const struct id *peer, const struct address *address, bool dialled);
/* Notes that peer is no longer a neighbour in topic's overlay, in which left neighbours are. */
void presence_down(
	struct mesh *mesh, const struct id *topic, const struct id *peer, size_t left);
/* Notes that the overlay is about to be left. */
void presence_left(struct mesh *mesh, const struct id *topic);
/* Notes that a configured node has let us in. */
void presence_reached(struct mesh *mesh, const struct id *peer, const struct address *address);
/* Notes that a connection to a node has failed, at this address. */
void presence_failed(struct mesh *mesh, const struct id *peer, const struct address *address,
	const char *text);
/* Notes that a dial to a node could not even begin (error_text). */
void presence_not_begun(
	struct mesh *mesh, const struct id *peer, const struct address *address, int error);
/* Notes that no address of a node was found. */
void presence_not_found(struct mesh *mesh, struct configured *configured, const char *failure);
/* Returns how this node last failed to reach peer; NULL: it has not failed, or that is
 * forgotten. */
const struct report *presence_report(const struct mesh *mesh, const struct id *peer);
/* Returns in how many overlays a node is a neighbour. */
size_t presence_overlays(const struct mesh *mesh, const struct id *peer);
/* Notes that a node's names lead to more addresses (all) than are tried at a time (count). */
void presence_many(struct mesh *mesh, struct configured *configured, size_t count, size_t all);
/* Forgets the failures of a node: should it fail again, that is news. */
void presence_succeeded(struct configured *configured);
/* Notes that there is a connection to peer, or none any more. */
void presence_linked(struct mesh *mesh, const struct id *peer, bool linked);
/* Notes that peer is lost, or cannot be reached. */
void presence_lost(struct mesh *mesh, const struct id *peer);
/* Tells the owner that a node is configured. */
void presence_configured(struct mesh *mesh, struct configured *configured);
/* Tells the owner that a node is no longer configured. */
void presence_unconfigured(struct mesh *mesh, const struct id *peer);
/* Notes that peer has opened a stream for this overlay, which we have not joined. */
void presence_named(struct mesh *mesh, const struct id *peer, const struct id *topic);
/* Notes that somebody who dialled us was refused before it was known who it is. */
void presence_stranger(struct mesh *mesh, const struct address *address, const char *why);
void presence_free(struct mesh *mesh);

#endif
