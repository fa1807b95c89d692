/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A deterministic network of gossip cores, of any size: virtual time, one seed, constant
 * latency per pair, all on one topic. Frames of a pair stay in order. What it carries are the
 * bytes of the frames.
 */
#ifndef TESTS_UNIT_SUPPORT_NETWORK_H
#define TESTS_UNIT_SUPPORT_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/gossip/gossip.h"
#include "bridge/gossip/wire.h"

#define NETWORK_MESSAGES 1024
#define NETWORK_MS	 UINT64_C(1000000)

struct network_event;

struct network_node {
	struct gossip *gossip;
	struct counters counters;
	bool up;
	unsigned delivered[NETWORK_MESSAGES]; /* times, by the number in the content */
	unsigned ups, downs, aparts, releases, hearsay;
	unsigned sent[WIRE_IHAVE + 1]; /* frames, by type */
	unsigned sent_bytes;
	uint64_t awaited; /* an event is there for this deadline */
};

struct network {
	uint64_t now;
	uint64_t seed;
	struct random random;
	struct id topic;
	size_t count;
	struct network_node *nodes;
	struct network_event *events; /* a heap, by time */
	size_t events_count, events_room;
	uint64_t events_made;
	/* Least, and how much longer it may be; constant for a pair, whose latencies are drawn
	 * from 'pairs'. */
	uint64_t latency, latency_spread, pairs;
	/* Each frame may take up to so much longer, but comes after those that were sent before it
	 * to the same node. */
	uint64_t jitter;
	uint64_t *last_arrivals; /* by sender and receiver; NULL until there is jitter */
	/* Since the beginning: Gossip frames that have arrived, and those that were delivered. */
	uint64_t payloads, deliveries;
	unsigned last_hop; /* the largest round of one that was delivered; the caller's to reset */
	uint64_t trace;	  /* a hash of all that was sent, to compare runs */
	/* Frames for which it says true get lost; may be NULL. */
	bool (*loses)(struct network *network, size_t from, size_t to,
		const struct wire_message *message);
	void *context;
};

/* All nodes exist and have joined. The caller's struct; network_stop frees. */
void network_start(struct network *network, size_t count, uint64_t seed);
void network_stop(struct network *network);

struct id network_id(size_t node);
/* Whose id it is. */
size_t network_node(const struct id *id);

void network_ask(struct network *network, size_t node, size_t peer);
/* Publishes message number from node; it counts as delivered there. */
void network_publish(struct network *network, size_t node, unsigned number);
/* Runs for that long. */
void network_run(struct network *network, uint64_t duration);
/* Runs until so many messages were delivered since the beginning, or for that long. */
void network_run_until(struct network *network, uint64_t deliveries, uint64_t duration);
/* Carries out what a node's core wants done: after each call to the core. */
void network_effects(struct network *network, size_t node);
/* It stops without a word; the others learn it a second later. */
void network_kill(struct network *network, size_t node);
/* It comes back as another process with the same key, knowing nothing. */
void network_restart(struct network *network, size_t node);
void network_leave(struct network *network, size_t node);

/* Nodes that are up and got it; -1 when one got it twice. */
int network_reached(const struct network *network, unsigned number);
/* Whether every neighbour of a node that is up takes it for a neighbour too. */
bool network_is_symmetric(const struct network *network);
/* Nodes that are up, and the largest number of them that hang together. */
size_t network_up(const struct network *network);
size_t network_largest_part(const struct network *network);
/* Whether the nodes that are up hang together. */
bool network_is_connected(const struct network *network);
unsigned network_sent(const struct network *network, enum wire_type type);

#endif
