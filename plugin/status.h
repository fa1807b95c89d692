/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The status topics below $SYS/broker/p2panda/: retained, published when they change, at
 * most once per second, so that nothing is done when nothing happens. The broker's thread.
 */
#ifndef PLUGIN_STATUS_H
#define PLUGIN_STATUS_H

#include <stdint.h>

#include "../bridge/node.h"

struct status {
	struct node *node;
	uint64_t next_ns;
	size_t overlays, neighbours, relayed, connections, waiting;
	const char *relay_url; /* NULL: none is configured; the node's */
	enum node_relay_state relay_state;
	uint64_t counters[COUNTERS];
};

/* Publishes what never changes, and the rest as it is now. */
void status_begin(struct status *status, struct node *node, const struct id *me);
void status_tick(struct status *status, uint64_t now_ns);

#endif
