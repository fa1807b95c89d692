/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interest.h"

#include <stddef.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/keyed.h"
#include "../bridge/timers.h"

/* How often offline sessions are looked at: leaving is to be seen within a second. */
#define SESSIONS_NS UINT64_C(250000000)

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
	struct client *witness;	  /* who is sent what is published there; NULL: nobody is known */
	uint64_t witness_number;
	bool looked;		  /* on the list of those that TICK looks at */
	struct overlay *prev, *next;
	UT_hash_handle hh;
};

struct subscription {
	struct overlay *overlay;
	uint8_t qos;
	bool stale; /* its session is gone; forgotten at TICK if not renewed until then */
	bool holds; /* counted in overlay->holders */
	bool recorded; /* counted in interest->records; known after a restart */
	bool owed;     /* not recorded as it is now: tried again at TICK */
	UT_hash_handle hh;
	char filter[];
};

struct client {
	struct subscription *subscriptions;
	size_t overlays;  /* that it subscribes, each counted once; not the stale ones */
	size_t published; /* overlays whose publisher it is */
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
	uint64_t witnesses; /* that there have been */
	/* Where something may have to be left, joined, forgotten or remembered: a TICK costs
	 * what has changed, not what there is. */
	struct overlay *looked_overlays;
	struct client *looked_clients;
	struct timers lingers;	/* has room for all overlays */
	uint64_t sessions_next; /* when offline sessions are looked at */
};

int interest_new(const struct interest_actions *actions, const struct interest_config *config,
	const struct random *random, struct interest **out)
{
	struct interest *interest = memory_zalloc(sizeof *interest);

	if (!interest)
		return ERROR_NOMEM;
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

/* Whether one of the client's subscriptions is for this overlay. */
static bool subscribes(const struct client *client, const struct overlay *overlay)
{
	struct subscription *subscription, *next;

	HASH_ITER (hh, client->subscriptions, subscription, next)
		if (subscription->overlay == overlay && !subscription->stale)
			return true;
	return false;
}

static void free_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	if (subscription->holds)
		subscription->overlay->holders--;
	subscription->overlay->subscriptions--;
	forget_witness(subscription, client);
	HASH_DELETE(hh, client->subscriptions, subscription);
	if (!subscription->stale && !subscribes(client, subscription->overlay))
		client->overlays--;
	interest->records -= subscription->recorded;
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
		memory_free(overlay);
	}
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
static struct subscription *add_subscription(struct interest *interest, struct client *client,
	const char *filter, struct overlay *overlay)
{
	size_t size = strlen(filter);
	struct subscription *subscription = memory_zalloc(sizeof *subscription + size + 1);

	if (!subscription)
		return NULL;
	memcpy(subscription->filter, filter, size + 1);
	subscription->overlay = overlay;
	subscription->stale = true;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, client->subscriptions, subscription->filter, size,
		keyed_hash(&interest->keyed, filter, size), subscription);
	if (!subscription->hh.tbl) {
		memory_free(subscription);
		return NULL;
	}
	overlay->subscriptions++;
	return subscription;
}

/* The overlay is not there for its publisher's sake alone any more. */
static void unpublish(struct interest *interest, struct overlay *overlay)
{
	if (!overlay->publisher)
		return;
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
	(*client)->overlays += !subscribes(*client, overlay);
	*before = (*subscription)->qos;
	(*subscription)->qos = qos;
	(*subscription)->stale = false;
	return ERROR_NONE;
}

static bool is_over(const struct interest *interest, const struct client *client)
{
	return client->overlays + client->published > interest->config.max_overlays_per_client;
}

/* Counts the subscription as a holder, or not any more, by what is known now. False: it is
 * over a limit, stays local from now on and is forgotten here. */
static bool recount(
	struct interest *interest, struct client *client, struct subscription *subscription)
{
	struct overlay *overlay = subscription->overlay;
	bool waits = subscription->qos >= 1 && !interest->config.offline_leave;
	bool holds = !subscription->stale && !client->restored && (!client->offline || waits);

	if (holds == subscription->holds)
		return true;
	if (!holds) {
		subscription->holds = false;
		overlay->holders--;
		look_at_overlay(interest, overlay);
		return true;
	}
	if (is_over(interest, client) || join(interest, overlay) == ERROR_LIMIT) {
		interest->actions.limited(interest->actions.context, client->id, &overlay->topic);
		forget_subscription(interest, client, subscription);
		return false;
	}
	subscription->holds = true;
	overlay->holders++;
	overlay->had_holder = true;
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

int interest_subscribed(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, uint8_t qos, bool lasting)
{
	struct subscription *subscription;
	struct client *client;
	uint8_t before;
	int error = add(interest, client_id, filter, topic, qos, &client, &subscription, &before);

	if (error)
		return error;
	if (!recount(interest, client, subscription))
		free_unused_client(interest, client);
	else if (!lasting)
		disown(interest, client, subscription);
	else if (!(subscription->recorded && before == qos && !subscription->owed))
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

void interest_connected(struct interest *interest, const char *client_id, bool kept)
{
	struct client *client = find_client(interest, client_id);

	if (!client)
		return;
	if (!kept)
		make_stale(interest, client);
	client->restored = false;
	set_offline(interest, client, false);
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
		error = client->overlays + client->published >=
					interest->config.max_overlays_per_client
				? ERROR_LIMIT
				: join(interest, overlay);
		if (error) {
			free_unused_client(interest, client);
			return error;
		}
		overlay->publisher = client;
		client->published++;
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
			recount_all(interest, client);
		}
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
	if (overlay->subscriptions > 0)
		return; /* of sessions that are offline: they may come back */
	HASH_DELETE(hh, interest->overlays, overlay);
	memory_free(overlay);
	if (!interest->overlays)
		timers_clear(&interest->lingers);
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
	}
}

void interest_tick(struct interest *interest, uint64_t now_ns)
{
	look_at_sessions(interest, now_ns);
	expire_lingers(interest, now_ns);
	settle_clients(interest);
	settle_overlays(interest, now_ns);
}
