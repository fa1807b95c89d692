/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "support_book.h"
#include "support_heap.h"

/* ---- who may overwrite whom ---- */

static bool never(void *context, const struct id *node)
{
	(*(unsigned *)context)++;
	return false;
}

static void nobody_is_known(void **state)
{
	struct id id = node_id(1), found;
	unsigned asked = 0;

	expect(1, 0, NULL);
	assert_int_equal(book_size(book), 0);
	assert_false(book_knows(book, &id));
	assert_false(book_is_trusted(book, &id) || book_is_bootstrap(book, &id));
	book_set_linked(book, &id, true);
	book_set_dialect(book, &id, DIALECT_07);
	assert_int_equal(book_dialect(book, &id), DIALECT_UNKNOWN);
	unanswered(1);
	assert_false(is_stale(1));
	assert_false(share(1, 1, false));
	assert_false(shares(1, 1));
	assert_null(book_info(book, &id, FIRST));
	assert_false(book_random(book, never, &asked, &found));
	book_each_of_topic(book, &id, never, &asked);
	assert_int_equal(asked + book_size(book), 0);
	no_more_rows();
	book_free(NULL);
}

static void configured_come_before_hearsay(void **state)
{
	struct id id = node_id(1);

	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	assert_false(book_is_trusted(book, &id));
	configure(1, "10.0.0.2:2");
	assert_true(book_is_trusted(book, &id));
	expect(1, 1, "10.0.0.2:2", "10.0.0.1:1", NULL);
	/* Hearsay replaces hearsay only. */
	assert_int_equal(hear(1, "10.0.0.3:3"), 0);
	expect(1, 1, "10.0.0.2:2", "10.0.0.3:3", NULL);
	/* A new look-up replaces what was configured, */
	configure(1, "10.0.0.4:4");
	expect(1, 1, "10.0.0.4:4", "10.0.0.3:3", NULL);
	/* and hearsay that says the same counts once. */
	assert_int_equal(hear(1, "10.0.0.4:4"), 0);
	expect(1, 1, "10.0.0.4:4", NULL);
	/* A look-up may find nothing. */
	assert_int_equal(book_configure(book, &id, BOOK_TRUSTED, NULL, 0), 0);
	expect(1, 0, "10.0.0.4:4", NULL);
	assert_true(book_is_trusted(book, &id));
	assert_int_equal(book_size(book), 1);
}

static void both_roles(void **state)
{
	struct id id = node_id(1);

	configure_as(1, BOOK_BOOTSTRAP, "10.0.0.1:1");
	assert_true(book_is_bootstrap(book, &id));
	assert_false(book_is_trusted(book, &id));
	configure_as(1, BOOK_TRUSTED, "10.0.0.2:2");
	assert_true(book_is_bootstrap(book, &id) && book_is_trusted(book, &id));
	expect(1, 2, "10.0.0.2:2", "10.0.0.1:1", NULL);
	/* Of the same role only. */
	configure_as(1, BOOK_BOOTSTRAP, "10.0.0.3:3");
	expect(1, 2, "10.0.0.2:2", "10.0.0.3:3", NULL);
	configure_as(1, BOOK_TRUSTED, "10.0.0.3:3");
	expect(1, 1, "10.0.0.3:3", NULL);
}

static void what_worked_comes_first(void **state)
{
	struct id id = node_id(1);

	configure(1, "10.0.0.2:2");
	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	worked_at(WALL, 1, "10.0.0.9:9");
	expect(1, 2, "10.0.0.9:9", "10.0.0.2:2", "10.0.0.1:1", NULL);
	worked_at(WALL, 1, "10.0.0.1:1");
	expect(1, 2, "10.0.0.1:1", "10.0.0.2:2", NULL);
	/* Nobody's word takes it away. */
	assert_int_equal(hear(1, "10.0.0.7:1"), 0);
	assert_true(insert(1, 5, FIRST, "10.0.0.8:1"));
	expect(1, 2, "10.0.0.1:1", "10.0.0.2:2", "10.0.0.8:1", "10.0.0.7:1", NULL);
	/* A node that has come by itself. */
	id = node_id(2);
	worked_at(WALL, 2, "10.0.0.1:1");
	expect(2, 1, "10.0.0.1:1", NULL);
	assert_false(book_is_trusted(book, &id));
	/* That cannot be. */
	worked_at(WALL, 2, "10.0.0.1:0");
	worked_at(WALL, 3, "10.0.0.1:0");
	expect(2, 1, "10.0.0.1:1", NULL);
	assert_false(knows(3));
}

