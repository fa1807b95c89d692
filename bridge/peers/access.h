/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which nodes may be peers at all: a list of those that are let in (when the list is empty:
 * everybody) and a list of those that are not. The lists hold both ways: a node that is not
 * granted access is refused at the handshake and never dialled, wherever its address comes from.
 *
 * sans-IO; any thread, the lists do not change.
 */
#ifndef BRIDGE_PEERS_ACCESS_H
#define BRIDGE_PEERS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "../id.h"

struct access;

/* Copies the lists. ERROR_NOMEM. */
int access_new(const struct id *allow, size_t allow_count, const struct id *deny, size_t deny_count,
	struct access **out);
void access_free(struct access *access);

bool access_grants(const struct access *access, const struct id *node);

#endif
