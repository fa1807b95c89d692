/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/random.h"

/* The first values of SplitMix64 from seed 1234567, as its author publishes them. */
static void splitmix_is_splitmix(void **state)
{
	static const uint64_t expected[] = {UINT64_C(6457827717110365317),
		UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
		UINT64_C(4593380528125082431), UINT64_C(16408922859458223821)};
	uint64_t seed = 1234567;
	struct random random = random_seeded(&seed);

	for (size_t i = 0; i < 5; i++)
		assert_true(random_u64(&random) == expected[i]);
}

static void fill_fills_all(void **state)
{
	uint64_t seed = 1;
	struct random sources[] = {random_seeded(&seed), random_system()};

	for (size_t source = 0; source < 2; source++) {
		for (size_t size = 0; size < 40; size++) {
			uint8_t seen[41] = {0}, bytes[41] = {0};

			for (size_t round = 0; round < 64; round++) {
				sources[source].fill(sources[source].context, bytes, size);
				for (size_t i = 0; i < 41; i++)
					seen[i] |= bytes[i];
			}
			for (size_t i = 0; i < 41; i++)
				assert_int_equal(seen[i] != 0, i < size);
		}
	}
}

static void below_is_uniform(void **state)
{
	uint64_t seed = 7;
	struct random random = random_seeded(&seed);
	unsigned counts[6] = {0};

	for (unsigned i = 0; i < 60000; i++) {
		uint64_t value = random_below(&random, 6);

		assert_true(value < 6);
		counts[value]++;
	}
	for (unsigned i = 0; i < 6; i++)
		assert_true(counts[i] > 9600 && counts[i] < 10400);
	assert_true(random_below(&random, 1) == 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(random_below(&random, UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splitmix_is_splitmix),
		cmocka_unit_test(fill_fills_all),
		cmocka_unit_test(below_is_uniform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
