/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "twins.h"

#include "connections.h"

void twins_tick(struct mesh *mesh)
{
	struct id node, topic;

	if (twin_suspect(&mesh->twin, mesh->now, &node, &topic) &&
		gossip_is_neighbour(mesh->gossip, &topic, &node) &&
		!connections_has_stream(mesh, &node, &topic))
		twin_deprived(&mesh->twin, mesh->now, &node);
	if (twin_ask(&mesh->twin, mesh->now, &node))
		walker_prompt(mesh->walker, mesh->now, &node);
}
