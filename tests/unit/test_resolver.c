/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/resolver.h"
#include "support_heap.h"

static struct {
	uv_loop_t loop;
	struct resolver *resolver;
	bool calling; /* inside resolution_start: the answer may not come now */
	unsigned answers;
	struct id node;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count;
	char failure[NODE_REASON_SIZE];
} world;

static void on_answer(void *context, const struct id *node, const struct address *addresses,
	size_t count, const char *failure)
{
	assert_ptr_equal(context, &world);
	assert_false(world.calling);
	assert_true(count <= LIMIT_ADDRESSES_PER_NODE);
	world.answers++;
	world.node = *node;
	world.count = count;
	memcpy(world.addresses, addresses, count * sizeof *addresses);
	snprintf(world.failure, sizeof world.failure, "%s", failure);
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	heap_begin();
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(resolver_new(&world.loop, on_answer, &world, &world.resolver), 0);
	return 0;
}

static int teardown(void **state)
{
	resolver_stop(world.resolver);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	resolver_free(world.resolver);
	heap_end();
	return 0;
}

static void add_host(struct node_peer *peer, const char *host, uint16_t port)
{
	struct node_host *added = &peer->hosts[peer->hosts_count++];

	assert_true(peer->hosts_count <= NODE_PEER_HOSTS);
	snprintf(added->host, sizeof added->host, "%s", host);
	added->port = port;
}

static void start(struct resolution *resolution)
{
	world.calling = true;
	resolution_start(resolution);
	world.calling = false;
}

static struct resolution *begin(const struct node_peer *peer)
{
	struct resolution *resolution;

	assert_int_equal(resolution_new(world.resolver, peer, &resolution), 0);
	start(resolution);
	return resolution;
}

static void look_up(const struct node_peer *peer)
{
	unsigned before = world.answers;

	begin(peer);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, before + 1);
	assert_true(id_equal(&world.node, &peer->id));
}

static void is_address(size_t n, const char *text)
{
	char got[ADDRESS_TEXT_SIZE];

	assert_true(n < world.count);
	assert_string_equal(address_format(&world.addresses[n], got), text);
}

static void literals(void **state)
{
	struct node_peer peer = {.id = {{7}}};

	add_host(&peer, "192.0.2.1", 2022);
	add_host(&peer, "2001:db8::1", 2023);
	add_host(&peer, "::1", 2024);
	add_host(&peer, "127.0.0.1", 65535);
	for (int i = 0; i < 20; i++) {
		look_up(&peer);
		assert_int_equal(world.count, 4);
		/* In the order of the configuration, whichever was answered first. */
		is_address(0, "192.0.2.1:2022");
		is_address(1, "[2001:db8::1]:2023");
		is_address(2, "[::1]:2024");
		is_address(3, "127.0.0.1:65535");
		assert_string_equal(world.failure, "");
	}
}

static void a_name(void **state)
{
	struct node_peer peer = {.id = {{8}}};

	add_host(&peer, "localhost", 1883);
	look_up(&peer);
	assert_true(world.count >= 1);
	for (size_t i = 0; i < world.count; i++) {
		assert_true(address_is_loopback(&world.addresses[i]));
		assert_int_equal(world.addresses[i].port, 1883);
	}
}

static void the_same_address_counts_once(void **state)
{
	struct node_peer peer = {.id = {{8}}};

	add_host(&peer, "192.0.2.1", 1);
	add_host(&peer, "192.0.2.1", 1);
	add_host(&peer, "192.0.2.1", 2);
	look_up(&peer);
	assert_int_equal(world.count, 2);
}

static void no_such_name(void **state)
{
	struct node_peer peer = {.id = {{9}}};

	add_host(&peer, "no-such-host.invalid", 1);
	look_up(&peer);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.failure, "no-such-host.invalid"));
	assert_null(strchr(world.failure, '\n'));
	/* Another host makes up for it. */
	add_host(&peer, "192.0.2.1", 5);
	look_up(&peer);
	assert_int_equal(world.count, 1);
	is_address(0, "192.0.2.1:5");
}

static void a_name_that_cannot_be_one(void **state)
{
	struct node_peer peer = {.id = {{9}}};

	/* libuv refuses it at once; the answer comes from the loop nevertheless. */
	add_host(&peer, "\xff\xfe", 1);
	look_up(&peer);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.failure, "cannot look up"));
	add_host(&peer, "192.0.2.1", 5);
	look_up(&peer);
	assert_int_equal(world.count, 1);
}

static void one_at_a_time(void **state)
{
	struct node_peer peer = {.id = {{1}}};
	struct resolution *resolution;

	add_host(&peer, "192.0.2.1", 1);
	resolution = begin(&peer);
	start(resolution);
	start(resolution);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 1);
	/* And again later. */
	start(resolution);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 2);
	assert_int_equal(world.count, 1);
}

static void many_peers(void **state)
{
	struct node_peer peer = {.id = {{1}}};

	add_host(&peer, "192.0.2.1", 1);
	for (uint8_t i = 0; i < 50; i++) {
		peer.id.bytes[0] = i;
		begin(&peer);
	}
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 50);
}

static void stopped(void **state)
{
	struct node_peer peer = {.id = {{1}}};
	struct resolution *last = NULL;

	add_host(&peer, "192.0.2.1", 1);
	add_host(&peer, "no-such-host.invalid", 1);
	add_host(&peer, "\xff\xfe", 1);
	for (int i = 0; i < 20; i++)
		last = begin(&peer);
	resolver_stop(world.resolver);
	start(last);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 0);
	start(last);
	assert_false(uv_loop_alive(&world.loop));
	resolver_free(NULL);
}

static void each_allocation_fails(void **state)
{
	struct node_peer peer = {.id = {{1}}};
	struct resolution *resolution;
	struct resolver *resolver;

	heap_fail(1, false);
	assert_int_equal(resolver_new(&world.loop, on_answer, NULL, &resolver), ERROR_NOMEM);
	heap_fail(1, false);
	assert_int_equal(resolution_new(world.resolver, &peer, &resolution), ERROR_NOMEM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(literals),
		TEST(a_name),
		TEST(the_same_address_counts_once),
		TEST(no_such_name),
		TEST(a_name_that_cannot_be_one),
		TEST(one_at_a_time),
		TEST(many_peers),
		TEST(stopped),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