static void the_newer_info_counts(void **state)
{
	struct id id = node_id(1);

	assert_true(insert(1, 10, FIRST, "10.0.0.10:1"));
	assert_int_equal(count_of(COUNTER_INFOS), 1);
	/* The same, an older one. */
	assert_false(insert(1, 10, FIRST, "10.0.0.10:1"));
	assert_false(insert(1, 9, FIRST, "10.0.0.9:1"));
	expect(1, 0, "10.0.0.10:1", NULL);
	assert_true(insert(1, 11, FIRST, "10.0.0.11:1"));
	expect(1, 0, "10.0.0.11:1", NULL);
	assert_int_equal(book_info(book, &id, FIRST)->time.us, 11);
	assert_null(book_info(book, &id, OTHER));
	/* The other order is kept beside it; where it was before is not tried. */
	assert_true(insert(1, 10, OTHER, "10.0.0.20:1"));
	expect(1, 0, "10.0.0.11:1", NULL);
	assert_true(insert(1, 12, OTHER, "10.0.0.22:1"));
	expect(1, 0, "10.0.0.22:1", NULL);
	assert_int_equal(book_info(book, &id, FIRST)->time.us, 11);
	assert_int_equal(book_info(book, &id, OTHER)->time.us, 12);
	assert_true(insert(1, 12, FIRST, "10.0.0.22:1"));
	expect(1, 0, "10.0.0.22:1", NULL);
	/* Hearsay comes after it, and never replaces it, nor it hearsay. */
	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	expect(1, 0, "10.0.0.22:1", "10.0.0.1:1", NULL);
	assert_true(insert(1, 13, FIRST, "10.0.0.33:1"));
	expect(1, 0, "10.0.0.33:1", "10.0.0.1:1", NULL);
	configure(1, "10.0.0.2:1");
	expect(1, 1, "10.0.0.2:1", "10.0.0.33:1", "10.0.0.1:1", NULL);
	assert_int_equal(count_of(COUNTER_INFOS), 6);
}

static void what_need_not_be_verified(void **state)
{
	struct id id = node_id(1);
	struct address one = address("10.0.0.1:1");
	struct info *known = info_of(1, 10, FIRST, &one, 1), *same = info_copy(known);
	struct info *older = info_of(1, 9, FIRST, &one, 1), *newer = info_of(1, 11, FIRST, &one, 1);
	struct info *other = info_of(1, 10, OTHER, &one, 1);
	struct info *other_older = info_of(1, 9, OTHER, &one, 1);
	bool fresh;

	assert_false(book_has_info(book, &id, known));
	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	assert_false(book_has_info(book, &id, known));
	assert_int_equal(
		book_insert_info(book, 1, WALL, &id, &id, ADDRESS_PRIVATE, info_copy(known), &fresh), 0);
	assert_true(book_has_info(book, &id, same));
	assert_true(book_has_info(book, &id, older));
	assert_false(book_has_info(book, &id, newer));
	/* Those of the other order; the second one as if that were not known yet. */
	assert_false(book_has_info(book, &id, other));
	other->order = FIRST;
	assert_false(book_has_info(book, &id, other));
	other->order = OTHER;
	assert_int_equal(
		book_insert_info(book, 1, WALL, &id, &id, ADDRESS_PRIVATE, info_copy(other), &fresh), 0);
	assert_true(fresh);
	other->order = FIRST;
	same->order = OTHER;
	assert_true(book_has_info(book, &id, same));
	assert_true(book_has_info(book, &id, other));
	assert_true(book_has_info(book, &id, other_older));
	assert_false(book_has_info(book, &id, newer));
	info_free(known);
	info_free(same);
	info_free(older);
	info_free(newer);
	info_free(other);
	info_free(other_older);
}

static void infos_from_the_future(void **state)
{
	bool fresh = true;

	assert_int_equal(
		insert_from(1, 1, WALL + LIMIT_FUTURE_US + 1, FIRST, "10.0.0.1:1", ADDRESS_PRIVATE, &fresh),
		ERROR_INVALID);
	assert_false(fresh);
	assert_false(knows(1));
	assert_int_equal(count_of(COUNTER_BAD_INFO), 1);
	assert_true(insert(1, WALL + LIMIT_FUTURE_US, FIRST, "10.0.0.1:1"));
}

static void our_own_id(void **state)
{
	struct address one = address("10.0.0.1:1");
	struct id source = node_id(1), topic = topic_id(1);
	bool fresh = true;

	assert_int_equal(book_configure(book, &me, BOOK_TRUSTED, &one, 1), ERROR_INVALID);
	assert_int_equal(book_hear(book, 1, &me, &source, &one, 1, ADDRESS_PRIVATE), 0);
	assert_int_equal(book_insert_info(book, 1, WALL, &me, &source, ADDRESS_PRIVATE,
				 info_of(1, 1, FIRST, &one, 1), &fresh),
		ERROR_INVALID);
	assert_false(fresh);
	assert_int_equal(count_of(COUNTER_BAD_INFO), 1);
	book_worked(book, 1, WALL, &me, &one);
	assert_false(book_set_shared(book, 1, &me, &topic, true));
	assert_int_equal(book_restore(book, &me, row, 10), ERROR_INVALID);
	assert_int_equal(book_size(book), 0);
}

static void what_cannot_be_dialled(void **state)
{
	static const char *const useless[] = {"0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:1",
		"255.255.255.255:1", "[::]:1", "[ff02::1]:1"};
	struct id id = node_id(1);
	bool fresh;

	for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
		assert_int_equal(hear_from(1, 1, useless[i], ADDRESS_LOOPBACK), 0);
		assert_int_equal(insert_from(2, 2, i, FIRST, useless[i], ADDRESS_LOOPBACK, &fresh), 0);
		expect(2, 0, NULL);
	}
	/* An info without an address is one all the same: it can be passed on. */
	assert_int_equal(book_size(book), 1);
	/* Nor does it replace what is known. */
	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	assert_int_equal(hear(1, "10.0.0.1:0"), 0);
	expect(1, 0, "10.0.0.1:1", NULL);
	assert_int_equal(book_hear(book, 3, &id, &id, NULL, 0, ADDRESS_PRIVATE), 0);
	expect(1, 0, "10.0.0.1:1", NULL);
}

