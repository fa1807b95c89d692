/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "effects.h"

#include <string.h>

#include "../error.h"
#include "../memory.h"
#include "frame.h"

/* The least room of the ring; after a burst a ring of more than ROOM_KEPT returns to it. */
#define ROOM_LEAST 256
#define ROOM_KEPT  4096

struct hearsay {
	struct id source;
	size_t relay_size;
	char relay[RELAY_URL_SIZE];
	size_t count;
	struct address addresses[];
};

struct effect {
	enum gossip_effect_type type;
	bool last;
	enum gossip_down down;
	struct id peer;
	struct id topic;
	union {
		struct frame *frame;
		struct message *message;
		struct hearsay *hearsay;
	};
};

int effects_init(struct effects *effects, struct counters *counters)
{
	*effects = (struct effects){.room = ROOM_LEAST, .counters = counters};
	effects->ring = memory_alloc(ROOM_LEAST * sizeof *effects->ring);
	return effects->ring ? 0 : ERROR_NOMEM;
}

static void release(struct effect *effect)
{
	if (effect->type == GOSSIP_SEND)
		frame_free(effect->frame);
	else if (effect->type == GOSSIP_DELIVER)
		message_unref(effect->message);
	else if (effect->type == GOSSIP_PEER_ADDRESSES)
		memory_free(effect->hearsay);
}

void effects_clear(struct effects *effects)
{
	for (size_t i = 0; i < effects->count; i++)
		release(&effects->ring[(effects->first + i) & (effects->room - 1)]);
	memory_free(effects->ring);
	*effects = (struct effects){0};
}

int effects_reserve(struct effects *effects, size_t n)
{
	size_t room = effects->room;
	struct effect *ring;

	while (room - effects->count < n)
		room *= 2;
	if (room == effects->room)
		return ERROR_NONE;
	ring = memory_alloc(room * sizeof *ring);
	if (!ring)
		return ERROR_NOMEM;
	for (size_t i = 0; i < effects->count; i++)
		ring[i] = effects->ring[(effects->first + i) & (effects->room - 1)];
	memory_free(effects->ring);
	effects->ring = ring;
	effects->room = room;
	effects->first = 0;
	return ERROR_NONE;
}

static void give_back_room(struct effects *effects)
{
	struct effect *ring;

	effects->first = 0;
	if (effects->room <= ROOM_KEPT)
		return;
	ring = memory_alloc(ROOM_LEAST * sizeof *ring);
	if (!ring)
		return;
	memory_free(effects->ring);
	effects->ring = ring;
	effects->room = ROOM_LEAST;
}

int effects_take_error(struct effects *effects)
{
	int error = effects->error;

	effects->error = 0;
	return error;
}

bool effects_take(struct effects *effects, struct gossip_effect *out)
{
	struct effect *effect = &effects->ring[effects->first];

	if (effects->count == 0)
		return false;
	out->type = effect->type;
	out->peer = effect->peer;
	out->topic = effect->topic;
	out->last = effect->last;
	out->down = effect->down;
	out->frame = effect->type == GOSSIP_SEND ? effect->frame : NULL;
	out->message = effect->type == GOSSIP_DELIVER ? effect->message : NULL;
	out->addresses_count = out->relay_size = 0;
	if (effect->type == GOSSIP_PEER_ADDRESSES) {
		out->source = effect->hearsay->source;
		out->addresses_count = effect->hearsay->count;
		memcpy(out->addresses, effect->hearsay->addresses,
			effect->hearsay->count * sizeof *out->addresses);
		out->relay_size = effect->hearsay->relay_size;
		memcpy(out->relay, effect->hearsay->relay, out->relay_size);
		memory_free(effect->hearsay);
	}
	effects->first = (effects->first + 1) & (effects->room - 1);
	if (--effects->count == 0)
		give_back_room(effects);
	return true;
}

/* Pushes an effect, and takes over what the effect owns; returns false if the effect was lost. */
static bool push(struct effects *effects, struct effect *effect)
{
	if (effects_reserve(effects, 1)) {
		effects->error = ERROR_NOMEM;
		release(effect);
		return false;
	}
	effects->ring[(effects->first + effects->count) & (effects->room - 1)] = *effect;
	effects->count++;
	return true;
}

void effects_send(struct effects *effects, const struct id *topic, const struct id *peer,
	const struct wire_message *message, bool last)
{
	struct effect effect = {.type = GOSSIP_SEND, .peer = *peer, .topic = *topic, .last = last};
	int error = frame_encode(message, &effect.frame);

	if (error == ERROR_NOMEM)
		effects->error = error;
	if (!error)
		push(effects, &effect);
}

bool effects_send_gossip(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message, uint16_t round)
{
	struct effect effect = {.type = GOSSIP_SEND, .peer = *peer, .topic = *topic};
	int error = frame_encode_gossip(message, WIRE_SWARM, round, &effect.frame);

	if (!error && push(effects, &effect))
		return true;
	effects->error = ERROR_NOMEM;
	counters_add(effects->counters, COUNTER_DROPPED_NO_MEMORY_COPY, 1);
	return false;
}

void effects_deliver(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message)
{
	struct effect effect = {.type = GOSSIP_DELIVER, .peer = *peer, .topic = *topic};

	counters_add(effects->counters, COUNTER_RECEIVED, 1);
	effect.message = message_ref(message);
	if (!push(effects, &effect))
		counters_add(effects->counters, COUNTER_DROPPED_NO_MEMORY_ARRIVING, 1);
}

void effects_peer(struct effects *effects, enum gossip_effect_type type, const struct id *topic,
	const struct id *peer)
{
	struct effect effect = {.type = type, .peer = *peer, .topic = *topic};

	push(effects, &effect);
}

void effects_down(struct effects *effects, const struct id *topic, const struct id *peer,
	enum gossip_down why)
{
	struct effect effect = {
		.type = GOSSIP_NEIGHBOUR_DOWN, .down = why, .peer = *peer, .topic = *topic};

	push(effects, &effect);
}

void effects_addresses(struct effects *effects, const struct id *peer, const struct id *source,
	const struct addr_info *info)
{
	struct effect effect = {.type = GOSSIP_PEER_ADDRESSES, .peer = *peer};
	size_t size = info->count * sizeof *info->addresses;

	effect.hearsay = memory_alloc(sizeof *effect.hearsay + size);
	if (!effect.hearsay) {
		effects->error = ERROR_NOMEM;
		return;
	}
	effect.hearsay->source = *source;
	/* A longer URL could not be dialled. */
	effect.hearsay->relay_size =
		info->relay && info->relay_size < RELAY_URL_SIZE ? info->relay_size : 0;
	if (effect.hearsay->relay_size > 0)
		memcpy(effect.hearsay->relay, info->relay, effect.hearsay->relay_size);
	effect.hearsay->count = info->count;
	memcpy(effect.hearsay->addresses, info->addresses, size);
	push(effects, &effect);
}
