/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "census.h"

#include <string.h>
#include <utlist.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/error.h"
#include "../bridge/id.h"
#include "../bridge/keyed.h"
#include "topic.h"

#define SECRET_SIZE 32
/* How often a topic is asked for. A subscription that is there is named each time; one of a $share
 * group with a wildcard may be named once more for the topic than for the decoy, as its turn comes.
 * So what is named ENOUGH times more often is there. */
#define REPEATS 3
#define ENOUGH	2

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
	uint8_t qos_before; /* the last hint; valid if it came since the last tick */
	unsigned hinted;    /* the round in which the last hint came; 0: none did */
	bool lasting;
	bool told;     /* somebody was told that it is subscribed */
	bool news;     /* somebody is to be told, if it is there */
	bool ending;   /* its client has asked to unsubscribe */
	bool wanted;   /* to be asked for */
	bool asked;    /* by this question */
	bool granted;  /* asked for to no purpose: its group is too large */
	bool there;    /* or not asked for */
	const struct question *question;
	unsigned named, decoys; /* how often it was answered */
	UT_hash_handle hh;
	char text[];
};

struct client {
	struct filter *filters;
	const void *who;  /* its connection, or its last one; NULL: not known */
	const void *seen; /* the connection that answers named; NULL: none was */
	const void *left; /* the one that ended with the subscriptions; NULL: none */
	char *user, *address;
	bool seen_anew;
	bool lasting;	/* its session may outlive the connection that was heard of last */
	bool offline;
	bool doubt;	/* whether its subscriptions are there, and whose they are, is asked for */
	bool back;	/* in doubt, but it has been heard of since: it is connected */
	bool restored;	/* from before the start, and nothing was heard of it since */
	bool check;	/* one of its filters is asked for to see whether its session is there */
	bool publisher; /* followed without filters */
	bool looked;	/* on the list of those that tick looks at */
	bool astray;	/* on the list of those */
	struct client *prev, *next;	      /* in census->looked */
	struct client *astray_prev, *astray_next; /* in census->astray */
	UT_hash_handle hh;
	char id[];
};

struct question {
	unsigned number;
	unsigned repeats;
	UT_hash_handle hh;
	char topic[]; /* behind its zero: the decoy's */
};

struct census {
	struct census_actions actions;
	struct keyed keyed;
	struct client *clients;
	struct group *groups;
	struct client *looked;
	struct question *questions; /* of this round */
	size_t publishers;	    /* clients without filters */
	struct client *astray;	    /* those of them that are offline, longest first */
	size_t offline;
	size_t restored;
	unsigned round;
	bool trusted;
	uint64_t check_next;
	char secret[2 * SECRET_SIZE + 1]; /* a level of a topic that nobody knows */
};

int census_new(const struct census_actions *actions, const struct random *random,
	struct census **out)
{
	struct census *census = memory_zalloc(sizeof *census);
	uint8_t secret[SECRET_SIZE];

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

static void look_at(struct census *census, struct client *client)
{
	if (client->looked)
		return;
	client->looked = true;
	DL_APPEND(census->looked, client);
}

/* Publishers that are offline, and may never come back. */
static void set_astray(struct census *census, struct client *client, bool astray)
{
	if (client->astray == astray)
		return;
	client->astray = astray;
	if (astray)
		DL_APPEND2(census->astray, client, astray_prev, astray_next);
	else
		DL_DELETE2(census->astray, client, astray_prev, astray_next);
}

/* ---- clients, filters, groups ---- */

static struct client *find_client(const struct census *census, const char *id)
{
	struct client *client;
	size_t size = strlen(id);

	HASH_FIND_BYHASHVALUE(
		hh, census->clients, id, size, keyed_hash(&census->keyed, id, size), client);
	return client;
}

static struct client *find_or_add_client(struct census *census, const char *id)
{
	struct client *client = find_client(census, id);
	size_t size = strlen(id);

