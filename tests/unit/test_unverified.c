/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whose turn it is. That signatures are looked at then: test_mesh.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/mesh/connections.h"
#include "bridge/mesh/unverified.h"
#include "support_heap.h"

#define AT_ONCE (LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR / 4)

static struct mesh mesh;
static struct guest guests[8];

static const struct id topic = {{0x77}}, other_topic = {{0x88}};

static void come(size_t number)
{
	struct guest *guest = &guests[number];

	*guest = (struct guest){.peer = {{(uint8_t)number}}};
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, mesh.guests, &guest->peer, sizeof guest->peer,
		keyed_hash(&mesh.keyed, &guest->peer, sizeof guest->peer), guest);
}

static void go(size_t number)
{
	HASH_DELETE(hh, mesh.guests, &guests[number]);
}

static int setup(void **state)
{
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);

	memset(&mesh, 0, sizeof mesh);
	keyed_init(&mesh.keyed, &random);
	mesh.now = 1000 * S;
	heap_begin();
	for (size_t i = 0; i < 8; i++)
		come(i);
	return 0;
}

static int teardown(void **state)
{
	unverified_free(&mesh);
	assert_int_equal(mesh.unverified_count, 0);
	assert_int_equal(unverified_deadline(&mesh), UINT64_MAX);
	HASH_CLEAR(hh, mesh.guests);
	heap_end();
	return 0;
}

static bool put_on(const struct id *which, size_t number)
{
	struct message *message = message_new(&number, sizeof number);
	bool is_put = unverified_put(&mesh, which, &guests[number].peer, message);

	if (!is_put)
		message_unref(message);
	return is_put;
}

/* How many of these had a place. */
static unsigned put(size_t number, unsigned count)
{
	unsigned had_place = 0;

	for (unsigned i = 0; i < count; i++)
		had_place += put_on(&topic, number);
	return had_place;
}

/* Who has brought the next one; -1: there is none now. */
static int take(void)
{
	struct id which, neighbour;
	struct message *message = unverified_take(&mesh, &which, &neighbour);

	if (!message)
		return -1;
	message_unref(message);
	return neighbour.bytes[0];
}

/* How many there are now of this neighbour's, and of nobody else. */
static unsigned take_all_of(int number)
{
	unsigned count = 0;
	int found;

	while ((found = take()) >= 0) {
		assert_int_equal(found, number);
		count++;
	}
	return count;
}

static void in_the_order_in_which_they_came(void **state)
{
	struct id which, neighbour;
	struct message *message;

	for (uint8_t i = 0; i < 3; i++)
		assert_true(unverified_put(&mesh, &topic, &guests[1].peer, message_new(&i, 1)));
	for (uint8_t i = 0; i < 3; i++) {
		message = unverified_take(&mesh, &which, &neighbour);
		assert_non_null(message);
		assert_int_equal(message->content[0], i);
		assert_true(id_equal(&which, &topic));
		assert_true(id_equal(&neighbour, &guests[1].peer));
		message_unref(message);
	}
	assert_int_equal(take(), -1);
}

static void neighbours_take_turns(void **state)
{
	put(1, 3), put(2, 1), put(3, 2);
	/* Those of which nothing was looked at of late: who has come last is first. */
	assert_int_equal(take(), 3);
	assert_int_equal(take(), 2);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), 3);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), -1);
}

static void who_brings_little_goes_first(void **state)
{
	put(1, 100);
	for (int i = 0; i < 10; i++)
		assert_int_equal(take(), 1);
	put(2, 1);
	assert_int_equal(take(), 2);
	/* Not so with a second one at once. */
	put(2, 1);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), 2);
	mesh.now += S / LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR * 2;
	put(2, 1);
	assert_int_equal(take(), 2);
}

static void each_has_its_part(void **state)
{
	put(1, AT_ONCE);
	assert_int_equal(take_all_of(1), AT_ONCE);
	put(1, 100);
	assert_int_equal(take(), -1);
	assert_int_equal(
		unverified_deadline(&mesh), mesh.now + S / LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR);
	put(2, 1);
	assert_true(unverified_deadline(&mesh) <= mesh.now);
	assert_int_equal(take_all_of(2), 1);
	for (int i = 0; i < 10; i++) {
		mesh.now = unverified_deadline(&mesh);
		assert_int_equal(take_all_of(1), 1);
	}
	mesh.now += 3 * S / LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR;
	assert_int_equal(take_all_of(1), 3);
}

/* It is no way to a new part to let them all be looked at, or to bring none for a moment. */
static void its_part_is_remembered(void **state)
{
	put(1, AT_ONCE);
	take_all_of(1);
	assert_int_equal(unverified_deadline(&mesh), UINT64_MAX);
	put(1, 1);
	assert_int_equal(take(), -1);
}

