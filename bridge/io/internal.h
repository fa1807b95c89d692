/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the driver know of one another: driver.c (commands, turns, what the mesh
 * wants), clock.c (time), start.c (beginning and end), mesh_quic.c (the mesh's port), relay_news.c
 * (what the relays have for QUIC and the mesh), whereabouts.c (the machine's addresses and its
 * local network), keeping.c (messages that wait, from one life to the next).
 */
#ifndef BRIDGE_IO_INTERNAL_H
#define BRIDGE_IO_INTERNAL_H

#include "../mesh/mesh.h"
#include "../quic/quic.h"
#include "../quic/trace.h"
#include "driver.h"
#include "interfaces.h"
#include "multicast.h"
#include "relaying.h"
#include "resolver.h"
#include "store.h"

/* A node that can be looked up: of the configuration, or we ourselves. */
struct looked_up {
	struct id node;
	struct resolution *resolution;
};

#define WHEREABOUTS_TOWARDS 64

struct driver {
	struct driver_owner owner;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_prepare_t prepare;
	uv_check_t check;
	struct mesh *mesh;
	struct quic_endpoint *endpoint;
	struct id me;
	struct resolver *resolver;
	struct looked_up *looked_up;
	size_t looked_up_count;
	struct trace *trace; /* NULL: none is wanted */
	struct store *store;
	size_t kept;	/* messages that were handed to the store at the end */
	size_t resumed; /* messages of an earlier life */
	char store_failure[STORE_REASON_SIZE]; /* the failure that was logged last */
	struct multicast *multicast; /* NULL: mdns is off */
	struct interfaces_watch *watch;
	struct relaying *relaying; /* NULL: no relay is named, and none may be learned */
	/* News of the relays since the mesh was last told: the home is another one, one is up. */
	bool relay_moved, relay_up;
	const struct address *sockets; /* as they are bound, wildcards and all; the owner's */
	size_t sockets_count;
	/* Where nodes of the configuration are, as far as it is known. */
	struct address towards[WHEREABOUTS_TOWARDS];
	size_t towards_count;
	/* What others are told of where this node is, and how many addresses had no room. */
	struct address told[LIMIT_ADDRESSES_PER_NODE];
	size_t told_count, left_out;
	bool told_news; /* the owner is to be told of these */
	bool is_advertised; /* others are told addresses of the configuration, too */
	const struct node_config *starting; /* NULL but within driver_new */
	bool handles_ready;
	bool closing;
	size_t most_held;    /* the most of mesh_held since memory was given back */
	bool rows_left;	     /* rows are to be written in the next turn */
	uint64_t wall, wall_read; /* Unix time in us, and when it was read, on the loop's clock */
	uint64_t turn_began; /* as far as driver_is_late knows; 0: it was not asked yet */
	unsigned handles;    /* the driver's, still open */
	uint8_t row[MESH_ROW_SIZE];
};

/* driver.c */

/* Carries out what the mesh wants. */
void driver_drain(struct driver *driver);
/* Carries out what is due. */
void driver_tick(struct driver *driver);
/* Ends a turn of the loop, when all that has come in it was taken in. Returns when driver_tick is
 * wanted next; UINT64_MAX: never. */
uint64_t driver_turn(struct driver *driver);

/* clock.c, with driver_is_late */

struct mesh_time clock_time(struct driver *driver);
/* Makes the loop's handles: from now on time passes. */
void clock_start(struct driver *driver);
/* How many handles clock_start makes. */
#define CLOCK_HANDLES 3
/* Closes the handles; start_part_closed is called for each. */
void clock_stop(struct driver *driver);

/* start.c */

/* Notes that one of the handles is closed; the last one ends the driver (stopped). context: the
 * driver. */
void start_part_closed(void *context);
/* Makes a node one that can be looked up from now on, in the place of what was said of the node
 * before. ERROR_NOMEM. */
int start_look_for(struct driver *driver, const struct node_peer *peer);
/* Ends the look-ups of a node, unless it is this node itself. */
void start_look_no_more(struct driver *driver, const struct id *node);
/* Closes sockets and handles, once the farewells are said. */
void start_close(struct driver *driver);

/* mesh_quic.c */

extern const struct quic_callbacks mesh_quic_callbacks;
/* Tells the mesh that there was no place for a connection (quic_config's crowded). context: the
 * driver. */
void mesh_quic_crowded(void *context, const struct address *source);
/* Tells the mesh what this machine does not let us do (quic_config's failed). context: the
 * driver. */
void mesh_quic_failed(
	void *context, enum quic_failed what, const struct address *address, int error);
/* Asks the mesh whether a peer that has proven its id is let in (quic_config's relay_accept, and
 * accept of each protocol). context: the driver. */
bool mesh_quic_accepts(void *context, const struct id *peer);
struct mesh_port mesh_quic_port(struct driver *driver);

/* relay_news.c */

/* Makes driver->relaying with the relays of the configuration; not if no relay is named there and
 * none may be learned. ERROR_NOMEM. */
int relay_news_new(struct driver *driver, const struct node_config *config);
/* Adds the relays of a node that was added to the configuration. ERROR_NOMEM. */
int relay_news_name(struct driver *driver, const struct node_peer *peer);
/* Tells the mesh what has changed about the relays, and writes what is to be sent by them; at the
 * end of each turn. */
void relay_news_turn(struct driver *driver);
/* Sends datagrams to a node by a relay (quic_config's relay_send). context: the driver. */
void relay_news_send(void *context, const struct address *relay, const struct id *node,
	const uint8_t *data, size_t size, size_t segment);

/* keeping.c */

/* Hands what still waits at the end to the store, as far as the store takes it. */
void keeping_take(struct driver *driver);
/* Takes a row that an earlier life has kept, before the mesh begins; a row that means nothing is
 * left out. */
void keeping_restore(struct driver *driver, const void *row, size_t size);
/* Logs one line about the messages that were kept, if there were any. */
void keeping_say(struct driver *driver);

/* whereabouts.c */

/* Looks at where others find us, by the addresses of the bound sockets, and keeps that in
 * driver->told. Tells whether the addresses are others than before. */
bool whereabouts_look(struct driver *driver);
/* Notes where nodes of the configuration are: the addresses of ours that they are reached from are
 * told first. Looks for those addresses if the node has begun. */
void whereabouts_towards(struct driver *driver, const struct address *addresses, size_t count);
/* Opens the sockets of the local network; what the network does not allow is only logged.
 * ERROR_NOMEM. */
int whereabouts_lan(struct driver *driver, enum node_mdns mode);
/* Tells the owner where other nodes are told that this node is, if that has changed. */
void whereabouts_turn(struct driver *driver);
/* Follows the changes of this machine's addresses. */
void whereabouts_watch(struct driver *driver);
/* Closes the handles of multicast and of the watch; start_part_closed is called for each. Returns
 * how many there are. */
unsigned whereabouts_stop(struct driver *driver);

#endif
