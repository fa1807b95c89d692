/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/quic/cids.h"

static struct keyed keyed;
static struct cids cids = {.keyed = &keyed};

/* Only the addresses matter here. */
static struct quic_connection *const one = (void *)&keyed, *const two = (void *)&cids;

static void found_until_removed(void **state)
{
	struct cid *of_one = NULL, *of_two = NULL;
	uint8_t id[CID_MAX_SIZE] = {0};

	for (unsigned i = 0; i < 100; i++) {
		id[0] = (uint8_t)i;
		assert_int_equal(
			cids_add(&cids, i % 2 ? &of_one : &of_two, i % 2 ? one : two, id, 8), 0);
	}
	for (unsigned i = 0; i < 100; i++) {
		id[0] = (uint8_t)i;
		assert_ptr_equal(cids_find(&cids, id, 8), i % 2 ? one : two);
		assert_null(cids_find(&cids, id, 9)); /* the length counts */
	}
	id[0] = 50;
	cids_remove(&cids, &of_one, id, 8); /* not of that connection */
	assert_ptr_equal(cids_find(&cids, id, 8), two);
	cids_remove(&cids, &of_two, id, 8);
	assert_null(cids_find(&cids, id, 8));
	cids_remove_all(&cids, &of_one);
	id[0] = 51;
	assert_null(cids_find(&cids, id, 8));
	id[0] = 52;
	assert_ptr_equal(cids_find(&cids, id, 8), two);
	cids_remove_all(&cids, &of_two);
	assert_null(cids.table);
}

/* Nobody can take over an id by naming it as his own. */
static void first_owner_stays(void **state)
{
	struct cid *of_one = NULL, *of_two = NULL;
	static const uint8_t id[16] = {1, 2, 3};

	assert_int_equal(cids_add(&cids, &of_one, one, id, sizeof id), 0);
	assert_int_equal(cids_add(&cids, &of_two, two, id, sizeof id), 0);
	assert_null(of_two);
	assert_ptr_equal(cids_find(&cids, id, sizeof id), one);
	cids_remove_all(&cids, &of_one);
	assert_null(cids_find(&cids, id, sizeof id));
}

int main(void)
{
	struct random random = random_system();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_until_removed),
		cmocka_unit_test(first_owner_stays),
	};

	keyed_init(&keyed, &random);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
