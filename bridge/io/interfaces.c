/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interfaces.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "../error.h"
#include "../memory.h"

static bool is_wildcard(const struct address *address)
{
	static const uint8_t zero[16];

	return memcmp(address->ip, zero, address->family == 4 ? 4 : 16) == 0;
}

static bool of_interface(const uv_interface_address_t *interface, struct address *out)
{
	const struct sockaddr_in6 *v6 = &interface->address.address6;

	memset(out, 0, sizeof *out);
	if (interface->address.address4.sin_family == AF_INET) {
		out->family = 4;
		memcpy(out->ip, &interface->address.address4.sin_addr, 4);
		return true;
	}
	/* Link-local ones need a scope, which peer data has no place for. */
	if (v6->sin6_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
		return false;
	out->family = 6;
	memcpy(out->ip, &v6->sin6_addr, 16);
	return true;
}

static size_t insert(struct address *out, size_t count, size_t size, const struct address *address)
{
	size_t at = 0;

	while (at < count && address_compare(&out[at], address) < 0)
		at++;
	if (count == size || (at < count && address_compare(&out[at], address) == 0))
		return count;
	memmove(&out[at + 1], &out[at], (count - at) * sizeof *out);
	out[at] = *address;
	return count + 1;
}

static size_t of_all_interfaces(
	const struct address *bound, bool loopback, struct address *out, size_t count, size_t size)
{
	uv_interface_address_t *interfaces;
	struct address address;
	int interfaces_count;

	if (uv_interface_addresses(&interfaces, &interfaces_count) != 0)
		return count;
	for (int i = 0; i < interfaces_count; i++) {
		if (!of_interface(&interfaces[i], &address) || address.family != bound->family ||
			address_is_loopback(&address) != loopback)
			continue;
		address.port = bound->port;
		count = insert(out, count, size, &address);
	}
	uv_free_interface_addresses(interfaces, interfaces_count);
	return count;
}

size_t interfaces_addresses(
	const struct address *bound, size_t bound_count, struct address *out, size_t size)
{
	size_t count = 0;

	for (size_t i = 0; i < bound_count; i++)
		count = is_wildcard(&bound[i])
				? of_all_interfaces(&bound[i], false, out, count, size)
				: insert(out, count, size, &bound[i]);
	for (size_t i = 0; i < bound_count && count == 0; i++)
		count = of_all_interfaces(&bound[i], true, out, count, size);
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

/* Whether addresses may have come or gone. Links also tell of much else (statistics of radio
 * interfaces, names): then no flag of theirs has changed. */
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
	/* Not put off by more of them: it comes some time, however long they go on. */
	if (changed && !uv_is_active((uv_handle_t *)&watch->timer))
		uv_timer_start(&watch->timer, on_settled, DEBOUNCE_MS, 0);
}

static int open_netlink(void)
{
	const struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&groups, sizeof groups) != 0) {
		close(fd);
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

	if (!watch)
		return ERROR_NOMEM;
	watch->changed = changed;
	watch->context = context;
	watch->fd = open_netlink();
	watch->timer.data = watch->poll.data = watch;
	if (watch->fd < 0 || uv_poll_init(loop, &watch->poll, watch->fd) != 0) {
		release(watch);
		return ERROR_SYSTEM;
	}
	uv_timer_init(loop, &watch->timer);
	watch->open_handles = 2;
	if (uv_poll_start(&watch->poll, UV_READABLE, on_message) != 0) {
		interfaces_watch_stop(watch, NULL, NULL);
		return ERROR_SYSTEM;
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
