/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/mesh/unable.h"
#include "bridge/time.h"

static struct unable unable;

static bool is_news(uint64_t now, const char *what, uint8_t family, int number)
{
	return unable_is_news(&unable, now, what, family, error_of_system(number));
}

static void once_and_when_it_changes(void **state)
{
	memset(&unable, 0, sizeof unable);
	assert_true(is_news(1, "sending", 4, EPERM));
	for (uint64_t now = 2; now < 1000; now++)
		assert_false(is_news(now, "sending", 4, EPERM));
	assert_true(is_news(1000, "sending", 4, ENETUNREACH));
	assert_false(is_news(1001, "sending", 4, ENETUNREACH));
	assert_true(is_news(1002, "sending", 4, EPERM));
}

static void each_kind_and_family_for_itself(void **state)
{
	memset(&unable, 0, sizeof unable);
	assert_true(is_news(1, "sending", 4, EPERM));
	assert_true(is_news(1, "sending", 6, EPERM));
	assert_true(is_news(1, "receiving", 4, EPERM));
	assert_true(is_news(1, "mdns", 0, EPERM));
	assert_false(is_news(1, "sending", 4, EPERM));
	assert_false(is_news(1, "sending", 6, EPERM));
	assert_false(is_news(1, "receiving", 4, EPERM));
	assert_false(is_news(1, "mdns", 0, EPERM));
}

static void again_as_long_as_it_goes_on(void **state)
{
	memset(&unable, 0, sizeof unable);
	assert_true(is_news(0, "sending", 4, EPERM));
	assert_false(is_news(600 * S - 1, "sending", 4, EPERM));
	assert_true(is_news(600 * S, "sending", 4, EPERM));
	assert_false(is_news(600 * S, "sending", 4, EPERM));
}

static void the_table_may_be_full(void **state)
{
	static char kinds[2 * UNABLE_KINDS][8];

	memset(&unable, 0, sizeof unable);
	for (size_t i = 0; i < 2 * UNABLE_KINDS; i++) {
		snprintf(kinds[i], sizeof kinds[i], "%zu", i);
		assert_true(is_news(1, kinds[i], 4, (int)i + 1));
	}
	assert_false(is_news(1, "0", 4, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_and_when_it_changes),
		cmocka_unit_test(each_kind_and_family_for_itself),
		cmocka_unit_test(again_as_long_as_it_goes_on),
		cmocka_unit_test(the_table_may_be_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