static void loopback_only_from_loopback(void **state)
{
	bool fresh;

	assert_int_equal(hear(1, "127.0.0.1:1"), 0);
	assert_int_equal(hear(1, "[::1]:1"), 0);
	assert_int_equal(hear(1, "[::ffff:127.0.0.1]:1"), 0);
	assert_int_equal(book_size(book), 0);
	assert_int_equal(hear_from(1, 1, "127.0.0.1:1", ADDRESS_LOOPBACK), 0);
	expect(1, 0, "127.0.0.1:1", NULL);
	assert_int_equal(hear_from(1, 2, "[::1]:1", ADDRESS_LOOPBACK), 0);
	expect(2, 0, "[::1]:1", NULL);
	/* Infos are kept, but not believed in this, */
	assert_true(insert(3, 1, FIRST, "127.0.0.1:3"));
	expect(3, 0, NULL);
	/* until their own machine tells them. */
	assert_int_equal(insert_from(3, 3, 1, FIRST, "127.0.0.1:3", ADDRESS_LOOPBACK, &fresh), 0);
	assert_false(fresh);
	expect(3, 0, "127.0.0.1:3", NULL);
	assert_int_equal(insert_from(3, 3, 2, FIRST, "127.0.0.1:4", ADDRESS_LOOPBACK, &fresh), 0);
	expect(3, 0, "127.0.0.1:4", NULL);
	assert_true(insert(3, 3, FIRST, "127.0.0.1:5"));
	expect(3, 0, NULL);
	/* The two of one moment are one. */
	assert_int_equal(insert_from(3, 3, 3, OTHER, "127.0.0.1:5", ADDRESS_LOOPBACK, &fresh), 0);
	expect(3, 0, "127.0.0.1:5", NULL);
}

/* 10.0.0.1 is somebody else in every private network. */
static void private_ones_from_the_same_network(void **state)
{
	bool fresh;

	assert_int_equal(hear_from(9, 1, "10.0.0.1:1", ADDRESS_GLOBAL), 0);
	assert_int_equal(hear_from(9, 1, "[fd00::1]:1", ADDRESS_GLOBAL), 0);
	assert_int_equal(book_size(book), 0);
	assert_int_equal(hear_from(9, 1, "203.0.113.1:1", ADDRESS_GLOBAL), 0);
	assert_int_equal(hear_from(9, 2, "10.0.0.1:1", ADDRESS_PRIVATE), 0);
	expect(1, 0, "203.0.113.1:1", NULL);
	expect(2, 0, "10.0.0.1:1", NULL);
	/* Infos are kept and passed on; the same from a neighbour is believed. */
	assert_int_equal(insert_from(9, 3, 1, FIRST, "192.168.1.1:3", ADDRESS_GLOBAL, &fresh), 0);
	assert_true(fresh);
	expect(3, 0, NULL);
	assert_int_equal(insert_from(8, 3, 1, FIRST, "192.168.1.1:3", ADDRESS_PRIVATE, &fresh), 0);
	expect(3, 0, "192.168.1.1:3", NULL);
	/* What is configured is. */
	configure(4, "10.0.0.4:4");
	expect(4, 1, "10.0.0.4:4", NULL);
}

