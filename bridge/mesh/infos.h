/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What others say of where nodes are, as far as those nodes have signed it: verified, and taken
 * into the book. Verifying takes 0.1 to 0.3 ms, so there is a budget for it (effort.h). */
#ifndef BRIDGE_MESH_INFOS_H
#define BRIDGE_MESH_INFOS_H

#include "context.h"

/* Tells whether verifying an info may bring anything, and whether there is effort left for that,
 * which is then counted in verifying, on the source's behalf. */
bool infos_are_worth_it(struct mesh *mesh, const struct id *node, const struct id *source,
	const struct info *info, struct verifying *verifying);
/* Verifies an info that claims to be node's, and takes it (ownership passes). source: who has told
 * of it, scope: over what kind of network. Returns whether the info was new and is believed. */
bool infos_verify(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying);
/* Makes the relay that a node's newest info names one of the node's addresses, as far as nodes may
 * be dialled there. To be called after the node's infos have changed. */
void infos_note_relay(struct mesh *mesh, const struct id *node);
/* Tells whether a relay, of which somebody has told the URL, may be used, and puts the address that
 * stands for the relay into address. */
bool infos_find_relay(
	const struct mesh *mesh, const char *url, size_t size, struct address *address);
/* Verifies an info if infos_are_worth_it (ownership passes). Returns as infos_verify. */
bool infos_take(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying);

#endif
