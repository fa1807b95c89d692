/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/peers/dialer.h"
#include "support_heap.h"

#define MS    UINT64_C(1000000)
#define S     (1000 * MS)
#define NODES 100

static struct {
	struct book *book;
	struct dialer *dialer;
	struct dial_budget budget;
	struct counters counters;
	uint64_t now, seed;
	struct random random;
	unsigned dials[NODES], gave_up[NODES], look_ups[NODES];
	unsigned all_dials, relay_dials;
	struct address last;
	bool any_host; /* where a node is does not show in its address */
	/* What becomes of a dial: it fails after so long; UINT64_MAX: no answer at all. */
	uint64_t fails_after;
	struct {
		uint64_t at;
		struct id node;
		struct address address;
	} failures[4096];
	size_t failures_count;
} world;

static struct id node_id(uint32_t number)
{
	struct id id = {{0}};

	memcpy(id.bytes + 4, &number, sizeof number);
	return id;
}

static uint32_t number_of(const struct id *id)
{
	uint32_t number;

	memcpy(&number, id->bytes + 4, sizeof number);
	assert_true(number < NODES);
	return number;
}

static struct address address_of(uint32_t node, unsigned n)
{
	return (struct address){
		.family = 4, .ip = {10, 0, (uint8_t)node, (uint8_t)n}, .port = 2022};
}

static int new_dialer(struct dialer **out)
{
	return dialer_new(&world.random, world.book, &world.budget, &world.counters, out);
}

static int setup(void **state)
{
	struct id me;

	memset(&world, 0, sizeof world);
	memset(&me, 0xee, sizeof me);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	world.fails_after = UINT64_MAX;
	heap_begin();
	assert_int_equal(
		book_new(&me, &world.random, &world.counters, LIMIT_PEERS, &world.book), 0);
	assert_int_equal(new_dialer(&world.dialer), 0);
	return 0;
}

static int teardown(void **state)
{
	dialer_free(world.dialer);
	book_free(world.book);
	heap_end();
	return 0;
}

static void know(uint32_t node, unsigned count)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id id = node_id(node);

	for (unsigned i = 0; i < count; i++)
		addresses[i] = address_of(node, i);
	assert_int_equal(book_configure(world.book, &id, BOOK_TRUSTED, addresses, count), 0);
}

static void note(const struct dialer_effect *effect)
{
	uint32_t node = number_of(&effect->node);

	switch (effect->type) {
	case DIALER_DIAL:
		world.dials[node]++;
		world.all_dials++;
		world.last = effect->address;
		if (address_is_relay(&effect->address))
			world.relay_dials++;
		else if (!world.any_host)
			assert_int_equal(effect->address.ip[2], node);
		if (world.fails_after == UINT64_MAX)
			break;
		assert_true(world.failures_count < 4096);
		world.failures[world.failures_count].at = world.now + world.fails_after;
		world.failures[world.failures_count].node = effect->node;
		world.failures[world.failures_count++].address = effect->address;
		break;
	case DIALER_GAVE_UP:
		world.gave_up[node]++;
		break;
	case DIALER_LOOK_UP:
		world.look_ups[node]++;
		break;
	}
}

static unsigned take(void)
{
	struct dialer_effect effect;
	unsigned count = 0;

	while (dialer_effect(world.dialer, world.now, &effect)) {
		note(&effect);
		assert_true(++count <= 3 * NODES);
	}
	assert_true(dialer_deadline(world.dialer) > world.now);
	return count;
}

static uint64_t next_failure(void)
{
	uint64_t at = UINT64_MAX;

	for (size_t i = 0; i < world.failures_count; i++)
		if (world.failures[i].at < at)
			at = world.failures[i].at;
	return at;
}

static void fail_due(void)
{
	for (size_t i = 0; i < world.failures_count;) {
		if (world.failures[i].at > world.now) {
			i++;
			continue;
		}
		dialer_failed(world.dialer, world.now, &world.failures[i].node,
			&world.failures[i].address);
		world.failures[i] = world.failures[--world.failures_count];
	}
}

