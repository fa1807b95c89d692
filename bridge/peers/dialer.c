/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "dialer.h"

#include <utlist.h>

#include "../backoff.h"
#include "../error.h"
#include "../keyed_table.h"
#include "../limits.h"
#include "../time.h"

#define NEXT_ADDRESS_NS	 (250 * MS)
#define BACKOFF_FIRST_NS (250 * MS)
#define BACKOFF_MOST_NS	 (4000 * MS)
/* The wait between dials at one host without success: doubles from the first to the most. The host
 * is forgotten when there was no dial for twice the most. */
#define HOST_FIRST_NS (250 * MS)
#define HOST_MOST_NS  (60000 * MS)
/* An address whose host has to wait for longer is skipped. */
#define HOST_PATIENCE_NS (2000 * MS)
/* A link that is gone so soon after its dial was none: a server that refuses our key says
 * so only after the handshake is complete for us. */
#define LASTING_NS (1000 * MS)

/* When a node's addresses are tried, counted from the start of a link by way of a relay. */
static const uint64_t relayed_ns[] = {1000 * MS, 5000 * MS, 30000 * MS};
#define RELAYED_NS (60000 * MS)

enum state {
	IDLE,	 /* not wanted any more, which is still to be told */
	WAITING, /* wanted, next round at 'due' */
	DIALING, /* a round is under way, next address at 'due' */
	LINKED,
	RELAYED, /* linked by way of a relay, next round of the addresses at 'due' */
};

struct target {
	struct id node;
	enum state state;
	bool keep;
	bool look_up; /* DIALER_LOOK_UP is still to be taken */
	bool gave_up; /* DIALER_GAVE_UP is still to be taken */
	bool put_off; /* since 'since', for the budgets of unproven addresses */
	bool relayed; /* RELAYED, or DIALING out of it */
	size_t relayed_rounds;
	uint64_t relayed_since;
	bool told;    /* in dialer->told */
	size_t place; /* in dialer->heap; NOWHERE: waits for answers only */
	uint64_t due, since;
	uint64_t backoff;
	uint64_t round_begun; /* when the last round began; 0: none yet */
	size_t candidates_count, next_candidate, pending;
	struct address candidates[BOOK_CANDIDATES];
	bool proven[BOOK_CANDIDATES]; /* has worked, or is configured */
	struct target *told_prev, *told_next;
	UT_hash_handle hh;
};

#define NOWHERE	    SIZE_MAX
#define TARGETS_MAX (2 * (size_t)LIMIT_PEERS)

struct dialer {
	struct random random;
	const struct book *book;
	struct dial_budget *unproven;
	struct counters *counters;
	struct keyed keyed;
	struct target *targets;
	struct target *told; /* those with something to be told at once */
	uint64_t told_due;   /* since when told is not empty */
	/* The other targets that wait: a binary heap, the first to be due on top. */
	size_t heap_count;
	struct target *heap[TARGETS_MAX];
	uint64_t window_start; /* the second in which 'spent' dials have begun */
	unsigned spent;
};

/* ---- the heap ---- */

static bool is_before(const struct target *a, const struct target *b)
{
	/* The target that was put off first goes first. */
	return a->due != b->due ? a->due < b->due : a->since < b->since;
}

static void place(struct dialer *dialer, size_t at, struct target *target)
{
	dialer->heap[at] = target;
	target->place = at;
}

/* Lets target rise from the empty place at. */
static void sift_up(struct dialer *dialer, size_t at, struct target *target)
{
	for (; at > 0 && is_before(target, dialer->heap[(at - 1) / 2]); at = (at - 1) / 2)
		place(dialer, at, dialer->heap[(at - 1) / 2]);
	place(dialer, at, target);
}

static void sift_down(struct dialer *dialer, size_t at, struct target *target)
{
	size_t child;

	while ((child = 2 * at + 1) < dialer->heap_count) {
		if (child + 1 < dialer->heap_count &&
			is_before(dialer->heap[child + 1], dialer->heap[child]))
			child++;
		if (!is_before(dialer->heap[child], target))
			break;
		place(dialer, at, dialer->heap[child]);
		at = child;
	}
	place(dialer, at, target);
}

static void set_idle(struct dialer *dialer, struct target *target)
{
	size_t at = target->place;
	struct target *last;

	if (at == NOWHERE)
		return;
	target->place = NOWHERE;
	last = dialer->heap[--dialer->heap_count];
	if (last == target)
		return;
	if (at > 0 && is_before(last, dialer->heap[(at - 1) / 2]))
		sift_up(dialer, at, last);
	else
		sift_down(dialer, at, last);
}

