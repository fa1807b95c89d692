/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interest.h"

#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/memory.h"
#include "interest_internal.h"

int interest_new(const struct interest_actions *actions, const struct interest_config *config,
	const struct random *random, struct interest **out)
{
	struct interest *interest = memory_zalloc(sizeof *interest);
	const size_t limits[ACCOUNT_KINDS] = {
		[ACCOUNT_USER] = config->max_overlays_per_user,
		[ACCOUNT_ADDRESS] = config->max_overlays_per_address,
	};

	if (!interest || accounts_new(limits, random, &interest->accounts)) {
		memory_free(interest);
		return ERROR_NOMEM;
	}
	interest->actions = *actions;
	interest->config = *config;
	keyed_init(&interest->keyed, random);
	*out = interest;
	return ERROR_NONE;
}

void interest_free(struct interest *interest)
{
	struct client *client, *next_client;
	struct subscription *subscription, *next;
	struct overlay *overlay, *next_overlay;

	if (!interest)
		return;
	/* Nothing is taken off the record at the end: the restart that follows is what the record
	 * is for. */
	HASH_ITER (hh, interest->clients, client, next_client) {
		HASH_ITER (hh, client->subscriptions, subscription, next)
			interest_free_subscription(interest, client, subscription);
		interest_free_client(interest, client);
	}
	HASH_ITER (hh, interest->overlays, overlay, next_overlay) {
		HASH_DELETE(hh, interest->overlays, overlay);
		interest_free_overlay(overlay);
	}
	accounts_free(interest->accounts);
	timers_clear(&interest->lingers);
	memory_free(interest);
}

/* ---- what happens in the broker ---- */

int interest_subscribed(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, struct terms terms, bool lasting)
{
	struct subscription *subscription;
	struct client *client;
	struct terms before;
	int error = interest_add(
		interest, client_id, filter, topic, terms, &client, &subscription, &before);

	if (error)
		return error;
	interest_confirm(interest, subscription);
	if (!interest_judge(interest, client, subscription) ||
		!interest_recount(interest, client, subscription)) {
		interest_free_unused(interest, client);
		return ERROR_NONE;
	}
	subscription->lasting = lasting;
	if (!lasting)
		interest_disown(interest, client, subscription);
	else if (!subscription->denied &&
		 !(subscription->recorded && terms_equal(before, terms) && !subscription->owed))
		interest_remember(interest, client, subscription);
	return ERROR_NONE;
}

int interest_restore(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, struct terms terms)
{
	struct client *client = interest_find_client(interest, client_id);
	bool is_back = client && !client->offline;
	struct subscription *subscription;
	struct terms before;
	int error = interest_add(
		interest, client_id, filter, topic, terms, &client, &subscription, &before);

	if (error)
		return error;
	interest->records += !subscription->recorded;
	subscription->recorded = true;
	subscription->lasting = true;
	if (!subscription->unconfirmed) {
		subscription->unconfirmed = true;
		DL_APPEND2(interest->unconfirmed, subscription, unconfirmed_prev,
			unconfirmed_next);
	}
	if (!is_back && !client->offline) {
		client->restored = true;
		interest->has_restored = true;
		interest_mark_offline(interest, client, true);
	}
	return ERROR_NONE;
}

void interest_unsubscribed(struct interest *interest, const char *client_id, const char *filter)
{
	struct client *client = interest_find_client(interest, client_id);
	struct subscription *subscription =
		client ? interest_find_subscription(interest, client, filter) : NULL;

	if (!subscription)
		return;
	if (client->restored)
		interest_miss(interest, client, subscription);
	else
		interest_give_up(interest, client, subscription);
	interest_free_unused(interest, client);
}

static void set_offline(struct interest *interest, struct client *client, bool offline)
{
	struct subscription *subscription, *next;

	interest_mark_offline(interest, client, offline);
	if (offline)
		HASH_ITER (hh, client->subscriptions, subscription, next)
			interest_forget_witness(subscription, client);
	interest_recount_all(interest, client);
}

static void make_stale(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next) {
		subscription->stale = true;
		interest_forget_witness(subscription, client);
	}
	client->overlays = 0;
	interest_look_at_client(interest, client);
}

void interest_connected(struct interest *interest, const char *client_id, bool kept)
{
	struct client *client = interest_find_client(interest, client_id);
	struct subscription *subscription, *next;

	if (!client)
		return;
	client->anew = !kept;
	if (!kept)
		make_stale(interest, client);
	client->restored = false;
	interest_change_accounts(interest, client);
	if (kept)
		interest_judge_all(interest, client);
	HASH_ITER (hh, client->subscriptions, subscription, next)
		subscription->gave_way = false;
	set_offline(interest, client, false);
	interest_look_at_client(interest, client); /* the client may have nothing any more */
}

void interest_offline(struct interest *interest, const char *client_id)
{
	struct client *client = interest_find_client(interest, client_id);

	if (client)
		set_offline(interest, client, true);
}

void interest_gone(struct interest *interest, const char *client_id)
{
	struct client *client = interest_find_client(interest, client_id);

	if (client)
		make_stale(interest, client);
}

void interest_heard(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic)
{
	struct overlay *overlay = interest_find_overlay(interest, topic);
	struct subscription *subscription;
	struct client *client;

	if (!overlay || overlay->holders == 0 || overlay->witness)
		return;
	client = interest_find_client(interest, client_id);
	subscription = client ? interest_find_subscription(interest, client, filter) : NULL;
	if (!subscription || subscription->stale || client->offline)
		return;
	overlay->witness = client;
	overlay->witness_number = ++interest->witnesses;
}

/* ---- what is known ---- */

struct interest_faces interest_faces(struct interest *interest, const struct id *topic)
{
	const struct overlay *overlay = interest_find_overlay(interest, topic);
	struct interest_faces faces = {0};

	if (!overlay)
		return faces;
	for (unsigned view = 0; view < VIEWS; view++) {
		faces.by_digits |= overlay->faces[false][view] > 0 ? VIEW_BIT(view) : 0;
		if (overlay->name && overlay->faces[true][view] > 0)
			faces.by_name |= VIEW_BIT(view);
	}
	faces.name = overlay->name;
	faces.name_size = overlay->name_size;
	return faces;
}

uint64_t interest_witness(struct interest *interest, const struct id *topic)
{
	const struct overlay *overlay = interest_find_overlay(interest, topic);

	return overlay && overlay->witness ? overlay->witness_number : 0;
}

bool interest_is_confirming(const struct interest *interest)
{
	return interest->unconfirmed != NULL;
}

bool interest_is_settling(const struct interest *interest)
{
	return interest->looked_overlays != NULL;
}

void interest_tick(struct interest *interest, uint64_t now_ns)
{
	interest_look_at_sessions(interest, now_ns);
	interest_look_at_rights(interest, now_ns);
	interest_expire_lingers(interest, now_ns);
	interest_settle_clients(interest);
	interest_settle_overlays(interest, now_ns);
}
