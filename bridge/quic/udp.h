/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * UDP sockets on the libuv loop.
 *
 * Not uv_udp_t, which gives no control messages. These are needed here for the address a datagram
 * was sent to (so that the answer leaves from it: an iroh client sends its first datagrams to
 * every address it knows of us, and QUIC pins the path of the datagram that came first), for the
 * ECN bits, and for the segment size of GRO. With GRO and GSO a byte costs about a third of what
 * it costs without.
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

/* ns: so long in one turn of the loop datagrams that were read are given out; the rest waits for
 * the next turn. GRO may have put thousands of small messages together in one read. */
#define UDP_READ_TIME UINT64_C(500000)

struct ifaddrs;
struct udp_socket;
struct udp_read;

struct udp {
	uv_loop_t *loop;
	struct udp_socket *sockets;
	size_t blocked; /* sockets that wait for the kernel */
	struct udp_read *read; /* shared by the sockets: all on one thread */
	/* A datagram has come; path->user_data is the socket's sender, valid until the socket is
	 * closed. */
	void (*receive)(void *context, const ngtcp2_path *path, uint8_t ecn, const uint8_t *data,
		size_t size);
	/* Not all that was read was given out: udp_read_on is wanted in the next turn. */
	void (*unread)(void *context);
	/* The last blocked socket has sent what it kept. */
	void (*writable)(void *context);
	/* This machine did not let a datagram out, or a socket be read; error_text has the words.
	 * remote: where the datagram was to go; NULL: local could not be read. */
	void (*failed)(void *context, const struct sockaddr *local, const struct sockaddr *remote,
		int error);
	bool singly; /* recvmmsg is refused here */
	void (*closed)(void *context); /* one socket is gone, after udp_close */
	void *context;
};

/* Makes the room for reading; loop, callbacks and context are set by the caller. ERROR_NOMEM. */
int udp_init(struct udp *udp);
void udp_clear(struct udp *udp);

/* Binds one more socket; *bound (may be NULL): its real address. ERROR_ADDRESS_IN_USE,
 * ERROR_PERMISSION, ERROR_NOMEM, or the system's (error_of_system). */
int udp_open(struct udp *udp, const struct address *address, struct address *bound);

/* Goes on giving out the datagrams that were read. Returns whether there are still more. */
bool udp_read_on(struct udp *udp);

/* Closes all sockets; closed follows from the loop for each. Returns how many sockets there
 * were. */
size_t udp_close(struct udp *udp);

/* Finds the path (socket's sender, local and remote address) for reaching remote. ERROR_NO_IPV4,
 * ERROR_NO_IPV6, ERROR_NO_SOCKET: no socket can reach remote; or the system's (no route). */
int udp_route(const struct udp *udp, const struct address *remote, ngtcp2_path_storage *path);

/* Tells whether sa is an address of this machine: one of own (getifaddrs), loopback, or the
 * unspecified address, which is left to the system. */
bool udp_is_own(const struct ifaddrs *own, const struct sockaddr *sa);

#endif
