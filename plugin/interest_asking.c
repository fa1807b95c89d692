/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "interest_internal.h"

/* How often offline sessions are looked at: leaving is to be seen within a second. */
#define SESSIONS_NS UINT64_C(250000000)
/* How often all rights are asked for again, and how many of them at one TICK: what answers may be
 * a long list, or a plugin with a database. */
#define RIGHTS_NS	UINT64_C(60000000000)
#define RIGHTS_PER_TICK 32

/* ---- the record ---- */

void interest_remember(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	int error = ERROR_TOO_LARGE;

	subscription->owed = false;
	if (subscription->recorded || interest->records < interest->config.max_records)
		error = interest->actions.remember(interest->actions.context, client->id,
			subscription->filter, subscription->qos);
	if (error == ERROR_NONE) {
		interest->records += !subscription->recorded;
		subscription->recorded = true;
	} else if (error == ERROR_TOO_LARGE) {
		interest->actions.unrecorded(
			interest->actions.context, client->id, &subscription->overlay->topic);
	} else {
		subscription->owed = true;
		interest_look_at_client(interest, client);
	}
}

void interest_disown(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	subscription->owed = false;
	if (!subscription->recorded)
		return;
	interest->actions.forget(interest->actions.context, client->id, subscription->filter);
	interest->records--;
	subscription->recorded = false;
}

/* ---- rights ---- */

bool interest_judge(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	bool denied = !interest->actions.allowed(interest->actions.context, client->id,
		subscription->filter, &subscription->overlay->topic);

	subscription->asked = interest->round;
	DL_DELETE2(interest->asked, subscription, asked_prev, asked_next);
	DL_APPEND2(interest->asked, subscription, asked_prev, asked_next);
	if (denied == subscription->denied)
		return true;
	if (denied)
		interest->actions.denied(
			interest->actions.context, client->id, &subscription->overlay->topic);
	if (denied && interest->denied >= interest->config.max_denied) {
		interest_forget_subscription(interest, client, subscription);
		return false;
	}
	if (!subscription->stale &&
		!interest_subscribes(client, subscription->overlay, subscription))
		client->overlays += denied ? (size_t)-1 : 1;
	subscription->denied = denied;
	interest->denied += denied ? 1 : (size_t)-1;
	if (denied) {
		/* Nor is there a place in the record for what anybody can bring about. */
		interest_disown(interest, client, subscription);
	} else if (subscription->lasting) {
		subscription->owed = true;
		interest_look_at_client(interest, client);
	}
	return true;
}

void interest_judge_all(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		interest_judge(interest, client, subscription);
}

void interest_rights_changed(struct interest *interest)
{
	interest->round++;
}

/* Rights change without a word to us. */
void interest_look_at_rights(struct interest *interest, uint64_t now_ns)
{
	struct subscription *subscription;
	struct client *client;

	if (now_ns >= interest->rights_next) {
		interest->round += interest->rights_next > 0;
		interest->rights_next = now_ns + RIGHTS_NS;
	}
	for (size_t i = 0; i < RIGHTS_PER_TICK; i++) {
		subscription = interest->asked;
		if (!subscription || subscription->asked == interest->round)
			break;
		client = subscription->client;
		if (!interest_judge(interest, client, subscription) ||
			!interest_recount(interest, client, subscription))
			interest_free_unused(interest, client);
	}
}

/* ---- sessions and whose they are ---- */

/* Its overlays are counted for whom it belongs to now: what it subscribes holds nothing until it
 * is counted again, what it has joined by publishing is counted whatever the limit. */
void interest_change_accounts(struct interest *interest, struct client *client)
{
	struct account *now[ACCOUNT_KINDS];
	struct subscription *subscription, *next;
	struct overlay *overlay, *next_overlay;
	bool changed;

	interest_take_accounts(interest, client->id, now);
	changed = memcmp(now, client->accounts, sizeof now) != 0;
	if (changed)
		HASH_ITER (hh, client->subscriptions, subscription, next)
			interest_let_go(interest, subscription);
	if (changed && client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next_overlay)
			if (overlay->publisher == client)
				interest_discharge(interest, client, overlay);
	for (size_t i = 0; i < ACCOUNT_KINDS; i++) {
		accounts_give_back(interest->accounts, client->accounts[i]);
		client->accounts[i] = now[i];
	}
	if (changed && client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next_overlay)
			if (overlay->publisher == client)
				interest_charge(interest, client, overlay);
}

/* A session that has expired raises no event; nor does one that the broker has restored,
 * or has not. */
void interest_look_at_sessions(struct interest *interest, uint64_t now_ns)
{
	struct client *client, *next;

	if (interest->offline_clients == 0 || now_ns < interest->sessions_next)
		return;
	interest->sessions_next = now_ns + SESSIONS_NS;
	HASH_ITER (hh, interest->clients, client, next) {
		if (!client->offline)
			continue;
		if (!interest->actions.has_session(interest->actions.context, client->id)) {
			interest_forget_subscriptions(interest, client);
		} else if (client->restored) {
			client->restored = false;
			interest_change_accounts(interest, client);
			interest_judge_all(interest, client);
			interest_recount_all(interest, client);
			interest_look_at_client(interest, client);
		}
	}
}

/* What is stale is forgotten, what is owed is remembered. */
void interest_settle_clients(struct interest *interest)
{
	struct client *client, *clients = interest->looked_clients;
	struct subscription *subscription, *next;

	interest->looked_clients = NULL;
	while ((client = clients)) {
		DL_DELETE(clients, client);
		client->looked = false;
		HASH_ITER (hh, client->subscriptions, subscription, next) {
			if (subscription->stale)
				interest_forget_subscription(interest, client, subscription);
			else if (subscription->owed)
				interest_remember(interest, client, subscription);
		}
		interest_free_unused(interest, client);
	}
}
