/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the overlays to the broker: takes the node's events, publishes what arrived, logs
 * what is to be logged. The broker's thread.
 */
#ifndef PLUGIN_INBOUND_H
#define PLUGIN_INBOUND_H

#include <stddef.h>
#include <stdint.h>

#include "../bridge/node.h"
#include "guard.h"
#include "interest.h"
#include "remark.h"

/* At most so many events per turn of the broker's loop: a subscriber's queue beyond its
 * socket buffer is max_queued_messages (1000), what is more is dropped by the broker. */
#define INBOUND_PER_TURN 500

/* Returns how many events were taken; fewer than INBOUND_PER_TURN: there are none left. */
struct inbound {
	struct node *node;
	struct interest *interest;
	struct guard *guard;
	struct remarks *remarks;
	uint8_t delivery_qos;
};

size_t inbound_drain(struct inbound *inbound, uint64_t now_ns, uint64_t wall_s);

#endif
