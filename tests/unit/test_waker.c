/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "plugin/waker.h"
#include "support_heap.h"

#define MS 1000000L
/* What the broker's loop may oversleep: much less than its 100 ms. Of several times the
 * shortest is judged, because the machine may be busy; none is to sleep to the end. */
#define SOON 50
#define LONG 10000

static int epoll;

static int setup(void **state)
{
	signal(SIGURG, SIG_DFL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	heap_begin();
	return epoll < 0;
}

static int teardown(void **state)
{
	heap_end();
	return close(epoll);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / MS;
}

static void nap(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};

	while (nanosleep(&time, &time) != 0 && errno == EINTR)
		;
}

/* Sleeps as the broker does; whether it was woken. */
static bool sleeps_until_woken(int timeout)
{
	struct epoll_event event;
	int ready = epoll_wait(epoll, &event, 1, timeout);

	assert_true(ready == 0 || (ready < 0 && errno == EINTR));
	return ready < 0;
}

static long shortest_sleep = LONG;

/* None is to sleep to the end. */
static void assert_woken_soon_once(void)
{
	long begun = now_ms();

	assert_true(sleeps_until_woken(LONG));
	if (now_ms() - begun < shortest_sleep)
		shortest_sleep = now_ms() - begun;
}

static void assert_undisturbed(void)
{
	/* A signal that was already on its way may end one sleep. */
	sleeps_until_woken(1);
	assert_false(sleeps_until_woken(100));
}

static _Atomic long kicked_at;

static void *kick_later(void *waker)
{
	nap(20);
	kicked_at = now_ms();
	waker_kick(waker);
	return NULL;
}

static void another_thread_wakes_the_loop(void **state)
{
	struct waker *waker = waker_new();
	long late, shortest = LONG;
	struct pollfd nothing;
	pthread_t thread;

	assert_non_null(waker);
	assert_int_equal(waker_signal(waker), SIGURG);
	for (int i = 0; i < 10; i++) {
		waker_again(waker, false, false);
		assert_int_equal(pthread_create(&thread, NULL, kick_later, waker), 0);
		if (i % 2) {
			assert_int_equal(poll(&nothing, 0, LONG), -1);
			assert_int_equal(errno, EINTR);
		} else {
			assert_true(sleeps_until_woken(LONG));
		}
		late = now_ms() - kicked_at;
		if (late < shortest)
			shortest = late;
		pthread_join(thread, NULL);
		waker_heard(waker);
	}
	assert_true(shortest <= SOON);
	assert_undisturbed();
	waker_free(waker);
}

static void a_turn_that_is_wanted_later(void **state)
{
	struct waker *waker = waker_new();
	long begun = now_ms(), passed;

	assert_non_null(waker);
	waker_again(waker, false, true);
	assert_true(sleeps_until_woken(LONG));
	passed = now_ms() - begun;
	assert_true(passed >= 90 && passed < LONG);
	/* Each time it is said anew. */
	waker_heard(waker);
	waker_again(waker, false, true);
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_false(sleeps_until_woken(200));
	waker_free(waker);
}

/* The signal comes to nothing: it is repeated. */
static void a_kick_just_before_the_sleep(void **state)
{
	struct waker *waker = waker_new();

	for (int i = 0; i < 10; i++) {
		waker_again(waker, false, false);
		waker_kick(waker);
		assert_woken_soon_once();
		waker_heard(waker);
	}
	waker_again(waker, false, false);
	assert_undisturbed();
	waker_free(waker);
}

static void a_kick_within_tick(void **state)
{
	struct waker *waker = waker_new();

	waker_heard(waker);
	waker_kick(waker);
	waker_again(waker, false, false);
	assert_woken_soon_once();
	/* What was kicked for is taken in this turn. */
	waker_kick(waker);
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_undisturbed();
	waker_free(waker);
}

static void idle_means_idle(void **state)
{
	struct waker *waker = waker_new();

	assert_undisturbed();
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_undisturbed();
	waker_free(waker);
}

static void another_turn(void **state)
{
	struct waker *waker = waker_new();

	waker_again(waker, true, false);
	for (int i = 0; i < 10; i++) {
		waker_again(waker, true, false);
		assert_woken_soon_once();
		waker_heard(waker);
	}
	waker_again(waker, false, false);
	assert_undisturbed();
	/* It came to nothing to be woken for. */
	waker_heard(waker);
	waker_again(waker, true, false);
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_undisturbed();
	waker_again(waker, true, false);
	assert_true(sleeps_until_woken(LONG));
	waker_again(waker, true, false);
	/* Freed while it is armed. */
	waker_free(waker);
	assert_undisturbed();
}

static struct sigaction handler;
static volatile sig_atomic_t handled;

static void count_signal(int signal, siginfo_t *info, void *context)
{
	handled = handled + 1;
	handler.sa_sigaction(signal, info, context);
}

/* The turn does not come: as where each signal takes longer than the time between. */
static unsigned signals_without_sleep(struct waker *waker, long ms)
{
	long end;

	handled = 0;
	waker_again(waker, true, false);
	for (end = now_ms() + ms; now_ms() < end;)
		;
	return (unsigned)handled;
}

static void no_storm(void **state)
{
	struct waker *waker = waker_new();
	struct sigaction counting = {
		.sa_sigaction = count_signal, .sa_flags = SA_RESTART | SA_SIGINFO};

	assert_int_equal(sigaction(SIGURG, &counting, &handler), 0);
	/* Ten that are each twice as late as the one before, then one in some 10 ms. */
	assert_in_range(signals_without_sleep(waker, 300), 8, 45);
	/* It is repeated all the same. */
	assert_true(sleeps_until_woken(LONG));
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_undisturbed();
	/* It is not remembered. */
	assert_true(signals_without_sleep(waker, 10) >= 3);
	waker_heard(waker);
	waker_again(waker, false, false);
	assert_undisturbed();
	assert_int_equal(sigaction(SIGURG, &handler, NULL), 0);
	waker_free(waker);
}

