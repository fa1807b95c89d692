/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the datagrams of a path go: a UDP socket, or a relay. ngtcp2 carries the pointer to the
 * sender in the path's user_data; NULL: the datagrams are lost.
 */
#ifndef BRIDGE_QUIC_SENDER_H
#define BRIDGE_QUIC_SENDER_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"

struct sender {
	/* Sends size bytes as datagrams of segment bytes (the last may be shorter) along path.
	 * false: the kernel takes no more now; what is left is kept and sent later, and nothing
	 * more is to be sent before udp's writable was called. Datagrams that are refused
	 * otherwise are lost, as datagrams are. */
	bool (*send)(struct sender *sender, const ngtcp2_path *path, uint8_t ecn,
		const uint8_t *data, size_t size, size_t segment);
	bool is_relay; /* the sender is part of a struct relayed */
};

static inline bool path_is_relayed(const ngtcp2_path *path)
{
	const struct sender *sender = path->user_data;

	return sender && sender->is_relay;
}

static inline bool path_send(
	const ngtcp2_path *path, uint8_t ecn, const uint8_t *data, size_t size, size_t segment)
{
	struct sender *sender = path->user_data;

	return !sender || sender->send(sender, path, ecn, data, size, segment);
}

/* Returns the remote end of a path: an address, or the relay. */
struct address path_remote(const ngtcp2_path *path);

#endif
