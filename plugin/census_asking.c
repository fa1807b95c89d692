/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>

#include "census_internal.h"

/* How often a topic is asked for. A subscription that is there is named each time; a subscription
 * of a $share group with a wildcard may be named once more for the topic than for the decoy, as its
 * turn comes. So a subscription that is named ENOUGH times more often for the topic is there. */
#define REPEATS 3
#define ENOUGH	2

bool census_is_wanted(const struct client *client)
{
	const struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		if (filter->wanted)
			return true;
	return false;
}

void census_answered(
	struct census *census, unsigned number, bool decoy, const struct census_who *who)
{
	struct client *client = census_find_client(census, who->id);
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
			census_copy(&client->user, who->user);
		if (!client->address)
			census_copy(&client->address, who->address);
	}
}

/* Tells whether a filter was there for certain when the questions were answered. */
static bool was_sure(const struct census *census, const struct filter *filter)
{
	return filter->told && !filter->wanted && !filter->asked && !filter->ending &&
	       filter->hinted != census->round;
}

/* Returns how many times more than the decoy a filter is named if it is there. The client's other
 * filters that take the topic and are certainly there are named as well: one that is not shared
 * each time, a shared one at least twice, but perhaps each time. */
static unsigned least(const struct census *census, const struct filter *filter)
{
	const struct filter *other, *next;
	unsigned repeats = filter->question->repeats, shared = 0, each_time = 0;

	HASH_ITER (hh, filter->client->filters, other, next) {
		if (other == filter || !was_sure(census, other) || !census_is_covered(filter, other))
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

bool census_is_there(const struct census *census, const struct filter *filter)
{
	return filter->granted || filter->named >= filter->decoys + least(census, filter);
}

/* Writes the topic that is asked for, with the secret in place of each wildcard; decoy: also in
 * place of the overlay. Returns the length; 0 if there is no room. */
static size_t write_topic(
	const struct census *census, const char *filter, bool decoy, char *out, size_t out_size)
{
	const char *level = census_without_group(filter);
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

/* Finds or adds the question for a filter. Returns NULL without memory, or if there are enough
 * questions in this round. */
static struct question *find_or_add_question(struct census *census, const char *filter)
{
	char topic[TOPIC_SIZE + 3 * sizeof census->secret], decoy[sizeof topic];
	size_t size = write_topic(census, filter, false, topic, sizeof topic);
	size_t decoy_size = write_topic(census, filter, true, decoy, sizeof decoy);
	struct question *question;

	KEYED_FIND(&census->keyed, census->questions, topic, size, question);
	if (question || HASH_COUNT(census->questions) >= CENSUS_QUESTIONS)
		return question;
	question = memory_zalloc(sizeof *question + size + 1 + decoy_size + 1);
	if (!question)
		return NULL;
	memcpy(question->topic, topic, size + 1);
	memcpy(question->topic + size + 1, decoy, decoy_size + 1);
	question->number = HASH_COUNT(census->questions);
	KEYED_ADD(&census->keyed, census->questions, question->topic, size, question);
	return question;
}

/* Returns how often a filter is to be asked for. In a $share group each member's turn is to come
 * twice, and there may be a member that is not known. */
static unsigned repeats_for(const struct filter *filter)
{
	size_t members = filter->group ? filter->group->members : 0;

	return members > 0 && members <= CENSUS_GROUP ? 2 * (unsigned)members + 3 : REPEATS;
}

/* Returns how often a filter is to be asked for so that those of the client's shared filters that
 * take the same topics are heard of, too. */
static unsigned repeats_beside(const struct filter *filter)
{
	const struct filter *other, *next;
	unsigned repeats = REPEATS;

	HASH_ITER (hh, filter->client->filters, other, next)
		if (other->group && repeats_for(other) > repeats && census_is_covered(filter, other))
			repeats = repeats_for(other);
	return repeats;
}

/* Makes sure that a question is repeated so often at least. Returns false if there would be too
 * many messages in this round. */
static bool repeat(struct census *census, struct question *question, unsigned repeats)
{
	size_t more = repeats > question->repeats ? 2 * (repeats - question->repeats) : 0;

	if (more > 0 && census->messages > 0 && census->messages + more > CENSUS_MESSAGES)
		return false;
	census->messages += more;
	question->repeats += (unsigned)more / 2;
	return true;
}

/* Asks for a filter. Returns false if there is no room in this round. */
static bool ask_for(struct census *census, struct filter *filter)
{
	struct question *question = find_or_add_question(census, filter->text);

	if (!question || !repeat(census, question, repeats_beside(filter)))
		return false;
	filter->granted = filter->group && filter->group->members > CENSUS_GROUP;
	filter->question = question;
	filter->named = filter->decoys = 0;
	filter->asked = true;
	filter->wanted = false;
	return true;
}

void census_ask_for_client(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		if (filter->wanted && !ask_for(census, filter))
			return;
}

void census_ask(struct census *census)
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

void census_clear_questions(struct census *census)
{
	struct question *question, *next;

	census->messages = 0;
	HASH_ITER (hh, census->questions, question, next) {
		HASH_DELETE(hh, census->questions, question);
		memory_free(question);
	}
}

void census_check_sessions(struct census *census, uint64_t now_ns)
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
		if (!client->offline || client->doubt || !client->filters || census_is_wanted(client))
			continue;
		best = client->filters;
		HASH_ITER (hh, client->filters, filter, next_filter)
			if (!filter->group) {
				best = filter;
				break;
			}
		best->wanted = true;
		client->check = true;
		census_look_at(census, client);
	}
}
