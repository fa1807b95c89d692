/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ids.h"

#include <assert.h>
#include <ck_hs.h>

#include "../time.h"

static_assert(sizeof(struct remembered) <= 48, "a million of them");

/* Blocks double in size, for most overlays have few ids. */
#define BLOCK_LEAST 8
#define BLOCK_MOST  1024

struct ids_block {
	struct ids_block *next; /* younger */
	uint32_t begin, end;	/* the ids between are remembered */
	uint32_t room;
	struct remembered ids[];
};

struct ids_table {
	ck_hs_t set;	   /* set.map is NULL when the table is empty */
	unsigned removed; /* since the set was made: its tombstones, at most */
};

#define TABLE_MODE  (CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT | CK_HS_MODE_DELETE)
#define TABLE_LEAST 8

/* A table is made anew when it has more than twice as many tombstones as ids, and some, but not two
 * tables within RENEWAL_GAP forgotten ids: all shards come to that at the same time. */
#define TOMBSTONES_LEAST 64
#define RENEWAL_GAP	 512

static void *allocate(size_t size)
{
	return memory_alloc(size);
}

static void *reallocate(void *block, size_t old_size, size_t size, bool defer)
{
	(void)old_size, (void)defer;
	return memory_realloc(block, size);
}

/* Frees at once: nobody reads beside the writer. */
static void release(void *block, size_t size, bool defer)
{
	(void)size, (void)defer;
	memory_free(block);
}

static struct ck_malloc allocator = {allocate, reallocate, release};

/* What the tables hold: the address of an entry, and in the bits that no address of Linux has (unless
 * a program asks for such addresses) a part of its hash. Most entries of a million are in no cache of
 * the processor, and so those that are not looked for need not be looked at. */
#if UINTPTR_MAX > UINT32_MAX
#define MARK_SHIFT 48

static void *mark(const struct remembered *entry)
{
	return (void *)((uintptr_t)entry | (uintptr_t)(entry->hash >> 16) << MARK_SHIFT);
}

static struct remembered *entry_of(const void *marked)
{
	return (struct remembered *)((uintptr_t)marked & (((uintptr_t)1 << MARK_SHIFT) - 1));
}

static bool may_be_same(const void *a, const void *b)
{
	return (uintptr_t)a >> MARK_SHIFT == (uintptr_t)b >> MARK_SHIFT;
}
#else
static void *mark(const struct remembered *entry)
{
	return (void *)entry;
}

static struct remembered *entry_of(const void *marked)
{
	return (struct remembered *)marked;
}

static bool may_be_same(const void *a, const void *b)
{
	return true;
}
#endif

static unsigned long hash_of(const void *object, unsigned long seed)
{
	(void)seed; /* the hash is keyed */
	return entry_of(object)->hash;
}

static bool is_same(const void *a, const void *b)
{
	const struct remembered *one, *other;

	if (!may_be_same(a, b))
		return false;
	one = entry_of(a);
	other = entry_of(b);
	return one->hash == other->hash && id_equal(&one->id, &other->id);
}

static bool make_set(ck_hs_t *set, size_t entries)
{
	return ck_hs_init(set, TABLE_MODE, hash_of, is_same, &allocator, entries, 0);
}

static bool table_add(struct ids_table *table, struct remembered *entry)
{
	if (!table->set.map && !make_set(&table->set, TABLE_LEAST))
		return false;
	return ck_hs_put_unique(&table->set, entry->hash, mark(entry));
}

static struct remembered *table_find(struct ids_table *table, const struct remembered *key)
{
	return table->set.map ? entry_of(ck_hs_get(&table->set, key->hash, mark(key))) : NULL;
}

/* Returns whether the entry was in this table. */
static bool table_remove(struct ids_table *table, const struct remembered *entry)
{
	if (!table->set.map || !ck_hs_remove(&table->set, entry->hash, mark(entry)))
		return false;
	table->removed++;
	if (ck_hs_count(&table->set) == 0) {
		ck_hs_destroy(&table->set);
		*table = (struct ids_table){0};
	}
	return true;
}

/* Makes a table anew, as large as its ids need: without tombstones, past which each lookup of an unknown
 * id would have to go. If there is no memory it stays as it is. */
static void table_renew(struct ids_table *table)
{
	ck_hs_iterator_t iterator = CK_HS_ITERATOR_INITIALIZER;
	ck_hs_t fresh;
	void *entry;

	table->removed = 0;
	if (!make_set(&fresh, 2 * ck_hs_count(&table->set)))
		return;
	while (ck_hs_next(&table->set, &iterator, &entry)) {
		if (!ck_hs_put_unique(&fresh, hash_of(entry, 0), entry)) {
			ck_hs_destroy(&fresh);
			return;
		}
	}
	ck_hs_destroy(&table->set);
	table->set = fresh;
}

