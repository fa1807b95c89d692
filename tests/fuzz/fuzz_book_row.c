/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rows of the address book: what can be restored can be used, and its row says the same. */
#include <stdlib.h>
#include <string.h>

#include "bridge/error.h"
#include "bridge/peers/book.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the vectors' node, so that the infos in the corpus speak of it. */
static const struct id node = {{0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb,
	0x2d, 0x3c, 0xba, 0x5d, 0x72, 0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3, 0x74,
	0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c}};

static struct book *new_book(void)
{
	static struct counters counters;
	static const struct id me = {{1}};
	static uint64_t seed;
	struct random random = random_seeded(&seed);
	struct book *book;

	seed = 1;
	if (book_new(&me, &random, &counters, 4, &book))
		abort();
	return book;
}

/* Its row, written anew: after a change, and that taken back. */
static size_t row_of(struct book *book, uint8_t out[BOOK_ROW_SIZE])
{
	static const struct id topic = {{0xfe, 0xed}};
	bool changed = book_set_shared(book, 1, &node, &topic, true);
	struct id id;
	size_t size;

	/* It may share that, or have as many as it may. */
	if (!changed && !book_set_shared(book, 1, &node, &topic, false))
		book_set_dialect(book, &node, (book_dialect(book, &node) + 1) % (DIALECT_071 + 1));
	else if (changed)
		book_set_shared(book, 1, &node, &topic, false);
	if (!book_row(book, &id, out, &size) || !id_equal(&id, &node))
		abort();
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first[BOOK_ROW_SIZE], second[BOOK_ROW_SIZE];
	struct address candidates[BOOK_CANDIDATES];
	struct book *book = new_book(), *again = NULL;
	size_t first_size, second_size, proven;
	const struct info *info;
	struct id found;

	if (book_restore(book, &node, data, size)) {
		if (book_size(book) > 0)
			abort();
		goto out;
	}
	for (unsigned order = 0; order < ORDERS; order++) {
		info = book_info(book, &node, order);
		if (book_infos(book, order) != (info != NULL) ||
			(info && book_info_number(book, order, 0, &found) != info))
			abort();
	}
	if (book_candidates(book, &node, candidates, &proven) < proven || proven > 1)
		abort();
	first_size = row_of(book, first);
	again = new_book();
	if (first_size > 0 && book_restore(again, &node, first, first_size))
		abort();
	if (first_size > 0) {
		second_size = row_of(again, second);
		/* The dialect may have been turned one further. */
		if (second_size != first_size || memcmp(first, second, 2) ||
			memcmp(first + 3, second + 3, first_size - 3))
			abort();
	}
out:
	book_free(again);
	book_free(book);
	return 0;
}
