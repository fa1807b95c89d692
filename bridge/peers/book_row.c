/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rows of the address book. Version 1, in postcard's manner:
 *
 *   u8 version, u8 flags, u8 dialect, u8 failures, varint worked, varint failed (wall us),
 *   [GOOD: address] [SOURCE: 32 bytes] varint count, addresses (hearsay),
 *   [INFO: one in CBOR]*, varint count, 32 bytes each (topics); nothing after them.
 *
 * An address is u8 family (4, 6, 1: a relay), 4 or 16 bytes, u16 port (big-endian). A row does not
 * hold what is configured: that comes from the configuration.
 */
#include "../bytes/postcard.h"
#include "book_internal.h"

#define VERSION 1

enum flags {
	GOOD = 1,
	SOURCE = 2,
	INFO_FIRST = 4, /* of ORDER_TIMESTAMP_FIRST; the next bit is the other order's */
	LOCAL_FIRST = INFO_FIRST << ORDERS,
	PRIVATE_FIRST = LOCAL_FIRST << ORDERS,
	FLAGS_END = PRIVATE_FIRST << ORDERS,
};

/* ---- writing ---- */

static void write_address(struct writer *writer, const struct address *address)
{
	writer_u8(writer, address->family);
	writer_bytes(writer, address->ip, address->family == 4 ? 4 : 16);
	writer_u16(writer, address->port);
}

static unsigned scope_flag(enum address_scope scope)
{
	return scope == ADDRESS_LOOPBACK  ? LOCAL_FIRST
	       : scope == ADDRESS_PRIVATE ? PRIVATE_FIRST
					  : 0;
}

static void encode(const struct book_node *node, struct writer *writer)
{
	const struct book_share *share;
	unsigned flags = (node->has_good ? GOOD : 0) | (node->source ? SOURCE : 0);
	size_t count = node->hearsay ? node->hearsay->count : 0;

	for (unsigned order = 0; order < ORDERS; order++)
		if (node->infos[order])
			flags |= INFO_FIRST << order |
				 scope_flag(node->info_scope[order]) << order;
	writer_u8(writer, VERSION);
	writer_u8(writer, (uint8_t)flags);
	writer_u8(writer, (uint8_t)node->dialect);
	writer_u8(writer, node->failures);
	postcard_write_varint(writer, node->worked);
	postcard_write_varint(writer, node->failed);
	if (node->has_good)
		write_address(writer, &node->good);
	if (node->source)
		writer_bytes(writer, &node->source->id, ID_SIZE);
	postcard_write_varint(writer, count);
	for (size_t i = 0; i < count; i++)
		write_address(writer, &node->hearsay->items[i]);
	for (unsigned order = 0; order < ORDERS; order++)
		if (node->infos[order])
			info_encode_cbor(node->infos[order], writer);
	postcard_write_varint(writer, node->shares_count);
	DL_FOREACH (node->shares, share)
		writer_bytes(writer, &share->topic->id, ID_SIZE);
}

/* Tells whether the book knows anything of the node that the configuration does not say. */
static bool is_worth_a_row(const struct book_node *node)
{
	bool worth = !node->gone && (node->has_good || node->hearsay || node->shares ||
					    node->dialect != DIALECT_UNKNOWN);

	for (unsigned order = 0; order < ORDERS; order++)
		worth = worth || node->infos[order];
	return worth;
}

bool book_row(struct book *book, struct id *id, uint8_t out[BOOK_ROW_SIZE], size_t *size)
{
	struct book_node *node;
	struct writer writer;
	bool told = false;

	while (!told && (node = book->changes)) {
		DL_DELETE2(book->changes, node, changes_prev, changes_next);
		node->changed = false;
		*id = node->id;
		*size = 0;
		told = node->on_disk;
		node->on_disk = is_worth_a_row(node);
		if (node->on_disk) {
			writer_init(&writer, out, BOOK_ROW_SIZE);
			encode(node, &writer);
			*size = writer_size(&writer);
			node->row_worked = node->worked;
			node->row_failed = node->failed;
			told = true;
		}
		if (node->gone) {
			HASH_DELETE(hh, book->nodes, node);
			memory_free(node);
		}
	}
	return told;
}

/* ---- reading ---- */

struct row {
	unsigned flags;
	enum dialect dialect;
	uint8_t failures;
	uint64_t worked, failed;
	struct address good;
	struct id source;
	struct address hearsay[LIMIT_ADDRESSES_PER_NODE];
	size_t hearsay_count;
	struct info *infos[ORDERS]; /* the row owns them until the book takes them */
	const uint8_t *topics;
	size_t topics_count;
};

