/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/io/resolver.h"
#include "bridge/limits.h"
#include "support_heap.h"
#include "support_name_server.h"

static struct {
	uv_loop_t loop;
	struct resolver *resolver;
	bool steady;
	bool calling; /* inside resolution_start: the answer may not come now */
	unsigned answers;
	struct id node;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count, all;
	char failure[NODE_REASON_SIZE];
} world;

/* "many17.test" has seventeen addresses. */
static int own_names(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **out)
{
	char address[32];
	unsigned count;

	if (sscanf(host, "many%u.test", &count) != 1)
		return name_server_next(host, service, hints, out);
	*out = NULL;
	for (unsigned i = 0; i < count; i++) {
		snprintf(address, sizeof address, "10.0.%u.%u", i >> 8, i & 255);
		name_server_append(out, address, service, hints);
	}
	return 0;
}

static void on_answer(void *context, const struct id *node, const struct address *addresses,
	size_t count, size_t all, const char *failure)
{
	assert_ptr_equal(context, &world);
	assert_false(world.calling);
	assert_true(count <= LIMIT_ADDRESSES_PER_NODE);
	world.answers++;
	world.node = *node;
	world.count = count;
	world.all = all;
	memcpy(world.addresses, addresses, count * sizeof *addresses);
	snprintf(world.failure, sizeof world.failure, "%s", failure);
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	name_server_begin(own_names);
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

	assert_int_equal(resolution_new(world.resolver, peer, world.steady, &resolution), 0);
	start(resolution);
	return resolution;
}

static void look_up(const struct node_peer *peer)
{
	unsigned before = world.answers;
	bool literals = false, names = false;
	struct address address;

	for (size_t i = 0; i < peer->hosts_count; i++) {
		if (address_literal(peer->hosts[i].host, peer->hosts[i].port, &address))
			literals = true;
		else
			names = true;
	}
	begin(peer);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	/* The literal ones come first where there are both; in the same turn, perhaps. */
	assert_true(world.answers == before + 1 ||
		    (literals && names && world.answers == before + 2));
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

	add_host(&peer, "\xff\xfe", 1);
	look_up(&peer);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.failure, "cannot look up"));
	add_host(&peer, "192.0.2.1", 5);
	look_up(&peer);
	assert_int_equal(world.count, 1);
}

static void no_hosts(void **state)
{
	struct node_peer peer = {.id = {{9}}};

	look_up(&peer);
	assert_int_equal(world.count, 0);
	assert_string_equal(world.failure, "");
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

/* The n-th eight of such names. */
static void add_silent(struct node_peer *peer, unsigned n)
{
	char name[NODE_HOST_SIZE];

	peer->hosts_count = 0;
	for (unsigned i = 0; i < NODE_PEER_HOSTS; i++) {
		snprintf(name, sizeof name, "silent%u.invalid", n * NODE_PEER_HOSTS + i);
		add_host(peer, name, 1);
	}
}

/* Eight names that nobody answers for, and more, hold up neither a good one nor a literal address. */
static void silent_names_hold_up_nobody(void **state)
{
	struct node_peer silent = {.id = {{1}}}, good = {.id = {{2}}}, mixed = {.id = {{3}}};
	struct resolution *resolution;

	for (unsigned i = 0; i < 4; i++) {
		add_silent(&silent, i);
		begin(&silent);
	}
	add_host(&good, "localhost", 7);
	begin(&good);
	while (world.answers == 0)
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_true(id_equal(&world.node, &good.id));
	assert_true(world.count >= 1);
	/* One that has both is known by the literal one meanwhile. */
	add_host(&mixed, "silent.invalid", 1);
	add_host(&mixed, "192.0.2.1", 2);
	resolution = begin(&mixed);
	while (world.answers == 1)
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_true(id_equal(&world.node, &mixed.id));
	is_address(0, "192.0.2.1:2");
	assert_string_equal(world.failure, "");
	start(resolution); /* it is under way */
	name_server_wait_asked(4 * NODE_PEER_HOSTS + 1);
	name_server_wake(true);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 2 + 4 + 1);
	assert_non_null(strstr(world.failure, "cannot look up silent"));
}

/* There are only so many threads; names beyond them have their turn. */
static void look_ups_are_bounded(void **state)
{
	struct node_peer peer = {.id = {{1}}};
	const unsigned peers = 20;

	for (unsigned i = 0; i < peers; i++) {
		add_silent(&peer, i);
		begin(&peer);
	}
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(64);
	assert_int_equal((int)name_server_asked(), 64);
	name_server_wake(true);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, peers);
	assert_int_equal((int)name_server_answered(), peers * NODE_PEER_HOSTS);
}

