/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mDNS as the two generations of iroh's address look-up speak it (crate swarm-discovery;
 * facts/protocol.md): which nodes are on this local network, with their signed transport infos.
 * mdns_packet makes and parses the packets.
 *
 * Active: announces and asks (every 0.7 s at first as upstream does, less often once nothing new
 * turns up). Passive: answers questions, and listens. An info of each order is sent in a packet of
 * its own, so that peers of every generation believe one of them. Once it is known which order the
 * other nodes understand, only that order is sent (mdns_verified), as each peer logs a warning
 * about every info that is invalid for it.
 *
 * sans-IO; times are monotonic nanoseconds; one thread. Answers are rate-limited, so that forged
 * questions cannot make us flood the network.
 */
#ifndef BRIDGE_DISCOVERY_MDNS_H
#define BRIDGE_DISCOVERY_MDNS_H

#include "../counters.h"
#include "../random.h"
#include "info.h"

#define MDNS_PORT	 5353
#define MDNS_PACKET_SIZE 9000 /* RFC 6762, 17 */

enum mdns_mode { MDNS_OFF, MDNS_PASSIVE, MDNS_ACTIVE };

struct mdns;

enum mdns_effect_type {
	MDNS_SEND, /* packet, size: multicast on every interface; valid until the next call */
	/* An announcement by node: info belongs to the receiver of the effect, its signature is NOT
	 * verified. The same info of the same node is not reported again for a while. */
	MDNS_FOUND,
};

struct mdns_effect {
	enum mdns_effect_type type;
	const uint8_t *packet;
	size_t size;
	struct id node;
	struct info *info;
};

/* Makes an mdns. mode is not MDNS_OFF. ERROR_NOMEM. */
int mdns_new(const struct id *me, enum mdns_mode mode, const struct random *random,
	struct counters *counters, struct mdns **out);
void mdns_free(struct mdns *mdns); /* NULL is fine */

/* Sets our infos, one of each order, copied (NULL: none; without any, nothing is announced);
 * announces them at once if something has changed. With addresses on more than ten ports a packet
 * is longer than the 1472 bytes that upstream reads. ERROR_NOMEM, ERROR_TOO_LARGE; after an error
 * nothing has changed. */
int mdns_set_infos(struct mdns *mdns, uint64_t now, const struct info *const infos[ORDERS]);
/* Reports that the info which came with MDNS_FOUND is signed by its node, in this order. */
void mdns_verified(struct mdns *mdns, uint64_t now, const struct id *node, enum info_order order);
/* Takes a datagram from the multicast group. Packets of other services are ignored. */
void mdns_receive(struct mdns *mdns, uint64_t now, const uint8_t *packet, size_t size);

uint64_t mdns_deadline(const struct mdns *mdns); /* UINT64_MAX: never */
/* Takes the next effect that is due; returns false when there is none. */
bool mdns_effect(struct mdns *mdns, uint64_t now, struct mdns_effect *out);

#endif
