/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A thousand nodes under virtual time: what the papers promise of large overlays (HyParView,
 * section 5: all but a few hang together after most have failed at once; PlumTree, section 4:
 * as many copies of a message as there are nodes). Each run prints what it has seen, and is the
 * same each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bridge/limits.h"
#include "support_network.h"

#define S     (1000 * NETWORK_MS)
#define NODES 1000
#define DEAD  20 /* at a time, of those that come and go */

static struct network network;

static size_t random_node(void)
{
	size_t node;

	do
		node = random_below(&network.random, network.count);
	while (!network.nodes[node].up);
	return node;
}

static unsigned least_neighbours(void)
{
	size_t least = LIMIT_ACTIVE_VIEW, count;

	for (size_t i = 0; i < network.count; i++) {
		if (!network.nodes[i].up)
			continue;
		count = gossip_neighbours(network.nodes[i].gossip, &network.topic);
		if (count < least)
			least = count;
	}
	return (unsigned)least;
}

/* Each has found one that was there before; shuffles have filled the passive views. */
static void start_swarm(uint64_t seed)
{
	network_start(&network, NODES, seed);
	for (size_t i = 1; i < NODES; i++) {
		network_ask(&network, i, random_below(&network.random, i));
		network_run(&network, 20 * NETWORK_MS);
	}
	network_run(&network, 250 * S);
}

/* Messages from random nodes; which part of those that should have got them did, in millionths. */
static unsigned reach(unsigned first, unsigned count, size_t from)
{
	uint64_t reached = 0;
	int got;

	for (unsigned i = first; i < first + count; i++) {
		network_publish(&network, from < NODES ? from : random_node(), i);
		network_run(&network, 200 * NETWORK_MS);
	}
	network_run(&network, 10 * S);
	for (unsigned i = first; i < first + count; i++) {
		got = network_reached(&network, i);
		assert_true(got >= 0); /* to nobody twice */
		reached += (unsigned)got;
	}
	return (unsigned)(reached * 1000000 / ((uint64_t)count * network_up(&network)));
}

static void a_thousand_come_together(void **state)
{
	unsigned before, copies;

	start_swarm(1);
	assert_true(network_is_connected(&network));
	assert_true(network_is_symmetric(&network));
	assert_true(least_neighbours() >= 1);
	assert_int_equal(reach(0, 50, NODES), 1000000);
	/* Of one origin, once its tree is there. */
	assert_int_equal(reach(50, 50, 0), 1000000);
	before = network_sent(&network, WIRE_GOSSIP);
	assert_int_equal(reach(100, 50, 0), 1000000);
	copies = network_sent(&network, WIRE_GOSSIP) - before;
	printf("%zu nodes, at least %u neighbours, %.3f copies per node and message\n",
		network_up(&network), least_neighbours(), (double)copies / 50 / (NODES - 1));
	assert_true(copies <= 50 * (NODES - 1) * 11 / 10);
	network_stop(&network);
}

/* At once, and without a word. */
static void most_of_them_die(unsigned percent, uint64_t seed)
{
	unsigned part;

	start_swarm(seed);
	for (unsigned killed = 0; killed < NODES * percent / 100; killed++)
		network_kill(&network, random_node());
	network_run(&network, 30 * S);
	part = reach(0, 50, NODES);
	printf("%u %% have died: %zu of %zu hang together, at least %u neighbours, a message "
	       "reaches "
	       "%.2f %%\n",
		percent, network_largest_part(&network), network_up(&network), least_neighbours(),
		part / 10000.0);
	/* Gossip alone: who has lost all that it knew stays alone. A node of ours has its book. */
	assert_true(network_largest_part(&network) >= network_up(&network) * 98 / 100);
	assert_true(part >= (percent > 50 ? 950000 : 1000000));
	network_stop(&network);
}

static void half_of_them_die(void **state)
{
	most_of_them_die(50, 2);
}

static void four_of_five_die(void **state)
{
	most_of_them_die(80, 3);
}

/* Every second five are killed; each comes back as a new process when all have noticed. */
static void they_come_and_go(void **state)
{
	size_t dead[DEAD];

	start_swarm(4);
	for (unsigned i = 0; i < 120 * 5; i++) {
		if (i >= DEAD) {
			network_restart(&network, dead[i % DEAD]);
			/* Two, for one may be about to die. */
			network_ask(&network, dead[i % DEAD], random_node());
			network_ask(&network, dead[i % DEAD], random_node());
		}
		dead[i % DEAD] = random_node();
		network_kill(&network, dead[i % DEAD]);
		network_run(&network, 200 * NETWORK_MS);
	}
	network_run(&network, 30 * S);
	printf("after %u deaths and as many births: %zu of %zu hang together, at least %u "
	       "neighbours\n",
		120 * 5, network_largest_part(&network), network_up(&network), least_neighbours());
	assert_true(network_is_connected(&network));
	assert_true(network_is_symmetric(&network));
	assert_int_equal(reach(0, 50, NODES), 1000000);
	network_stop(&network);
}

static unsigned downs(void)
{
	unsigned sum = 0;

	for (size_t i = 0; i < network.count; i++)
		sum += network.nodes[i].downs;
	return sum;
}

/* All join through one at the same time over links with jitter: questions, answers and farewells
 * cross each other. Without has_just_parted (membership.c) each swap of neighbours brings about the
 * next one: a thousand nodes were seen to make 19000 swaps a second, and miss messages. */
static void a_crowd_comes_to_rest(void **state)
{
	unsigned before;

	network_start(&network, NODES, 5);
	network.latency = 10 * NETWORK_MS;
	network.latency_spread = 40 * NETWORK_MS;
	network.jitter = 20 * NETWORK_MS;
	for (size_t i = 1; i < NODES; i++)
		network_ask(&network, i, 0);
	network_run(&network, 3 * S);
	before = downs();
	assert_int_equal(reach(0, 50, NODES), 1000000);
	printf("%u neighbours have gone after 3 s, %u more later; %.2f copies per node and message\n",
		before, downs() - before,
		(double)network_sent(&network, WIRE_GOSSIP) / 50 / (NODES - 1));
	assert_true(network_is_symmetric(&network));
	/* Those that are asked after a Shuffle have room. */
	assert_true(downs() - before == 0);
	network_stop(&network);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_comes_to_rest),
		cmocka_unit_test(a_thousand_come_together),
		cmocka_unit_test(half_of_them_die),
		cmocka_unit_test(four_of_five_die),
		cmocka_unit_test(they_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
