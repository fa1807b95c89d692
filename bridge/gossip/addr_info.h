/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Peer data: where a node is to be found, as iroh-gossip tells it in Join, Neighbor,
 * ForwardJoin and Shuffle (AddrInfo in src/net.rs: a relay, if any, and a sorted
 * set of socket addresses). The URL of a relay is carried as it is.
 * No allocation. Any thread.
 */
#ifndef BRIDGE_GOSSIP_ADDR_INFO_H
#define BRIDGE_GOSSIP_ADDR_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../limits.h"
#include "../relay_url.h"

/* The longest encoding of one of ours: tag, length and text of the relay; a length; tag, IPv6, port
 * each. */
#define ADDR_INFO_SIZE (3 + RELAY_URL_SIZE + 1 + LIMIT_ADDRESSES_PER_NODE * (1 + 16 + 3))

struct addr_info {
	const char *relay; /* a view, no closing zero; NULL for none */
	size_t relay_size;
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
};

/* Empty data means that nothing is known. The addresses beyond
 * LIMIT_ADDRESSES_PER_NODE are checked and left out. ERROR_TRUNCATED,
 * ERROR_INVALID. */
int addr_info_decode(const uint8_t *data, size_t size, struct addr_info *out);

/* Returns the size, or ERROR_TOO_LARGE. */
int addr_info_encode(const struct addr_info *info, uint8_t *buffer, size_t size);

/* Takes the first LIMIT_ADDRESSES_PER_NODE different ones of these and sorts them
 * as a BTreeSet<SocketAddr> has them. */
void addr_info_set(struct addr_info *info, const struct address *addresses, size_t count);

#endif
