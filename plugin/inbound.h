/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the overlays to the broker: takes the node's events, publishes the messages that have
 * arrived, logs what is to be logged. The broker's thread.
 */
#ifndef PLUGIN_INBOUND_H
#define PLUGIN_INBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/node.h"
#include "flaps.h"
#include "guard.h"
#include "interest.h"
#include "remark.h"
#include "status.h"

/* At most so many events per turn of the broker's loop: a subscriber's queue beyond its
 * socket buffer is max_queued_messages (1000), what is more is dropped by the broker. */
#define INBOUND_PER_TURN 500
/* And for so long (ns), looked at after each INBOUND_LOOK: meanwhile nobody else is served, and what was
 * published leaves after the turn only. */
#define INBOUND_TURN_NS 1000000
#define INBOUND_LOOK	16

/* What inbound_drain works with; nothing of it is owned. */
struct inbound {
	struct node *node;
	struct interest *interest;
	struct guard *guard;
	struct remarks *remarks;
	struct flaps *flaps;
	struct status *status;
	uint8_t delivery_qos;
	uint64_t (*clock_ns)(void); /* the monotonic clock */
	/* Takes a picture that the node has sent, which stays the caller's; NULL: nobody asks for
	 * any. */
	void (*pictured)(void *context, const struct picture *picture);
	void *context;
};

/* Takes the node's events and deals with each. Returns how many were taken; more: whether others may be
 * left. */
size_t inbound_drain(struct inbound *inbound, uint64_t now_ns, uint64_t wall_s, bool *more);

#endif
