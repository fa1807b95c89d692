/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
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

static void the_systems_words(void **state)
{
	assert_string_equal(error_name(error_of_system(EHOSTUNREACH)), "SYSTEM");
	assert_string_equal(error_text(error_of_system(EHOSTUNREACH)), "no route to host");
	assert_string_equal(error_text(error_of_system(EPERM)), "operation not permitted");
	assert_string_equal(error_text(ERROR_OF_SYSTEM), "unknown error");
	assert_string_equal(error_text(ERROR_SYSTEM), "system call failed");
	/* A word of capitals stays one. */
	assert_string_equal(error_text(error_of_system(EDOTDOT)), strerror(EDOTDOT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_a_name_and_a_text),
		cmocka_unit_test(none_and_unknown),
		cmocka_unit_test(the_systems_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
