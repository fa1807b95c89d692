/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Wakes the broker's loop, which sleeps up to 100 ms in epoll_wait and offers no way to
 * end that sleep: a signal to its thread does. Two POSIX timers of the main thread back
 * it up: one repeats the kick (the signal may come just before epoll_wait), the other
 * brings the turn of the loop in which the broker sends what was published in TICK.
 *
 * The signal is SIGURG (ignored by default) if nobody else uses it, else a free real-time
 * signal, else none: then TICK alone, up to 100 ms late, is left and a line says so.
 */
#ifndef PLUGIN_WAKER_H
#define PLUGIN_WAKER_H

#include <stdbool.h>

struct waker;

/* On the broker's main thread. NULL when there is no memory. */
struct waker *waker_new(void);
/* After the other thread has ended: gives the signal back. */
void waker_free(struct waker *waker);
/* The signal's number, 0 for none. */
int waker_signal(const struct waker *waker);

/* Any thread: there is something for the main thread. */
void waker_kick(void *waker);

/* Main thread, at the beginning of TICK: the kick has been heard. */
void waker_heard(struct waker *waker);
/* Main thread, at its end: whether something was published that is to be sent by another
 * turn of the loop. */
void waker_again(struct waker *waker, bool wanted);

#endif