	if (client)
		return client;
	client = memory_zalloc(sizeof *client + size + 1);
	if (!client)
		return NULL;
	memcpy(client->id, id, size + 1);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, census->clients, client->id, size,
		keyed_hash(&census->keyed, id, size), client);
	if (!client->hh.tbl) {
		memory_free(client);
		return NULL;
	}
	census->publishers++;
	return client;
}

static void set_offline(struct census *census, struct client *client, bool offline)
{
	if (client->offline == offline)
		return;
	client->offline = offline;
	census->offline += offline ? 1 : (size_t)-1;
}

static void set_restored(struct census *census, struct client *client, bool restored)
{
	if (client->restored == restored)
		return;
	client->restored = restored;
	census->restored += restored ? 1 : (size_t)-1;
}

static struct filter *find_filter(
	const struct census *census, struct client *client, const char *text)
{
	struct filter *filter;
	size_t size = strlen(text);

	HASH_FIND_BYHASHVALUE(
		hh, client->filters, text, size, keyed_hash(&census->keyed, text, size), filter);
	return filter;
}

static struct group *find_or_add_group(struct census *census, const char *text)
{
	struct group *group;
	size_t size = strlen(text);
	unsigned hash = keyed_hash(&census->keyed, text, size);

	HASH_FIND_BYHASHVALUE(hh, census->groups, text, size, hash, group);
	if (group)
		return group;
	group = memory_zalloc(sizeof *group + size + 1);
	if (!group)
		return NULL;
	memcpy(group->filter, text, size + 1);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, census->groups, group->filter, size, hash, group);
	if (!group->hh.tbl) {
		memory_free(group);
		return NULL;
	}
	return group;
}

static void leave_group(struct census *census, struct group *group)
{
	if (!group || --group->members > 0)
		return;
	HASH_DELETE(hh, census->groups, group);
	memory_free(group);
}

static bool is_shared(const char *filter)
{
	return strncmp(filter, "$share/", 7) == 0;
}

/* ERROR_NOMEM, ERROR_LIMIT. */
static int find_or_add_filter(
	struct census *census, struct client *client, const char *text, struct filter **out)
{
	struct filter *filter = find_filter(census, client, text);
	struct topic topic;
	size_t size = strlen(text);

	*out = filter;
	if (filter)
		return ERROR_NONE;
	if (HASH_COUNT(client->filters) >= CENSUS_FILTERS)
		return ERROR_LIMIT;
	filter = memory_zalloc(sizeof *filter + size + 1);
	if (!filter)
		return ERROR_NOMEM;
	memcpy(filter->text, text, size + 1);
	filter->client = client;
	(void)topic_parse(text, &topic);
	filter->overlay = topic.overlay;
	if (is_shared(text)) {
		filter->group = find_or_add_group(census, text);
		if (!filter->group) {
			memory_free(filter);
			return ERROR_NOMEM;
		}
		filter->group->members++;
	}
	census->publishers -= !client->filters;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, client->filters, filter->text, size,
		keyed_hash(&census->keyed, text, size), filter);
	if (!filter->hh.tbl) {
		census->publishers += !client->filters;
		leave_group(census, filter->group);
		memory_free(filter);
		return ERROR_NOMEM;
	}
	*out = filter;
	return ERROR_NONE;
}

static void free_filter(struct census *census, struct filter *filter)
{
	struct client *client = filter->client;

	HASH_DELETE(hh, client->filters, filter);
	census->publishers += !client->filters;
	leave_group(census, filter->group);
	memory_free(filter);
}

static void free_client(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		free_filter(census, filter);
	census->publishers--;
	set_astray(census, client, false);
	set_offline(census, client, false);
	set_restored(census, client, false);
	if (client->looked)
		DL_DELETE(census->looked, client);
	HASH_DELETE(hh, census->clients, client);
	memory_free(client->user);
	memory_free(client->address);
	memory_free(client);
}

static void free_unused_client(struct census *census, struct client *client)
{
	if (!client->filters && !client->publisher)
		free_client(census, client);
}

static void clear_questions(struct census *census)
{
	struct question *question, *next;

	HASH_ITER (hh, census->questions, question, next) {
		HASH_DELETE(hh, census->questions, question);
		memory_free(question);
	}
}

