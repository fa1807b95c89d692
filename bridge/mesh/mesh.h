/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One whole p2panda node without input and output: gossip, links, the address book, discovery and
 * mDNS put together, with the policy of a node (whom to ask, whom to dial, what waits, what is said
 * of ourselves). The caller feeds the mesh with what has happened and when, and carries out what
 * the mesh wants.
 *
 * What the mesh wants at once it asks of a port (dial, open, send, ...), because the answer counts:
 * a peer may grant no more streams. Everything else is an effect, taken with mesh_effect, or a row
 * of the address book, taken with mesh_row. When nothing happens, mesh_tick is wanted at
 * mesh_deadline.
 *
 * sans-IO: no clock, socket, file or thread. Each entry point takes the time, does its one thing
 * and then lets the cores act on what has changed (mesh.c). The port is called from within entry
 * points, and calls none of them. One thread.
 *
 * (The model: raft_step of cowsql/raft. The behaviour is p2panda-net's, src/gossip, src/discovery,
 * src/address_book, as far as the files below do not say otherwise.)
 */
#ifndef BRIDGE_MESH_MESH_H
#define BRIDGE_MESH_MESH_H

#include "../address.h"
#include "../closing.h"
#include "../message.h"
#include "../node_types.h"
#include "../peers/book.h"
#include "../random.h"

/* Bytes of the largest row of the address book. */
#define MESH_ROW_SIZE BOOK_ROW_SIZE
/* The name of the one value that is kept. */
#define MESH_VALUE_TIME "info_time"

struct mesh;

/* When something happens. */
struct mesh_time {
	uint64_t now;  /* monotonic, ns; never goes back */
	uint64_t wall; /* Unix time, us; 0: unknown */
};

/* What a connection is for, from its handshake to its end. */
enum mesh_protocol { MESH_GOSSIP, MESH_DISCOVERY, MESH_PROTOCOLS };

/*
 * The transport. A connection and a stream are the transport's pointers; ours is the mesh's pointer
 * for one of them, given back with each event about it, NULL until the mesh has handed it in. What
 * ends is told by mesh_stream_closed and mesh_closed, never from within a call.
 */
struct mesh_port {
	void *context;
	/* Dials; mesh_connected or mesh_closed follows. Errors as quic_connect. */
	int (*dial)(void *context, enum mesh_protocol protocol, const struct id *peer,
		const struct address *address, void *ours, void **connection);
	void (*own_connection)(void *connection, void *ours);
	/* Closes the connection. reason: a constant for the peer's log; NULL: none. */
	void (*close)(void *connection, uint64_t code, const char *reason);
	/* Nobody here has a use for the connection (any more): it may give way to others. */
	void (*set_stranger)(void *connection, bool stranger);
	/* Opens a stream of ours; bidi: the peer may answer on it. ERROR_NO_STREAM_CREDIT
	 * (mesh_credit follows), ERROR_CLOSED, ERROR_NOMEM. */
	int (*open)(void *connection, bool bidi, void **stream);
	void (*own_stream)(void *stream, void *ours);
	/* Sends a frame; on success the stream owns it. ERROR_FULL, ERROR_CLOSED, ERROR_NOMEM. */
	int (*send)(void *stream, struct frame *frame);
	/* Ends our half after what is queued; tells the peer to send nothing more on its half. */
	void (*finish)(void *stream);
	void (*stop)(void *stream, uint64_t code);
	/* Whether the caller has something more urgent to do: what can wait is left for the next
	 * entry, which is due at once. */
	bool (*is_late)(void *context);
	/* Whether nodes may be dialled at a relay, and the address that stands for the relay then;
	 * NULL: at none. */
	bool (*relay)(void *context, const struct relay_url *url, struct address *address);
	/* How long a round trip takes, in us; 0: not known. NULL: never known. */
	uint64_t (*rtt)(void *connection);
	/* Bytes that were sent on the connection and are not acknowledged; *limit: at how many send
	 * says FULL. NULL: it is never full. */
	size_t (*queued)(void *connection, size_t *limit);
};

struct mesh_config {
	const struct node_config *node; /* read during mesh_new */
	const struct identity *identity; /* must outlive the mesh */
	struct random random;
	struct counters *counters; /* must outlive the mesh */
	struct mesh_port port;
};

enum mesh_effect_type {
	MESH_EVENT,   /* for the owner, who takes what it holds */
	MESH_LOOK_UP, /* where node, one of the configuration or ourselves, is: mesh_resolved */
	MESH_VALUE,   /* bytes to be kept under MESH_VALUE_TIME: mesh_restore_value */
	MESH_PACKET,  /* bytes to be sent to the group of mDNS, on each interface */
};

