/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interfaces.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "../error.h"
#include "../memory.h"
#include "../sockaddr.h"

static bool is_wildcard(const struct address *address)
{
	static const uint8_t zero[16];

	return memcmp(address->ip, zero, address->family == 4 ? 4 : 16) == 0;
}

static bool of_interface(const uv_interface_address_t *interface, struct address *out)
{
	*out = sockaddr_address((const struct sockaddr *)&interface->address);
	out->port = 0;
	/* Link-local ones need a scope, which peer data has no place for. */
	return out->family == 4 ||
	       (out->family == 6 && !IN6_IS_ADDR_LINKLOCAL(&interface->address.address6.sin6_addr));
}

/* ---- which of them are told ---- */

static bool is_among(const struct interface_address *all, size_t count, const struct address *one)
{
	for (size_t i = 0; i < count; i++)
		if (address_compare(&all[i].address, one) == 0)
			return true;
	return false;
}

static int by_use(const void *left, const void *right)
{
	const struct interface_address *a = left, *b = right;

	return a->use != b->use ? (a->use < b->use ? -1 : 1)
				: address_compare(&a->address, &b->address);
}

static int by_address(const void *left, const void *right)
{
	return address_compare(left, right);
}

size_t interfaces_choose(
	struct interface_address *all, size_t count, struct address *out, size_t size)
{
	size_t taken = 0, of[2] = {0, 0}, most[2];

	qsort(all, count, sizeof *all, by_use);
	for (size_t i = 0; i < count; i++)
		of[all[i].address.family == 6]++;
	/* Each family has half of the places at least, as far as it has use for them. */
	for (size_t i = 0; i < 2; i++)
		most[i] = of[!i] < size / 2 ? size - of[!i] : size - size / 2;
	for (size_t i = 0; i < count && taken < size; i++) {
		size_t *left = &most[all[i].address.family == 6];

		if (*left == 0)
			continue;
		(*left)--;
		out[taken++] = all[i].address;
	}
	if (taken > 0)
		qsort(out, taken, sizeof *out, by_address);
	return taken;
}

/* ---- which there are ---- */

struct list {
	struct interface_address items[INTERFACES_ADDRESSES];
	size_t count;
};

static void add(struct list *list, const struct address *address, uint16_t port,
	enum interface_use use)
{
	struct interface_address *added = &list->items[list->count];

	if (list->count == INTERFACES_ADDRESSES)
		return;
	added->address = *address;
	added->address.port = port;
	added->use = use;
	list->count += !is_among(list->items, list->count, &added->address);
}

/* Finds from which of this machine's addresses the system sends to another one: asks a socket,
 * which sends nothing. */
static bool source_towards(const struct address *there, struct address *out)
{
	struct sockaddr_storage to;
	uv_interface_address_t here = {0};
	socklen_t to_size = sockaddr_from(there, &to), size = sizeof here.address;
	int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return false;
	found = connect(fd, (const struct sockaddr *)&to, to_size) == 0 &&
		getsockname(fd, (struct sockaddr *)&here.address, &size) == 0;
	close(fd);
	return found && of_interface(&here, out);
}

/* Adds the addresses that the system sends from by the default route, and to nodes that are
 * named. */
static void add_sources(struct list *list, const struct address *bound,
	const struct address *towards, size_t towards_count)
{
	/* Any address of the Internet: nothing is sent there (RFC 5737, RFC 3849 have no routes of
	 * their own). */
	static const struct address far[2] = {
		{4, {192, 0, 2, 1}, 9}, {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 9}};
	struct address source;

	if (source_towards(&far[bound->family == 6], &source) && !address_is_loopback(&source))
		add(list, &source, bound->port, INTERFACE_USED);
	for (size_t i = 0; i < towards_count; i++)
		if (towards[i].family == bound->family && towards[i].port != 0 &&
			source_towards(&towards[i], &source) && !address_is_loopback(&source))
			add(list, &source, bound->port, INTERFACE_USED);
}

static bool is_bridge(const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/sys/class/net/%.32s/bridge", name);
	return access(path, F_OK) == 0;
}

static void add_interfaces(struct list *list, const struct address *bound, bool loopback)
{
	uv_interface_address_t *interfaces;
	struct address address;
	int count;

	if (uv_interface_addresses(&interfaces, &count) != 0)
		return;
	for (int i = 0; i < count; i++)
		if (of_interface(&interfaces[i], &address) && address.family == bound->family &&
			address_is_loopback(&address) == loopback)
			add(list, &address, bound->port,
				is_bridge(interfaces[i].name) ? INTERFACE_BRIDGE : INTERFACE_OTHER);
	uv_free_interface_addresses(interfaces, count);
}

