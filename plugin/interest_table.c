/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "interest_internal.h"

void interest_look_at_overlay(struct interest *interest, struct overlay *overlay)
{
	if (overlay->looked)
		return;
	overlay->looked = true;
	DL_APPEND(interest->looked_overlays, overlay);
}

void interest_look_at_client(struct interest *interest, struct client *client)
{
	if (client->looked)
		return;
	client->looked = true;
	DL_APPEND(interest->looked_clients, client);
}

void interest_forget_witness(struct subscription *subscription, const struct client *client)
{
	if (subscription->overlay->witness == client)
		subscription->overlay->witness = NULL;
}

bool interest_subscribes(const struct client *client, const struct overlay *overlay,
	const struct subscription *without)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		if (subscription != without && subscription->overlay == overlay &&
			!subscription->stale && !subscription->denied)
			return true;
	return false;
}

/* ---- who holds ---- */

void interest_charge(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_hold(interest->accounts, client->accounts[i], overlay);
}

void interest_discharge(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_let_go(interest->accounts, client->accounts[i], overlay);
}

/* Counts the views that the subscription is for. one: 1 or (size_t)-1. */
static void count_views(const struct subscription *subscription, size_t one)
{
	struct overlay *overlay = subscription->overlay;

	for (unsigned view = 0; view < VIEWS; view++)
		if (subscription->views & VIEW_BIT(view))
			overlay->faces[subscription->by_name][view] += one;
}

/* Notes whether only sessions that are offline hold the overlay: nothing tells of their end. */
static void look_after(struct interest *interest, struct overlay *overlay)
{
	bool unattended = overlay->holders > 0 && overlay->connected == 0;

	if (unattended == overlay->unattended)
		return;
	overlay->unattended = unattended;
	if (unattended)
		DL_APPEND2(interest->unattended, overlay, unattended_prev, unattended_next);
	else
		DL_DELETE2(interest->unattended, overlay, unattended_prev, unattended_next);
	interest->unattended_overlays += unattended ? 1 : (size_t)-1;
}

void interest_take_hold(struct interest *interest, struct subscription *subscription)
{
	struct overlay *overlay = subscription->overlay;

	subscription->holds = true;
	count_views(subscription, 1);
	overlay->holders++;
	overlay->connected += !subscription->client->offline;
	overlay->had_holder = true;
	overlay->unheld_ns = 0;
	DL_DELETE(overlay->all, subscription);
	DL_PREPEND(overlay->all, subscription);
	interest_charge(interest, subscription->client, overlay);
	look_after(interest, overlay);
}

void interest_let_go(struct interest *interest, struct subscription *subscription)
{
	struct overlay *overlay = subscription->overlay;

	if (!subscription->holds)
		return;
	subscription->holds = false;
	count_views(subscription, (size_t)-1);
	overlay->holders--;
	overlay->connected -= !subscription->client->offline;
	DL_DELETE(overlay->all, subscription);
	DL_APPEND(overlay->all, subscription);
	interest_discharge(interest, subscription->client, overlay);
	look_after(interest, overlay);
	interest_look_at_overlay(interest, overlay);
}

void interest_put_last(struct interest *interest, struct subscription *subscription)
{
	struct asking *asking = &interest->asking[subscription->client->offline];

	subscription->asked = asking->round;
	DL_APPEND2(asking->first, subscription, asked_prev, asked_next);
}

void interest_take_out(struct interest *interest, struct subscription *subscription)
{
	struct asking *asking = &interest->asking[subscription->client->offline];

	DL_DELETE2(asking->first, subscription, asked_prev, asked_next);
}

void interest_mark_offline(struct interest *interest, struct client *client, bool offline)
{
	struct subscription *subscription, *next;

	if (client->offline == offline)
		return;
	HASH_ITER (hh, client->subscriptions, subscription, next)
		interest_take_out(interest, subscription);
	client->offline = offline;
	client->seen_ns = 0;
	interest->offline_clients += offline ? 1 : (size_t)-1;
	if (offline)
		DL_APPEND2(interest->offline, client, offline_prev, offline_next);
	else
		DL_DELETE2(interest->offline, client, offline_prev, offline_next);
	HASH_ITER (hh, client->subscriptions, subscription, next) {
		interest_put_last(interest, subscription);
		if (!subscription->holds)
			continue;
		subscription->overlay->connected += offline ? (size_t)-1 : 1;
		look_after(interest, subscription->overlay);
	}
}

