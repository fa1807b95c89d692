/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Connections of gossip and the streams on them: between the port and the links. */
#ifndef BRIDGE_MESH_CONNECTIONS_H
#define BRIDGE_MESH_CONNECTIONS_H

#include "../gossip/frame.h"
#include "context.h"

/* A peer that is connected, over one connection or several. */
struct guest {
	struct id peer;
	size_t connections;
	size_t foreign; /* streams of overlays that are not joined, on all its connections */
	struct allowance verified; /* signatures of messages that the peer has brought */
	struct bringer *bringer;   /* unverified messages (unverified.c); NULL: there are none */
	UT_hash_handle hh;
};

/* One connection, from the dial or the handshake to its end. */
struct connection {
	struct mesh *mesh;
	void *handle; /* the port's */
	struct id peer;
	struct address address;
	struct link_connection linked; /* the links' part, once the handshake is complete */
	bool dialled;
	uint64_t made; /* when its handshake was complete */
	bool dialling;			/* on the mesh's list of dials under way */
	struct connection *prev, *next; /* of that list */
	/* Streams of ours, and of the peer's on overlays that are joined. Without any the
	 * connection is a stranger's (unless the node is configured), and ends when it stays so. */
	size_t uses;
	bool stranger; /* on the mesh's list of strangers */
	uint64_t due;  /* when a stranger's connection is ended */
	struct connection *strangers_prev, *strangers_next;
	struct guest *guest; /* NULL until the handshake is complete */
	size_t foreign;	     /* its part of the guest's foreign streams */
	bool leaving;	     /* is being closed for its foreign streams, which count no more */
	struct connection *guests_prev, *guests_next; /* all that have a guest */
};

/* One stream that a peer opened. */
struct stream_in {
	struct connection *connection;
	struct frame_reader reader;
	bool has_topic;
	bool joined; /* its overlay is, so that the stream is one of the connection's uses */
	struct id topic;
	struct stream_in *prev, *next; /* of all streams of the mesh */
};

/* Returns what the links may call of the port. */
struct link_io connections_io(const struct mesh *mesh);

/* Dials a peer at an address, for gossip. */
void connections_dial(struct mesh *mesh, const struct id *peer, const struct address *address);
/* Returns the newest connection to peer, with where it goes and who has dialled; NULL: there is
 * none. */
const struct connection *connections_to(const struct mesh *mesh, const struct id *peer);

/* Judges anew of what use the peer's connections are, after the peer has become a node of the
 * configuration, or is no longer one. */
void connections_judge(struct mesh *mesh, const struct id *peer);
/* Closes the connections of nodes that are not let in (any more). */
void connections_shut_out(struct mesh *mesh);

/* Returns the guest; NULL: peer is not connected. */
struct guest *connections_guest(const struct mesh *mesh, const struct id *peer);
/* Tells whether peer has a stream for this overlay to us. */
bool connections_has_stream(const struct mesh *mesh, const struct id *peer, const struct id *topic);

/* Takes what the port tells: here that a handshake is complete. connection: of our dial; NULL: the
 * peer has dialled. */
void connections_made(struct mesh *mesh, void *handle, struct connection *connection,
	const struct id *peer, const struct address *address);
void connections_closed(struct connection *connection, const struct closing *closing);
/* Takes bytes that have come on a stream; when they cannot be decoded the connection is closed.
 * gossiped is called after each frame. */
void connections_data(struct connection *connection, void *stream, struct stream_in *stream_in,
	const uint8_t *data, size_t size, void (*gossiped)(struct mesh *mesh));
void connections_stream_closed(struct connection *connection, void *ours, bool incoming,
	struct frame *unacknowledged);
void connections_credit(struct connection *connection);

/* Notes that the overlay was joined, or left: what peers have opened for it is of use, or is
 * not. */
void connections_joined(struct mesh *mesh, const struct id *topic, bool joined);
/* Returns when connections_expire is wanted. */
uint64_t connections_deadline(const struct mesh *mesh);
/* Closes connections that nobody here has had a use for in a while. */
void connections_expire(struct mesh *mesh);

#endif
