/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interest.h"

#include <stddef.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/keyed.h"
#include "accounts.h"
#include "topic.h"
#include "../bridge/timers.h"

/* How often offline sessions are looked at: leaving is to be seen within a second. */
#define SESSIONS_NS UINT64_C(250000000)
/* How often all rights are asked for again, and how many of them at one TICK: what answers may be
 * a long list, or a plugin with a database. */
#define RIGHTS_NS	UINT64_C(60000000000)
#define RIGHTS_PER_TICK 32

/* Stays as long as a subscription names it, even one that does not hold it. */
struct overlay {
	struct id topic;
	size_t subscriptions;
	size_t holders;
	bool joined;
	bool fixed;
	bool had_holder;	  /* since it was joined: its last one's going ends it */
	uint64_t linger_until;	  /* 0: no publisher holds it */
	struct timer linger;	  /* when that is looked at: not later than linger_until */
	struct client *publisher; /* who has had it joined by publishing; counts it */
	struct subscription *all; /* all of them, holding or not */
	size_t faces[2][VIEWS];	  /* how many hold each view, by digits and by name */
	bool verified;		  /* its signed messages are, as was asked for */
	char *name;		  /* NULL: not known */
	size_t name_size;
	struct client *witness;	  /* who is sent what is published there; NULL: nobody is known */
	uint64_t witness_number;
	bool looked;		  /* on the list of those that TICK looks at */
	struct overlay *prev, *next;
	UT_hash_handle hh;
};

struct subscription {
	struct overlay *overlay;
	struct client *client;
	unsigned views; /* that it is for */
	bool by_name;
	uint8_t qos;
	bool stale; /* its session is gone; forgotten at TICK if not renewed until then */
	bool holds; /* counted in overlay->holders */
	bool recorded; /* counted in interest->records; known after a restart */
	bool owed;     /* not recorded as it is now: tried again at TICK */
	bool denied;   /* its client may not read there */
	bool lasting;  /* its session may outlive the connection */
	bool gave_way; /* it holds nothing until its client is back */
	unsigned asked; /* the round in which its right was asked for */
	struct subscription *prev, *next;	      /* in overlay->all */
	struct subscription *asked_prev, *asked_next; /* in interest->asked */
	UT_hash_handle hh;
	char filter[];
};

struct client {
	struct subscription *subscriptions;
	size_t overlays;  /* that it subscribes, each counted once; not the stale or denied ones */
	size_t published; /* overlays whose publisher it is */
	struct account *accounts[ACCOUNT_KINDS]; /* that it holds them for; NULL: none */
	bool offline;
	bool restored; /* from before the restart: not confirmed by the broker yet */
	bool looked;   /* on the list of those that TICK looks at */
	struct client *prev, *next;
	UT_hash_handle hh;
	char id[];
};

struct interest {
	struct interest_actions actions;
	struct interest_config config;
	struct keyed keyed;
	struct overlay *overlays;
	size_t joined;
	struct client *clients;
	size_t offline_clients;
	size_t records;
	size_t denied;
	struct accounts *accounts;
	uint64_t witnesses; /* that there have been */
	/* Where something may have to be left, joined, forgotten or remembered: a TICK costs
	 * what has changed, not what there is. */
	struct overlay *looked_overlays;
	struct client *looked_clients;
	struct timers lingers;	/* has room for all overlays */
	uint64_t sessions_next; /* when offline sessions are looked at */
	/* All subscriptions, those whose right was asked for longest ago at first. */
	struct subscription *asked;
	unsigned round;	      /* of asking */
	uint64_t rights_next; /* when the next round begins */
};

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

static void look_at_overlay(struct interest *interest, struct overlay *overlay)
{
	if (overlay->looked)
		return;
	overlay->looked = true;
	DL_APPEND(interest->looked_overlays, overlay);
}

static void look_at_client(struct interest *interest, struct client *client)
{
	if (client->looked)
		return;
	client->looked = true;
	DL_APPEND(interest->looked_clients, client);
}

static void forget_witness(struct subscription *subscription, const struct client *client)
{
	if (subscription->overlay->witness == client)
		subscription->overlay->witness = NULL;
}

