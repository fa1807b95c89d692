/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is wanted as a neighbour. Gossip takes its nodes from the book.
 *
 * An overlay in which we are alone dials those who share it, again and again with a jittered
 * backoff, and the joiner asks them. An overlay with neighbours, but fewer than it has places for,
 * is offered nodes whenever they may be of use: gossip asks them with a low priority, and is quiet
 * when nobody has room. So an overlay comes to rest.
 *
 * A partition is not found by asking: lost nodes are dialled again, a few at a time and for all
 * overlays together, and a node that is back is news for the joiner, as is one that is new to a
 * topic (p2panda-net src/gossip/actors/healer.rs joins all nodes of a topic on each change of their
 * set; here one node is asked for all that have changed, and a new one only if it knows others than
 * we).
 */
#ifndef BRIDGE_MESH_NEIGHBOURS_H
#define BRIDGE_MESH_NEIGHBOURS_H

#include "context.h"

/* Wants all who are known to share an overlay that was just joined. */
void neighbours_join(struct mesh *mesh, struct overlay *overlay);
/* Notes that node has shown that it has this topic, or that it has it no longer. */
void neighbours_shared(
	struct mesh *mesh, const struct id *node, const struct id *topic, bool shared);
/* Notes that node has opened a stream for this overlay. */
void neighbours_named(struct mesh *mesh, const struct id *node, const struct id *topic);
/* Tells the dialler that there is a link to node: that ends the dials, unless the link goes by way
 * of a relay. at_once: node's addresses are tried now in that case. */
void neighbours_note_link(struct mesh *mesh, const struct id *node, bool at_once);
/* Notes that a link to node has come about. */
void neighbours_linked(struct mesh *mesh, const struct id *node);
/* Notes that a connection with node has come about, whatever for and whoever has dialled. */
void neighbours_reached(struct mesh *mesh, const struct id *node);
/* Notes that an overlay that uses the link to node has lost it, or that node could not be
 * dialled. */
void neighbours_lost(struct mesh *mesh, const struct id *node);
/* Notes how many neighbours the overlay has now. */
void neighbours_counted(struct mesh *mesh, struct overlay *overlay, size_t neighbours);
/* Notes that node belongs to a part of the overlay that ours does not reach. */
void neighbours_apart(struct mesh *mesh, const struct id *topic, const struct id *node);
/* Notes that the overlay has its first neighbour. */
void neighbours_first(struct mesh *mesh, struct overlay *overlay);
/* Notes that the overlay has fewer neighbours than before. */
void neighbours_fewer(struct mesh *mesh, struct overlay *overlay);
/* Asks again in every overlay, now: this node can be reached elsewhere. */
void neighbours_again(struct mesh *mesh);
/* Wants a node that is trusted from now on, also in the overlays that are joined already. */
void neighbours_trust(struct mesh *mesh, const struct id *node);
/* Wants a node no longer that is not trusted any more. */
void neighbours_distrust(struct mesh *mesh, const struct id *node);
/* Wants the nodes of the configuration no longer: no overlay is left. */
void neighbours_none(struct mesh *mesh);
/* Carries out what is due. */
void neighbours_heal(struct mesh *mesh);
/* Returns when neighbours_heal is wanted. */
uint64_t neighbours_deadline(const struct mesh *mesh);

#endif
