/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the driver know of one another: driver.c (commands, turns, what the mesh wants),
 * clock.c (time), start.c (beginning and end), mesh_quic.c (the mesh's port), relay_news.c (what the
 * relays have for QUIC and the mesh), whereabouts.c (the machine's addresses and its local network).
 */
#ifndef BRIDGE_IO_INTERNAL_H
#define BRIDGE_IO_INTERNAL_H

#include "../mesh/mesh.h"
#include "../quic/quic.h"
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

struct driver {
	struct driver_owner owner;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_prepare_t prepare;
	uv_check_t check;
	struct mesh *mesh;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	struct looked_up *looked_up;
	size_t looked_up_count;
	struct store *store;
	char store_failure[STORE_REASON_SIZE]; /* the one that was logged */
	struct multicast *multicast; /* NULL: mdns is off */
	struct interfaces_watch *watch;
	struct relaying *relaying; /* NULL: no relay is named, and none may be learned */
	/* What has come of the relays since the mesh was last told. */
	bool relay_moved, relay_up;
	const struct address *sockets; /* as they are bound, wildcards and all; the owner's */
	size_t sockets_count;
	const struct node_config *starting; /* NULL but within driver_new */
	bool handles_ready;
	bool closing;
	bool rows_left;	     /* rows are to be written in the next turn */
	uint64_t turn_began; /* as far as driver_is_late knows; 0: it was not asked yet */
	unsigned handles;    /* of ours, still open */
	uint8_t row[MESH_ROW_SIZE];
};

/* driver.c */

/* Carries out what the mesh wants. */
void driver_drain(struct driver *driver);
/* What is due. */
void driver_tick(struct driver *driver);
/* The end of a turn: all that came has been taken in. Returns when driver_tick is wanted next;
 * UINT64_MAX: never. */
uint64_t driver_turn(struct driver *driver);

/* clock.c, with driver_is_late */

struct mesh_time clock_time(const struct driver *driver);
/* The loop's handles: from now on time passes. */
void clock_start(struct driver *driver);
/* Closes them; start_part_closed is called for each of CLOCK_HANDLES. */
#define CLOCK_HANDLES 3
void clock_stop(struct driver *driver);

/* start.c */

/* One of the handles is closed. context: the driver. */
void start_part_closed(void *context);
/* The end, once the farewells are said: sockets and handles close. */
void start_close(struct driver *driver);

/* mesh_quic.c */

extern const struct quic_callbacks mesh_quic_callbacks;
/* Somebody could not be given a place. context: the driver. */
void mesh_quic_crowded(void *context, const struct address *source);
/* quic_config's relay_accept. context: the driver. */
bool mesh_quic_accepts(void *context, const struct id *peer);
struct mesh_port mesh_quic_port(struct driver *driver);

/* relay_news.c */

/* ERROR_NOMEM. */
int relay_news_new(struct driver *driver, const struct node_config *config);
/* Tells the mesh what has changed, and writes what is to be sent; at the end of each turn. */
void relay_news_turn(struct driver *driver);
/* quic_config's relay_send. context: the driver. */
void relay_news_send(void *context, const struct address *relay, const struct id *node,
	const uint8_t *data, size_t size, size_t segment);

/* whereabouts.c */

/* Where others find us: the addresses of the bound sockets. At most LIMIT_ADDRESSES_PER_NODE. */
size_t whereabouts_addresses(const struct driver *driver, struct address *out);
/* Opens the sockets of the local network; what the network does not allow is only logged.
 * ERROR_NOMEM. */
int whereabouts_lan(struct driver *driver, enum node_mdns mode);
/* Follows what changes. */
void whereabouts_watch(struct driver *driver);
/* Closes handles; start_part_closed is called for each, and their number is returned. */
unsigned whereabouts_stop(struct driver *driver);

#endif
