/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "joiner.h"

#include "../error.h"
#include "../keyed.h"
#include "../limits.h"

#define MS		 UINT64_C(1000000)
#define SECOND_NS	 (1000 * MS)
#define BACKOFF_FIRST_NS (500 * MS)
#define BACKOFF_MOST_NS	 (8000 * MS)

struct pair {
	struct id topic, peer;
};

struct wish {
	struct pair pair;
	bool linked;
	bool answered;
	enum joiner_reason reason;
	unsigned asked; /* without an answer */
	uint64_t due; /* UINT64_MAX while not linked or answered */
	uint64_t backoff;
	UT_hash_handle hh;
};

struct joiner {
	struct random random;
	struct keyed keyed;
	struct wish *wishes;
	struct counters *counters;
	uint64_t due;	       /* nothing is to be done before; may be too early */
	uint64_t window_start; /* the second in which 'spent' were asked */
	unsigned spent;
};

int joiner_new(const struct random *random, struct counters *counters, struct joiner **out)
{
	struct joiner *joiner = memory_zalloc(sizeof *joiner);

	if (!joiner)
		return ERROR_NOMEM;
	joiner->random = *random;
	joiner->counters = counters;
	joiner->due = UINT64_MAX;
	keyed_init(&joiner->keyed, random);
	*out = joiner;
	return ERROR_NONE;
}

static void forget(struct joiner *joiner, struct wish *wish)
{
	HASH_DELETE(hh, joiner->wishes, wish);
	memory_free(wish);
}

void joiner_free(struct joiner *joiner)
{
	struct wish *wish, *next;

	if (!joiner)
		return;
	HASH_ITER (hh, joiner->wishes, wish, next)
		forget(joiner, wish);
	memory_free(joiner);
}

static struct wish *find(const struct joiner *joiner, const struct id *topic, const struct id *peer)
{
	struct pair pair = {*topic, *peer};
	struct wish *wish;

	HASH_FIND_BYHASHVALUE(hh, joiner->wishes, &pair, sizeof pair,
		keyed_hash(&joiner->keyed, &pair, sizeof pair), wish);
	return wish;
}

static void set_due(struct joiner *joiner, struct wish *wish, uint64_t due)
{
	wish->due = due;
	if (due < joiner->due)
		joiner->due = due;
}

int joiner_add(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_reason reason)
{
	struct wish *wish = find(joiner, topic, peer);

	if (wish) {
		if (reason > wish->reason)
			wish->reason = reason;
		return ERROR_NONE;
	}
	wish = memory_zalloc(sizeof *wish);
	if (!wish)
		return ERROR_NOMEM;
	wish->pair = (struct pair){*topic, *peer};
	wish->linked = linked;
	wish->reason = reason;
	wish->backoff = BACKOFF_FIRST_NS;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, joiner->wishes, &wish->pair, sizeof wish->pair,
		keyed_hash(&joiner->keyed, &wish->pair, sizeof wish->pair), wish);
	if (!wish->hh.tbl) {
		memory_free(wish);
		return ERROR_NOMEM;
	}
	set_due(joiner, wish, linked ? now : UINT64_MAX);
	return ERROR_NONE;
}

void joiner_remove_topic(struct joiner *joiner, const struct id *topic)
{
	struct wish *wish, *next;

	HASH_ITER (hh, joiner->wishes, wish, next) {
		if (id_equal(&wish->pair.topic, topic))
			forget(joiner, wish);
	}
}

size_t joiner_prune(struct joiner *joiner, const struct id *topic)
{
	struct wish *wish, *next;
	size_t left = 0;

	HASH_ITER (hh, joiner->wishes, wish, next) {
		if (!id_equal(&wish->pair.topic, topic))
			continue;
		if (wish->linked || wish->answered || wish->reason == JOINER_TRUSTED)
			left++;
		else
			forget(joiner, wish);
	}
	return left;
}

void joiner_linked(struct joiner *joiner, uint64_t now, const struct id *peer)
{
	struct wish *wish, *next;

	HASH_ITER (hh, joiner->wishes, wish, next) {
		if (!id_equal(&wish->pair.peer, peer))
			continue;
		wish->linked = true;
		wish->backoff = BACKOFF_FIRST_NS;
		if (!wish->answered)
			set_due(joiner, wish, now);
	}
}

void joiner_unlinked(struct joiner *joiner, const struct id *peer)
{
	struct wish *wish, *next;

	HASH_ITER (hh, joiner->wishes, wish, next) {
		if (!id_equal(&wish->pair.peer, peer))
			continue;
		wish->linked = false;
		wish->due = UINT64_MAX;
	}
}

void joiner_answered(struct joiner *joiner, const struct id *topic, const struct id *peer)
{
	struct wish *wish = find(joiner, topic, peer);

	if (!wish)
		return;
	wish->answered = true;
	wish->asked = 0;
	wish->due = UINT64_MAX;
	wish->backoff = BACKOFF_FIRST_NS;
}

void joiner_lost(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct wish *wish = find(joiner, topic, peer);

	if (!wish || !wish->answered)
		return;
	wish->answered = false;
	if (wish->linked)
		set_due(joiner, wish, now + wish->backoff);
}

uint64_t joiner_deadline(const struct joiner *joiner)
{
	uint64_t next_second = joiner->window_start + SECOND_NS;

	return joiner->spent >= LIMIT_JOINS_PER_SECOND && joiner->due < next_second ? next_second
										    : joiner->due;
}

static void spend(struct joiner *joiner)
{
	if (++joiner->spent == LIMIT_JOINS_PER_SECOND)
		counters_add(joiner->counters, COUNTER_LIMIT_JOINS, 1);
}

bool joiner_effect(struct joiner *joiner, uint64_t now, struct joiner_effect *out)
{
	uint64_t half, due = UINT64_MAX;
	struct wish *wish, *next;

	if (now < joiner_deadline(joiner))
		return false;
	if (now >= joiner->window_start + SECOND_NS) {
		joiner->window_start = now;
		joiner->spent = 0;
	}
	HASH_ITER (hh, joiner->wishes, wish, next) {
		if (wish->due <= now) {
			out->topic = wish->pair.topic;
			out->peer = wish->pair.peer;
			out->probe = wish->reason == JOINER_PROBE;
			out->gave_up = wish->reason == JOINER_NODE && wish->asked++ == JOINER_ASKS;
			if (out->probe)
				spend(joiner);
			if (out->probe || out->gave_up) {
				forget(joiner, wish);
				return true;
			}
			spend(joiner);
			half = wish->backoff / 2;
			wish->due = now + half + random_below(&joiner->random, half + 1);
			wish->backoff = wish->backoff * 2 > BACKOFF_MOST_NS ? BACKOFF_MOST_NS
									    : wish->backoff * 2;
			return true;
		}
		if (wish->due < due)
			due = wish->due;
	}
	joiner->due = due;
	return false;
}
