/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What we tell others about where we are: the bound addresses, a wildcard one replaced
 * by the addresses of this machine's interfaces (loopback only if there is no other).
 * Any thread; asks the system.
 */
#ifndef BRIDGE_IO_INTERFACES_H
#define BRIDGE_IO_INTERFACES_H

#include <stddef.h>

#include <uv.h>

#include "../address.h"

/* How likely an address is of use to others, from the most likely to the least. */
enum interface_use {
	INTERFACE_USED,	 /* bound, or what the system sends from to nodes that are named, or far away */
	INTERFACE_OTHER, /* networks, VPNs */
	INTERFACE_BRIDGE /* mostly of containers, which have their own way */
};

struct interface_address {
	struct address address;
	enum interface_use use;
};

/* How many addresses are looked at, at most. */
#define INTERFACES_ADDRESSES 1024

/* Lists the addresses where others may find this machine, sorted, each once, and returns how many
 * there are, at most size. towards: where nodes of the configuration are. left_out: how many
 * addresses there was no room for. Where the system does not list its interfaces (netlink is
 * denied), only the addresses that the system sends from are known. */
size_t interfaces_addresses(const struct address *bound, size_t bound_count,
	const struct address *towards, size_t towards_count, struct address *out, size_t size,
	size_t *left_out);

/* Chooses at most size addresses from a list of different ones, and returns how many: those of most
 * use, but half of the places for each family if there are as many. The list is put into the order
 * of use, out into that of addresses. */
size_t interfaces_choose(
	struct interface_address *all, size_t count, struct address *out, size_t size);

/* Calls changed (from the loop) some 100 ms after addresses of this machine's interfaces have
 * come or gone, or may have (a lifetime that was renewed tells the same): the kernel says so
 * (rtnetlink), nothing is polled. The loop's thread. ERROR_NOMEM, or the
 * system's (error_of_system). */
struct interfaces_watch;
int interfaces_watch_start(uv_loop_t *loop, void (*changed)(void *context), void *context,
	struct interfaces_watch **out);
/* Stops the watch: changed is not called any more. closed(context) (NULL is fine) is called from
 * the loop when the watch's handles are closed; then the watch is freed. */
void interfaces_watch_stop(struct interfaces_watch *watch, void (*closed)(void *context),
	void *context);

#endif