/* Whether one of the client's subscriptions is for this overlay, not looking at that one. */
static bool subscribes(const struct client *client, const struct overlay *overlay,
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

/* One more reason for the client to have the overlay held. */
static void charge(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_hold(interest->accounts, client->accounts[i], overlay);
}

static void discharge(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_let_go(interest->accounts, client->accounts[i], overlay);
}

static bool belongs(const struct client *client, const struct account *account)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		if (client->accounts[i] == account)
			return true;
	return false;
}

static void count_views(const struct subscription *subscription, size_t one)
{
	struct overlay *overlay = subscription->overlay;

	for (unsigned view = 0; view < VIEWS; view++)
		if (subscription->views & VIEW_BIT(view))
			overlay->faces[subscription->by_name][view] += one;
}

static void let_go(struct interest *interest, struct subscription *subscription)
{
	if (!subscription->holds)
		return;
	subscription->holds = false;
	count_views(subscription, (size_t)-1);
	subscription->overlay->holders--;
	discharge(interest, subscription->client, subscription->overlay);
	look_at_overlay(interest, subscription->overlay);
}

static void free_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	let_go(interest, subscription);
	subscription->overlay->subscriptions--;
	DL_DELETE(subscription->overlay->all, subscription);
	DL_DELETE2(interest->asked, subscription, asked_prev, asked_next);
	forget_witness(subscription, client);
	HASH_DELETE(hh, client->subscriptions, subscription);
	if (!subscription->stale && !subscription->denied &&
		!subscribes(client, subscription->overlay, NULL))
		client->overlays--;
	interest->records -= subscription->recorded;
	interest->denied -= subscription->denied;
	look_at_overlay(interest, subscription->overlay);
	memory_free(subscription);
}

static void forget_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	if (subscription->recorded)
		interest->actions.forget(
			interest->actions.context, client->id, subscription->filter);
	free_subscription(interest, client, subscription);
}

static void free_client(struct interest *interest, struct client *client)
{
	struct overlay *overlay, *next;

	if (client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next)
			if (overlay->publisher == client)
				overlay->publisher = NULL;
	if (client->offline)
		interest->offline_clients--;
	if (client->looked)
		DL_DELETE(interest->looked_clients, client);
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		accounts_give_back(interest->accounts, client->accounts[i]);
	HASH_DELETE(hh, interest->clients, client);
	memory_free(client);
}

static void free_unused_client(struct interest *interest, struct client *client)
{
	if (!client->subscriptions && client->published == 0)
		free_client(interest, client);
}

static void forget_subscriptions(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		forget_subscription(interest, client, subscription);
	free_unused_client(interest, client);
}

static void free_overlay(struct overlay *overlay)
{
	memory_free(overlay->name);
	memory_free(overlay);
}

void interest_free(struct interest *interest)
{
	struct client *client, *next_client;
	struct subscription *subscription, *next;
	struct overlay *overlay, *next_overlay;

	if (!interest)
		return;
	/* Nothing is forgotten at the end: it is the time to be remembered for. */
	HASH_ITER (hh, interest->clients, client, next_client) {
		HASH_ITER (hh, client->subscriptions, subscription, next)
			free_subscription(interest, client, subscription);
		free_client(interest, client);
	}
	HASH_ITER (hh, interest->overlays, overlay, next_overlay) {
		HASH_DELETE(hh, interest->overlays, overlay);
		free_overlay(overlay);
	}
	accounts_free(interest->accounts);
	timers_clear(&interest->lingers);
	memory_free(interest);
}

static struct overlay *find_overlay(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay;

	HASH_FIND_BYHASHVALUE(hh, interest->overlays, topic, sizeof *topic,
		keyed_hash(&interest->keyed, topic, sizeof *topic), overlay);
	return overlay;
}

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
		look_at_overlay(interest, overlay);
		return error;
	}
	overlay->joined = true;
	interest->joined++;
	return ERROR_NONE;
}

static struct overlay *find_or_add_overlay(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay = find_overlay(interest, topic);

	if (overlay)
		return overlay;
	if (timers_reserve(&interest->lingers, HASH_COUNT(interest->overlays) + 1))
		return NULL;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return NULL;
	overlay->topic = *topic;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, interest->overlays, &overlay->topic, sizeof overlay->topic,
		keyed_hash(&interest->keyed, topic, sizeof *topic), overlay);
	if (!overlay->hh.tbl) {
		memory_free(overlay);
		return NULL;
	}
	/* Whatever becomes of what it was made for, TICK looks at it. */
	look_at_overlay(interest, overlay);
	return overlay;
}