/* Lets time pass as an event loop does. */
static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration, next;
	unsigned wakes = 0;

	take();
	for (;;) {
		next = dialer_deadline(world.dialer);
		if (next_failure() < next)
			next = next_failure();
		if (next > end)
			break;
		world.now = next;
		fail_due();
		take();
		assert_true(++wakes < 20000);
	}
	world.now = end;
}

static void want(uint32_t node, bool keep)
{
	struct id id = node_id(node);

	assert_int_equal(dialer_want(world.dialer, world.now, &id, keep), 0);
}

static void linked(uint32_t node)
{
	struct id id = node_id(node);

	dialer_linked(world.dialer, &id);
}

static void unlinked(uint32_t node)
{
	struct id id = node_id(node);

	dialer_unlinked(world.dialer, world.now, &id);
}

static void failed(uint32_t node, unsigned n)
{
	struct id id = node_id(node);
	struct address address = address_of(node, n);

	dialer_failed(world.dialer, world.now, &id, &address);
}

static void assert_between(unsigned value, unsigned least, unsigned most)
{
	assert_true(value >= least && value <= most);
}

static bool is_idle(void)
{
	return dialer_deadline(world.dialer) == UINT64_MAX;
}

static void know_relay(uint32_t node)
{
	const struct address relay = {.family = ADDRESS_RELAY, .ip = {7}};
	struct id id = node_id(node);

	book_set_relay(world.book, &id, &relay);
}

static void relayed(uint32_t node, bool at_once)
{
	struct id id = node_id(node);

	dialer_relayed(world.dialer, world.now, &id, at_once);
}

/* What is behind a relay is not made to wait, and its addresses are tried as ever. */
static void a_relay_goes_beside_the_first_address(void **state)
{
	know(1, 3);
	know_relay(1);
	want(1, false);
	take();
	assert_int_equal(world.dials[1], 2);
	assert_int_equal(world.relay_dials, 1);
	pass(250 * MS - 1);
	assert_int_equal(world.dials[1], 2);
	pass(1);
	assert_int_equal(world.dials[1], 3);
	assert_int_equal(world.last.ip[3], 1);
	/* With nothing else it is all there is. */
	know(2, 0);
	know_relay(2);
	want(2, false);
	take();
	assert_int_equal(world.dials[2], 1);
	assert_int_equal(world.relay_dials, 2);
}

/* Checks that node is dialled at 1, 5 and 30 s, then each minute, and never by its relay. */
static void check_relayed_rounds(uint32_t node)
{
	static const uint64_t at[] = {1000, 5000, 30000, 30100 + 60000, 30200 + 120000};
	unsigned before = world.dials[node], relays = world.relay_dials;
	uint64_t passed = 0;

	for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
		pass((at[i] - passed) * MS - 1);
		assert_int_equal(world.dials[node], before + i);
		pass(1);
		assert_int_equal(world.dials[node], before + i + 1);
		passed = at[i];
	}
	assert_int_equal(world.relay_dials, relays);
	assert_int_equal(world.gave_up[node], 0);
	assert_int_equal(world.look_ups[node], 0);
}

static void behind_a_relay_a_better_way_is_looked_for(void **state)
{
	struct id id = node_id(1);

	world.fails_after = 100 * MS;
	know(1, 1);
	know_relay(1);
	/* Whoever has dialled. */
	relayed(1, false);
	check_relayed_rounds(1);
	/* To say it again changes nothing. */
	pass(S);
	relayed(1, true);
	assert_int_equal(take(), 0);
	/* A new address does not wait; a relay is none. */
	dialer_addresses(world.dialer, world.now, &id);
	assert_int_equal(take(), 0);
	know(1, 2);
	dialer_addresses(world.dialer, world.now, &id);
	assert_int_equal(take(), 1);
	/* There is a direct one. */
	linked(1);
	pass(1000 * S);
	assert_int_equal(world.dials[1], 6);
	assert_true(is_idle());
}