void census_free(struct census *census)
{
	struct client *client, *next;

	if (!census)
		return;
	HASH_ITER (hh, census->clients, client, next)
		free_client(census, client);
	clear_questions(census);
	memory_free(census);
}

/* ---- filters that take what others take ---- */

static const char *without_group(const char *filter)
{
	const char *slash = is_shared(filter) ? strchr(filter + 7, '/') : NULL;

	return slash ? slash + 1 : filter;
}

/* Whether the filter takes the topic, or all that the other filter does. */
static bool covers(const char *filter, const char *topic)
{
	for (;;) {
		size_t size = strcspn(filter, "/"), topic_size = strcspn(topic, "/");

		if (*filter == '#')
			return true;
		if (*filter != '+' &&
			(size != topic_size || memcmp(filter, topic, size) != 0))
			return false;
		filter += size;
		topic += topic_size;
		if (!*topic)
			return !*filter || strcmp(filter, "/#") == 0;
		if (!*filter)
			return false;
		filter++;
		topic++;
	}
}

/* Whether the one takes what the other one takes. */
static bool is_covered(const struct filter *one, const struct filter *other)
{
	return id_equal(&one->overlay, &other->overlay) &&
	       covers(without_group(other->text), without_group(one->text));
}

/* That they are there may have been concluded from answers that were meant for this one. */
static void doubt_doubles(struct census *census, const struct filter *filter)
{
	struct filter *other, *next;

	HASH_ITER (hh, filter->client->filters, other, next)
		other->wanted = other->wanted ||
				(other != filter && (is_covered(filter, other) ||
							    is_covered(other, filter)));
	look_at(census, filter->client);
}

/* ---- telling ---- */

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
	free_filter(census, filter);
}

static void tell_connected(struct census *census, struct client *client, bool anew)
{
	set_offline(census, client, false);
	census->actions.connected(census->actions.context, client->id, anew);
}

static void tell_offline(struct census *census, struct client *client)
{
	set_offline(census, client, true);
	census->actions.offline(census->actions.context, client->id);
}

static void end_client(struct census *census, struct client *client)
{
	census->actions.gone(census->actions.context, client->id);
	free_client(census, client);
}

/* ---- hints ---- */

static void copy(char **to, const char *from)
{
	size_t size = from ? strlen(from) + 1 : 0;

	if (*to && from && strcmp(*to, from) == 0)
		return;
	memory_free(*to);
	*to = from ? memory_alloc(size) : NULL;
	if (*to)
		memcpy(*to, from, size);
}

/* Whether its subscriptions are there, and whose they are, is to be asked for. */
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
	look_at(census, client);
}

/* This connection is the client's, now. */
static void hear_of(struct census *census, struct client *client, const struct census_who *who)
{
	bool is_same = client->who == who->handle;

	if (is_same && (client->back || !(client->doubt || client->offline)))
		return;
	/* That a session goes on in another connection is told before this one is heard of. So it
	 * has expired meanwhile, and this is another session. */
	if (client->who && !client->doubt && client->filters)
		doubt(census, client, NULL);
	client->who = who->handle;
	client->lasting = who->lasting;
	copy(&client->user, who->user);
	copy(&client->address, who->address);
	set_restored(census, client, false);
	set_astray(census, client, false);
	client->back = client->doubt;
	tell_connected(census, client, who->anew);
}

/* What was answered before this is not so any more. */
static void forget_answers(struct filter *filter)
{
	filter->asked = false;
	filter->ending = false;
	filter->wanted = false;
}

int census_restored(struct census *census, const char *id, const char *text, uint8_t qos)
{
	struct client *client = find_or_add_client(census, id);
	struct filter *filter;
	int error;

	if (!client)
		return ERROR_NOMEM;
	error = find_or_add_filter(census, client, text, &filter);
	if (error) {
		free_unused_client(census, client);
		return error;
	}
	filter->qos = qos;
	filter->lasting = true;
	filter->told = true;
	filter->wanted = true;
	client->doubt = true;
	set_offline(census, client, true);
	set_restored(census, client, true);
	look_at(census, client);
	return ERROR_NONE;
}

