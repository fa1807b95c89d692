/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "book.h"

#include "../error.h"
#include "../keyed.h"

struct node_entry {
	struct id id;
	bool trusted;
	bool linked;
	uint64_t heard; /* last sign of life or mention, monotonic ns */
	bool has_good;
	struct address good; /* the last address that worked */
	size_t configured_count;
	struct address configured[LIMIT_ADDRESSES_PER_NODE];
	size_t hearsay_count;
	struct address hearsay[LIMIT_ADDRESSES_PER_NODE];
	UT_hash_handle hh;
};

struct book {
	struct id me;
	struct keyed keyed;
	struct counters *counters;
	size_t max_nodes;
	struct node_entry *entries; /* uthash: in the order of insertion */
};

static struct node_entry *find(const struct book *book, const struct id *node)
{
	struct node_entry *entry;

	HASH_FIND_BYHASHVALUE(hh, book->entries, node, sizeof *node,
		keyed_hash(&book->keyed, node, sizeof *node), entry);
	return entry;
}

static void forget(struct book *book, struct node_entry *entry)
{
	HASH_DELETE(hh, book->entries, entry);
	memory_free(entry);
}

/* Makes room for one more; false if everybody in the book has to stay. */
static bool give_way(struct book *book)
{
	struct node_entry *entry, *next, *oldest = NULL;

	HASH_ITER (hh, book->entries, entry, next) {
		if (entry->trusted || entry->linked)
			continue;
		if (!oldest || entry->heard < oldest->heard)
			oldest = entry;
	}
	if (!oldest)
		return false;
	forget(book, oldest);
	return true;
}

static int add(struct book *book, const struct id *node, bool trusted, struct node_entry **out)
{
	struct node_entry *entry;

	if (HASH_COUNT(book->entries) >= book->max_nodes && !trusted) {
		counters_add(book->counters, COUNTER_LIMIT_PEERS, 1);
		if (!give_way(book))
			return ERROR_LIMIT;
	}
	entry = memory_zalloc(sizeof *entry);
	if (!entry)
		return ERROR_NOMEM;
	entry->id = *node;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, book->entries, &entry->id, sizeof entry->id,
		keyed_hash(&book->keyed, node, sizeof *node), entry);
	if (!entry->hh.tbl) {
		memory_free(entry);
		return ERROR_NOMEM;
	}
	*out = entry;
	return ERROR_NONE;
}

int book_new(const struct id *me, const struct random *random, struct counters *counters,
	size_t max_nodes, struct book **out)
{
	struct book *book = memory_zalloc(sizeof *book);

	if (!book)
		return ERROR_NOMEM;
	book->me = *me;
	keyed_init(&book->keyed, random);
	book->counters = counters;
	book->max_nodes = max_nodes;
	*out = book;
	return ERROR_NONE;
}

void book_free(struct book *book)
{
	struct node_entry *entry, *next;

	if (!book)
		return;
	HASH_ITER (hh, book->entries, entry, next)
		forget(book, entry);
	memory_free(book);
}

int book_configure(
	struct book *book, const struct id *node, const struct address *addresses, size_t count)
{
	struct node_entry *entry = find(book, node);
	int error;

	if (id_equal(node, &book->me))
		return ERROR_INVALID;
	if (!entry) {
		error = add(book, node, true, &entry);
		if (error)
			return error;
	}
	entry->trusted = true;
	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (count > 0)
		memcpy(entry->configured, addresses, count * sizeof *addresses);
	entry->configured_count = count;
	return ERROR_NONE;
}

bool book_is_trusted(const struct book *book, const struct id *node)
{
	const struct node_entry *entry = find(book, node);

	return entry && entry->trusted;
}

static bool contains(const struct address *addresses, size_t count, const struct address *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (address_compare(&addresses[i], wanted) == 0)
			return true;
	return false;
}

int book_hear(struct book *book, uint64_t now, const struct id *node,
	const struct address *addresses, size_t count, bool source_is_loopback)
{
	struct address kept[LIMIT_ADDRESSES_PER_NODE];
	struct node_entry *entry;
	size_t kept_count = 0;
	int error;

	if (id_equal(node, &book->me))
		return ERROR_NONE;
	for (size_t i = 0; i < count && kept_count < LIMIT_ADDRESSES_PER_NODE; i++) {
		if (!address_is_dialable(&addresses[i]) ||
			(address_is_loopback(&addresses[i]) && !source_is_loopback) ||
			contains(kept, kept_count, &addresses[i]))
			continue;
		kept[kept_count++] = addresses[i];
	}
	if (kept_count == 0)
		return ERROR_NONE;
	entry = find(book, node);
	if (!entry) {
		error = add(book, node, false, &entry);
		if (error)
			return error;
	}
	entry->heard = now;
	memcpy(entry->hearsay, kept, kept_count * sizeof *kept);
	entry->hearsay_count = kept_count;
	return ERROR_NONE;
}

void book_worked(
	struct book *book, uint64_t now, const struct id *node, const struct address *address)
{
	struct node_entry *entry = find(book, node);

	if (id_equal(node, &book->me))
		return;
	if (!entry && add(book, node, false, &entry) != ERROR_NONE)
		return; /* it is not needed to go on: the link is there */
	entry->heard = now;
	entry->has_good = true;
	entry->good = *address;
}

void book_set_linked(struct book *book, const struct id *node, bool linked)
{
	struct node_entry *entry = find(book, node);

	if (entry)
		entry->linked = linked;
}

size_t book_candidates(
	const struct book *book, const struct id *node, struct address out[BOOK_CANDIDATES])
{
	const struct node_entry *entry = find(book, node);
	size_t count = 0;

	if (!entry)
		return 0;
	if (entry->has_good)
		out[count++] = entry->good;
	for (size_t i = 0; i < entry->configured_count; i++)
		if (!contains(out, count, &entry->configured[i]))
			out[count++] = entry->configured[i];
	for (size_t i = 0; i < entry->hearsay_count; i++)
		if (!contains(out, count, &entry->hearsay[i]))
			out[count++] = entry->hearsay[i];
	return count;
}

size_t book_size(const struct book *book)
{
	return HASH_COUNT(book->entries);
}