static void addresses_are_bounded(void **state)
{
	struct address addresses[2 * LIMIT_ADDRESSES_PER_NODE], out[BOOK_CANDIDATES], more[3];
	const struct address relay = {.family = ADDRESS_RELAY, .ip = {7}};
	struct id id = node_id(1);
	size_t proven;
	bool fresh;

	for (enum book_role role = BOOK_TRUSTED; role <= BOOK_BOOTSTRAP; role++) {
		for (unsigned i = 0; i < 2 * LIMIT_ADDRESSES_PER_NODE; i++)
			addresses[i] = numbered(100 * role + i);
		assert_int_equal(
			book_configure(book, &id, role, addresses, 2 * LIMIT_ADDRESSES_PER_NODE),
			0);
		assert_int_equal(book_candidates(book, &id, out, NULL), LIMIT_ADDRESSES_PER_NODE);
	}
	for (unsigned i = 0; i < 2 * LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[i] = numbered(1000 + i);
	assert_int_equal(
		book_hear(book, 1, &id, &id, addresses, 2 * LIMIT_ADDRESSES_PER_NODE, ADDRESS_PRIVATE), 0);
	for (unsigned i = 0; i < LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[i] = numbered(2000 + i);
	assert_int_equal(book_insert_info(book, 1, WALL, &id, &id, ADDRESS_PRIVATE,
				 info_of(1, 1, FIRST, addresses, LIMIT_ADDRESSES_PER_NODE), &fresh),
		0);
	worked_at(WALL, 1, "[2001:db8::1]:1");
	book_set_relay(book, &id, &relay);
	assert_int_equal(book_candidates(book, &id, out, &proven), BOOK_CANDIDATES);
	assert_int_equal(proven, 1 + LIMIT_ADDRESSES_PER_NODE + 1);
	assert_true(address_is_relay(&out[proven - 1]));
	book_set_relay(book, &id, NULL);
	assert_int_equal(book_candidates(book, &id, out, NULL), BOOK_CANDIDATES - 1);
	assert_int_equal(out[0].family, 6);
	/* The same one many times does not take the places of others. */
	more[0] = more[1] = numbered(7);
	more[2] = numbered(8);
	id = node_id(2);
	assert_int_equal(book_hear(book, 1, &id, &id, more, 3, ADDRESS_PRIVATE), 0);
	assert_int_equal(book_candidates(book, &id, out, NULL), 2);
}

static void stale_nodes(void **state)
{
	struct id id = node_id(1);
	bool fresh;

	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 3; i++) {
			assert_false(is_stale(1));
			unanswered(1);
		}
		assert_true(is_stale(1));
		for (int i = 0; i < 300; i++)
			unanswered(1);
		assert_true(is_stale(1));
		/* What others say does not matter. */
		assert_int_equal(hear(1, round % 2 ? "10.0.0.1:2" : "10.0.0.1:3"), 0);
		assert_true(is_stale(1));
		switch (round) {
		case 0:
			worked(1);
			break;
		case 1: /* another one passes on what it has signed */
			assert_int_equal(
				insert_from(2, 1, 7, FIRST, "10.0.0.1:1", ADDRESS_PRIVATE, &fresh), 0);
			assert_true(fresh);
			break;
		case 2: /* nothing new, then something */
			assert_false(insert(1, 7, FIRST, "10.0.0.1:1"));
			assert_int_equal(hear_from(1, 1, "10.0.0.1:3", ADDRESS_PRIVATE), 0);
			assert_true(is_stale(1));
			assert_int_equal(hear_from(1, 1, "10.0.0.1:4", ADDRESS_PRIVATE), 0);
			break;
		case 3:
			configure(1, "10.0.0.1:1");
			break;
		}
		assert_false(is_stale(1));
	}
	unanswered(1);
	assert_false(is_stale(1));
	assert_true(book_is_trusted(book, &id));
}

/* Who is asked last, and whom others are not told of. */
static void doubtful_ones(void **state)
{
	struct id node = node_id(1), configured = node_id(2), stranger = node_id(3);
	struct address somewhere = address("192.0.2.1:2022");

	assert_false(book_is_doubtful(book, now, &node));
	assert_false(book_is_told(book, now, &node));
	book_worked(book, now, WALL, &node, &somewhere);
	assert_false(book_is_doubtful(book, now, &node));
	assert_true(book_is_told(book, now, &node));
	book_failed(book, now, WALL, &node);
	assert_true(book_is_doubtful(book, now, &node));
	book_set_linked(book, &node, true);
	assert_false(book_is_doubtful(book, now, &node));
	book_set_linked(book, &node, false);
	/* It was here just now: it may be behind a NAT. */
	assert_true(book_is_told(book, now + BOOK_TOLD_NS - 1, &node));
	assert_false(book_is_told(book, now + BOOK_TOLD_NS, &node));
	now += BOOK_TOLD_NS;
	assert_true(book_is_doubtful(book, now, &node));
	/* While there is a link, and once it has been here again. */
	book_set_linked(book, &node, true);
	assert_true(book_is_told(book, now, &node));
	book_set_linked(book, &node, false);
	assert_true(book_is_doubtful(book, now, &node));
	book_set_away(book, now, &node, false);
	assert_false(book_is_doubtful(book, now, &node));
	book_set_away(book, now, &node, true);
	assert_true(book_is_doubtful(book, now, &node));
	/* It says something of itself; somebody else does not count. */
	assert_int_equal(book_hear(book, now, &node, &stranger, &somewhere, 1, ADDRESS_GLOBAL), 0);
	assert_true(book_is_doubtful(book, now, &node));
	assert_int_equal(book_hear(book, now, &node, &node,
				 (struct address[]){address("192.0.2.2:2022")}, 1, ADDRESS_GLOBAL),
		0);
	assert_false(book_is_doubtful(book, now, &node));
	/* One of the configuration is for a while. */
	assert_int_equal(book_configure(book, &configured, BOOK_BOOTSTRAP, &somewhere, 1), 0);
	book_failed(book, now, WALL, &configured);
	assert_true(book_is_doubtful(book, now + BOOK_DOUBT_NS - 1, &configured));
	assert_false(book_is_doubtful(book, now + BOOK_DOUBT_NS, &configured));
}

static void dialects(void **state)
{
	struct id id = node_id(1);

	assert_int_equal(hear(1, "10.0.0.1:1"), 0);
	assert_int_equal(book_dialect(book, &id), DIALECT_UNKNOWN);
	book_set_dialect(book, &id, DIALECT_071);
	assert_int_equal(book_dialect(book, &id), DIALECT_071);
	book_set_dialect(book, &id, DIALECT_06);
	assert_int_equal(book_dialect(book, &id), DIALECT_06);
}