static void behind_a_relay_and_wanted_for_good(void **state)
{
	world.fails_after = 100 * MS;
	know(1, 1);
	know_relay(1);
	want(1, true);
	take();
	assert_int_equal(world.dials[1], 2);
	/* The dial at its address is under way. */
	relayed(1, false);
	check_relayed_rounds(1);
	/* The relay is gone, too: everything again. */
	unlinked(1);
	pass(0);
	assert_int_equal(world.relay_dials, 2);
	/* One that has dialled us, and is dialled at once: its NAT is open. */
	know(2, 1);
	relayed(2, true);
	pass(0);
	assert_int_equal(world.dials[2], 1);
	unlinked(2);
	pass(100 * S);
	assert_int_equal(world.dials[2], 1);
}

static void nothing_is_wanted(void **state)
{
	struct id id = node_id(1);

	know(1, 1);
	assert_true(is_idle());
	assert_int_equal(take(), 0);
	dialer_unwant(world.dialer, &id);
	linked(1);
	unlinked(1);
	failed(1, 0);
	dialer_addresses(world.dialer, world.now, &id);
	pass(100 * S);
	assert_int_equal(world.all_dials, 0);
	dialer_free(NULL);
}

static void one_after_the_other(void **state)
{
	know(1, 3);
	want(1, false);
	take();
	assert_int_equal(world.dials[1], 1);
	assert_int_equal(world.last.ip[3], 0);
	pass(250 * MS - 1);
	assert_int_equal(world.dials[1], 1);
	pass(1);
	assert_int_equal(world.dials[1], 2);
	assert_int_equal(world.last.ip[3], 1);
	/* A clear no does not wait for the 250 ms. */
	failed(1, 0);
	take();
	assert_int_equal(world.dials[1], 3);
	/* There is nothing to be done now but to wait for the answers. */
	assert_true(is_idle());
	failed(1, 1);
	take();
	assert_int_equal(world.gave_up[1], 0);
	failed(1, 2);
	take();
	assert_int_equal(world.gave_up[1], 1);
	assert_int_equal(world.look_ups[1], 0);
	assert_true(is_idle());
}

static void given_up_at_once_without_addresses(void **state)
{
	want(1, false);
	assert_int_equal(take(), 1);
	assert_int_equal(world.gave_up[1], 1);
	assert_true(is_idle());
	/* It may be wanted again. */
	know(1, 1);
	want(1, false);
	take();
	assert_int_equal(world.dials[1], 1);
}

static void wanted_for_good_is_tried_again(void **state)
{
	unsigned before;

	world.fails_after = 0;
	know(1, 1);
	want(1, true);
	pass(2 * S);
	/* At 0, then after 0.125-0.25, 0.25-0.5, 0.5-1, 1-2 s. */
	assert_between(world.dials[1], 3, 6);
	assert_true(world.look_ups[1] + 1 >= world.dials[1]);
	pass(20 * S);
	before = world.dials[1];
	pass(100 * S);
	/* Every 2 to 4 s. */
	assert_between(world.dials[1] - before, 25, 50);
	assert_int_equal(world.gave_up[1], 0);
}

static void wanted_for_good_without_addresses(void **state)
{
	struct id id = node_id(1);

	want(1, true);
	assert_int_equal(take(), 1);
	assert_int_equal(world.look_ups[1], 1);
	pass(100 * S);
	assert_between(world.look_ups[1], 25, 60);
	/* The answer of a look-up does not wait for the backoff. */
	know(1, 1);
	dialer_addresses(world.dialer, world.now, &id);
	take();
	assert_int_equal(world.dials[1], 1);
	/* Nor does it disturb a round. */
	dialer_addresses(world.dialer, world.now, &id);
	assert_int_equal(take(), 0);
}

static void looked_up_when_all_have_failed(void **state)
{
	struct id id = node_id(1);

	know(1, 2);
	want(1, true);
	take();
	failed(1, 0);
	take();
	assert_int_equal(world.look_ups[1], 0);
	failed(1, 1);
	/* At once: the next round is to have the new addresses. */
	take();
	assert_int_equal(world.look_ups[1], 1);
	assert_false(is_idle());
	assert_int_equal(world.dials[1], 2);
	/* The same ones again are no reason to hurry: */
	dialer_addresses(world.dialer, world.now, &id);
	take();
	assert_int_equal(world.dials[1], 2);
	/* a name that is found at once would make it a storm. */
	know(1, 3);
	dialer_addresses(world.dialer, world.now, &id);
	take();
	assert_int_equal(world.dials[1], 3);
}

