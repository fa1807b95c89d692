/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "multicast.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../discovery/mdns.h"
#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "../quic/poller.h"
#include "../sockaddr.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

#define TTL		255	   /* RFC 6762 11 */
#define PACKETS_AT_ONCE 64	   /* then the rest of the loop has its turn */

/* One address family. */
struct side {
	struct multicast *multicast;
	int family;
	int fd; /* -1: the system has none of this family */
	struct poller poller;
	unsigned joined[LIMIT_MULTICAST_INTERFACES]; /* interface indexes */
	size_t joined_count;
};

struct multicast {
	multicast_received *received;
	multicast_failed *failed;
	void (*closed)(void *context);
	void *context, *closed_context;
	struct side sides[2];
	unsigned open_handles;
};

static int as_error(int system)
{
	switch (system) {
	case EADDRINUSE:
		return ERROR_ADDRESS_IN_USE;
	case EACCES:
	case EPERM:
		return ERROR_PERMISSION;
	default:
		return error_of_system(system);
	}
}

static const struct address group_v4 = {4, {224, 0, 0, 251}, MDNS_PORT};
static const struct address group_v6 = {6, {0xff, 0x02, [15] = 0xfb}, MDNS_PORT}; /* ff02::fb */

static socklen_t group_address(int family, struct sockaddr_storage *out)
{
	return sockaddr_from(family == AF_INET ? &group_v4 : &group_v6, out);
}

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Sets the options of a socket. Several nodes on one machine hear each other (..._LOOP), and nobody
 * hears what came in on interfaces that only other programs have joined (..._ALL, best effort). */
static bool set_options(int family, int fd)
{
	if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1))
		return false;
	if (family == AF_INET) {
		set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
		return set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1) &&
		       set(fd, IPPROTO_IP, IP_MULTICAST_TTL, TTL);
	}
	set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
	return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
	       set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
	       set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1) &&
	       set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, TTL);
}

/* Opens a socket bound to the group, not to the wildcard, so that it takes no unicast answers from
 * other mDNS programs on this machine; but IPv6 allows that only per interface, so there it is the
 * wildcard. Returns -1 on failure, with errno. */
static int open_socket(int family)
{
	struct sockaddr_storage group;
	socklen_t size = group_address(family, &group);
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int reason;

	if (family == AF_INET6)
		((struct sockaddr_in6 *)&group)->sin6_addr = in6addr_any;
	if (fd < 0)
		return -1;
	if (set_options(family, fd) && bind(fd, (struct sockaddr *)&group, size) == 0)
		return fd;
	reason = errno;
	close(fd);
	errno = reason;
	return -1;
}

static bool membership(const struct side *side, unsigned interface, bool join)
{
	struct ip_mreqn v4 = {.imr_ifindex = (int)interface};
	struct ipv6_mreq v6 = {.ipv6mr_interface = interface};

	memcpy(&v4.imr_multiaddr, group_v4.ip, sizeof v4.imr_multiaddr);
	memcpy(&v6.ipv6mr_multiaddr, group_v6.ip, sizeof v6.ipv6mr_multiaddr);
	if (side->family == AF_INET)
		return setsockopt(side->fd, IPPROTO_IP,
			       join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &v4,
			       sizeof v4) == 0;
	return setsockopt(side->fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &v6,
		       sizeof v6) == 0;
}

static bool contains(const unsigned *interfaces, size_t count, unsigned interface)
{
	for (size_t i = 0; i < count; i++)
		if (interfaces[i] == interface)
			return true;
	return false;
}

/* Lists the interfaces that have an address of the family and can do multicast, or the loopback
 * ones. Returns how many. */
static size_t list_interfaces(const struct ifaddrs *all, int family, bool loopback,
	unsigned out[LIMIT_MULTICAST_INTERFACES])
{
	size_t count = 0;
	unsigned index;

	for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
		if (!one->ifa_addr || one->ifa_addr->sa_family != family ||
			!(one->ifa_flags & IFF_UP) ||
			!(one->ifa_flags & (loopback ? IFF_LOOPBACK : IFF_MULTICAST)) ||
			!(one->ifa_flags & IFF_LOOPBACK) == loopback)
			continue;
		index = if_nametoindex(one->ifa_name);
		if (index && count < LIMIT_MULTICAST_INTERFACES && !contains(out, count, index))
			out[count++] = index;
	}
	return count;
}

