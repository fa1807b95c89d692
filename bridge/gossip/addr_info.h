/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Peer data: the addresses of a node, as iroh-gossip sends them in Join, Neighbor, ForwardJoin and
 * Shuffle (AddrInfo in src/net.rs: a relay, if any, and a sorted set of socket addresses). The URL
 * of a relay is carried as it came. No allocation. Any thread.
 */
#ifndef BRIDGE_GOSSIP_ADDR_INFO_H
#define BRIDGE_GOSSIP_ADDR_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../limits.h"
#include "../relay_url.h"

/* The longest encoding of our own peer data: tag, length and text of the relay; the number of
 * addresses; tag, IPv6 address and port of each. */
#define ADDR_INFO_SIZE (3 + RELAY_URL_SIZE + 1 + LIMIT_ADDRESSES_PER_NODE * (1 + 16 + 3))

struct addr_info {
	const char *relay; /* a view, no closing zero; NULL for none */
	size_t relay_size;
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
};

/* Decodes peer data; empty data means that nothing is known. Addresses beyond
 * LIMIT_ADDRESSES_PER_NODE are checked and left out. ERROR_TRUNCATED, ERROR_INVALID. */
int addr_info_decode(const uint8_t *data, size_t size, struct addr_info *out);

/* Returns the size, or ERROR_TOO_LARGE. */
int addr_info_encode(const struct addr_info *info, uint8_t *buffer, size_t size);

/* Takes the first LIMIT_ADDRESSES_PER_NODE different addresses and sorts them in the order of a
 * BTreeSet<SocketAddr>; no relay. */
void addr_info_set(struct addr_info *info, const struct address *addresses, size_t count);

#endif
