/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of interest have in common: interest.c (what happens in the broker, TICK),
 * interest_sessions.c (whether sessions of clients that are offline are there still),
 * interest_asking.c (what else the broker is asked: rights, owners, the record), interest_holding.c
 * (what is held, joined and left, and who gives way), interest_table.c (what there is: overlays,
 * clients, their subscriptions). Each file calls only those that are named behind it.
 */
#ifndef PLUGIN_INTEREST_INTERNAL_H
#define PLUGIN_INTEREST_INTERNAL_H

#include "../bridge/keyed_table.h"
#include "../bridge/timers.h"
#include "accounts.h"
#include "interest.h"
#include "topic.h"

/* An overlay. It stays here as long as a subscription names it, even one that does not hold it. */
struct overlay {
	struct id topic;
	size_t subscriptions;
	size_t holders;
	size_t connected; /* holders whose clients are connected */
	bool joined;
	bool fixed;
	bool had_holder;	  /* since it was joined: the last holder's going ends it */
	uint64_t unheld_ns;	  /* since when nobody holds it; 0: not known, or somebody does */
	uint64_t linger_until;	  /* 0: no publisher holds it */
	struct timer linger;	  /* when linger_until is looked at: not later than that */
	struct client *publisher; /* the client that has had it joined by publishing; counts it */
	struct subscription *all; /* all subscriptions, those that hold at first */
	size_t faces[2][VIEWS];	  /* how many hold each view, by digits and by name */
	bool verified;		  /* the node was asked to verify its signed messages */
	char *name;		  /* NULL: not known */
	size_t name_size;
	struct client *witness; /* a client that is sent what is published there; NULL: none */
	uint64_t witness_number;
	bool looked; /* on the list of those that TICK looks at */
	struct overlay *prev, *next;
	bool unattended; /* on the list of overlays that only clients that are offline hold */
	struct overlay *unattended_prev, *unattended_next;
	UT_hash_handle hh;
};

struct subscription {
	struct overlay *overlay;
	struct client *client;
	unsigned views; /* that the filter is for */
	bool by_name;
	struct terms terms;
	bool stale;	/* its session is gone; forgotten at TICK if not renewed until then */
	bool holds;	/* counted in overlay->holders */
	bool recorded;	/* counted in interest->records; known after a restart */
	bool owed;	/* not recorded as it is now: tried again at TICK */
	bool denied;	/* its client may not read there */
	bool lasting;	/* its session may outlive the connection */
	bool gave_way;	/* it holds nothing until its client is back */
	unsigned asked; /* the round in which its right was asked for */
	struct subscription *prev, *next;	      /* in overlay->all */
	struct subscription *asked_prev, *asked_next; /* in interest->asking[client->offline] */
	bool unconfirmed; /* from before the restart: the broker is to be asked for it */
	struct subscription *unconfirmed_prev, *unconfirmed_next; /* in interest->unconfirmed */
	UT_hash_handle hh;
	char filter[];
};

struct client {
	struct subscription *subscriptions;
	size_t overlays;  /* that it subscribes, each counted once; not the stale or denied ones */
	size_t published; /* overlays whose publisher it is */
	struct account *accounts[ACCOUNT_KINDS]; /* for which it holds overlays; NULL: none */
	bool offline;
	bool restored; /* from before the restart: not confirmed by the broker yet */
	bool anew;     /* it has just begun another session: the broker may have kept the last one */
	bool looked;   /* on the list of those that TICK looks at */
	struct client *prev, *next;
	uint64_t seen_ns; /* while it is offline: when its session was there */
	struct client *offline_prev, *offline_next;
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
	/* Both in the order in which it was last looked whether the sessions are there. */
	struct client *offline;
	struct overlay *unattended;
	size_t offline_clients, unattended_overlays;
	unsigned offline_ticks; /* since one of the former was looked at in turn */
	uint64_t offline_from, unattended_from; /* until when these two were looked at */
	struct subscription *unconfirmed; /* whether the broker has them is to be asked for */
	bool has_restored;			/* some clients are not confirmed yet */
	size_t records;
	size_t denied;
	struct accounts *accounts;
	uint64_t witnesses; /* how many there have been */
	/* Where something may have to be left, joined, forgotten or remembered: a TICK costs
	 * what has changed, not what there is. */
	struct overlay *looked_overlays;
	struct client *looked_clients;
	struct timers lingers; /* has room for all overlays */
	struct asking {
		/* All subscriptions of clients that are connected [0], and that are offline [1]:
		 * those whose right was asked for longest ago at first. */
		struct subscription *first;
		unsigned round;
		uint64_t next; /* when the next round begins */
		bool hurried;  /* rights are known to have changed */
	} asking[2];
};

/* ---- interest_table.c ---- */

/* Puts an overlay, or a client, on the list of those that TICK looks at. */
void interest_look_at_overlay(struct interest *interest, struct overlay *overlay);
void interest_look_at_client(struct interest *interest, struct client *client);

/* Finds an overlay, a client, or a subscription of a client; returns NULL if there is none. */
struct overlay *interest_find_overlay(struct interest *interest, const struct id *topic);
struct client *interest_find_client(struct interest *interest, const char *id);
struct subscription *interest_find_subscription(
	struct interest *interest, struct client *client, const char *filter);
