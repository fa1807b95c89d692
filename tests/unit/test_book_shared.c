/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support_book.h"

static void nodes_of_a_topic(void **state)
{
	struct id topic = topic_id(1);
	struct visits visits;
	unsigned firsts[8] = {0};

	renew(100);
	for (uint32_t node = 0; node < 8; node++) {
		assert_true(share(node, 1, true));
		assert_false(share(node, 1, true));
		assert_true(share(node, 2 + node, true));
	}
	assert_int_equal(book_size(book), 8); /* they are known for that */
	for (int i = 0; i < 1000; i++) {
		visits = (struct visits){.most = 100};
		book_each_of_topic(book, &topic, visit, &visits);
		assert_int_equal(visits.count, 8);
		firsts[visits.first]++;
		visits = (struct visits){.most = 3};
		book_each_of_topic(book, &topic, visit, &visits);
		assert_int_equal(visits.count, 3);
	}
	for (int i = 0; i < 8; i++)
		assert_true(firsts[i] > 50);
	for (uint32_t node = 0; node < 8; node++) {
		assert_true(shares(node, 1) && shares(node, 2 + node));
		assert_false(shares(node, 2 + (node + 1) % 8));
	}
	/* Not any more. */
	assert_true(share(3, 1, false));
	assert_false(share(3, 1, false));
	assert_false(share(3, 77, false));
	assert_false(shares(3, 1));
	visits = (struct visits){.most = 100};
	book_each_of_topic(book, &topic, visit, &visits);
	assert_int_equal(visits.count, 7);
	assert_true(share(3, 1, true));
	/* With the node its topics go. */
	renew(4);
	for (uint32_t node = 0; node < 8; node++)
		assert_true(share(node, 1, true));
	visits = (struct visits){.most = 100};
	book_each_of_topic(book, &topic, visit, &visits);
	assert_int_equal(visits.count, 4);
	assert_false(visits.seen[3]);
}

/* Who asks for all that share a topic is not kept busy for long, and meets everybody in the end. */
static void nodes_of_a_topic_that_many_share(void **state)
{
	static bool met[3 * BOOK_VISITS];
	static struct visits visits;
	const uint32_t n = sizeof met / sizeof *met;
	struct id topic = topic_id(1);
	uint32_t left = n;

	renew(n);
	for (uint32_t node = 0; node < n; node++)
		assert_true(share(node, 1, true));
	for (unsigned times = 0; left > 0; times++) {
		assert_true(times < 40);
		visits = (struct visits){.most = n};
		book_each_of_topic(book, &topic, visit, &visits);
		assert_int_equal(visits.count, BOOK_VISITS);
		for (uint32_t node = 0; node < n; node++) {
			left -= visits.seen[node] && !met[node];
			met[node] = met[node] || visits.seen[node];
		}
	}
}

static void topics_of_one_node(void **state)
{
	for (uint32_t topic = 0; topic < LIMIT_TOPICS_PER_NODE; topic++)
		assert_true(share(1, topic, true));
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 0);
	assert_false(share(1, 5000, true));
	assert_false(shares(1, 5000));
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 1);
	assert_true(share(1, 500, false));
	assert_true(share(1, 5000, true));
	assert_int_equal(next_row(), 1);
	assert_true(row_size > 32 * LIMIT_TOPICS_PER_NODE);
	renew(4);
	assert_int_equal(book_restore(book, &(struct id){{1}}, row, row_size), 0);
	for (uint32_t topic = 0; topic < LIMIT_TOPICS_PER_NODE; topic++)
		assert_int_equal(shares(0, topic), topic != 500);
}

static void topics_in_all(void **state)
{
	const uint32_t nodes = LIMIT_SHARED / 512;

	renew(LIMIT_NODES);
	for (uint32_t node = 0; node < nodes; node++)
		for (uint32_t topic = 0; topic < 512; topic++)
			assert_true(share(node, topic, true));
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 0);
	drain_rows();
	/* What was shown longest ago goes, of those who may: not of node 0. */
	assert_false(share(1, 0, true));
	configure(0, "10.0.0.1:1");
	for (uint32_t topic = 16; topic < 512; topic++)
		assert_true(share(0, topic, false));
	for (uint32_t topic = 16; topic < 512; topic++)
		assert_true(share(5000, topic, true));
	drain_rows();
	assert_false(share(5000, 1000, true)); /* the first sixteen are its */
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 1);
	assert_true(share(0, 15, false));
	assert_true(share(5000, 1000, true));
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 1);
	assert_true(share(5000, 1001, true));
	assert_int_equal(count_of(COUNTER_LIMIT_TOPICS), 2);
	assert_true(shares(1, 0));
	assert_false(shares(1, 1));
	assert_true(shares(1, 2) && shares(0, 14));
	/* Which the disk is told. */
	assert_int_equal(next_row(), 0);
	assert_int_equal(next_row(), 5000);
	assert_int_equal(next_row(), 1);
	no_more_rows();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nodes_of_a_topic),
		TEST(nodes_of_a_topic_that_many_share),
		TEST(topics_of_one_node),
		TEST(topics_in_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