struct mesh_effect {
	enum mesh_effect_type type;
	struct node_event event;
	struct id node;
	const uint8_t *bytes; /* valid until the next call of any kind */
	size_t size;
};

/* Numbers for a status. relayed: nodes to which there are only connections by way of a relay. */
struct mesh_figures {
	size_t overlays, neighbours, connections, relayed, waiting;
	uint64_t overlays_changes, nodes_changes; /* node_changes */
};

/* Makes a node that does nothing yet. ERROR_NOMEM. */
int mesh_new(const struct mesh_config *config, struct mesh **out);
/* Frees the mesh, once the transport has reported the end of each connection. NULL is fine. */
void mesh_free(struct mesh *mesh);

/* Takes what was kept by an earlier life, before mesh_begin: here a value, below a row, and what
 * version 1 of the store has known of a neighbour. Whatever means nothing is left out. */
void mesh_restore_value(struct mesh *mesh, const void *bytes, size_t size);
void mesh_restore_row(struct mesh *mesh, const struct id *node, const uint8_t *row, size_t size);
void mesh_restore_neighbour(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const struct id *node, const struct address *addresses, size_t count);

/* A message that waits for a neighbour, or for its turn, and how much longer. */
struct mesh_waiting {
	struct id topic;
	struct message *message;
	uint64_t left_ns;
};
/* Takes a message that waited at the end of an earlier life: it goes on waiting, until its overlay is
 * joined and has a neighbour. Takes a reference of its own. A message that has waited too long, or for
 * which there is no room, is dropped and counted. Before mesh_begin. */
void mesh_restore_waiting(
	struct mesh *mesh, const struct mesh_time *time, const struct mesh_waiting *waiting);

/* Begins, once the sockets are bound: tells others that they find this node at bound (at most
 * LIMIT_ADDRESSES_PER_NODE addresses count), and looks for the others. ERROR_NOMEM. */
int mesh_begin(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count);
/* Finds others on a local network, and is found there: packets go there (MESH_PACKET) and come from
 * there (mesh_packet). To be called before mesh_begin. ERROR_NOMEM. */
int mesh_use_lan(struct mesh *mesh, enum node_mdns mode);

/* ---- commands of the owner ---- */

/* Joins an overlay. ERROR_NOMEM: not joined, try again. Over a limit a line is logged, and what is
 * published on that overlay is dropped. */
int mesh_join(struct mesh *mesh, const struct mesh_time *time, const struct id *topic);
void mesh_leave(struct mesh *mesh, const struct mesh_time *time, const struct id *topic);
/* Publishes a message on an overlay, and takes its reference. */
void mesh_publish(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	struct message *message);
/* Signs a body and publishes it on an overlay. */
void mesh_publish_signed(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const void *body, size_t size);
/* Sets whether all signed messages of an overlay are verified (node.h). */
void mesh_verify(struct mesh *mesh, const struct id *topic, bool verify);
/* Adds a node to the configuration, or replaces it by itself with other addresses or another role.
 * ERROR_NOMEM: as if the node had been removed. */
int mesh_set_peer(struct mesh *mesh, const struct mesh_time *time, const struct node_peer *peer,
	bool trusted);
/* Removes a node from the configuration: its connection is then one as any other's. */
void mesh_remove_peer(struct mesh *mesh, const struct mesh_time *time, const struct id *id);
/* Replaces the lists of who is let in; connections of those who are not any more are closed.
 * ERROR_NOMEM: nothing has changed. */
int mesh_set_access(struct mesh *mesh, const struct mesh_time *time, const struct id *allow,
	size_t allow_count, const struct id *deny, size_t deny_count);
/* Asks for a picture, which follows in MESH_EVENT, that of a ping within PING_MOST_MS.
 * ERROR_NOMEM. */
int mesh_ask(struct mesh *mesh, const struct mesh_time *time, const struct picture_question *question);
/* Takes out what waits, right before the end, in order and one by one, for a later life. The
 * reference is the caller's, and so is counting what becomes of the message. Returns false when
 * nothing waits any more. */
bool mesh_take_waiting(
	struct mesh *mesh, const struct mesh_time *time, struct mesh_waiting *out);
/* Tells whether more may be published on the overlay now. Not while much waits for its fastest
 * neighbour, nor while much waits for another one that was not behind for long (links_have_room).
 * Where there is no neighbour there is room: what is published waits for one. */
bool mesh_has_room(struct mesh *mesh, const struct mesh_time *time, const struct id *topic);
/* Leaves every overlay with a farewell; mesh_is_over within LIMIT_FAREWELL_MS. */
void mesh_stop(struct mesh *mesh, const struct mesh_time *time);
/* Tells whether everything is said, so that the transport may close. From then on nothing more is
 * wanted. */
