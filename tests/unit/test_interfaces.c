/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ifaddrs.h>
#include <netinet/in.h>

#include "bridge/error.h"
#include "bridge/io/interfaces.h"
#include "support_heap.h"
#include "support_netns.h"

#define SIZE 32

static struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

/* Without nodes of a configuration. */
static size_t told(const struct address *bound, size_t count, struct address *out, size_t size)
{
	size_t left_out, found;

	found = interfaces_addresses(bound, count, NULL, 0, out, size, &left_out);
	assert_true(left_out == 0 || found == size);
	return found;
}

static void check_sorted(const struct address *addresses, size_t count)
{
	for (size_t i = 1; i < count; i++)
		assert_true(address_compare(&addresses[i - 1], &addresses[i]) < 0);
}

static void bound_ones_stand_for_themselves(void **state)
{
	struct address bound[] = {address("[::1]:5"), address("192.0.2.7:2022"),
		address("127.0.0.1:9"), address("192.0.2.7:2022")};
	struct address out[SIZE];

	assert_int_equal(told(bound, 4, out, SIZE), 3);
	assert_int_equal(address_compare(&out[0], &bound[2]), 0);
	assert_int_equal(address_compare(&out[1], &bound[1]), 0);
	assert_int_equal(address_compare(&out[2], &bound[0]), 0);
	assert_int_equal(told(bound, 4, out, 2), 2);
	assert_int_equal(told(bound, 4, out, 0), 0);
	assert_int_equal(told(bound, 0, out, SIZE), 0);
}

static struct interface_address made(
	unsigned family, unsigned net, unsigned number, enum interface_use use)
{
	struct interface_address one = {.use = use};

	one.address.family = (uint8_t)family;
	one.address.port = 2022;
	one.address.ip[0] = family == 4 ? 10 : 0xfd;
	one.address.ip[1] = (uint8_t)net;
	one.address.ip[2] = (uint8_t)number;
	return one;
}

static bool has(const struct address *out, size_t count, const struct interface_address *one)
{
	for (size_t i = 0; i < count; i++)
		if (address_compare(&out[i], &one->address) == 0)
			return true;
	return false;
}

enum story { LAN_FIRST, VPN_LAST, IPV6_ONLY, STORIES };

/* A host with 0 to 40 bridges: whatever their number and order, the network card and the VPN are
 * among the sixteen, and both families. */
static void bridges_give_way(void **state)
{
	struct interface_address all[100], lan4 = made(4, 200, 1, INTERFACE_USED),
					   lan6 = made(6, 200, 1, INTERFACE_USED),
					   vpn = made(4, 255, 1, INTERFACE_OTHER);
	struct address out[16];

	for (unsigned bridges = 0; bridges <= 40; bridges++)
		for (unsigned story = 0; story < STORIES; story++) {
			size_t count = 0, told_count, v6 = 0;

			if (story == LAN_FIRST) {
				all[count++] = lan4;
				all[count++] = lan6;
			}
			for (unsigned i = 0; i < bridges; i++) {
				all[count++] = made(4, 1, i, INTERFACE_BRIDGE);
				all[count++] = made(6, 1, i, INTERFACE_BRIDGE);
			}
			if (story == VPN_LAST)
				all[count++] = vpn;
			if (story == IPV6_ONLY)
				all[count++] = lan6;
			told_count = interfaces_choose(all, count, out, 16);
			assert_int_equal(told_count, count < 16 ? count : 16);
			check_sorted(out, told_count);
			assert_int_equal(has(out, told_count, &lan4), story == LAN_FIRST);
			assert_int_equal(has(out, told_count, &lan6), story != VPN_LAST);
			assert_int_equal(has(out, told_count, &vpn), story == VPN_LAST);
			for (size_t i = 0; i < told_count; i++)
				v6 += out[i].family == 6;
			if (bridges >= 8)
				assert_int_equal(v6, 8);
		}
}

