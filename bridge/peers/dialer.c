/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "dialer.h"

#include "../error.h"
#include "../keyed.h"
#include "../limits.h"

#define MS		 UINT64_C(1000000)
#define NEXT_ADDRESS_NS	 (250 * MS)
#define BACKOFF_FIRST_NS (250 * MS)
#define BACKOFF_MOST_NS	 (4000 * MS)
/* A link that is gone so soon after its dial was none: a server that refuses our key says
 * so only after the handshake is complete for us. */
#define LASTING_NS (1000 * MS)

enum state {
	IDLE,	 /* not wanted any more, which is still to be said */
	WAITING, /* wanted, next round at 'due' */
	DIALING, /* a round is under way, next address at 'due' */
	LINKED,
};

struct target {
	struct id node;
	enum state state;
	bool keep;
	bool look_up; /* an effect to be taken */
	bool gave_up; /* likewise */
	uint64_t due; /* UINT64_MAX: nothing to wait for but answers */
	uint64_t backoff;
	uint64_t round_begun; /* the last one; 0: none yet */
	size_t candidates_count, next_candidate, pending;
	struct address candidates[BOOK_CANDIDATES];
	UT_hash_handle hh;
};

struct dialer {
	struct random random;
	const struct book *book;
	struct keyed keyed;
	struct target *targets;
	uint64_t due;	       /* nothing is to be done before; may be too early */
	uint64_t window_start; /* the second in which 'spent' dials have begun */
	unsigned spent;
};

int dialer_new(const struct random *random, const struct book *book, struct dialer **out)
{
	struct dialer *dialer = memory_zalloc(sizeof *dialer);

	if (!dialer)
		return ERROR_NOMEM;
	dialer->random = *random;
	dialer->book = book;
	dialer->due = UINT64_MAX;
	keyed_init(&dialer->keyed, random);
	*out = dialer;
	return ERROR_NONE;
}

static void forget(struct dialer *dialer, struct target *target)
{
	HASH_DELETE(hh, dialer->targets, target);
	memory_free(target);
}

void dialer_free(struct dialer *dialer)
{
	struct target *target, *next;

	if (!dialer)
		return;
	HASH_ITER (hh, dialer->targets, target, next)
		forget(dialer, target);
	memory_free(dialer);
}

static struct target *find(const struct dialer *dialer, const struct id *node)
{
	struct target *target;

	HASH_FIND_BYHASHVALUE(hh, dialer->targets, node, sizeof *node,
		keyed_hash(&dialer->keyed, node, sizeof *node), target);
	return target;
}

static int find_or_add(struct dialer *dialer, const struct id *node, struct target **out)
{
	struct target *target = find(dialer, node);

	if (!target) {
		if (HASH_COUNT(dialer->targets) >= 2 * LIMIT_PEERS)
			return ERROR_LIMIT;
		target = memory_zalloc(sizeof *target);
		if (!target)
			return ERROR_NOMEM;
		target->node = *node;
		target->due = UINT64_MAX;
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, dialer->targets, &target->node, sizeof target->node,
			keyed_hash(&dialer->keyed, node, sizeof *node), target);
		if (!target->hh.tbl) {
			memory_free(target);
			return ERROR_NOMEM;
		}
	}
	*out = target;
	return ERROR_NONE;
}

static void set_due(struct dialer *dialer, struct target *target, uint64_t due)
{
	target->due = due;
	if (due < dialer->due)
		dialer->due = due;
}

static void wait_until(struct dialer *dialer, struct target *target, uint64_t due)
{
	set_due(dialer, target, due);
	target->state = WAITING;
	target->pending = 0;
}

int dialer_want(struct dialer *dialer, uint64_t now, const struct id *node, bool keep)
{
	struct target *target;
	int error = find_or_add(dialer, node, &target);

	if (error)
		return error;
	target->keep = target->keep || keep;
	if (target->state == IDLE) {
		target->gave_up = false;
		target->backoff = BACKOFF_FIRST_NS;
		wait_until(dialer, target, now);
	}
	return ERROR_NONE;
}

void dialer_unwant(struct dialer *dialer, const struct id *node)
{
	struct target *target = find(dialer, node);

	if (!target)
		return;
	target->keep = false;
	if (target->state == WAITING)
		forget(dialer, target);
}

static void back_off(struct dialer *dialer, uint64_t now, struct target *target)
{
	uint64_t half = target->backoff / 2;

	wait_until(dialer, target, now + half + random_below(&dialer->random, half + 1));
	target->backoff =
		target->backoff * 2 > BACKOFF_MOST_NS ? BACKOFF_MOST_NS : target->backoff * 2;
}

