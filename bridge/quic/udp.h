/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * UDP sockets on the libuv loop.
 *
 * Not uv_udp_t: that gives no control messages, and they are what is needed here: the
 * address a datagram was sent to (so that the answer leaves from it: an iroh client
 * sends its first datagrams to every address it knows of us, and QUIC pins the path of
 * the one that came first), the ECN bits, and the segment size of GRO. With GRO and GSO
 * a byte costs about a third of what it does without.
 */
#ifndef BRIDGE_QUIC_UDP_H
#define BRIDGE_QUIC_UDP_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "../address.h"
#include "sender.h"

/* Most bytes of one path_send: below the 65,507 of UDP over IPv4, and at most 64 segments
 * of 1200 (UDP_MAX_SEGMENTS of the kernel). */
#define UDP_SEND_SIZE 64512

/* ns: reading gives out what it got for so long in one turn of the loop, then the rest waits for
 * the next one. What GRO has put together in one read may be thousands of small messages. */
#define UDP_READ_TIME UINT64_C(500000)

struct ifaddrs;
struct udp_socket;
struct udp_read;

struct udp {
	uv_loop_t *loop;
	struct udp_socket *sockets;
	size_t blocked; /* sockets that wait for the kernel */
	struct udp_read *read; /* shared by the sockets: all on one thread */
	/* One datagram; path->user_data is the socket's sender, valid until it is closed. */
	void (*receive)(void *context, const ngtcp2_path *path, uint8_t ecn, const uint8_t *data,
		size_t size);
	/* Not all that was read was given out: udp_read_on is wanted in the next turn. */
	void (*unread)(void *context);
	/* The last blocked socket has sent what it kept. */
	void (*writable)(void *context);
	void (*closed)(void *context); /* one socket is gone, after udp_close */
	void *context;
};

/* loop, callbacks and context are set by the caller. ERROR_NOMEM. */
int udp_init(struct udp *udp);
void udp_clear(struct udp *udp);

/* ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_SYSTEM, ERROR_NOMEM. */
int udp_open(struct udp *udp, const struct address *address, struct address *bound);

/* Goes on giving out what was read; whether there is still more. */
bool udp_read_on(struct udp *udp);

/* Closes all; closed follows from the loop for each. Returns how many. */
size_t udp_close(struct udp *udp);

/* The path (socket's sender, local and remote address) for reaching remote. ERROR_NOT_FOUND: no
 * socket that could, or no route. */
int udp_route(const struct udp *udp, const struct address *remote, ngtcp2_path_storage *path);

/* Whether sa is an address of this machine: one of own (getifaddrs), loopback, or none in
 * particular, which is left to the system. */
bool udp_is_own(const struct ifaddrs *own, const struct sockaddr *sa);

/* IPv4 or IPv6, as a plain value; a scope id is not kept. */
struct address udp_address(const struct sockaddr *sa);

#endif