static void linked_ends_it(void **state)
{
	know(1, 2);
	want(1, true);
	take();
	linked(1);
	pass(10 * S);
	assert_int_equal(world.dials[1], 1);
	assert_true(is_idle());
	failed(1, 0); /* another one of the round */
	want(1, true);
	assert_int_equal(take(), 0);
	/* When it is gone it is dialled at once, from the beginning. */
	unlinked(1);
	take();
	assert_int_equal(world.dials[1], 2);
	assert_int_equal(world.last.ip[3], 0);
}

static void linked_ends_a_backoff(void **state)
{
	world.fails_after = 0;
	know(1, 1);
	want(1, true);
	pass(30 * S);
	linked(1);
	assert_int_equal(take(), 0);
	pass(30 * S);
	assert_true(is_idle());
	unlinked(1);
	world.dials[1] = 0;
	pass(2 * S);
	/* The backoff is the first one again. */
	assert_true(world.dials[1] >= 3);
}

static void linked_when_wanted_once_is_forgotten(void **state)
{
	know(1, 1);
	want(1, false);
	take();
	linked(1);
	unlinked(1);
	failed(1, 0);
	pass(10 * S);
	assert_int_equal(world.all_dials, 1);
	assert_int_equal(world.gave_up[1], 0);
}

static void a_peer_that_hangs_up_at_once(void **state)
{
	know(1, 1);
	want(1, true);
	for (unsigned i = 0; i < 1000; i++) {
		take();
		if (world.dials[1] > 0) {
			world.dials[1] = 0;
			linked(1);
			world.now += 5 * MS;
			unlinked(1);
		}
		world.now += 100 * MS;
	}
	/* In 100 s: not at once, but with the backoff. */
	assert_between(world.all_dials, 25, 60);
}

static void once_becomes_for_good(void **state)
{
	struct id id = node_id(1);

	world.fails_after = 10 * MS;
	know(1, 1);
	want(1, false);
	take();
	want(1, true);
	pass(S);
	assert_int_equal(world.gave_up[1], 0);
	assert_true(world.look_ups[1] >= 1);
	want(1, false); /* keep is remembered */
	pass(10 * S);
	assert_int_equal(world.gave_up[1], 0);
	dialer_unwant(world.dialer, &id);
	world.dials[1] = 0;
	pass(10 * S);
	assert_true(world.dials[1] <= 1);
	assert_true(is_idle());
}

static void unwanted_in_a_round(void **state)
{
	struct id id = node_id(1);

	know(1, 1);
	want(1, true);
	take();
	dialer_unwant(world.dialer, &id);
	failed(1, 0);
	take();
	/* Somebody may wait for its end. */
	assert_int_equal(world.gave_up[1], 1);
	assert_true(is_idle());
	/* While it is linked: only when that ends. */
	want(1, true);
	linked(1);
	dialer_unwant(world.dialer, &id);
	unlinked(1);
	pass(10 * S);
	assert_int_equal(world.dials[1], 1);
}

static void wanted_again_before_giving_up_is_told(void **state)
{
	for (int keep = 0; keep < 2; keep++) {
		teardown(NULL);
		setup(NULL);
		know(1, 1);
		want(1, false);
		take();
		failed(1, 0);
		want(1, keep);
		take();
		assert_int_equal(world.gave_up[1], 0);
		assert_int_equal(world.dials[1], 2);
	}
	failed(1, 0);
	take();
	assert_int_equal(world.look_ups[1], 1);
}

static void unwanted_before_giving_up_is_told(void **state)
{
	struct id id = node_id(1);

	know(1, 1);
	want(1, false);
	take();
	failed(1, 0);
	dialer_unwant(world.dialer, &id);
	take();
	assert_int_equal(world.gave_up[1], 1);
}

