/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A path through a relay: its other end is a node behind that relay. ngtcp2 knows paths by pairs
 * of socket addresses. A relayed path has an invented address of fc00::/7, made of a keyed hash of
 * relay and node, so that the address is the same whenever the same two are met. (iroh's socket
 * shows relays to its QUIC in the same way.)
 */
#ifndef BRIDGE_QUIC_RELAYED_H
#define BRIDGE_QUIC_RELAYED_H

#include "../id.h"
#include "sender.h"

struct quic_endpoint;

struct relayed {
	struct sender sender;
	struct quic_endpoint *endpoint;
	struct address relay;
	struct id node; /* the relay says that the node has proven this id */
	ngtcp2_sockaddr_union local, remote;
};

void relayed_init(struct relayed *relayed, struct quic_endpoint *endpoint,
	const struct address *relay, const struct id *node);
/* Returns a path that points into relayed. */
ngtcp2_path relayed_path(struct relayed *relayed);
/* Returns what a relayed path points to; the path must be relayed. */
struct relayed *relayed_of(const ngtcp2_path *path);
/* Makes a copy that the caller owns (memory_free); NULL: no memory. */
struct relayed *relayed_copy(const struct relayed *relayed);
bool relayed_equal(const struct relayed *a, const struct relayed *b);

#endif
