/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One whole p2panda node without input and output: gossip, links, the address book, discovery and
 * mDNS put together, with the policy of a node (whom to ask, whom to dial, what waits, what is said
 * of ourselves). The caller feeds it with what has happened and when, and carries out what it wants.
 *
 * What it wants at once it asks of a port (dial, open, send, ...), because the answer counts: a peer
 * may grant no more streams. Everything else is an effect, taken with mesh_effect, or a row of the
 * address book, taken with mesh_row. When nothing happens, mesh_tick is wanted at mesh_deadline.
 *
 * sans-IO: no clock, socket, file or thread. Each entry point takes the time, does its one thing and
 * then lets the cores act on it (mesh.c). The port is called from within entry points, and calls
 * none of them. One thread.
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
 * The transport. A connection and a stream are the transport's pointers; ours is what the mesh hands
 * in to be given back with each event about them, NULL until then. What ends is told by
 * mesh_stream_closed and mesh_closed, never from within a call.
 */
struct mesh_port {
	void *context;
	/* mesh_connected or mesh_closed follows. Errors as quic_connect. */
	int (*dial)(void *context, enum mesh_protocol protocol, const struct id *peer,
		const struct address *address, void *ours, void **connection);
	void (*own_connection)(void *connection, void *ours);
	/* reason: a constant for the peer's log; NULL: none. */
	void (*close)(void *connection, uint64_t code, const char *reason);
	/* Nobody here has a use for the connection (any more): it may give way to others. */
	void (*set_stranger)(void *connection, bool stranger);
	/* Opens a stream of ours; bidi: the peer may answer on it. ERROR_NO_STREAM_CREDIT
	 * (mesh_credit follows), ERROR_CLOSED, ERROR_NOMEM. */
	int (*open)(void *connection, bool bidi, void **stream);
	void (*own_stream)(void *stream, void *ours);
	/* On success the stream owns the frame. ERROR_FULL, ERROR_CLOSED, ERROR_NOMEM. */
	int (*send)(void *stream, struct frame *frame);
	/* Ends our half after what is queued; tells the peer to send nothing more on its half. */
	void (*finish)(void *stream);
	void (*stop)(void *stream, uint64_t code);
	/* Whether the caller has something more urgent to do: what can wait is left for the next
	 * entry, which is due at once. */
	bool (*is_late)(void *context);
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

/* Numbers for a status. */
struct mesh_figures {
	size_t overlays, neighbours, connections, waiting;
	size_t relayed; /* of the neighbours: reached by a relay only */
};

/* A node that does nothing yet. ERROR_NOMEM. */
int mesh_new(const struct mesh_config *config, struct mesh **out);
/* Once the transport has reported the end of each connection. NULL is fine. */
void mesh_free(struct mesh *mesh);

/* What was kept by an earlier life, before mesh_begin: a value, a row, and what version 1 of the
 * store has known of a neighbour. Whatever means nothing is left out. */
void mesh_restore_value(struct mesh *mesh, const void *bytes, size_t size);
void mesh_restore_row(struct mesh *mesh, const struct id *node, const uint8_t *row, size_t size);
void mesh_restore_neighbour(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const struct id *node, const struct address *addresses, size_t count);

/* Sockets are bound, for others to find it there (at most LIMIT_ADDRESSES_PER_NODE of them count):
 * says where it is, and looks for the others. ERROR_NOMEM. */
int mesh_begin(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count);
/* There is a local network to be found on: packets go there and come from there. Before mesh_begin.
 * ERROR_NOMEM. */
int mesh_use_lan(struct mesh *mesh, enum node_mdns mode);

/* ---- commands of the owner ---- */

/* ERROR_NOMEM: not joined, try again. Over a limit a line is logged, and what is published there is
 * dropped. */
int mesh_join(struct mesh *mesh, const struct mesh_time *time, const struct id *topic);
void mesh_leave(struct mesh *mesh, const struct mesh_time *time, const struct id *topic);
/* Takes the reference. */
void mesh_publish(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	struct message *message);
/* The same for a body that is signed here; and whether all signed messages of an overlay are
 * verified (node.h). */
void mesh_publish_signed(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const void *body, size_t size);
void mesh_verify(struct mesh *mesh, const struct id *topic, bool verify);
/* Leaves every overlay with a farewell; mesh_is_over within LIMIT_FAREWELL_MS. */
void mesh_stop(struct mesh *mesh, const struct mesh_time *time);
/* Everything is said: the transport may close. From then on nothing more is wanted. */
bool mesh_is_over(const struct mesh *mesh);

/* ---- what has happened ---- */

/* A handshake is complete. ours: of our dial; NULL: the peer has dialled. */
void mesh_connected(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection, void *ours, const struct id *peer, const struct address *address);
/* It is over; all its streams were reported as closed before. Not for one without ours. */
void mesh_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *ours, const struct closing *closing);
/* Bytes on a stream. connection_ours: of its connection, ours: of the stream. */
void mesh_data(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool bidi, const uint8_t *data,
	size_t size, bool fin);
/* A stream is over. unacknowledged: frames of ours (linked by next, ownership passes) that had not
 * arrived when the whole connection ended. Not for streams of connections without ours. */
void mesh_stream_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool incoming,
	struct frame *unacknowledged);
/* The peer grants more streams. */
void mesh_credit(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours);
/* Whether a peer that has proven its id is let in, and whether it has one of the reserved places. */
bool mesh_lets_in(struct mesh *mesh, const struct mesh_time *time, const struct id *peer);
bool mesh_keeps(struct mesh *mesh, const struct id *peer);
/* There is no place for all connections; somebody who dialled was refused before it was known who
 * it is. */
void mesh_crowded(struct mesh *mesh, const struct mesh_time *time, const struct address *source);
void mesh_refused(struct mesh *mesh, const struct mesh_time *time, const struct address *address,
	const char *why);
/* The answer to MESH_LOOK_UP, also a partial one. failure: why a name has no address; empty. */
void mesh_resolved(struct mesh *mesh, const struct mesh_time *time, const struct id *node,
	const struct address *addresses, size_t count, const char *failure);
/* A packet from the local network: somebody's bytes. */
void mesh_packet(
	struct mesh *mesh, const struct mesh_time *time, const uint8_t *packet, size_t size);
/* This machine's addresses may have changed. */
void mesh_addresses(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count);
/* A line for the log: the mesh's own, and those from below (the disk, the sockets). */
__attribute__((format(printf, 3, 4))) void mesh_log(
	struct mesh *mesh, enum node_log_level level, const char *format, ...);

/* ---- time ---- */

/* What is due. */
void mesh_tick(struct mesh *mesh, const struct mesh_time *time);
/* The end of a turn, in which any number of the above have been: what was put off goes on, and the
 * wall clock is looked at. */
void mesh_turn(struct mesh *mesh, const struct mesh_time *time);
/* When mesh_tick is wanted; 0: at once; UINT64_MAX: never. */
uint64_t mesh_deadline(const struct mesh *mesh);

/* ---- what is wanted ---- */

/* The next effect; false: there is none. */
bool mesh_effect(struct mesh *mesh, struct mesh_effect *out);
/* A row of the address book that has changed, to be kept; *size 0: to be deleted. Rows wait here,
 * one for each node, for as long as there is no room for them elsewhere. False: there is none. */
bool mesh_row(struct mesh *mesh, struct id *node, uint8_t row[MESH_ROW_SIZE], size_t *size);
struct mesh_figures mesh_figures(const struct mesh *mesh);

#endif
