/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the cores of gossip, links, dialling and joining want: each of these functions carries out
 * at least one thing, and more until the turn has taken its time; returns whether there was
 * anything. */
#ifndef BRIDGE_MESH_EFFECTS_H
#define BRIDGE_MESH_EFFECTS_H

#include "context.h"

bool effects_gossip(struct mesh *mesh);
bool effects_links(struct mesh *mesh);
bool effects_dialer(struct mesh *mesh);
bool effects_joiner(struct mesh *mesh);

#endif