/* Tells the owner of a failure, unless the interface is just going away: that is none. */
static void note_failure(const struct multicast *multicast, const char *what, int number)
{
	if (number != ENODEV && number != ENETDOWN && number != ENXIO)
		multicast->failed(multicast->context, what, error_of_system(number));
}

static void join(struct side *side, const unsigned *interfaces, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < side->joined_count; i++) {
		if (contains(interfaces, count, side->joined[i]))
			side->joined[kept++] = side->joined[i];
		else
			membership(side, side->joined[i], false); /* or it has gone by itself */
	}
	side->joined_count = kept;
	for (size_t i = 0; i < count; i++) {
		if (contains(side->joined, side->joined_count, interfaces[i]))
			continue;
		if (membership(side, interfaces[i], true))
			side->joined[side->joined_count++] = interfaces[i];
		else
			note_failure(side->multicast, "mdns: an interface cannot be used", errno);
	}
}

void multicast_interfaces(struct multicast *multicast)
{
	unsigned interfaces[2][LIMIT_MULTICAST_INTERFACES];
	size_t counts[2];
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0) {
		note_failure(multicast, "mdns: the interfaces cannot be listed", errno);
		return;
	}
	for (size_t i = 0; i < 2; i++)
		counts[i] = list_interfaces(
			all, multicast->sides[i].family, false, interfaces[i]);
	if (counts[0] + counts[1] == 0)
		for (size_t i = 0; i < 2; i++)
			counts[i] = list_interfaces(
				all, multicast->sides[i].family, true, interfaces[i]);
	freeifaddrs(all);
	for (size_t i = 0; i < 2; i++)
		if (multicast->sides[i].fd >= 0)
			join(&multicast->sides[i], interfaces[i], counts[i]);
}

size_t multicast_joined(const struct multicast *multicast)
{
	return multicast->sides[0].joined_count + multicast->sides[1].joined_count;
}

/* Tells whether a packet was sent to the group. One that was sent to us alone may come from far
 * away: RFC 6762 11. */
static bool is_to_group(const struct side *side, struct msghdr *message)
{
	struct in6_pktinfo info;

	for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
		if (one->cmsg_level != IPPROTO_IPV6 || one->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(one), sizeof info);
		/* For the kernel having joined on one interface is having joined on all. */
		return memcmp(&info.ipi6_addr, group_v6.ip, sizeof info.ipi6_addr) == 0 &&
		       contains(side->joined, side->joined_count, info.ipi6_ifindex);
	}
	return side->family == AF_INET;
}

/* Returns the side that a poller is part of. */
static struct side *side_of(struct poller *poller)
{
	return (struct side *)((char *)poller - offsetof(struct side, poller));
}

/* Notes how reading went. Tells whether there may be more to read. */
static bool note_read(struct side *side, ssize_t size, int number)
{
	if (size >= 0) {
		poller_worked(&side->poller);
		return true;
	}
	if (number == EINTR || number == EAGAIN || number == EWOULDBLOCK)
		return number == EINTR;
	note_failure(side->multicast, "mdns: nothing can be received", number);
	poller_failed(&side->poller);
	return false;
}

static void on_ready(struct poller *poller, int events)
{
	static _Thread_local uint8_t packet[MDNS_PACKET_SIZE];
	struct side *side = side_of(poller);
	union {
		struct cmsghdr header;
		char bytes[256];
	} control;
	struct iovec bytes = {packet, sizeof packet};
	struct msghdr message;
	ssize_t size;

	for (int i = 0; i < PACKETS_AT_ONCE && !poller_is_closing(poller); i++) {
		message = (struct msghdr){.msg_iov = &bytes,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof control};
		size = recvmsg(side->fd, &message, 0);
		if (!note_read(side, size, errno))
			break;
		if (size >= 0 && !(message.msg_flags & MSG_TRUNC) && is_to_group(side, &message))
			side->multicast->received(
				side->multicast->context, packet, (size_t)size);
	}
}

/* Opens the socket of one family. Returns ERROR_NONE also when there is no socket; *reason is errno
 * then. */
