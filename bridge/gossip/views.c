/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "views.h"

#include <assert.h>
#include <string.h>

#include "../error.h"
#include "../memory.h"

void views_forget(struct member *member)
{
	memory_free((void *)member->data.bytes);
	*member = (struct member){.view = MEMBER_FREE};
}

struct member *views_find(const struct membership *membership, const struct id *id)
{
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		const struct member *member = &membership->members[i];

		if (member->view != MEMBER_FREE && id_equal(&member->id, id))
			return (struct member *)member;
	}
	return NULL;
}

struct member *views_obtain(struct membership *membership, const struct id *id)
{
	struct member *member = views_find(membership, id);

	for (size_t i = 0; !member && i < MEMBERSHIP_MEMBERS; i++) {
		if (membership->members[i].view != MEMBER_FREE)
			continue;
		member = &membership->members[i];
		*member = (struct member){.view = MEMBER_STRANGER, .id = *id};
	}
	assert(member);
	return member;
}

void views_set(struct membership *membership, struct member *member, enum member_view view)
{
	membership->active += (view == MEMBER_ACTIVE) - (member->view == MEMBER_ACTIVE);
	membership->passive += (view == MEMBER_PASSIVE) - (member->view == MEMBER_PASSIVE);
	member->view = view;
}

void views_drop(struct membership *membership, struct member *member)
{
	views_set(membership, member, MEMBER_STRANGER);
	views_forget(member);
}

size_t views_count_asked(const struct membership *membership)
{
	size_t count = 0;

	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		const struct member *member = &membership->members[i];

		count += member->asked && member->view != MEMBER_ACTIVE;
	}
	return count;
}

size_t views_count_strangers(const struct membership *membership)
{
	size_t count = 0;

	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++)
		count += membership->members[i].view == MEMBER_STRANGER;
	return count;
}

struct member *views_pick(struct membership *membership, enum member_view view,
	const struct id *a, const struct id *b, bool may_ask)
{
	struct member *candidates[MEMBERSHIP_MEMBERS];
	size_t count = 0;

	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		struct member *member = &membership->members[i];

		if (member->view != view || (may_ask && (member->asked || member->full)))
			continue;
		if ((a && id_equal(a, &member->id)) || (b && id_equal(b, &member->id)))
			continue;
		candidates[count++] = member;
	}
	return count ? candidates[random_below(&membership->core->random, count)] : NULL;
}

bool views_data_equal(const struct wire_data *a, const struct wire_data *b)
{
	return a->bytes && b->bytes && a->size == b->size &&
	       memcmp(a->bytes, b->bytes, a->size) == 0;
}

void views_keep_data(
	struct membership *membership, struct member *member, const struct wire_data *data)
{
	uint8_t *bytes;

	if (!data->bytes || views_data_equal(&member->data, data))
		return;
	/* Never of size zero, for which the allocator might return NULL, and NULL means None. */
	bytes = memory_alloc(data->size + 1);
	if (!bytes) {
		membership->core->effects.error = ERROR_NOMEM;
		return;
	}
	memcpy(bytes, data->bytes, data->size);
	memory_free((void *)member->data.bytes);
	member->data = (struct wire_data){bytes, data->size};
}

void views_draw(struct membership *membership, struct wire_nodes *nodes, size_t *room,
	enum member_view view, size_t wanted, const struct id *without)
{
	struct member *candidates[MEMBERSHIP_MEMBERS];
	size_t count = 0;

	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		struct member *member = &membership->members[i];

		if (member->view == view && member->told && !id_equal(&member->id, without))
			candidates[count++] = member;
	}
	for (size_t i = 0; i < count && i < wanted; i++) {
		size_t j = i + random_below(&membership->core->random, count - i);
		struct member *member = candidates[j];
		struct wire_node node = {member->id, member->data};

		candidates[j] = candidates[i];
		if (wire_node_size(&node) > *room || nodes->count == LIMIT_SHUFFLE_NODES)
			return;
		*room -= wire_node_size(&node);
		nodes->items[nodes->count++] = node;
	}
}

void views_forget_full(struct membership *membership)
{
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++)
		membership->members[i].full = false;
}

bool views_make_room(struct membership *membership)
{
	struct member *victim = NULL;

	if (membership->passive < LIMIT_PASSIVE_VIEW)
		return true;
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS && !victim; i++)
		if (membership->members[i].view == MEMBER_PASSIVE && !membership->members[i].told)
			victim = &membership->members[i];
	if (!victim) {
		membership->crowd++;
		if (random_below(&membership->core->random,
			    LIMIT_PASSIVE_VIEW + membership->crowd) >= LIMIT_PASSIVE_VIEW)
			return false;
		victim = views_pick(membership, MEMBER_PASSIVE, NULL, NULL, false);
	}
	views_drop(membership, victim);
	return true;
}