static void set_due_since(
	struct dialer *dialer, struct target *target, uint64_t due, uint64_t since)
{
	set_idle(dialer, target);
	target->due = due;
	target->since = since;
	sift_up(dialer, dialer->heap_count++, target);
}

static void set_due(struct dialer *dialer, struct target *target, uint64_t due)
{
	set_due_since(dialer, target, due, due);
}

/* ---- targets ---- */

static void tell(struct dialer *dialer, uint64_t now, struct target *target)
{
	if (target->told)
		return;
	if (!dialer->told)
		dialer->told_due = now;
	target->told = true;
	DL_APPEND2(dialer->told, target, told_prev, told_next);
}

static void untell(struct dialer *dialer, struct target *target)
{
	if (target->told)
		DL_DELETE2(dialer->told, target, told_prev, told_next);
	target->told = false;
	target->look_up = target->gave_up = false;
}

int dialer_new(const struct random *random, const struct book *book, struct dial_budget *budget,
	struct counters *counters, struct dialer **out)
{
	struct dialer *dialer = memory_zalloc(sizeof *dialer);

	if (!dialer)
		return ERROR_NOMEM;
	dialer->random = *random;
	dialer->book = book;
	dialer->unproven = budget;
	dialer->counters = counters;
	keyed_init(&dialer->keyed, random);
	*out = dialer;
	return ERROR_NONE;
}

static void forget(struct dialer *dialer, struct target *target)
{
	set_idle(dialer, target);
	untell(dialer, target);
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

	KEYED_FIND(&dialer->keyed, dialer->targets, node, sizeof *node, target);
	return target;
}

static int find_or_add(struct dialer *dialer, const struct id *node, struct target **out)
{
	struct target *target = find(dialer, node);

	if (!target) {
		if (HASH_COUNT(dialer->targets) >= TARGETS_MAX)
			return ERROR_LIMIT;
		target = memory_zalloc(sizeof *target);
		if (!target)
			return ERROR_NOMEM;
		target->node = *node;
		target->place = NOWHERE;
		target->backoff = BACKOFF_FIRST_NS;
		KEYED_ADD(&dialer->keyed, dialer->targets, &target->node, sizeof target->node,
			target);
		if (!target)
			return ERROR_NOMEM;
	}
	*out = target;
	return ERROR_NONE;
}

static void wait_until(struct dialer *dialer, struct target *target, uint64_t due)
{
	set_due(dialer, target, due);
	target->state = WAITING;
	target->pending = 0;
	target->put_off = false;
}

int dialer_want(struct dialer *dialer, uint64_t now, const struct id *node, bool keep)
{
	struct target *target;
	int error = find_or_add(dialer, node, &target);

	if (error)
		return error;
	target->keep = target->keep || keep;
	if (target->state == IDLE) {
		untell(dialer, target);
		target->backoff = BACKOFF_FIRST_NS;
		wait_until(dialer, target, now);
	}
	return ERROR_NONE;
}

uint64_t dialer_due(const struct dialer *dialer, const struct id *node)
{
	const struct target *target = find(dialer, node);

	return target && target->state == WAITING && target->place != NOWHERE ? target->due
									      : UINT64_MAX;
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
	wait_until(dialer, target,
		now + backoff_next(&dialer->random, &target->backoff, BACKOFF_MOST_NS));
}

/* Schedules the next round for a target that is linked by way of a relay. */
static void await_relayed_round(struct dialer *dialer, uint64_t now, struct target *target)
{
	size_t round = target->relayed_rounds++, last = sizeof relayed_ns / sizeof *relayed_ns;
	uint64_t due = round < last ? target->relayed_since + relayed_ns[round] : now + RELAYED_NS;

	wait_until(dialer, target, due > now ? due : now);
	target->state = RELAYED;
}

/* Ends a round that has led to no link. */
static void round_over(struct dialer *dialer, uint64_t now, struct target *target)
{
	if (target->relayed) {
		await_relayed_round(dialer, now, target);
		return;
	}
	tell(dialer, now, target);
	if (!target->keep) {
		target->state = IDLE;
		set_idle(dialer, target);
		target->gave_up = true;
		return;
	}
	back_off(dialer, now, target);
	target->look_up = true; /* the look-up does not wait for the backoff */
}

void dialer_failed(
	struct dialer *dialer, uint64_t now, const struct id *node, const struct address *address)
{
	struct target *target = find(dialer, node);

