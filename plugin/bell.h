/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bell in the broker's own epoll set: who rings it ends the loop's sleep in epoll_wait, at once
 * and without a signal. No call of the plugin API puts a descriptor there, so this file goes by
 * what the broker's src/mux_epoll.c has done in all versions from 2.0.0 to 2.1.2, and believes it
 * only where it can be seen: for each descriptor the set holds a pointer to something of the
 * broker's that begins with an int, 2 for a client (id_client), 1 or 3 for a listener, and what
 * begins with anything else is passed over. So the bell's pointer is to a page of zeros.
 *
 * The set is found by a client of which an event has come: the kernel shows in /proc/self/fdinfo
 * what a set holds. Until then, and where nothing of it is so (another broker, no epoll, no /proc),
 * there is no bell, and waker.h goes on with signals.
 *
 * The broker's thread, but for bell_ring.
 */
#ifndef PLUGIN_BELL_H
#define PLUGIN_BELL_H

#include <stdbool.h>

struct bell {
	int fd;	 /* an eventfd; -1: none */
	int set; /* the broker's epoll instance; -1: not known (yet) */
	unsigned seen; /* clients, while it is not known */
};

/* Begins without a bell. */
void bell_init(struct bell *bell);
/* Closes the bell, after all who ring it have ended. */
void bell_close(struct bell *bell);

/* Looks whether the broker's set can be found by this client, and hangs the bell there. client: the
 * pointer that an event has brought. Costs next to nothing when it hangs, or cannot be hung. Returns
 * whether it has been hung now. */
bool bell_learn(struct bell *bell, const void *client);

/* Ends the sleep of the broker's loop, the next one if the loop is awake. Any thread, once the bell
 * hangs. */
void bell_ring(const struct bell *bell);

#endif
