/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "interest_internal.h"

/* How often all rights are asked for again, and how many of them at one TICK: for its answer the
 * broker may go through a long list, or ask a plugin with a database. */
#define RIGHTS_NS	UINT64_C(60000000000)
#define RIGHTS_PER_TICK 32
/* How often rights of clients that are offline are asked for again. There may be very many: one by
 * one. */
#define RIGHTS_OFFLINE_NS UINT64_C(600000000000)

/* ---- the record ---- */

void interest_remember(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	int error = ERROR_TOO_LARGE;

	subscription->owed = false;
	if (subscription->recorded || interest->records < interest->config.max_records)
		error = interest->actions.remember(interest->actions.context, client->id,
			subscription->filter, subscription->terms);
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

	interest_take_out(interest, subscription);
	interest_put_last(interest, subscription);
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
		/* Nor does the record have a place for a subscription that anybody can bring
		 * about. */
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
	for (size_t i = 0; i < 2; i++) {
		interest->asking[i].round++;
		interest->asking[i].hurried = true;
	}
}

static void ask_some(struct interest *interest, struct asking *asking, size_t most)
{
	struct subscription *subscription;
	struct client *client;

	for (size_t i = 0; i < most; i++) {
		subscription = asking->first;
		if (!subscription || subscription->asked == asking->round) {
			asking->hurried = false;
			break;
		}
		client = subscription->client;
		if (!interest_judge(interest, client, subscription) ||
			!interest_recount(interest, client, subscription))
			client->anew = false;
		interest_free_unused(interest, client);
	}
}

/* Asks again for some rights, as rights change without a word to us. */
void interest_look_at_rights(struct interest *interest, uint64_t now_ns)
{
	static const uint64_t every[] = {RIGHTS_NS, RIGHTS_OFFLINE_NS};

	for (size_t offline = 0; offline < 2; offline++) {
		struct asking *asking = &interest->asking[offline];

		if (now_ns >= asking->next) {
			asking->round += asking->next > 0;
			asking->next = now_ns + every[offline];
		}
		ask_some(interest, asking, offline && !asking->hurried ? 1 : RIGHTS_PER_TICK);
	}
}

/* ---- whose they are ---- */

/* Counts the client's overlays for the accounts to which the client belongs now. If these are
 * others than before, what the client subscribes holds nothing until it is counted again; what the
 * client has joined by publishing is counted whatever the limit. */
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

/* Forgets subscriptions that are stale, and puts on record those that are owed. */
void interest_settle_clients(struct interest *interest)
{
	struct client *client, *clients = interest->looked_clients;
	struct subscription *subscription, *next;

	interest->looked_clients = NULL;
	while ((client = clients)) {
		DL_DELETE(clients, client);
		client->looked = false;
		HASH_ITER (hh, client->subscriptions, subscription, next) {
			if (subscription->stale && client->anew)
				interest_give_up(interest, client, subscription);
			else if (subscription->stale)
				interest_forget_subscription(interest, client, subscription);
			else if (subscription->owed)
				interest_remember(interest, client, subscription);
		}
		client->anew = false;
		interest_free_unused(interest, client);
	}
}
