/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cache.h"

#include <utlist.h>

#include "../error.h"

struct cache_entry {
	struct id id;
	uint64_t added;
	struct message *message; /* NULL once the content is gone */
	uint16_t round;
	struct cache_entry *prev, *next; /* of contents, while message is set */
	UT_hash_handle hh;
};

static size_t cost(const struct message *message)
{
	return sizeof(struct cache_entry) + sizeof *message + message->size;
}

void contents_init(struct contents *contents, size_t limit, struct counters *counters)
{
	*contents = (struct contents){.limit = limit, .counters = counters};
}

static void drop_content(struct contents *contents, struct cache_entry *entry)
{
	if (!entry->message)
		return;
	contents->bytes -= cost(entry->message);
	DL_DELETE(contents->oldest, entry);
	message_unref(entry->message);
	entry->message = NULL;
}

static void keep_content(
	struct contents *contents, struct cache_entry *entry, struct message *message)
{
	entry->message = message_ref(message);
	contents->bytes += cost(message);
	DL_APPEND(contents->oldest, entry);
	while (contents->bytes > contents->limit) {
		drop_content(contents, contents->oldest);
		counters_add(contents->counters, COUNTER_LIMIT_CACHE, 1);
	}
}

uint64_t contents_deadline(const struct contents *contents)
{
	if (!contents->oldest)
		return UINT64_MAX;
	return contents->oldest->added + CACHE_CONTENT_NS + CACHE_EVICT_NS;
}

void contents_evict(struct contents *contents, uint64_t now)
{
	while (contents->oldest && now - contents->oldest->added >= CACHE_CONTENT_NS)
		drop_content(contents, contents->oldest);
}

void cache_init(
	struct cache *cache, struct contents *contents, const struct keyed *keyed, size_t limit)
{
	*cache = (struct cache){.contents = contents, .keyed = keyed, .limit = limit};
}

static void forget(struct cache *cache, struct cache_entry *entry)
{
	drop_content(cache->contents, entry);
	HASH_DELETE(hh, cache->entries, entry);
	memory_free(entry);
}

void cache_clear(struct cache *cache)
{
	while (cache->entries)
		forget(cache, cache->entries);
}

static struct cache_entry *find(const struct cache *cache, const struct id *id)
{
	struct cache_entry *entry;

	HASH_FIND_BYHASHVALUE(
		hh, cache->entries, id, ID_SIZE, keyed_hash(cache->keyed, id, ID_SIZE), entry);
	return entry;
}

int cache_add(struct cache *cache, uint64_t now, const struct id *id, struct message *message,
	uint16_t round)
{
	struct cache_entry *entry = memory_alloc(sizeof *entry);

	if (!entry)
		return ERROR_NOMEM;
	*entry = (struct cache_entry){.id = *id, .added = now, .round = round};
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, cache->entries, &entry->id, ID_SIZE,
		keyed_hash(cache->keyed, id, ID_SIZE), entry);
	if (!entry->hh.tbl) {
		memory_free(entry);
		return ERROR_NOMEM;
	}
	if (message)
		keep_content(cache->contents, entry, message);
	if (HASH_COUNT(cache->entries) > cache->limit) {
		forget(cache, cache->entries);
		counters_add(cache->contents->counters, COUNTER_LIMIT_RECEIVED_IDS, 1);
	}
	return 0;
}

bool cache_knows(const struct cache *cache, const struct id *id)
{
	return find(cache, id) != NULL;
}

struct message *cache_content(const struct cache *cache, const struct id *id, uint16_t *round)
{
	const struct cache_entry *entry = find(cache, id);

	if (!entry)
		return NULL;
	*round = entry->round;
	return entry->message;
}

uint64_t cache_deadline(const struct cache *cache)
{
	return cache->entries ? cache->entries->added + CACHE_ID_NS + CACHE_EVICT_NS : UINT64_MAX;
}

void cache_evict(struct cache *cache, uint64_t now)
{
	while (cache->entries && now - cache->entries->added >= CACHE_ID_NS)
		forget(cache, cache->entries);
}
