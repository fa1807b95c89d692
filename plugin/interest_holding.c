/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stddef.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "interest_internal.h"

/* Joins an overlay. Returns 0, ERROR_LIMIT, or another error: then it is tried again at TICK. */
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

/* Tells whether somebody wants signed messages of the overlay. */
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
	overlay->unheld_ns = 0;
	overlay->linger_until = 0;
	timers_set(&interest->lingers, &overlay->linger, TIMER_NEVER);
	interest_unpublish(interest, overlay);
	overlay->verified = false;
	if (overlay->subscriptions > 0)
		return; /* of sessions that are offline: these may come back */
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

/* Tells whether only clients that are offline have the overlay held; if an account is given, of the
 * clients of that account. Returns 0 if not; else how many overlays that client among them has that
 * has the fewest. */
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

/* Makes room for one overlay of a client that is connected: in all, or of an account. Clients that
 * are offline give way. Returns false if none can. */
static bool give_way(struct interest *interest, const struct account *account)
{
	struct overlay *overlay, *next, *found = NULL;
	struct subscription *subscription, *next_one;
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
	DL_FOREACH_SAFE (found->all, subscription, next_one) {
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

/* Tells whether a limit keeps the client from holding that overlay, as things are. */
static bool is_short(
	const struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		if (accounts_is_full(interest->accounts, client->accounts[i], overlay))
			return true;
	return !overlay->joined && interest->joined >= interest->config.max_overlays;
}

/* Leaves at once what nobody holds any more, or only sessions that are gone. Such overlays are left
 * at TICK, as somebody may take them up again; but not while another one, wanted, needs the place.
 * They are on the lists for TICK. */
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

/* Makes room, if need be, for the client's holding that overlay. Returns false if there is none. */
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
	enum interest_offline offline = interest->config.offline;
	bool waits = !subscription->gave_way && (offline == INTEREST_HOLD_ALL ||
			(offline == INTEREST_HOLD && terms_qos(subscription->terms) >= 1));
	bool holds = !subscription->stale && !subscription->denied && !client->restored &&
		     !subscription->unconfirmed &&
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
		/* Once the client is back, others give way to it. */
		subscription->gave_way = client->offline && !over;
		if (subscription->gave_way)
			return true;
		interest_forget_subscription(interest, client, subscription);
		return false;
	}
	interest_take_hold(interest, subscription);
	verify(interest, overlay);
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

void interest_unfix(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay = interest_find_overlay(interest, topic);

	if (!overlay || !overlay->fixed)
		return;
	overlay->fixed = false;
	interest_look_at_overlay(interest, overlay);
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
	/* An overlay whose last subscriber is gone would be left for that. */
	if (!overlay->joined || overlay->had_holder) {
		client = interest_find_or_add_client(interest, client_id);
		if (!client)
			return ERROR_NOMEM;
		error = may_publish(interest, client, overlay) ? join(interest, overlay)
							       : ERROR_LIMIT;
		if (error) {
			interest_free_unused(interest, client);
			return error;
		}
		overlay->had_holder = false;
		overlay->unheld_ns = 0;
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
	/* The last subscriber's going ends the hold of a publisher, whoever has published
	 * lately. */
	return !overlay->had_holder && overlay->linger_until > now_ns;
}

/* Puts the overlays whose publisher's time is over on the list for TICK. */
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

/* Tells whether an overlay that nobody holds is to stay for those who may come back. */
static bool has_grace(const struct interest *interest, struct overlay *overlay, uint64_t now_ns)
{
	if (!overlay->joined)
		return false;
	if (overlay->unheld_ns == 0)
		overlay->unheld_ns = now_ns;
	return now_ns - overlay->unheld_ns < interest->config.grace_ns;
}

void interest_settle_overlays(struct interest *interest, uint64_t now_ns)
{
	struct overlay *overlay, *overlays = interest->looked_overlays;

	interest->looked_overlays = NULL;
	while ((overlay = overlays)) {
		DL_DELETE(overlays, overlay);
		overlay->looked = false;
		if (!is_held(overlay, now_ns)) {
			if (has_grace(interest, overlay, now_ns))
				interest_look_at_overlay(interest, overlay);
			else
				leave(interest, overlay);
			continue;
		}
		overlay->unheld_ns = 0;
		if (join(interest, overlay) != ERROR_NONE)
			interest_look_at_overlay(interest, overlay);
		else
			verify(interest, overlay);
	}
}
