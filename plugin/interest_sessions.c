/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds out which sessions of clients that are offline have expired. Expiry raises no event
 * (Mosquitto 2.1 tells only persistence plugins when a session will expire, and with 'persistence
 * true' there may be none of these), so it has to be asked for, and there may be hundreds of
 * thousands of such sessions. What matters soon is whether an overlay has a holder still: so of
 * each overlay that no connected client holds one session is asked for, and the next one when that
 * is gone. All other sessions are asked for in turn, one at every third TICK, so that what is known
 * of them does not stay for ever.
 */
#include <utlist.h>

#include "interest_internal.h"

/* All overlays that only such sessions hold are looked at in UNATTENDED_NS, so that an overlay is
 * left within a second; but one of them takes UNATTENDED_LEAST_NS at least, so longer if there are
 * many. */
#define UNATTENDED_NS	    UINT64_C(500000000)
#define UNATTENDED_LEAST_NS UINT64_C(4000000)
/* At most so many sessions may be found gone at one TICK. */
#define GONE_PER_TICK 2000
/* So many subscriptions from before the restart are asked for at one TICK. */
#define CONFIRMED_PER_TICK 50
/* All other sessions: not more often than this, and one at every third TICK, of which there are ten a
 * second when nothing happens. */
#define ROUND_NS       UINT64_C(1000000000)
#define ROUND_LEAST_NS UINT64_C(1000000)
#define ROUND_TICKS    3

/* Returns how many of count are due, if all of them are looked at once in round_ns, but not more
 * than one in least_ns. *from: until when they were looked at; moved on. */
static size_t due(
	uint64_t *from, uint64_t now_ns, size_t count, uint64_t round_ns, uint64_t least_ns)
{
	uint64_t gap, visits;

	if (count == 0) {
		*from = now_ns;
		return 0;
	}
	gap = round_ns / count > least_ns ? round_ns / count : least_ns;
	if (now_ns - *from > round_ns)
		*from = now_ns - round_ns;
	visits = (now_ns - *from) / gap;
	*from += visits * gap;
	return (size_t)visits;
}

/* Forgets a client whose session has expired. Nobody waits for such a client, which has been away
 * for long: its overlays get no grace. */
static void forget_expired(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		interest_end_grace(subscription->overlay);
	interest_forget_subscriptions(interest, client);
}

/* Tells whether the client's session is there, and puts the client at the end of the queue; a
 * client whose session is gone is forgotten. */
static bool is_there(struct interest *interest, struct client *client, uint64_t now_ns)
{
	DL_DELETE2(interest->offline, client, offline_prev, offline_next);
	DL_APPEND2(interest->offline, client, offline_prev, offline_next);
	/* A client may hold many overlays. */
	if (client->seen_ns > 0 && now_ns - client->seen_ns < UNATTENDED_NS / 2)
		return true;
	if (!interest->actions.has_session(interest->actions.context, client->id)) {
		forget_expired(interest, client);
		return false;
	}
	client->seen_ns = now_ns;
	return true;
}

void interest_miss(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	interest->actions.missing(
		interest->actions.context, client->id, subscription->filter);
	interest_forget_subscription(interest, client, subscription);
}

/* Asks for subscriptions of sessions that are there: what the broker has kept of these may be older
 * than what is on record. The broker looks through all subscribers of a topic for each. */
static void confirm_subscriptions(struct interest *interest)
{
	struct subscription *subscription;
	struct client *client;

	for (size_t i = 0; i < CONFIRMED_PER_TICK && interest->unconfirmed; i++) {
		subscription = interest->unconfirmed;
		client = subscription->client;
		interest_confirm(interest, subscription);
		if (subscription->stale)
			continue;
		if (interest->actions.has_subscription(interest->actions.context, client->id,
			    subscription->filter, subscription->terms))
			interest_recount(interest, client, subscription);
		else
			interest_miss(interest, client, subscription);
		interest_free_unused(interest, client);
	}
}

/* Confirms the clients from before the restart, when the broker has all its sessions back. */
static void confirm_restored(struct interest *interest, uint64_t now_ns)
{
	struct client *client, *next;

	interest->has_restored = false;
	DL_FOREACH_SAFE2 (interest->offline, client, next, offline_next) {
		if (!client->restored)
			continue;
		client->restored = false;
		if (!interest->actions.has_session(interest->actions.context, client->id)) {
			interest_forget_subscriptions(interest, client);
			continue;
		}
		client->seen_ns = now_ns;
		interest_change_accounts(interest, client);
		interest_judge_all(interest, client);
		interest_recount_all(interest, client);
		interest_look_at_client(interest, client);
	}
}

static void look_at_unattended(struct interest *interest, uint64_t now_ns)
{
	size_t visits = due(&interest->unattended_from, now_ns, interest->unattended_overlays,
		UNATTENDED_NS, UNATTENDED_LEAST_NS);
	struct overlay *overlay;
	size_t gone = 0;

	while (visits > 0 && gone < GONE_PER_TICK && interest->unattended) {
		overlay = interest->unattended;
		/* The first subscription holds the overlay. If its session is gone there may be
		 * another holder. */
		if (!is_there(interest, overlay->all->client, now_ns)) {
			gone++;
			continue;
		}
		DL_DELETE2(interest->unattended, overlay, unattended_prev, unattended_next);
		DL_APPEND2(interest->unattended, overlay, unattended_prev, unattended_next);
		visits--;
	}
	if (gone == GONE_PER_TICK)
		interest->unattended_from = now_ns - UNATTENDED_NS; /* go on at the next TICK */
}

static void look_at_others(struct interest *interest, uint64_t now_ns)
{
	if (++interest->offline_ticks < ROUND_TICKS)
		return;
	interest->offline_ticks = 0;
	if (due(&interest->offline_from, now_ns, interest->offline_clients, ROUND_NS,
		    ROUND_LEAST_NS) > 0 &&
		interest->offline)
		is_there(interest, interest->offline, now_ns);
}

void interest_look_at_sessions(struct interest *interest, uint64_t now_ns)
{
	if (interest->has_restored)
		confirm_restored(interest, now_ns);
	confirm_subscriptions(interest);
	look_at_unattended(interest, now_ns);
	look_at_others(interest, now_ns);
}
