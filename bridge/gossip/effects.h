/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the core wants done, in order, until gossip_effect takes it: a growing ring.
 * Pushing never fails for the caller: without memory the effect is lost, what it
 * owns is released, a lost copy of content is counted, and error says so.
 */
#ifndef BRIDGE_GOSSIP_EFFECTS_H
#define BRIDGE_GOSSIP_EFFECTS_H

#include <stdbool.h>
#include <stddef.h>

#include "addr_info.h"
#include "gossip.h"
#include "wire.h"

struct effect; /* compact form of struct gossip_effect */

struct effects {
	struct effect *ring;
	size_t room; /* a power of two */
	size_t first;
	size_t count;
	int error; /* 0 or ERROR_NOMEM since effects_take_error */
	struct counters *counters;
};

/* ERROR_NOMEM. */
int effects_init(struct effects *effects, struct counters *counters);
void effects_clear(struct effects *effects);

/* Makes sure that the next n effects themselves find room. ERROR_NOMEM. */
int effects_reserve(struct effects *effects, size_t n);

bool effects_take(struct effects *effects, struct gossip_effect *out);
int effects_take_error(struct effects *effects);

/* A control message. last: finish the stream after it. A message too large for a
 * frame is not sent. */
void effects_send(struct effects *effects, const struct id *topic, const struct id *peer,
	const struct wire_message *message, bool last);

/* A message with its content; false if it was lost. */
bool effects_send_gossip(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message, uint16_t round);

/* Takes a reference of its own. */
void effects_deliver(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message);

/* GOSSIP_NEIGHBOUR_UP, GOSSIP_NEIGHBOUR_DOWN, GOSSIP_APART, GOSSIP_RELEASE. */
void effects_peer(struct effects *effects, enum gossip_effect_type type, const struct id *topic,
	const struct id *peer);

void effects_addresses(struct effects *effects, const struct id *peer, const struct id *source,
	const struct addr_info *info);

#endif
