/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the census have in common: census.c (hints, what is told, TICK),
 * census_asking.c (questions, and what their answers say), census_table.c (what there is: clients,
 * their filters, $share groups). Each file calls only those that are named behind it.
 */
#ifndef PLUGIN_CENSUS_INTERNAL_H
#define PLUGIN_CENSUS_INTERNAL_H

#include "../bridge/id.h"
#include "../bridge/keyed_table.h"
#include "census.h"
#include "topic.h"

#define CENSUS_SECRET_SIZE 32
/* All members of a $share group that have the same filter. */
struct group {
	size_t members;
	UT_hash_handle hh;
	char filter[];
};

struct filter {
	struct client *client;
	struct group *group; /* NULL: it is not shared */
	struct id overlay;
	uint8_t qos;
	uint8_t qos_before; /* before the last hint; valid if that came since the last tick */
	unsigned hinted;    /* the round in which the last hint came; 0: none did */
	bool lasting;
	bool told;     /* it was told that the filter is subscribed */
	bool news;     /* that is to be told, if the filter is there */
	bool ending;   /* its client has asked to unsubscribe */
	bool wanted;   /* to be asked for */
	bool asked;    /* asked for, by this question */
	bool granted;  /* taken for granted: its group is too large */
	bool there;    /* by the answers, or as it was not asked for */
	const struct question *question;
	unsigned named, decoys; /* how often the topic and the decoy were answered */
	UT_hash_handle hh;
	char text[];
};

struct client {
	struct filter *filters;
	const void *who;  /* its connection, or its last one; NULL: not known */
	const void *seen; /* the connection that answers named; NULL: none was */
	const void *left; /* the connection that ended with the subscriptions; NULL: none */
	char *user, *address;
	bool seen_anew;
	bool lasting;	/* its session may outlive the connection that was heard of last */
	bool offline;
	bool doubt;	/* whether its subscriptions are there, and whose they are, is asked for */
	bool back;	/* in doubt, but it has been heard of since: it is connected */
	bool restored;	/* from before the start, and nothing was heard of it since */
	bool check;	/* one of its filters is asked for to see whether its session is there */
	bool publisher; /* followed without filters */
	bool looked;	/* on the list of clients that tick looks at */
	bool astray;	/* a publisher that is offline: on the list of such */
	struct client *prev, *next;	      /* in census->looked */
	struct client *astray_prev, *astray_next; /* in census->astray */
	UT_hash_handle hh;
	char id[];
};

struct question {
	unsigned number;
	unsigned repeats;
	UT_hash_handle hh;
	char topic[]; /* behind its zero: the topic of the decoy */
};

struct census {
	struct census_actions actions;
	struct keyed keyed;
	struct client *clients;
	struct group *groups;
	struct client *looked;
	struct question *questions; /* of this round */
	size_t messages;	    /* by which the questions are asked */
	size_t publishers;	    /* clients without filters */
	struct client *astray;	    /* publishers that are offline, longest first */
	size_t offline;
	size_t restored;
	unsigned round;
	bool trusted;
	uint64_t check_next;
	char secret[2 * CENSUS_SECRET_SIZE + 1]; /* a level of a topic that nobody knows */
};

/* ---- census_table.c ---- */

/* Puts a client on the list of those that TICK looks at. */
void census_look_at(struct census *census, struct client *client);
/* Sets whether a publisher is offline and may never come back. */
void census_set_astray(struct census *census, struct client *client, bool astray);
void census_set_offline(struct census *census, struct client *client, bool offline);
void census_set_restored(struct census *census, struct client *client, bool restored);

/* Finds a client, or a filter of a client; returns NULL if there is none. */
struct client *census_find_client(const struct census *census, const char *id);
struct filter *census_find_filter(
	const struct census *census, struct client *client, const char *text);
/* Finds or adds a client; returns NULL without memory. */
struct client *census_find_or_add_client(struct census *census, const char *id);
/* Finds or adds a filter of a client. Returns 0, ERROR_NOMEM or ERROR_LIMIT. */
int census_find_or_add_filter(
	struct census *census, struct client *client, const char *text, struct filter **out);
void census_free_filter(struct census *census, struct filter *filter);
/* Frees a client with its filters. */
void census_free_client(struct census *census, struct client *client);
/* Frees a client if it has no filters and is not followed for another reason. */
void census_free_unused_client(struct census *census, struct client *client);
/* Puts a copy of from in the place of *to, and frees what was there. from: NULL for nothing.
 * Without memory *to is NULL. */
void census_copy(char **to, const char *from);

/* Returns the filter behind $share/<group>/. */
const char *census_without_group(const char *filter);
/* Tells whether the other filter takes all that the one takes. */
bool census_is_covered(const struct filter *one, const struct filter *other);

/* ---- census_asking.c ---- */

/* Tells whether any of the client's filters is to be asked for. */
bool census_is_wanted(const struct client *client);
/* Tells whether a filter that was asked for is there, by the answers, until the questions are
 * cleared. */
bool census_is_there(const struct census *census, const struct filter *filter);
void census_clear_questions(struct census *census);
/* Chooses which filters are to be asked for to see whether sessions of clients that are offline
 * have expired: which raises no event. */
void census_check_sessions(struct census *census, uint64_t now_ns);
/* Asks for those of the client's filters that are wanted; those for which this round has no room
 * any more stay wanted. */
void census_ask_for_client(struct census *census, struct client *client);
/* Publishes the questions of this round. */
void census_ask(struct census *census);

#endif
