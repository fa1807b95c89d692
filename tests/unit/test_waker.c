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

static void assert_woken_soon(void)
{
	long begun, shortest = LONG;

	for (int i = 0; i < 10; i++) {
		begun = now_ms();
		assert_true(sleeps_until_woken(LONG));
		if (now_ms() - begun < shortest)
			shortest = now_ms() - begun;
	}
	assert_true(shortest <= SOON);
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

static void a_kick_just_before_the_sleep(void **state)
{
	struct waker *waker = waker_new();

	/* The signal comes to nothing: it is repeated until it is heard. */
	waker_kick(waker);
	assert_woken_soon();
	waker_heard(waker);
	assert_undisturbed();
	waker_heard(waker);
	waker_free(waker);
}

static void idle_means_idle(void **state)
{
	struct waker *waker = waker_new();

	assert_undisturbed();
	waker_heard(waker);
	waker_again(waker, false);
	assert_undisturbed();
	waker_free(waker);
}

static void another_turn(void **state)
{
	struct waker *waker = waker_new();

	waker_again(waker, true);
	waker_again(waker, true);
	assert_woken_soon();
	waker_again(waker, false);
	assert_undisturbed();
	waker_again(waker, true);
	assert_true(sleeps_until_woken(LONG));
	/* Freed while it is armed. */
	waker_free(waker);
	assert_undisturbed();
}

static void no_storm(void **state)
{
	struct waker *waker = waker_new();
	long end = now_ms() + 300;
	unsigned count = 0;

	/* The turn does not come: as where each signal takes longer than the time between. */
	waker_again(waker, true);
	while (now_ms() < end)
		count += sleeps_until_woken(LONG);
	assert_true(count >= 10);
	assert_true(count <= 40);
	waker_again(waker, false);
	assert_undisturbed();
	/* It is not remembered. */
	for (unsigned round = 0; round < 20; round++) {
		waker_again(waker, true);
		assert_true(sleeps_until_woken(LONG));
		waker_again(waker, false);
	}
	assert_undisturbed();
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
		while (pthread_tryjoin_np(thread, NULL) != 0)
			waker_heard(waker);
		waker_heard(waker);
		/* Whatever has overtaken what: the timer is not left running. */
		sleeps_until_woken(1);
		assert_false(sleeps_until_woken(10));
	}
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
		waker_kick(waker);
		assert_woken_soon();
		waker_heard(waker);
		waker_again(waker, true);
		assert_woken_soon();
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
		waker_again(waker, true);
		assert_undisturbed();
		waker_again(waker, false);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(another_thread_wakes_the_loop),
		TEST(a_kick_just_before_the_sleep),
		TEST(idle_means_idle),
		TEST(another_turn),
		TEST(no_storm),
		TEST(kicks_while_it_is_heard),
		TEST(restored),
		TEST(taken_by_somebody_else),
		TEST(taken_over_later),
		TEST(no_signal_is_free),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
