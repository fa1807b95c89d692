/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Changes of the configuration while the node runs; their entry points are in mesh.h. */
#ifndef BRIDGE_MESH_CHANGES_H
#define BRIDGE_MESH_CHANGES_H

#include "context.h"

/* Adds a node to the configuration, or replaces it. ERROR_NOMEM: as if the node had been
 * removed. */
int changes_set_peer(struct mesh *mesh, const struct node_peer *peer, bool trusted);
/* Removes a node from the configuration. */
void changes_remove_peer(struct mesh *mesh, const struct id *id);
/* Replaces the lists of who is let in. ERROR_NOMEM: nothing has changed. */
int changes_set_access(struct mesh *mesh, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count);

#endif
