/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "census.h"

#include <utlist.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/error.h"
#include "census_internal.h"

int census_new(const struct census_actions *actions, const struct random *random,
	struct census **out)
{
	struct census *census = memory_zalloc(sizeof *census);
	uint8_t secret[CENSUS_SECRET_SIZE];

	if (!census)
		return ERROR_NOMEM;
	census->actions = *actions;
	census->round = 1;
	keyed_init(&census->keyed, random);
	random->fill(random->context, secret, sizeof secret);
	hex_encode(secret, sizeof secret, census->secret);
	*out = census;
	return ERROR_NONE;
}

void census_trust(struct census *census, bool trusted)
{
	census->trusted = trusted;
}

void census_free(struct census *census)
{
	struct client *client, *next;

	if (!census)
		return;
	HASH_ITER (hh, census->clients, client, next)
		census_free_client(census, client);
	census_clear_questions(census);
	memory_free(census);
}

/* ---- telling ---- */

/* Asks again for those of the client's other filters that take the same topics as this one: the
 * answers that showed that they are there may have been meant for this one. */
static void doubt_doubles(struct census *census, const struct filter *filter)
{
	struct filter *other, *next;

	HASH_ITER (hh, filter->client->filters, other, next)
		other->wanted = other->wanted ||
				(other != filter && (census_is_covered(filter, other) ||
							    census_is_covered(other, filter)));
	census_look_at(census, filter->client);
}

static void tell_subscribed(struct census *census, struct filter *filter)
{
	filter->told = true;
	filter->news = false;
	census->actions.subscribed(census->actions.context, filter->client->id, filter->text,
		filter->qos, filter->lasting);
}

static void end_filter(struct census *census, struct filter *filter)
{
	if (!census->trusted)
		doubt_doubles(census, filter);
	if (filter->told)
		census->actions.unsubscribed(
			census->actions.context, filter->client->id, filter->text);
	census_free_filter(census, filter);
}

static void tell_connected(struct census *census, struct client *client, bool anew)
{
	census_set_offline(census, client, false);
	census->actions.connected(census->actions.context, client->id, anew);
}

static void tell_offline(struct census *census, struct client *client)
{
	census_set_offline(census, client, true);
	census->actions.offline(census->actions.context, client->id);
}

static void end_client(struct census *census, struct client *client)
{
	census->actions.gone(census->actions.context, client->id);
	census_free_client(census, client);
}

/* ---- hints ---- */

/* Begins to doubt whether the client's subscriptions are there, and whose they are: both are to be
 * asked for. left: the connection that ended with the subscriptions; NULL: none. */
static void doubt(struct census *census, struct client *client, const void *left)
{
	struct filter *filter, *next;

	client->doubt = true;
	client->back = false;
	client->check = false;
	client->seen = NULL;
	client->left = left;
	HASH_ITER (hh, client->filters, filter, next) {
		filter->asked = false;
		filter->wanted = true;
	}
	census_look_at(census, client);
}

/* Notes that this connection is the client's now. */
static void hear_of(struct census *census, struct client *client, const struct census_who *who)
{
	bool is_same = client->who == who->handle;

	if (is_same && (client->back || !(client->doubt || client->offline)))
		return;
	/* When a session goes on in another connection, the end of the old connection is told
	 * before the new one is heard of. It was not: so the session has expired meanwhile, and
	 * this is another one. */
	if (client->who && !client->doubt && client->filters)
		doubt(census, client, NULL);
	client->who = who->handle;
	client->lasting = who->lasting;
	census_copy(&client->user, who->user);
	census_copy(&client->address, who->address);
	census_set_restored(census, client, false);
	census_set_astray(census, client, false);
	client->back = client->doubt;
	tell_connected(census, client, who->anew);
}

/* Forgets the answers about a filter: what they said is not so any more. */
static void forget_answers(struct filter *filter)
{
	filter->asked = false;
	filter->ending = false;
	filter->wanted = false;
}

int census_restored(struct census *census, const char *id, const char *text, uint8_t qos)
{
	struct client *client = census_find_or_add_client(census, id);
	struct filter *filter;
	int error;

	if (!client)
		return ERROR_NOMEM;
	error = census_find_or_add_filter(census, client, text, &filter);
	if (error) {
		census_free_unused_client(census, client);
		return error;
	}
	filter->qos = qos;
	filter->lasting = true;
	filter->told = true;
	filter->wanted = true;
	client->doubt = true;
	census_set_offline(census, client, true);
	census_set_restored(census, client, true);
	census_look_at(census, client);
	return ERROR_NONE;
}

