/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/identity.h"
#include "bridge/peers/book.h"
#include "support_heap.h"

#define NOW  UINT64_C(1000000000000)
#define WALL UINT64_C(1790000000000000)

static struct {
	struct book *book;
	struct counters counters;
	uint64_t seed;
	struct random random;
	struct identity node;
	struct id me, source;
} world;

static struct address address_of(uint8_t number)
{
	return (struct address){4, {192, 0, 2, number}, 2022};
}

static int setup(void **state)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};

	memset(&world, 0, sizeof world);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	world.me.bytes[0] = 1;
	world.source.bytes[0] = 2;
	assert_int_equal(identity_from_secret(secret, &world.node), 0);
	heap_begin();
	assert_int_equal(book_new(&world.me, &world.random, &world.counters, 10, &world.book), 0);
	return 0;
}

static int teardown(void **state)
{
	book_free(world.book);
	identity_clear(&world.node);
	heap_end();
	return 0;
}

static void assert_place(const struct book_account *account, size_t at, uint8_t number,
	enum book_origin origin, const struct id *source)
{
	const struct address address = address_of(number);

	assert_true(at < account->places_count);
	assert_int_equal(address_compare(&account->places[at].address, &address), 0);
	assert_int_equal(account->places[at].origin, origin);
	assert_true(id_equal(&account->places[at].source, source));
}

static void nothing_is_known(void **state)
{
	struct book_account account;

	assert_false(book_describe(world.book, &world.node.id, &account));
}

static void all_that_is_known_and_from_whom(void **state)
{
	const struct id *id = &world.node.id;
	struct address one = address_of(1), two = address_of(2), three = address_of(3),
		       four = address_of(4);
	struct book_account account;
	struct info *info;
	bool fresh;
	struct id found;

	assert_int_equal(
		book_hear(world.book, NOW, id, &world.source, &one, 1, ADDRESS_GLOBAL), 0);
	assert_true(book_describe(world.book, id, &account));
	assert_int_equal(account.places_count, 1);
	assert_place(&account, 0, 1, BOOK_ITS_HEARSAY, &world.source);
	assert_int_equal(account.worked + account.failed, 0);
	assert_int_equal(info_sign(&world.node, (struct info_time){WALL, 0}, ORDER_ADDRESSES_FIRST,
				 NULL, &two, 1, &info), 0);
	assert_int_equal(book_insert_info(world.book, NOW, WALL, id, &world.source, ADDRESS_GLOBAL,
				 info, &fresh), 0);
	assert_int_equal(book_configure(world.book, id, BOOK_BOOTSTRAP, &three, 1), 0);
	book_worked(world.book, NOW, WALL, id, &four);
	book_failed(world.book, NOW, WALL + 1, id);
	assert_true(book_describe(world.book, id, &account));
	assert_int_equal(account.places_count, 4);
	assert_place(&account, 0, 4, BOOK_ITS_LAST, id);
	assert_place(&account, 1, 3, BOOK_ITS_CONFIGURED, id);
	assert_place(&account, 2, 2, BOOK_ITS_INFO, id);
	/* It speaks for itself by now. */
	assert_place(&account, 3, 1, BOOK_ITS_HEARSAY, id);
	assert_int_equal(account.worked, WALL);
	assert_int_equal(account.failed, WALL + 1);
	assert_int_equal(book_size(world.book), 1);
	book_number(world.book, 0, &found);
	assert_true(id_equal(&found, id));
	/* It is configured no more: a role that it does not have is none to lose. */
	book_unconfigure(world.book, id, BOOK_TRUSTED);
	assert_true(book_is_bootstrap(world.book, id));
	book_unconfigure(world.book, id, BOOK_BOOTSTRAP);
	assert_false(book_is_bootstrap(world.book, id));
	assert_true(book_describe(world.book, id, &account));
	assert_int_equal(account.places_count, 3);
}

/* Who is not configured any more gives way as others do. */
static void a_node_that_was_configured_gives_way(void **state)
{
	struct address one = address_of(1);
	struct id id = {{9}}, first = {{100}};

	assert_int_equal(book_configure(world.book, &first, BOOK_TRUSTED, &one, 1), 0);
	for (id.bytes[1] = 0; id.bytes[1] < 20; id.bytes[1]++)
		(void)book_hear(world.book, NOW + id.bytes[1], &id, &id, &one, 1, ADDRESS_GLOBAL);
	assert_true(book_knows(world.book, &first));
	book_unconfigure(world.book, &first, BOOK_TRUSTED);
	for (; id.bytes[1] < 60; id.bytes[1]++)
		(void)book_hear(world.book, NOW + id.bytes[1], &id, &id, &one, 1, ADDRESS_GLOBAL);
	assert_false(book_knows(world.book, &first));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_known),
		TEST(all_that_is_known_and_from_whom),
		TEST(a_node_that_was_configured_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
