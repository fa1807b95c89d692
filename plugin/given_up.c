/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "given_up.h"

#include <blake3.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/limits.h"
#include "topic.h"

#define MARK	  0xfe
#define MARK_ROW  'g'
#define NAME_SIZE 16
#define KEY_SIZE  (2 + NAME_SIZE)

struct name {
	uint8_t bytes[NAME_SIZE];
};

struct entry {
	struct name name;
	struct terms terms;
	char *client, *filter; /* of one from before the restart, in one block; else NULL */
	struct entry *prev, *next; /* in the order in which they were given up */
	UT_hash_handle hh;
};

struct given_up {
	given_up_record record;
	void *context;
	struct keyed keyed;
	struct entry *table, *list;
};

int given_up_new(given_up_record record, void *context, const struct random *random,
	struct given_up **out)
{
	struct given_up *given_up = memory_zalloc(sizeof *given_up);

	if (!given_up)
		return ERROR_NOMEM;
	given_up->record = record;
	given_up->context = context;
	keyed_init(&given_up->keyed, random);
	*out = given_up;
	return ERROR_NONE;
}

static void free_entry(struct given_up *given_up, struct entry *entry)
{
	DL_DELETE(given_up->list, entry);
	HASH_DELETE(hh, given_up->table, entry);
	memory_free(entry->client);
	memory_free(entry);
}

void given_up_free(struct given_up *given_up)
{
	struct entry *entry, *next;

	if (!given_up)
		return;
	DL_FOREACH_SAFE (given_up->list, entry, next)
		free_entry(given_up, entry);
	memory_free(given_up);
}

/* ---- rows ---- */

static struct name name_of(const char *client, const char *filter)
{
	blake3_hasher hasher;
	struct name name;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, client, strlen(client) + 1);
	blake3_hasher_update(&hasher, filter, strlen(filter));
	blake3_hasher_finalize(&hasher, name.bytes, NAME_SIZE);
	return name;
}

/* Writes a row, or deletes it if value_size is 0. A row whose deletion is lost is asked for once
 * more, at the next start. */
static int write_row(const struct given_up *given_up, const struct name *name, const void *value,
	size_t value_size)
{
	uint8_t key[KEY_SIZE] = {MARK, MARK_ROW};

	memcpy(key + 2, name->bytes, NAME_SIZE);
	return given_up->record(given_up->context, key, sizeof key, value, value_size);
}

static int keep(const struct given_up *given_up, const struct name *name, const char *client,
	const char *filter, struct terms terms)
{
	size_t client_size = strlen(client) + 1, filter_size = strlen(filter) + 1;
	uint8_t value[LIMIT_RECORD], *to = value + 1;

	if (KEY_SIZE + 1 + TERMS_SIZE + client_size + filter_size > LIMIT_RECORD)
		return ERROR_TOO_LARGE;
	value[0] = (uint8_t)terms_write(terms, to);
	to += value[0];
	memcpy(to, client, client_size);
	memcpy(to + client_size, filter, filter_size);
	return write_row(given_up, name, value, (size_t)(to - value) + client_size + filter_size);
}

/* ---- what is known ---- */

static struct entry *find(const struct given_up *given_up, const struct name *name)
{
	struct entry *entry;

	KEYED_FIND(&given_up->keyed, given_up->table, name, sizeof *name, entry);
	return entry;
}

static void drop(struct given_up *given_up, struct entry *entry)
{
	write_row(given_up, &entry->name, NULL, 0);
	free_entry(given_up, entry);
}

/* Adds a subscription to the table. Returns NULL without memory. */
static struct entry *add(struct given_up *given_up, const struct name *name)
{
	struct entry *entry = memory_zalloc(sizeof *entry);

	if (!entry)
		return NULL;
	entry->name = *name;
	KEYED_ADD(&given_up->keyed, given_up->table, &entry->name, sizeof entry->name, entry);
	if (entry)
		DL_APPEND(given_up->list, entry);
	return entry;
}

void given_up_add(struct given_up *given_up, const char *client, const char *filter,
	struct terms terms)
{
	struct name name = name_of(client, filter);
	struct entry *entry = find(given_up, &name);

	if (entry)
		drop(given_up, entry);
	if (HASH_COUNT(given_up->table) >= GIVEN_UP_MOST)
		drop(given_up, given_up->list);
	entry = add(given_up, &name);
	if (entry && keep(given_up, &name, client, filter, terms) != ERROR_NONE)
		free_entry(given_up, entry);
}

void given_up_end(struct given_up *given_up, const char *client, const char *filter)
{
	struct name name = name_of(client, filter);
	struct entry *entry = find(given_up, &name);

	if (entry)
		drop(given_up, entry);
}

/* ---- after a restart ---- */

/* Reads a row's value. Returns false if the value was not written here. */
static bool read_value(const uint8_t *value, size_t size, struct terms *terms,
	const char **client, const char **filter)
{
	const char *end = (const char *)value + size;
	struct topic topic;

	if (size < 2 || value[0] >= size || !terms_read(value + 1, value[0], terms))
		return false;
	*client = (const char *)value + 1 + value[0];
	if (*client == end || end[-1] != 0)
		return false;
	*filter = *client + strlen(*client) + 1;
	return *filter < end && *filter + strlen(*filter) + 1 == end &&
	       topic_parse(*filter, &topic) == TOPIC_OVERLAY;
}

bool given_up_restore(struct given_up *given_up, const void *key, size_t key_size,
	const void *value, size_t value_size)
{
	const uint8_t *bytes = key;
	const char *client, *filter;
	struct entry *entry;
	struct terms terms;
	struct name name;

	if (key_size != KEY_SIZE || bytes[0] != MARK || bytes[1] != MARK_ROW)
		return false;
	if (!read_value(value, value_size, &terms, &client, &filter))
		return true;
	name = name_of(client, filter);
	if (memcmp(&name, bytes + 2, sizeof name) != 0 || find(given_up, &name) ||
		HASH_COUNT(given_up->table) >= GIVEN_UP_MOST)
		return true;
	entry = add(given_up, &name);
	if (!entry)
		return true;
	entry->terms = terms;
	entry->client = memory_alloc((size_t)((const char *)value + value_size - client));
	if (!entry->client) {
		free_entry(given_up, entry);
		return true;
	}
	memcpy(entry->client, client, (size_t)((const char *)value + value_size - client));
	entry->filter = entry->client + (filter - client);
	return true;
}

void given_up_visit_all(struct given_up *given_up, given_up_visit visit, void *context)
{
	struct entry *entry, *next;

	DL_FOREACH_SAFE (given_up->list, entry, next)
		if (entry->client)
			visit(context, entry->client, entry->filter, entry->terms);
}

void given_up_settle(struct given_up *given_up)
{
	struct entry *entry, *next;

	DL_FOREACH_SAFE (given_up->list, entry, next)
		if (entry->client)
			drop(given_up, entry);
}
