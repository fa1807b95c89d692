/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What others say of where nodes are, as far as it is signed by those nodes: verified, and taken into
 * the book. Verifying takes 0.1 to 0.3 ms, so there is a budget for it (effort.h). */
#ifndef BRIDGE_MESH_INFOS_H
#define BRIDGE_MESH_INFOS_H

#include "context.h"

/* Whether it may bring anything, and whether there is effort left for that; counts it on this
 * source's behalf. */
bool infos_are_worth_it(struct mesh *mesh, const struct id *node, const struct id *source,
	const struct info *info, struct verifying *verifying);
/* Verifies an info that claims to be node's, and takes it (ownership passes). source: who has told
 * it, scope: over what kind of network. Whether it was new and is believed. */
bool infos_verify(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying);
/* The relay that a node's newest info names, as far as nodes may be dialled there, becomes one of
 * its addresses. After its infos have changed. */
void infos_note_relay(struct mesh *mesh, const struct id *node);
/* Whether a relay, of which somebody has told the URL, may be used, and what stands for it. */
bool infos_find_relay(
	const struct mesh *mesh, const char *url, size_t size, struct address *address);
/* Both, one after the other. */
bool infos_take(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying);

#endif
