/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/io/names.h"
#include "support_heap.h"
#include "support_name_server.h"

#define ASKERS 3

struct asker {
	struct name_query query;
	unsigned answers;
	size_t count;
	struct address first;
	char failure[64];
	struct asker *forgets; /* within its answer */
	bool stops, asks;
};

static struct {
	uv_loop_t loop;
	struct names *names;
	struct asker askers[ASKERS];
} world;

static void on_answer(
	void *context, const struct address *addresses, size_t count, const char *failure)
{
	struct asker *asker = context;

	asker->answers++;
	asker->count = count;
	if (count > 0)
		asker->first = addresses[0];
	snprintf(asker->failure, sizeof asker->failure, "%s", failure);
	if (asker->forgets)
		names_forget(&asker->forgets->query);
	if (asker->asks) {
		asker->asks = false;
		assert_int_equal(
			names_ask(world.names, "192.0.2.9", on_answer, asker, &asker->query), 0);
	}
	if (asker->stops)
		names_stop(world.names);
}

static void ask(size_t n, const char *name)
{
	struct asker *asker = &world.askers[n];

	assert_int_equal(names_ask(world.names, name, on_answer, asker, &asker->query), 0);
	assert_int_equal(asker->answers, 0); /* it comes from the loop */
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	name_server_begin(NULL);
	heap_begin();
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(names_new(&world.loop, &world.names), 0);
	return 0;
}

static int teardown(void **state)
{
	names_stop(world.names);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	names_free(world.names);
	heap_end();
	return 0;
}

static void literals_and_names(void **state)
{
	ask(0, "192.0.2.7");
	ask(1, "localhost");
	ask(2, "no-such-host.invalid");
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.askers[0].answers, 1);
	assert_int_equal(world.askers[0].count, 1);
	assert_int_equal(world.askers[0].first.family, 4);
	assert_int_equal(world.askers[0].first.port, 0);
	assert_string_equal(world.askers[0].failure, "");
	assert_int_equal(world.askers[1].answers, 1);
	assert_true(world.askers[1].count >= 1);
	assert_true(address_is_loopback(&world.askers[1].first));
	assert_int_equal(world.askers[2].answers, 1);
	assert_int_equal(world.askers[2].count, 0);
	assert_string_not_equal(world.askers[2].failure, "");
}

static void an_empty_name(void **state)
{
	ask(0, "");
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.askers[0].answers, 1);
	assert_int_equal(world.askers[0].count, 0);
	assert_string_equal(world.askers[0].failure, "");
}

/* However often it is given up and asked for again: a silent name has one thread. */
static void one_look_up_per_name(void **state)
{
	ask(1, "silent.invalid");
	for (int i = 0; i < 100; i++) {
		ask(0, "silent.invalid");
		uv_run(&world.loop, UV_RUN_NOWAIT);
		names_forget(&world.askers[0].query);
	}
	ask(2, "silent2.invalid");
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(2);
	assert_int_equal((int)name_server_asked(), 2);
	name_server_wake(true);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.askers[0].answers, 0);
	assert_int_equal(world.askers[1].answers, 1);
	assert_int_equal(world.askers[2].answers, 1);
	assert_string_not_equal(world.askers[1].failure, "");
	/* And then anew. */
	memset(world.askers, 0, sizeof world.askers);
	ask(0, "silent.invalid");
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal((int)name_server_asked(), 3);
	assert_int_equal(world.askers[0].answers, 1);
}

/* An answer forgets one that is just as ready, asks again, and ends everything. */
static void within_an_answer(void **state)
{
	world.askers[0].forgets = &world.askers[1];
	world.askers[0].asks = true;
	ask(0, "192.0.2.7");
	ask(1, "192.0.2.8");
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.askers[0].answers, 2);
	assert_int_equal(world.askers[0].first.ip[3], 9);
	assert_int_equal(world.askers[1].answers, 0);
	memset(world.askers, 0, sizeof world.askers);
	world.askers[0].stops = true;
	ask(0, "silent.invalid");
	ask(1, "silent.invalid");
	ask(2, "192.0.2.1");
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(1);
	name_server_wake(true);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.askers[0].answers, 1);
	assert_int_equal(world.askers[1].answers, 0);
	assert_int_equal(world.askers[2].answers, 1);
	assert_int_equal(names_ask(world.names, "192.0.2.1", on_answer, &world.askers[0],
				 &world.askers[0].query),
		ERROR_CLOSED);
}

static void nothing_asked_no_handle(void **state)
{
	assert_false(uv_loop_alive(&world.loop));
	names_forget(&world.askers[0].query);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0); /* so there is none */
	assert_int_equal(uv_loop_init(&world.loop), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(literals_and_names),
		TEST(an_empty_name),
		TEST(one_look_up_per_name),
		TEST(within_an_answer),
		TEST(nothing_asked_no_handle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
