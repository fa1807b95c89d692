/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "support_book.h"
#include "support_heap.h"

static void a_row_for_each_change(void **state)
{
	struct id id = node_id(1), source = node_id(1000000);
	struct address two[] = {numbered(1), numbered(2)};

	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	assert_int_equal(hear(2, "10.0.0.1:1"), 0);
	assert_int_equal(hear(1, "10.0.0.2:1"), 0); /* it comes once */
	assert_int_equal(next_row(), 1);
	assert_true(row_size > 0);
	assert_int_equal(next_row(), 2);
	no_more_rows();
	/* Nothing new is no change. */
	assert_int_equal(hear(1, "10.0.0.2:1"), 0);
	link_to(1, true);
	link_to(1, false);
	configure(1, "10.0.0.9:1");
	no_more_rows();
	/* Each of these is one. */
	assert_int_equal(book_hear(book, now++, &id, &source, two, 2, ADDRESS_PRIVATE), 0);
	assert_int_equal(next_row(), 1);
	assert_true(insert(1, 1, FIRST, "10.0.0.1:1"));
	assert_int_equal(next_row(), 1);
	assert_false(insert(1, 1, FIRST, "10.0.0.1:1"));
	no_more_rows();
	assert_true(insert(1, 1, OTHER, "10.0.0.1:1"));
	assert_int_equal(next_row(), 1);
	assert_true(share(1, 1, true));
	assert_int_equal(next_row(), 1);
	assert_false(share(1, 1, true));
	no_more_rows();
	assert_true(share(1, 1, false));
	assert_int_equal(next_row(), 1);
	book_set_dialect(book, &id, DIALECT_07);
	assert_int_equal(next_row(), 1);
	book_set_dialect(book, &id, DIALECT_07);
	no_more_rows();
	worked_at(WALL, 1, "10.0.0.1:1");
	assert_int_equal(next_row(), 1);
	worked_at(WALL, 1, "10.0.0.1:2");
	assert_int_equal(next_row(), 1);
	no_more_rows();
}

static void time_alone_is_no_storm(void **state)
{
	unsigned rows = 0;

	/* Once a second for an hour. */
	for (uint64_t i = 0; i < 3600; i++) {
		worked_at(WALL + i * 1000000, 1, "10.0.0.1:1");
		rows += drain_rows();
	}
	assert_true(rows >= 2 && rows <= 7);
	/* The clock has been set back. */
	worked_at(WALL - 60 * MINUTE_US, 1, "10.0.0.1:1");
	assert_int_equal(next_row(), 1);
	rows = 0;
	for (uint64_t i = 0; i < 3600; i++) {
		struct id id = node_id(1);

		book_failed(book, now++, WALL + i * 1000000, &id);
		rows += drain_rows();
	}
	assert_true(is_stale(1));
	assert_true(rows >= 2 && rows <= 8);
	worked_at(WALL - 60 * MINUTE_US, 1, "10.0.0.1:1"); /* not stale any more: that is news */
	assert_int_equal(next_row(), 1);
	no_more_rows();
}

static void rows_of_those_who_are_gone(void **state)
{
	for (uint32_t node = 0; node < MAX_NODES; node++)
		assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	assert_int_equal(drain_rows(), MAX_NODES);
	assert_int_equal(hear(10, "10.0.0.1:1"), 0);
	assert_int_equal(hear(11, "10.0.0.1:1"), 0);
	assert_int_equal(book_size(book), MAX_NODES);
	assert_int_equal(next_row(), 0);
	assert_int_equal(row_size, 0);
	assert_false(knows(0));
	/* Node 1 comes back before its row was deleted: it is replaced instead. */
	assert_int_equal(hear(1, "10.0.0.2:1"), 0);
	assert_int_equal(next_row(), 10);
	assert_int_equal(next_row(), 1);
	assert_true(row_size > 0);
	assert_int_equal(next_row(), 11);
	assert_int_equal(next_row(), 2);
	assert_int_equal(row_size, 0);
	no_more_rows();
	expect(1, 0, "10.0.0.2:1", NULL);
	/* What has never had a row needs no deletion; what had is told once. */
	renew(1);
	for (uint32_t node = 0; node < 100; node++)
		assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	assert_int_equal(next_row(), 99);
	no_more_rows();
	for (int i = 0; i < 5; i++)
		for (uint32_t node = 98; node < 100; node++)
			assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	for (uint32_t node = 0; node < 50; node++)
		assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	assert_int_equal(next_row(), 99);
	assert_int_equal(row_size, 0);
	assert_int_equal(next_row(), 49);
	no_more_rows();
}

static void the_configuration_is_no_row(void **state)
{
	configure(1, "10.0.0.1:1");
	unanswered(1);
	no_more_rows();
	assert_true(share(1, 1, true));
	assert_int_equal(next_row(), 1);
	assert_true(row_size > 0);
	assert_true(share(1, 1, false));
	assert_int_equal(next_row(), 1);
	assert_int_equal(row_size, 0); /* there is nothing left to be kept */
	no_more_rows();
}

