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

/* From the port. */
void discovery_made(struct mesh *mesh, void *handle, struct discovery *discovery,
	const struct id *peer, const struct address *address);
void discovery_closed(struct discovery *discovery, const struct closing *closing);
void discovery_data(struct discovery *discovery, void *stream, bool bidi, const uint8_t *data,
	size_t size, bool fin);
void discovery_stream_closed(struct discovery *discovery, void *stream);

/* Carry out what the walker and the dialler of sessions want; whether there was anything. */
bool sessions_walk(struct mesh *mesh);
bool sessions_dial(struct mesh *mesh);
/* Sessions that take too long are ended, and those that were not through with what they have
 * brought or are to say go on with it, until the turn has taken its time. */
void sessions_tick(struct mesh *mesh);
uint64_t sessions_deadline(const struct mesh *mesh);

#endif