#define ROUNDS 50

static void *kick_now(void *waker)
{
	waker_kick(waker);
	return NULL;
}

static void kicks_while_it_is_heard(void **state)
{
	struct waker *waker = waker_new();
	pthread_t thread;

	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(pthread_create(&thread, NULL, kick_now, waker), 0);
		while (pthread_tryjoin_np(thread, NULL) != 0) {
			waker_heard(waker);
			waker_again(waker, false, false);
		}
		waker_heard(waker);
		waker_again(waker, false, false);
		/* Whatever has overtaken what: the timer is not left running. */
		sleeps_until_woken(1);
		assert_false(sleeps_until_woken(10));
	}
	waker_free(waker);
}

static _Atomic unsigned kicks;

static void *kick_often(void *waker)
{
	for (unsigned i = 1; i <= 2000; i++) {
		kicks = i;
		waker_kick(waker);
		if (i % 3)
			continue;
		nap(0);
	}
	return NULL;
}

/* As the broker's loop: whatever the moment of a kick, it ends the sleep that comes next. */
static void no_kick_is_lost(void **state)
{
	struct waker *waker = waker_new();
	unsigned seen = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, kick_often, waker), 0);
	while (seen < 2000) {
		waker_heard(waker);
		seen = kicks;
		waker_again(waker, false, false);
		if (seen < 2000)
			assert_true(sleeps_until_woken(LONG));
	}
	pthread_join(thread, NULL);
	waker_free(waker);
}

static void restored(void **state)
{
	static const sighandler_t before[] = {SIG_DFL, SIG_IGN};
	struct sigaction action;
	struct waker *waker;

	for (size_t i = 0; i < 2; i++) {
		signal(SIGURG, before[i]);
		waker = waker_new();
		assert_int_equal(waker_signal(waker), SIGURG);
		assert_int_equal(sigaction(SIGURG, NULL, &action), 0);
		assert_true(action.sa_handler != before[i]);
		assert_true(action.sa_flags & SA_RESTART);
		waker_kick(waker);
		waker_free(waker);
		assert_int_equal(sigaction(SIGURG, NULL, &action), 0);
		assert_true(action.sa_handler == before[i]);
	}
	waker_free(NULL);
}

static volatile sig_atomic_t others;

static void others_handler(int signal)
{
	others++;
}

static void others_action(int signal, siginfo_t *info, void *context)
{
	others++;
}

static void taken_by_somebody_else(void **state)
{
	struct sigaction action = {.sa_sigaction = others_action, .sa_flags = SA_SIGINFO};
	struct waker *waker;
	int chosen;

	for (int i = 0; i < 2; i++) {
		if (i == 0)
			signal(SIGURG, others_handler);
		else
			assert_int_equal(sigaction(SIGURG, &action, NULL), 0);
		others = 0;
		waker = waker_new();
		chosen = waker_signal(waker);
		assert_true(chosen > SIGRTMIN && chosen <= SIGRTMAX);
		waker_again(waker, false, false);
		waker_kick(waker);
		assert_woken_soon_once();
		waker_heard(waker);
		waker_again(waker, true, false);
		assert_woken_soon_once();
		waker_free(waker);
		assert_int_equal(others, 0);
		/* Nothing of ours is left that could end the process. */
		assert_undisturbed();
		raise(SIGURG);
		assert_int_equal(others, 1);
	}
}

static void taken_over_later(void **state)
{
	struct waker *waker = waker_new();
	struct sigaction action;

	signal(SIGURG, others_handler);
	waker_free(waker);
	assert_int_equal(sigaction(SIGURG, NULL, &action), 0);
	assert_true(action.sa_handler == others_handler);
}

static bool take_all_signals(struct sigaction before[128])
{
	struct sigaction action = {.sa_handler = others_handler}, now;
	bool taken = true;

	assert_true(SIGRTMAX < 128);
	signal(SIGURG, others_handler);
	for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++) {
		assert_int_equal(sigaction(signal, &action, &before[signal]), 0);
		assert_int_equal(sigaction(signal, NULL, &now), 0);
		taken = taken && now.sa_handler == others_handler;
	}
	return taken;
}

static void no_signal_is_free(void **state)
{
	struct sigaction before[128];
	/* AddressSanitizer does not let the last one be taken, and says nothing. */
	bool taken = take_all_signals(before);
	struct waker *waker;

	others = 0;
	waker = waker_new();
	assert_non_null(waker);
	if (taken) {
		assert_int_equal(waker_signal(waker), 0);
		waker_kick(waker);
		waker_heard(waker);
		waker_again(waker, true, false);
		assert_undisturbed();
		waker_again(waker, false, false);
	}
	waker_free(waker);
	for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
		sigaction(signal, &before[signal], NULL);
	assert_int_equal(others, 0);
}

static void without_memory(void **state)
{
	heap_fail(1, false);
	assert_null(waker_new());
}

static int woken_soon(void **state)
{
	return shortest_sleep <= SOON ? 0 : -1;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(another_thread_wakes_the_loop),
		TEST(a_turn_that_is_wanted_later),
		TEST(a_kick_just_before_the_sleep),
		TEST(a_kick_within_tick),
		TEST(idle_means_idle),
		TEST(another_turn),
		TEST(no_storm),
		TEST(kicks_while_it_is_heard),
		TEST(no_kick_is_lost),
		TEST(restored),
		TEST(taken_by_somebody_else),
		TEST(taken_over_later),
		TEST(no_signal_is_free),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, woken_soon);
}
