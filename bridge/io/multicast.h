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
/* Hears what this machine does not let us do: what is a constant that says what, error_text(error)
 * why. Called again with each packet, as long as the failure goes on. */
typedef void multicast_failed(void *context, const char *what, int error);

/* Opens the sockets and joins the groups. One of the two families is enough. failed is told of the
 * other one, and of interfaces that cannot be joined, from within this call. It is no error if no
 * interface could be joined: interfaces may come (the owner tries again when some do). ERROR_ADDRESS_IN_USE,
 * ERROR_PERMISSION, ERROR_NOMEM, or the system's (error_of_system). */
int multicast_open(uv_loop_t *loop, multicast_received *received, multicast_failed *failed,
	void *context, struct multicast **out);
/* Returns on how many interfaces the sockets listen, each family counted; only tests call it. */
size_t multicast_joined(const struct multicast *multicast);
/* Sends a packet to the groups, on every joined interface. What cannot be sent is lost, and failed
 * is told. */
void multicast_send(struct multicast *multicast, const uint8_t *packet, size_t size);
/* Joins new interfaces and forgets those that are gone, after interfaces or addresses have
 * changed. */
void multicast_interfaces(struct multicast *multicast);
/* Closes the sockets: nothing is received any more. closed(context) is called from the loop when
 * all handles are closed, then multicast is freed. NULL is fine for closed. */
void multicast_close(struct multicast *multicast, void (*closed)(void *context), void *context);

#endif
