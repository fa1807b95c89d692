/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of the members that a membership knows: which view each is in, what each told about
 * itself, and drawing members by lot. Sends nothing. Private to gossip/.
 */
#ifndef BRIDGE_GOSSIP_VIEWS_H
#define BRIDGE_GOSSIP_VIEWS_H

#include "membership.h"

/* Returns the member with this id, or NULL if there is none. */
struct member *views_find(const struct membership *membership, const struct id *id);
/* Returns the member with this id, or a new stranger. There is always a place for a node that is
 * about to enter a view, because the callers check the capacities of the views first. */
struct member *views_obtain(struct membership *membership, const struct id *id);
void views_set(struct membership *membership, struct member *member, enum member_view view);
/* Forgets a member, whatever view it is in. A member that was asked may still answer: the answer is
 * then taken for a request. */
void views_drop(struct membership *membership, struct member *member);
/* Forgets a member that is in no view. */
void views_forget(struct member *member);

/* Counts the peers that may be about to enter the active view. */
size_t views_count_asked(const struct membership *membership);
size_t views_count_strangers(const struct membership *membership);

/* Draws a member of a view, but neither a nor b (NULL for nobody); with may_ask also no member that
 * has been asked or is full. NULL if there is none. */
struct member *views_pick(struct membership *membership, enum member_view view,
	const struct id *a, const struct id *b, bool may_ask);
/* Adds members of a view, drawn by lot, to the list, as long as the frame holds them. Leaves out
 * members of which the overlay itself has not told us: we must not pass them on. */
void views_draw(struct membership *membership, struct wire_nodes *nodes, size_t *room,
	enum member_view view, size_t wanted, const struct id *without);
/* Makes a place in the passive view for a node of which our part of the overlay has told us, by
 * dropping a member of which it has not, if there is any. Otherwise chance decides, so that the
 * view is an even sample of all nodes that have come since the last Shuffle: if many join through
 * us at once, we would otherwise introduce each only to those that came just before it, and the
 * overlay would be a chain. Returns whether there is a place. */
bool views_make_room(struct membership *membership);
/* Marks no member as full any more: members that had no room may have room again. */
void views_forget_full(struct membership *membership);

bool views_data_equal(const struct wire_data *a, const struct wire_data *b);
/* Copies data, unless it is None. ERROR_NOMEM goes to core->effects. */
void views_keep_data(
	struct membership *membership, struct member *member, const struct wire_data *data);

#endif