bool mesh_is_over(const struct mesh *mesh);

/* ---- what has happened ---- */

/* Notes that a handshake is complete. ours: of this node's dial; NULL: the peer has dialled. */
void mesh_connected(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection, void *ours, const struct id *peer, const struct address *address);
/* Notes that a connection is over; all its streams were reported as closed before. Not to be called
 * for a connection without ours. */
void mesh_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *ours, const struct closing *closing);
/* Takes bytes that have come on a stream. connection_ours: the connection's, ours: the stream's. */
void mesh_data(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool bidi, const uint8_t *data,
	size_t size, bool fin);
/* Returns the overlay of a stream that the peer has opened on a gossip connection, by ours; NULL:
 * not known yet. */
const struct id *mesh_stream_topic(const void *ours);
/* Notes that a stream is over. unacknowledged: frames of this node (linked by next, ownership
 * passes) that had not arrived when the whole connection ended. Not to be called for streams of
 * connections without ours. */
void mesh_stream_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool incoming,
	struct frame *unacknowledged);
/* Notes that the peer grants more streams. */
void mesh_credit(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours);
/* Tells whether a peer that has proven its id is let in. */
bool mesh_lets_in(struct mesh *mesh, const struct mesh_time *time, const struct id *peer);
/* Tells whether a peer has one of the reserved places: nodes of the configuration have. */
bool mesh_keeps(struct mesh *mesh, const struct id *peer);
/* Notes that there is no place for all connections: one from source was refused, or another gave
 * way. */
void mesh_crowded(struct mesh *mesh, const struct mesh_time *time, const struct address *source);
/* Notes that somebody who dialled this node was refused before it was known who it is. why: for the
 * log. */
void mesh_refused(struct mesh *mesh, const struct mesh_time *time, const struct address *address,
	const char *why);
/* Takes the answer to MESH_LOOK_UP, which may be a partial one. all: how many addresses there are;
 * those that are not in this answer come with the next ones. failure: why a name has no address;
 * else empty. */
void mesh_resolved(struct mesh *mesh, const struct mesh_time *time, const struct id *node,
	const struct address *addresses, size_t count, size_t all, const char *failure);
/* Takes a packet from the local network; its bytes may be anybody's. */
void mesh_packet(
	struct mesh *mesh, const struct mesh_time *time, const uint8_t *packet, size_t size);
/* Takes this machine's addresses, which may have changed. */
void mesh_addresses(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count);
/* Takes the relay at which others find this node from now on; NULL: none. */
void mesh_relay(struct mesh *mesh, const struct mesh_time *time, const struct relay_url *url);
/* Notes that a relay is connected (again): what is sent by it arrives from now on. */
void mesh_relay_up(struct mesh *mesh, const struct mesh_time *time);
/* Logs that this machine does not let us do something, unless that has just been said. what: a
 * constant that says what. address: the one that the failure is about; NULL: none in particular. */
void mesh_unable(struct mesh *mesh, const struct mesh_time *time, const char *what,
	const struct address *address, int error);
/* Logs a line: one of the mesh's own, or one from below (the disk, the sockets). */
__attribute__((format(printf, 3, 4))) void mesh_log(
	struct mesh *mesh, enum node_log_level level, const char *format, ...);

/* ---- time ---- */

/* Carries out what is due. */
void mesh_tick(struct mesh *mesh, const struct mesh_time *time);
/* Ends a turn, in which any number of the functions above have been called: what was put off goes
 * on, and the wall clock is looked at. */
void mesh_turn(struct mesh *mesh, const struct mesh_time *time);
/* Returns when mesh_tick is wanted; 0: at once; UINT64_MAX: never. */
uint64_t mesh_deadline(const struct mesh *mesh);
/* Returns about how many bytes of memory the messages take that are remembered, which is most of
 * what a mesh takes after a burst. */
size_t mesh_held(const struct mesh *mesh);

/* ---- what is wanted ---- */

/* Takes the next effect; false: there is none. */
bool mesh_effect(struct mesh *mesh, struct mesh_effect *out);
/* Takes a row of the address book that has changed, to be kept; *size 0: to be deleted. Rows wait
 * in the book, one for each node, for as long as there is no room for them elsewhere. False: there
 * is none. */
bool mesh_row(struct mesh *mesh, struct id *node, uint8_t row[MESH_ROW_SIZE], size_t *size);
struct mesh_figures mesh_figures(const struct mesh *mesh);

#endif