/* Everything that a row can have, of node 1. */
static void make_full_row(void)
{
	struct id id = node_id(1), source = node_id(500);
	struct address addresses[] = {numbered(1), address("[2001:db8::1]:2")};
	bool fresh;

	assert_int_equal(book_hear(book, now++, &id, &source, addresses, 2, ADDRESS_PRIVATE), 0);
	assert_int_equal(insert_from(500, 1, 7, FIRST, "127.0.0.1:7", ADDRESS_LOOPBACK, &fresh), 0);
	assert_int_equal(insert_from(500, 1, 6, OTHER, "10.0.0.6:6", ADDRESS_PRIVATE, &fresh), 0);
	assert_true(share(1, 1, true));
	assert_true(share(1, 2, true));
	book_set_dialect(book, &id, DIALECT_071);
	for (int i = 0; i < 3; i++)
		unanswered(1);
}

static void rows_come_back(void **state)
{
	struct id id = node_id(1);
	static uint8_t again[BOOK_ROW_SIZE];
	size_t again_size;

	for (int proven = 0; proven < 2; proven++) {
		renew(MAX_NODES);
		make_full_row();
		if (proven)
			worked_at(WALL, 1, "[2001:db8::9]:9");
		assert_int_equal(next_row(), 1);
		renew(MAX_NODES);
		assert_int_equal(book_restore(book, &id, row, row_size), 0);
		no_more_rows();
		assert_int_equal(book_size(book), 1);
		if (proven)
			expect(1, 1, "[2001:db8::9]:9", "127.0.0.1:7", "10.0.0.1:2022",
				"[2001:db8::1]:2", NULL);
		else
			expect(1, 0, "127.0.0.1:7", "10.0.0.1:2022", "[2001:db8::1]:2", NULL);
		assert_int_equal(is_stale(1), !proven);
		assert_true(shares(1, 1) && shares(1, 2));
		assert_int_equal(book_dialect(book, &id), DIALECT_071);
		assert_int_equal(book_info(book, &id, FIRST)->time.us, 7);
		assert_int_equal(book_info(book, &id, FIRST)->order, FIRST);
		assert_int_equal(book_info(book, &id, OTHER)->time.us, 6);
		assert_int_equal(book_info(book, &id, OTHER)->order, OTHER);
		/* It has a row: it is written again, and deleted when it goes. */
		assert_true(share(1, 3, true));
		assert_true(share(1, 3, false));
		assert_true(book_row(book, &id, again, &again_size));
		assert_int_equal(again_size, row_size);
		assert_memory_equal(again, row, row_size);
		for (uint32_t node = 10; node < 20; node++)
			worked(node);
		assert_int_equal(next_row(), 1);
		assert_int_equal(row_size, 0);
	}
}

static void restoring_overwrites_nothing(void **state)
{
	struct id id = node_id(1);

	make_full_row();
	worked_at(WALL, 1, "[2001:db8::9]:9");
	assert_int_equal(next_row(), 1);
	renew(MAX_NODES);
	/* The configuration was there before. */
	configure(1, "10.0.0.2:2");
	assert_int_equal(hear(1, "10.0.0.3:3"), 0);
	assert_true(insert(1, 8, OTHER, "10.0.0.8:8"));
	worked_at(WALL, 1, "10.0.0.4:4");
	assert_int_equal(book_restore(book, &id, row, row_size), 0);
	expect(1, 2, "10.0.0.4:4", "10.0.0.2:2", "10.0.0.8:8", "10.0.0.3:3", NULL);
	assert_int_equal(book_info(book, &id, FIRST)->time.us, 7);
	assert_true(book_is_trusted(book, &id) && shares(1, 1));
	/* Twice the same. */
	assert_int_equal(book_restore(book, &id, row, row_size), 0);
	assert_int_equal(book_size(book), 1);
	/* Or it comes afterwards. */
	renew(MAX_NODES);
	assert_int_equal(book_restore(book, &id, row, row_size), 0);
	configure(1, "10.0.0.2:2");
	expect(1, 2, "[2001:db8::9]:9", "10.0.0.2:2", "127.0.0.1:7", "10.0.0.1:2022",
		"[2001:db8::1]:2", NULL);
}

static void restoring_into_a_full_book(void **state)
{
	struct id id = node_id(1);

	make_full_row();
	assert_int_equal(next_row(), 1);
	renew(MAX_NODES);
	for (uint32_t node = 10; node < 10 + MAX_NODES; node++)
		assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	assert_int_equal(book_restore(book, &id, row, row_size), ERROR_LIMIT);
	assert_int_equal(book_size(book), MAX_NODES);
	assert_true(knows(10));
	/* Who brought it is remembered with it. */
	renew(LIMIT_NODES);
	for (uint32_t node = 0; node < LIMIT_HEARSAY_PER_NODE; node++) {
		id = node_id(1000 + node);
		assert_int_equal(book_restore(book, &id, row, row_size), 0);
	}
	id = node_id(1);
	assert_int_equal(book_restore(book, &id, row, row_size), ERROR_LIMIT);
	assert_int_equal(invent(500, 5000), 0);
	assert_false(knows(1000));
	assert_int_equal(book_size(book), LIMIT_HEARSAY_PER_NODE);
}

