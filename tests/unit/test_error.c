/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"

static const int all[] = {
#define X(name, value, text) ERROR_##name,
	ERROR_TABLE(X)
#undef X
};

#define COUNT (sizeof all / sizeof *all)

static void each_has_a_name_and_a_text(void **state)
{
	for (size_t i = 0; i < COUNT; i++) {
		assert_true(all[i] < 0);
		assert_string_not_equal(error_name(all[i]), "UNKNOWN");
		assert_string_not_equal(error_text(all[i]), "unknown error");
		for (size_t j = 0; j < i; j++) {
			assert_int_not_equal(all[i], all[j]);
			assert_string_not_equal(error_name(all[i]), error_name(all[j]));
			assert_string_not_equal(error_text(all[i]), error_text(all[j]));
		}
	}
	assert_string_equal(error_name(ERROR_NOMEM), "NOMEM");
	assert_string_equal(error_text(ERROR_ADDRESS_IN_USE), "address is in use");
}

static void none_and_unknown(void **state)
{
	assert_string_equal(error_name(ERROR_NONE), "NONE");
	assert_string_equal(error_text(ERROR_NONE), "no error");
	assert_string_equal(error_name(1), "UNKNOWN");
	assert_string_equal(error_text(-1000), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_a_name_and_a_text),
		cmocka_unit_test(none_and_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
