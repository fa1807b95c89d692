/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The members that a membership knows, as a table: which view each is in, what it told about
 * itself, and who is drawn by lot. Sends nothing. Private to gossip/.
 */
#ifndef BRIDGE_GOSSIP_VIEWS_H
#define BRIDGE_GOSSIP_VIEWS_H

#include "membership.h"

/* NULL: it is not known. */
struct member *views_find(const struct membership *membership, const struct id *id);
/* Returns the member, or a new stranger. There is always a place for one that is about to
 * enter a view, because the views' capacities are looked after first. */
struct member *views_obtain(struct membership *membership, const struct id *id);
void views_set(struct membership *membership, struct member *member, enum member_view view);
/* Forgets a member, whatever view it is in. Whoever is asked and yet dropped may still answer:
 * that is taken for a request. */
void views_drop(struct membership *membership, struct member *member);
/* Forgets one that is in no view. */
void views_forget(struct member *member);

/* Counts the peers that may be about to enter the active view. */
size_t views_count_asked(const struct membership *membership);
size_t views_count_strangers(const struct membership *membership);

/* Draws a member of a view, neither a nor b (NULL for nobody); may_ask: nor one that has
 * been asked or is full; NULL if there is none. */
struct member *views_pick(struct membership *membership, enum member_view view,
	const struct id *a, const struct id *b, bool may_ask);
/* Adds members of a view, drawn by lot, to the list, as long as the frame holds them. Those that
 * are only known from elsewhere are not for us to tell. */
void views_draw(struct membership *membership, struct wire_nodes *nodes, size_t *room,
	enum member_view view, size_t wanted, const struct id *without);
/* Makes a place in the passive view for one whom our part of the overlay has told us of: at the
 * cost of one whom it has not, if there is any. Otherwise chance decides, so that the view is an
 * even sample of all who have come since the last Shuffle: if many join through us at once, we
 * would otherwise introduce each only to those who came just before it, and the overlay would be a
 * chain. Returns whether there is a place. */
bool views_make_room(struct membership *membership);
/* There may be room again, where there was none. */
void views_forget_full(struct membership *membership);

bool views_data_equal(const struct wire_data *a, const struct wire_data *b);
/* Copies data, unless it is None. ERROR_NOMEM goes to core->effects. */
void views_keep_data(
	struct membership *membership, struct member *member, const struct wire_data *data);

#endif