static void the_budget(void **state)
{
	for (uint32_t node = 0; node < NODES; node++) {
		know(node, 1);
		want(node, false);
	}
	take();
	assert_int_equal(world.all_dials, DIALER_BUDGET);
	assert_true(dialer_deadline(world.dialer) <= world.now + S);
	pass(S - 1);
	assert_int_equal(world.all_dials, DIALER_BUDGET);
	pass(1);
	assert_int_equal(world.all_dials, NODES);
	for (uint32_t node = 0; node < NODES; node++)
		assert_int_equal(world.dials[node], 1);
	assert_true(is_idle());
}

static void the_budget_over_time(void **state)
{
	world.fails_after = 0;
	for (uint32_t node = 0; node < NODES; node++) {
		know(node, 8);
		want(node, true);
	}
	for (unsigned second = 0; second < 60; second++) {
		unsigned before = world.all_dials;

		pass(S);
		assert_true(world.all_dials - before <= 2 * DIALER_BUDGET);
	}
	assert_true(world.all_dials <= 61 * DIALER_BUDGET);
	/* Nobody starves. */
	for (uint32_t node = 0; node < NODES; node++)
		assert_true(world.dials[node] > 0);
}

/* Somebody has said that it is there. */
static void hear_of(uint32_t node, unsigned count)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id id = node_id(node);

	for (unsigned i = 0; i < count; i++)
		addresses[i] = address_of(node, 100 + i);
	assert_int_equal(book_hear(world.book, world.now, &id, &id, addresses, count, ADDRESS_PRIVATE), 0);
}

static uint64_t put_off(void)
{
	return counters_get(&world.counters, COUNTER_LIMIT_UNPROVEN);
}

static void unproven_addresses_have_a_budget(void **state)
{
	for (uint32_t node = 0; node < 3 * LIMIT_UNPROVEN_DIALS; node++) {
		hear_of(node, 1);
		want(node, false);
	}
	take();
	assert_int_equal(world.all_dials, LIMIT_UNPROVEN_DIALS);
	assert_int_equal(put_off(), 2 * LIMIT_UNPROVEN_DIALS);
	assert_true(dialer_deadline(world.dialer) == world.now + S);
	pass(S - 1);
	assert_int_equal(world.all_dials, LIMIT_UNPROVEN_DIALS);
	/* What is proven does not wait for that, */
	know(90, 1);
	want(90, false);
	take();
	assert_int_equal(world.dials[90], 1);
	pass(1);
	assert_int_equal(world.all_dials, 2 * LIMIT_UNPROVEN_DIALS + 1);
	/* nor does it come before those who have been put off. */
	for (uint32_t node = 60; node < 80; node++) {
		hear_of(node, 1);
		want(node, false);
	}
	take();
	assert_int_equal(world.all_dials, 2 * LIMIT_UNPROVEN_DIALS + 1);
	pass(S);
	for (uint32_t node = 0; node < 3 * LIMIT_UNPROVEN_DIALS; node++)
		assert_int_equal(world.dials[node], 1);
	for (uint32_t node = 60; node < 80; node++)
		assert_int_equal(world.dials[node], 0);
	/* Each of them is counted once. */
	assert_int_equal(put_off(), 2 * LIMIT_UNPROVEN_DIALS + 20);
	pass(2 * S);
	for (uint32_t node = 60; node < 80; node++)
		assert_int_equal(world.dials[node], 1);
	assert_int_equal(put_off(), 2 * LIMIT_UNPROVEN_DIALS + 20);
	assert_true(is_idle());
}

