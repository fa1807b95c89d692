/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pings: a handshake with a node at each address that is known of it, at most LIMIT_PING_ADDRESSES,
 * all at once, to tell which addresses answer. Pings are connections for discovery on which nothing
 * is said: gossip's own connections stay untouched. An answer counts as a success for the address
 * book, a failure does not count at all.
 */
#ifndef BRIDGE_MESH_PINGS_H
#define BRIDGE_MESH_PINGS_H

#include "context.h"

/* How long an answer is waited for. */
#define PING_MOST_MS 6000

/* Begins a ping. Its picture follows. ERROR_NOMEM. */
int pings_begin(struct mesh *mesh, const struct picture_question *question);
void pings_tick(struct mesh *mesh);
uint64_t pings_deadline(const struct mesh *mesh);
void pings_free(struct mesh *mesh);

#endif
