/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/discovery/mdns.h"
#include "bridge/error.h"
#include "bridge/io/multicast.h"
#include "support_heap.h"
#include "support_netns.h"

struct listener {
	struct multicast *multicast;
	uint8_t wanted[MDNS_PACKET_SIZE];
	size_t wanted_size;
	unsigned heard, others;
	bool closes; /* from within the callback */
	unsigned closed;
	unsigned failures;
	char failure[128]; /* the last */
};

/* In place of the C library's: once it is refused, as a sandbox may do it. */
static bool refused;
static unsigned refusals;

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t (*next)(int, struct msghdr *, int) =
		(ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");

	if (!refused)
		return next(fd, message, flags);
	refusals++;
	errno = EPERM;
	return -1;
}

static void on_failed(void *context, const char *what, int error)
{
	struct listener *listener = context;

	listener->failures++;
	snprintf(listener->failure, sizeof listener->failure, "%s: %s", what, error_text(error));
}

static void on_closed(void *context)
{
	struct listener *listener = context;

	listener->closed++;
}

static void on_received(void *context, const uint8_t *packet, size_t size)
{
	struct listener *listener = context;

	/* Others may use the port on this machine and network. */
	if (size != listener->wanted_size || memcmp(packet, listener->wanted, size) != 0) {
		listener->others++;
		return;
	}
	listener->heard++;
	if (listener->closes)
		multicast_close(listener->multicast, on_closed, listener);
}

static void expect(struct listener *listener, const char *text, size_t size)
{
	memset(listener->wanted, 'x', size);
	memcpy(listener->wanted, text, strlen(text));
	listener->wanted_size = size;
	listener->heard = 0;
}

static void on_timer(uv_timer_t *timer)
{
	bool *over = timer->data;

	*over = true;
}

/* Runs the loop until that many are heard, or 2 s. */
static void run_until(uv_loop_t *loop, const struct listener *listener, unsigned heard)
{
	bool over = false;
	uv_timer_t timer;

	uv_timer_init(loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, on_timer, 2000, 0);
	while (listener->heard < heard && !over)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static void finish(uv_loop_t *loop)
{
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static void check_both_hear(uv_loop_t *loop, struct listener *a, struct listener *b, size_t size)
{
	expect(a, "mosquitto-p2panda test: to all", size);
	expect(b, "mosquitto-p2panda test: to all", size);
	multicast_send(a->multicast, a->wanted, size);
	run_until(loop, b, 1);
	assert_true(b->heard >= 1);
	run_until(loop, a, 1);
	/* The sender too: that is how several nodes on one machine find each other. */
	assert_true(a->heard >= 1);
}

static void two_sockets_on_this_machine_hear_each_other(void **state)
{
	struct listener a = {0}, b = {0};
	uv_loop_t loop;

	heap_begin();
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &b, &b.multicast), 0);
	assert_true(multicast_joined(a.multicast) > 0);
	check_both_hear(&loop, &a, &b, 40);
	check_both_hear(&loop, &b, &a, 1400);
	/* Joined already: nothing changes. */
	multicast_interfaces(a.multicast);
	assert_int_equal(multicast_joined(a.multicast), multicast_joined(b.multicast));
	check_both_hear(&loop, &b, &a, 40);
	multicast_close(a.multicast, on_closed, &a);
	multicast_close(b.multicast, NULL, NULL);
	finish(&loop);
	assert_int_equal(a.closed, 1);
	heap_end();
}

static void closing_from_within_the_callback(void **state)
{
	struct listener a = {.closes = true};
	uv_loop_t loop;

	heap_begin();
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	expect(&a, "mosquitto-p2panda test: close", 64);
	for (size_t i = 0; i < 3; i++)
		multicast_send(a.multicast, a.wanted, a.wanted_size);
	run_until(&loop, &a, 1);
	finish(&loop);
	assert_int_equal(a.heard, 1);
	assert_int_equal(a.closed, 1);
	heap_end();
}

static void no_memory(void **state)
{
	struct listener a = {0};
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	heap_begin();
	heap_fail(1, false);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), ERROR_NOMEM);
	heap_end();
	finish(&loop);
}

/* From here on in a namespace of its own. */
static void loopback_when_there_is_no_other(void **state)
{
	struct listener a = {0}, b = {0};
	uv_loop_t loop;

	netns_enter();
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &b, &b.multicast), 0);
	assert_true(multicast_joined(a.multicast) >= 1);
	check_both_hear(&loop, &a, &b, 40);
	multicast_close(a.multicast, NULL, NULL);
	multicast_close(b.multicast, NULL, NULL);
	finish(&loop);
}