static void what_is_proven_goes_first(void **state)
{
	struct id id = node_id(1);
	struct address good = address_of(1, 7);

	world.budget = (struct dial_budget){.second = world.now, .spent = LIMIT_UNPROVEN_DIALS};
	know(1, 2);
	hear_of(1, 2);
	book_worked(world.book, world.now, 1, &id, &good);
	want(1, false);
	take();
	assert_int_equal(world.last.ip[3], 7);
	pass(500 * MS);
	assert_int_equal(world.dials[1], 3);
	assert_int_equal(world.last.ip[3], 1);
	pass(250 * MS);
	assert_int_equal(put_off(), 1);
	/* An answer of the others does not make it go before its time. */
	failed(1, 7);
	failed(1, 0);
	failed(1, 1);
	assert_int_equal(take(), 0);
	assert_int_equal(world.gave_up[1], 0);
	pass(250 * MS);
	assert_int_equal(world.dials[1], 4);
	assert_int_equal(world.last.ip[3], 100);
	failed(1, 100);
	take();
	assert_int_equal(world.dials[1], 5);
	failed(1, 101);
	take();
	assert_int_equal(world.gave_up[1], 1);
}

static void one_budget_for_all_diallers(void **state)
{
	struct dialer *first = world.dialer, *second;

	assert_int_equal(new_dialer(&second), 0);
	for (uint32_t node = 0; node < 40; node++) {
		hear_of(node, 1);
		world.dialer = node % 2 ? first : second;
		want(node, false);
	}
	for (unsigned second_number = 0; second_number < 3; second_number++) {
		world.dialer = second;
		take();
		world.dialer = first;
		take();
		assert_int_equal(world.all_dials,
			second_number < 2 ? (second_number + 1) * LIMIT_UNPROVEN_DIALS : 40);
		world.now += S;
	}
	dialer_free(second);
}

/* Others may say of many nodes that they are at one address: it is somebody's who has nothing to
 * do with it. */
static void a_host_is_not_flooded(void **state)
{
	struct address victim[LIMIT_ADDRESSES_PER_NODE];
	const uint64_t minutes = 10;
	unsigned first = 0;

	for (unsigned i = 0; i < LIMIT_ADDRESSES_PER_NODE; i++)
		victim[i] = (struct address){
			.family = 4, .ip = {10, 0, 0, 1}, .port = (uint16_t)(1000 + i)};
	for (uint32_t node = 1; node < 60; node++) {
		struct id id = node_id(node);

		assert_int_equal(book_hear(world.book, world.now, &id, &id, victim,
					 LIMIT_ADDRESSES_PER_NODE, ADDRESS_PRIVATE),
			0);
	}
	world.any_host = true;
	world.fails_after = 5 * S;
	for (uint64_t second = 0; second < minutes * 60; second++) {
		for (uint32_t node = 1; node < 60; node++)
			want(node, false);
		pass(S);
		if (second == 59)
			first = world.all_dials;
	}
	assert_uint_in_range(first, LIMIT_UNPROVEN_DIALS_PER_HOST, LIMIT_UNPROVEN_DIALS_PER_HOST + 9);
	assert_uint_in_range(world.all_dials - first, minutes - 3, minutes);
	/* The honest one beside it is dialled at once. */
	hear_of(70, 1);
	want(70, false);
	take();
	assert_int_equal(world.dials[70], 1);
}

/* Many nodes behind one address that is there: all of them are reached. */
static void a_host_that_answers_is_no_third_party(void **state)
{
	struct address site = {.family = 4, .ip = {10, 0, 0, 1}};

	world.any_host = true;
	for (uint32_t node = 1; node < 60; node++) {
		struct id id = node_id(node);

		site.port = (uint16_t)(1000 + node);
		assert_int_equal(book_hear(world.book, world.now, &id, &id, &site, 1,
					 ADDRESS_PRIVATE),
			0);
		want(node, false);
	}
	for (int tenth = 0; tenth < 60; tenth++) {
		take();
		dialer_worked(world.dialer, &site); /* within 100 ms */
		pass(100 * MS);
	}
	for (uint32_t node = 1; node < 60; node++)
		assert_int_equal(world.dials[node], 1);
}

