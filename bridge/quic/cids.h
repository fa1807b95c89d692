/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which connection a datagram belongs to: a table from connection ids (or, a second table, from
 * the peers' stateless reset tokens) to connections. Peers choose some of the ids, so the hash is
 * keyed.
 */
#ifndef BRIDGE_QUIC_CIDS_H
#define BRIDGE_QUIC_CIDS_H

#include "../keyed.h"

#define CID_MAX_SIZE 20 /* RFC 9000, 17.2 */

struct quic_connection;

struct cid {
	UT_hash_handle hh;
	struct cid *next; /* of the same connection */
	struct quic_connection *connection;
	uint8_t size;
	uint8_t bytes[CID_MAX_SIZE];
};

struct cids {
	const struct keyed *keyed;
	struct cid *table;
};

/* Adds an id of the connection and puts it before *list. An id that is there already stays as it
 * is. ERROR_NOMEM. */
int cids_add(struct cids *cids, struct cid **list, struct quic_connection *connection,
	const uint8_t *bytes, size_t size);
void cids_remove(struct cids *cids, struct cid **list, const uint8_t *bytes, size_t size);
void cids_remove_all(struct cids *cids, struct cid **list);
/* Finds the connection of an id; NULL: there is none. */
struct quic_connection *cids_find(const struct cids *cids, const uint8_t *bytes, size_t size);

#endif
