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

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

#define GROUP_V4	0xe00000fb /* 224.0.0.251 */
#define TTL		255	   /* RFC 6762 11 */
#define PACKETS_AT_ONCE 64	   /* then the rest of the loop has its turn */

/* One address family. */
struct side {
	struct multicast *multicast;
	int family;
	int fd; /* -1: the system has none of this family */
	uv_poll_t poll;
	unsigned joined[LIMIT_MULTICAST_INTERFACES]; /* interface indexes */
	size_t joined_count;
};

struct multicast {
	multicast_received *received;
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
		return ERROR_SYSTEM;
	}
}

static const struct in6_addr group_v6 = {{{0xff, 0x02, [15] = 0xfb}}}; /* ff02::fb */

static socklen_t group_address(int family, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	out->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		v4->sin_addr.s_addr = htonl(GROUP_V4);
		v4->sin_port = htons(MDNS_PORT);
		return sizeof *v4;
	}
	v6->sin6_addr = group_v6;
	v6->sin6_port = htons(MDNS_PORT);
	return sizeof *v6;
}

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Several nodes on one machine hear each other (..._LOOP), and nobody hears what came in on
 * interfaces that only others have joined (..._ALL, best effort). */
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

/* Bound to the group, not to the wildcard, so that it takes no unicast answers from other mDNS
 * programs on this machine; but IPv6 allows that only per interface. -1, with errno. */
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
	struct ip_mreqn v4 = {
		.imr_multiaddr.s_addr = htonl(GROUP_V4), .imr_ifindex = (int)interface};
	struct ipv6_mreq v6 = {.ipv6mr_multiaddr = group_v6, .ipv6mr_interface = interface};

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

/* The interfaces with an address of the family that can do multicast, or the loopback ones. */
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
	for (size_t i = 0; i < count; i++)
		if (!contains(side->joined, side->joined_count, interfaces[i]) &&
			membership(side, interfaces[i], true))
			side->joined[side->joined_count++] = interfaces[i];
}

void multicast_interfaces(struct multicast *multicast)
{
	unsigned interfaces[2][LIMIT_MULTICAST_INTERFACES];
	size_t counts[2];
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return;
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

/* What was sent to us alone may come from far away: RFC 6762 11. */
static bool is_to_group(const struct side *side, struct msghdr *message)
{
	struct in6_pktinfo info;

	for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
		if (one->cmsg_level != IPPROTO_IPV6 || one->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(one), sizeof info);
		/* For the kernel having joined on one interface is having joined on all. */
		return memcmp(&info.ipi6_addr, &group_v6, sizeof group_v6) == 0 &&
		       contains(side->joined, side->joined_count, info.ipi6_ifindex);
	}
	return side->family == AF_INET;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	static _Thread_local uint8_t packet[MDNS_PACKET_SIZE];
	struct side *side = poll->data;
	union {
		struct cmsghdr header;
		char bytes[256];
	} control;
	struct iovec bytes = {packet, sizeof packet};
	struct msghdr message;
	ssize_t size;

	/* An error is taken from the socket by recvmsg: nothing that needs more. */
	for (int i = 0; i < PACKETS_AT_ONCE && !uv_is_closing((uv_handle_t *)poll); i++) {
		message = (struct msghdr){.msg_iov = &bytes,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof control};
		size = recvmsg(side->fd, &message, 0);
		if (size < 0 && errno != EINTR)
			break;
		if (size >= 0 && !(message.msg_flags & MSG_TRUNC) && is_to_group(side, &message))
			side->multicast->received(
				side->multicast->context, packet, (size_t)size);
	}
}

/* ERROR_NONE also when there is no socket; *reason is errno then. */
static int open_side(uv_loop_t *loop, struct side *side, int *reason)
{
	side->fd = open_socket(side->family);
	if (side->fd < 0) {
		*reason = errno;
		return ERROR_NONE;
	}
	side->poll.data = side;
	if (uv_poll_init(loop, &side->poll, side->fd) != 0) {
		close(side->fd);
		side->fd = -1;
		return ERROR_SYSTEM;
	}
	side->multicast->open_handles++;
	return uv_poll_start(&side->poll, UV_READABLE, on_readable) == 0 ? ERROR_NONE
									 : ERROR_SYSTEM;
}

int multicast_open(
	uv_loop_t *loop, multicast_received *received, void *context, struct multicast **out)
{
	struct multicast *multicast = memory_zalloc(sizeof *multicast);
	int reason = 0, error = ERROR_NONE;

	if (!multicast)
		return ERROR_NOMEM;
	multicast->received = received;
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
	multicast_interfaces(multicast);
	*out = multicast;
	return ERROR_NONE;
}

/* The interface is named with the packet: no state in the socket. */
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
	sendmsg(side->fd, &message, MSG_NOSIGNAL);
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

static void on_closed(uv_handle_t *handle)
{
	struct side *side = handle->data;

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
			uv_close((uv_handle_t *)&multicast->sides[i].poll, on_closed);
}