static struct client *find_client(struct interest *interest, const char *id)
{
	struct client *client;
	size_t size = strlen(id);

	HASH_FIND_BYHASHVALUE(
		hh, interest->clients, id, size, keyed_hash(&interest->keyed, id, size), client);
	return client;
}

/* Whose it is, which is known while it is connected, and may be another one each time. */
static void take_accounts(
	struct interest *interest, const char *client_id, struct account *out[ACCOUNT_KINDS])
{
	struct interest_owner owner = interest->actions.owner(interest->actions.context, client_id);

	out[ACCOUNT_USER] = accounts_take(interest->accounts, ACCOUNT_USER, owner.user);
	out[ACCOUNT_ADDRESS] = accounts_take(interest->accounts, ACCOUNT_ADDRESS, owner.address);
}

static struct client *find_or_add_client(struct interest *interest, const char *id)
{
	struct client *client = find_client(interest, id);
	size_t size = strlen(id);

	if (client)
		return client;
	client = memory_zalloc(sizeof *client + size + 1);
	if (!client)
		return NULL;
	memcpy(client->id, id, size + 1);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, interest->clients, client->id, size,
		keyed_hash(&interest->keyed, id, size), client);
	if (!client->hh.tbl) {
		memory_free(client);
		return NULL;
	}
	take_accounts(interest, id, client->accounts);
	return client;
}

static struct subscription *find_subscription(
	struct interest *interest, struct client *client, const char *filter)
{
	struct subscription *subscription;
	size_t size = strlen(filter);

	HASH_FIND_BYHASHVALUE(hh, client->subscriptions, filter, size,
		keyed_hash(&interest->keyed, filter, size), subscription);
	return subscription;
}

/* Not counted yet, as if it were a stale one. */
/* What the filter says of views, and what the overlay is called. */
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
	subscription->asked = interest->round;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, client->subscriptions, subscription->filter, size,
		keyed_hash(&interest->keyed, filter, size), subscription);
	if (!subscription->hh.tbl) {
		memory_free(subscription);
		return NULL;
	}
	note_views(subscription);
	overlay->subscriptions++;
	DL_APPEND(overlay->all, subscription);
	DL_APPEND2(interest->asked, subscription, asked_prev, asked_next);
	return subscription;
}

/* The overlay is not there for its publisher's sake alone any more. */
static void unpublish(struct interest *interest, struct overlay *overlay)
{
	if (!overlay->publisher)
		return;
	discharge(interest, overlay->publisher, overlay);
	overlay->publisher->published--;
	look_at_client(interest, overlay->publisher); /* it may have nothing else here */
	overlay->publisher = NULL;
}

/* Finds or makes it, and counts it for its client; before: its QoS until now. ERROR_NOMEM,
 * ERROR_LIMIT. */
static int add(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, uint8_t qos, struct client **client,
	struct subscription **subscription, uint8_t *before)
{
	struct overlay *overlay = find_or_add_overlay(interest, topic);

	*client = overlay ? find_or_add_client(interest, client_id) : NULL;
	if (!*client)
		return ERROR_NOMEM;
	*subscription = find_subscription(interest, *client, filter);
	if (!*subscription && HASH_COUNT((*client)->subscriptions) >=
				      INTEREST_FILTERS_PER_OVERLAY *
					      interest->config.max_overlays_per_client) {
		free_unused_client(interest, *client);
		return ERROR_LIMIT;
	}
	if (!*subscription)
		*subscription = add_subscription(interest, *client, filter, overlay);
	if (!*subscription) {
		free_unused_client(interest, *client);
		return ERROR_NOMEM;
	}
	if (overlay->publisher == *client)
		unpublish(interest, overlay);
	(*client)->overlays += !(*subscription)->denied && !subscribes(*client, overlay, NULL);
	*before = (*subscription)->qos;
	(*subscription)->qos = qos;
	(*subscription)->stale = false;
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
		look_at_overlay(interest, overlay);
	else
		overlay->verified = wanted;
}

static bool is_over(const struct interest *interest, const struct client *client)
{
	return client->overlays + client->published > interest->config.max_overlays_per_client;
}

