/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "unverified.h"

#include <utlist.h>

#include "connections.h"

struct unverified {
	struct unverified *prev, *next;
	struct message *message;
};

/* What a neighbour has brought on one overlay. */
struct pile {
	struct pile *prev, *next; /* of the neighbour's piles, in the order of their turns */
	struct id topic;
	struct unverified *messages; /* oldest first; never none */
	size_t count;
};

/* A neighbour that has brought messages, and may be gone by now. */
struct bringer {
	struct bringer *prev, *next; /* of all bringers, in the order of their turns */
	struct id neighbour;
	struct allowance verified; /* the guest's, as long as this bringer is there */
	struct pile *piles;	   /* never none */
	size_t count;		   /* messages in all of them */
};

static uint64_t due_by(const struct allowance *allowance, unsigned per_second)
{
	return allowance_due(allowance, S / per_second, per_second / 4);
}

static void spend(const struct mesh *mesh, struct allowance *allowance, unsigned per_second)
{
	(void)allowance_take(allowance, mesh->now, S / per_second, per_second / 4);
}

/* ---- in ---- */

static struct bringer *add_bringer(struct mesh *mesh, struct guest *guest)
{
	struct bringer *bringer = memory_zalloc(sizeof *bringer);

	if (!bringer)
		return NULL;
	bringer->neighbour = guest->peer;
	bringer->verified = guest->verified;
	guest->bringer = bringer;
	if (guest->verified.next <= mesh->now)
		DL_PREPEND(mesh->bringers, bringer);
	else
		DL_APPEND(mesh->bringers, bringer);
	return bringer;
}

static void remove_bringer(struct mesh *mesh, struct bringer *bringer)
{
	struct guest *guest = connections_guest(mesh, &bringer->neighbour);

	/* The guest may have gone, and another one of the same peer have come. */
	if (guest && guest->bringer == bringer) {
		guest->bringer = NULL;
		guest->verified = bringer->verified;
	}
	DL_DELETE(mesh->bringers, bringer);
	memory_free(bringer);
}

static struct pile *find_pile(const struct bringer *bringer, const struct id *topic)
{
	struct pile *pile;

	DL_FOREACH (bringer->piles, pile)
		if (id_equal(&pile->topic, topic))
			return pile;
	return NULL;
}

static struct pile *add_pile(struct bringer *bringer, const struct id *topic)
{
	struct pile *pile = memory_zalloc(sizeof *pile);

	if (!pile)
		return NULL;
	pile->topic = *topic;
	DL_APPEND(bringer->piles, pile);
	return pile;
}

static void remove_pile(struct mesh *mesh, struct bringer *bringer, struct pile *pile)
{
	DL_DELETE(bringer->piles, pile);
	memory_free(pile);
	if (!bringer->piles)
		remove_bringer(mesh, bringer);
}

static bool has_place(
	const struct mesh *mesh, const struct bringer *bringer, const struct pile *pile)
{
	return pile->count < LIMIT_SIGNED_WAITING_PER_OVERLAY &&
	       (mesh->unverified_count < LIMIT_SIGNED_WAITING ||
		       bringer->count < LIMIT_SIGNED_WAITING_LEAST);
}

bool unverified_put(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message)
{
	struct guest *guest = connections_guest(mesh, neighbour);
	struct bringer *bringer = guest ? guest->bringer : NULL;
	struct unverified *unverified = NULL;
	struct pile *pile;

	if (guest && !bringer)
		bringer = add_bringer(mesh, guest);
	if (!bringer)
		return false;
	pile = find_pile(bringer, topic);
	if (!pile)
		pile = add_pile(bringer, topic);
	if (!pile && !bringer->piles)
		remove_bringer(mesh, bringer);
	if (!pile)
		return false;
	if (has_place(mesh, bringer, pile))
		unverified = memory_alloc(sizeof *unverified);
	if (!unverified && !pile->messages)
		remove_pile(mesh, bringer, pile);
	if (!unverified)
		return false;
	unverified->message = message;
	DL_APPEND(pile->messages, unverified);
	pile->count++;
	bringer->count++;
	mesh->unverified_count++;
	return true;
}

/* ---- out ---- */

/* Takes the oldest message of a pile. It was the turn of the pile and of the neighbour, so all
 * others come first now. */
static struct message *take(struct mesh *mesh, struct bringer *bringer, struct pile *pile)
{
	struct unverified *unverified = pile->messages;
	struct message *message = unverified->message;

	DL_DELETE(pile->messages, unverified);
	memory_free(unverified);
	pile->count--;
	bringer->count--;
	mesh->unverified_count--;
	DL_DELETE(mesh->bringers, bringer);
	DL_APPEND(mesh->bringers, bringer);
	DL_DELETE(bringer->piles, pile);
	DL_APPEND(bringer->piles, pile);
	if (!pile->messages)
		remove_pile(mesh, bringer, pile);
	return message;
}

struct message *unverified_take(struct mesh *mesh, struct id *topic, struct id *neighbour)
{
	struct bringer *bringer;

	if (due_by(&mesh->verified, LIMIT_SIGNED_VERIFIED) > mesh->now)
		return NULL;
	DL_FOREACH (mesh->bringers, bringer) {
		if (due_by(&bringer->verified, LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR) > mesh->now)
			continue;
		spend(mesh, &mesh->verified, LIMIT_SIGNED_VERIFIED);
		spend(mesh, &bringer->verified, LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR);
		*neighbour = bringer->neighbour;
		*topic = bringer->piles->topic;
		return take(mesh, bringer, bringer->piles);
	}
	return NULL;
}

struct message *unverified_take_of(struct mesh *mesh, const struct id *topic, struct id *neighbour)
{
	struct bringer *bringer;
	struct pile *pile;

	DL_FOREACH (mesh->bringers, bringer) {
		pile = find_pile(bringer, topic);
		if (!pile)
			continue;
		*neighbour = bringer->neighbour;
		return take(mesh, bringer, pile);
	}
	return NULL;
}

uint64_t unverified_deadline(const struct mesh *mesh)
{
	uint64_t all = due_by(&mesh->verified, LIMIT_SIGNED_VERIFIED), first = UINT64_MAX, due;
	struct bringer *bringer;

	DL_FOREACH (mesh->bringers, bringer) {
		due = due_by(&bringer->verified, LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR);
		if (due < first)
			first = due;
	}
	return first > all ? first : all;
}

void unverified_free(struct mesh *mesh)
{
	struct bringer *bringer;

	while ((bringer = mesh->bringers))
		message_unref(take(mesh, bringer, bringer->piles));
}
