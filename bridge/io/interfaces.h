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

/* Returns how many, at most size; sorted, each once. */
size_t interfaces_addresses(
	const struct address *bound, size_t bound_count, struct address *out, size_t size);

/* Calls changed (from the loop) some 100 ms after addresses of this machine's interfaces have
 * come or gone, or may have (a lifetime that was renewed tells the same): the kernel says so
 * (rtnetlink), nothing is polled. The loop's thread. ERROR_SYSTEM, ERROR_NOMEM. */
struct interfaces_watch;
int interfaces_watch_start(uv_loop_t *loop, void (*changed)(void *context), void *context,
	struct interfaces_watch **out);
/* changed is not called any more; closed(context) (NULL is fine) is called from the loop when
 * its handles are closed, then it is freed. */
void interfaces_watch_stop(struct interfaces_watch *watch, void (*closed)(void *context),
	void *context);

#endif
