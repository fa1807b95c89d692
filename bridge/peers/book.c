/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "book.h"

#include "book_internal.h"

/* A success or failure so long after the one in the row on disk is worth a new row. */
#define ROW_AGE_US (UINT64_C(600) * 1000000)
/* Nodes that a random walk looks at. */
#define RANDOM_TRIES 64
#define FAIR_TRIES   32
/* How many of a source's nodes a random one is picked from, those heard of longest ago: a long
 * list takes too long to go through. */
#define FAIR_STEPS 64

/* ---- tables ---- */

/* Makes sure that a table has room for one more than count nodes. False: no memory. */
static bool has_room(struct book_table *table, size_t count)
{
	struct book_node **items;
	size_t room = table->room ? 2 * table->room : 16;

	if (count < table->room)
		return true;
	items = memory_realloc(table->items, room * sizeof *items);
	if (!items)
		return false;
	table->items = items;
	table->room = room;
	return true;
}

static void table_set(
	struct book *book, enum book_table_name name, size_t at, struct book_node *node)
{
	book->tables[name].items[at] = node;
	node->at[name] = (unsigned)at;
}

/* Adds a node to a table, which must have room. */
static void table_add(struct book *book, enum book_table_name name, struct book_node *node)
{
	table_set(book, name, book->tables[name].count++, node);
}

static void table_remove(struct book *book, enum book_table_name name, struct book_node *node)
{
	struct book_table *table = &book->tables[name];

	table_set(book, name, node->at[name], table->items[--table->count]);
}

static void table_swap(struct book *book, enum book_table_name name, size_t a, size_t b)
{
	struct book_node *node = book->tables[name].items[a];

	table_set(book, name, a, book->tables[name].items[b]);
	table_set(book, name, b, node);
}

/* Puts a node into the table of those that no other node has brought, or takes the node out. That
 * table always has room for all nodes of the book. */
static void set_own(struct book *book, struct book_node *node, bool own)
{
	if (node->own == own)
		return;
	node->own = own;
	(own ? table_add : table_remove)(book, BOOK_OWN, node);
}

/* ---- who is to go first ---- */

static struct book_source *find_source(const struct book *book, const struct id *id)
{
	struct book_source *source;

	KEYED_FIND(&book->keyed, book->sources, id, sizeof *id, source);
	return source;
}

static void leave_source(struct book *book, struct book_node *node)
{
	struct book_source *source = node->source;

	if (!source)
		return;
	node->source = NULL;
	set_own(book, node, true);
	DL_DELETE2(source->nodes, node, source_prev, source_next);
	if (--source->count > 0)
		return;
	DL_DELETE(book->turns, source);
	HASH_DELETE(hh, book->sources, source);
	memory_free(source);
}

static int join_source(struct book *book, struct book_node *node, const struct id *id)
{
	struct book_source *source = find_source(book, id);

	if (!source) {
		source = memory_zalloc(sizeof *source);
		if (!source)
			return ERROR_NOMEM;
		source->id = *id;
		KEYED_ADD(&book->keyed, book->sources, &source->id, sizeof source->id, source);
		if (!source)
			return ERROR_NOMEM;
		DL_APPEND(book->turns, source);
	}
	node->source = source;
	source->count++;
	DL_APPEND2(source->nodes, node, source_prev, source_next);
	return ERROR_NONE;
}

static void leave_list(struct book *book, struct book_node *node)
{
	if (node->list != BOOK_NO_LIST)
		DL_DELETE(book->lists[node->list], node);
	node->list = BOOK_NO_LIST;
}

/* Puts a node last into its list. A proven, linked or configured node is nobody's invention: it
 * leaves its source. */
void book_enlist_node(struct book *book, struct book_node *node)
{
	leave_list(book, node);
	if (node->has_good || book_is_pinned(node))
		leave_source(book, node);
	if (book_is_pinned(node))
		return;
	node->list = node->has_good ? BOOK_PROVEN : BOOK_UNPROVEN;
	DL_APPEND(book->lists[node->list], node);
}

