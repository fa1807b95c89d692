/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The local network: mDNS between the sockets and the book. */
#include "internal.h"

#define SECOND_NS (1000 * MS)

static void on_packet(void *context, const uint8_t *packet, size_t size)
{
	struct engine *engine = context;

	if (engine->stopping)
		return;
	mdns_receive(engine->mdns, engine_now(engine), packet, size);
	engine_pump(engine);
}

int local_make(struct engine *engine, enum node_mdns mode)
{
	int error;

	if (mode == NODE_MDNS_OFF)
		return ERROR_NONE;
	error = mdns_new(&engine->me, mode == NODE_MDNS_ACTIVE ? MDNS_ACTIVE : MDNS_PASSIVE,
		&engine->random, engine->owner.counters, &engine->mdns);
	if (error)
		return error;
	error = multicast_open(engine->loop, on_packet, engine, &engine->multicast);
	if (error == ERROR_NOMEM)
		return error;
	if (error) {
		engine_log(engine, NODE_LOG_WARNING, "mdns: UDP port %d cannot be used: %s",
			MDNS_PORT, error_text(error));
		mdns_free(engine->mdns);
		engine->mdns = NULL;
		return ERROR_NONE;
	}
	local_tell(engine);
	return ERROR_NONE;
}

void local_tell(struct engine *engine)
{
	const struct info *infos[ORDERS];

	if (!engine->mdns)
		return;
	for (size_t i = 0; i < ORDERS; i++)
		infos[i] = engine->advertise.infos[i];
	if (mdns_set_infos(engine->mdns, engine_now(engine), infos))
		engine_log(engine, NODE_LOG_WARNING,
			"mdns: this node is not announced where it is now: too many addresses");
}

/* Who is on loopback alone hears others of this machine only; nobody hears others than those on
 * the same network. */
static enum address_scope scope_of_network(const struct engine *engine)
{
	for (size_t i = 0; i < engine->advertise.bound_count; i++)
		if (!address_is_loopback(&engine->advertise.bound[i]))
			return ADDRESS_PRIVATE;
	return ADDRESS_LOOPBACK;
}

static void on_found(struct engine *engine, const struct id *node, struct info *info)
{
	uint64_t second = engine_now(engine) / SECOND_NS;
	struct info_time time = info->time;
	const struct info *known;

	/* Anybody can announce, as often as they like: a budget for each second. */
	if (engine->local_second != second) {
		engine->local_second = second;
		engine->local = (struct verifying){0};
	}
	if (explore_info(engine, node, node, scope_of_network(engine), info,
		    &engine->local))
		walker_prompt(engine->walker, engine_now(engine), node);
	for (size_t i = 0; i < ORDERS; i++) {
		known = book_info(engine->book, node, (enum info_order)i);
		if (known && info_time_compare(known->time, time) == 0)
			mdns_verified(engine->mdns, engine_now(engine), node, (enum info_order)i);
	}
}

bool effects_mdns(struct engine *engine)
{
	struct mdns_effect effect;
	bool any = false;

	/* One packet may bring many that have to be verified. */
	while (engine->mdns && !engine->stopping && !(any && engine_is_late(engine)) &&
		mdns_effect(engine->mdns, engine_now(engine), &effect)) {
		any = true;
		if (effect.type == MDNS_SEND)
			multicast_send(engine->multicast, effect.packet, effect.size);
		else
			on_found(engine, &effect.node, effect.info);
	}
	return any;
}