/* ---- who gives way ---- */

static void the_oldest_gives_way(void **state)
{
	configure(0, "10.0.0.1:1");
	assert_int_equal(hear(1, "10.0.1.1:1"), 0);
	assert_int_equal(hear(3, "10.0.3.1:1"), 0);
	assert_int_equal(hear(2, "10.0.2.1:1"), 0);
	assert_int_equal(book_size(book), MAX_NODES);
	assert_int_equal(count_of(COUNTER_LIMIT_PEERS), 0);
	/* Node 1 was heard of first, but there is a link to it. */
	link_to(1, true);
	link_to(1, true);
	assert_int_equal(hear(4, "10.0.4.1:1"), 0);
	assert_false(knows(3));
	expect(1, 0, "10.0.1.1:1", NULL);
	assert_int_equal(count_of(COUNTER_LIMIT_PEERS), 1);
	/* Being heard of again counts, whether or not it is news. */
	assert_int_equal(hear(2, "10.0.2.1:1"), 0);
	assert_int_equal(hear(5, "10.0.5.1:1"), 0);
	assert_false(knows(4));
	assert_int_equal(hear(2, "10.0.2.2:1"), 0);
	assert_int_equal(hear(6, "10.0.6.1:1"), 0);
	assert_false(knows(5));
	/* A link that has ended was a sign of life. */
	link_to(1, false);
	assert_int_equal(hear(7, "10.0.7.1:1"), 0);
	assert_false(knows(2));
	assert_true(insert(6, 1, FIRST, "10.0.6.1:1"));
	assert_int_equal(hear(8, "10.0.8.1:1"), 0);
	assert_false(knows(1));
	assert_true(share(6, 1, true));
	assert_int_equal(hear(9, "10.0.9.1:1"), 0);
	assert_false(knows(7));
	assert_true(knows(6));
	expect(0, 1, "10.0.0.1:1", NULL);
	assert_int_equal(book_size(book), MAX_NODES);
}

static void unproven_ones_give_way_before_proven_ones(void **state)
{
	worked(1);
	worked(2);
	worked(3);
	assert_int_equal(hear(4, "10.0.4.1:1"), 0);
	for (uint32_t node = 5; node < 50; node++) {
		assert_int_equal(hear(node, "10.0.4.1:1"), 0);
		assert_false(knows(node - 1));
	}
	/* All have been reached: who worked longest ago goes. Hearing of it does not help, */
	worked(49);
	worked(1);
	assert_int_equal(hear(2, "10.0.4.1:1"), 0);
	assert_int_equal(hear(50, "10.0.4.1:1"), 0);
	assert_false(knows(2));
	/* and that was for one only. */
	assert_int_equal(hear(51, "10.0.4.1:1"), 0);
	assert_true(knows(3) && knows(49) && knows(1));
	worked(51);
	worked(52);
	assert_false(knows(3));
	/* A link that has just ended has worked until now. */
	link_to(49, true);
	worked(53);
	assert_false(knows(1));
	link_to(49, false);
	worked(54);
	assert_true(knows(49));
	assert_false(knows(51));
	configure(52, "10.0.0.1:1");
	link_to(52, true);
	link_to(52, false);
	for (uint32_t node = 60; node < 70; node++)
		worked(node);
	assert_true(knows(52));
	assert_false(knows(49));
	assert_int_equal(book_size(book), MAX_NODES);
}

static void everybody_has_to_stay(void **state)
{
	bool fresh;

	for (uint32_t node = 0; node < MAX_NODES; node++)
		configure_as(node, node % 2, "10.0.0.1:1");
	assert_int_equal(hear(100, "10.0.0.1:1"), ERROR_LIMIT);
	assert_int_equal(insert_from(100, 100, 1, FIRST, "10.0.0.1:1", ADDRESS_PRIVATE, &fresh), ERROR_LIMIT);
	assert_false(fresh);
	assert_false(share(100, 1, true));
	worked(100);
	assert_int_equal(book_size(book), MAX_NODES);
	/* Who is configured is kept all the same. */
	configure(MAX_NODES, "10.0.0.1:1");
	assert_int_equal(book_size(book), MAX_NODES + 1);
	/* At the cost of those who may go, where there are any. */
	renew(MAX_NODES);
	for (uint32_t node = 0; node < MAX_NODES; node++)
		assert_int_equal(hear(node, "10.0.0.1:1"), 0);
	configure(MAX_NODES, "10.0.0.1:1");
	assert_int_equal(book_size(book), MAX_NODES);
	assert_false(knows(0));
}