void book_touch_node(struct book *book, struct book_node *node)
{
	struct book_source *source = node->source;

	if (node->list != BOOK_UNPROVEN)
		return;
	book_enlist_node(book, node);
	if (source) {
		DL_DELETE2(source->nodes, node, source_prev, source_next);
		DL_APPEND2(source->nodes, node, source_prev, source_next);
	}
}

/* Notes that the source has told of the node. A node that tells of itself belongs to no other
 * source from then on. */
static void heard_from(struct book *book, struct book_node *node, const struct id *source)
{
	if (id_equal(&node->id, source))
		leave_source(book, node);
	book_touch_node(book, node);
}

/* ---- nodes ---- */

void book_note_change(struct book *book, struct book_node *node)
{
	if (node->changed)
		return;
	node->changed = true;
	DL_APPEND2(book->changes, node, changes_prev, changes_next);
}

static struct book_node *find_any(const struct book *book, const struct id *id)
{
	struct book_node *node;

	KEYED_FIND(&book->keyed, book->nodes, id, sizeof *id, node);
	return node;
}

struct book_node *book_find_node(const struct book *book, const struct id *id)
{
	struct book_node *node = find_any(book, id);

	return node && !node->gone ? node : NULL;
}

static void free_node(struct book *book, struct book_node *node)
{
	HASH_DELETE(hh, book->nodes, node);
	memory_free(node);
}

/* Moves a node to the end of a list of nodes that are away, or out of these lists (BOOK_HERE). */
static void set_away(struct book *book, struct book_node *node, enum book_away away)
{
	if (node->away != BOOK_HERE)
		DL_DELETE2(book->away[node->away - 1], node, away_prev, away_next);
	node->away = away;
	if (away != BOOK_HERE)
		DL_APPEND2(book->away[away - 1], node, away_prev, away_next);
}

/* Removes a node from the book. If the node has a row, the empty struct stays in the changes until
 * book_row has told that the row is to be deleted. */
void book_forget_node(struct book *book, struct book_node *node)
{
	leave_list(book, node);
	leave_source(book, node);
	book_drop_shares(book, node);
	set_away(book, node, BOOK_HERE);
	for (size_t role = 0; role < BOOK_ROLES; role++) {
		memory_free(node->configured[role]);
		node->configured[role] = NULL;
		node->is_configured[role] = false;
	}
	memory_free(node->hearsay);
	node->hearsay = NULL;
	for (unsigned order = 0; order < ORDERS; order++) {
		if (node->infos[order])
			table_remove(book, BOOK_WITH_INFO + order, node);
		info_free(node->infos[order]);
		node->infos[order] = NULL;
	}
	table_remove(book, BOOK_ALL, node);
	set_own(book, node, false);
	node->gone = true;
	if (node->on_disk) {
		book_note_change(book, node);
		return;
	}
	if (node->changed)
		DL_DELETE2(book->changes, node, changes_prev, changes_next);
	free_node(book, node);
}

/* Makes room for one more node. Lets the source's oldest node go; source NULL: any node that may.
 * False: every node has to stay. */
static bool give_way(struct book *book, const struct book_source *source)
{
	struct book_node *first = book->lists[BOOK_UNPROVEN];

	if (source)
		first = source->nodes;
	else if (!first)
		first = book->lists[BOOK_PROVEN];
	counters_add(book->counters, COUNTER_LIMIT_PEERS, 1);
	if (first)
		book_forget_node(book, first);
	return first != NULL;
}

/* Returns the struct for an id that is not in the book: a new one, or that of a gone node with
 * this id. NULL: no memory. */
static struct book_node *obtain_node(struct book *book, const struct id *id)
{
	struct book_node *node = find_any(book, id);

