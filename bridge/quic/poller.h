/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A socket on the loop whose reading may fail again and again (a sandbox that refuses the call, no
 * memory): data that is there to be read would wake the loop at once each time. So after a second
 * failure in a row the socket is looked at again only after a pause.
 *
 * The loop's thread.
 */
#ifndef BRIDGE_QUIC_POLLER_H
#define BRIDGE_QUIC_POLLER_H

#include <stdbool.h>
#include <uv.h>

#define POLLER_PAUSE_MS 250

struct poller {
	uv_poll_t poll;
	uv_timer_t pause;
	/* events: UV_READABLE, UV_WRITABLE; errors of the socket are among what can be read. */
	void (*ready)(struct poller *poller, int events);
	void (*closed)(struct poller *poller);
	bool writable; /* whether it waits until the socket can be written */
	unsigned failures;
};

/* Looks at fd from now on; ready is set by the caller. Returns libuv's error. If *opened, poll is
 * a handle even on an error, and must be closed with poller_close. */
int poller_open(struct poller *poller, uv_loop_t *loop, int fd, bool *opened);
/* Sets whether the poller also waits until the socket can be written. */
void poller_writable(struct poller *poller, bool writable);
/* Notes that reading has worked. */
void poller_worked(struct poller *poller);
/* Notes that reading has failed. */
void poller_failed(struct poller *poller);
bool poller_is_closing(const struct poller *poller);
/* Closes the poller. closed is called from the loop; then poller (and the socket) may go. */
void poller_close(struct poller *poller, void (*closed)(struct poller *poller));

#endif
