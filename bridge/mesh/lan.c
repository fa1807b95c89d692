/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "lan.h"

#include "../error.h"
#include "infos.h"

int lan_make(struct mesh *mesh, enum node_mdns mode)
{
	return mdns_new(&mesh->me, mode == NODE_MDNS_ACTIVE ? MDNS_ACTIVE : MDNS_PASSIVE,
		&mesh->random, mesh->counters, &mesh->mdns);
}

void lan_tell(struct mesh *mesh)
{
	const struct info *infos[ORDERS];

	if (!mesh->mdns)
		return;
	for (size_t i = 0; i < ORDERS; i++)
		infos[i] = mesh->self.infos[i];
	if (mdns_set_infos(mesh->mdns, mesh->now, infos))
		mesh_log(mesh, NODE_LOG_WARNING,
			"mdns: this node is not announced where it is now: too many addresses");
}

void lan_packet(struct mesh *mesh, const uint8_t *packet, size_t size)
{
	if (mesh->mdns && !mesh->stopping)
		mdns_receive(mesh->mdns, mesh->now, packet, size);
}

uint64_t lan_deadline(const struct mesh *mesh)
{
	return mesh->mdns ? mdns_deadline(mesh->mdns) : UINT64_MAX;
}

/* Returns over what kind of network mDNS hears of others. Who is on loopback alone hears others of
 * this machine only; nobody hears others than those on the same network. */
static enum address_scope scope_of_network(const struct mesh *mesh)
{
	for (size_t i = 0; i < mesh->self.bound_count; i++)
		if (!address_is_loopback(&mesh->self.bound[i]))
			return ADDRESS_PRIVATE;
	return ADDRESS_LOOPBACK;
}

static void on_found(struct mesh *mesh, const struct id *node, struct info *info)
{
	uint64_t second = mesh->now / S;
	struct info_time time = info->time;
	const struct info *known;

	/* Anybody can announce, as often as they like: a budget for each second. */
	if (mesh->lan_second != second) {
		mesh->lan_second = second;
		mesh->lan = (struct verifying){0};
	}
	if (infos_take(mesh, node, node, scope_of_network(mesh), info, &mesh->lan))
		walker_prompt(mesh->walker, mesh->now, node);
	for (size_t i = 0; i < ORDERS; i++) {
		known = book_info(mesh->book, node, (enum info_order)i);
		if (known && info_time_compare(known->time, time) == 0)
			mdns_verified(mesh->mdns, mesh->now, node, (enum info_order)i);
	}
}

bool lan_effects(struct mesh *mesh)
{
	struct mdns_effect effect;
	bool any = false;

	/* One packet may bring many that have to be verified. */
	while (mesh->mdns && !mesh->stopping && !(any && mesh_is_late(mesh)) &&
		mdns_effect(mesh->mdns, mesh->now, &effect)) {
		any = true;
		if (effect.type == MDNS_SEND)
			mesh_send_packet(mesh, effect.packet, effect.size);
		else
			on_found(mesh, &effect.node, effect.info);
	}
	return any;
}
