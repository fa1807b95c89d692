/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/flow.h"
#include "bridge/limits.h"
#include "support_heap.h"

#define ITEMS 20000
#define BYTES (8u << 20)

static struct {
	struct flows flows;
	struct random random;
	uint64_t seed;
} world;

static struct id topic_id(unsigned number)
{
	struct id id = {{0}};

	memcpy(id.bytes, &number, sizeof number);
	return id;
}

static struct flow *flow_of(unsigned topic)
{
	struct id id = topic_id(topic);
	struct flow *flow = flows_of(&world.flows, &id);

	assert_non_null(flow);
	return flow;
}

static void begin(bool shared)
{
	heap_begin();
	memset(&world, 0, sizeof world);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	flows_init(&world.flows, ITEMS, BYTES, shared, &world.random);
}

static int setup(void **state)
{
	begin(true);
	return 0;
}

/* Gives one of so many bytes; false: there was no room. */
static bool give(struct flow *flow, size_t bytes, bool urgent)
{
	struct parcel *parcel = memory_zalloc(sizeof *parcel);

	assert_non_null(parcel);
	parcel->mail.bytes = bytes;
	parcel->urgent = urgent;
	if (!flows_admit(&world.flows, parcel, flow, urgent)) {
		memory_free(parcel);
		return false;
	}
	flows_put(&world.flows, &parcel->mail);
	return true;
}

/* Takes one of the flow whose turn it is; NULL: there is none. *tell: what flows_done says. */
static struct flow *take(bool *tell)
{
	struct flow *flow = flows_turn(&world.flows);
	struct parcel *parcel = flow ? flow_pop(&world.flows, flow) : NULL;

	if (!parcel)
		return NULL;
	assert_ptr_equal(parcel->flow, flow);
	*tell = flows_done(&world.flows, flow, parcel->mail.bytes);
	memory_free(parcel);
	return flow;
}

static int teardown(void **state)
{
	bool tell;

	while (world.flows.stand)
		flow_go_on(&world.flows, world.flows.stand);
	while (take(&tell))
		;
	assert_int_equal(world.flows.items, 0);
	assert_int_equal(world.flows.bytes, 0);
	flows_clear(&world.flows);
	heap_end();
	return 0;
}

static void in_turns(void **state)
{
	struct flow *full = flow_of(1), *rest = flows_of(&world.flows, NULL);
	bool tell;

	for (int i = 0; i < 1000; i++)
		assert_true(give(full, 1, false));
	assert_true(give(flow_of(2), 1, false));
	assert_true(give(flow_of(3), 1, false));
	assert_true(give(rest, 1, false));
	/* The others wait for a few of it, not for all. */
	for (int i = 0; i < 32; i++)
		assert_ptr_equal(take(&tell), full);
	assert_ptr_equal(take(&tell), flow_of(2));
	assert_ptr_equal(take(&tell), flow_of(3));
	assert_ptr_equal(take(&tell), rest);
	assert_ptr_equal(take(&tell), full);
}

static void order_within_one(void **state)
{
	struct parcel parcels[3] = {0};
	struct flow *flow = flow_of(1);

	for (int i = 0; i < 3; i++) {
		assert_true(flows_admit(&world.flows, &parcels[i], flow, false));
		parcels[i].mail.next = i < 2 ? &parcels[i + 1].mail : NULL;
	}
	flows_put(&world.flows, &parcels[0].mail);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(flow_pop(&world.flows, flow), &parcels[i]);
		flows_done(&world.flows, flow, 0);
	}
	assert_null(flow_pop(&world.flows, flow));
	assert_null(flows_turn(&world.flows));
}

static void one_has_half_of_what_is_left(void **state)
{
	struct flow *one = flow_of(1), *two = flow_of(2);
	size_t count = 0;

	while (give(one, 1, false))
		count++;
	assert_int_equal(count, ITEMS / 2);
	assert_int_equal(flows_fill(&world.flows, one), 256);
	assert_true(give(one, 1, true)); /* what may not be lost has room */
	for (count = 0; give(two, 1, false); count++)
		;
	assert_int_equal(count, (ITEMS - ITEMS / 2 - 1) / 2);
}

static void all_of_them_full(void **state)
{
	size_t count;

	for (unsigned topic = 1; topic < 100; topic++)
		for (count = 0; give(flow_of(topic), 1, false); count++)
			;
	/* The last one still has a little. */
	assert_int_equal(count, LIMIT_FLOW_LEAST_ITEMS);
}