static void all_have_so_much_together(void **state)
{
	const unsigned both = LIMIT_SIGNED_VERIFIED / 4;
	unsigned taken[4] = {0};
	int number;

	for (size_t i = 1; i <= 3; i++)
		put(i, AT_ONCE);
	while ((number = take()) >= 0)
		taken[number]++;
	assert_int_equal(taken[1] + taken[2] + taken[3], both);
	for (size_t i = 1; i <= 3; i++)
		assert_uint_in_range(taken[i], both / 3, both / 3 + 1);
	assert_int_equal(unverified_deadline(&mesh), mesh.now + S / LIMIT_SIGNED_VERIFIED);
	/* Of what there is then, somebody who has had nothing has the first. */
	put(4, 2);
	assert_int_equal(take(), -1);
	mesh.now = unverified_deadline(&mesh);
	assert_int_equal(take(), 4);
	assert_int_equal(take(), -1);
}

/* On one overlay a crowd, passed on by a neighbour that has messages of others, too. */
static void overlays_of_one_neighbour_take_turns(void **state)
{
	struct id which, neighbour;
	struct message *message;
	unsigned before = 0;

	put(1, AT_ONCE);
	take_all_of(1);
	assert_int_equal(put(1, 10000), LIMIT_SIGNED_WAITING_PER_OVERLAY);
	assert_true(put_on(&other_topic, 1));
	do {
		mesh.now = unverified_deadline(&mesh);
		message = unverified_take(&mesh, &which, &neighbour);
		assert_non_null(message);
		message_unref(message);
		before++;
	} while (!id_equal(&which, &other_topic));
	assert_uint_in_range(before, 1, 2);
}

static void places_are_bounded_and_everybody_has_some(void **state)
{
	static const uint8_t byte = 0;
	struct id which = {{0}};
	unsigned all = 0;

	for (which.bytes[1] = 1; which.bytes[1] < 20; which.bytes[1]++)
		for (int i = 0; i < 1000; i++) {
			struct message *message = message_new(&byte, 1);

			if (unverified_put(&mesh, &which, &guests[1].peer, message))
				all++;
			else
				message_unref(message);
		}
	assert_int_equal(all, LIMIT_SIGNED_WAITING);
	assert_int_equal(put(2, 100), LIMIT_SIGNED_WAITING_LEAST);
	assert_int_equal(take(), 2);
	assert_int_equal(put(2, 100), 1);
}

static void who_has_gone_is_heard_out(void **state)
{
	put(1, 2), put(2, 1);
	go(1);
	assert_int_equal(take(), 2);
	assert_int_equal(take(), 1);
	/* It is there again before that: another one. */
	come(1);
	put(1, 1);
	assert_int_equal(take(), 1);
	put(1, 1);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), 1);
	assert_int_equal(take(), -1);
	put(1, 1);
	assert_int_equal(take(), 1);
}

static void of_a_stranger_none_is_kept(void **state)
{
	go(1);
	assert_int_equal(put(1, 1), 0);
}

static void of_one_overlay(void **state)
{
	struct id neighbour;
	struct message *message;
	unsigned count = 0;

	put(1, 3), put(2, 2), put_on(&other_topic, 2);
	while ((message = unverified_take_of(&mesh, &topic, &neighbour))) {
		message_unref(message);
		count++;
	}
	assert_int_equal(count, 5);
	assert_int_equal(take(), 2);
	assert_int_equal(take(), -1);
}

static void without_memory_there_is_no_place(void **state)
{
	for (unsigned fails = 1; fails <= 3; fails++) {
		struct message *message = message_new("", 0);

		heap_fail(fails, false);
		assert_false(unverified_put(&mesh, &topic, &guests[1].peer, message));
		assert_true(heap_has_failed());
		heap_fail(0, false);
		message_unref(message);
		assert_int_equal(unverified_deadline(&mesh), UINT64_MAX);
		assert_null(guests[1].bringer);
	}
	put(1, 1);
	assert_int_equal(take(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_the_order_in_which_they_came),
		TEST(neighbours_take_turns),
		TEST(who_brings_little_goes_first),
		TEST(each_has_its_part),
		TEST(its_part_is_remembered),
		TEST(all_have_so_much_together),
		TEST(overlays_of_one_neighbour_take_turns),
		TEST(places_are_bounded_and_everybody_has_some),
		TEST(who_has_gone_is_heard_out),
		TEST(of_a_stranger_none_is_kept),
		TEST(of_one_overlay),
		TEST(without_memory_there_is_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
