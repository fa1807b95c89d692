/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The status topics below $SYS/broker/p2panda/: retained, published when they change, so that
 * nothing is done when nothing happens. The node's totals and the words of overlays and nodes are
 * published at most once per second, the numbers of each overlay at most once per sys_interval. The
 * broker does not tell plugins its sys_interval: so this is an option here as well, and 0 means no
 * status at all.
 *
 * Some brokers keep no retained messages (retain_available false, which the broker does not tell
 * either). There, all of the status is published again each sys_interval, as the broker does with
 * its own. Such a broker is found out by a client that subscribes: the client is sent nothing by
 * that, but is sent what is published next.
 *
 * The broker's thread.
 */
#ifndef PLUGIN_STATUS_H
#define PLUGIN_STATUS_H

#include <stdint.h>

#include "../bridge/node.h"
#include "events.h"
#include "status_nodes.h"
#include "status_overlays.h"

#define STATUS_PREFIX	  "$SYS/broker/p2panda/"
#define STATUS_TOPIC_SIZE 64

/* The topics below STATUS_PREFIX with their meanings, as in docs/status.md; the counters
 * (counters.h) come besides */
#define STATUS_TABLE(X) \
	X("node_id", "who this node is") \
	X("addresses", "its bound UDP addresses") \
	X("addresses/told", \
		"where other nodes are told that it is, at most sixteen; besides those of the " \
		"option `advertise`") \
	X("addresses/left_out", \
		"addresses of this machine that they are not told: there are too many, those of " \
		"bridges are left out first") \
	X("state", \
		"all overlays in one word: `idle` (there are none), `joining` (none has had a " \
		"neighbour yet), `joined` (each has one), `partly`, `alone` (none has one any " \
		"more)") \
	X("overlays", "joined overlays") \
	X("neighbours", "neighbours over all overlays") \
	X("neighbours/relayed", "those of the neighbours that are reached by a relay only") \
	X("connections", "QUIC connections") \
	X("waiting", "messages that wait for a first neighbour now") \
	X("relay/url", \
		"the relay through which this node is reached (nothing without the option " \
		"`relay`)") \
	X("relay/state", \
		"`connecting`, `connected`; `denied`: it refuses the token or this node; " \
		"`elsewhere`: somebody with this node's key is connected there, later than this" \
		" one; `limited`: it takes less than is sent") \
	X("overlay/<10 digits>/state", \
		"of an overlay: `joining` (it has had no neighbour yet), `joined`, `alone` (its" \
		" last neighbour is gone)") \
	X("overlay/<10 digits>/neighbours", "its neighbours") \
	X("overlay/<10 digits>/in", "messages that MQTT clients published for it") \
	X("overlay/<10 digits>/out", "messages of it that were handed to the broker") \
	X("overlay/<10 digits>/dropped", "messages of it that were not carried, either way") \
	X("node/<10 digits>/state", \
		"`online` or `offline`: a configured node, or one that is a neighbour") \
	X("event", "what happens, as JSON, not retained: see below")

struct status;

/* Whether the broker keeps retained messages. */
enum status_retained { STATUS_RETAINED_FOUND_OUT, STATUS_RETAINED, STATUS_NOT_RETAINED };

/* Makes a status. interval_s: sys_interval. Returns 0 or ERROR_NOMEM. */
int status_new(uint64_t interval_s, enum status_retained retained, struct status **out);
/* Frees a status; NULL is fine. */
void status_free(struct status *status);

/* Publishes what never changes, and the rest as it is now: possible from the first TICK on. Before
 * that the other functions here may be called, but for status_tick. */
void status_begin(struct status *status, struct node *node, const struct id *me);
void status_tick(struct status *status, uint64_t now_ns);

/* Returns the part of the status that is the overlays', for those who count. */
struct status_overlays *status_overlays(struct status *status);
/* Takes an event of the node. */
void status_event(struct status *status, uint64_t now_ns, const struct node_event *event);

/* Notes that a client has subscribed and wants what is retained; or that a client is sent a
 * message. */
void status_wanted(struct status *status, const char *client, const char *filter);
void status_sent(struct status *status, const char *client, const char *topic);

#endif
