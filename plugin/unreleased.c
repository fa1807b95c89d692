/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "unreleased.h"

#include <assert.h>
#include <blake3.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/limits.h"

/* How often it is asked whether sessions of offline clients are there still. */
#define SESSIONS_NS UINT64_C(1000000000)

/* Longer client ids are not remembered. */
#define CLIENT_ID 1000

/* A client that has published any of the entries. */
struct publisher {
	size_t count;
	bool offline;
	UT_hash_handle hh;
	char id[];
};

struct entry {
	struct id name; /* BLAKE3 of topic and content */
	struct publisher *publisher;
	uint64_t witness;
	size_t size;
	bool earlier; /* the message came on a connection that is over */
	struct entry *prev, *next;
	UT_hash_handle hh;
};

struct unreleased {
	struct counters *counters;
	struct keyed keyed;
	struct entry *entries; /* by name */
	struct entry *oldest;  /* a list, oldest first */
	struct publisher *publishers;
	uint64_t sessions_next;
	/* How many entries have content of this size: most of what subscribers are sent needs not
	 * be hashed to be known as something else. */
	uint16_t sizes[LIMIT_CONTENT + 1];
};

static_assert(LIMIT_UNRELEASED <= UINT16_MAX, "sizes can count them");

int unreleased_new(
	struct counters *counters, const struct random *random, struct unreleased **out)
{
	struct unreleased *unreleased = memory_zalloc(sizeof *unreleased);

	if (!unreleased)
		return ERROR_NOMEM;
	unreleased->counters = counters;
	keyed_init(&unreleased->keyed, random);
	*out = unreleased;
	return ERROR_NONE;
}

static void forget(struct unreleased *unreleased, struct entry *entry)
{
	struct publisher *publisher = entry->publisher;

	unreleased->sizes[entry->size]--;
	HASH_DELETE(hh, unreleased->entries, entry);
	DL_DELETE(unreleased->oldest, entry);
	memory_free(entry);
	if (--publisher->count > 0)
		return;
	HASH_DELETE(hh, unreleased->publishers, publisher);
	memory_free(publisher);
}

void unreleased_free(struct unreleased *unreleased)
{
	if (!unreleased)
		return;
	while (unreleased->oldest)
		forget(unreleased, unreleased->oldest);
	memory_free(unreleased);
}

static struct publisher *find_publisher(struct unreleased *unreleased, const char *id)
{
	struct publisher *publisher;
	size_t size = strlen(id);

	if (!unreleased->publishers)
		return NULL;
	KEYED_FIND(&unreleased->keyed, unreleased->publishers, id, size, publisher);
	return publisher;
}

static struct publisher *find_or_add_publisher(struct unreleased *unreleased, const char *id)
{
	struct publisher *publisher = find_publisher(unreleased, id);
	size_t size = strlen(id);

	if (publisher)
		return publisher;
	publisher = memory_zalloc(sizeof *publisher + size + 1);
	if (!publisher)
		return NULL;
	memcpy(publisher->id, id, size + 1);
	KEYED_ADD(&unreleased->keyed, unreleased->publishers, publisher->id, size, publisher);
	return publisher;
}

static struct id name_of(const struct id *topic, const void *content, size_t size)
{
	blake3_hasher hasher;
	struct id name;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, topic->bytes, ID_SIZE);
	blake3_hasher_update(&hasher, content, size);
	blake3_hasher_finalize(&hasher, name.bytes, ID_SIZE);
	return name;
}

static struct entry *find(const struct unreleased *unreleased, const struct id *name)
{
	struct entry *entry;

	KEYED_FIND(&unreleased->keyed, unreleased->entries, name, ID_SIZE, entry);
	return entry;
}

static bool may_know(const struct unreleased *unreleased, size_t size)
{
	return size <= LIMIT_CONTENT && unreleased->sizes[size] > 0;
}

bool unreleased_knows(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness)
{
	struct entry *entry;
	struct id name;

	if (witness == 0 || !may_know(unreleased, size))
		return false;
	name = name_of(topic, content, size);
	entry = find(unreleased, &name);
	if (!entry || !entry->earlier || entry->witness != witness ||
		strcmp(entry->publisher->id, client) != 0)
		return false;
	entry->earlier = false; /* once on each connection */
	return true;
}

void unreleased_add(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness)
{
	struct id name;
	struct entry *entry;

	if (witness == 0 || size > LIMIT_CONTENT || strlen(client) > CLIENT_ID)
		return;
	name = name_of(topic, content, size);
	entry = find(unreleased, &name);
	if (entry)
		forget(unreleased, entry); /* the next release may be of either */
	if (HASH_COUNT(unreleased->entries) >= LIMIT_UNRELEASED) {
		forget(unreleased, unreleased->oldest);
		counters_add(unreleased->counters, COUNTER_LIMIT_UNRELEASED, 1);
	}
	entry = memory_alloc(sizeof *entry);
	if (!entry)
		return;
	*entry = (struct entry){.name = name, .size = size, .witness = witness};
	entry->publisher = find_or_add_publisher(unreleased, client);
	if (!entry->publisher) {
		memory_free(entry);
		return;
	}
	entry->publisher->count++;
	unreleased->sizes[size]++;
	DL_APPEND(unreleased->oldest, entry);
	KEYED_PUT(&unreleased->keyed, unreleased->entries, &entry->name, ID_SIZE, entry);
	if (entry->hh.tbl)
		return;
	unreleased->sizes[size]--;
	DL_DELETE(unreleased->oldest, entry);
	if (--entry->publisher->count == 0) {
		HASH_DELETE(hh, unreleased->publishers, entry->publisher);
		memory_free(entry->publisher);
	}
	memory_free(entry);
}

void unreleased_released(struct unreleased *unreleased, const struct id *topic,
	const void *content, size_t size)
{
	struct entry *entry;
	struct id name;

	if (!may_know(unreleased, size))
		return;
	name = name_of(topic, content, size);
	entry = find(unreleased, &name);
	if (entry)
		forget(unreleased, entry);
}

void unreleased_connected(struct unreleased *unreleased, const char *client, bool kept)
{
	struct publisher *publisher = find_publisher(unreleased, client);
	struct entry *entry;

	if (!publisher)
		return;
	if (!kept) {
		unreleased_gone(unreleased, client);
		return;
	}
	publisher->offline = false;
	DL_FOREACH (unreleased->oldest, entry)
		entry->earlier = entry->earlier || entry->publisher == publisher;
}

void unreleased_offline(struct unreleased *unreleased, const char *client)
{
	struct publisher *publisher = find_publisher(unreleased, client);

	if (publisher)
		publisher->offline = true;
}

void unreleased_gone(struct unreleased *unreleased, const char *client)
{
	const struct publisher *publisher = find_publisher(unreleased, client);
	struct entry *entry, *next;
	size_t left = publisher ? publisher->count : 0;

	DL_FOREACH_SAFE (unreleased->oldest, entry, next) {
		if (left == 0)
			break;
		if (entry->publisher != publisher)
			continue;
		forget(unreleased, entry);
		left--;
	}
}

void unreleased_tick(struct unreleased *unreleased, uint64_t now_ns,
	bool (*has_session)(const char *client))
{
	struct publisher *publisher, *next;

	if (!unreleased->publishers || now_ns < unreleased->sessions_next)
		return;
	unreleased->sessions_next = now_ns + SESSIONS_NS;
	HASH_ITER (hh, unreleased->publishers, publisher, next)
		if (publisher->offline && !has_session(publisher->id))
			unreleased_gone(unreleased, publisher->id);
}