/* Finds or adds an overlay, or a client; returns NULL without memory. */
struct overlay *interest_find_or_add_overlay(struct interest *interest, const struct id *topic);
struct client *interest_find_or_add_client(struct interest *interest, const char *id);
/* Finds or makes a subscription, and counts it for its client. *before: the terms that the
 * subscription had until now. Returns 0, ERROR_NOMEM or ERROR_LIMIT. */
int interest_add(struct interest *interest, const char *client_id, const char *filter,
	const struct id *topic, struct terms terms, struct client **client,
	struct subscription **subscription, struct terms *before);
/* Tells whether one of the client's subscriptions, other than the one given as without, is for this
 * overlay, and neither stale nor denied. */
bool interest_subscribes(const struct client *client, const struct overlay *overlay,
	const struct subscription *without);
/* Forgets that this client is the witness of the subscription's overlay, if it is: the client does
 * not see any more what is published there. */
void interest_forget_witness(struct subscription *subscription, const struct client *client);

/* Counts one more reason for the client to have the overlay held, and one less. */
void interest_charge(
	struct interest *interest, const struct client *client, const struct overlay *overlay);
void interest_discharge(
	struct interest *interest, const struct client *client, const struct overlay *overlay);
/* Makes the subscription hold its overlay, which is joined, from now on; or nothing any more. */
void interest_take_hold(struct interest *interest, struct subscription *subscription);
void interest_let_go(struct interest *interest, struct subscription *subscription);
/* Marks the client as offline from now on, or not any more; what the client holds is as before. */
void interest_mark_offline(struct interest *interest, struct client *client, bool offline);
/* Takes the publisher off an overlay that is not there for the publisher's sake alone any more. */
void interest_unpublish(struct interest *interest, struct overlay *overlay);

/* Ends the overlay's grace: if nobody holds the overlay any more, it is left without waiting for
 * those who may come back. */
void interest_end_grace(struct overlay *overlay);

/* Finds the accounts of the client: whose it is, which is known while the client is connected, and
 * may be somebody else each time. */
void interest_take_accounts(
	struct interest *interest, const char *client_id, struct account *out[ACCOUNT_KINDS]);

/* Frees a subscription, and has the record forget it. */
void interest_forget_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription);
/* Frees a subscription, and has the record take it for given up. */
void interest_give_up(
	struct interest *interest, struct client *client, struct subscription *subscription);
/* Forgets all subscriptions of a client, and the client. */
void interest_forget_subscriptions(struct interest *interest, struct client *client);
/* Puts a subscription at the end of the queue of those whose right is asked for, or takes it out of
 * the queue. */
void interest_put_last(struct interest *interest, struct subscription *subscription);
void interest_take_out(struct interest *interest, struct subscription *subscription);
/* Frees a client if it has nothing here any more. */
void interest_free_unused(struct interest *interest, struct client *client);
/* Frees a subscription; the record keeps what it has. */
void interest_free_subscription(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_free_client(struct interest *interest, struct client *client);
void interest_free_overlay(struct overlay *overlay);

/* ---- interest_holding.c ---- */

/* Counts the subscription as a holder, or not any more, by what is known now. Returns false if the
 * subscription is over a limit: it stays local from now on and is forgotten here. */
bool interest_recount(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_recount_all(struct interest *interest, struct client *client);
/* Handles at TICK publishers whose time is over; and overlays that are to be left, or joined. */
void interest_expire_lingers(struct interest *interest, uint64_t now_ns);
void interest_settle_overlays(struct interest *interest, uint64_t now_ns);

/* ---- interest_asking.c ---- */

/* Puts the subscription on record, to be known after a restart as it is now; or takes it off the
 * record, as its session ends with its connection and nothing will be there after a restart. */
void interest_remember(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_disown(
	struct interest *interest, struct client *client, struct subscription *subscription);
/* Asks the broker whether the client may read there now. Returns false if the client may not, and
 * the subscription was forgotten, as there are too many like that. */
bool interest_judge(
	struct interest *interest, struct client *client, struct subscription *subscription);
void interest_judge_all(struct interest *interest, struct client *client);
/* Counts the client's overlays for the accounts to which the client belongs now. */
void interest_change_accounts(struct interest *interest, struct client *client);
/* Handles at TICK rights that may have changed; and subscriptions that are stale (forgotten) or
 * owed (put on record). */
void interest_look_at_rights(struct interest *interest, uint64_t now_ns);
void interest_settle_clients(struct interest *interest);

/* ---- interest_sessions.c ---- */

/* Takes a subscription off the list of those that are to be asked for, if it is on it. */
void interest_confirm(struct interest *interest, struct subscription *subscription);
/* Forgets a subscription from before the restart that the broker has not got any more. */
void interest_miss(
	struct interest *interest, struct client *client, struct subscription *subscription);

/* Handles at TICK sessions that have expired, or were restored. */
void interest_look_at_sessions(struct interest *interest, uint64_t now_ns);

#endif
