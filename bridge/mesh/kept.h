/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages that wait over the end of one life of a node for the next one: what is taken out at the
 * end, and what is put in at the beginning, until its overlay is joined again or it is too old. */
#ifndef BRIDGE_MESH_KEPT_H
#define BRIDGE_MESH_KEPT_H

#include "overlays.h"

struct kept {
	struct id topic; /* the first one, as of an overlay: owner of its queue */
	struct waiting waiting;
	UT_hash_handle hh;
};

/* Puts a message of an earlier life beside the others. A message for which there is no memory or
 * no room is dropped and counted. */
void kept_put(struct mesh *mesh, const struct id *topic, struct message *message, uint64_t expires);
/* Lets the messages of an overlay that is joined now wait in that overlay, before all others. */
void kept_join(struct mesh *mesh, struct overlay *overlay);
/* Drops what has waited too long; returns when to call again, UINT64_MAX for never. */
uint64_t kept_expire(struct mesh *mesh);
void kept_free(struct mesh *mesh);

#endif