/* Returns the shard for a hash, chosen by the upper half of the hash: a table chooses its slots by the
 * lower half. */
static struct ids_table *shard_of(const struct ids *ids, uint32_t hash)
{
	return &ids->shards[(hash >> 16) % IDS_SHARDS];
}

void ids_init(struct ids *ids, const struct keyed *keyed)
{
	*ids = (struct ids){.keyed = keyed};
}

struct remembered *ids_find(const struct ids *ids, const struct id *id)
{
	const struct remembered key = {
		.id = *id, .hash = keyed_hash(ids->keyed, id, ID_SIZE)};
	struct remembered *found = ids->first ? table_find(ids->first, &key) : NULL;

	if (!found && ids->shards)
		found = table_find(shard_of(ids, key.hash), &key);
	return found;
}

/* Returns a place for one more id, at the end of the youngest block; NULL: no memory. */
static struct remembered *make_place(struct ids *ids)
{
	struct ids_block *block = ids->youngest;
	uint32_t room = BLOCK_LEAST;

	if (block && block->end < block->room)
		return &block->ids[block->end];
	if (block)
		room = block->room < BLOCK_MOST ? 2 * block->room : BLOCK_MOST;
	block = memory_alloc(sizeof *block + room * sizeof block->ids[0]);
	if (!block)
		return NULL;
	*block = (struct ids_block){.room = room};
	if (ids->youngest)
		ids->youngest->next = block;
	else
		ids->oldest = block;
	ids->youngest = block;
	return &block->ids[0];
}

/* Returns the table for an id that is new; NULL: no memory. */
static struct ids_table *make_table(struct ids *ids, uint32_t hash)
{
	if (ids->count < IDS_FIRST) {
		if (!ids->first)
			ids->first = memory_zalloc(sizeof *ids->first);
		return ids->first;
	}
	if (!ids->shards)
		ids->shards = memory_zalloc(IDS_SHARDS * sizeof *ids->shards);
	return ids->shards ? shard_of(ids, hash) : NULL;
}

/* Frees what is not needed any more, after an id has gone or could not be added. */
static void tidy(struct ids *ids)
{
	while (ids->oldest && ids->oldest->begin == ids->oldest->end &&
		(ids->oldest->next || ids->count == 0)) {
		struct ids_block *block = ids->oldest;

		ids->oldest = block->next;
		memory_free(block);
	}
	if (!ids->oldest)
		ids->youngest = NULL;
	if (ids->first && !ids->first->set.map) {
		memory_free(ids->first);
		ids->first = NULL;
	}
	if (ids->shards && ids->count == 0) {
		memory_free(ids->shards);
		ids->shards = NULL;
	}
}

struct remembered *ids_add(struct ids *ids, uint64_t now, const struct id *id)
{
	uint64_t at = (now + MS - 1) / MS;
	uint32_t hash = keyed_hash(ids->keyed, id, ID_SIZE);
	struct remembered *place = make_place(ids);
	struct ids_table *table = place ? make_table(ids, hash) : NULL;

	if (place)
		*place = (struct remembered){.id = *id, .hash = hash, .added = (uint32_t)at};
	if (!table || !table_add(table, place)) {
		tidy(ids);
		return NULL;
	}
	ids->youngest->end++;
	ids->count++;
	ids->last = at;
	return place;
}

struct remembered *ids_oldest(const struct ids *ids)
{
	return ids->count > 0 ? &ids->oldest->ids[ids->oldest->begin] : NULL;
}

uint64_t ids_added(const struct ids *ids, const struct remembered *remembered)
{
	uint32_t before_last = (uint32_t)ids->last - remembered->added;

	return (ids->last - before_last) * MS;
}

void ids_forget_oldest(struct ids *ids)
{
	const struct remembered *entry = ids_oldest(ids);
	struct ids_table *table = ids->first;

	if (!table || !table_remove(table, entry)) {
		table = shard_of(ids, entry->hash);
		table_remove(table, entry);
	}
	ids->oldest->begin++;
	ids->count--;
	ids->forgotten++;
	if (ids->forgotten >= RENEWAL_GAP && table->set.map &&
		table->removed > TOMBSTONES_LEAST + 2 * ck_hs_count(&table->set)) {
		table_renew(table);
		ids->forgotten = 0;
	}
	tidy(ids);
}