	(void)address;
	if (!target || target->state != DIALING || target->pending == 0)
		return;
	target->pending--;
	if (target->put_off)
		return;
	if (target->next_candidate < target->candidates_count)
		set_due(dialer, target, now); /* the address has answered no: do not wait 250 ms */
	else if (target->pending == 0)
		round_over(dialer, now, target);
}

/* Finds what is known of the host, or makes a place for it. */
static struct dial_host *find_host(
	struct dial_budget *budget, uint64_t now, const struct address *host)
{
	struct dial_host *oldest = &budget->hosts[0], *one;

	for (size_t i = 0; i < DIAL_HOSTS; i++) {
		one = &budget->hosts[i];
		if (one->dials > 0 && now >= one->last + 2 * HOST_MOST_NS)
			one->dials = 0;
		if (one->dials > 0 && address_compare(&one->host, host) == 0)
			return one;
		if (one->dials == 0 ? oldest->dials > 0
				    : oldest->dials > 0 && one->last < oldest->last)
			oldest = one;
	}
	*oldest = (struct dial_host){.host = *host};
	return oldest;
}

static void note_dial(struct dial_host *host, uint64_t now)
{
	unsigned beyond = host->dials - LIMIT_UNPROVEN_DIALS_PER_HOST;

	host->last = now;
	if (++host->dials <= LIMIT_UNPROVEN_DIALS_PER_HOST)
		return;
	host->due = beyond < 8 && HOST_FIRST_NS << beyond < HOST_MOST_NS
			    ? now + (HOST_FIRST_NS << beyond)
			    : now + HOST_MOST_NS;
}

void dialer_worked(struct dialer *dialer, const struct address *address)
{
	struct address host = address_host(address);
	struct dial_host *hosts = dialer->unproven->hosts;

	for (size_t i = 0; i < DIAL_HOSTS; i++)
		if (hosts[i].dials > 0 && address_compare(&hosts[i].host, &host) == 0)
			hosts[i].dials = 0;
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
	target->relayed = false;
	set_idle(dialer, target);
	untell(dialer, target);
}

void dialer_relayed(struct dialer *dialer, uint64_t now, const struct id *node, bool at_once)
{
	struct target *target;

	if (find_or_add(dialer, node, &target) || target->relayed)
		return;
	untell(dialer, target);
	target->relayed = true;
	target->relayed_since = now;
	target->relayed_rounds = 0;
	/* Dials at the node's addresses may be under way, and may yet succeed. */
	await_relayed_round(dialer, now, target);
	if (at_once)
		set_due(dialer, target, now);
}

void dialer_unlinked(struct dialer *dialer, uint64_t now, const struct id *node)
{
	struct target *target = find(dialer, node);

	if (!target || (target->state != LINKED && !target->relayed))
		return;
	target->relayed = false;
	if (!target->keep) {
		forget(dialer, target);
	} else if (target->round_begun && now - target->round_begun < LASTING_NS) {
		back_off(dialer, now, target);
	} else {
		target->backoff = BACKOFF_FIRST_NS;
		wait_until(dialer, target, now);
	}
}

