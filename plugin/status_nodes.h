/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The status of each node that is configured or a neighbour, below $SYS/broker/p2panda/node/<its
 * first ten digits>/:
 *
 *   state  online or offline
 *
 * A configured node is online while there is a connection to it, and after discovery has reached it
 * until it fails to be reached or is lost. Any other node is online while it is a neighbour in some
 * overlay, and STATUS_NODE_KEPT_S after that its topic is cleared. The topics are retained. At most
 * STATUS_NODES nodes have one at a time; nodes that are gone give way. The broker's thread.
 */
#ifndef PLUGIN_STATUS_NODES_H
#define PLUGIN_STATUS_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/id.h"
#include "../bridge/random.h"

#define STATUS_NODES	   200
#define STATUS_NODE_KEPT_S 60

struct status_nodes;

/* Makes a status of nodes, without any. Returns 0 or ERROR_NOMEM. */
int status_nodes_new(const struct random *random, struct status_nodes **out);
/* Frees a status of nodes; NULL is fine. */
void status_nodes_free(struct status_nodes *nodes);

/* Notes that a node is configured, and here (online) or not; or that it is configured no more. */
void status_nodes_configured(
	struct status_nodes *nodes, const struct id *node, bool configured, bool here);
/* Notes that a node is a neighbour in one more overlay, or in one less. */
void status_nodes_up(struct status_nodes *nodes, const struct id *node);
void status_nodes_down(struct status_nodes *nodes, const struct id *node);

/* Publishes what has changed, and clears the topics whose time is over. */
void status_nodes_publish(struct status_nodes *nodes, uint64_t now_ns);
/* Marks all of it to be published again. */
void status_nodes_again(struct status_nodes *nodes);

#endif