bool census_is_restoring(const struct census *census)
{
	return census->restored > 0;
}

/* Tells whether the broker only asks again for the right to a subscription. It does so for each
 * subscription of a client, as if it was subscribed at QoS 0, before a plugin ends the client's
 * connection; also if the client is offline. */
static bool is_rights_check(const struct census *census, const struct census_who *who,
	const struct filter *filter, uint8_t qos)
{
	const struct client *client = filter->client;

	return !census->trusted && qos == 0 && filter->told && client->offline &&
	       !client->doubt && client->who == who->handle;
}

int census_subscribes(
	struct census *census, const struct census_who *who, const char *text, uint8_t qos)
{
	struct client *client = census_find_or_add_client(census, who->id);
	struct filter *filter;
	int error;

	if (!client)
		return ERROR_NOMEM;
	error = census_find_or_add_filter(census, client, text, &filter);
	if (error) {
		census_free_unused_client(census, client);
		return error;
	}
	if (is_rights_check(census, who, filter, qos)) {
		filter->wanted = true;
		census_look_at(census, client);
		return ERROR_NONE;
	}
	hear_of(census, client, who);
	forget_answers(filter);
	filter->qos_before = filter->told ? filter->qos : qos;
	filter->hinted = census->round;
	filter->qos = qos;
	filter->lasting = who->lasting;
	if (census->trusted) {
		tell_subscribed(census, filter);
		return ERROR_NONE;
	}
	filter->news = true;
	filter->wanted = true;
	census_look_at(census, client);
	return ERROR_NONE;
}

/* Tells whether another filter of the client takes the same topics, so that answers tell little of
 * this one. */
static bool has_a_double(const struct filter *filter)
{
	const struct filter *other, *next;

	HASH_ITER (hh, filter->client->filters, other, next)
		if (other != filter && !other->ending && census_is_covered(filter, other))
			return true;
	return false;
}

/* Asks again for those of the client's filters that have been asked for: what was answered may have
 * been meant for a filter that is not there any more. */
static void ask_again(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next) {
		if (!filter->asked)
			continue;
		filter->asked = false;
		filter->wanted = true;
		census_look_at(census, client);
	}
}

void census_unsubscribes(struct census *census, const struct census_who *who, const char *text)
{
	struct client *client = census_find_client(census, who->id);
	struct filter *filter = client ? census_find_filter(census, client, text) : NULL;

	if (!filter) { /* it may be one that is not followed */
		census->actions.unsubscribed(census->actions.context, who->id, text);
		return;
	}
	hear_of(census, client, who);
	ask_again(census, client);
	if (census->trusted || has_a_double(filter)) {
		end_filter(census, filter);
		census_free_unused_client(census, client);
		return;
	}
	forget_answers(filter);
	filter->ending = true;
	filter->wanted = true;
	census_look_at(census, client);
}

/* Makes room for one more publisher: the one that has been offline for longest is forgotten. There
 * are as many connected ones as the broker lets there be. */
static void make_room(struct census *census)
{
	if (census->publishers >= CENSUS_PUBLISHERS && census->astray)
		end_client(census, census->astray);
}

void census_publishes(struct census *census, const struct census_who *who, bool followed)
{
	struct client *client = census_find_client(census, who->id);

	if (!client && followed) {
		make_room(census);
		client = census_find_or_add_client(census, who->id);
		if (client) {
			client->who = who->handle;
			client->lasting = who->lasting;
		}
	}
	if (!client)
		return;
	client->publisher = client->publisher || followed;
	hear_of(census, client, who);
}

/* Takes back a lower QoS that may have come from a check of rights (is_rights_check), for a client
 * that was not offline. */
static void undo_hints(struct census *census, struct filter *filter)
{
	if (filter->hinted == census->round && filter->told && filter->qos < filter->qos_before)
		filter->qos = filter->qos_before;
}

/* Ends a publisher without filters, or marks the client as offline if its session lasts. That is
 * known from before: a connection that was taken over looks like one whose session does not
 * last. */
static void disconnect_publisher(struct census *census, struct client *client)
{
	if (!client->lasting) {
		end_client(census, client);
		return;
	}
	census_set_astray(census, client, true);
	tell_offline(census, client);
}

void census_disconnected(
	struct census *census, const struct census_who *who, bool has_subscriptions)
{
	struct client *client = census_find_client(census, who->id);
	struct filter *filter, *next;
	bool is_its = client && (who->handle == client->who || who->handle == client->seen ||
					has_subscriptions || (!client->who && !client->seen));

