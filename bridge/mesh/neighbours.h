/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is wanted as a neighbour. Gossip takes its nodes from the book.
 *
 * An overlay in which we are alone dials those who share it, again and again with a jittered
 * backoff, and the joiner asks them. One with neighbours, but fewer than it has places for, is
 * offered some whenever they may be of use: gossip asks them with a low priority, and is quiet
 * when nobody has room. So an overlay comes to rest.
 *
 * A partition is not found by asking: what was lost is dialled again, a few nodes at a time and for
 * all overlays together, and who is back is news for the joiner, as is a node that is new to a topic
 * (p2panda-net src/gossip/actors/healer.rs joins all nodes of a topic on each change of their set;
 * here one node is asked for all that have changed, and a new one only if it knows others than we).
 */
#ifndef BRIDGE_MESH_NEIGHBOURS_H
#define BRIDGE_MESH_NEIGHBOURS_H

#include "context.h"

/* The overlay was just joined: all who are known to share it are wanted. */
void neighbours_join(struct mesh *mesh, struct overlay *overlay);
/* node has shown that it has this topic, or that it has it no longer. */
void neighbours_shared(
	struct mesh *mesh, const struct id *node, const struct id *topic, bool shared);
/* node has opened a stream for this overlay. */
void neighbours_named(struct mesh *mesh, const struct id *node, const struct id *topic);
/* There is a link to node, for the dialler: an end to dials, unless it goes by way of a relay.
 * at_once: its addresses are tried now in that case. */
void neighbours_note_link(struct mesh *mesh, const struct id *node, bool at_once);
/* A link to node has come about. */
void neighbours_linked(struct mesh *mesh, const struct id *node);
/* A connection with node has come about, whatever for and whoever has dialled. */
void neighbours_reached(struct mesh *mesh, const struct id *node);
/* An overlay that uses the link to node has lost it, or it could not be dialled. */
void neighbours_lost(struct mesh *mesh, const struct id *node);
/* The overlay has so many neighbours now. */
void neighbours_counted(struct mesh *mesh, struct overlay *overlay, size_t neighbours);
/* node belongs to a part of the overlay that ours does not reach. */
void neighbours_apart(struct mesh *mesh, const struct id *topic, const struct id *node);
/* The overlay has its first neighbour. */
void neighbours_first(struct mesh *mesh, struct overlay *overlay);
/* Fewer neighbours than before. */
void neighbours_fewer(struct mesh *mesh, struct overlay *overlay);
/* Ask again in every overlay, now: we can be reached elsewhere. */
void neighbours_again(struct mesh *mesh);
/* No overlay is left: the nodes of the configuration are not wanted any more. */
void neighbours_none(struct mesh *mesh);
/* What is due, and when that is. */
void neighbours_heal(struct mesh *mesh);
uint64_t neighbours_deadline(const struct mesh *mesh);

#endif
