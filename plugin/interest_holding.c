/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stddef.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "interest_internal.h"

/* ERROR_LIMIT; other errors are tried again at TICK. */
static int join(struct interest *interest, struct overlay *overlay)
{
	int error;

	if (overlay->joined)
		return ERROR_NONE;
	if (interest->joined >= interest->config.max_overlays)
		return ERROR_LIMIT;
	error = interest->actions.join(interest->actions.context, &overlay->topic);
	if (error) {
		interest_look_at_overlay(interest, overlay);
		return error;
	}
	overlay->joined = true;
	interest->joined++;
	return ERROR_NONE;
}

/* Whether somebody wants signed messages. */
static bool is_read(const struct overlay *overlay)
{
	for (unsigned view = VIEW_RAW + 1; view < VIEWS; view++)
		if (overlay->faces[false][view] + overlay->faces[true][view] > 0)
			return true;
	return false;
}

static void verify(struct interest *interest, struct overlay *overlay)
{
	bool wanted = is_read(overlay);

	if (!overlay->joined || wanted == overlay->verified)
		return;
	if (interest->actions.verify(interest->actions.context, &overlay->topic, wanted))
		interest_look_at_overlay(interest, overlay);
	else
		overlay->verified = wanted;
}

static void leave(struct interest *interest, struct overlay *overlay)
{
	if (overlay->joined &&
		interest->actions.leave(interest->actions.context, &overlay->topic) != ERROR_NONE) {
		interest_look_at_overlay(interest, overlay);
		return;
	}
	interest->joined -= overlay->joined;
	overlay->joined = false;
	overlay->had_holder = false;
	overlay->linger_until = 0;
	timers_set(&interest->lingers, &overlay->linger, TIMER_NEVER);
	interest_unpublish(interest, overlay);
	overlay->verified = false;
	if (overlay->subscriptions > 0)
		return; /* of sessions that are offline: they may come back */
	HASH_DELETE(hh, interest->overlays, overlay);
	interest_free_overlay(overlay);
	if (!interest->overlays)
		timers_clear(&interest->lingers);
}

/* ---- limits ---- */

static bool belongs(const struct client *client, const struct account *account)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		if (client->accounts[i] == account)
			return true;
	return false;
}

static bool is_over(const struct interest *interest, const struct client *client)
{
	return client->overlays + client->published > interest->config.max_overlays_per_client;
}

/* Whether only clients that are offline have the overlay held; of an account's holds, if one is
 * given. 0: no; else how many overlays the one of them has that has the fewest. */
static size_t spare(const struct overlay *overlay, const struct account *account)
{
	const struct subscription *subscription;
	size_t fewest = SIZE_MAX;

	if (!overlay->joined || (overlay->fixed && !account))
		return 0;
	DL_FOREACH (overlay->all, subscription) {
		const struct client *client = subscription->client;

		if (!subscription->holds || (account && !belongs(client, account)))
			continue;
		if (!client->offline)
			return 0;
		if (client->overlays < fewest)
			fewest = client->overlays;
	}
	return fewest == SIZE_MAX ? 0 : fewest;
}

/* Makes room for one overlay of a client that is connected: in all, or of an account. */
static bool give_way(struct interest *interest, const struct account *account)
{
	struct overlay *overlay, *next, *found = NULL;
	struct subscription *subscription;
	size_t most = 0, has;

	if (interest->offline_clients == 0)
		return false;
	HASH_ITER (hh, interest->overlays, overlay, next) {
		has = spare(overlay, account);
		if (has <= most)
			continue;
		most = has;
		found = overlay;
	}
	if (!found)
		return false;
	DL_FOREACH (found->all, subscription) {
		if (!subscription->holds || (account && !belongs(subscription->client, account)))
			continue;
		subscription->gave_way = true;
		interest_let_go(interest, subscription);
		interest->actions.gave_way(
			interest->actions.context, subscription->client->id, &found->topic);
	}
	if (found->holders == 0 && !found->fixed)
		leave(interest, found);
	return true;
}

/* Whether a limit keeps the client from holding that overlay, as things are. */
static bool is_short(
	const struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		if (accounts_is_full(interest->accounts, client->accounts[i], overlay))
			return true;
	return !overlay->joined && interest->joined >= interest->config.max_overlays;
}

/* What is held by nobody any more, or by sessions that are gone, is left at TICK, as somebody may
 * take it up again: not while another one needs its place. It is on the lists for TICK. */
static void leave_early(struct interest *interest, const struct overlay *wanted)
{
	struct overlay *overlay, *overlays;
	struct subscription *subscription, *next;
	struct client *client;

	DL_FOREACH (interest->looked_clients, client)
		HASH_ITER (hh, client->subscriptions, subscription, next)
			if (subscription->stale)
				interest_let_go(interest, subscription);
	overlays = interest->looked_overlays;
	interest->looked_overlays = NULL;
	while ((overlay = overlays)) {
		DL_DELETE(overlays, overlay);
		overlay->looked = false;
		if (overlay == wanted || !overlay->joined || overlay->fixed ||
			overlay->holders > 0 || (!overlay->had_holder && overlay->linger_until > 0))
			interest_look_at_overlay(interest, overlay);
		else
			leave(interest, overlay);
	}
}