/* Of one family only there may be sixteen. */
static void one_family_may_have_all_places(void **state)
{
	struct interface_address all[40];
	struct address out[16];

	for (unsigned i = 0; i < 40; i++)
		all[i] = made(6, 1, i, INTERFACE_BRIDGE);
	assert_int_equal(interfaces_choose(all, 40, out, 16), 16);
	all[0] = made(4, 1, 0, INTERFACE_BRIDGE);
	assert_int_equal(interfaces_choose(all, 40, out, 16), 16);
	assert_int_equal(out[0].family, 4);
	assert_int_equal(interfaces_choose(all, 0, out, 16), 0);
	assert_int_equal(interfaces_choose(all, 40, out, 0), 0);
}

/* What the system says by another way: addresses of the family that others can reach. */
static size_t count_usable(int family)
{
	struct ifaddrs *all, *one;
	const struct sockaddr_in *v4;
	const struct sockaddr_in6 *v6;
	size_t count = 0;

	assert_int_equal(getifaddrs(&all), 0);
	for (one = all; one; one = one->ifa_next) {
		if (!one->ifa_addr || one->ifa_addr->sa_family != family)
			continue;
		v4 = (const struct sockaddr_in *)(const void *)one->ifa_addr;
		v6 = (const struct sockaddr_in6 *)(const void *)one->ifa_addr;
		if (family == AF_INET)
			count += ntohl(v4->sin_addr.s_addr) >> 24 != 127;
		else
			count += !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) &&
				 !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
	}
	freeifaddrs(all);
	return count;
}

static void check_wildcard(const char *text, int family)
{
	struct address bound = address(text), out[SIZE];
	size_t usable = count_usable(family);
	size_t count = told(&bound, 1, out, SIZE);

	check_sorted(out, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(out[i].family, bound.family);
		assert_int_equal(out[i].port, bound.port);
		assert_true(address_is_dialable(&out[i]));
		/* Loopback only if there is no other. */
		assert_int_equal(address_is_loopback(&out[i]), usable == 0);
	}
	if (usable > 0)
		assert_true(count > 0 && count <= usable);
}

static void wildcards_become_interfaces(void **state)
{
	check_wildcard("0.0.0.0:2022", AF_INET);
	check_wildcard("[::]:2023", AF_INET6);
}

static void loopback_when_there_is_no_other(void **state)
{
	struct address bound[] = {address("0.0.0.0:1"), address("[::]:2"), address("127.0.0.1:3")};
	struct address out[SIZE];
	size_t count = told(bound, 2, out, SIZE), loopbacks = 0;

	for (size_t i = 0; i < count; i++)
		loopbacks += address_is_loopback(&out[i]);
	assert_true(loopbacks == 0 || loopbacks == count);
	/* An explicit one is the operator's wish. */
	count = told(&bound[2], 1, out, SIZE);
	assert_int_equal(count, 1);
	assert_true(address_is_loopback(&out[0]));
}

static void never_more_than_there_is_room(void **state)
{
	struct address bound[] = {address("0.0.0.0:1"), address("0.0.0.0:2"), address("[::]:3"),
		address("192.0.2.1:4")};
	struct address out[3];

	memset(&out[2], 0xaa, sizeof out[2]);
	assert_true(told(bound, 4, out, 2) <= 2);
	assert_int_equal(out[2].family, 0xaa);
}

struct watcher {
	struct interfaces_watch *watch;
	uv_loop_t loop;
	uv_timer_t timer;
	unsigned changes, closed;
	uint64_t changed; /* when, ms */
	bool over;
};

static void on_changed(void *context)
{
	struct watcher *watcher = context;

	watcher->changes++;
	watcher->changed = uv_now(&watcher->loop);
}

static void on_closed(void *context)
{
	struct watcher *watcher = context;

	watcher->closed++;
}

static void on_timer(uv_timer_t *timer)
{
	struct watcher *watcher = timer->data;

	watcher->over = true;
}

static void watch(struct watcher *watcher)
{
	memset(watcher, 0, sizeof *watcher);
	assert_int_equal(uv_loop_init(&watcher->loop), 0);
	uv_timer_init(&watcher->loop, &watcher->timer);
	watcher->timer.data = watcher;
	assert_int_equal(
		interfaces_watch_start(&watcher->loop, on_changed, watcher, &watcher->watch), 0);
}

static void unwatch(struct watcher *watcher)
{
	interfaces_watch_stop(watcher->watch, on_closed, watcher);
	uv_close((uv_handle_t *)&watcher->timer, NULL);
	uv_run(&watcher->loop, UV_RUN_DEFAULT);
	assert_int_equal(watcher->closed, 1);
	assert_int_equal(uv_loop_close(&watcher->loop), 0);
}

