/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "missing.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../share.h"

/* plumtree.rs Config::default */
#define OPTIMIZATION_THRESHOLD 7

/* In a burst, a message is not asked for while pushes get on that were announced before it; nor are
 * many asked for at once before the first of them is on its way. */
#define STALL_TIME   (250 * MS)
#define GRAFT_LATEST (2 * S)

static_assert(LIMIT_ANNOUNCERS >= LIMIT_ACTIVE_VIEW, "every neighbour may announce");

void missing_init(struct missing_list *list, struct core *core)
{
	*list = (struct missing_list){.core = core};
}

struct missing *missing_find(struct missing_list *list, const struct id *id)
{
	struct missing *missing;

	KEYED_FIND(&list->core->keyed, list->by_id, id, ID_SIZE, missing);
	return missing;
}

void missing_forget(struct missing_list *list, struct missing *missing)
{
	DL_DELETE(list->waiting, missing);
	HASH_DELETE(hh, list->by_id, missing);
	memory_free(missing);
	list->core->missing--;
}

bool missing_clear_some(struct missing_list *list, size_t *allowance)
{
	for (; list->by_id && *allowance > 0; --*allowance)
		missing_forget(list, list->by_id);
	return !list->by_id;
}

/* Returns how many missing messages may be tracked: half of what other overlays leave, and always a
 * few, while there is room at all. */
static size_t limit(const struct missing_list *list)
{
	size_t own = HASH_COUNT(list->by_id), used = list->core->missing;

	if (used >= LIMIT_MISSING_IN_ALL)
		return 0;
	return share_of(LIMIT_MISSING_IN_ALL, used, own, LIMIT_MISSING);
}

/* Begins to wait for a message. Returns NULL at the limit, or without memory. */
static struct missing *add(struct missing_list *list, uint64_t now, const struct id *id)
{
	struct core *core = list->core;
	struct missing *missing;

	if (HASH_COUNT(list->by_id) >= limit(list)) {
		counters_add(core->counters, COUNTER_LIMIT_MISSING, 1);
		return NULL;
	}
	missing = memory_zalloc(sizeof *missing);
	if (missing) {
		missing->id = *id;
		missing->since = now;
		missing->due = now + GRAFT_TIMEOUT;
		KEYED_ADD(&core->keyed, list->by_id, &missing->id, ID_SIZE, missing);
	}
	if (!missing) {
		core->effects.error = ERROR_NOMEM;
		return NULL;
	}
	DL_APPEND(list->waiting, missing);
	core->missing++;
	return missing;
}

void missing_announced(
	struct missing_list *list, uint64_t now, uint8_t slot, const struct wire_ihave *ihave)
{
	struct missing *missing = missing_find(list, &ihave->id);

	if (!missing)
		missing = add(list, now, &ihave->id);
	if (!missing)
		return;
	for (size_t i = 0; i < missing->announcers_count; i++) {
		if (missing->announcers[i].slot == slot)
			return;
	}
	missing->announcers[missing->announcers_count++] =
		(struct announcer){.slot = slot, .round = ihave->round};
}

void missing_pushed(
	struct missing_list *list, uint64_t now, const struct missing *missing, unsigned pusher)
{
	if (missing->grafted & pusher)
		return;
	list->pushed_at = now;
	if (missing->since > list->pushed_since)
		list->pushed_since = missing->since;
}

static void remove_announcer(struct missing *missing, size_t index)
{
	missing->announcers_count--;
	memmove(&missing->announcers[index], &missing->announcers[index + 1],
		(missing->announcers_count - index) * sizeof *missing->announcers);
}

void missing_slot_gone(struct missing_list *list, uint8_t slot)
{
	struct missing *missing, *next;

	HASH_ITER (hh, list->by_id, missing, next) {
		for (size_t i = missing->announcers_count; i-- > 0;) {
			if (missing->announcers[i].slot == slot)
				remove_announcer(missing, i);
		}
		missing->grafted &= ~(1u << slot);
		if (missing->announcers_count == 0)
			missing_forget(list, missing);
	}
}

unsigned missing_holders(const struct missing *missing)
{
	unsigned holders = missing->grafted;

	for (size_t i = 0; i < missing->announcers_count; i++)
		holders |= 1u << missing->announcers[i].slot;
	return holders;
}

const struct announcer *missing_nearer(const struct missing *missing, uint16_t round)
{
	const struct announcer *best = NULL;

	for (size_t i = 0; i < missing->announcers_count; i++) {
		if (!best || missing->announcers[i].round < best->round)
			best = &missing->announcers[i];
	}
	if (!best || best->round >= round || round - best->round < OPTIMIZATION_THRESHOLD)
		return NULL;
	return best;
}

/* Returns when to ask for a missing message. In a burst it waits behind many others, and while the
 * pushes get on, and have not come as far as to this one, it is on its way. */
static uint64_t due_time(
	const struct missing_list *list, uint64_t burst_until, const struct missing *missing)
{
	uint64_t stalled_at = list->pushed_at + STALL_TIME;
	uint64_t latest = missing->since + GRAFT_LATEST;
	uint64_t wait = stalled_at < latest ? stalled_at : latest;

	if (missing->due >= burst_until || missing->since <= list->pushed_since)
		return missing->due;
	return wait > missing->due ? wait : missing->due;
}

uint64_t missing_deadline(const struct missing_list *list, uint64_t burst_until)
{
	return list->waiting ? due_time(list, burst_until, list->waiting) : UINT64_MAX;
}

struct missing *missing_ask(struct missing_list *list, uint64_t now, struct announcer *announcer)
{
	struct missing *missing = list->waiting;

	if (missing->announcers_count == 0) {
		missing_forget(list, missing);
		return NULL;
	}
	*announcer = missing->announcers[0];
	remove_announcer(missing, 0);
	missing->grafted |= 1u << announcer->slot;
	missing->due = now + GRAFT_TIMEOUT;
	DL_DELETE(list->waiting, missing);
	DL_APPEND(list->waiting, missing);
	return missing;
}

void missing_pushes_begin(struct missing_list *list, uint64_t now)
{
	list->pushed_at = now;
}