/* Whatever has been restored can be used, and written. */
static void use_everything(void)
{
	struct address out[BOOK_CANDIDATES];
	struct id id = node_id(1), node;

	for (enum info_order order = 0; order < ORDERS; order++)
		for (size_t i = 0; i < book_infos(book, order); i++) {
			assert_non_null(book_info_number(book, order, i, &node));
			book_candidates(book, &node, out, NULL);
		}
	assert_true(book_candidates(book, &id, out, NULL) <= BOOK_CANDIDATES);
	share(1, 4711, true);
	assert_int_equal(next_row(), 1);
}

static void damaged_rows(void **state)
{
	static uint8_t whole[BOOK_ROW_SIZE];
	struct id id = node_id(1);
	unsigned invalid = 0;
	size_t size;
	uint8_t *copy;

	make_full_row();
	worked_at(WALL, 1, "[2001:db8::9]:9");
	assert_int_equal(next_row(), 1);
	size = row_size;
	memcpy(whole, row, size);
	for (size_t cut = 0; cut < size; cut++) {
		copy = malloc(cut ? cut : 1); /* so that reading beyond it is noticed */
		memcpy(copy, whole, cut);
		renew(MAX_NODES);
		assert_int_equal(book_restore(book, &id, copy, cut), ERROR_INVALID);
		assert_int_equal(book_size(book), 0);
		free(copy);
	}
	whole[size] = 0;
	assert_int_equal(book_restore(book, &id, whole, size + 1), ERROR_INVALID);
	for (size_t at = 0; at < size; at++) {
		for (unsigned bit = 0; bit < 9; bit++) {
			uint8_t was = whole[at];
			int error;

			whole[at] = bit < 8 ? was ^ (uint8_t)(1u << bit) : 0xff;
			copy = malloc(size);
			memcpy(copy, whole, size);
			whole[at] = was;
			renew(MAX_NODES);
			error = book_restore(book, &id, copy, size);
			free(copy);
			assert_true(error == 0 || error == ERROR_INVALID);
			assert_int_equal(book_size(book), error == 0);
			invalid += error != 0;
			if (!error)
				use_everything();
		}
	}
	assert_true(invalid > size);
}

static void ten_thousand_rows(void **state)
{
	struct kept {
		struct id id;
		uint8_t *row;
		size_t size;
	} *kept = calloc(LIMIT_NODES, sizeof *kept);
	size_t count = 0, bytes = 0;
	clock_t begun;

	fill();
	begun = clock();
	while (book_row(book, &kept[count].id, row, &kept[count].size)) {
		assert_true(count < LIMIT_NODES);
		kept[count].row = malloc(kept[count].size);
		memcpy(kept[count].row, row, kept[count].size);
		bytes += kept[count++].size;
	}
	assert_int_equal(count, LIMIT_NODES);
	print_message("10000 rows of %zu bytes: written in %.3f s", bytes / count, seconds(begun));
	renew(LIMIT_NODES);
	begun = clock();
	for (size_t i = 0; i < count; i++)
		assert_int_equal(book_restore(book, &kept[i].id, kept[i].row, kept[i].size), 0);
	print_message(", restored in %.3f s\n", seconds(begun));
	assert_true(seconds(begun) < 1);
	assert_int_equal(book_size(book), LIMIT_NODES);
	no_more_rows();
	for (size_t i = 0; i < count; i++)
		free(kept[i].row);
	free(kept);
}

static void restoring_without_memory(void **state)
{
	struct id id = node_id(1);
	bool failed = true;
	int error;

	make_full_row();
	assert_int_equal(next_row(), 1);
	for (size_t n = 1; failed; n++) {
		renew(MAX_NODES);
		heap_fail(n, false);
		error = book_restore(book, &id, row, row_size);
		failed = heap_has_failed();
		heap_fail(0, false);
		assert_int_equal(error, failed ? ERROR_NOMEM : 0);
		assert_int_equal(book_size(book), !failed);
		no_more_rows(); /* the row is there for the next time */
	}
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define MEASURED(name) cmocka_unit_test_setup_teardown(name, setup_measured, teardown_measured)
	const struct CMUnitTest tests[] = {
		TEST(a_row_for_each_change),
		TEST(time_alone_is_no_storm),
		TEST(rows_of_those_who_are_gone),
		TEST(the_configuration_is_no_row),
		TEST(rows_come_back),
		TEST(restoring_overwrites_nothing),
		TEST(restoring_into_a_full_book),
		TEST(damaged_rows),
		MEASURED(ten_thousand_rows),
		TEST(restoring_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