static void put_off_and_not_wanted_any_more(void **state)
{
	struct id id = node_id(1);

	world.budget = (struct dial_budget){.second = world.now, .spent = LIMIT_UNPROVEN_DIALS};
	for (uint32_t node = 0; node < 4; node++) {
		hear_of(node, 1);
		want(node, node % 2);
	}
	take();
	assert_int_equal(world.all_dials, 0);
	assert_int_equal(put_off(), 4);
	dialer_unwant(world.dialer, &id); /* its round goes on: somebody may wait for its end */
	linked(2);
	linked(3);
	pass(S);
	assert_int_equal(world.all_dials, 2);
	failed(1, 100);
	take();
	assert_int_equal(world.gave_up[1], 1);
	/* Put off, linked, lost: it counts anew. */
	unlinked(3);
	world.budget = (struct dial_budget){.second = world.now, .spent = LIMIT_UNPROVEN_DIALS};
	pass(200 * MS);
	assert_int_equal(put_off(), 5);
	pass(S);
	assert_int_equal(world.dials[3], 1);
}

/* A turn costs as much as there is to be done, not as many as are wanted. */
static void hundreds_of_targets(void **state)
{
	struct dialer_effect effect;
	struct id id = {{0}};
	unsigned dials = 0, look_ups = 0;
	clock_t begun;

	for (uint32_t i = 0; i < LIMIT_PEERS; i++) {
		struct address address = address_of(i % 100, 1);

		memcpy(id.bytes, &i, sizeof i);
		assert_int_equal(book_configure(world.book, &id, BOOK_TRUSTED, &address, 1), 0);
		assert_int_equal(dialer_want(world.dialer, world.now, &id, true), 0);
	}
	begun = clock();
	for (unsigned i = 0; i < 60000; i++, world.now += 10 * MS) {
		while (dialer_effect(world.dialer, world.now, &effect)) {
			if (effect.type == DIALER_DIAL) {
				dials++;
				dialer_failed(
					world.dialer, world.now, &effect.node, &effect.address);
			} else {
				look_ups++;
			}
		}
		assert_true(dialer_deadline(world.dialer) > world.now);
	}
	print_message("%u dials, %u look-ups: %.3f s\n", dials, look_ups,
		(double)(clock() - begun) / CLOCKS_PER_SEC);
	assert_true(dials >= 600 * DIALER_BUDGET - DIALER_BUDGET && dials == look_ups);
	assert_true((double)(clock() - begun) / CLOCKS_PER_SEC < 5);
}

static void too_many_targets(void **state)
{
	struct id id = {{0}};

	for (uint32_t i = 0; i < 2 * LIMIT_PEERS; i++) {
		memcpy(id.bytes, &i, sizeof i);
		assert_int_equal(dialer_want(world.dialer, world.now, &id, true), 0);
	}
	id.bytes[31] = 1;
	assert_int_equal(dialer_want(world.dialer, world.now, &id, false), ERROR_LIMIT);
}

static void each_allocation_fails(void **state)
{
	struct dialer *dialer;
	struct id id;
	bool has_failed = true;
	int error;

	heap_fail(1, false);
	assert_int_equal(new_dialer(&dialer), ERROR_NOMEM);
	heap_fail(0, false);
	know(1, 1);
	know(2, 1);
	for (size_t n = 1; has_failed; n++) {
		dialer_free(world.dialer);
		assert_int_equal(new_dialer(&world.dialer), 0);
		heap_fail(n, false);
		for (uint32_t node = 1; node <= 2; node++) {
			id = node_id(node);
			error = dialer_want(world.dialer, world.now, &id, true);
			assert_true(error == 0 || error == ERROR_NOMEM);
		}
		has_failed = heap_has_failed();
		heap_fail(0, false);
		world.all_dials = 0;
		take();
		assert_int_equal(world.all_dials, has_failed ? 1 : 2);
	}
}

/* Anything in any order: no storm, no deadline in the past, and who is wanted for good is
 * dialled within the longest backoff (of hosts that nothing is known of: a minute), unless it is
 * linked or a dial is under way. */