static void stopping_waits_for_no_server(void **state)
{
	struct node_peer peer = {.id = {{1}}};

	add_host(&peer, "silent.invalid", 1);
	add_host(&peer, "silent.too.invalid", 1);
	begin(&peer);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(2);
	resolver_stop(world.resolver);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	resolver_free(world.resolver);
	/* The answers come when there is nobody any more. */
	name_server_wake(true);
	assert_int_equal(world.answers, 0);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(resolver_new(&world.loop, on_answer, &world, &world.resolver), 0);
}

static void again(struct resolution *resolution)
{
	start(resolution);
	uv_run(&world.loop, UV_RUN_DEFAULT);
}

/* Which of the addresses of a name are in the last answer. */
static uint64_t told(void)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < world.count; i++)
		bits |= UINT64_C(1) << world.addresses[i].ip[3];
	return bits;
}

/* Each has its turn, and none a second one before all have had the first. */
static void more_than_are_tried_at_a_time(void **state)
{
	static const unsigned counts[] = {1, 15, 16, 17, 40};

	for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
		struct node_peer peer = {.id = {{(uint8_t)n}}};
		uint64_t all = (UINT64_C(1) << counts[n]) - 1, seen = 0;
		struct resolution *resolution;
		char name[32];

		snprintf(name, sizeof name, "many%u.test", counts[n]);
		add_host(&peer, name, 7);
		resolution = begin(&peer);
		uv_run(&world.loop, UV_RUN_DEFAULT);
		for (unsigned left = counts[n]; left > 0; left -= left < 16 ? left : 16) {
			assert_int_equal(world.all, counts[n]);
			assert_int_equal(world.count, counts[n] < 16 ? counts[n] : 16);
			/* Those that were not told yet come first, in their order. */
			assert_int_equal(world.addresses[0].ip[3], counts[n] - left);
			seen |= told();
			if (left <= 16)
				assert_true(seen == all);
			else
				assert_int_equal(__builtin_popcountll(seen), counts[n] - left + 16);
			again(resolution);
		}
	}
}

/* With relays, which the book has room for as well. */
static void relays_take_their_places(void **state)
{
	struct node_peer peer = {.id = {{9}}, .relays_count = 2};

	add_host(&peer, "many16.test", 7);
	look_up(&peer);
	assert_int_equal(world.count, 14);
	assert_int_equal(world.all, 16);
}

/* What others know of us does not change with every look-up. */
static void our_own_stay_the_same(void **state)
{
	struct node_peer peer = {.id = {{9}}};
	struct resolution *resolution;
	uint64_t first;

	world.steady = true;
	add_host(&peer, "many40.test", 7);
	resolution = begin(&peer);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	first = told();
	assert_int_equal(first, 0xffff);
	for (unsigned i = 0; i < 3; i++) {
		again(resolution);
		assert_true(told() == first);
	}
}

static void far_too_many(void **state)
{
	struct node_peer peer = {.id = {{9}}};

	add_host(&peer, "many300.test", 7);
	look_up(&peer);
	assert_int_equal(world.count, 16);
	assert_int_equal(world.all, LIMIT_ADDRESSES_LOOKED_UP);
}

static void each_allocation_fails(void **state)
{
	struct node_peer peer = {.id = {{1}}};
	struct resolution *resolution;
	struct resolver *resolver;

	heap_fail(1, false);
	assert_int_equal(resolver_new(&world.loop, on_answer, NULL, &resolver), ERROR_NOMEM);
	heap_fail(1, false);
	assert_int_equal(resolution_new(world.resolver, &peer, false, &resolution), ERROR_NOMEM);
}

/* Whether there is an answer on its way or not. */
static void freed_before_its_answer(void **state)
{
	struct node_peer peer = {.id = {{7}}}, silent = {.id = {{8}}};
	struct resolution *resolution;

	add_host(&peer, "192.0.2.1", 2022);
	add_host(&silent, "silent.invalid", 2022);
	resolution_free(NULL);
	resolution_free(begin(&peer));
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 0);
	resolution = begin(&silent);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(1);
	resolution_free(resolution);
	name_server_wake(true);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 0);
	/* It is over, and others are not. */
	resolution = begin(&peer);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, 1);
	resolution_free(resolution);
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
		TEST(no_hosts),
		TEST(one_at_a_time),
		TEST(many_peers),
		TEST(stopped),
		TEST(silent_names_hold_up_nobody),
		TEST(look_ups_are_bounded),
		TEST(freed_before_its_answer),
		TEST(stopping_waits_for_no_server),
		TEST(more_than_are_tried_at_a_time),
		TEST(relays_take_their_places),
		TEST(our_own_stay_the_same),
		TEST(far_too_many),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
