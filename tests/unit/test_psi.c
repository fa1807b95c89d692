/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <blake3.h>

#include "bridge/discovery/psi.h"
#include "bridge/error.h"
#include "support_heap.h"

static struct id topic_of(unsigned number)
{
	struct id id = {{(uint8_t)number, (uint8_t)(number >> 8), 7}};

	return id;
}

static struct psi_salts salts_of(uint8_t alice, uint8_t bob)
{
	struct psi_salts salts;

	memset(salts.alice, alice, sizeof salts.alice);
	memset(salts.bob, bob, sizeof salts.bob);
	return salts;
}

static void the_hash_is_of_topic_halves_and_side(void **state)
{
	struct psi_salts salts = salts_of(1, 2);
	struct id topic = topic_of(3), hash, expected;
	uint8_t input[32 + 32 + 32 + 1];
	blake3_hasher hasher;

	for (enum psi_side side = PSI_ALICE; side <= PSI_BOB; side++) {
		memcpy(input, topic.bytes, 32);
		memset(input + 32, 1, 32);
		memset(input + 64, 2, 32);
		input[96] = side;
		blake3_hasher_init(&hasher);
		blake3_hasher_update(&hasher, input, sizeof input);
		blake3_hasher_finalize(&hasher, expected.bytes, ID_SIZE);
		psi_hash(&salts, side, &topic, &hash);
		assert_true(id_equal(&hash, &expected));
	}
}

static void each_of_ours_is_found_once(void **state)
{
	enum { TOPICS = 100 };
	struct psi_salts salts = salts_of(1, 2);
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct id topics[TOPICS], hash, found;
	struct psi *psi;

	for (unsigned i = 0; i < TOPICS; i++)
		topics[i] = topic_of(i);
	heap_begin();
	assert_int_equal(psi_new(&salts, PSI_BOB, topics, TOPICS, &random, &psi), 0);
	for (unsigned i = 0; i < 2 * TOPICS; i++) {
		struct id topic = topic_of(i);

		/* The other side's, replayed. */
		psi_hash(&salts, PSI_ALICE, &topic, &hash);
		assert_false(psi_find(psi, &hash, &found));
		psi_hash(&salts, PSI_BOB, &topic, &hash);
		assert_int_equal(psi_find(psi, &hash, &found), i < TOPICS);
		if (i < TOPICS)
			assert_true(id_equal(&found, &topic));
		assert_false(psi_find(psi, &hash, &found));
		assert_false(psi_find(psi, &topic, &found));
	}
	psi_free(psi);
	heap_end();
}

static void none_and_the_same_twice_are_fine(void **state)
{
	struct psi_salts salts = salts_of(1, 2);
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct id topics[3] = {topic_of(1), topic_of(2), topic_of(1)}, hash, found;
	struct psi *psi;

	assert_int_equal(psi_new(&salts, PSI_ALICE, NULL, 0, &random, &psi), 0);
	assert_false(psi_find(psi, &topics[0], &found));
	psi_free(psi);
	assert_int_equal(psi_new(&salts, PSI_ALICE, topics, 3, &random, &psi), 0);
	psi_hash(&salts, PSI_ALICE, &topics[0], &hash);
	assert_true(psi_find(psi, &hash, &found));
	assert_false(psi_find(psi, &hash, &found));
	psi_free(psi);
	psi_free(NULL);
}

static void no_memory_is_an_error(void **state)
{
	struct psi_salts salts = salts_of(1, 2);
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct id topics[200];
	struct psi *psi;
	size_t n = 0;

	for (unsigned i = 0; i < 200; i++)
		topics[i] = topic_of(i);
	heap_begin();
	do {
		heap_fail(++n, false);
		if (psi_new(&salts, PSI_ALICE, topics, 200, &random, &psi))
			assert_null(psi);
		psi_free(psi);
		assert_int_equal(heap_blocks(), 0);
	} while (heap_has_failed());
	assert_true(n > 3);
	assert_int_equal(
		psi_new(&salts, PSI_ALICE, topics, SIZE_MAX / 4, &random, &psi), ERROR_NOMEM);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_of_topic_halves_and_side),
		cmocka_unit_test(each_of_ours_is_found_once),
		cmocka_unit_test(none_and_the_same_twice_are_fine),
		cmocka_unit_test(no_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
