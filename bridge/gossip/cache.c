/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cache.h"

#include <assert.h>
#include <utlist.h>

#include "../error.h"

struct cache_entry {
	struct id id;
	uint64_t added;
	struct message *message; /* NULL once the content is gone */
	uint16_t round;
	bool in_shard;			 /* if false, in the first table */
	struct cache_entry *prev, *next; /* of contents, while message is set */
	struct cache_entry *younger;
	UT_hash_handle hh;
};

static size_t cost(const struct message *message)
{
	return sizeof(struct cache_entry) + sizeof *message + message->size;
}

void contents_init(struct contents *contents, size_t limit, struct counters *counters)
{
	*contents = (struct contents){.again = UINT64_MAX, .limit = limit, .counters = counters};
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

/* Returns when the oldest entry, which is kept for kept_ns, is removed; or again, if that is
 * earlier. */
static uint64_t deadline(const struct cache_entry *oldest, uint64_t kept_ns, uint64_t again)
{
	uint64_t due = oldest ? oldest->added + kept_ns + CACHE_EVICT_NS : UINT64_MAX;

	return again < due ? again : due;
}

static bool is_due(const struct cache_entry *oldest, uint64_t kept_ns, uint64_t now)
{
	return oldest && now - oldest->added >= kept_ns;
}

uint64_t contents_deadline(const struct contents *contents)
{
	return deadline(contents->oldest, CACHE_CONTENT_NS, contents->again);
}

void contents_evict(struct contents *contents, uint64_t now)
{
	for (unsigned i = 0; i < CACHE_EVICT_MOST; i++) {
		if (!is_due(contents->oldest, CACHE_CONTENT_NS, now))
			break;
		drop_content(contents, contents->oldest);
	}
	contents->again = is_due(contents->oldest, CACHE_CONTENT_NS, now) ? now + CACHE_AGAIN_NS
									  : UINT64_MAX;
}

void census_init(struct census *census, size_t limit)
{
	*census = (struct census){.limit = limit};
}

size_t census_bytes(const struct census *census)
{
	return census->ids * sizeof(struct cache_entry);
}

/* Returns the rank of a number of ids: the number itself up to 7, then four ranks to each
 * doubling. */
static unsigned rank_of(size_t count)
{
	unsigned doublings = 0;

	if (count > UINT32_MAX)
		count = UINT32_MAX;
	while (count >> doublings > 7)
		doublings++;
	return 4 * doublings + (unsigned)(count >> doublings);
}

static_assert(CACHE_RANKS > 4 * 29 + 7, "a rank for each number of 32 bits");

/* Moves a cache to the list of its rank, after its number of ids has changed by one. */
static void rank(struct cache *cache)
{
	unsigned now = rank_of(cache->count);

	if (now == cache->rank)
		return;
	if (cache->rank > 0)
		DL_DELETE(cache->census->ranks[cache->rank], cache);
	cache->rank = now;
	if (now > 0)
		DL_APPEND(cache->census->ranks[now], cache);
}

static struct cache *largest(const struct census *census)
{
	for (size_t i = CACHE_RANKS; i-- > 1;) {
		if (census->ranks[i])
			return census->ranks[i];
	}
	return NULL;
}

void cache_init(struct cache *cache, struct contents *contents, struct census *census,
	const struct keyed *keyed)
{
	*cache = (struct cache){
		.again = UINT64_MAX, .contents = contents, .census = census, .keyed = keyed};
}

/* Returns the shard for a hash, chosen by the upper half of the hash: uthash chooses its buckets by
 * the lower half. */
static struct cache_entry **shard_of(const struct cache *cache, unsigned hash)
{
	return &cache->shards[(hash >> 16) % CACHE_SHARDS];
}

static struct cache_entry *find(const struct cache *cache, const struct id *id)
{
	unsigned hash = keyed_hash(cache->keyed, id, ID_SIZE);
	struct cache_entry *entry;

	HASH_FIND_BYHASHVALUE(hh, cache->first, id, ID_SIZE, hash, entry);
	if (!entry && cache->shards)
		HASH_FIND_BYHASHVALUE(hh, *shard_of(cache, hash), id, ID_SIZE, hash, entry);
	return entry;
}

static void forget_oldest(struct cache *cache)
{
	struct cache_entry *entry = cache->oldest;

	drop_content(cache->contents, entry);
	if (entry->in_shard)
		HASH_DELETE(hh, *shard_of(cache, entry->hh.hashv), entry);
	else
		HASH_DELETE(hh, cache->first, entry);
	cache->oldest = entry->younger;
	memory_free(entry);
	cache->count--;
	cache->census->ids--;
	rank(cache);
	if (cache->count > 0)
		return;
	cache->youngest = NULL;
	memory_free(cache->shards);
	cache->shards = NULL;
}

bool cache_clear_some(struct cache *cache, size_t *allowance)
{
	for (; cache->oldest && *allowance > 0; --*allowance)
		forget_oldest(cache);
	return !cache->oldest;
}

void cache_clear(struct cache *cache)
{
	size_t all = SIZE_MAX;

	cache_clear_some(cache, &all);
}

/* Adds an entry to the table to which it belongs. ERROR_NOMEM. */
static int insert(struct cache *cache, struct cache_entry *entry)
{
	unsigned hash = keyed_hash(cache->keyed, &entry->id, ID_SIZE);

	entry->in_shard = cache->count >= CACHE_FIRST;
	if (entry->in_shard && !cache->shards)
		cache->shards = memory_zalloc(CACHE_SHARDS * sizeof(struct cache_entry *));
	if (entry->in_shard && !cache->shards)
		return ERROR_NOMEM;
	if (entry->in_shard)
		HASH_ADD_KEYPTR_BYHASHVALUE(
			hh, *shard_of(cache, hash), &entry->id, ID_SIZE, hash, entry);
	else
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, cache->first, &entry->id, ID_SIZE, hash, entry);
	return entry->hh.tbl ? 0 : ERROR_NOMEM;
}

int cache_add(struct cache *cache, uint64_t now, const struct id *id, struct message *message,
	uint16_t round)
{
	struct cache_entry *entry = memory_alloc(sizeof *entry);
	int error;

	if (!entry)
		return ERROR_NOMEM;
	*entry = (struct cache_entry){.id = *id, .added = now, .round = round};
	error = insert(cache, entry);
	if (error) {
		memory_free(entry);
		return error;
	}
	if (cache->youngest)
		cache->youngest->younger = entry;
	else
		cache->oldest = entry;
	cache->youngest = entry;
	cache->count++;
	cache->census->ids++;
	rank(cache);
	if (message)
		keep_content(cache->contents, entry, message);
	if (cache->census->ids > cache->census->limit) {
		forget_oldest(largest(cache->census));
		counters_add(cache->contents->counters, COUNTER_LIMIT_RECEIVED_IDS, 1);
	}
	return ERROR_NONE;
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
	return deadline(cache->oldest, CACHE_ID_NS, cache->again);
}

void cache_evict(struct cache *cache, uint64_t now)
{
	for (unsigned i = 0; i < CACHE_EVICT_MOST; i++) {
		if (!is_due(cache->oldest, CACHE_ID_NS, now))
			break;
		forget_oldest(cache);
	}
	cache->again = is_due(cache->oldest, CACHE_ID_NS, now) ? now + CACHE_AGAIN_NS : UINT64_MAX;
}
