/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>
#include <utlist.h>

#include "census_internal.h"
#include "../bridge/error.h"

void census_look_at(struct census *census, struct client *client)
{
	if (client->looked)
		return;
	client->looked = true;
	DL_APPEND(census->looked, client);
}

void census_set_astray(struct census *census, struct client *client, bool astray)
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

struct client *census_find_client(const struct census *census, const char *id)
{
	struct client *client;

	KEYED_FIND(&census->keyed, census->clients, id, strlen(id), client);
	return client;
}

struct client *census_find_or_add_client(struct census *census, const char *id)
{
	struct client *client = census_find_client(census, id);
	size_t size = strlen(id);

	if (client)
		return client;
	client = memory_zalloc(sizeof *client + size + 1);
	if (!client)
		return NULL;
	memcpy(client->id, id, size + 1);
	KEYED_ADD(&census->keyed, census->clients, client->id, size, client);
	census->publishers += client != NULL;
	return client;
}

void census_set_offline(struct census *census, struct client *client, bool offline)
{
	if (client->offline == offline)
		return;
	client->offline = offline;
	census->offline += offline ? 1 : (size_t)-1;
}

void census_set_restored(struct census *census, struct client *client, bool restored)
{
	if (client->restored == restored)
		return;
	client->restored = restored;
	census->restored += restored ? 1 : (size_t)-1;
}

struct filter *census_find_filter(
	const struct census *census, struct client *client, const char *text)
{
	struct filter *filter;

	KEYED_FIND(&census->keyed, client->filters, text, strlen(text), filter);
	return filter;
}

static struct group *find_or_add_group(struct census *census, const char *text)
{
	struct group *group;
	size_t size = strlen(text);

	KEYED_FIND(&census->keyed, census->groups, text, size, group);
	if (group)
		return group;
	group = memory_zalloc(sizeof *group + size + 1);
	if (!group)
		return NULL;
	memcpy(group->filter, text, size + 1);
	KEYED_ADD(&census->keyed, census->groups, group->filter, size, group);
	return group;
}

static void leave_group(struct census *census, struct group *group)
{
	if (!group || --group->members > 0)
		return;
	HASH_DELETE(hh, census->groups, group);
	memory_free(group);
}

static struct filter *new_filter(struct census *census, struct client *client, const char *text)
{
	size_t size = strlen(text);
	struct filter *filter = memory_zalloc(sizeof *filter + size + 1);
	struct topic topic;

	if (!filter)
		return NULL;
	memcpy(filter->text, text, size + 1);
	filter->client = client;
	(void)topic_parse(text, &topic);
	filter->overlay = topic.overlay;
	if (!topic_is_shared(text))
		return filter;
	filter->group = find_or_add_group(census, text);
	if (!filter->group) {
		memory_free(filter);
		return NULL;
	}
	filter->group->members++;
	return filter;
}

int census_find_or_add_filter(
	struct census *census, struct client *client, const char *text, struct filter **out)
{
	struct filter *filter = census_find_filter(census, client, text);
	struct group *group;

	*out = filter;
	if (filter)
		return ERROR_NONE;
	if (HASH_COUNT(client->filters) >= CENSUS_FILTERS)
		return ERROR_LIMIT;
	filter = new_filter(census, client, text);
	if (!filter)
		return ERROR_NOMEM;
	group = filter->group;
	census->publishers -= !client->filters;
	KEYED_ADD(&census->keyed, client->filters, filter->text, strlen(filter->text), filter);
	*out = filter;
	if (filter)
		return ERROR_NONE;
	census->publishers += !client->filters;
	leave_group(census, group);
	return ERROR_NOMEM;
}

void census_free_filter(struct census *census, struct filter *filter)
{
	struct client *client = filter->client;

	HASH_DELETE(hh, client->filters, filter);
	census->publishers += !client->filters;
	leave_group(census, filter->group);
	memory_free(filter);
}

void census_free_client(struct census *census, struct client *client)
{
	struct filter *filter, *next;

	HASH_ITER (hh, client->filters, filter, next)
		census_free_filter(census, filter);
	census->publishers--;
	census_set_astray(census, client, false);
	census_set_offline(census, client, false);
	census_set_restored(census, client, false);
	if (client->looked)
		DL_DELETE(census->looked, client);
	HASH_DELETE(hh, census->clients, client);
	memory_free(client->user);
	memory_free(client->address);
	memory_free(client);
}

void census_free_unused_client(struct census *census, struct client *client)
{
	if (!client->filters && !client->publisher)
		census_free_client(census, client);
}

void census_copy(char **to, const char *from)
{
	size_t size = from ? strlen(from) + 1 : 0;

	if (*to && from && strcmp(*to, from) == 0)
		return;
	memory_free(*to);
	*to = from ? memory_alloc(size) : NULL;
	if (*to)
		memcpy(*to, from, size);
}

/* ---- filters that take what others take ---- */

const char *census_without_group(const char *filter)
{
	const char *slash = topic_is_shared(filter) ? strchr(filter + 7, '/') : NULL;

	return slash ? slash + 1 : filter;
}

/* Tells whether the filter takes the topic; or, if the topic is a filter, all that this filter
 * takes. */
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

bool census_is_covered(const struct filter *one, const struct filter *other)
{
	return id_equal(&one->overlay, &other->overlay) &&
	       covers(census_without_group(other->text), census_without_group(one->text));
}
