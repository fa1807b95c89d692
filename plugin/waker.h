/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Wakes the broker's loop, which sleeps up to 100 ms in epoll_wait (5 s in a broker that was built
 * without websockets) and offers no way to end that sleep. A bell in its epoll set does (bell.h), from
 * the first client on; where there is none, a signal to its thread.
 *
 * A signal just before epoll_wait comes to nothing: its handler
 * sees that it has ended no system call, and has a POSIX timer of the main thread repeat it soon.
 * The same timer brings the turn of the loop in which the broker sends what was published in TICK.
 *
 * The signal is SIGURG (ignored by default) if nobody else uses it, else a free real-time signal,
 * else none: then only TICK is left, up to 100 ms late, and a line in the log says so.
 */
#ifndef PLUGIN_WAKER_H
#define PLUGIN_WAKER_H

#include <stdbool.h>

struct waker;

/* Makes a waker, on the broker's main thread. Returns NULL without memory. */
struct waker *waker_new(void);
/* Frees a waker, after the other thread has ended, and gives the signal back. */
void waker_free(struct waker *waker);
/* Returns the signal's number, 0 for none. */
int waker_signal(const struct waker *waker);

/* Notes a client of which an event has come, and hangs the bell where that client's socket is watched.
 * client: the broker's pointer. Main thread, from within the event. */
void waker_saw(struct waker *waker, const void *client);
/* Tells whether the loop is woken by a bell. Main thread. */
bool waker_has_bell(const struct waker *waker);

/* Wakes the main thread, for which there is something to do. Any thread. */
void waker_kick(void *waker);

/* Notes that the kick has been heard. Main thread, at the beginning of TICK. */
void waker_heard(struct waker *waker);
/* Prepares for the loop's going to sleep now. wanted: something was published that is to be sent by
 * another turn of the loop. later: another turn is wanted within WAKER_LATER_NS. Main thread, at the
 * end of TICK. */
#define WAKER_LATER_NS 100000000
void waker_again(struct waker *waker, bool wanted, bool later);

#endif
