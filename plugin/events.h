/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Publishes what happens on overlays, each event as one line of JSON on $SYS/broker/p2panda/event,
 * not retained:
 *
 *   {"time":<ms since 1970>,"event":"joined","overlay":"<10 digits>"}          likewise "left"
 *   {...,"event":"neighbour_up","overlay":"<10 digits>","node":"<10 digits>"}
 *   {...,"event":"neighbour_down","overlay":...,"node":...,"cause":"lost"}
 *   {...,"event":"dropped","overlay":...,"reason":"<name of its counter>","count":<messages>}
 *   {...,"event":"omitted","count":<events>}
 *
 * At most EVENTS_AT_ONCE events at once, then EVENTS_PER_SECOND; how many were omitted is told
 * before the next one. The broker's thread.
 */
#ifndef PLUGIN_EVENTS_H
#define PLUGIN_EVENTS_H

#include "../bridge/allowance.h"
#include "../bridge/node.h"

#define EVENTS_AT_ONCE	  100
#define EVENTS_PER_SECOND 10

/* All zero at the beginning. */
struct events {
	struct allowance allowance;
	uint64_t omitted;
};

/* Publishes an event of the node, if it is one of the above. */
void events_publish(struct events *events, uint64_t now_ns, uint64_t wall_ms,
	const struct node_event *event);

#endif