	if (node) {
		*node = (struct book_node){.id = *id,
			.on_disk = node->on_disk,
			.changed = node->changed,
			.gone = true,
			.list = BOOK_NO_LIST,
			.changes_prev = node->changes_prev,
			.changes_next = node->changes_next,
			.hh = node->hh};
		return node;
	}
	node = memory_zalloc(sizeof *node);
	if (!node)
		return NULL;
	node->id = *id;
	node->gone = true;
	node->list = BOOK_NO_LIST;
	KEYED_ADD(&book->keyed, book->nodes, &node->id, sizeof node->id, node);
	return node;
}

int book_add_node(struct book *book, const struct id *id, const struct id *source_id,
	enum book_making_room making_room, struct book_node **out)
{
	struct book_source *source = NULL;
	struct book_node *node;
	bool over, full = book->tables[BOOK_ALL].count >= book->max_nodes;

	/* A node that tells of itself brings one node at most: it needs no source. */
	if (source_id && (id_equal(source_id, id) || id_equal(source_id, &book->me)))
		source_id = NULL;
	if (source_id)
		source = find_source(book, source_id);
	over = source && source->count >= LIMIT_HEARSAY_PER_NODE;
	if ((over || full) && making_room == BOOK_ONLY_IF_ROOM) {
		counters_add(book->counters, COUNTER_LIMIT_PEERS, 1);
		return ERROR_LIMIT;
	}
	if ((over || full) && !give_way(book, over ? source : NULL) && making_room != BOOK_ANYHOW)
		return ERROR_LIMIT;
	if (!has_room(&book->tables[BOOK_ALL], book->tables[BOOK_ALL].count) ||
		!has_room(&book->tables[BOOK_OWN], book->tables[BOOK_ALL].count))
		return ERROR_NOMEM;
	node = obtain_node(book, id);
	if (!node)
		return ERROR_NOMEM;
	if (source_id && join_source(book, node, source_id)) {
		if (!node->on_disk)
			free_node(book, node);
		return ERROR_NOMEM;
	}
	node->gone = false;
	table_add(book, BOOK_ALL, node);
	set_own(book, node, !node->source);
	book_enlist_node(book, node);
	*out = node;
	return ERROR_NONE;
}

int book_new(const struct id *me, const struct random *random, struct counters *counters,
	size_t max_nodes, struct book **out)
{
	struct book *book = memory_zalloc(sizeof *book);

	if (!book)
		return ERROR_NOMEM;
	book->me = *me;
	book->random = *random;
	keyed_init(&book->keyed, random);
	book->counters = counters;
	book->max_nodes = max_nodes;
	*out = book;
	return ERROR_NONE;
}

void book_free(struct book *book)
{
	struct book_node *node, *next;

	if (!book)
		return;
	/* No row is asked for any more. */
	while ((node = book->changes)) {
		DL_DELETE2(book->changes, node, changes_prev, changes_next);
		node->changed = false;
	}
	HASH_ITER (hh, book->nodes, node, next) {
		node->on_disk = false;
		if (node->gone)
			free_node(book, node);
		else
			book_forget_node(book, node);
	}
	for (size_t i = 0; i < BOOK_TABLES; i++)
		memory_free(book->tables[i].items);
	memory_free(book->buckets);
	memory_free(book);
}

bool book_knows(const struct book *book, const struct id *id)
{
	return book_find_node(book, id) != NULL;
}

size_t book_size(const struct book *book)
{
	return book->tables[BOOK_ALL].count;
}

/* ---- addresses ---- */

struct book_addresses *book_copy_addresses(const struct address *addresses, size_t count)
{
	struct book_addresses *copy = memory_alloc(sizeof *copy + count * sizeof *addresses);

	if (!copy)
		return NULL;
	copy->count = count;
	memcpy(copy->items, addresses, count * sizeof *addresses);
	return copy;
}

static bool contains(const struct address *addresses, size_t count, const struct address *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (address_compare(&addresses[i], wanted) == 0)
			return true;
	return false;
}

