/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The overlays that are joined, and the messages that wait there for a first neighbour. */
#ifndef BRIDGE_MESH_OVERLAYS_H
#define BRIDGE_MESH_OVERLAYS_H

#include "context.h"

struct overlay {
	struct id topic; /* the first one: owner of the queues below */
	bool refused; /* over max_overlays: kept so that a leave finds it */
	bool joined;  /* there is a neighbour, and the owner was told */
	bool lacking; /* there are places for more neighbours */
	struct waiting waiting; /* messages, for a first neighbour */
	struct waiting paced;	/* signed messages, for their turn */
	struct allowance pace;	/* of signed messages */
	bool verify;		/* each signed message that comes is to be verified */
	uint64_t signed_due;	/* when one is verified though verify is not set */
	uint64_t heal_due; /* when nodes of the book are wanted again; UINT64_MAX: no need */
	uint64_t heal_backoff;
	/* When one more node is asked to tie parts together; UINT64_MAX: never. */
	uint64_t settle_due;
	unsigned settles, settle_tries; /* how often one was asked, and how often that was due */
	/* For pictures of the overlay: since when it is in its state, and what was carried. */
	bool was_joined; /* there has been a neighbour */
	uint64_t since, change;
	uint64_t sent, received, dropped;
	struct overlay_neighbour {
		struct id id;
		uint64_t since, received;
	} here[LIMIT_ACTIVE_VIEW + 1];
	size_t here_count;
	struct overlay *change_prev, *change_next; /* mesh->by_change */
	UT_hash_handle hh;
};

struct overlay *overlay_find(const struct mesh *mesh, const struct id *topic);
/* Returns an overlay that is joined; NULL also for one that is refused. */
struct overlay *overlay_joined(const struct mesh *mesh, const struct id *topic);

/* Notes that the overlay has changed: a picture of it would be another one now. */
void overlay_changed(struct mesh *mesh, struct overlay *overlay);
/* Counts a message that has arrived on an overlay from this neighbour. */
void overlay_received(struct mesh *mesh, const struct id *topic, const struct id *neighbour);
/* Notes that a neighbour has come. */
void overlay_neighbour_up(struct mesh *mesh, struct overlay *overlay, const struct id *peer);
/* Notes that a neighbour is gone; left: how many there are now. */
void overlay_neighbour_down(
	struct mesh *mesh, struct overlay *overlay, const struct id *peer, size_t left);

/* Joins an overlay; *out NULL: there is nothing more to be done about it (it is joined already, or
 * refused). ERROR_NOMEM. */
int overlay_join(struct mesh *mesh, const struct id *topic, struct overlay **out);
/* Leaves the overlay with a farewell, and forgets it. */
void overlay_leave(struct mesh *mesh, struct overlay *overlay);

/* Publishes a message, and takes its reference. */
void overlay_publish(struct mesh *mesh, const struct id *topic, struct message *message);
/* Signs a body and publishes it. */
void overlay_publish_signed(
	struct mesh *mesh, const struct id *topic, const void *body, size_t size);
/* Sends what has waited for the overlay's first neighbour. */
void overlay_send_waiting(struct mesh *mesh, const struct id *topic);
/* Drops messages that have waited for a first neighbour for too long. */
void overlays_expire_waiting(struct mesh *mesh);
/* Sends those signed messages whose turn it is. */
void overlays_pace(struct mesh *mesh);
/* Returns when overlays_expire_waiting or overlays_pace is wanted. */
uint64_t overlays_deadline(const struct mesh *mesh);
/* Notes that a waiting message of this overlay's has given way to another overlay's. context: the
 * mesh. */
void overlay_gave_way(void *context, struct waiting *waiting);
/* Tells the owner which messages were not carried. */
void overlays_tell_dropped(struct mesh *mesh);
void overlays_free(struct mesh *mesh);

#endif