/* Runs the loop for so long, or until there were that many changes. */
static void run(struct watcher *watcher, uint64_t ms, unsigned changes)
{
	watcher->over = false;
	uv_update_time(&watcher->loop);
	uv_timer_start(&watcher->timer, on_timer, ms, 0);
	while (watcher->changes < changes && !watcher->over)
		uv_run(&watcher->loop, UV_RUN_ONCE);
	uv_timer_stop(&watcher->timer);
}

/* From here on in a namespace of its own. */
static void changes_are_told(void **state)
{
	struct watcher watcher;
	uint64_t begun;

	netns_enter();
	heap_begin();
	watch(&watcher);
	run(&watcher, 300, 1);
	assert_int_equal(watcher.changes, 0);

	uv_update_time(&watcher.loop);
	begun = uv_now(&watcher.loop);
	netns_ip("addr add 192.0.2.1/32 dev lo");
	run(&watcher, 2000, 1);
	assert_int_equal(watcher.changes, 1);
	assert_true(watcher.changed - begun >= 100);
	netns_ip("addr del 192.0.2.1/32 dev lo");
	run(&watcher, 2000, 2);
	assert_int_equal(watcher.changes, 2);

	/* An address of IPv6, or a link that goes down, are changes too. */
	netns_ip("addr add 2001:db8::1/128 dev lo nodad");
	run(&watcher, 2000, 3);
	assert_int_equal(watcher.changes, 3);
	netns_ip("link set lo down");
	run(&watcher, 2000, 4);
	assert_int_equal(watcher.changes, 4);
	netns_ip("link set lo up");
	run(&watcher, 2000, 5);
	assert_int_equal(watcher.changes, 5);
	/* Nothing is armed when nothing happens. */
	run(&watcher, 400, 6);
	assert_int_equal(watcher.changes, 5);
	unwatch(&watcher);
	heap_end();
}

static void many_changes_are_told_once(void **state)
{
	struct watcher watcher;
	char arguments[64];

	watch(&watcher);
	for (int i = 0; i < 8; i++) {
		snprintf(arguments, sizeof arguments, "addr add 192.0.2.%d/32 dev lo", i);
		netns_ip(arguments);
	}
	run(&watcher, 400, 2);
	assert_int_equal(watcher.changes, 1);
	unwatch(&watcher);
}

/* More than the socket's buffer holds: ENOBUFS is a change. */
static void an_overrun_is_a_change(void **state)
{
	struct watcher watcher;

	watch(&watcher);
	netns_ip("-force -batch - <<EOF\n"
		 "$(for i in $(seq 0 2000); do echo addr add 198.51.$((i / 250)).$((i % 250))/32 "
		 "dev lo; echo addr del 198.51.$((i / 250)).$((i % 250))/32 dev lo; done)\nEOF");
	run(&watcher, 2000, 1);
	assert_true(watcher.changes >= 1);
	unwatch(&watcher);
}

static void stopped_before_it_is_told(void **state)
{
	struct watcher watcher;

	heap_begin();
	watch(&watcher);
	netns_ip("addr add 203.0.113.1/32 dev lo");
	run(&watcher, 50, 1);
	unwatch(&watcher);
	assert_int_equal(watcher.changes, 0);
	assert_int_equal(uv_loop_init(&watcher.loop), 0);
	heap_fail(1, false);
	assert_int_equal(
		interfaces_watch_start(&watcher.loop, on_changed, &watcher, &watcher.watch),
		ERROR_NOMEM);
	assert_int_equal(uv_loop_close(&watcher.loop), 0);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_ones_stand_for_themselves),
		cmocka_unit_test(wildcards_become_interfaces),
		cmocka_unit_test(loopback_when_there_is_no_other),
		cmocka_unit_test(never_more_than_there_is_room),
		cmocka_unit_test(bridges_give_way),
		cmocka_unit_test(one_family_may_have_all_places),
		cmocka_unit_test(changes_are_told),
		cmocka_unit_test(many_changes_are_told_once),
		cmocka_unit_test(an_overrun_is_a_change),
		cmocka_unit_test(stopped_before_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
