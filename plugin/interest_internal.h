/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of interest have in common: interest.c (what happens in the broker, TICK),
 * interest_asking.c (what the broker is asked: rights, sessions, owners, the record),
 * interest_holding.c (what is held, joined and left, and who gives way), interest_table.c (what
 * there is: overlays, clients, their subscriptions). Each calls those behind it only.
 */
#ifndef PLUGIN_INTEREST_INTERNAL_H
#define PLUGIN_INTEREST_INTERNAL_H

#include "../bridge/keyed.h"
#include "../bridge/timers.h"
#include "accounts.h"
#include "interest.h"
#include "topic.h"

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
	struct client *witness; /* who is sent what is published there; NULL: nobody is known */
	uint64_t witness_number;
	bool looked; /* on the list of those that TICK looks at */
	struct overlay *prev, *next;
	UT_hash_handle hh;
};

struct subscription {
	struct overlay *overlay;
	struct client *client;
	unsigned views; /* that it is for */
	bool by_name;
	uint8_t qos;
	bool stale;	/* its session is gone; forgotten at TICK if not renewed until then */
	bool holds;	/* counted in overlay->holders */
	bool recorded;	/* counted in interest->records; known after a restart */
	bool owed;	/* not recorded as it is now: tried again at TICK */
	bool denied;	/* its client may not read there */
	bool lasting;	/* its session may outlive the connection */
	bool gave_way;	/* it holds nothing until its client is back */
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

/* ---- interest_table.c ---- */

/* TICK is to look at it. */
void interest_look_at_overlay(struct interest *interest, struct overlay *overlay);
void interest_look_at_client(struct interest *interest, struct client *client);

/* NULL: there is none. */
struct overlay *interest_find_overlay(struct interest *interest, const struct id *topic);
struct client *interest_find_client(struct interest *interest, const char *id);
struct subscription *interest_find_subscription(
	struct interest *interest, struct client *client, const char *filter);
/* NULL: no memory. */
struct overlay *interest_find_or_add_overlay(struct interest *interest, const struct id *topic);
struct client *interest_find_or_add_client(struct interest *interest, const char *id);
/* Finds or makes a subscription, and counts it for its client; before: its QoS until now.
 * ERROR_NOMEM, ERROR_LIMIT. */
int interest_add(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, uint8_t qos, struct client **client,
	struct subscription **subscription, uint8_t *before);
/* Whether one of the client's subscriptions is for this overlay, not looking at that one. */
bool interest_subscribes(const struct client *client, const struct overlay *overlay,
	const struct subscription *without);
/* What is published there is not seen by this client any more. */
void interest_forget_witness(struct subscription *subscription, const struct client *client);

/* One more reason for the client to have the overlay held, and one less. */
void interest_charge(
	struct interest *interest, const struct client *client, const struct overlay *overlay);
void interest_discharge(
	struct interest *interest, const struct client *client, const struct overlay *overlay);
/* one: 1 or (size_t)-1. */
void interest_count_views(const struct subscription *subscription, size_t one);
/* The subscription holds nothing any more. */
void interest_let_go(struct interest *interest, struct subscription *subscription);
/* The overlay is not there for its publisher's sake alone any more. */
void interest_unpublish(struct interest *interest, struct overlay *overlay);

/* Whose it is, which is known while it is connected, and may be another one each time. */
void interest_take_accounts(
	struct interest *interest, const char *client_id, struct account *out[ACCOUNT_KINDS]);

/* Frees it, and has the record forget it. */
void interest_forget_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription);
/* All of them, and the client. */
void interest_forget_subscriptions(struct interest *interest, struct client *client);
/* If it has nothing here. */
void interest_free_unused(struct interest *interest, struct client *client);
/* The record keeps what it has. */
void interest_free_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_free_client(struct interest *interest, struct client *client);
void interest_free_overlay(struct overlay *overlay);

/* ---- interest_holding.c ---- */

/* Counts the subscription as a holder, or not any more, by what is known now. False: it is
 * over a limit, stays local from now on and is forgotten here. */
bool interest_recount(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_recount_all(struct interest *interest, struct client *client);
/* At TICK: publishers whose time is over; what is left, and joined. */
void interest_expire_lingers(struct interest *interest, uint64_t now_ns);
void interest_settle_overlays(struct interest *interest, uint64_t now_ns);

/* ---- interest_asking.c ---- */

/* The subscription is to be known after a restart as it is now; or its session ends with its
 * connection: nothing will be there after a restart. */
void interest_remember(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_disown(
	struct interest *interest, struct client *client, struct subscription *subscription);
/* What the broker says now of the client's reading there. False: it is denied and forgotten, for
 * there are too many like that. */
bool interest_judge(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_judge_all(struct interest *interest, struct client *client);
/* Its overlays are counted for whom it belongs to now. */
void interest_change_accounts(struct interest *interest, struct client *client);
/* At TICK: sessions that have expired or were restored, rights that have changed; what is stale is
 * forgotten, what is owed is remembered. */
void interest_look_at_sessions(struct interest *interest, uint64_t now_ns);
void interest_look_at_rights(struct interest *interest, uint64_t now_ns);
void interest_settle_clients(struct interest *interest);

#endif
