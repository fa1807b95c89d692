/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The sockets of mDNS: UDP port 5353, shared with whoever else on this machine listens there
 * (SO_REUSEADDR), joined to 224.0.0.251 and ff02::fb on every interface that can do
 * multicast, IPv4 and IPv6; follows interfaces that come and go (multicast_interfaces).
 * Loopback interfaces are left out unless there is no other.
 *
 * The loop's thread; received is called from the loop.
 */
#ifndef BRIDGE_IO_MULTICAST_H
#define BRIDGE_IO_MULTICAST_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct multicast;

typedef void multicast_received(void *context, const uint8_t *packet, size_t size);

/* One of the two families is enough, and no interface that could be joined is no error:
 * interfaces may come (multicast_joined tells). ERROR_ADDRESS_IN_USE, ERROR_PERMISSION,
 * ERROR_SYSTEM, ERROR_NOMEM. */
int multicast_open(uv_loop_t *loop, multicast_received *received, void *context,
	struct multicast **out);
/* On how many interfaces it listens, each family counted. */
size_t multicast_joined(const struct multicast *multicast);
/* To the groups, on every joined interface. What cannot be sent is nobody's loss. */
void multicast_send(struct multicast *multicast, const uint8_t *packet, size_t size);
/* Interfaces or addresses have changed: joins the new ones, forgets those that are gone. */
void multicast_interfaces(struct multicast *multicast);
/* Nothing is received any more; closed(context) is called when its handles are closed, from
 * the loop, before it is freed. NULL is fine for closed. */
void multicast_close(struct multicast *multicast, void (*closed)(void *context), void *context);

#endif