static void leave(struct interest *interest, struct overlay *overlay)
{
	if (overlay->joined &&
		interest->actions.leave(interest->actions.context, &overlay->topic) != ERROR_NONE) {
		look_at_overlay(interest, overlay);
		return;
	}
	interest->joined -= overlay->joined;
	overlay->joined = false;
	overlay->had_holder = false;
	overlay->linger_until = 0;
	timers_set(&interest->lingers, &overlay->linger, TIMER_NEVER);
	unpublish(interest, overlay);
	overlay->verified = false;
	if (overlay->subscriptions > 0)
		return; /* of sessions that are offline: they may come back */
	HASH_DELETE(hh, interest->overlays, overlay);
	free_overlay(overlay);
	if (!interest->overlays)
		timers_clear(&interest->lingers);
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
		let_go(interest, subscription);
		interest->actions.gave_way(
			interest->actions.context, subscription->client->id, &found->topic);
	}
	if (found->holders == 0 && !found->fixed)
		leave(interest, found);
	return true;
}

/* Room for the client's holding that overlay. */
static bool has_room(
	struct interest *interest, const struct client *client, const struct overlay *overlay)
{
	const struct account *account;

	for (size_t i = 0; i < ACCOUNT_KINDS; i++) {
		account = client->accounts[i];
		if (accounts_is_full(interest->accounts, account, overlay) &&
			(client->offline || !give_way(interest, account)))
			return false;
	}
	return overlay->joined || interest->joined < interest->config.max_overlays ||
	       (!client->offline && give_way(interest, NULL));
}

/* Counts the subscription as a holder, or not any more, by what is known now. False: it is
 * over a limit, stays local from now on and is forgotten here. */
static bool recount(
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
		let_go(interest, subscription);
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
		forget_subscription(interest, client, subscription);
		return false;
	}
	subscription->holds = true;
	count_views(subscription, 1);
	verify(interest, overlay);
	overlay->holders++;
	overlay->had_holder = true;
	charge(interest, client, overlay);
	unpublish(interest, overlay);
	return true;
}

static void recount_all(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		recount(interest, client, subscription);
}

int interest_fix(struct interest *interest, const struct id *topic)
{
	struct overlay *overlay = find_or_add_overlay(interest, topic);

	if (!overlay)
		return ERROR_NOMEM;
	overlay->fixed = true;
	return join(interest, overlay);
}

/* To be known after a restart as it is now. */
static void remember(
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
		look_at_client(interest, client);
	}
}

/* Its session ends with its connection now: nothing will be there after a restart. */
static void disown(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	subscription->owed = false;
	if (!subscription->recorded)
		return;
	interest->actions.forget(interest->actions.context, client->id, subscription->filter);
	interest->records--;
	subscription->recorded = false;
}

/* What the broker says now of the client's reading there. False: it is denied and forgotten, for
 * there are too many like that. */
static bool judge(
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
		forget_subscription(interest, client, subscription);
		return false;
	}
	if (!subscription->stale &&
		!subscribes(client, subscription->overlay, subscription))
		client->overlays += denied ? (size_t)-1 : 1;
	subscription->denied = denied;
	interest->denied += denied ? 1 : (size_t)-1;
	if (denied) {
		/* Nor is there a place in the record for what anybody can bring about. */
		disown(interest, client, subscription);
	} else if (subscription->lasting) {
		subscription->owed = true;
		look_at_client(interest, client);
	}
	return true;
}

static void judge_all(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		judge(interest, client, subscription);
}

int interest_subscribed(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, uint8_t qos, bool lasting)
{
	struct subscription *subscription;
	struct client *client;
	uint8_t before;
	int error = add(interest, client_id, filter, topic, qos, &client, &subscription, &before);

	if (error)
		return error;
	if (!judge(interest, client, subscription) || !recount(interest, client, subscription)) {
		free_unused_client(interest, client);
		return ERROR_NONE;
	}
	subscription->lasting = lasting;
	if (!lasting)
		disown(interest, client, subscription);
	else if (!subscription->denied &&
		 !(subscription->recorded && before == qos && !subscription->owed))
		remember(interest, client, subscription);
	return ERROR_NONE;
}

