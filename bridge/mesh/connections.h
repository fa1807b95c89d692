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
	size_t foreign; /* streams of overlays that are not joined, on all of them */
	struct allowance verified; /* signatures of what it has brought */
	struct bringer *bringer;   /* messages that wait for that (unverified.c); NULL: none */
	UT_hash_handle hh;
};

/* One connection, from the dial or the handshake to its end. */
struct connection {
	struct mesh *mesh;
	void *handle; /* the port's */
	struct id peer;
	struct address address;
	struct lane *lane; /* NULL until the handshake is complete */
	bool dialled;
	bool dialling;			/* on the mesh's list of dials under way */
	struct connection *prev, *next; /* of that list */
	/* Streams of ours, and of the peer's on overlays that are joined: without any it is a
	 * stranger's (unless the node is configured), which ends when it stays so. */
	size_t uses;
	bool stranger; /* on the mesh's list of those */
	uint64_t due;  /* when it is ended then */
	struct connection *strangers_prev, *strangers_next;
	struct guest *guest; /* NULL until the handshake is complete */
	size_t foreign;	     /* its part of the guest's */
	bool leaving;	     /* is being closed for what it has of them, which counts no more */
	struct connection *guests_prev, *guests_next; /* all that have a guest */
};

/* One stream that a peer opened. */
struct stream_in {
	struct connection *connection;
	struct frame_reader reader;
	bool has_topic;
	bool joined; /* its overlay is, so that it is one of the connection's uses */
	struct id topic;
	struct stream_in *prev, *next; /* of all of the mesh */
};

/* What the links have of the port. */
struct link_io connections_io(const struct mesh *mesh);

void connections_dial(struct mesh *mesh, const struct id *peer, const struct address *address);
/* Where the newest connection to peer goes, and who has dialled; NULL: there is none. */
const struct connection *connections_to(const struct mesh *mesh, const struct id *peer);

/* NULL: peer is not connected. */
struct guest *connections_guest(const struct mesh *mesh, const struct id *peer);
/* Whether peer has a stream for this overlay to us. */
bool connections_has_stream(const struct mesh *mesh, const struct id *peer, const struct id *topic);

/* From the port. */
void connections_made(struct mesh *mesh, void *handle, struct connection *connection,
	const struct id *peer, const struct address *address);
void connections_closed(struct connection *connection, const struct closing *closing);
/* False: what has come cannot be decoded, and the connection is being closed. gossiped is called
 * after each frame. */
void connections_data(struct connection *connection, void *stream, struct stream_in *stream_in,
	const uint8_t *data, size_t size, void (*gossiped)(struct mesh *mesh));
void connections_stream_closed(struct connection *connection, void *ours, bool incoming,
	struct frame *unacknowledged);
void connections_credit(struct connection *connection);

/* The overlay was joined, or left: what peers have opened for it is of use, or is not. */
void connections_joined(struct mesh *mesh, const struct id *topic, bool joined);
/* Connections that nobody here has a use for are ended after a while. */
uint64_t connections_deadline(const struct mesh *mesh);
void connections_expire(struct mesh *mesh);

#endif
