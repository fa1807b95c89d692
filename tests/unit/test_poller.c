/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/quic/poller.h"

/* What is there stays there: each look at the socket fails, or does not. */
struct test {
	struct poller poller;
	uv_loop_t loop;
	int fds[2];
	bool fails;
	unsigned looks, writable;
	bool closed;
};

static struct test test;

static void on_ready(struct poller *poller, int events)
{
	assert_ptr_equal(poller, &test.poller);
	if (events & UV_WRITABLE) {
		test.writable++;
		poller_writable(poller, false);
	}
	if (!(events & UV_READABLE))
		return;
	test.looks++;
	if (test.fails)
		poller_failed(poller);
	else
		poller_worked(poller);
}

static void on_closed(struct poller *poller)
{
	assert_ptr_equal(poller, &test.poller);
	test.closed = true;
}

static int set_up(void **state)
{
	bool opened;

	memset(&test, 0, sizeof test);
	test.poller.ready = on_ready;
	assert_int_equal(uv_loop_init(&test.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, test.fds), 0);
	assert_int_equal(write(test.fds[1], "x", 1), 1);
	assert_int_equal(poller_open(&test.poller, &test.loop, test.fds[0], &opened), 0);
	assert_true(opened);
	return 0;
}

static int tear_down(void **state)
{
	poller_close(&test.poller, on_closed);
	assert_true(poller_is_closing(&test.poller));
	assert_int_equal(uv_run(&test.loop, UV_RUN_DEFAULT), 0);
	assert_true(test.closed);
	assert_int_equal(uv_loop_close(&test.loop), 0);
	close(test.fds[0]);
	close(test.fds[1]);
	return 0;
}

static void looks_again_and_again_while_it_works(void **state)
{
	for (int i = 0; i < 100; i++)
		uv_run(&test.loop, UV_RUN_ONCE);
	assert_int_equal(test.looks, 100);
}

static void pauses_after_the_second_failure(void **state)
{
	uint64_t begun = uv_hrtime();

	test.fails = true;
	while (test.looks < 2)
		uv_run(&test.loop, UV_RUN_ONCE);
	assert_int_equal(uv_run(&test.loop, UV_RUN_NOWAIT), 1);
	assert_int_equal(test.looks, 2);
	while (test.looks < 4)
		uv_run(&test.loop, UV_RUN_ONCE);
	/* libuv counts whole milliseconds. */
	assert_true(uv_hrtime() - begun >= (2 * POLLER_PAUSE_MS - 2) * UINT64_C(1000000));
	/* It works again: then there are no pauses. */
	test.fails = false;
	while (test.looks < 100)
		uv_run(&test.loop, UV_RUN_ONCE);
}

static void can_be_written_meanwhile(void **state)
{
	test.fails = true;
	while (test.looks < 2)
		uv_run(&test.loop, UV_RUN_ONCE);
	poller_writable(&test.poller, true);
	while (test.writable == 0)
		uv_run(&test.loop, UV_RUN_ONCE);
	assert_int_equal(test.writable, 1);
	assert_int_equal(test.looks, 2);
}

static void a_descriptor_that_is_none(void **state)
{
	struct poller poller = {.ready = on_ready};
	bool opened;

	assert_int_not_equal(poller_open(&poller, &test.loop, -1, &opened), 0);
	assert_false(opened);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			looks_again_and_again_while_it_works, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			pauses_after_the_second_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(can_be_written_meanwhile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_descriptor_that_is_none, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