static void follows_interfaces(void **state)
{
	struct listener a = {0}, b = {0};
	size_t on_loopback;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &b, &b.multicast), 0);
	on_loopback = multicast_joined(a.multicast);

	netns_ip("link add one type veth peer name two");
	netns_ip("addr add 192.0.2.1/24 dev one");
	netns_ip("addr add 198.51.100.1/24 dev two");
	/* IPv6 at once, without asking whether somebody else has the address. */
	netns_ip("addr add fe80::1/64 dev one nodad");
	netns_ip("addr add fe80::2/64 dev two nodad");
	netns_ip("link set one up");
	netns_ip("link set two up");
	multicast_interfaces(a.multicast);
	assert_int_equal(multicast_joined(a.multicast), 4); /* IPv4 and IPv6 on both */
	/* b is still on the loopback interface only. */
	expect(&b, "mosquitto-p2panda test: veth", 64);
	expect(&a, "mosquitto-p2panda test: veth", 64);
	/* Sent on both ends and looped back on each; IPv6 is also heard from the other end (of
	 * IPv4 the kernel drops what comes in with an address of this machine). What is sent before
	 * the kernel has noticed that the link has a carrier is lost. */
	for (unsigned tries = 0; tries < 5 && a.heard < 6; tries++) {
		a.heard = 0;
		multicast_send(a.multicast, a.wanted, a.wanted_size);
		run_until(&loop, &a, 6);
	}
	assert_true(a.heard >= 6);
	assert_int_equal(b.heard, 0);
	multicast_interfaces(b.multicast);
	check_both_hear(&loop, &a, &b, 1400);

	netns_ip("link del one");
	multicast_interfaces(a.multicast);
	multicast_interfaces(b.multicast);
	assert_int_equal(multicast_joined(a.multicast), on_loopback);
	check_both_hear(&loop, &a, &b, 40);

	multicast_close(a.multicast, NULL, NULL);
	multicast_close(b.multicast, NULL, NULL);
	finish(&loop);
}

/* Whatever comes by unicast to the wildcard socket of IPv6 is not for us. */
static void unicast_is_ignored(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
		.sin6_port = htons(MDNS_PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct listener a = {0};
	uv_loop_t loop;

	assert_true(fd >= 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(sendto(fd, "to one", 6, 0, (struct sockaddr *)&to, sizeof to), 6);
	expect(&a, "mosquitto-p2panda test: to all", 64);
	multicast_send(a.multicast, a.wanted, a.wanted_size);
	run_until(&loop, &a, 1);
	assert_int_equal(a.others, 0);
	multicast_close(a.multicast, NULL, NULL);
	finish(&loop);
	close(fd);
}

static void without_any_interface(void **state)
{
	struct listener a = {0};
	uv_loop_t loop;

	netns_ip("link set lo down");
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(multicast_joined(a.multicast), 0);
	multicast_send(a.multicast, (const uint8_t *)"nobody", 6);
	netns_ip("link set lo up");
	multicast_interfaces(a.multicast);
	assert_true(multicast_joined(a.multicast) >= 1);
	multicast_close(a.multicast, NULL, NULL);
	finish(&loop);
}

/* Somebody has the port for himself. */
static void port_in_use(void **state)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(MDNS_PORT)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct listener a = {0};
	uv_loop_t loop;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(
		multicast_open(&loop, on_received, on_failed, &a, &a.multicast), ERROR_ADDRESS_IN_USE);
	finish(&loop);
	close(fd);
}

/* It is said, and costs nothing more than a look at the socket now and then. */
static void nothing_can_be_received(void **state)
{
	struct listener a = {0};
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	refused = true;
	refusals = 0;
	expect(&a, "mosquitto-p2panda test: unheard", 64);
	multicast_send(a.multicast, a.wanted, a.wanted_size);
	/* What cannot be sent in one of the families may be told, too. */
	while (!strstr(a.failure, "received"))
		uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(a.failure, "mdns: nothing can be received: operation not permitted");
	/* Two looks in each family, and some after pauses: a whole second of turns is few of them. */
	for (int turns = 0; refusals < 8; turns++)
		assert_true(uv_run(&loop, UV_RUN_ONCE) && turns < 100);
	refused = false;
	run_until(&loop, &a, 1);
	assert_true(a.heard >= 1);
	multicast_close(a.multicast, NULL, NULL);
	finish(&loop);
}

/* But he has one family of it only. */
static void port_of_one_family_in_use(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct listener a = {0};
	uv_loop_t loop;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(multicast_open(&loop, on_received, on_failed, &a, &a.multicast), 0);
	assert_int_equal(a.failures, 1);
	assert_string_equal(
		a.failure, "mdns: IPv4 cannot be used: address is in use");
	multicast_close(a.multicast, NULL, NULL);
	finish(&loop);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sockets_on_this_machine_hear_each_other),
		cmocka_unit_test(closing_from_within_the_callback),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(loopback_when_there_is_no_other),
		cmocka_unit_test(follows_interfaces),
		cmocka_unit_test(unicast_is_ignored),
		cmocka_unit_test(without_any_interface),
		cmocka_unit_test(port_in_use),
		cmocka_unit_test(port_of_one_family_in_use),
		cmocka_unit_test(nothing_can_be_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