bool census_is_restoring(const struct census *census)
{
	return census->restored > 0;
}

/* Before a plugin ends a client's connection, the broker asks again for the right to each of its
 * subscriptions, as if it was subscribed at QoS 0; also of a client that is offline. */
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
	struct client *client = find_or_add_client(census, who->id);
	struct filter *filter;
	int error;

	if (!client)
		return ERROR_NOMEM;
	error = find_or_add_filter(census, client, text, &filter);
	if (error) {
		free_unused_client(census, client);
		return error;
	}
	if (is_rights_check(census, who, filter, qos)) {
		filter->wanted = true;
		look_at(census, client);
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
	look_at(census, client);
	return ERROR_NONE;
}

/* Whether another filter of its client takes the same topics, so that answers tell little of it. */
static bool has_a_double(const struct filter *filter)
{
	const struct filter *other, *next;

	HASH_ITER (hh, filter->client->filters, other, next)
		if (other != filter && !other->ending && is_covered(filter, other))
			return true;
	return false;
}

/* What was answered may have been meant for one that is not there any more. */
static void ask_again(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next) {
		if (!filter->asked)
			continue;
		filter->asked = false;
		filter->wanted = true;
		look_at(census, client);
	}
}

void census_unsubscribes(struct census *census, const struct census_who *who, const char *text)
{
	struct client *client = find_client(census, who->id);
	struct filter *filter = client ? find_filter(census, client, text) : NULL;

	if (!filter) { /* it may be one that is not followed */
		census->actions.unsubscribed(census->actions.context, who->id, text);
		return;
	}
	hear_of(census, client, who);
	ask_again(census, client);
	if (census->trusted || has_a_double(filter)) {
		end_filter(census, filter);
		free_unused_client(census, client);
		return;
	}
	forget_answers(filter);
	filter->ending = true;
	filter->wanted = true;
	look_at(census, client);
}

/* For one more publisher: who has been offline for longest is forgotten. Those that are connected
 * are as many as the broker lets there be. */
static void make_room(struct census *census)
{
	if (census->publishers >= CENSUS_PUBLISHERS && census->astray)
		end_client(census, census->astray);
}