static void a_source_replaces_its_own(void **state)
{
	const uint32_t bad = 1000000, good = 2000000, base = 100;

	renew(10000);
	assert_int_equal(invent(good, 1), 0);
	worked(2);
	for (uint32_t i = 0; i < LIMIT_HEARSAY_PER_NODE; i++)
		assert_int_equal(invent(bad, base + i), 0);
	assert_int_equal(book_size(book), LIMIT_HEARSAY_PER_NODE + 2);
	assert_int_equal(count_of(COUNTER_LIMIT_PEERS), 0);
	/* Its own oldest one goes: the first has been heard of again, by whomever. */
	assert_int_equal(invent(good, base), 0);
	assert_int_equal(invent(bad, 5000), 0);
	assert_true(knows(base));
	assert_false(knows(base + 1));
	assert_int_equal(count_of(COUNTER_LIMIT_PEERS), 1);
	/* One that has been reached, is linked, configured or speaks for itself is none of
	 * them. */
	worked(base + 2);
	link_to(base + 3, true);
	configure(base + 4, "10.0.0.1:1");
	assert_int_equal(invent(base + 5, base + 5), 0);
	link_to(base + 3, false);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(invent(bad, 6000 + i), 0);
	assert_true(knows(base + 6));
	assert_int_equal(count_of(COUNTER_LIMIT_PEERS), 1);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(invent(bad, 7000 + i), 0);
	assert_int_equal(book_size(book), LIMIT_HEARSAY_PER_NODE + 6);
	for (uint32_t i = 2; i < 6; i++)
		assert_true(knows(base + i));
	assert_true(knows(1) && knows(2));
	/* Infos count as well. */
	assert_true(knows(9000));
	for (uint32_t i = 0; i < LIMIT_HEARSAY_PER_NODE; i++) {
		bool fresh;

		assert_int_equal(
			insert_from(bad, 20000 + i, 1, FIRST, "10.0.0.1:1", ADDRESS_PRIVATE, &fresh), 0);
	}
	assert_false(knows(9000));
	assert_int_equal(book_size(book), LIMIT_HEARSAY_PER_NODE + 6);
}

static void a_hundred_thousand_inventions(void **state)
{
	clock_t begun;

	renew(LIMIT_NODES);
	for (uint32_t node = 0; node < 10; node++)
		configure(node, "10.0.0.1:1");
	for (uint32_t node = 10; node < 1000; node++)
		worked(node);
	for (uint32_t node = 1000; node < 9000; node++)
		assert_int_equal(invent(1000000 + node / 500, node), 0);
	begun = clock();
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(invent(2000000, 100000 + i), 0);
	print_message("100000 inventions: %.3f s\n", seconds(begun));
	assert_true(seconds(begun) < 2);
	for (uint32_t node = 0; node < 9000; node++)
		assert_true(knows(node));
	assert_int_equal(book_size(book), 9000 + LIMIT_HEARSAY_PER_NODE);
	/* From as many sources as there are inventions: nobody who was reached goes. */
	begun = clock();
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(invent(3000000 + i, 300000 + i), 0);
	print_message("100000 inventors: %.3f s\n", seconds(begun));
	assert_true(seconds(begun) < 2);
	for (uint32_t node = 0; node < 1000; node++)
		assert_true(knows(node));
	assert_int_equal(book_size(book), LIMIT_NODES);
	/* A full book: those of others go only as far as its share. */
	renew(LIMIT_NODES);
	for (uint32_t node = 0; node < LIMIT_NODES; node++)
		assert_int_equal(invent(1000000 + node / 500, node), 0);
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(invent(2000000, 100000 + i), 0);
	assert_false(knows(LIMIT_HEARSAY_PER_NODE - 1));
	assert_true(knows(LIMIT_HEARSAY_PER_NODE));
	assert_int_equal(book_size(book), LIMIT_NODES);
	/* What came and went between two rows was never on the disk. */
	assert_int_equal(drain_rows(), LIMIT_NODES);
}

/* ---- visiting ---- */

/* All infos of that order by their numbers: how many, and whose. */
static size_t list_infos(enum info_order order, struct visits *visits)
{
	size_t count = book_infos(book, order);
	struct id node;

	*visits = (struct visits){.most = 10000};
	for (size_t i = 0; i < count; i++) {
		const struct info *info = book_info_number(book, order, i, &node);

		assert_int_equal(info->time.us, number_of(&node) + 1);
		visit(visits, &node);
	}
	return count;
}

static void each_info(void **state)
{
	static struct visits visits;

	renew(100);
	for (uint32_t node = 0; node < 8; node++) {
		assert_true(insert(node, node + 1, FIRST, "10.0.0.1:1"));
		if (node % 2)
			assert_true(insert(node, node + 1, OTHER, "10.0.0.1:1"));
	}
	configure(50, "10.0.0.1:1");
	assert_int_equal(list_infos(FIRST, &visits), 8);
	assert_int_equal(list_infos(OTHER, &visits), 4);
	assert_true(visits.seen[1] && visits.seen[3] && visits.seen[5] && visits.seen[7]);
	/* Who is gone is not among them. */
	renew(4);
	for (uint32_t node = 0; node < 8; node++)
		assert_true(insert(node, node + 1, node % 2, "10.0.0.1:1"));
	assert_int_equal(list_infos(FIRST, &visits), 2);
	assert_true(visits.seen[4] && visits.seen[6]);
}

struct wish {
	uint32_t wanted;
	unsigned asked;
	uint8_t seen[10000];
};

static bool is_wanted(void *context, const struct id *node)
{
	struct wish *wish = context;

	assert_int_equal(wish->seen[number_of(node)]++, 0);
	wish->asked++;
	return number_of(node) == wish->wanted;
}

