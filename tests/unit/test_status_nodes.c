/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/broker.h"
#include "plugin/status_nodes.h"

#define S UINT64_C(1000000000)

static struct {
	char values[65536][8]; /* by the first four digits */
	size_t publishes;
	uint64_t seed;
	struct random random;
	struct status_nodes *nodes;
} world;

bool broker_retain(const char *topic, const void *payload, size_t size)
{
	char digits[5] = "";

	assert_int_equal(strncmp(topic, "$SYS/broker/p2panda/node/", 25), 0);
	assert_string_equal(topic + 25 + 10, "/state");
	memcpy(digits, topic + 25, 4);
	assert_true(size < sizeof world.values[0]);
	snprintf(world.values[strtoul(digits, NULL, 16)], sizeof world.values[0], "%.*s", (int)size,
		size ? (const char *)payload : "");
	world.publishes++;
	return true;
}

static struct id id(unsigned number)
{
	return (struct id){{(uint8_t)(number >> 8), (uint8_t)number}};
}

static int set_up(void **state)
{
	memset(&world, 0, sizeof world);
	world.random = random_seeded(&world.seed);
	return status_nodes_new(&world.random, &world.nodes);
}

static int tear_down(void **state)
{
	status_nodes_free(world.nodes);
	return 0;
}

static void a_configured_one_stays(void **state)
{
	struct id node = id(7);

	status_nodes_configured(world.nodes, &node, true, false);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "offline");
	status_nodes_configured(world.nodes, &node, true, true);
	status_nodes_up(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "online");
	status_nodes_configured(world.nodes, &node, true, false);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "online"); /* it is a neighbour still */
	status_nodes_down(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "offline");
	status_nodes_publish(world.nodes, S + 3600 * S);
	assert_string_equal(world.values[7], "offline");
	assert_int_equal(world.publishes, 3);
	status_nodes_again(world.nodes);
	status_nodes_publish(world.nodes, S + 3600 * S);
	assert_int_equal(world.publishes, 4);
	/* Until it is configured no more. */
	status_nodes_configured(world.nodes, &node, false, false);
	status_nodes_publish(world.nodes, 4000 * S);
	status_nodes_publish(world.nodes, 4000 * S + STATUS_NODE_KEPT_S * S);
	assert_string_equal(world.values[7], "");
}

static void another_is_cleared_once_it_is_gone(void **state)
{
	struct id node = id(7);

	status_nodes_up(world.nodes, &node);
	status_nodes_up(world.nodes, &node);
	status_nodes_down(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "online");
	status_nodes_down(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[7], "offline");
	status_nodes_publish(world.nodes, S + STATUS_NODE_KEPT_S * S - 1);
	assert_string_equal(world.values[7], "offline");
	/* Not one that is back. */
	status_nodes_up(world.nodes, &node);
	status_nodes_publish(world.nodes, S + STATUS_NODE_KEPT_S * S - 1);
	status_nodes_publish(world.nodes, S + STATUS_NODE_KEPT_S * S);
	assert_string_equal(world.values[7], "online");
	status_nodes_down(world.nodes, &node);
	status_nodes_publish(world.nodes, 100 * S);
	status_nodes_publish(world.nodes, 100 * S + STATUS_NODE_KEPT_S * S);
	assert_string_equal(world.values[7], "");
	status_nodes_down(world.nodes, &node); /* it is not known any more */
}

static void only_so_many_are_shown(void **state)
{
	struct id node;
	size_t before;

	for (unsigned i = 0; i <= STATUS_NODES; i++) {
		node = id(i);
		status_nodes_up(world.nodes, &node);
	}
	status_nodes_publish(world.nodes, S);
	assert_int_equal(world.publishes, STATUS_NODES);
	assert_string_equal(world.values[STATUS_NODES], "");
	/* Who is gone gives way. */
	node = id(3);
	status_nodes_down(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	node = id(STATUS_NODES);
	status_nodes_up(world.nodes, &node);
	status_nodes_publish(world.nodes, S);
	assert_string_equal(world.values[3], "");
	assert_string_equal(world.values[STATUS_NODES], "online");
	before = world.publishes;
	status_nodes_publish(world.nodes, 1000 * S);
	assert_int_equal(world.publishes, before);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_configured_one_stays),
		TEST(another_is_cleared_once_it_is_gone),
		TEST(only_so_many_are_shown),
	};

	return cmocka_run_group_tests_name("status_nodes", tests, NULL, NULL);
}