	if (!is_its) {
		/* Anybody may claim a client id and be refused. But to take a new message for an
		 * old one would be worse than to carry an old one twice. */
		if (client && !client->filters && client->offline && who->anew)
			end_client(census, client);
		return;
	}
	if (has_subscriptions && !who->lasting) {
		end_client(census, client);
		return;
	}
	if (!client->filters) {
		disconnect_publisher(census, client);
		return;
	}
	HASH_ITER (hh, client->filters, filter, next)
		undo_hints(census, filter);
	census_set_restored(census, client, false);
	doubt(census, client, has_subscriptions ? who->handle : NULL);
}

/* ---- judging by answers ---- */

/* Judges all filters of a client by the same answers, before any of the filters changes. */
static void judge_by_answers(const struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		filter->there = !filter->asked || census_is_there(census, filter);
}

/* Judges the answers about the one filter that was asked for to see whether the client's session is
 * there: if it is not, all filters are to be asked for. */
static void judge_check(struct census *census, struct client *client)
{
	struct filter *filter, *next;
	bool there = true, asked = false;

	HASH_ITER (hh, client->filters, filter, next) {
		there = there && filter->there;
		asked = asked || filter->asked;
	}
	if (!asked) /* the last round had no room for it */
		return;
	client->check = false;
	if (there) {
		HASH_ITER (hh, client->filters, filter, next)
			filter->asked = false;
		return;
	}
	doubt(census, client, client->who);
}

/* Ends the filters that are not there, and tells of the new ones that are. Returns whether any
 * filter is left, or may be. */
static bool judge_filters(struct census *census, struct client *client)
{
	struct filter *filter, *next;
	bool any = false;

	HASH_ITER (hh, client->filters, filter, next)
		any = any || filter->there;
	if (!any && client->doubt && !client->back && !client->publisher)
		return false;
	HASH_ITER (hh, client->filters, filter, next) {
		if (!filter->asked)
			continue;
		filter->asked = false;
		if (!filter->there) {
			end_filter(census, filter);
			continue;
		}
		filter->ending = false;
		if (filter->news)
			tell_subscribed(census, filter);
	}
	return any;
}

/* Ends the doubt about a client: finds out whose the subscriptions are that are there. */
static void settle(struct census *census, struct client *client)
{
	bool is_offline = client->restored || (client->left && client->seen == client->left) ||
			  (!client->seen && client->left);

	client->doubt = false;
	census_set_restored(census, client, false);
	if (client->seen)
		client->who = client->seen;
	client->left = NULL;
	if (client->back)
		client->back = false; /* it was told that the client is connected */
	else if (is_offline)
		tell_offline(census, client);
	else
		tell_connected(census, client, client->seen_anew);
}

static void judge(struct census *census, struct client *client)
{
	judge_by_answers(census, client);
	if (client->check) {
		judge_check(census, client);
		return;
	}
	if (!judge_filters(census, client) && !client->back && client->doubt &&
		!client->publisher) {
		end_client(census, client);
		return;
	}
	if (client->doubt && !census_is_wanted(client))
		settle(census, client);
	census_free_unused_client(census, client);
}

bool census_tick(struct census *census, uint64_t now_ns)
{
	struct client *client, *next, *looked;

	looked = census->looked;
	DL_FOREACH_SAFE (looked, client, next)
		judge(census, client);
	census_clear_questions(census);
	census->round++;
	census_check_sessions(census, now_ns);
	DL_FOREACH_SAFE (census->looked, client, next) {
		if (census_is_wanted(client)) {
			census_ask_for_client(census, client);
			continue;
		}
		DL_DELETE(census->looked, client);
		client->looked = false;
	}
	census_ask(census);
	return census->questions != NULL;
}

/* ---- what is known ---- */

bool census_has(const struct census *census, const char *id)
{
	const struct client *client = census_find_client(census, id);

	return client && client->filters;
}

bool census_has_filter(const struct census *census, const char *id, const char *filter)
{
	struct client *client = census_find_client(census, id);

	return client && census_find_filter(census, client, filter);
}

bool census_is_full(const struct census *census, const char *id)
{
	const struct client *client = census_find_client(census, id);

	return client && HASH_COUNT(client->filters) >= CENSUS_FILTERS;
}

const char *census_user(const struct census *census, const char *id)
{
	const struct client *client = census_find_client(census, id);

	return client ? client->user : NULL;
}

const char *census_address(const struct census *census, const char *id)
{
	const struct client *client = census_find_client(census, id);

	return client ? client->address : NULL;
}