static bool any(void *context, const struct id *node)
{
	return true;
}

static void some_node_at_random(void **state)
{
	struct wish wish;
	unsigned found[40] = {0}, hits = 0;
	struct id id;

	renew(LIMIT_NODES);
	for (uint32_t node = 0; node < 40; node++)
		assert_int_equal(invent(1000000, node), 0);
	for (int i = 0; i < 4000; i++) {
		assert_true(book_random(book, any, NULL, &id));
		found[number_of(&id)]++;
		wish = (struct wish){.wanted = (uint32_t)i % 40};
		assert_true(book_random(book, is_wanted, &wish, &id));
		assert_int_equal(number_of(&id), i % 40);
	}
	for (int i = 0; i < 40; i++)
		assert_true(found[i] > 50 && found[i] < 200);
	/* Not more than 64 are asked. */
	for (uint32_t node = 40; node < 640; node++)
		assert_int_equal(invent(1000000, node), 0);
	for (int i = 0; i < 1000; i++) {
		wish = (struct wish){.wanted = (uint32_t)i % 640};
		hits += book_random(book, is_wanted, &wish, &id);
		assert_true(wish.asked <= 64);
	}
	assert_true(hits > 50 && hits < 200);
	wish = (struct wish){.wanted = UINT32_MAX};
	assert_false(book_random(book, is_wanted, &wish, &id));
	assert_int_equal(wish.asked, 64);
}

/* Who has brought hundreds of nodes is one voice of three, and those that have spoken for themselves
 * or were reached are as many again. */
static void some_node_fairly(void **state)
{
	unsigned of_liar = 0, of_others = 0, own = 0;
	struct wish wish;
	struct id id;

	renew(LIMIT_NODES);
	assert_false(book_random_fair(book, any, NULL, &id));
	for (uint32_t node = 0; node < 500; node++)
		assert_int_equal(invent(1000000, node), 0);
	assert_int_equal(invent(1000001, 500), 0);
	assert_int_equal(invent(1000002, 501), 0);
	assert_int_equal(invent(502, 502), 0);
	assert_int_equal(invent(1000000, 503), 0);
	worked(503);
	for (int i = 0; i < 6000; i++) {
		assert_true(book_random_fair(book, any, NULL, &id));
		of_liar += number_of(&id) < 500;
		of_others += number_of(&id) == 500 || number_of(&id) == 501;
		own += number_of(&id) >= 502;
	}
	assert_uint_in_range(own, 2800, 3200);
	assert_uint_in_range(of_liar, 900, 1100);
	assert_uint_in_range(of_others, 1800, 2200);
	for (uint32_t node = 500; node < 504; node++) {
		wish = (struct wish){.wanted = node};
		assert_true(book_random_fair(book, is_wanted, &wish, &id));
		assert_int_equal(number_of(&id), node);
	}
	/* They are found where they are until they go: a small book lets the liar's go. */
	renew(4);
	for (uint32_t node = 0; node < 40; node++) {
		assert_int_equal(invent(node % 3 ? 1000000 + node % 3 : node, node), 0);
		assert_true(book_random_fair(book, any, NULL, &id));
		assert_true(book_knows(book, &id));
	}
}

/* ---- bounds ---- */

static void memory_of_ten_thousand_nodes(void **state)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];

	fill();
	print_message("10000 nodes, 60000 topics of theirs: %.1f MB, at most %.1f MB\n",
		(double)usage.now / 1e6, (double)usage.most / 1e6);
	assert_true(usage.now < 15500000);
	/* It does not grow when everybody is replaced again and again. */
	for (size_t i = 0; i < LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[i] = numbered((unsigned)i);
	for (uint32_t node = 0; node < 40000; node++) {
		struct id id = node_id(50000 + node), source = node_id(200000 + node / 500);

		assert_int_equal(book_hear(book, now++, &id, &source, addresses, 3, ADDRESS_PRIVATE), 0);
	}
	assert_int_equal(book_size(book), LIMIT_NODES);
	assert_true(usage.now < 15000000);
	assert_int_equal(drain_rows(), LIMIT_NODES);
	for (uint32_t node = 0; node < 40000; node++) {
		struct id id = node_id(500000 + node), source = node_id(900000 + node / 500);

		assert_int_equal(book_hear(book, now++, &id, &source, addresses, 3, ADDRESS_PRIVATE), 0);
	}
	print_message("replaced, their rows not told yet: %.1f MB\n", (double)usage.now / 1e6);
	assert_true(usage.now < 20000000);
}

/* Whatever fails, what is there is whole. */
static void do_everything(void)
{
	struct address one = address("10.0.0.1:1");
	struct id first = node_id(1), second = node_id(2), third = node_id(3);
	struct info *info;
	bool fresh;
	int error;

	error = book_configure(book, &first, BOOK_TRUSTED, &one, 1);
	assert_true(error == 0 || error == ERROR_NOMEM);
	assert_int_equal(book_is_trusted(book, &first), error == 0);
	error = book_hear(book, now++, &second, &first, &one, 1, ADDRESS_PRIVATE);
	assert_true(error == 0 || error == ERROR_NOMEM);
	assert_int_equal(knows(2), error == 0);
	info = info_of(3, 1, FIRST, &one, 1);
	if (info) {
		error = book_insert_info(book, now++, WALL, &third, &first, ADDRESS_PRIVATE, info, &fresh);
		assert_true(error == 0 || error == ERROR_NOMEM);
		assert_true(error == 0 || !fresh);
		assert_true(knows(3) || error);
	}
	for (uint32_t node = 4; node >= 2; node -= 2) {
		bool changed = share(node, 1, true);

		assert_true(shares(node, 1) || !changed);
	}
	worked(3);
}

