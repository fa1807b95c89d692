/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/peers/book.h"
#include "support_heap.h"

#define MAX_NODES 4

static struct book *book;
static struct counters counters;
static struct id me;

static struct id node_id(uint32_t number)
{
	struct id id = {{0}};

	id.bytes[0] = 1;
	memcpy(id.bytes + 4, &number, sizeof number);
	return id;
}

static struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

static struct address numbered(unsigned number)
{
	return (struct address){
		.family = 4, .ip = {10, 0, (uint8_t)(number >> 8), (uint8_t)number}, .port = 2022};
}

static int setup(void **state)
{
	static uint64_t seed;
	struct random random = random_seeded(&seed);

	seed = 1;
	memset(&counters, 0, sizeof counters);
	memset(&me, 0xee, sizeof me);
	heap_begin();
	assert_int_equal(book_new(&me, &random, &counters, MAX_NODES, &book), 0);
	return 0;
}

static int teardown(void **state)
{
	book_free(book);
	heap_end();
	return 0;
}

static void configure(uint32_t node, const char *text)
{
	struct id id = node_id(node);
	struct address one = address(text);

	assert_int_equal(book_configure(book, &id, &one, 1), 0);
}

static int hear(uint64_t now, uint32_t node, const char *text, bool from_loopback)
{
	struct id id = node_id(node);
	struct address one = address(text);

	return book_hear(book, now, &id, &one, 1, from_loopback);
}

/* The candidates of a node, in order; NULL ends the list. */
static void expect(uint32_t node, ...)
{
	struct address candidates[BOOK_CANDIDATES], wanted;
	struct id id = node_id(node);
	size_t count = book_candidates(book, &id, candidates), at = 0;
	const char *text;
	va_list texts;

	va_start(texts, node);
	while ((text = va_arg(texts, const char *))) {
		wanted = address(text);
		assert_true(at < count);
		assert_int_equal(address_compare(&candidates[at], &wanted), 0);
		at++;
	}
	va_end(texts);
	assert_int_equal(at, count);
}

static void nobody_is_known(void **state)
{
	struct id id = node_id(1);

	expect(1, NULL);
	assert_int_equal(book_size(book), 0);
	assert_false(book_is_trusted(book, &id));
	book_set_linked(book, &id, true);
	assert_int_equal(book_size(book), 0);
	book_free(NULL);
}

static void configured_come_before_hearsay(void **state)
{
	struct id id = node_id(1);

	assert_int_equal(hear(1, 1, "10.0.0.1:1", false), 0);
	assert_false(book_is_trusted(book, &id));
	configure(1, "10.0.0.2:2");
	assert_true(book_is_trusted(book, &id));
	expect(1, "10.0.0.2:2", "10.0.0.1:1", NULL);
	/* Hearsay replaces hearsay only. */
	assert_int_equal(hear(2, 1, "10.0.0.3:3", false), 0);
	expect(1, "10.0.0.2:2", "10.0.0.3:3", NULL);
	/* A new look-up replaces what was configured, */
	configure(1, "10.0.0.4:4");
	expect(1, "10.0.0.4:4", "10.0.0.3:3", NULL);
	/* and hearsay that says the same counts once. */
	assert_int_equal(hear(3, 1, "10.0.0.4:4", false), 0);
	expect(1, "10.0.0.4:4", NULL);
	assert_int_equal(book_size(book), 1);
}

static void what_worked_comes_first(void **state)
{
	struct id id = node_id(1);
	struct address worked = address("10.0.0.9:9");

	configure(1, "10.0.0.2:2");
	assert_int_equal(hear(1, 1, "10.0.0.1:1", false), 0);
	book_worked(book, 2, &id, &worked);
	expect(1, "10.0.0.9:9", "10.0.0.2:2", "10.0.0.1:1", NULL);
	worked = address("10.0.0.1:1");
	book_worked(book, 3, &id, &worked);
	expect(1, "10.0.0.1:1", "10.0.0.2:2", NULL);
	/* A node that has come by itself. */
	id = node_id(2);
	book_worked(book, 4, &id, &worked);
	expect(2, "10.0.0.1:1", NULL);
	assert_false(book_is_trusted(book, &id));
}

static void our_own_id(void **state)
{
	struct address one = address("10.0.0.1:1");

	assert_int_equal(book_configure(book, &me, &one, 1), ERROR_INVALID);
	assert_int_equal(book_hear(book, 1, &me, &one, 1, false), 0);
	book_worked(book, 1, &me, &one);
	assert_int_equal(book_size(book), 0);
}

static void what_cannot_be_dialled(void **state)
{
	static const char *const useless[] = {"0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:1",
		"255.255.255.255:1", "[::]:1", "[ff02::1]:1"};

	for (size_t i = 0; i < sizeof useless / sizeof *useless; i++)
		assert_int_equal(hear(1, 1, useless[i], true), 0);
	assert_int_equal(book_size(book), 0);
	/* Nor does it replace what is known. */
	assert_int_equal(hear(1, 1, "10.0.0.1:1", false), 0);
	assert_int_equal(hear(2, 1, "10.0.0.1:0", false), 0);
	expect(1, "10.0.0.1:1", NULL);
	assert_int_equal(book_hear(book, 3, &(struct id){{1}}, NULL, 0, false), 0);
	assert_int_equal(book_size(book), 1);
}

static void loopback_only_from_loopback(void **state)
{
	assert_int_equal(hear(1, 1, "127.0.0.1:1", false), 0);
	assert_int_equal(hear(1, 1, "[::1]:1", false), 0);
	assert_int_equal(hear(1, 1, "[::ffff:127.0.0.1]:1", false), 0);
	assert_int_equal(book_size(book), 0);
	assert_int_equal(hear(1, 1, "127.0.0.1:1", true), 0);
	expect(1, "127.0.0.1:1", NULL);
	assert_int_equal(hear(1, 2, "[::1]:1", true), 0);
	expect(2, "[::1]:1", NULL);
}