void interest_end_grace(struct overlay *overlay)
{
	overlay->unheld_ns = 1;
}

void interest_unpublish(struct interest *interest, struct overlay *overlay)
{
	if (!overlay->publisher)
		return;
	interest_discharge(interest, overlay->publisher, overlay);
	overlay->publisher->published--;
	interest_look_at_client(interest, overlay->publisher); /* the client may have no other */
	overlay->publisher = NULL;
}

/* ---- what goes ---- */

void interest_confirm(struct interest *interest, struct subscription *subscription)
{
	if (!subscription->unconfirmed)
		return;
	subscription->unconfirmed = false;
	DL_DELETE2(interest->unconfirmed, subscription, unconfirmed_prev, unconfirmed_next);
}

void interest_free_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	interest_confirm(interest, subscription);
	interest_let_go(interest, subscription);
	subscription->overlay->subscriptions--;
	DL_DELETE(subscription->overlay->all, subscription);
	interest_take_out(interest, subscription);
	interest_forget_witness(subscription, client);
	HASH_DELETE(hh, client->subscriptions, subscription);
	if (!subscription->stale && !subscription->denied &&
		!interest_subscribes(client, subscription->overlay, NULL))
		client->overlays--;
	interest->records -= subscription->recorded;
	interest->denied -= subscription->denied;
	interest_look_at_overlay(interest, subscription->overlay);
	memory_free(subscription);
}

void interest_forget_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	if (subscription->recorded)
		interest->actions.forget(
			interest->actions.context, client->id, subscription->filter);
	interest_free_subscription(interest, client, subscription);
}

void interest_give_up(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	if (subscription->recorded)
		interest->actions.give_up(interest->actions.context, client->id,
			subscription->filter, subscription->terms);
	interest_free_subscription(interest, client, subscription);
}

void interest_free_client(struct interest *interest, struct client *client)
{
	struct overlay *overlay, *next;

	if (client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next)
			if (overlay->publisher == client)
				overlay->publisher = NULL;
	interest_mark_offline(interest, client, false);
	if (client->looked)
		DL_DELETE(interest->looked_clients, client);
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_give_back(interest->accounts, client->accounts[i]);
	HASH_DELETE(hh, interest->clients, client);
	memory_free(client);
}

void interest_free_unused(struct interest *interest, struct client *client)
{
	if (!client->subscriptions && client->published == 0)
		interest_free_client(interest, client);
}

void interest_forget_subscriptions(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		interest_forget_subscription(interest, client, subscription);
	interest_free_unused(interest, client);
}

void interest_free_overlay(struct overlay *overlay)
{
	memory_free(overlay->name);
	memory_free(overlay);
}

/* ---- what comes ---- */

struct overlay *interest_find_overlay(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay;

	KEYED_FIND(&interest->keyed, interest->overlays, topic, sizeof *topic, overlay);
	return overlay;
}

struct overlay *interest_find_or_add_overlay(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay = interest_find_overlay(interest, topic);

	if (overlay)
		return overlay;
	if (timers_reserve(&interest->lingers, HASH_COUNT(interest->overlays) + 1))
		return NULL;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return NULL;
	overlay->topic = *topic;
	KEYED_ADD(&interest->keyed, interest->overlays, &overlay->topic, sizeof overlay->topic,
		overlay);
	if (!overlay)
		return NULL;
	/* Whatever becomes of what the overlay was made for, TICK looks at it. */
	interest_look_at_overlay(interest, overlay);
	return overlay;
}

struct client *interest_find_client(struct interest *interest, const char *id)
{
	struct client *client;
	size_t size = strlen(id);

	KEYED_FIND(&interest->keyed, interest->clients, id, size, client);
	return client;
}

