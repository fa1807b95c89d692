/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What this node tells others about where it is. */
#ifndef BRIDGE_MESH_SELF_H
#define BRIDGE_MESH_SELF_H

#include "context.h"

/* Takes the addresses and names of the configuration. */
void self_configure(struct mesh *mesh, const struct node_config *config);
/* Tells where this node is for the first time, once sockets are bound there, and wants its names to
 * be looked up. */
void self_begin(struct mesh *mesh, const struct address *bound, size_t count);
/* Takes the addresses of this node's own names, as mesh_resolved. */
void self_resolved(struct mesh *mesh, const struct address *addresses, size_t count, size_t all,
	const char *failure);
/* Takes the machine's addresses, which may have changed. */
void self_addresses(struct mesh *mesh, const struct address *bound, size_t count);
/* Takes the relay at which this node is from now on; NULL: none. */
void self_relay(struct mesh *mesh, const struct relay_url *url);
/* Tells this node's addresses with another time if the clock was set, or others have an info of
 * this node that is newer than all that it has signed in this life. */
void self_renew(struct mesh *mesh);
void self_tick(struct mesh *mesh);
uint64_t self_deadline(const struct mesh *mesh);
void self_free(struct mesh *mesh);

#endif
