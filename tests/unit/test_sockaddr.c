/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/sockaddr.h"

static void assert_both_ways(const char *text, socklen_t size)
{
	struct sockaddr_storage storage;
	struct address address, back;

	assert_int_equal(address_parse(text, &address), 0);
	memset(&storage, 0xff, sizeof storage);
	assert_int_equal(sockaddr_from(&address, &storage), size);
	back = sockaddr_address((const struct sockaddr *)&storage);
	assert_int_equal(address_compare(&address, &back), 0);
}

static void both_ways(void **state)
{
	assert_both_ways("192.0.2.7:4242", sizeof(struct sockaddr_in));
	assert_both_ways("0.0.0.0:0", sizeof(struct sockaddr_in));
	assert_both_ways("[2001:db8::7]:65535", sizeof(struct sockaddr_in6));
	assert_both_ways("[::]:0", sizeof(struct sockaddr_in6));
}

static void as_the_system_reads_it(void **state)
{
	const struct address v4 = {4, {192, 0, 2, 7}, 4242}, v6 = {6, {[15] = 1}, 4243};
	struct sockaddr_storage storage;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&storage;

	sockaddr_from(&v4, &storage);
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(in->sin_addr.s_addr, inet_addr("192.0.2.7"));
	assert_int_equal(in->sin_port, htons(4242));
	memset(&storage, 0xff, sizeof storage);
	sockaddr_from(&v6, &storage);
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
	assert_int_equal(in6->sin6_port, htons(4243));
	assert_int_equal(in6->sin6_scope_id, 0);
	assert_int_equal(in6->sin6_flowinfo, 0);
}

static void another_family_is_none(void **state)
{
	const struct sockaddr other = {.sa_family = AF_UNIX, .sa_data = "a path"};

	assert_int_equal(sockaddr_address(&other).family, 0);
}

static void a_scope_is_not_kept(void **state)
{
	struct sockaddr_in6 local = {.sin6_family = AF_INET6,
		.sin6_port = htons(1),
		.sin6_scope_id = 3};
	struct address address;

	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &local.sin6_addr), 1);
	address = sockaddr_address((const struct sockaddr *)&local);
	assert_int_equal(address.family, 6);
	assert_int_equal(address.ip[0], 0xfe);
	assert_int_equal(address.ip[15], 1);
	assert_int_equal(address.port, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(as_the_system_reads_it),
		cmocka_unit_test(another_family_is_none),
		cmocka_unit_test(a_scope_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
