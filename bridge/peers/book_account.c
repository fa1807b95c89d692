/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the address book tells about a node for display. The book decides nothing by it. */
#include "book_internal.h"

static void add(struct book_account *account, const struct address *addresses, size_t count,
	enum book_origin origin, const struct id *source)
{
	const size_t most = sizeof account->places / sizeof *account->places;

	for (size_t i = 0; i < count && account->places_count < most; i++)
		account->places[account->places_count++] =
			(struct book_place){addresses[i], origin, *source};
}

static void add_info(struct book_account *account, const struct book_node *node)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	const struct info *newest = NULL;

	for (unsigned order = 0; order < ORDERS; order++)
		if (node->infos[order] &&
			(!newest || info_time_compare(node->infos[order]->time, newest->time) > 0))
			newest = node->infos[order];
	if (newest)
		add(account, addresses, info_addresses(newest, &node->id, addresses), BOOK_ITS_INFO,
			&node->id);
	if (node->relay.family)
		add(account, &node->relay, 1, BOOK_ITS_INFO, &node->id);
}

bool book_describe(const struct book *book, const struct id *id, struct book_account *out)
{
	const struct book_node *node = book_find_node(book, id);

	if (!node)
		return false;
	*out = (struct book_account){.worked = node->worked,
		.failed = node->failed,
		.away = node->away != BOOK_HERE};
	if (node->has_good)
		add(out, &node->good, 1, BOOK_ITS_LAST, id);
	for (size_t role = 0; role < BOOK_ROLES; role++)
		if (node->configured[role])
			add(out, node->configured[role]->items, node->configured[role]->count,
				BOOK_ITS_CONFIGURED, id);
	add_info(out, node);
	if (node->hearsay)
		add(out, node->hearsay->items, node->hearsay->count, BOOK_ITS_HEARSAY,
			node->source ? &node->source->id : id);
	return true;
}

void book_number(const struct book *book, size_t number, struct id *node)
{
	*node = book->tables[BOOK_ALL].items[number]->id;
}