/* Room for the client's holding that overlay. */
static bool has_room(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	const struct account *account;

	if (is_short(interest, client, overlay))
		leave_early(interest, overlay);
	for (size_t i = 0; i < ACCOUNT_KINDS; i++) {
		account = client->accounts[i];
		if (accounts_is_full(interest->accounts, account, overlay) &&
			(client->offline || !give_way(interest, account)))
			return false;
	}
	return overlay->joined || interest->joined < interest->config.max_overlays ||
	       (!client->offline && give_way(interest, NULL));
}

bool interest_recount(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	struct overlay *overlay = subscription->overlay;
	bool waits = subscription->qos >= 1 && !interest->config.offline_leave &&
		     !subscription->gave_way;
	bool holds = !subscription->stale && !subscription->denied && !client->restored &&
		     (!client->offline || waits);
	bool over;

	if (holds == subscription->holds)
		return true;
	if (!holds) {
		interest_let_go(interest, subscription);
		return true;
	}
	over = is_over(interest, client);
	if (over || !has_room(interest, client, overlay) ||
		join(interest, overlay) == ERROR_LIMIT) {
		interest->actions.limited(interest->actions.context, client->id, &overlay->topic);
		/* Once it is back, others give way to it. */
		subscription->gave_way = client->offline && !over;
		if (subscription->gave_way)
			return true;
		interest_forget_subscription(interest, client, subscription);
		return false;
	}
	subscription->holds = true;
	interest_count_views(subscription, 1);
	verify(interest, overlay);
	overlay->holders++;
	overlay->had_holder = true;
	interest_charge(interest, client, overlay);
	interest_unpublish(interest, overlay);
	return true;
}

void interest_recount_all(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		interest_recount(interest, client, subscription);
}

int interest_fix(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay = interest_find_or_add_overlay(interest, topic);

	if (!overlay)
		return ERROR_NOMEM;
	overlay->fixed = true;
	return join(interest, overlay);
}

/* ---- publishers ---- */

static bool may_publish(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	if (is_short(interest, client, overlay))
		leave_early(interest, overlay);
	return !is_short(interest, client, overlay) &&
	       client->overlays + client->published < interest->config.max_overlays_per_client;
}

int interest_published(
	struct interest *interest, uint64_t now_ns, const char *client_id, const struct id *topic)
{
	struct overlay *overlay = interest_find_or_add_overlay(interest, topic);
	struct client *client;
	int error;

	if (!overlay)
		return ERROR_NOMEM;
	if (overlay->holders > 0 || overlay->fixed)
		return ERROR_NONE;
	if (!overlay->joined) {
		client = interest_find_or_add_client(interest, client_id);
		if (!client)
			return ERROR_NOMEM;
		error = may_publish(interest, client, overlay) ? join(interest, overlay)
							       : ERROR_LIMIT;
		if (error) {
			interest_free_unused(interest, client);
			return error;
		}
		overlay->publisher = client;
		client->published++;
		interest_charge(interest, client, overlay);
	}
	overlay->linger_until = now_ns + interest->config.linger_ns;
	/* A timer that is set is moved when it is due, not by each publish. */
	if (overlay->linger.index == 0)
		timers_set(&interest->lingers, &overlay->linger, overlay->linger_until);
	return ERROR_NONE;
}

/* ---- TICK ---- */

static bool is_held(const struct overlay *overlay, uint64_t now_ns)
{
	if (overlay->fixed || overlay->holders > 0)
		return true;
	/* The last subscriber's going ends it, whoever has published lately. */
	return !overlay->had_holder && overlay->linger_until > now_ns;
}

/* Those whose publisher's time is over. */
void interest_expire_lingers(struct interest *interest, uint64_t now_ns)
{
	struct timer *first;

	while ((first = timers_first(&interest->lingers)) && first->at <= now_ns) {
		struct overlay *overlay =
			(struct overlay *)((char *)first - offsetof(struct overlay, linger));
		bool is_over = overlay->linger_until <= now_ns;

		timers_set(
			&interest->lingers, first, is_over ? TIMER_NEVER : overlay->linger_until);
		if (is_over)
			interest_look_at_overlay(interest, overlay);
	}
}

void interest_settle_overlays(struct interest *interest, uint64_t now_ns)
{
	struct overlay *overlay, *overlays = interest->looked_overlays;

	interest->looked_overlays = NULL;
	while ((overlay = overlays)) {
		DL_DELETE(overlays, overlay);
		overlay->looked = false;
		if (!is_held(overlay, now_ns))
			leave(interest, overlay);
		else if (join(interest, overlay) != ERROR_NONE)
			interest_look_at_overlay(interest, overlay);
		else
			verify(interest, overlay);
	}
}
