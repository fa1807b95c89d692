/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "waker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../bridge/memory.h"

#ifndef sigev_notify_thread_id /* musl's name; glibc has no name for it, but the field */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The kick is repeated while nobody has heard it: poll and nanosleep of other plugins see
 * each repetition as EINTR, so not too often. */
#define REPEAT_FIRST_NS 1000000
#define REPEAT_NEXT_NS	4000000
/* The turn that sends: soon, and again if it came before epoll_wait. */
#define AGAIN_FIRST_NS 20000
#define AGAIN_NEXT_NS  500000
/* But where a signal takes as long as there is between two (a traced or an emulated broker, a
 * very busy machine) the turn would never come: after so many they are rare. */
#define AGAIN_PATIENCE 4
#define AGAIN_RARE_NS  10000000

struct waker {
	pthread_t thread;
	int signal; /* 0: none */
	struct sigaction before;
	timer_t repeat, again;
	bool has_timers;
	volatile sig_atomic_t agains; /* signals since it was armed */
	_Atomic bool kicked;
};

/* The one whose again is armed. */
static struct waker *volatile awaited;

static void set(timer_t timer, long first, long next)
{
	struct itimerspec spec = {.it_value.tv_nsec = first, .it_interval.tv_nsec = next};

	timer_settime(timer, 0, &spec, NULL);
}

/* Ending a system call is what it is for. */
static void on_signal(int signal)
{
	struct waker *waker = awaited;
	int error = errno;

	if (waker && ++waker->agains == AGAIN_PATIENCE)
		set(waker->again, AGAIN_RARE_NS, AGAIN_RARE_NS);
	errno = error;
}

static bool is_free(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
	       (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);
}

static int choose(void)
{
	if (is_free(SIGURG))
		return SIGURG;
	for (int signal = SIGRTMIN + 1; signal <= SIGRTMAX; signal++)
		if (is_free(signal))
			return signal;
	return 0;
}

static bool make_timers(struct waker *waker)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = waker->signal};

	event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &waker->repeat) != 0)
		return false;
	if (timer_create(CLOCK_MONOTONIC, &event, &waker->again) != 0) {
		timer_delete(waker->repeat);
		return false;
	}
	return true;
}

struct waker *waker_new(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct waker *waker = memory_zalloc(sizeof *waker);

	if (!waker)
		return NULL;
	waker->thread = pthread_self();
	waker->signal = choose();
	if (!waker->signal)
		return waker;
	sigemptyset(&action.sa_mask);
	waker->has_timers = make_timers(waker);
	if (!waker->has_timers || sigaction(waker->signal, &action, &waker->before) != 0)
		waker->signal = 0;
	return waker;
}

void waker_free(struct waker *waker)
{
	struct sigaction now;

	if (!waker)
		return;
	if (awaited == waker)
		awaited = NULL;
	if (waker->has_timers) {
		timer_delete(waker->repeat);
		timer_delete(waker->again);
	}
	/* Only if the handler is still ours. */
	if (waker->signal && sigaction(waker->signal, NULL, &now) == 0 &&
		now.sa_handler == on_signal)
		sigaction(waker->signal, &waker->before, NULL);
	memory_free(waker);
}

int waker_signal(const struct waker *waker)
{
	return waker->signal;
}

void waker_kick(void *context)
{
	struct waker *waker = context;

	if (!waker->signal)
		return;
	/* In this order: a timer that is armed after it was heard would never be stopped. */
	set(waker->repeat, REPEAT_FIRST_NS, REPEAT_NEXT_NS);
	atomic_store(&waker->kicked, true);
	pthread_kill(waker->thread, waker->signal);
}

void waker_heard(struct waker *waker)
{
	/* Before the queue is looked at: a kick that comes later arms the timer again. */
	if (atomic_exchange(&waker->kicked, false))
		set(waker->repeat, 0, 0);
}

void waker_again(struct waker *waker, bool wanted)
{
	/* Armed anew each time: what is published now is not to wait for the next repetition. */
	if (!waker->signal || (!wanted && awaited != waker))
		return;
	if (!wanted)
		awaited = NULL;
	set(waker->again, wanted ? AGAIN_FIRST_NS : 0, wanted ? AGAIN_NEXT_NS : 0);
	if (wanted) {
		waker->agains = 0;
		awaited = waker;
	}
}
