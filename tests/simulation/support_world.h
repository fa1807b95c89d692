/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A world of whole nodes in one process: the real mesh with all its cores (gossip, links,
 * joiner, diallers, book, walker, discovery sessions) under virtual time, everything from one
 * seed. The world drives each mesh as bridge/io/ does in a broker; its network (the meshes' port) is
 * support_world_network.c.
 *
 * A node may live several times: killed or stopped and started again it has the same key and
 * address, and remembers what its last life has put on the disk, or nothing.
 *
 * Always seen to: no node has more neighbours in an overlay than fit into its view, nor itself, nor
 * anybody twice; nothing is delivered that nobody has published.
 *
 * One thread. Whatever cannot be done (no memory, a wrong argument) ends the process.
 */
#ifndef TESTS_SIMULATION_SUPPORT_WORLD_H
#define TESTS_SIMULATION_SUPPORT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bridge/counters.h"
#include "bridge/gossip/wire.h"
#include "bridge/mesh/mesh.h"
#include "bridge/message.h"

#define WORLD_MS UINT64_C(1000000)
#define WORLD_S	 (1000 * WORLD_MS)

struct world;

struct world_config {
	size_t nodes;  /* as many as there will ever be; none is up at first */
	size_t topics; /* overlays that there are, 1 at least; a node joins those it is told to */
	uint64_t seed;
	/* ns from one node to another, constant for a pair. */
	uint64_t least_latency, most_latency;
	/* Each flight may take up to so much longer, but none overtakes another of its connection. */
	uint64_t jitter;
	/* To standard output, or trace_to: 1: each neighbour that comes or goes, each ask, dial and
	 * end of a connection, and each frame of gossip but content; 2: content and the streams'
	 * beginnings and ends as well; 3: the nodes' logs as well. Few nodes are named by letters. */
	unsigned trace;
	FILE *trace_to;
	/* Whether the rows and values that a mesh hands out are there for its node's next life. */
	bool keeps;
	/* What repeats this run, for the line that says why it has ended; may be NULL. */
	const char *command;
};

/* What a node, or all of them, have done; sums over all lives. */
struct world_figures {
	uint64_t ups, downs;	    /* neighbours that came and went */
	uint64_t deliveries;	    /* messages handed to the owner */
	uint64_t connections, ends; /* of gossip, begun and ended; each of both sides counts */
	uint64_t bytes;		    /* sent on gossip's streams */
	uint64_t frames[WIRE_IHAVE + 1]; /* sent, by type */
	uint64_t high;			 /* of the Neighbor frames those with High */
	uint64_t counters[COUNTERS];
};

struct world *world_new(const struct world_config *config);
/* Kills all and frees everything. */
void world_free(struct world *world);

/* Of the configuration, until it is started: whom it has as a peer (trusted), or as a
 * bootstrap. */
void world_peer(struct world *world, size_t node, size_t peer);
void world_bootstrap(struct world *world, size_t node, size_t bootstrap);

/* Begins a life; the node must be down. False: there is no memory, and it is down still. */
bool world_start(struct world *world, size_t node);
/* Ends it as node_stop does: it is down within a little more than a second of farewells. */
void world_stop(struct world *world, size_t node);
/* Ends it at once without a word. */
void world_kill(struct world *world, size_t node);
bool world_is_up(const struct world *world, size_t node);

/* It has lost what it has kept; it must be down. */
void world_forget(struct world *world, size_t node);
/* It has another address from now on, which names lead to: its connections break without a word,
 * and nobody is at the old address any more. It may be down. */
void world_move(struct world *world, size_t node);

/* False: there is no memory, and it is not joined. */
bool world_join(struct world *world, size_t node, size_t topic);
void world_leave(struct world *world, size_t node, size_t topic);
/* Returns the message's number. Without memory for it its owner counts it as dropped. */
size_t world_publish(struct world *world, size_t node, size_t topic);

/* A message that nobody has published: node has it. Returns its number. */
size_t world_message(struct world *world, size_t node, size_t topic);
/* What such a number stands for; a reference for the caller. */
struct message *world_content(size_t message);
/* Puts words into a node's mouth of which its mesh knows nothing: a frame (ownership passes) goes
 * to another node on the stream that its mesh has opened there for this overlay, on the newest of
 * several connections. Ends the process if there is no such stream. */
void world_forge(struct world *world, size_t from, size_t to, size_t topic, struct frame *frame);
/* Open ones of gossip, as that node sees it. */
size_t world_connections(const struct world *world, size_t node, size_t peer);
/* A node ends its oldest connection to a peer, of gossip or of discovery, which its mesh has not
 * asked for. Ends the process if there is none. */
void world_close(struct world *world, size_t node, size_t peer, enum mesh_protocol protocol,
	uint64_t code);
/* A node's key, and its address. */
struct id world_id(size_t node);
struct address world_where_is(const struct world *world, size_t node);
/* The level of the trace from now on. */
void world_set_trace(struct world *world, unsigned trace);

/* Puts a node into a part of the network: nothing passes between parts. All are in part 0 at
 * first. What is on its way is lost, and sent again if the parts come together before the
 * connection has timed out. */
void world_part(struct world *world, size_t node, unsigned part);
/* All into part 0. */
void world_mend(struct world *world);

/* Of each hundred connections that are dialled from now on so many fail: half of them never come
 * about, the others break without a word within a minute. */
void world_fail_connections(struct world *world, unsigned percent);
/* A dial takes up to so much longer than its round trip. */
void world_slow_dials(struct world *world, uint64_t most);

/* Lets time pass. */
void world_run(struct world *world, uint64_t duration);
/* ns since the beginning. */
uint64_t world_now(const struct world *world);
/* Seeded. */
uint64_t world_random_below(struct world *world, uint64_t bound);

void world_figures(const struct world *world, size_t node, struct world_figures *out);
/* Of all nodes. */
void world_sum(const struct world *world, struct world_figures *out);
/* after - before */
void world_difference(const struct world_figures *after, const struct world_figures *before,
	struct world_figures *out);

/* Nodes that were asked to be neighbours and could not refuse: the first one, or to join two parts.
 * (A probe is a Shuffle, and changes nothing.) */
uint64_t world_asks(const struct counters *counters);

/* When the last neighbour went, the last node was asked, the last PRUNE or GRAFT was sent. */
struct world_unrest {
	uint64_t down, ask, tree;
};
struct world_unrest world_unrest(const struct world *world);

/* How many nodes that are up and in the overlay have a message (its publisher too). */
size_t world_reached(const struct world *world, size_t message);
bool world_has(const struct world *world, size_t node, size_t message);
/* How many messages came to a node that had them. */
uint64_t world_repeated(const struct world *world);

/* Nodes that are up and in the overlay; the largest number of them that hang together, where a
 * tie counts if both sides take each other for a neighbour; the ends of ties that the other
 * side knows nothing of. */
size_t world_members(const struct world *world, size_t topic);
size_t world_largest_part(const struct world *world, size_t topic);
size_t world_one_sided(const struct world *world, size_t topic);
size_t world_neighbours(const struct world *world, size_t node, size_t topic);

/* A hash of all that was sent, and when: the same for the same seed. */
uint64_t world_hash(const struct world *world);
/* How many events have been worked off. */
uint64_t world_events(const struct world *world);

#endif
