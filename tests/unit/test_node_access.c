/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is let in by a node: its handshakes with a bare QUIC endpoint, which can do what no
 * node does (dial the node with the node's own key).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/node.h"
#include "bridge/quic/quic.h"

#define PATIENCE_NS UINT64_C(10000000000)

static struct {
	uv_loop_t loop;
	uv_timer_t tick; /* so that the node's events are looked at */
	struct identity ours, theirs;
	struct node *node;
	struct quic_endpoint *endpoint;
	struct counters counters;
	unsigned connected, closed, remarks;
	struct closing close;
	enum node_log_level level; /* of the last remark */
	char remark[NODE_REASON_SIZE];
} world;

static void on_connected(void *context, struct quic_connection *connection)
{
	world.connected++;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	world.closed++;
	world.close = *close;
}

static void on_wake(void *context)
{
}

static void on_tick(uv_timer_t *tick)
{
}

static void drain(void)
{
	struct node_event event;

	while (node_event(world.node, &event)) {
		if (event.type == NODE_LOG && event.level >= NODE_LOG_NOTICE) {
			world.remarks++;
			world.level = event.level;
			snprintf(world.remark, sizeof world.remark, "%s", event.text);
		}
		node_event_clear(&event);
	}
}

static int setup(void **state)
{
	static const uint8_t ours[IDENTITY_SECRET_SIZE] = {1}, theirs[IDENTITY_SECRET_SIZE] = {2};

	memset(&world, 0, sizeof world);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(identity_from_secret(ours, &world.ours), 0);
	assert_int_equal(identity_from_secret(theirs, &world.theirs), 0);
	uv_timer_init(&world.loop, &world.tick);
	uv_timer_start(&world.tick, on_tick, 5, 5);
	return 0;
}

static void on_done(void *done)
{
	*(bool *)done = true;
}

static int teardown(void **state)
{
	bool done = false;

	quic_endpoint_close(world.endpoint, on_done, &done);
	uv_close((uv_handle_t *)&world.tick, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_true(done);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	node_stop(world.node);
	identity_clear(&world.ours);
	identity_clear(&world.theirs);
	return 0;
}

static void start_node(const struct id *allow, const struct id *deny)
{
	struct address bind;
	struct node_config config = {
		.identity = &world.ours,
		.network = identity_default_network,
		.binds = &bind,
		.binds_count = 1,
		.allow = allow,
		.allow_count = allow ? 1 : 0,
		.deny = deny,
		.deny_count = deny ? 1 : 0,
		.max_overlays = 10,
		.wake = on_wake,
	};
	char reason[NODE_REASON_SIZE];

	assert_int_equal(address_parse("127.0.0.1:0", &bind), 0);
	if (node_start(&config, &world.node, reason))
		fail_msg("%s", reason);
}

static void start_endpoint(const struct identity *identity)
{
	struct quic_config config = {
		.loop = &world.loop,
		.identity = identity,
		.protocols_count = 1,
		.protocols[0] =
			{
				.max_connections = 8,
				.max_streams = 10,
				.idle_timeout = QUIC_IDLE_TIMEOUT,
				.keep_alive = true,
				.callbacks = {.connected = on_connected, .closed = on_closed},
			},
		.max_queue = 1 << 20,
		.counters = &world.counters,
	};
	struct address bind;

	assert_int_equal(address_parse("127.0.0.1:0", &bind), 0);
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	assert_int_equal(quic_endpoint_new(&config, &world.endpoint), 0);
	assert_int_equal(quic_endpoint_bind(world.endpoint, &bind, NULL), 0);
}

static void dial(void)
{
	struct quic_connection *connection;
	size_t count;
	const struct address *bound = node_addresses(world.node, &count);

	assert_int_equal(count, 1);
	assert_int_equal(quic_connect(world.endpoint, 0, &world.ours.id, bound, &connection), 0);
}

static void dial_until_closed(unsigned times)
{
	uint64_t limit = uv_hrtime() + PATIENCE_NS;

	dial();
	/* The node's line comes from its own thread, perhaps after the end of the connection. */
	while ((world.closed < times || world.remarks == 0) && uv_hrtime() < limit) {
		uv_run(&world.loop, UV_RUN_ONCE);
		drain();
	}
	assert_int_equal(world.closed, times);
	assert_int_equal(world.close.code, 0x131); /* access denied */
	assert_true(world.close.remote);
}

static void is_refused(enum node_log_level level, const char *remark)
{
	for (unsigned times = 1; times <= 3; times++) {
		dial_until_closed(times);
		assert_int_equal(
			counters_get(node_counters(world.node), COUNTER_HANDSHAKES_REFUSED), times);
		assert_int_equal(node_connections(world.node), 0);
		/* Whoever comes again and again does not fill the log. */
		assert_int_equal(world.remarks, 1);
	}
	assert_int_equal(world.level, level);
	if (!strstr(world.remark, remark))
		fail_msg("%s", world.remark);
}

static void our_own_id(void **state)
{
	start_node(NULL, NULL);
	start_endpoint(&world.ours);
	is_refused(NODE_LOG_ERROR, "shows our own node id");
}

static void our_own_id_in_the_list(void **state)
{
	start_node(&world.ours.id, NULL);
	start_endpoint(&world.ours);
	is_refused(NODE_LOG_ERROR, "shows our own node id");
}

static void denied(void **state)
{
	start_node(NULL, &world.theirs.id);
	start_endpoint(&world.theirs);
	is_refused(NODE_LOG_NOTICE, "refused: shut out by allow_node or deny_node");
}

static void not_allowed(void **state)
{
	struct id other = {{9}};

	start_node(&other, NULL);
	start_endpoint(&world.theirs);
	is_refused(NODE_LOG_NOTICE, "refused: shut out by allow_node or deny_node");
}

static void is_let_in(void)
{
	uint64_t limit = uv_hrtime() + PATIENCE_NS;

	start_endpoint(&world.theirs);
	dial();
	while (node_connections(world.node) == 0 && uv_hrtime() < limit)
		uv_run(&world.loop, UV_RUN_ONCE);
	drain();
	assert_int_equal(node_connections(world.node), 1);
	assert_int_equal(world.connected, 1);
	assert_int_equal(world.closed, 0);
	assert_int_equal(counters_get(node_counters(world.node), COUNTER_HANDSHAKES_REFUSED), 0);
	assert_int_equal(world.remarks, 0);
}

static void allowed(void **state)
{
	start_node(&world.theirs.id, NULL);
	is_let_in();
}

static void not_denied(void **state)
{
	struct id other = {{9}};

	start_node(NULL, &other);
	is_let_in();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(our_own_id),
		TEST(our_own_id_in_the_list),
		TEST(denied),
		TEST(not_allowed),
		TEST(allowed),
		TEST(not_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