int interest_restore(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, uint8_t qos)
{
	struct subscription *subscription;
	struct client *client;
	uint8_t before;
	int error = add(interest, client_id, filter, topic, qos, &client, &subscription, &before);

	if (error)
		return error;
	interest->records += !subscription->recorded;
	subscription->recorded = true;
	subscription->lasting = true;
	if (!client->offline) {
		client->offline = true;
		client->restored = true;
		interest->offline_clients++;
	}
	return ERROR_NONE;
}

void interest_unsubscribed(struct interest *interest, const char *client_id, const char *filter)
{
	struct client *client = find_client(interest, client_id);
	struct subscription *subscription =
		client ? find_subscription(interest, client, filter) : NULL;

	if (!subscription)
		return;
	forget_subscription(interest, client, subscription);
	free_unused_client(interest, client);
}

static void set_offline(struct interest *interest, struct client *client, bool offline)
{
	struct subscription *subscription, *next;

	if (client->offline != offline) {
		client->offline = offline;
		interest->offline_clients += offline ? 1 : (size_t)-1;
	}
	if (offline)
		HASH_ITER (hh, client->subscriptions, subscription, next)
			forget_witness(subscription, client);
	recount_all(interest, client);
}

static void make_stale(struct interest *interest, struct client *client)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next) {
		subscription->stale = true;
		forget_witness(subscription, client);
	}
	client->overlays = 0;
	look_at_client(interest, client);
}

/* Its overlays are counted for whom it belongs to now: what it subscribes holds nothing until it
 * is counted again, what it has joined by publishing is counted whatever the limit. */
static void change_accounts(struct interest *interest, struct client *client)
{
	struct account *now[ACCOUNT_KINDS];
	struct subscription *subscription, *next;
	struct overlay *overlay, *next_overlay;
	bool changed;

	take_accounts(interest, client->id, now);
	changed = memcmp(now, client->accounts, sizeof now) != 0;
	if (changed)
		HASH_ITER (hh, client->subscriptions, subscription, next)
			let_go(interest, subscription);
	if (changed && client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next_overlay)
			if (overlay->publisher == client)
				discharge(interest, client, overlay);
	for (size_t i = 0; i < ACCOUNT_KINDS; i++) {
		accounts_give_back(interest->accounts, client->accounts[i]);
		client->accounts[i] = now[i];
	}
	if (changed && client->published > 0)
		HASH_ITER (hh, interest->overlays, overlay, next_overlay)
			if (overlay->publisher == client)
				charge(interest, client, overlay);
}

void interest_connected(struct interest *interest, const char *client_id, bool kept)
{
	struct client *client = find_client(interest, client_id);
	struct subscription *subscription, *next;

	if (!client)
		return;
	if (!kept)
		make_stale(interest, client);
	client->restored = false;
	change_accounts(interest, client);
	if (kept)
		judge_all(interest, client);
	HASH_ITER (hh, client->subscriptions, subscription, next)
		subscription->gave_way = false;
	set_offline(interest, client, false);
	look_at_client(interest, client); /* it may have nothing any more */
}

void interest_offline(struct interest *interest, const char *client_id)
{
	struct client *client = find_client(interest, client_id);

	if (client)
		set_offline(interest, client, true);
}

void interest_gone(struct interest *interest, const char *client_id)
{
	struct client *client = find_client(interest, client_id);

	if (client)
		make_stale(interest, client);
}

static bool may_publish(const struct interest *interest, const struct client *client,
	const struct overlay *overlay)
{
	for (size_t i = 0; i < ACCOUNT_KINDS; i++)
		if (accounts_is_full(interest->accounts, client->accounts[i], overlay))
			return false;
	return client->overlays + client->published < interest->config.max_overlays_per_client;
}

void interest_heard(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic)
{
	struct overlay *overlay = find_overlay(interest, topic);
	struct subscription *subscription;
	struct client *client;

	if (!overlay || overlay->holders == 0 || overlay->witness)
		return;
	client = find_client(interest, client_id);
	subscription = client ? find_subscription(interest, client, filter) : NULL;
	if (!subscription || subscription->stale || client->offline)
		return;
	overlay->witness = client;
	overlay->witness_number = ++interest->witnesses;
}

struct interest_faces interest_faces(struct interest *interest, const struct id *topic)
{
	const struct overlay *overlay = find_overlay(interest, topic);
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
	const struct overlay *overlay = find_overlay(interest, topic);

	return overlay && overlay->witness ? overlay->witness_number : 0;
}