static int open_side(uv_loop_t *loop, struct side *side, int *reason)
{
	bool opened;
	int error;

	side->fd = open_socket(side->family);
	if (side->fd < 0) {
		*reason = errno;
		return ERROR_NONE;
	}
	side->poller.ready = on_ready;
	error = poller_open(&side->poller, loop, side->fd, &opened);
	if (!opened) {
		close(side->fd);
		side->fd = -1;
	}
	side->multicast->open_handles += opened;
	return error == 0 ? ERROR_NONE : error_of_system(-error);
}

/* Tells the owner if one of the families cannot be used, while the other one can. */
static void note_missing(const struct multicast *multicast, int reason)
{
	for (size_t i = 0; i < 2; i++)
		if (multicast->sides[i].fd < 0)
			multicast->failed(multicast->context,
				i == 0 ? "mdns: IPv4 cannot be used" : "mdns: IPv6 cannot be used",
				as_error(reason));
}

int multicast_open(uv_loop_t *loop, multicast_received *received, multicast_failed *failed,
	void *context, struct multicast **out)
{
	struct multicast *multicast = memory_zalloc(sizeof *multicast);
	int reason = 0, error = ERROR_NONE;

	if (!multicast)
		return ERROR_NOMEM;
	multicast->received = received;
	multicast->failed = failed;
	multicast->context = context;
	for (size_t i = 0; i < 2; i++) {
		multicast->sides[i].multicast = multicast;
		multicast->sides[i].family = i == 0 ? AF_INET : AF_INET6;
		multicast->sides[i].fd = -1;
	}
	for (size_t i = 0; i < 2 && !error; i++)
		error = open_side(loop, &multicast->sides[i], &reason);
	if (!error && multicast->open_handles == 0)
		error = as_error(reason);
	if (error) {
		multicast_close(multicast, NULL, NULL);
		return error;
	}
	note_missing(multicast, reason);
	multicast_interfaces(multicast);
	*out = multicast;
	return ERROR_NONE;
}

/* Sends a packet on one interface, which is named with the packet: so the socket keeps no state. */
static void send_on(const struct side *side, unsigned interface, const uint8_t *packet, size_t size)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {0};
	struct in_pktinfo v4 = {.ipi_ifindex = (int)interface};
	struct in6_pktinfo v6 = {.ipi6_ifindex = interface};
	bool is_v4 = side->family == AF_INET;
	struct iovec bytes = {(void *)packet, size};
	struct sockaddr_storage group;
	struct msghdr message = {.msg_name = &group,
		.msg_namelen = group_address(side->family, &group),
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = is_v4 ? CMSG_SPACE(sizeof v4) : CMSG_SPACE(sizeof v6)};

	control.header.cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
	control.header.cmsg_type = is_v4 ? IP_PKTINFO : IPV6_PKTINFO;
	control.header.cmsg_len = is_v4 ? CMSG_LEN(sizeof v4) : CMSG_LEN(sizeof v6);
	memcpy(CMSG_DATA(&control.header), is_v4 ? (void *)&v4 : (void *)&v6,
		is_v4 ? sizeof v4 : sizeof v6);
	if (sendmsg(side->fd, &message, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		note_failure(side->multicast, "mdns: cannot be sent", errno);
}

void multicast_send(struct multicast *multicast, const uint8_t *packet, size_t size)
{
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < multicast->sides[i].joined_count; j++)
			send_on(&multicast->sides[i], multicast->sides[i].joined[j], packet,
				size);
}

static void release(struct multicast *multicast)
{
	if (multicast->closed)
		multicast->closed(multicast->closed_context);
	memory_free(multicast);
}

static void on_closed(struct poller *poller)
{
	struct side *side = side_of(poller);

	close(side->fd);
	if (--side->multicast->open_handles == 0)
		release(side->multicast);
}

void multicast_close(struct multicast *multicast, void (*closed)(void *context), void *context)
{
	multicast->closed = closed;
	multicast->closed_context = context;
	if (multicast->open_handles == 0) {
		release(multicast);
		return;
	}
	for (size_t i = 0; i < 2; i++)
		if (multicast->sides[i].fd >= 0)
			poller_close(&multicast->sides[i].poller, on_closed);
}