/* A round has ended without a link. */
static void round_over(struct dialer *dialer, uint64_t now, struct target *target)
{
	if (!target->keep) {
		target->state = IDLE;
		set_due(dialer, target, now);
		target->gave_up = true;
		return;
	}
	back_off(dialer, now, target);
	target->look_up = true;
	dialer->due = now; /* the look-up does not wait for the backoff */
}

void dialer_failed(
	struct dialer *dialer, uint64_t now, const struct id *node, const struct address *address)
{
	struct target *target = find(dialer, node);

	(void)address;
	if (!target || target->state != DIALING || target->pending == 0)
		return;
	target->pending--;
	if (target->next_candidate < target->candidates_count)
		set_due(dialer, target, now); /* it has answered no: do not wait 250 ms */
	else if (target->pending == 0)
		round_over(dialer, now, target);
}

void dialer_linked(struct dialer *dialer, const struct id *node)
{
	struct target *target = find(dialer, node);

	if (!target)
		return;
	if (!target->keep) {
		forget(dialer, target);
		return;
	}
	target->state = LINKED;
	target->due = UINT64_MAX;
	target->look_up = false;
}

void dialer_unlinked(struct dialer *dialer, uint64_t now, const struct id *node)
{
	struct target *target = find(dialer, node);

	if (!target || target->state != LINKED)
		return;
	if (!target->keep) {
		forget(dialer, target);
	} else if (target->round_begun && now - target->round_begun < LASTING_NS) {
		back_off(dialer, now, target);
	} else {
		target->backoff = BACKOFF_FIRST_NS;
		wait_until(dialer, target, now);
	}
}

/* Whether there is a candidate that the last round has not tried. */
static bool has_new_candidate(const struct dialer *dialer, const struct target *target)
{
	struct address candidates[BOOK_CANDIDATES];
	size_t count = book_candidates(dialer->book, &target->node, candidates), at;

	for (size_t i = 0; i < count; i++) {
		for (at = 0; at < target->candidates_count; at++)
			if (address_compare(&candidates[i], &target->candidates[at]) == 0)
				break;
		if (at == target->candidates_count)
			return true;
	}
	return false;
}

void dialer_addresses(struct dialer *dialer, uint64_t now, const struct id *node)
{
	struct target *target = find(dialer, node);

	if (target && target->state == WAITING && target->due > now &&
		has_new_candidate(dialer, target))
		set_due(dialer, target, now);
}

uint64_t dialer_deadline(const struct dialer *dialer)
{
	uint64_t next_second = dialer->window_start + 1000 * MS;

	if (dialer->spent >= DIALER_BUDGET && dialer->due < next_second)
		return next_second;
	return dialer->due;
}

static void begin_round(struct dialer *dialer, uint64_t now, struct target *target)
{
	target->candidates_count = book_candidates(dialer->book, &target->node, target->candidates);
	target->next_candidate = 0;
	target->pending = 0;
	target->state = DIALING;
	target->round_begun = now;
	set_due(dialer, target, now);
	if (target->candidates_count == 0)
		round_over(dialer, now, target);
}

static bool effect_of(
	struct dialer *dialer, uint64_t now, struct target *target, struct dialer_effect *out)
{
	out->node = target->node;
	if (target->state == WAITING && target->due <= now)
		begin_round(dialer, now, target);
	if (target->gave_up) {
		out->type = DIALER_GAVE_UP;
		forget(dialer, target);
		return true;
	}
	if (target->look_up) {
		target->look_up = false;
		out->type = DIALER_LOOK_UP;
		return true;
	}
	if (target->state == DIALING && target->due <= now && dialer->spent < DIALER_BUDGET) {
		out->type = DIALER_DIAL;
		out->address = target->candidates[target->next_candidate++];
		dialer->spent++;
		target->pending++;
		target->due = target->next_candidate < target->candidates_count
				      ? now + NEXT_ADDRESS_NS
				      : UINT64_MAX;
		return true;
	}
	return false;
}

bool dialer_effect(struct dialer *dialer, uint64_t now, struct dialer_effect *out)
{
	struct target *target, *next;
	uint64_t due = UINT64_MAX;

	if (now < dialer->due)
		return false;
	if (now >= dialer->window_start + 1000 * MS) {
		dialer->window_start = now;
		dialer->spent = 0;
	}
	HASH_ITER (hh, dialer->targets, target, next) {
		if (effect_of(dialer, now, target, out))
			return true;
		if (target->due < due)
			due = target->due;
	}
	dialer->due = due;
	return false;
}