static void random_event(bool *is_linked)
{
	uint32_t node = (uint32_t)random_below(&world.random, 20);
	struct id id = node_id(node);

	switch (random_below(&world.random, 9)) {
	case 0:
	case 1:
		want(node, true);
		if (is_linked[node])
			linked(node);
		break;
	case 2:
		want(node, false);
		if (is_linked[node])
			linked(node);
		break;
	case 3:
		dialer_unwant(world.dialer, &id);
		break;
	case 4:
		is_linked[node] = true;
		linked(node);
		break;
	case 5:
		if (is_linked[node])
			unlinked(node);
		is_linked[node] = false;
		break;
	case 6:
		dialer_addresses(world.dialer, world.now, &id);
		break;
	case 7:
		pass(random_below(&world.random, 2 * S));
		break;
	case 8:
		is_linked[node] = true;
		relayed(node, random_below(&world.random, 2) > 0);
		break;
	}
}

static void anything_in_any_order(void **state)
{
	for (unsigned seed = 1; seed <= 100; seed++) {
		bool is_linked[NODES] = {false};

		teardown(NULL);
		setup(NULL);
		world.seed = seed;
		world.fails_after = random_below(&world.random, 400) * MS;
		for (uint32_t node = 0; node < 20; node++)
			if (node % 5)
				node % 2 ? know(node, node % 5) : hear_of(node, node % 5);
		for (int i = 0; i < 500; i++) {
			random_event(is_linked);
			if (random_below(&world.random, 5) > 0)
				take();
		}
		for (uint32_t node = 0; node < 20; node++) {
			if (is_linked[node])
				unlinked(node);
			want(node, true);
		}
		pass(5 * S);
		memset(world.dials, 0, sizeof world.dials);
		memset(world.look_ups, 0, sizeof world.look_ups);
		pass(10 * S);
		for (uint32_t node = 0; node < 20; node++) {
			assert_true(world.look_ups[node] > 0);
			if (node % 2)
				assert_int_equal(world.dials[node] > 0, node % 5 > 0);
		}
		pass(70 * S);
		for (uint32_t node = 0; node < 20; node++)
			assert_int_equal(world.dials[node] > 0, node % 5 > 0);
	}
}

static void when_it_is_tried_again_is_told(void **state)
{
	struct id id = node_id(1), other = node_id(2);

	know(1, 1);
	assert_int_equal(dialer_due(world.dialer, &id), UINT64_MAX);
	want(1, true);
	take();
	assert_int_equal(dialer_due(world.dialer, &id), UINT64_MAX); /* under way */
	failed(1, 0);
	take();
	assert_true(dialer_due(world.dialer, &id) > world.now);
	assert_int_equal(dialer_due(world.dialer, &id), dialer_deadline(world.dialer));
	assert_int_equal(dialer_due(world.dialer, &other), UINT64_MAX);
	linked(1);
	assert_int_equal(dialer_due(world.dialer, &id), UINT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_relay_goes_beside_the_first_address),
		TEST(behind_a_relay_a_better_way_is_looked_for),
		TEST(behind_a_relay_and_wanted_for_good),
		TEST(nothing_is_wanted),
		TEST(one_after_the_other),
		TEST(given_up_at_once_without_addresses),
		TEST(wanted_for_good_is_tried_again),
		TEST(wanted_for_good_without_addresses),
		TEST(looked_up_when_all_have_failed),
		TEST(linked_ends_it),
		TEST(linked_ends_a_backoff),
		TEST(linked_when_wanted_once_is_forgotten),
		TEST(a_peer_that_hangs_up_at_once),
		TEST(once_becomes_for_good),
		TEST(unwanted_in_a_round),
		TEST(wanted_again_before_giving_up_is_told),
		TEST(unwanted_before_giving_up_is_told),
		TEST(the_budget),
		TEST(the_budget_over_time),
		TEST(unproven_addresses_have_a_budget),
		TEST(what_is_proven_goes_first),
		TEST(one_budget_for_all_diallers),
		TEST(a_host_is_not_flooded),
		TEST(a_host_that_answers_is_no_third_party),
		TEST(put_off_and_not_wanted_any_more),
		TEST(hundreds_of_targets),
		TEST(too_many_targets),
		TEST(when_it_is_tried_again_is_told),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