void interest_take_accounts(
	struct interest *interest, const char *client_id, struct account *out[ACCOUNT_KINDS])
{
	struct interest_owner owner = interest->actions.owner(interest->actions.context, client_id);

	out[ACCOUNT_USER] = accounts_take(interest->accounts, ACCOUNT_USER, owner.user);
	out[ACCOUNT_ADDRESS] = accounts_take(interest->accounts, ACCOUNT_ADDRESS, owner.address);
}

struct client *interest_find_or_add_client(struct interest *interest, const char *id)
{
	struct client *client = interest_find_client(interest, id);
	size_t size = strlen(id);

	if (client)
		return client;
	client = memory_zalloc(sizeof *client + size + 1);
	if (!client)
		return NULL;
	memcpy(client->id, id, size + 1);
	KEYED_ADD(&interest->keyed, interest->clients, client->id, size, client);
	if (!client)
		return NULL;
	interest_take_accounts(interest, id, client->accounts);
	return client;
}

struct subscription *interest_find_subscription(
	struct interest *interest, struct client *client, const char *filter)
{
	struct subscription *subscription;
	size_t size = strlen(filter);

	KEYED_FIND(&interest->keyed, client->subscriptions, filter, size, subscription);
	return subscription;
}

/* Notes which views the filter is for, and what the overlay is called. */
static void note_views(struct subscription *subscription)
{
	struct overlay *overlay = subscription->overlay;
	struct topic topic;

	subscription->views = VIEW_BIT(VIEW_RAW);
	if (topic_parse(subscription->filter, &topic) != TOPIC_OVERLAY)
		return;
	subscription->views = topic.views;
	subscription->by_name = topic.name != NULL;
	if (!topic.name || overlay->name)
		return;
	overlay->name = memory_alloc(topic.name_size);
	if (!overlay->name)
		return; /* nothing comes by the name, until somebody else subscribes it */
	memcpy(overlay->name, topic.name, topic.name_size);
	overlay->name_size = topic.name_size;
}

/* Adds a subscription, which is not counted yet, as if it were a stale one. Returns NULL without
 * memory. */
static struct subscription *add_subscription(struct interest *interest, struct client *client,
	const char *filter, struct overlay *overlay)
{
	size_t size = strlen(filter);
	struct subscription *subscription = memory_zalloc(sizeof *subscription + size + 1);

	if (!subscription)
		return NULL;
	memcpy(subscription->filter, filter, size + 1);
	subscription->overlay = overlay;
	subscription->client = client;
	subscription->stale = true;
	KEYED_ADD(&interest->keyed, client->subscriptions, subscription->filter, size,
		subscription);
	if (!subscription)
		return NULL;
	note_views(subscription);
	overlay->subscriptions++;
	DL_APPEND(overlay->all, subscription);
	interest_put_last(interest, subscription);
	return subscription;
}

int interest_add(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, struct terms terms, struct client **client,
	struct subscription **subscription, struct terms *before)
{
	struct overlay *overlay = interest_find_or_add_overlay(interest, topic);

	*client = overlay ? interest_find_or_add_client(interest, client_id) : NULL;
	if (!*client)
		return ERROR_NOMEM;
	*subscription = interest_find_subscription(interest, *client, filter);
	if (!*subscription &&
		HASH_COUNT((*client)->subscriptions) >=
			INTEREST_FILTERS_PER_OVERLAY * interest->config.max_overlays_per_client) {
		interest_free_unused(interest, *client);
		return ERROR_LIMIT;
	}
	if (!*subscription)
		*subscription = add_subscription(interest, *client, filter, overlay);
	if (!*subscription) {
		interest_free_unused(interest, *client);
		return ERROR_NOMEM;
	}
	if (overlay->publisher == *client)
		interest_unpublish(interest, overlay);
	(*client)->overlays +=
		!(*subscription)->denied && !interest_subscribes(*client, overlay, NULL);
	*before = (*subscription)->terms;
	(*subscription)->terms = terms;
	(*subscription)->stale = false;
	return ERROR_NONE;
}