size_t interfaces_addresses(const struct address *bound, size_t bound_count,
	const struct address *towards, size_t towards_count, struct address *out, size_t size,
	size_t *left_out)
{
	struct list *list = memory_zalloc(sizeof *list);
	size_t count;

	*left_out = 0;
	if (!list)
		return 0;
	for (size_t i = 0; i < bound_count; i++) {
		if (!is_wildcard(&bound[i])) {
			add(list, &bound[i], bound[i].port, INTERFACE_USED);
			continue;
		}
		add_sources(list, &bound[i], towards, towards_count);
		add_interfaces(list, &bound[i], false);
	}
	for (size_t i = 0; i < bound_count && list->count == 0; i++)
		add_interfaces(list, &bound[i], true);
	count = interfaces_choose(list->items, list->count, out, size);
	*left_out = list->count - count;
	memory_free(list);
	return count;
}

/* --- changes, as the kernel tells them (rtnetlink(7)) --- */

#define DEBOUNCE_MS	 100
#define MESSAGES_AT_ONCE 64

struct interfaces_watch {
	int fd;
	uv_poll_t poll;
	uv_timer_t timer; /* armed only after a change */
	unsigned open_handles;
	void (*changed)(void *context);
	void (*closed)(void *context);
	void *context, *closed_context;
};

/* Tells whether addresses may have come or gone. Messages about links also tell of much else
 * (statistics of radio interfaces, names): then no flag of the link has changed. */
static bool is_change(const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = NLMSG_DATA(message);

	switch (message->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_DELLINK:
		return true;
	case RTM_NEWLINK:
		return message->nlmsg_len >= NLMSG_LENGTH(sizeof *link) && link->ifi_change != 0;
	default:
		return false;
	}
}

static bool has_change(const void *data, size_t size)
{
	const struct nlmsghdr *message = data;
	unsigned left = (unsigned)size;

	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
		if (is_change(message))
			return true;
	return false;
}

static void on_settled(uv_timer_t *timer)
{
	struct interfaces_watch *watch = timer->data;

	watch->changed(watch->context);
}

static void on_message(uv_poll_t *poll, int status, int events)
{
	struct interfaces_watch *watch = poll->data;
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} buffer;
	bool changed = false;
	ssize_t size;

	for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
		size = recv(watch->fd, &buffer, sizeof buffer, 0);
		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* ENOBUFS: messages were lost, so we do not know; the same with any other. */
		changed |= size < 0 || has_change(&buffer, (size_t)size);
	}
	/* A timer that runs is not put off by more changes: it fires, however long they go on. */
	if (changed && !uv_is_active((uv_handle_t *)&watch->timer))
		uv_timer_start(&watch->timer, on_settled, DEBOUNCE_MS, 0);
}

static int open_netlink(void)
{
	const struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE), reason;

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&groups, sizeof groups) != 0) {
		reason = errno;
		close(fd);
		errno = reason;
		fd = -1;
	}
	return fd;
}

static void release(struct interfaces_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	if (watch->closed)
		watch->closed(watch->closed_context);
	memory_free(watch);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct interfaces_watch *watch = handle->data;

	if (--watch->open_handles == 0)
		release(watch);
}

int interfaces_watch_start(uv_loop_t *loop, void (*changed)(void *context), void *context,
	struct interfaces_watch **out)
{
	struct interfaces_watch *watch = memory_zalloc(sizeof *watch);
	int error;

	if (!watch)
		return ERROR_NOMEM;
	watch->changed = changed;
	watch->context = context;
	watch->fd = open_netlink();
	watch->timer.data = watch->poll.data = watch;
	error = watch->fd < 0 ? -errno : uv_poll_init(loop, &watch->poll, watch->fd);
	if (error) {
		release(watch);
		return error_of_system(-error);
	}
	uv_timer_init(loop, &watch->timer);
	watch->open_handles = 2;
	error = uv_poll_start(&watch->poll, UV_READABLE, on_message);
	if (error) {
		interfaces_watch_stop(watch, NULL, NULL);
		return error_of_system(-error);
	}
	*out = watch;
	return ERROR_NONE;
}

void interfaces_watch_stop(
	struct interfaces_watch *watch, void (*closed)(void *context), void *context)
{
	watch->closed = closed;
	watch->closed_context = context;
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
	uv_close((uv_handle_t *)&watch->timer, on_watch_closed);
}