static bool are_equal(
	const struct book_addresses *old, const struct address *addresses, size_t count)
{
	if (!old || old->count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (address_compare(&old->items[i], &addresses[i]) != 0)
			return false;
	return true;
}

int book_configure(struct book *book, const struct id *id, enum book_role role,
	const struct address *addresses, size_t count)
{
	struct book_addresses *copy = NULL;
	struct book_node *node;
	int error;

	if (id_equal(id, &book->me))
		return ERROR_INVALID;
	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (count > 0 && !(copy = book_copy_addresses(addresses, count)))
		return ERROR_NOMEM;
	node = book_find_node(book, id);
	error = node ? ERROR_NONE : book_add_node(book, id, NULL, BOOK_ANYHOW, &node);
	if (error) {
		memory_free(copy);
		return error;
	}
	memory_free(node->configured[role]);
	node->configured[role] = copy;
	node->is_configured[role] = true;
	book_enlist_node(book, node);
	return ERROR_NONE;
}

void book_unconfigure(struct book *book, const struct id *id, enum book_role role)
{
	struct book_node *node = book_find_node(book, id);

	if (!node || !node->is_configured[role])
		return;
	memory_free(node->configured[role]);
	node->configured[role] = NULL;
	node->is_configured[role] = false;
	book_enlist_node(book, node);
}

bool book_is_trusted(const struct book *book, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && node->is_configured[BOOK_TRUSTED];
}

bool book_is_bootstrap(const struct book *book, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && node->is_configured[BOOK_BOOTSTRAP];
}

static int hear(struct book *book, const struct id *id, const struct id *source,
	const struct address *addresses, size_t count)
{
	struct book_node *node = book_find_node(book, id);
	struct book_addresses *copy;
	int error;

	if (node && are_equal(node->hearsay, addresses, count)) {
		heard_from(book, node, source);
		return ERROR_NONE;
	}
	copy = book_copy_addresses(addresses, count);
	if (!copy)
		return ERROR_NOMEM;
	error = node ? ERROR_NONE : book_add_node(book, id, source, BOOK_MAKE_ROOM, &node);
	if (error) {
		memory_free(copy);
		return error;
	}
	heard_from(book, node, source);
	memory_free(node->hearsay);
	node->hearsay = copy;
	if (id_equal(id, source)) {
		node->failures = 0;
		node->missing = false;
	}
	book_note_change(book, node);
	return ERROR_NONE;
}

int book_hear(struct book *book, uint64_t now, const struct id *id, const struct id *source,
	const struct address *addresses, size_t count, enum address_scope scope)
{
	struct address kept[LIMIT_ADDRESSES_PER_NODE];
	size_t kept_count = 0;

	if (id_equal(id, &book->me))
		return ERROR_NONE;
	for (size_t i = 0; i < count && kept_count < LIMIT_ADDRESSES_PER_NODE; i++) {
		if (!book_is_usable(&addresses[i]) || address_scope(&addresses[i]) > scope ||
			contains(kept, kept_count, &addresses[i]))
			continue;
		kept[kept_count++] = addresses[i];
	}
	return kept_count > 0 ? hear(book, id, source, kept, kept_count) : ERROR_NONE;
}

/* ---- what nodes have signed ---- */

static bool is_newer(const struct info *info, const struct info *old)
{
	return !old || info_time_compare(info->time, old->time) > 0;
}

static bool is_same(const struct info *a, const struct info *b)
{
	return a && memcmp(a->signature, b->signature, sizeof a->signature) == 0;
}

bool book_has_info(const struct book *book, const struct id *id, const struct info *info)
{
	const struct book_node *node = book_find_node(book, id);
	bool newer_of_one = false;

	if (!node)
		return false;
	for (unsigned order = 0; order < ORDERS; order++) {
		if (is_same(node->infos[order], info))
			return true;
		newer_of_one = newer_of_one || is_newer(info, node->infos[order]);
	}
	if (!newer_of_one)
		return true;
	return info->order < ORDERS && node->infos[info->order] &&
	       is_newer(node->infos[info->order], info);
}

int book_keep_info(struct book *book, struct book_node *node, struct info *info,
	enum address_scope scope)
{
	if (!node->infos[info->order]) {
		struct book_table *table = &book->tables[BOOK_WITH_INFO + info->order];

		if (!has_room(table, table->count))
			return ERROR_NOMEM;
		table_add(book, BOOK_WITH_INFO + info->order, node);
	}
	info_free(node->infos[info->order]);
	node->infos[info->order] = info;
	node->info_scope[info->order] = scope;
	return ERROR_NONE;
}

int book_insert_info(struct book *book, uint64_t now, uint64_t wall, const struct id *id,
	const struct id *source, enum address_scope scope, struct info *info, bool *fresh)
{
	struct book_node *node = book_find_node(book, id);
	bool is_new = !node;
	int error = ERROR_NONE;

	*fresh = false;
	if (id_equal(id, &book->me) || info->order >= ORDERS ||
		info->time.us > wall + LIMIT_FUTURE_US) {
		counters_add(book->counters, COUNTER_BAD_INFO, 1);
		error = ERROR_INVALID;
		goto out;
	}
	if (!node)
		error = book_add_node(book, id, source, BOOK_MAKE_ROOM, &node);
	if (error)
		goto out;
	heard_from(book, node, source);
	if (!is_newer(info, node->infos[info->order])) {
		/* A source of the node's own machine or network has now told the same info. */
		if (is_same(node->infos[info->order], info) &&
			scope > node->info_scope[info->order])
			node->info_scope[info->order] = scope;
		goto out;
	}
	error = book_keep_info(book, node, info, scope);
	if (error) {
		if (is_new)
			book_forget_node(book, node);
		goto out;
	}
	info = NULL;
	node->failures = 0;
	node->missing = false;
	book_note_change(book, node);
	counters_add(book->counters, COUNTER_INFOS, 1);
	*fresh = true;
out:
	info_free(info);
	return error;
}

void book_set_relay(struct book *book, const struct id *id, const struct address *relay)
{
	struct book_node *node = book_find_node(book, id);

	if (node)
		node->relay = relay ? *relay : (struct address){0};
}

const struct info *book_info(const struct book *book, const struct id *id, enum info_order order)
{
	const struct book_node *node = book_find_node(book, id);

	return node ? node->infos[order] : NULL;
}

size_t book_infos(const struct book *book, enum info_order order)
{
	return book->tables[BOOK_WITH_INFO + order].count;
}

const struct info *book_info_number(
	const struct book *book, enum info_order order, size_t number, struct id *node)
{
	const struct book_node *found = book->tables[BOOK_WITH_INFO + order].items[number];

	*node = found->id;
	return found->infos[order];
}

void book_set_dialect(struct book *book, const struct id *id, enum dialect dialect)
{
	struct book_node *node = book_find_node(book, id);

	if (!node || node->dialect == dialect)
		return;
	node->dialect = dialect;
	book_note_change(book, node);
}

enum dialect book_dialect(const struct book *book, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node ? node->dialect : DIALECT_UNKNOWN;
}

/* ---- what we have seen ---- */

static bool is_long_after(uint64_t time, uint64_t row_time)
{
	/* The clock may have been set back. */
	return time > row_time ? time - row_time > ROW_AGE_US : row_time - time > ROW_AGE_US;
}

void book_worked(struct book *book, uint64_t now, uint64_t wall, const struct id *id,
	const struct address *address)
{
	struct book_node *node = book_find_node(book, id);
	bool is_better;

	if (id_equal(id, &book->me) || !book_is_usable(address))
		return;
	if (!node && book_add_node(book, id, NULL, BOOK_MAKE_ROOM, &node) != ERROR_NONE)
		return; /* the link is there even if the book has no room */
	/* A relay does not replace a working address: it is dialled beside the first address
	 * anyway. */
	is_better = !node->has_good || (!address_is_relay(address) &&
					       address_compare(&node->good, address) != 0);
	if (is_better || is_long_after(wall, node->row_worked) || node->failures >= BOOK_STALE_FAILURES)
		book_note_change(book, node);
	if (is_better)
		node->good = *address;
	node->has_good = true;
	node->worked = wall;
	node->failures = 0;
	book_set_away(book, now, id, false);
	book_enlist_node(book, node);
}

void book_failed(struct book *book, uint64_t now, uint64_t wall, const struct id *id)
{
	struct book_node *node = book_find_node(book, id);

	if (!node)
		return;
	node->failed = wall;
	node->missing = true;
	node->missed = now;
	if (node->failures < BOOK_STALE_FAILURES && ++node->failures == BOOK_STALE_FAILURES)
		book_note_change(book, node);
	else if (is_long_after(wall, node->row_failed))
		book_note_change(book, node);
}

bool book_set_away(struct book *book, uint64_t now, const struct id *id, bool away)
{
	struct book_node *node = book_find_node(book, id);

	if (!node)
		return false;
	node->missing = away;
	if (away)
		node->missed = now;
	else
		node->heard = now;
	if ((node->away != BOOK_HERE) == away)
		return false;
	node->away_tries = 0;
	set_away(book, node, away ? BOOK_AWAY_RECENTLY : BOOK_HERE);
	return true;
}

bool book_is_away(const struct book *book, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && node->away != BOOK_HERE;
}

static bool is_doubtful(const struct book_node *node, uint64_t now)
{
	return node->missing && !node->linked &&
	       (!book_is_pinned(node) || now - node->missed < BOOK_DOUBT_NS);
}

bool book_is_doubtful(const struct book *book, uint64_t now, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && is_doubtful(node, now);
}

bool book_is_told(const struct book *book, uint64_t now, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && (!is_doubtful(node, now) ||
			       (node->heard > 0 && now - node->heard < BOOK_TOLD_NS));
}

/* Nodes that are looked at for one that is worth a try. */
#define NEXT_AWAY_TRIES 16

bool book_next_away(struct book *book, bool recently, struct id *out)
{
	enum book_away list = recently ? BOOK_AWAY_RECENTLY : BOOK_AWAY_LONG;
	struct book_node *node;

	for (size_t i = 0; i < NEXT_AWAY_TRIES && (node = book->away[list - 1]); i++) {
		if (node->away_tries < BOOK_AWAY_TRIES)
			node->away_tries++;
		/* Moves the node to the end of its list, or to the other list. */
		set_away(book, node,
			node->away_tries < BOOK_AWAY_TRIES ? BOOK_AWAY_RECENTLY : BOOK_AWAY_LONG);
		if (!node->shares || node->linked || node->is_configured[BOOK_TRUSTED])
			continue;
		*out = node->id;
		return true;
	}
	return false;
}

bool book_is_stale(const struct book *book, const struct id *id)
{
	const struct book_node *node = book_find_node(book, id);

	return node && node->failures >= BOOK_STALE_FAILURES &&
	       !node->is_configured[BOOK_TRUSTED] && !node->is_configured[BOOK_BOOTSTRAP];
}

void book_set_linked(struct book *book, const struct id *id, bool linked)
{
	struct book_node *node = book_find_node(book, id);

	if (!node || node->linked == linked)
		return;
	node->linked = linked;
	book_enlist_node(book, node);
}

/* ---- where to dial ---- */

struct candidates {
	struct address *out;
	size_t count;
	size_t most; /* what count may reach with the current kind of address */
};

static void offer(struct candidates *candidates, const struct address *addresses, size_t count)
{
	for (size_t i = 0; i < count && candidates->count < candidates->most; i++)
		if (!contains(candidates->out, candidates->count, &addresses[i]))
			candidates->out[candidates->count++] = addresses[i];
}

static void begin_kind(struct candidates *candidates)
{
	candidates->most = candidates->count + LIMIT_ADDRESSES_PER_NODE;
}

/* Offers the addresses of the node's newest info only: where the node was before is not where it
 * is. */
static void offer_info(struct candidates *candidates, const struct book_node *node)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	const struct info *newest = NULL;
	enum address_scope scope = ADDRESS_GLOBAL;
	size_t count;

	for (unsigned order = 0; order < ORDERS; order++) {
		const struct info *info = node->infos[order];
		int compared = info && newest ? info_time_compare(info->time, newest->time) : 1;

		if (!info || compared < 0)
			continue;
		if (compared > 0 || node->info_scope[order] > scope)
			scope = node->info_scope[order];
		newest = info;
	}
	if (!newest)
		return;
	count = info_addresses(newest, &node->id, addresses);
	for (size_t i = 0; i < count; i++)
		if (address_is_dialable(&addresses[i]) && address_scope(&addresses[i]) <= scope)
			offer(candidates, &addresses[i], 1);
}

