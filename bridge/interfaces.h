/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What we tell others about where we are: the bound addresses, a wildcard one replaced
 * by the addresses of this machine's interfaces (loopback only if there is no other).
 * Any thread; asks the system.
 */
#ifndef BRIDGE_INTERFACES_H
#define BRIDGE_INTERFACES_H

#include <stddef.h>

#include "address.h"

/* Returns how many, at most size; sorted, each once. */
size_t interfaces_addresses(
	const struct address *bound, size_t bound_count, struct address *out, size_t size);

#endif
