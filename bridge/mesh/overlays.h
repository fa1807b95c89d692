/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The overlays that are joined, and the messages that wait there for a first neighbour. */
#ifndef BRIDGE_MESH_OVERLAYS_H
#define BRIDGE_MESH_OVERLAYS_H

#include "context.h"

struct overlay {
	struct id topic;
	bool refused; /* over max_overlays: kept so that a leave finds it */
	bool joined;  /* there is a neighbour, and that was said */
	bool lacking; /* there are places for more */
	struct waiting waiting; /* for a first neighbour */
	struct waiting paced;	/* signed messages, for their turn */
	struct allowance pace;	/* of these */
	bool verify;		/* each signed message that comes */
	uint64_t signed_due;	/* when one is verified all the same */
	uint64_t heal_due; /* when nodes of the book are wanted again; UINT64_MAX: no need */
	uint64_t heal_backoff;
	/* When one more node is asked to tie parts together; UINT64_MAX: never. */
	uint64_t settle_due;
	unsigned settles, settle_tries; /* how often that was, and was due */
	UT_hash_handle hh;
};

struct overlay *overlay_find(const struct mesh *mesh, const struct id *topic);
/* NULL as well for one that is refused. */
struct overlay *overlay_joined(const struct mesh *mesh, const struct id *topic);

/* Joins; *out NULL: there is nothing to be done about it (it is joined already, or refused).
 * ERROR_NOMEM. */
int overlay_join(struct mesh *mesh, const struct id *topic, struct overlay **out);
/* Leaves with a farewell, and forgets it. */
void overlay_leave(struct mesh *mesh, struct overlay *overlay);

/* Takes the reference. */
void overlay_publish(struct mesh *mesh, const struct id *topic, struct message *message);
/* Signs a body and publishes it. */
void overlay_publish_signed(
	struct mesh *mesh, const struct id *topic, const void *body, size_t size);
/* Sends what has waited for the overlay's first neighbour. */
void overlay_send_waiting(struct mesh *mesh, const struct id *topic);
void overlays_expire_waiting(struct mesh *mesh);
/* Sends those signed messages whose turn it is. */
void overlays_pace(struct mesh *mesh);
uint64_t overlays_deadline(const struct mesh *mesh);
/* A waiting message of this overlay's has given way to another overlay's. context: the mesh. */
void overlay_gave_way(void *context, struct waiting *waiting);
/* Tells the owner what was not carried. */
void overlays_tell_dropped(struct mesh *mesh);
void overlays_free(struct mesh *mesh);

#endif
