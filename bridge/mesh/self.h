/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What we tell about where we are. */
#ifndef BRIDGE_MESH_SELF_H
#define BRIDGE_MESH_SELF_H

#include "context.h"

/* Takes what is configured. */
void self_configure(struct mesh *mesh, const struct node_config *config);
/* Sockets are bound there: tells where we are for the first time, and wants names to be looked up. */
void self_begin(struct mesh *mesh, const struct address *bound, size_t count);
void self_resolved(
	struct mesh *mesh, const struct address *addresses, size_t count, const char *failure);
/* The machine's addresses may have changed. */
void self_addresses(struct mesh *mesh, const struct address *bound, size_t count);
/* The relay at which we are has changed; NULL: none. */
void self_relay(struct mesh *mesh, const struct relay_url *url);
/* Tells our addresses with another time if the clock was set, or others have an info of ours that is
 * newer than all that we have signed in this life. */
void self_renew(struct mesh *mesh);
void self_tick(struct mesh *mesh);
uint64_t self_deadline(const struct mesh *mesh);
void self_free(struct mesh *mesh);

#endif