static void addresses_are_bounded(void **state)
{
	struct address addresses[2 * LIMIT_ADDRESSES_PER_NODE], out[BOOK_CANDIDATES], more[3];
	struct address worked = address("[2001:db8::1]:1");
	struct id id = node_id(1);

	for (unsigned i = 0; i < 2 * LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[i] = numbered(i);
	assert_int_equal(book_configure(book, &id, addresses, 2 * LIMIT_ADDRESSES_PER_NODE), 0);
	assert_int_equal(book_candidates(book, &id, out), LIMIT_ADDRESSES_PER_NODE);
	for (unsigned i = 0; i < 2 * LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[i] = numbered(1000 + i);
	assert_int_equal(
		book_hear(book, 1, &id, addresses, 2 * LIMIT_ADDRESSES_PER_NODE, false), 0);
	book_worked(book, 1, &id, &worked);
	assert_int_equal(book_candidates(book, &id, out), BOOK_CANDIDATES);
	assert_int_equal(address_compare(&out[0], &worked), 0);
	/* The same one many times does not take the places of others. */
	more[0] = more[1] = numbered(7);
	more[2] = numbered(8);
	id = node_id(2);
	assert_int_equal(book_hear(book, 1, &id, more, 3, false), 0);
	assert_int_equal(book_candidates(book, &id, out), 2);
	/* No addresses: configured, but not to be found yet. */
	assert_int_equal(book_configure(book, &id, NULL, 0), 0);
	assert_true(book_is_trusted(book, &id));
}

static void the_oldest_gives_way(void **state)
{
	struct id linked = node_id(1);

	configure(0, "10.0.0.1:1");
	assert_int_equal(hear(1, 1, "10.0.1.1:1", false), 0);
	assert_int_equal(hear(5, 2, "10.0.2.1:1", false), 0);
	assert_int_equal(hear(3, 3, "10.0.3.1:1", false), 0);
	assert_int_equal(book_size(book), MAX_NODES);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEERS), 0);
	/* Node 1 was heard of first, but there is a link to it. */
	book_set_linked(book, &linked, true);
	assert_int_equal(hear(6, 4, "10.0.4.1:1", false), 0);
	expect(3, NULL);
	expect(1, "10.0.1.1:1", NULL);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEERS), 1);
	/* Being heard of again counts. */
	assert_int_equal(hear(7, 2, "10.0.2.2:1", false), 0);
	assert_int_equal(hear(8, 5, "10.0.5.1:1", false), 0);
	expect(4, NULL);
	book_set_linked(book, &linked, false);
	assert_int_equal(hear(9, 6, "10.0.6.1:1", false), 0);
	expect(1, NULL);
	expect(0, "10.0.0.1:1", NULL);
	assert_int_equal(book_size(book), MAX_NODES);
}

static void everybody_has_to_stay(void **state)
{
	struct address worked = address("10.0.0.1:1");
	struct id id = node_id(100);

	for (uint32_t node = 0; node < MAX_NODES; node++)
		configure(node, "10.0.0.1:1");
	assert_int_equal(hear(1, 100, "10.0.0.1:1", false), ERROR_LIMIT);
	book_worked(book, 1, &id, &worked);
	assert_int_equal(book_size(book), MAX_NODES);
	/* Who is configured is kept all the same. */
	configure(MAX_NODES, "10.0.0.1:1");
	assert_int_equal(book_size(book), MAX_NODES + 1);
}

static void a_flood_of_hearsay(void **state)
{
	char text[ADDRESS_TEXT_SIZE];

	configure(0, "10.0.0.1:1");
	for (unsigned i = 1; i < 2000; i++) {
		struct address one = numbered(i);

		address_format(&one, text);
		assert_int_equal(hear(i, i, text, false), 0);
		assert_true(book_size(book) <= MAX_NODES);
	}
	expect(0, "10.0.0.1:1", NULL);
	expect(1999, "10.0.7.207:2022", NULL);
}

static void each_allocation_fails(void **state)
{
	static uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct address one = address("10.0.0.1:1");
	struct id first = node_id(1), second = node_id(2), third = node_id(3);
	bool failed = true;
	int error;

	for (size_t n = 1; failed; n++) {
		book_free(book);
		book = NULL;
		heap_fail(n, false);
		error = book_new(&me, &random, &counters, MAX_NODES, &book);
		if (!error) {
			error = book_configure(book, &first, &one, 1);
			assert_true(error == 0 || error == ERROR_NOMEM);
			assert_int_equal(book_is_trusted(book, &first), error == 0);
			error = book_hear(book, 1, &second, &one, 1, false);
			assert_true(error == 0 || error == ERROR_NOMEM);
			book_worked(book, 1, &third, &one);
			assert_true(book_size(book) >= 2 || heap_has_failed());
		} else {
			assert_int_equal(error, ERROR_NOMEM);
		}
		failed = heap_has_failed();
		heap_fail(0, false);
	}
	assert_int_equal(book_size(book), 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_known),
		TEST(configured_come_before_hearsay),
		TEST(what_worked_comes_first),
		TEST(our_own_id),
		TEST(what_cannot_be_dialled),
		TEST(loopback_only_from_loopback),
		TEST(addresses_are_bounded),
		TEST(the_oldest_gives_way),
		TEST(everybody_has_to_stay),
		TEST(a_flood_of_hearsay),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
