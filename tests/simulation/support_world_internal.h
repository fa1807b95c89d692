/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the world know of one another. */
#ifndef TESTS_SIMULATION_SUPPORT_WORLD_INTERNAL_H
#define TESTS_SIMULATION_SUPPORT_WORLD_INTERNAL_H

#include "bridge/error.h"
#include "bridge/gossip/wire.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "support_world.h"

#define NOBODY SIZE_MAX

enum event_kind {
	/* of a life */
	EVENT_TICK,
	EVENT_RESOLVED, /* the argument: which of its look-ups */
	EVENT_OVER,
	/* of a connection's side; each holds a reference to the wire */
	EVENT_CUT,		  /* of the dialler: from now on nothing passes */
	EVENT_INITIAL,		  /* of the dialler; arrives at the address that was dialled */
	EVENT_HELLO,		  /* of the dialler: the answer has come */
	EVENT_FINISHED,		  /* of the acceptor: the handshake is complete for it too */
	EVENT_HANDSHAKE_OVER,	  /* it has taken too long */
	EVENT_IDLE,		  /* perhaps nothing was heard for too long */
	EVENT_CLOSE,		  /* a packet arrives that ends it; the argument: how */
	EVENT_REPORT,		  /* it has ended */
	EVENT_CREDIT,		  /* its peer grants another stream */
	EVENT_RESUME,		  /* what was lost comes again */
	/* of a flight */
	EVENT_FLIGHT, /* it arrives */
	EVENT_ACKED,  /* that it has arrived is known to the sender */
	/* of a stream: the peer wants no more of it */
	EVENT_STOPPED,
};

struct event {
	uint64_t at, order;
	void *object;
	uint32_t argument;
	enum event_kind kind;
};

struct overlay_of_node {
	bool joined;
	size_t count, room;
	uint32_t *neighbours;
};

/* One life of a node, from its start until all of it is closed. */
struct life {
	struct world *world;
	struct life *next; /* of all lives of the world */
	size_t node;
	bool killed; /* whatever it still says, nobody hears it */
	bool stopping;
	bool closing; /* its mesh is over */
	bool over;    /* and freed */
	struct mesh *mesh;
	struct endpoint *endpoint;
	uint64_t due;	  /* when it wants its next tick */
	uint64_t awaited; /* one is among the events for then, which may be too early */
	uint64_t ticked;  /* when it had its last tick, and how many at that same time */
	unsigned ticks;
	uint64_t asks; /* of its counter, as last seen */
	uint64_t random_state;
	struct counters counters;
};

/* A row of an address book. */
struct kept_row {
	struct kept_row *prev, *next;
	struct id id;
	size_t size;
	uint8_t bytes[];
};

struct node {
	struct life *life; /* NULL: it is down */
	struct kept_row *rows; /* as they were written */
	uint8_t value[8];
	size_t value_size;
	uint8_t moves;
	unsigned lives;	   /* so far */
	const struct identity *identity;
	unsigned part;
	uint32_t *peers, *bootstraps;
	size_t peers_count, bootstraps_count;
	struct overlay_of_node *overlays; /* one for each topic */
	struct world_figures figures;	  /* the counters: of lives that are over */
};

struct told_message {
	size_t topic;
	struct id id;
	uint8_t *has; /* for each node how many times it got it */
};

struct world {
	struct world_config config;
	uint64_t now;
	uint64_t random_state;
	struct random random;
	struct node *nodes;
	struct life *lives;
	struct id *topics;
	struct endpoint *endpoints; /* all that ever were */
	struct event *events;		 /* a heap, by time */
	size_t events_count, events_room;
	uint64_t events_made, events_done;
	struct told_message *messages;
	size_t messages_count, messages_room;
	uint64_t repeated;
	bool changed; /* parts have */
	bool forging; /* what is sent is not of a mesh: it may be nonsense */
	unsigned failing; /* percent of connections */
	uint64_t slow_dials;
	struct world_unrest unrest;
	uint64_t hash;
	uint8_t *bytes; /* of a flight as it arrives */
	size_t bytes_room;
};

/* What time it is when the world begins: an arbitrary monotonic one, and an ordinary date. */
#define BEGINNING_NS	  (1000 * WORLD_S)
#define BEGINNING_WALL_US UINT64_C(1790000000000000)

#define WORLD_PORT 2022

/* support_world.c */

void *world_alloc(size_t size);
/* Ends the process with a line that says why. */
__attribute__((noreturn, format(printf, 2, 3))) void world_fail(
	const struct world *world, const char *format, ...);
/* What a node is called in the trace; valid for a few calls. NOBODY is a stranger to this world. */
const char *world_name(const struct world *world, size_t node);
/* Where something happens, for the end of a line: nothing if there is but one overlay. */
const char *world_where(const struct world *world, size_t topic);
/* A line of the trace, with the time before it: ms. */
__attribute__((format(printf, 2, 3))) void world_trace(
	const struct world *world, const char *format, ...);
void world_event(struct world *world, uint64_t at, enum event_kind kind, void *object,
	uint32_t argument);
void world_mix(struct world *world, uint64_t value);
struct mesh_time life_time(const struct life *life);
/* After something has happened to a life. */
void life_turn(struct life *life);
/* What it sends goes out, and what comes to it is heard. */
bool life_is_heard(const struct life *life);
struct address world_address(const struct world *world, size_t node);
/* Whose address it is or was; NOBODY. */
size_t world_node_at(const struct world *world, const struct address *address);
bool world_is_there(const struct world *world, const struct address *address);
/* Whose key it is; NOBODY. */
size_t world_node_of(const struct id *id);
/* A frame goes onto a stream of gossip. *topic: the stream's overlay; the first frame sets it. */
void world_note_frame(struct world *world, struct life *life, size_t to, const struct frame *frame,
	size_t *topic);

/* support_world_machine.c */

/* The key of the node with that number, the same in every world. */
const struct identity *machine_identity(size_t number);
/* Whose key it is, of those that were asked for; NOBODY. */
size_t machine_number(const struct id *id);

/* support_world_network.c */

/* The life's endpoint is there; all of it closes. */
void network_open(struct life *life);
void network_close(struct life *life);
struct mesh_port network_port(struct life *life);
void network_event(struct world *world, const struct event *event);
/* The event will not come: frees what it holds. */
void network_dispose(const struct event *event);
void network_free(struct world *world);
/* A frame (ownership passes) goes onto the life's stream to a node for an overlay; false: there is
 * no such stream. */
bool network_forge(struct life *life, size_t to, size_t topic, struct frame *frame);
size_t network_connections(const struct life *life, size_t to);
/* Ends the life's oldest connection to that node; false: there is none. */
bool network_cut(struct life *life, size_t to, enum mesh_protocol protocol, uint64_t code);
/* The life has ended without a word. */
void network_killed(struct life *life);
/* Its node has begun another life: whoever still holds a connection to an earlier one hears so
 * with the next packet. */
void network_reborn(struct life *life);
/* The node is not any more where its connections lead to. */
void network_moved(struct life *life);
/* Some nodes can be reached no more, or again. */
void network_changed(struct world *world);

#endif