static void each_allocation_fails(void **state)
{
	struct random random = random_seeded(&seed);
	bool failed = true;
	int error;

	for (size_t n = 1; failed; n++) {
		book_free(book);
		book = NULL;
		heap_fail(n, false);
		error = book_new(&me, &random, &counters, MAX_NODES, &book);
		if (error)
			assert_int_equal(error, ERROR_NOMEM);
		else
			do_everything();
		failed = heap_has_failed();
		heap_fail(0, false);
		if (error)
			continue;
		assert_true(drain_rows() <= MAX_NODES);
		/* And nothing is missing afterwards. */
		do_everything();
		assert_int_equal(book_size(book), MAX_NODES);
		assert_true(shares(4, 1) && shares(2, 1));
		assert_non_null(book_info(book, &(struct id){{1, [4] = 3}}, FIRST));
		expect(1, 1, "10.0.0.1:1", NULL);
		expect(2, 0, "10.0.0.1:1", NULL);
	}
	/* The same when everybody who was here has just gone. */
	failed = true;
	for (size_t n = 1; failed; n++) {
		renew(1);
		for (uint32_t node = 1; node <= 3; node++)
			worked(node);
		drain_rows();
		worked(9);
		heap_fail(n, false);
		invent(7, 3);
		failed = heap_has_failed();
		heap_fail(0, false);
		drain_rows();
		assert_int_equal(invent(8, 3), 0);
	}
}

/* Anything in any order, under a few nodes and topics so that everything meets; ASan and the
 * assertions are the judges. */
static void random_event(struct random *random, bool linked[16])
{
	uint32_t node = (uint32_t)random_below(random, 16), other = random_below(random, 16);
	uint32_t topic = (uint32_t)random_below(random, 5);
	char text[ADDRESS_TEXT_SIZE];
	struct address one = numbered(other);
	bool fresh;

	address_format(&one, text);
	switch (random_below(random, 9)) {
	case 0:
		invent(other, node);
		break;
	case 1:
		insert_from(other, node, random_below(random, 9), random_below(random, ORDERS),
			text, ADDRESS_PRIVATE, &fresh);
		break;
	case 2:
	case 3:
		share(node, topic, random_below(random, 3) > 0);
		break;
	case 4:
		worked_at(WALL, node, text);
		break;
	case 5:
		linked[node] = knows(node) && random_below(random, 2);
		link_to(node, linked[node]);
		break;
	case 6:
		unanswered(node);
		break;
	case 7:
		next_row();
		break;
	case 8: {
		struct id id = node_id(node);

		if (row_size > 0)
			book_restore(book, &id, row, row_size);
	} break;
	}
}

static void anything_in_any_order(void **state)
{
	for (unsigned run = 1; run <= 50; run++) {
		bool linked[16] = {false};
		struct random random;
		uint64_t run_seed = run;

		renew(6);
		random = random_seeded(&run_seed);
		row_size = 0;
		configure(3, "10.0.0.1:1");
		for (int i = 0; i < 2000; i++) {
			random_event(&random, linked);
			assert_true(knows(3));
			for (uint32_t node = 0; node < 16; node++)
				assert_true(!linked[node] || knows(node));
			assert_true(book_size(book) <= 6);
		}
		/* What the disk was told is what there is. */
		drain_rows();
		for (uint32_t topic = 0; topic < 5; topic++) {
			struct visits visits = {.most = 100};
			struct id id = topic_id(topic);

			book_each_of_topic(book, &id, visit, &visits);
			for (uint32_t node = 0; node < 16; node++)
				assert_int_equal(visits.seen[node], shares(node, topic));
		}
	}
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define MEASURED(name) cmocka_unit_test_setup_teardown(name, setup_measured, teardown_measured)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_known),
		TEST(configured_come_before_hearsay),
		TEST(both_roles),
		TEST(what_worked_comes_first),
		TEST(the_newer_info_counts),
		TEST(what_need_not_be_verified),
		TEST(infos_from_the_future),
		TEST(our_own_id),
		TEST(what_cannot_be_dialled),
		TEST(loopback_only_from_loopback),
		TEST(private_ones_from_the_same_network),
		TEST(addresses_are_bounded),
		TEST(stale_nodes),
		TEST(doubtful_ones),
		TEST(dialects),
		TEST(the_oldest_gives_way),
		TEST(unproven_ones_give_way_before_proven_ones),
		TEST(everybody_has_to_stay),
		TEST(a_source_replaces_its_own),
		TEST(a_hundred_thousand_inventions),
		TEST(each_info),
		TEST(some_node_at_random),
		TEST(some_node_fairly),
		MEASURED(memory_of_ten_thousand_nodes),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