size_t book_candidates(const struct book *book, const struct id *id,
	struct address out[BOOK_CANDIDATES], size_t *proven)
{
	const struct book_node *node = book_find_node(book, id);
	struct candidates candidates = {out, 0, 1};

	if (proven)
		*proven = 0;
	if (!node)
		return 0;
	if (node->has_good)
		offer(&candidates, &node->good, 1);
	begin_kind(&candidates);
	for (size_t role = 0; role < BOOK_ROLES; role++)
		if (node->configured[role])
			offer(&candidates, node->configured[role]->items,
				node->configured[role]->count);
	/* A relay counts as proven: a dial there bothers no third party. */
	candidates.most = candidates.count + 1;
	if (node->relay.family)
		offer(&candidates, &node->relay, 1);
	if (proven)
		*proven = candidates.count;
	begin_kind(&candidates);
	offer_info(&candidates, node);
	begin_kind(&candidates);
	if (node->hearsay)
		offer(&candidates, node->hearsay->items, node->hearsay->count);
	return candidates.count;
}

/* Asks random nodes of a table until one is wanted. No node is asked twice: this is the beginning
 * of a shuffle (Fisher and Yates). */
static bool random_of(struct book *book, enum book_table_name name, size_t tries,
	book_wanted *wanted, void *context, struct id *out)
{
	struct book_table *table = &book->tables[name];

	for (size_t i = 0; i < table->count && i < tries; i++) {
		table_swap(book, name, i, i + random_below(&book->random, table->count - i));
		if (wanted(context, &table->items[i]->id)) {
			*out = table->items[i]->id;
			return true;
		}
	}
	return false;
}

