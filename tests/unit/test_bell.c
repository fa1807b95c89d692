/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bell in an epoll set like the broker's: of real descriptors, and pointers to what begins with a
 * number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/bell.h"
#include "plugin/waker.h"

#define LONG_MS 10000

enum { LISTENER = 1, CLIENT = 2 };

struct thing {
	int ident;
	int fd;
};

static int set, other_set;
static struct thing client = {CLIENT, -1}, listener = {LISTENER, -1};

static void watch(int in, struct thing *thing)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = thing};

	if (thing->fd < 0)
		thing->fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(epoll_ctl(in, EPOLL_CTL_ADD, thing->fd, &event), 0);
}

static int setup(void **state)
{
	struct epoll_event event = {.events = EPOLLIN};

	signal(SIGURG, SIG_DFL);
	other_set = epoll_create1(EPOLL_CLOEXEC);
	set = epoll_create1(EPOLL_CLOEXEC);
	watch(set, &listener);
	watch(set, &client);
	/* The same descriptor in another set, under another name. */
	assert_int_equal(epoll_ctl(other_set, EPOLL_CTL_ADD, client.fd, &event), 0);
	return 0;
}

static int teardown(void **state)
{
	close(client.fd);
	close(listener.fd);
	client.fd = listener.fd = -1;
	return close(set) + close(other_set);
}

/* Waits as the broker does; returns whether the bell was heard. */
static bool hears(int ms)
{
	struct epoll_event events[4];
	int count = epoll_wait(set, events, 4, ms);
	const int *ident;

	if (count == 0)
		return false;
	assert_int_equal(count, 1);
	ident = events[0].data.ptr;
	for (size_t i = 0; i < 4096 / sizeof *ident; i++)
		assert_int_equal(ident[i], 0);
	return true;
}

static void *ring(void *bell)
{
	usleep(20000);
	bell_ring(bell);
	return NULL;
}

static void it_ends_the_sleep(void **state)
{
	struct bell bell;
	pthread_t thread;

	bell_init(&bell);
	assert_true(bell_learn(&bell, &client));
	assert_int_equal(bell.set, set);
	assert_false(bell_learn(&bell, &client)); /* it hangs already */
	assert_false(hears(0));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, ring, &bell), 0);
		assert_true(hears(LONG_MS));
		pthread_join(thread, NULL);
		assert_false(hears(0)); /* once */
	}
	/* While the loop is awake: the next sleep ends at once, and the one behind it does not. */
	bell_ring(&bell);
	bell_ring(&bell);
	assert_true(hears(0));
	assert_false(hears(0));
	bell_ring(&bell);
	bell_close(&bell);
	assert_false(hears(0));
}

/* What is no client, or in no set, is not believed. */
static void nothing_is_guessed(void **state)
{
	struct thing absent = {CLIENT, -1};
	struct bell bell;

	bell_init(&bell);
	assert_false(bell_learn(&bell, NULL));
	assert_false(bell_learn(&bell, &listener)); /* the 1st */
	assert_false(bell_learn(&bell, &absent));   /* the 2nd */
	assert_int_equal(bell.set, -1);
	/* It is looked for ever more seldom, and never given up. */
	assert_false(bell_learn(&bell, &client)); /* the 3rd */
	assert_true(bell_learn(&bell, &client));  /* the 4th */
	bell_close(&bell);
}

static void *kick(void *waker)
{
	usleep(20000);
	waker_kick(waker);
	return NULL;
}

static void the_waker_rings_it(void **state)
{
	struct waker *waker = waker_new();
	pthread_t thread;

	assert_non_null(waker);
	waker_saw(waker, &listener); /* the 1st */
	assert_false(waker_has_bell(waker));
	waker_saw(waker, &client);
	assert_true(waker_has_bell(waker));
	waker_again(waker, false, false);
	assert_int_equal(pthread_create(&thread, NULL, kick, waker), 0);
	assert_true(hears(LONG_MS)); /* and no signal has ended it */
	pthread_join(thread, NULL);
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_false(hears(50));
	/* Another turn, at once. */
	waker_again(waker, true, false);
	assert_true(hears(0));
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_false(hears(50));
	waker_free(waker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_ends_the_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_guessed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_waker_rings_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
