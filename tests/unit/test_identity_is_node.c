/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The expected answers were computed from the definition with Python's integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/identity.h"
#include "bridge/random.h"

static void small_numbers_are_judged(void **state)
{
	static const char expected[] =
		"1101111001100011101101011111111011010101101110001001101111101111";

	for (uint8_t i = 0; i < 64; i++) {
		struct id id = {{i}};

		assert_int_equal(identity_is_node(&id), expected[i] == '1');
		/* The sign of x makes no difference. */
		id.bytes[31] = 0x80;
		assert_int_equal(identity_is_node(&id), expected[i] == '1');
	}
}

/* From p - 32 = 2^255 - 51 up to 2^255 - 1: those from p on are not reduced. */
static void numbers_around_the_prime_are_judged(void **state)
{
	static const char expected[] = "101111111101011011100011001111011101111001100011101";

	for (uint8_t i = 0; i < 51; i++) {
		struct id id;

		memset(id.bytes, 0xff, ID_SIZE);
		id.bytes[0] = (uint8_t)(0x100 - 51 + i);
		id.bytes[31] = 0x7f;
		assert_int_equal(identity_is_node(&id), expected[i] == '1');
	}
}

static void random_numbers_are_judged(void **state)
{
	static const char expected[] =
		"1111000111100110101110001000111100101000001010010011010110110010"
		"0010101101010001000010100110100100111101010010011001010100111100"
		"1110110110001100101010001101111001011011000000000000011010001010"
		"0100110000111111011010111100010111101110000010000001110011011000";
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);

	for (size_t i = 0; i < 256; i++) {
		struct id id;

		for (size_t at = 0; at < ID_SIZE; at += 8) {
			uint64_t value = random_u64(&random);

			for (size_t byte = 0; byte < 8; byte++)
				id.bytes[at + byte] = (uint8_t)(value >> (8 * byte));
		}
		assert_int_equal(identity_is_node(&id), expected[i] == '1');
	}
}

/* Points that anybody can sign for are no keys, others are. */
static void points_of_small_order_are_no_keys(void **state)
{
	struct id id = {{0}};

	for (uint8_t y = 0; y < 2; y++) {
		id.bytes[0] = y;
		assert_true(identity_is_node(&id));
		assert_false(identity_is_key(&id));
	}
	id.bytes[0] = 2;
	assert_false(identity_is_node(&id));
	assert_false(identity_is_key(&id));
	id.bytes[0] = 3;
	assert_true(identity_is_key(&id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_numbers_are_judged),
		cmocka_unit_test(numbers_around_the_prime_are_judged),
		cmocka_unit_test(random_numbers_are_judged),
		cmocka_unit_test(points_of_small_order_are_no_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
