/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The effects that the core wants done, in order, until gossip_effect takes them: a growing ring.
 * Pushing never fails for the caller: without memory the effect is lost, what the effect owns is
 * released, a lost copy of content is counted, and error is set.
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

/* Sets up an empty ring. ERROR_NOMEM. */
int effects_init(struct effects *effects, struct counters *counters);
void effects_clear(struct effects *effects);

/* Reserves room for the next n effects themselves (not for what they own). ERROR_NOMEM. */
int effects_reserve(struct effects *effects, size_t n);

bool effects_take(struct effects *effects, struct gossip_effect *out);
int effects_take_error(struct effects *effects);

/* Pushes a GOSSIP_SEND with a control message. last: finish the stream after the message. A message
 * that is too large for a frame is not sent. */
void effects_send(struct effects *effects, const struct id *topic, const struct id *peer,
	const struct wire_message *message, bool last);

/* Pushes a GOSSIP_SEND with a message and its content; returns false if the effect was lost. */
bool effects_send_gossip(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message, uint16_t round);

/* Pushes a GOSSIP_DELIVER, with a reference to the message of its own. */
void effects_deliver(struct effects *effects, const struct id *topic, const struct id *peer,
	struct message *message);

/* Pushes a GOSSIP_NEIGHBOUR_UP, GOSSIP_APART or GOSSIP_RELEASE. */
void effects_peer(struct effects *effects, enum gossip_effect_type type, const struct id *topic,
	const struct id *peer);

/* Pushes a GOSSIP_NEIGHBOUR_DOWN. */
void effects_down(struct effects *effects, const struct id *topic, const struct id *peer,
	enum gossip_down why);

void effects_addresses(struct effects *effects, const struct id *peer, const struct id *source,
	const struct addr_info *info);

#endif
