/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mDNS as the two generations of iroh's address look-up speak it (crate swarm-discovery;
 * facts/protocol.md): who is on this local network, with its signed transport info.
 * Packets are taken apart and made in mdns_packet.
 *
 * Active: announces and asks (every 0.7 s at first as upstream does, less often once nothing
 * new turns up). Passive: answers those who ask, and listens. An info of each order is told
 * in a packet of its own, so that peers of every generation believe one of them; but only the
 * order that the others understand once that is known (mdns_verified), as each peer logs a
 * warning about every info that is invalid for it.
 *
 * sans-IO; times are monotonic nanoseconds; one thread. Answers are rate-limited, so that
 * forged questions cannot make us flood the network.
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
	/* node says it is there: info is the receiver's now, its signature is NOT verified. The
	 * same info of the same node again is not reported for a while. */
	MDNS_FOUND,
};

struct mdns_effect {
	enum mdns_effect_type type;
	const uint8_t *packet;
	size_t size;
	struct id node;
	struct info *info;
};

/* mode is not MDNS_OFF. ERROR_NOMEM. */
int mdns_new(const struct id *me, enum mdns_mode mode, const struct random *random,
	struct counters *counters, struct mdns **out);
void mdns_free(struct mdns *mdns); /* NULL is fine */

/* Our infos, one of each order, copied (NULL: none; then nothing is announced); announced at
 * once where something changed. With addresses on more than ten ports a packet is longer
 * than the 1472 bytes that upstream reads. ERROR_NOMEM, ERROR_TOO_LARGE; then nothing has
 * changed. */
int mdns_set_infos(struct mdns *mdns, uint64_t now, const struct info *const infos[ORDERS]);
/* The info that node was found with has proved to be signed by it, in this order. */
void mdns_verified(struct mdns *mdns, uint64_t now, const struct id *node, enum info_order order);
/* A datagram from the multicast group. What is none of ours is ignored. */
void mdns_receive(struct mdns *mdns, uint64_t now, const uint8_t *packet, size_t size);

uint64_t mdns_deadline(const struct mdns *mdns); /* UINT64_MAX: never */
/* The next effect that is due; false when there is none. */
bool mdns_effect(struct mdns *mdns, uint64_t now, struct mdns_effect *out);

#endif