int interest_published(
	struct interest *interest, uint64_t now_ns, const char *client_id, const struct id *topic)
{
	struct overlay *overlay = find_or_add_overlay(interest, topic);
	struct client *client;
	int error;

	if (!overlay)
		return ERROR_NOMEM;
	if (overlay->holders > 0 || overlay->fixed)
		return ERROR_NONE;
	if (!overlay->joined) {
		client = find_or_add_client(interest, client_id);
		if (!client)
			return ERROR_NOMEM;
		error = may_publish(interest, client, overlay) ? join(interest, overlay)
							       : ERROR_LIMIT;
		if (error) {
			free_unused_client(interest, client);
			return error;
		}
		overlay->publisher = client;
		client->published++;
		charge(interest, client, overlay);
	}
	overlay->linger_until = now_ns + interest->config.linger_ns;
	/* A timer that is set is moved when it is due, not by each publish. */
	if (overlay->linger.index == 0)
		timers_set(&interest->lingers, &overlay->linger, overlay->linger_until);
	return ERROR_NONE;
}

/* A session that has expired raises no event; nor does one that the broker has restored,
 * or has not. */
static void look_at_sessions(struct interest *interest, uint64_t now_ns)
{
	struct client *client, *next;

	if (interest->offline_clients == 0 || now_ns < interest->sessions_next)
		return;
	interest->sessions_next = now_ns + SESSIONS_NS;
	HASH_ITER (hh, interest->clients, client, next) {
		if (!client->offline)
			continue;
		if (!interest->actions.has_session(interest->actions.context, client->id)) {
			forget_subscriptions(interest, client);
		} else if (client->restored) {
			client->restored = false;
			change_accounts(interest, client);
			judge_all(interest, client);
			recount_all(interest, client);
			look_at_client(interest, client);
		}
	}
}

void interest_rights_changed(struct interest *interest)
{
	interest->round++;
}

/* Rights change without a word to us. */
static void look_at_rights(struct interest *interest, uint64_t now_ns)
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
		if (!judge(interest, client, subscription) ||
			!recount(interest, client, subscription))
			free_unused_client(interest, client);
	}
}

/* What is stale is forgotten, what is owed is remembered. */
static void settle_clients(struct interest *interest)
{
	struct client *client, *clients = interest->looked_clients;
	struct subscription *subscription, *next;

	interest->looked_clients = NULL;
	while ((client = clients)) {
		DL_DELETE(clients, client);
		client->looked = false;
		HASH_ITER (hh, client->subscriptions, subscription, next) {
			if (subscription->stale)
				forget_subscription(interest, client, subscription);
			else if (subscription->owed)
				remember(interest, client, subscription);
		}
		free_unused_client(interest, client);
	}
}

static bool is_held(const struct overlay *overlay, uint64_t now_ns)
{
	if (overlay->fixed || overlay->holders > 0)
		return true;
	/* The last subscriber's going ends it, whoever has published lately. */
	return !overlay->had_holder && overlay->linger_until > now_ns;
}

/* Those whose publisher's time is over. */
static void expire_lingers(struct interest *interest, uint64_t now_ns)
{
	struct timer *first;

	while ((first = timers_first(&interest->lingers)) && first->at <= now_ns) {
		struct overlay *overlay =
			(struct overlay *)((char *)first - offsetof(struct overlay, linger));
		bool is_over = overlay->linger_until <= now_ns;

		timers_set(&interest->lingers, first,
			is_over ? TIMER_NEVER : overlay->linger_until);
		if (is_over)
			look_at_overlay(interest, overlay);
	}
}

static void settle_overlays(struct interest *interest, uint64_t now_ns)
{
	struct overlay *overlay, *overlays = interest->looked_overlays;

	interest->looked_overlays = NULL;
	while ((overlay = overlays)) {
		DL_DELETE(overlays, overlay);
		overlay->looked = false;
		if (!is_held(overlay, now_ns))
			leave(interest, overlay);
		else if (join(interest, overlay) != ERROR_NONE)
			look_at_overlay(interest, overlay);
		else
			verify(interest, overlay);
	}
}

void interest_tick(struct interest *interest, uint64_t now_ns)
{
	look_at_sessions(interest, now_ns);
	look_at_rights(interest, now_ns);
	expire_lingers(interest, now_ns);
	settle_clients(interest);
	settle_overlays(interest, now_ns);
}
