/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Another node with our key. */
#include <utlist.h>

#include "internal.h"

void twins_heard(struct engine *engine, const struct id *source, const struct info *info)
{
	twin_heard(&engine->twin, engine_now(engine), source, info->time);
}

void twins_verified(struct engine *engine, const struct id *source, const struct info *info)
{
	uint64_t now = engine_now(engine);

	if (info_time_compare(info->time, engine->advertise.time) <= 0)
		return;
	if (twin_verified(&engine->twin, now, source, info->time)) {
		engine_count(engine, COUNTER_TWIN);
		engine_remark_twin(engine, source);
	}
	if (twin_answer(&engine->twin, now))
		advertise_newer(engine, info->time);
}

void twins_stream_ended(struct engine *engine, const struct id *peer, const struct id *topic)
{
	/* There may be thousands: whether it means anything is looked at for one of them. */
	twin_stream_ended(&engine->twin, engine_now(engine), peer, topic);
}

static bool is_deprived_by(
	const struct engine *engine, const struct id *peer, const struct id *topic)
{
	const struct inlet *inlet;

	if (!gossip_is_neighbour(engine->gossip, topic, peer))
		return false;
	DL_FOREACH (engine->inlets, inlet)
		if (inlet->has_topic && id_equal(&inlet->topic, topic) &&
			id_equal(&inlet->route->peer, peer))
			return false;
	return true;
}

void twins_tick(struct engine *engine, uint64_t now)
{
	struct id node, topic;

	if (twin_suspect(&engine->twin, now, &node, &topic) &&
		is_deprived_by(engine, &node, &topic))
		twin_deprived(&engine->twin, now, &node);
	if (twin_ask(&engine->twin, now, &node))
		walker_prompt(engine->walker, now, &node);
}