static void read_address(struct reader *reader, struct address *out)
{
	memset(out, 0, sizeof *out);
	out->family = reader_u8(reader);
	if (out->family != 4 && out->family != 6 && !address_is_relay(out))
		reader_fail(reader, ERROR_INVALID);
	reader_copy(reader, out->ip, out->family == 4 ? 4 : 16);
	out->port = reader_u16(reader);
	if (!book_is_usable(out))
		reader_fail(reader, ERROR_INVALID);
}

static void read_info(struct reader *reader, enum info_order order, struct row *row)
{
	int error;

	if (reader->error)
		return;
	error = info_decode_cbor(reader, &row->infos[order]);
	if (error) {
		row->infos[order] = NULL;
		reader_fail(reader, error);
		return;
	}
	row->infos[order]->order = order;
}

/* Decodes a row. The caller owns the infos that were read, also on an error. */
static int decode(const uint8_t *bytes, size_t size, struct row *row)
{
	struct reader reader;
	uint64_t count;

	reader_init(&reader, bytes, size);
	if (reader_u8(&reader) != VERSION)
		return ERROR_INVALID;
	row->flags = reader_u8(&reader);
	row->dialect = reader_u8(&reader);
	row->failures = reader_u8(&reader);
	row->worked = postcard_read_u64(&reader);
	row->failed = postcard_read_u64(&reader);
	if (row->flags >= FLAGS_END || row->dialect > DIALECT_071 ||
		row->failures > BOOK_STALE_FAILURES)
		return ERROR_INVALID;
	if (row->flags & GOOD)
		read_address(&reader, &row->good);
	if (row->flags & SOURCE)
		reader_copy(&reader, &row->source, ID_SIZE);
	count = postcard_read_u64(&reader);
	if (count > LIMIT_ADDRESSES_PER_NODE)
		return ERROR_INVALID;
	for (row->hearsay_count = 0; row->hearsay_count < count; row->hearsay_count++)
		read_address(&reader, &row->hearsay[row->hearsay_count]);
	for (unsigned order = 0; order < ORDERS; order++)
		if (row->flags & (unsigned)INFO_FIRST << order)
			read_info(&reader, order, row);
	count = postcard_read_u64(&reader);
	if (reader.error)
		return reader.error == ERROR_NOMEM ? ERROR_NOMEM : ERROR_INVALID;
	if (count > LIMIT_TOPICS_PER_NODE || reader_left(&reader) != count * ID_SIZE)
		return ERROR_INVALID;
	row->topics_count = count;
	row->topics = reader_bytes(&reader, count * ID_SIZE);
	return ERROR_NONE;
}

static int apply(struct book *book, struct book_node *node, struct row *row)
{
	struct id topic;
	bool changed;
	int error;

	for (unsigned order = 0; order < ORDERS; order++) {
		if (!row->infos[order] ||
			(node->infos[order] && info_time_compare(row->infos[order]->time,
						       node->infos[order]->time) <= 0))
			continue;
		error = book_keep_info(book, node, row->infos[order],
			row->flags & (unsigned)LOCAL_FIRST << order	? ADDRESS_LOOPBACK
			: row->flags & (unsigned)PRIVATE_FIRST << order ? ADDRESS_PRIVATE
									: ADDRESS_GLOBAL);
		if (error)
			return error;
		row->infos[order] = NULL;
	}
	if (!node->hearsay && row->hearsay_count > 0 &&
		!(node->hearsay = book_copy_addresses(row->hearsay, row->hearsay_count)))
		return ERROR_NOMEM;
	for (size_t i = 0; i < row->topics_count; i++) {
		memcpy(&topic, row->topics + i * ID_SIZE, ID_SIZE);
		error = book_add_share(book, node, &topic, BOOK_ONLY_IF_ROOM, &changed);
		if (error == ERROR_NOMEM)
			return error;
	}
	if (node->dialect == DIALECT_UNKNOWN)
		node->dialect = row->dialect;
	if (!node->has_good && row->flags & GOOD) {
		node->has_good = true;
		node->good = row->good;
		node->worked = node->row_worked = row->worked;
	}
	if (node->failed == 0) {
		node->failed = node->row_failed = row->failed;
		node->failures = row->failures;
	}
	return ERROR_NONE;
}

int book_restore(struct book *book, const struct id *id, const uint8_t *bytes, size_t size)
{
	struct book_node *node = book_find_node(book, id);
	struct row row = {0};
	bool is_new = !node;
	int error = id_equal(id, &book->me) ? ERROR_INVALID : decode(bytes, size, &row);

	if (!error && !node)
		error = book_add_node(book, id, row.flags & SOURCE ? &row.source : NULL,
			BOOK_ONLY_IF_ROOM, &node);
	if (!error) {
		error = apply(book, node, &row);
		if (!error) {
			node->on_disk = true;
			book_enlist_node(book, node);
		} else if (is_new) {
			book_forget_node(book, node);
		}
	}
	for (unsigned order = 0; order < ORDERS; order++)
		info_free(row.infos[order]);
	return error;
}
