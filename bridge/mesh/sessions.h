/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Looking for others: discovery sessions, one connection each, and what they bring into the book.
 */
#ifndef BRIDGE_MESH_SESSIONS_H
#define BRIDGE_MESH_SESSIONS_H

#include "context.h"

struct discovery;

/* Makes the walker. ERROR_NOMEM. */
int sessions_make(struct mesh *mesh);
void sessions_free(struct mesh *mesh);

/* How a probe went: a connection that is made only to see whether it comes about. */
struct probe {
	bool answered;
	uint64_t rtt_us;
	const char *failure; /* empty if it has answered */
};
/* Takes the result, which is valid during the call. */
typedef void probe_ended(void *context, const struct probe *probe);
/* Dials a node as a probe. ended is called once, later, unless the mesh ends before. Errors as the
 * port's dial. */
int sessions_probe(struct mesh *mesh, const struct id *node, const struct address *address,
	probe_ended *ended, void *context);

/* Ends the sessions with nodes that are not let in (any more). */
void sessions_shut_out(struct mesh *mesh);

/* Takes what the port tells: here that a handshake is complete. discovery: of our dial; NULL: the
 * peer has dialled. */
void discovery_made(struct mesh *mesh, void *handle, struct discovery *discovery,
	const struct id *peer, const struct address *address);
void discovery_closed(struct discovery *discovery, const struct closing *closing);
void discovery_data(struct discovery *discovery, void *stream, bool bidi, const uint8_t *data,
	size_t size, bool fin);
void discovery_stream_closed(struct discovery *discovery, void *stream);

/* Carries out what the walker wants. Returns whether there was anything. */
bool sessions_walk(struct mesh *mesh);
/* Carries out what the dialler of sessions wants. Returns whether there was anything. */
bool sessions_dial(struct mesh *mesh);
/* Ends sessions that take too long. Those that are not through with what they have brought or are
 * to say go on with it, until the turn has taken its time. */
void sessions_tick(struct mesh *mesh);
uint64_t sessions_deadline(const struct mesh *mesh);

#endif
