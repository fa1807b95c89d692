/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "poller.h"

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct poller *poller = poll->data;

	/* An error (UV_EBADF and the like) has no remedy here; reading clears a pending socket
	 * error. */
	poller->ready(poller, status < 0 ? UV_READABLE : events);
}

static int look(struct poller *poller)
{
	bool pausing = uv_is_active((const uv_handle_t *)&poller->pause);

	return uv_poll_start(&poller->poll,
		(pausing ? 0 : UV_READABLE) | (poller->writable ? UV_WRITABLE : 0), on_poll);
}

static void on_pause(uv_timer_t *timer)
{
	look(timer->data);
}

int poller_open(struct poller *poller, uv_loop_t *loop, int fd, bool *opened)
{
	int error = uv_poll_init(loop, &poller->poll, fd);

	*opened = error == 0;
	if (error)
		return error;
	uv_timer_init(loop, &poller->pause);
	poller->poll.data = poller->pause.data = poller;
	poller->writable = false;
	poller->failures = 0;
	return look(poller);
}

void poller_writable(struct poller *poller, bool writable)
{
	poller->writable = writable;
	look(poller);
}

void poller_worked(struct poller *poller)
{
	poller->failures = 0;
}

void poller_failed(struct poller *poller)
{
	if (poller->failures++ == 0)
		return;
	uv_timer_start(&poller->pause, on_pause, POLLER_PAUSE_MS, 0);
	look(poller);
}

bool poller_is_closing(const struct poller *poller)
{
	return uv_is_closing((const uv_handle_t *)&poller->pause);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct poller *poller = handle->data;

	poller->closed(poller);
}

static void on_pause_closed(uv_handle_t *handle)
{
	struct poller *poller = handle->data;

	uv_close((uv_handle_t *)&poller->poll, on_poll_closed);
}

void poller_close(struct poller *poller, void (*closed)(struct poller *poller))
{
	poller->closed = closed;
	uv_close((uv_handle_t *)&poller->pause, on_pause_closed);
	/* No event is told while the handles close. */
	uv_poll_stop(&poller->poll);
}
