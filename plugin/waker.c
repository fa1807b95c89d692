/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "waker.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../bridge/memory.h"
#include "bell.h"

#ifndef sigev_notify_thread_id /* musl's name; glibc has no name for it, but the field */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* When the signal for the turn that sends comes: soon; and again if it came before epoll_wait, each
 * time twice as late, up to LATE_NS. Where handling a signal takes as long as the time between two
 * (a traced or an emulated broker, a very busy machine) the turn would never come otherwise. */
#define SOON_NS 10000
#define LATE_NS 10000000
/* SOON_NS is too soon on a machine that needs longer between TICK and epoll_wait: each time that the
 * timer has come too early it comes a step later, and else a 64th earlier. */
#define SOON_MOST_NS 100000
#define SOON_STEP_NS 5000

struct waker {
	pid_t process, id; /* of the broker's main thread */
	int signal;	   /* 0: none */
	struct sigaction before;
	timer_t timer;
	bool has_timer;
	/* The timer is set, and its signal has not come yet, as far as is known. */
	volatile sig_atomic_t set;
	volatile sig_atomic_t soon;  /* ns, until the timer comes first */
	volatile sig_atomic_t delay; /* ns, until its next repetition */
	_Atomic bool kicked;	     /* a kick by signal has come and was not heard yet */
	struct bell bell;
	_Atomic bool has_bell; /* it hangs, for good */
};

/* The waker whose loop has nothing to do until a signal ends its sleep, which may not have begun;
 * NULL within TICK. */
static struct waker *volatile resting;

static void set(struct waker *waker, long ns)
{
	struct itimerspec spec = {.it_value.tv_nsec = ns};

	waker->set = ns > 0;
	timer_settime(waker->timer, 0, &spec, NULL);
}

/* Tells whether the signal has come within a system call that returns because of it: epoll_wait,
 * and others that are never begun again. context: the handler's. Returns false where that is not
 * known. */
static bool has_ended_call(const void *context)
{
	const ucontext_t *at = context;

#if defined __x86_64__ && defined REG_RAX
	return (int)at->uc_mcontext.gregs[REG_RAX] == -EINTR;
#elif defined __aarch64__
	return (int)at->uc_mcontext.regs[0] == -EINTR;
#elif defined __arm__
	return (int)at->uc_mcontext.arm_r0 == -EINTR;
#else
	(void)at;
	return false;
#endif
}

/* Adapts how soon the timer comes. */
static void learn(struct waker *waker, bool was_early)
{
	if (was_early && waker->soon < SOON_MOST_NS)
		waker->soon += SOON_STEP_NS;
	else if (!was_early && waker->soon > SOON_NS)
		waker->soon -= waker->soon / 64;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct waker *waker = resting;
	bool is_early = waker && !has_ended_call(context);
	int error = errno;

	if (waker && info->si_code == SI_TIMER) {
		waker->set = 0;
		learn(waker, is_early);
	}
	if (is_early) {
		set(waker, waker->delay);
		if (waker->delay < LATE_NS)
			waker->delay *= 2;
	}
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

static bool make_timer(struct waker *waker)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = waker->signal};

	event.sigev_notify_thread_id = waker->id;
	return timer_create(CLOCK_MONOTONIC, &event, &waker->timer) == 0;
}

struct waker *waker_new(void)
{
	struct sigaction action = {
		.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
	struct waker *waker = memory_zalloc(sizeof *waker);

	if (!waker)
		return NULL;
	waker->soon = SOON_NS;
	bell_init(&waker->bell);
	waker->process = getpid();
	waker->id = (pid_t)syscall(SYS_gettid);
	waker->signal = choose();
	if (!waker->signal)
		return waker;
	sigemptyset(&action.sa_mask);
	waker->has_timer = make_timer(waker);
	if (!waker->has_timer || sigaction(waker->signal, &action, &waker->before) != 0)
		waker->signal = 0;
	return waker;
}

void waker_free(struct waker *waker)
{
	struct sigaction now;

	if (!waker)
		return;
	if (resting == waker)
		resting = NULL;
	bell_close(&waker->bell);
	if (waker->has_timer)
		timer_delete(waker->timer);
	/* Only if the handler is still ours. */
	if (waker->signal && sigaction(waker->signal, NULL, &now) == 0 &&
		now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_signal)
		sigaction(waker->signal, &waker->before, NULL);
	memory_free(waker);
}

int waker_signal(const struct waker *waker)
{
	return waker->signal;
}

void waker_saw(struct waker *waker, const void *client)
{
	if (bell_learn(&waker->bell, client))
		atomic_store(&waker->has_bell, true);
}

bool waker_has_bell(const struct waker *waker)
{
	return waker->has_bell;
}

void waker_kick(void *context)
{
	struct waker *waker = context;

	if (atomic_load(&waker->has_bell)) {
		bell_ring(&waker->bell);
		return;
	}
	if (!waker->signal)
		return;
	/* In this order: either waker_again sees the flag, or the handler sees the signal. */
	atomic_store(&waker->kicked, true);
	/* Not pthread_kill, which changes the signal mask and back: three more calls. */
	(void)syscall(SYS_tgkill, waker->process, waker->id, waker->signal);
}

void waker_heard(struct waker *waker)
{
	resting = NULL;
	/* Before the queue is looked at: a kick that comes later is seen by waker_again. */
	atomic_store(&waker->kicked, false);
}

void waker_again(struct waker *waker, bool wanted, bool later)
{
	if (waker->has_bell && (wanted || atomic_load(&waker->kicked))) {
		bell_ring(&waker->bell);
		return;
	}
	if (!waker->signal)
		return;
	/* Before the handler may set the timer. */
	if (!wanted && waker->set)
		set(waker, 0);
	waker->delay = 2 * waker->soon;
	resting = waker;
	/* The handler has let pass the kicks that came since waker_heard. The timer is set anew
	 * each time: what is published now is not to wait for a repetition. */
	if (wanted || atomic_load(&waker->kicked))
		set(waker, waker->soon);
	else if (later)
		set(waker, WAKER_LATER_NS);
}