/* Tells whether there is a candidate that the last round has not tried. */
static bool has_new_candidate(const struct dialer *dialer, const struct target *target)
{
	struct address candidates[BOOK_CANDIDATES];
	size_t count = book_candidates(dialer->book, &target->node, candidates, NULL), at;

	for (size_t i = 0; i < count; i++) {
		if (target->relayed && address_is_relay(&candidates[i]))
			continue;
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

	if (target && (target->state == WAITING || target->state == RELAYED) &&
		target->due > now && has_new_candidate(dialer, target))
		set_due(dialer, target, now);
}

void dialer_again(struct dialer *dialer, uint64_t now)
{
	struct target *target, *next;

	HASH_ITER (hh, dialer->targets, target, next)
		if (target->state == WAITING && target->due > now)
			set_due(dialer, target, now);
}

/* ---- effects ---- */

uint64_t dialer_deadline(const struct dialer *dialer)
{
	uint64_t next_second = dialer->window_start + S, due;

	if (dialer->told)
		return dialer->told_due;
	if (dialer->heap_count == 0)
		return UINT64_MAX;
	due = dialer->heap[0]->due;
	return dialer->spent >= DIALER_BUDGET && due < next_second ? next_second : due;
}

static bool tell_next(struct dialer *dialer, struct dialer_effect *out)
{
	struct target *target = dialer->told;

	if (!target)
		return false;
	out->node = target->node;
	out->type = target->gave_up ? DIALER_GAVE_UP : DIALER_LOOK_UP;
	if (target->gave_up)
		forget(dialer, target);
	else
		untell(dialer, target);
	return true;
}

static void add_candidate(struct target *target, const struct address *address, bool proven)
{
	target->candidates[target->candidates_count] = *address;
	target->proven[target->candidates_count++] = proven;
}

/* Collects the candidates: the first address, the relays, the other addresses. Leaves out the
 * relays when the target is linked through one. */
static void find_candidates(const struct dialer *dialer, struct target *target)
{
	struct address found[BOOK_CANDIDATES];
	size_t proven, count = book_candidates(dialer->book, &target->node, found, &proven);
	size_t first = 0;

	while (first < count && address_is_relay(&found[first]))
		first++;
	target->candidates_count = 0;
	if (first < count)
		add_candidate(target, &found[first], first < proven);
	for (size_t i = 0; i < count && !target->relayed; i++)
		if (address_is_relay(&found[i]))
			add_candidate(target, &found[i], i < proven);
	for (size_t i = first + 1; i < count; i++)
		if (!address_is_relay(&found[i]))
			add_candidate(target, &found[i], i < proven);
}

static void begin_round(struct dialer *dialer, uint64_t now, struct target *target)
{
	find_candidates(dialer, target);
	target->next_candidate = 0;
	target->pending = 0;
	target->state = DIALING;
	if (!target->relayed)
		target->round_begun = now;
	if (target->candidates_count == 0)
		round_over(dialer, now, target);
}

static void put_off(struct dialer *dialer, struct target *target, uint64_t due)
{
	if (!target->put_off)
		counters_add(dialer->counters, COUNTER_LIMIT_UNPROVEN, 1);
	set_due_since(dialer, target, due, target->put_off ? target->since : target->due);
	target->put_off = true;
}

/* Leaves out the next candidate in this round. */
static void skip(struct dialer *dialer, uint64_t now, struct target *target)
{
	counters_add(dialer->counters, COUNTER_LIMIT_UNPROVEN, 1);
	target->put_off = false;
	if (++target->next_candidate < target->candidates_count)
		set_due(dialer, target, now);
	else if (target->pending > 0)
		set_idle(dialer, target);
	else
		round_over(dialer, now, target);
}

/* Tells whether the next candidate may be dialled now. Puts the candidate off or skips it if
 * not. */
static bool is_granted(struct dialer *dialer, uint64_t now, struct target *target)
{
	const struct address *address = &target->candidates[target->next_candidate];
	struct dial_budget *budget = dialer->unproven;
	struct address host = address_host(address);
	struct dial_host *known;

	if (target->proven[target->next_candidate])
		return true;
	/* Loopback is no third party, and to be connected to is a relay's purpose. */
	known = address_is_loopback(address) || address_is_relay(address)
			? NULL
			: find_host(budget, now, &host);
	if (known && known->due > now + HOST_PATIENCE_NS) {
		skip(dialer, now, target);
		return false;
	}
	if (known && known->due > now) {
		put_off(dialer, target, known->due);
		return false;
	}
	if (now >= budget->second + S) {
		budget->second = now;
		budget->spent = 0;
	}
	if (budget->spent >= LIMIT_UNPROVEN_DIALS) {
		put_off(dialer, target, budget->second + S);
		return false;
	}
	budget->spent++;
	if (known)
		note_dial(known, now);
	return true;
}

static void dial(
	struct dialer *dialer, uint64_t now, struct target *target, struct dialer_effect *out)
{
	out->type = DIALER_DIAL;
	out->node = target->node;
	out->address = target->candidates[target->next_candidate++];
	dialer->spent++;
	target->pending++;
	target->put_off = false;
	if (target->next_candidate == target->candidates_count)
		set_idle(dialer, target);
	else if (address_is_relay(&target->candidates[target->next_candidate]))
		set_due(dialer, target, now);
	else
		set_due(dialer, target, now + NEXT_ADDRESS_NS);
}

bool dialer_effect(struct dialer *dialer, uint64_t now, struct dialer_effect *out)
{
	struct target *target;

	if (now >= dialer->window_start + S) {
		dialer->window_start = now;
		dialer->spent = 0;
	}
	while (!tell_next(dialer, out)) {
		if (dialer->heap_count == 0 || dialer->spent >= DIALER_BUDGET)
			return false;
		target = dialer->heap[0];
		if (target->due > now)
			return false;
		if (target->state == WAITING || target->state == RELAYED)
			begin_round(dialer, now, target);
		if (target->state != DIALING || !is_granted(dialer, now, target))
			continue;
		dial(dialer, now, target, out);
		return true;
	}
	return true;
}