bool book_random(struct book *book, book_wanted *wanted, void *context, struct id *out)
{
	return random_of(book, BOOK_ALL, RANDOM_TRIES, wanted, context, out);
}

/* Asks one random node of each source, the sources in turn, until a node is wanted. */
static bool next_brought(struct book *book, book_wanted *wanted, void *context, struct id *out)
{
	size_t sources = HASH_COUNT(book->sources);

	for (size_t i = 0; i < FAIR_TRIES && i < sources; i++) {
		struct book_source *source = book->turns;
		struct book_node *node = source->nodes;

		DL_DELETE(book->turns, source);
		DL_APPEND(book->turns, source);
		for (uint64_t at = random_below(&book->random,
			     source->count < FAIR_STEPS ? source->count : FAIR_STEPS);
			at > 0; at--)
			node = node->source_next;
		if (wanted(context, &node->id)) {
			*out = node->id;
			return true;
		}
	}
	return false;
}

bool book_random_fair(struct book *book, book_wanted *wanted, void *context, struct id *out)
{
	bool own_first = random_below(&book->random, 2) == 0;

	return (own_first && random_of(book, BOOK_OWN, FAIR_TRIES, wanted, context, out)) ||
	       next_brought(book, wanted, context, out) ||
	       (!own_first && random_of(book, BOOK_OWN, FAIR_TRIES, wanted, context, out));
}
