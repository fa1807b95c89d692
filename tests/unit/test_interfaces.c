/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ifaddrs.h>
#include <netinet/in.h>

#include "bridge/interfaces.h"

#define SIZE 32

static struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
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

	assert_int_equal(interfaces_addresses(bound, 4, out, SIZE), 3);
	assert_int_equal(address_compare(&out[0], &bound[2]), 0);
	assert_int_equal(address_compare(&out[1], &bound[1]), 0);
	assert_int_equal(address_compare(&out[2], &bound[0]), 0);
	assert_int_equal(interfaces_addresses(bound, 4, out, 2), 2);
	assert_int_equal(interfaces_addresses(bound, 4, out, 0), 0);
	assert_int_equal(interfaces_addresses(bound, 0, out, SIZE), 0);
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
	size_t count = interfaces_addresses(&bound, 1, out, SIZE);

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
	size_t count = interfaces_addresses(bound, 2, out, SIZE), loopbacks = 0;

	for (size_t i = 0; i < count; i++)
		loopbacks += address_is_loopback(&out[i]);
	assert_true(loopbacks == 0 || loopbacks == count);
	/* An explicit one is the operator's wish. */
	count = interfaces_addresses(&bound[2], 1, out, SIZE);
	assert_int_equal(count, 1);
	assert_true(address_is_loopback(&out[0]));
}

static void never_more_than_there_is_room(void **state)
{
	struct address bound[] = {address("0.0.0.0:1"), address("0.0.0.0:2"), address("[::]:3"),
		address("192.0.2.1:4")};
	struct address out[3];

	memset(&out[2], 0xaa, sizeof out[2]);
	assert_true(interfaces_addresses(bound, 4, out, 2) <= 2);
	assert_int_equal(out[2].family, 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_ones_stand_for_themselves),
		cmocka_unit_test(wildcards_become_interfaces),
		cmocka_unit_test(loopback_when_there_is_no_other),
		cmocka_unit_test(never_more_than_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