void census_publishes(struct census *census, const struct census_who *who, bool followed)
{
	struct client *client = find_client(census, who->id);

	if (!client && followed) {
		make_room(census);
		client = find_or_add_client(census, who->id);
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

/* The same of a client that was not offline. */
static void undo_hints(struct census *census, struct filter *filter)
{
	if (filter->hinted == census->round && filter->told && filter->qos < filter->qos_before)
		filter->qos = filter->qos_before;
}

/* A connection that was taken over looks like one that does not last. */
static void disconnect_publisher(struct census *census, struct client *client)
{
	if (!client->lasting) {
		end_client(census, client);
		return;
	}
	set_astray(census, client, true);
	tell_offline(census, client);
}

void census_disconnected(
	struct census *census, const struct census_who *who, bool has_subscriptions)
{
	struct client *client = find_client(census, who->id);
	struct filter *filter, *next;
	bool is_its = client && (who->handle == client->who || who->handle == client->seen ||
					has_subscriptions || (!client->who && !client->seen));

	if (!is_its) {
		/* Anybody may claim a client id and be refused. But that something new is taken for
		 * something old would be worse than that something old comes twice. */
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
	set_restored(census, client, false);
	doubt(census, client, has_subscriptions ? who->handle : NULL);
}

/* ---- answers ---- */

void census_answered(
	struct census *census, unsigned number, bool decoy, const struct census_who *who)
{
	struct client *client = find_client(census, who->id);
	struct filter *filter, *next;

	if (!client)
		return;
	HASH_ITER (hh, client->filters, filter, next) {
		if (!filter->asked || filter->question->number != number)
			continue;
		client->seen = who->handle;
		client->seen_anew = who->anew;
		if (decoy)
			filter->decoys++;
		else
			filter->named++;
		if (!client->user)
			copy(&client->user, who->user);
		if (!client->address)
			copy(&client->address, who->address);
	}
}

/* That was there for certain when the questions were answered. */
static bool was_sure(const struct census *census, const struct filter *filter)
{
	return filter->told && !filter->wanted && !filter->asked && !filter->ending &&
	       filter->hinted != census->round;
}

/* So many times more than the decoy it is named if it is there. Others of its client that take the
 * topic and are certainly there are named as well: one that is not shared each time, a shared one
 * at least twice, but perhaps each time. */
static unsigned least(const struct census *census, const struct filter *filter)
{
	const struct filter *other, *next;
	unsigned repeats = filter->question->repeats, shared = 0, each_time = 0;

	HASH_ITER (hh, filter->client->filters, other, next) {
		if (other == filter || !was_sure(census, other) || !is_covered(filter, other))
			continue;
		if (other->group)
			shared++;
		else
			each_time++;
	}
	if (filter->group || shared == 0)
		return each_time * repeats + ENOUGH;
	return (each_time + 1) * repeats + ENOUGH * shared;
}

static bool is_there(const struct census *census, const struct filter *filter)
{
	return filter->granted || filter->named >= filter->decoys + least(census, filter);
}

/* All by the same answers, before any of them changes. */
static void judge_by_answers(const struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		filter->there = !filter->asked || is_there(census, filter);
}

/* One of its filters was asked for to see whether the session is there: if it is not, all are. */
static void judge_check(struct census *census, struct client *client)
{
	struct filter *filter, *next;
	bool there = true;

	client->check = false;
	HASH_ITER (hh, client->filters, filter, next)
		there = there && filter->there;
	if (there) {
		HASH_ITER (hh, client->filters, filter, next)
			filter->asked = false;
		return;
	}
	doubt(census, client, client->who);
}

/* Returns whether any filter is left, or may be. */
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

static bool is_wanted(const struct client *client)
{
	const struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		if (filter->wanted)
			return true;
	return false;
}

/* Whose the subscriptions are that are there. */
static void settle(struct census *census, struct client *client)
{
	bool is_offline = client->restored || (client->left && client->seen == client->left) ||
			  (!client->seen && client->left);

	client->doubt = false;
	set_restored(census, client, false);
	if (client->seen)
		client->who = client->seen;
	client->left = NULL;
	if (client->back)
		client->back = false; /* that was told */
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
	if (client->doubt && !is_wanted(client))
		settle(census, client);
	free_unused_client(census, client);
}

/* ---- questions ---- */

/* The topic that is asked for, with the secret in place of each wildcard; decoy: also in place of
 * the overlay. */
static size_t write_topic(
	const struct census *census, const char *filter, bool decoy, char *out, size_t out_size)
{
	const char *level = without_group(filter);
	size_t place = strncmp(level, TOPIC_PREFIX TOPIC_NAMES,
			       sizeof TOPIC_PREFIX TOPIC_NAMES - 1) == 0
			       ? 2
			       : 1;
	size_t used = 0;

	for (size_t i = 0;; i++) {
		size_t size = strcspn(level, "/");
		bool wild = size == 1 && (*level == '+' || *level == '#');
		bool secret = wild || (decoy && i == place);
		const char *from = secret ? census->secret : level;
		size_t count = secret ? sizeof census->secret - 1 : size;

		if (used + count + 2 > out_size)
			return 0;
		memcpy(out + used, from, count);
		used += count;
		level += size;
		if (!*level)
			break;
		level++;
		out[used++] = '/';
	}
	out[used] = 0;
	return used;
}

/* NULL: no memory, or there are enough of them in this round. */
static struct question *find_or_add_question(struct census *census, const char *filter)
{
	char topic[TOPIC_SIZE + 3 * sizeof census->secret], decoy[sizeof topic];
	size_t size = write_topic(census, filter, false, topic, sizeof topic);
	size_t decoy_size = write_topic(census, filter, true, decoy, sizeof decoy);
	unsigned hash = keyed_hash(&census->keyed, topic, size);
	struct question *question;

	HASH_FIND_BYHASHVALUE(hh, census->questions, topic, size, hash, question);
	if (question || HASH_COUNT(census->questions) >= CENSUS_QUESTIONS)
		return question;
	question = memory_zalloc(sizeof *question + size + 1 + decoy_size + 1);
	if (!question)
		return NULL;
	memcpy(question->topic, topic, size + 1);
	memcpy(question->topic + size + 1, decoy, decoy_size + 1);
	question->number = HASH_COUNT(census->questions);
	question->repeats = REPEATS;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, census->questions, question->topic, size, hash, question);
	if (!question->hh.tbl) {
		memory_free(question);
		return NULL;
	}
	return question;
}

/* Each member's turn is to come twice, and there may be one that is not known. */
static unsigned repeats_for(const struct filter *filter)
{
	size_t members = filter->group ? filter->group->members : 0;

	return members > 0 && members <= CENSUS_GROUP ? 2 * (unsigned)members + 3 : REPEATS;
}

/* False: not in this round. */
static bool ask_for(struct census *census, struct filter *filter)
{
	struct question *question = find_or_add_question(census, filter->text);
	const struct filter *other, *next;

	if (!question)
		return false;
	HASH_ITER (hh, filter->client->filters, other, next)
		if (other->group && repeats_for(other) > question->repeats &&
			is_covered(filter, other))
			question->repeats = repeats_for(other);
	filter->granted = filter->group && filter->group->members > CENSUS_GROUP;
	filter->question = question;
	filter->named = filter->decoys = 0;
	filter->asked = true;
	filter->wanted = false;
	return true;
}

static void ask_for_client(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		if (filter->wanted && !ask_for(census, filter))
			return;
}

static void ask(struct census *census)
{
	const struct question *question, *next;

	HASH_ITER (hh, census->questions, question, next) {
		const char *decoy = question->topic + strlen(question->topic) + 1;

		for (unsigned i = 0; i < question->repeats; i++)
			census->actions.ask(
				census->actions.context, question->topic, question->number, false);
		for (unsigned i = 0; i < question->repeats; i++)
			census->actions.ask(
				census->actions.context, decoy, question->number, true);
	}
}

/* That a session has expired raises no event. */
static void check_sessions(struct census *census, uint64_t now_ns)
{
	struct client *client, *next;
	struct filter *filter, *next_filter, *best;
	uint64_t pause;

	if (census->offline == 0 || now_ns < census->check_next)
		return;
	pause = CENSUS_CHECK_NS + census->offline * CENSUS_CHECK_PER_CLIENT_NS;
	census->check_next =
		now_ns + (pause < CENSUS_CHECK_MOST_NS ? pause : CENSUS_CHECK_MOST_NS);
	HASH_ITER (hh, census->clients, client, next) {
		if (!client->offline || client->doubt || !client->filters || is_wanted(client))
			continue;
		best = client->filters;
		HASH_ITER (hh, client->filters, filter, next_filter)
			if (!filter->group) {
				best = filter;
				break;
			}
		best->wanted = true;
		client->check = true;
		look_at(census, client);
	}
}

bool census_tick(struct census *census, uint64_t now_ns)
{
	struct client *client, *next, *looked;

	looked = census->looked;
	DL_FOREACH_SAFE (looked, client, next)
		judge(census, client);
	clear_questions(census);
	census->round++;
	check_sessions(census, now_ns);
	DL_FOREACH_SAFE (census->looked, client, next) {
		if (is_wanted(client)) {
			ask_for_client(census, client);
			continue;
		}
		DL_DELETE(census->looked, client);
		client->looked = false;
	}
	ask(census);
	return census->questions != NULL;
}

/* ---- what is known ---- */

bool census_has(const struct census *census, const char *id)
{
	const struct client *client = find_client(census, id);

	return client && client->filters;
}

const char *census_user(const struct census *census, const char *id)
{
	const struct client *client = find_client(census, id);

	return client ? client->user : NULL;
}

const char *census_address(const struct census *census, const char *id)
{
	const struct client *client = find_client(census, id);

	return client ? client->address : NULL;
}
