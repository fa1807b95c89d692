/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counts what the end of the broker has cost: one line in the log with the number of messages for
 * each reason, and with what is kept for the next start, if there are any. The broker's thread.
 */
#ifndef PLUGIN_FAREWELL_H
#define PLUGIN_FAREWELL_H

#include <stdint.h>

#include "../bridge/node.h"

struct farewell {
	uint64_t kept;		 /* accepted from clients, for a neighbour after the next start */
	uint64_t waited;	 /* the same, and lost */
	uint64_t unacknowledged; /* copies of what was sent: a neighbour may have got them or not */
	uint64_t arrived;	 /* from overlays, and not handed to the broker */
};

/* Ends the node (node_end), and counts the messages that are lost by that. */
struct farewell farewell_end(struct node *node);
void farewell_say(const struct farewell *farewell);

#endif
