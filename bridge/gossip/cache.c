/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cache.h"

#include <assert.h>
#include <utlist.h>

#include "../error.h"

/* A message that can be sent again. */
struct content {
	struct remembered *id; /* whose content it is */
	uint64_t added;
	struct message *message;
	struct content *prev, *next; /* of contents */
	uint16_t round;
};

static size_t cost(const struct message *message)
{
	return sizeof(struct content) + sizeof *message + message->size;
}

void contents_init(struct contents *contents, size_t limit, struct counters *counters)
{
	*contents = (struct contents){.again = UINT64_MAX, .limit = limit, .counters = counters};
}

static void drop_content(struct contents *contents, struct content *content)
{
	contents->bytes -= cost(content->message);
	DL_DELETE(contents->oldest, content);
	content->id->content = NULL;
	message_unref(content->message);
	memory_free(content);
}

/* Keeps a reference to a message, if there is room and memory for it: without its content a message is
 * remembered all the same, and only a GRAFT for it is not answered. */
static void keep_content(struct contents *contents, uint64_t now, struct remembered *id,
	struct message *message, uint16_t round)
{
	struct content *content = memory_alloc(sizeof *content);

	if (!content) {
		counters_add(contents->counters, COUNTER_LIMIT_CACHE, 1);
		return;
	}
	*content = (struct content){
		.id = id, .added = now, .message = message_ref(message), .round = round};
	id->content = content;
	contents->bytes += cost(message);
	DL_APPEND(contents->oldest, content);
	while (contents->bytes > contents->limit) {
		drop_content(contents, contents->oldest);
		counters_add(contents->counters, COUNTER_LIMIT_CACHE, 1);
	}
}

/* Returns when what was added then, and is kept for kept_ns, is removed; or again, if that is
 * earlier. */
static uint64_t deadline(uint64_t added, uint64_t kept_ns, uint64_t again)
{
	uint64_t due = added + kept_ns + CACHE_EVICT_NS;

	return again < due ? again : due;
}

uint64_t contents_deadline(const struct contents *contents)
{
	if (!contents->oldest)
		return UINT64_MAX;
	return deadline(contents->oldest->added, CACHE_CONTENT_NS, contents->again);
}

static bool is_content_due(const struct contents *contents, uint64_t now)
{
	return contents->oldest && now - contents->oldest->added >= CACHE_CONTENT_NS;
}

void contents_evict(struct contents *contents, uint64_t now)
{
	for (unsigned i = 0; i < CACHE_EVICT_MOST && is_content_due(contents, now); i++)
		drop_content(contents, contents->oldest);
	contents->again = is_content_due(contents, now) ? now + CACHE_AGAIN_NS : UINT64_MAX;
}

void census_init(struct census *census, size_t limit)
{
	*census = (struct census){.limit = limit};
}

size_t census_bytes(const struct census *census)
{
	return census->ids * IDS_BYTES;
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
	unsigned now = rank_of(cache->ids.count);

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
	*cache = (struct cache){.again = UINT64_MAX, .contents = contents, .census = census};
	ids_init(&cache->ids, keyed);
}

static void forget_oldest(struct cache *cache)
{
	struct remembered *oldest = ids_oldest(&cache->ids);

	if (oldest->content)
		drop_content(cache->contents, oldest->content);
	ids_forget_oldest(&cache->ids);
	cache->census->ids--;
	rank(cache);
}

bool cache_clear_some(struct cache *cache, size_t *allowance)
{
	for (; cache->ids.count > 0 && *allowance > 0; --*allowance)
		forget_oldest(cache);
	return cache->ids.count == 0;
}

void cache_clear(struct cache *cache)
{
	size_t all = SIZE_MAX;

	cache_clear_some(cache, &all);
}

int cache_add(struct cache *cache, uint64_t now, const struct id *id, struct message *message,
	uint16_t round)
{
	struct remembered *added = ids_add(&cache->ids, now, id);

	if (!added)
		return ERROR_NOMEM;
	cache->census->ids++;
	rank(cache);
	if (message)
		keep_content(cache->contents, now, added, message, round);
	if (cache->census->ids > cache->census->limit) {
		forget_oldest(largest(cache->census));
		counters_add(cache->contents->counters, COUNTER_LIMIT_RECEIVED_IDS, 1);
	}
	return ERROR_NONE;
}

bool cache_knows(const struct cache *cache, const struct id *id)
{
	return ids_find(&cache->ids, id) != NULL;
}

struct message *cache_content(const struct cache *cache, const struct id *id, uint16_t *round)
{
	const struct remembered *found = ids_find(&cache->ids, id);

	if (!found || !found->content)
		return NULL;
	*round = found->content->round;
	return found->content->message;
}

static bool is_id_due(const struct cache *cache, uint64_t now)
{
	const struct remembered *oldest = ids_oldest(&cache->ids);

	return oldest && now >= ids_added(&cache->ids, oldest) + CACHE_ID_NS;
}

uint64_t cache_deadline(const struct cache *cache)
{
	const struct remembered *oldest = ids_oldest(&cache->ids);

	if (!oldest)
		return UINT64_MAX;
	return deadline(ids_added(&cache->ids, oldest), CACHE_ID_NS, cache->again);
}

void cache_evict(struct cache *cache, uint64_t now)
{
	for (unsigned i = 0; i < CACHE_EVICT_MOST && is_id_due(cache, now); i++)
		forget_oldest(cache);
	cache->again = is_id_due(cache, now) ? now + CACHE_AGAIN_NS : UINT64_MAX;
}
