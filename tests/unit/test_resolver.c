/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
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

/* In place of the C library's: names that begin with "silent" have a server that says nothing
 * until it is woken. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool awake;
	unsigned asked, answered;
} server = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0};

int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");

	if (strncmp(host, "silent", 6) != 0)
		return next(host, service, hints, out);
	pthread_mutex_lock(&server.mutex);
	server.asked++;
	pthread_cond_broadcast(&server.changed);
	while (!server.awake)
		pthread_cond_wait(&server.changed, &server.mutex);
	server.answered++;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.mutex);
	return EAI_AGAIN;
}

static void wait_asked(unsigned names)
{
	pthread_mutex_lock(&server.mutex);
	while (server.asked < names)
		pthread_cond_wait(&server.changed, &server.mutex);
	pthread_mutex_unlock(&server.mutex);
}

static void wake_server(void)
{
	pthread_mutex_lock(&server.mutex);
	server.awake = true;
	pthread_cond_broadcast(&server.changed);
	while (server.answered < server.asked)
		pthread_cond_wait(&server.changed, &server.mutex);
	pthread_mutex_unlock(&server.mutex);
}

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
	server.awake = false;
	server.asked = server.answered = 0;
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
	wait_asked(4 * NODE_PEER_HOSTS + 1);
	wake_server();
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
	wait_asked(64);
	assert_int_equal(server.asked, 64);
	wake_server();
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.answers, peers);
	assert_int_equal(server.answered, peers * NODE_PEER_HOSTS);
}

static void stopping_waits_for_no_server(void **state)
{
	struct node_peer peer = {.id = {{1}}};

	add_host(&peer, "silent.invalid", 1);
	add_host(&peer, "silent.too.invalid", 1);
	begin(&peer);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	wait_asked(2);
	resolver_stop(world.resolver);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	resolver_free(world.resolver);
	/* The answers come when there is nobody any more. */
	wake_server();
	assert_int_equal(world.answers, 0);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(resolver_new(&world.loop, on_answer, &world, &world.resolver), 0);
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
		TEST(no_hosts),
		TEST(one_at_a_time),
		TEST(many_peers),
		TEST(stopped),
		TEST(silent_names_hold_up_nobody),
		TEST(look_ups_are_bounded),
		TEST(stopping_waits_for_no_server),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