static void bounded_by_bytes(void **state)
{
	struct flow *flow = flow_of(1);

	assert_false(give(flow, BYTES / 2 + 1, false));
	assert_true(give(flow, BYTES / 2, false));
	assert_false(give(flow, 1, false));
	assert_int_equal(flows_fill(&world.flows, flow), 256);
	/* Two flows that are not there: what is left is less for each. */
	assert_true(give(flow_of(2), BYTES / 4, false));
	assert_false(give(flow_of(2), 1, false));
}

static void not_shared(void **state)
{
	size_t count = 0;

	begin(false);
	while (give(flow_of(1), 1, false))
		count++;
	assert_int_equal(count, ITEMS);
	assert_false(give(flow_of(2), 1, false));
}

static void high_until_low(void **state)
{
	struct flow *flow = flow_of(1);
	size_t told = 0;
	bool tell;

	for (int i = 0; i < LIMIT_FLOW_HIGH_ITEMS; i++) {
		assert_false(flow_is_high(flow));
		give(flow, 1, false);
	}
	assert_true(flow_is_high(flow));
	flow->awaited = true;
	for (int i = 0; i < LIMIT_FLOW_HIGH_ITEMS; i++) {
		take(&tell);
		told += tell;
		/* Once, and when there is some room. */
		assert_int_equal(told, i + 1 >= LIMIT_FLOW_HIGH_ITEMS / 2);
		assert_int_equal(flow_is_low(flow), i + 1 >= LIMIT_FLOW_HIGH_ITEMS / 2);
	}
	give(flow, LIMIT_FLOW_HIGH_BYTES, false);
	assert_true(flow_is_high(flow));
	take(&tell);
	assert_false(tell);
}

static void standing_is_seen(void **state)
{
	struct flow *flow = flow_of(1);
	bool tell;

	give(flow, 1, false);
	give(flow, 1, false);
	assert_int_equal(flow_stands_for(flow, 1000), 0);
	assert_int_equal(flow_stands_for(flow, 1500), 500);
	take(&tell);
	assert_int_equal(flow_stands_for(flow, 1600), 0);
	assert_int_equal(flow_stands_for(flow, 1700), 100);
}

static void who_stands_holds_up_nobody(void **state)
{
	struct flow *one = flow_of(1), *two = flow_of(2);
	bool tell;

	give(one, 1, false);
	give(two, 1, false);
	assert_ptr_equal(flows_turn(&world.flows), one);
	flow_stand(&world.flows, one);
	flow_stand(&world.flows, one);
	give(one, 1, false);
	assert_ptr_equal(take(&tell), two);
	assert_null(flows_turn(&world.flows));
	flow_go_on(&world.flows, one);
	flow_go_on(&world.flows, one);
	assert_ptr_equal(take(&tell), one);
	assert_ptr_equal(take(&tell), one);
	assert_null(take(&tell));
	flow_stand(&world.flows, one); /* it has nothing */
	assert_null(world.flows.stand);
}

static void what_is_urgent_goes_on(void **state)
{
	struct flow *flow = flow_of(1);
	bool tell;

	give(flow, 1, false);
	flow_stand(&world.flows, flow);
	give(flow, 1, true);
	assert_ptr_equal(flows_turn(&world.flows), flow);
	assert_int_equal(flow->urgent, 1);
	take(&tell);
	assert_int_equal(flow->urgent, 1);
	take(&tell);
	assert_int_equal(flow->urgent, 0);
}

static void idle_ones_are_forgotten(void **state)
{
	struct flow *busy = flow_of(0);

	give(busy, 1, false);
	for (unsigned topic = 1; topic < 5000; topic++)
		flow_of(topic);
	assert_true(HASH_COUNT(world.flows.table) <= 1024);
	assert_ptr_equal(flow_of(0), busy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(in_turns),
		TEST(order_within_one),
		TEST(one_has_half_of_what_is_left),
		TEST(all_of_them_full),
		TEST(bounded_by_bytes),
		TEST(not_shared),
		TEST(high_until_low),
		TEST(standing_is_seen),
		TEST(who_stands_holds_up_nobody),
		TEST(what_is_urgent_goes_on),
		TEST(idle_ones_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
