/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "../error.h"
#include "../memory.h"
#include "dial.h"
#include "secure.h"

/* Bytes of one read, and of what TLS makes of it at a time. */
#define READ_SIZE 16384

/* How many bytes may wait, at most. TLS has something to say by itself (answers to KeyUpdate), even
 * while the server reads nothing. */
#define UNSENT_MOST 65536

enum phase {
	READING_AUTHORITIES,
	DIALLING,
	HANDSHAKE,
	OPEN,
	OVER, /* there is trouble, told or to be told */
};

struct stream {
	struct stream_io io;
	struct stream_callbacks callbacks;
	void *context;
	enum phase phase;
	bool closing;
	bool wants_writable;
	void (*closed)(void *context);
	void *closed_context;
	unsigned handles; /* open ones; a dial, which has its own, counts as one */
	uv_timer_t timer; /* of 0 ms: goes on reading, tells trouble */
	struct trouble trouble;
	struct stream_target target; /* its host is below */
	struct authorities_query query;
	struct dial *dial; /* NULL: not now */
	uv_tcp_t *tcp;	   /* NULL: not connected */
	struct secure *secure; /* NULL: plain, or not yet */
	size_t read; /* in this turn, or since the last pause */
	/* Bytes that the kernel did not take at once, and those that came after them. */
	uv_write_t request;
	uint8_t *flying, *waiting;
	size_t flying_size, waiting_size; /* flying_size 0: nothing is under way */
	char host[NODE_HOST_SIZE];
};

/* ---- the end ---- */

static void close_part(struct stream *stream)
{
	if (--stream->handles > 0)
		return;
	if (stream->closed)
		stream->closed(stream->closed_context);
	secure_free(stream->secure);
	memory_free(stream->flying);
	memory_free(stream->waiting);
	memory_free(stream);
}

static void on_timer_closed(uv_handle_t *handle)
{
	close_part(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
	struct stream *stream = handle->data;

	memory_free(handle);
	close_part(stream);
}

static void on_timer(uv_timer_t *timer);

/* Ends the stream, and tells stream->trouble, but from the loop: this call may be within one of the
 * owner's. */
static void fail(struct stream *stream)
{
	if (stream->phase == OVER)
		return;
	stream->phase = OVER;
	if (stream->tcp)
		uv_read_stop((uv_stream_t *)stream->tcp);
	uv_timer_start(&stream->timer, on_timer, 0, 0);
}

static void fail_with(struct stream *stream, enum trouble_kind kind, const char *text)
{
	if (stream->phase == OVER)
		return;
	trouble_set(&stream->trouble, kind, "%s", text);
	fail(stream);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status);

static void fail_by(struct stream *stream, int error)
{
	if (stream->phase == OVER)
		return;
	if (error == UV_ENOMEM || error == UV_ENOBUFS)
		fail_with(stream, TROUBLE_LOCAL, error_text(ERROR_NOMEM));
	else if (stream->phase == HANDSHAKE && error != UV_ETIMEDOUT)
		fail_with(stream, TROUBLE_TLS, "the connection was closed instead");
	else if (error == UV_EOF)
		fail_with(stream, TROUBLE_CLOSED, "closed by the other side");
	else if (error == UV_ECONNRESET || error == UV_EPIPE)
		fail_with(stream, TROUBLE_CLOSED, "reset by the other side");
	else {
		trouble_set(&stream->trouble, TROUBLE_CLOSED, "%s", uv_strerror(error));
		fail(stream);
	}
}

/* Hands the bytes that wait over to the kernel. */
static void fly(struct stream *stream)
{
	uv_buf_t buffer = uv_buf_init((char *)stream->waiting, (unsigned)stream->waiting_size);
	int error;

	stream->flying = stream->waiting;
	stream->flying_size = stream->waiting_size;
	stream->waiting = NULL;
	stream->waiting_size = 0;
	stream->request.data = stream;
	error = uv_write(
		&stream->request, (uv_stream_t *)stream->tcp, &buffer, 1, on_written);
	if (!error)
		return;
	memory_free(stream->flying);
	stream->flying = NULL;
	stream->flying_size = 0;
	fail_by(stream, error);
}

static void on_written(uv_write_t *request, int status)
{
	struct stream *stream = request->data;

	memory_free(stream->flying);
	stream->flying = NULL;
	stream->flying_size = 0;
	if (stream->closing || stream->phase == OVER)
		return;
	if (status < 0)
		fail_by(stream, status);
	else if (stream->waiting_size > 0)
		fly(stream);
	if (stream->phase == OPEN && stream->flying_size == 0 && stream->wants_writable) {
		stream->wants_writable = false;
		stream->callbacks.writable(stream->context);
	}
}

/* Puts bytes behind those that wait. Returns false, and ends the stream, if they are too many or
 * there is no memory. */
static bool append(struct stream *stream, const uint8_t *bytes, size_t size)
{
	uint8_t *waiting;

	if (stream->waiting_size + size > UNSENT_MOST) {
		fail_with(stream, TROUBLE_CLOSED, "it asks for answers and reads none");
		return false;
	}
	waiting = memory_realloc(stream->waiting, stream->waiting_size + size);
	if (!waiting) {
		fail_with(stream, TROUBLE_LOCAL, error_text(ERROR_NOMEM));
		return false;
	}
	memcpy(waiting + stream->waiting_size, bytes, size);
	stream->waiting = waiting;
	stream->waiting_size += size;
	return true;
}

/* Gives bytes to the kernel, at once as far as it takes them. The rest is copied, and waits. */
static void put(struct stream *stream, const uint8_t *bytes, size_t size)
{
	uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)size);
	int taken = 0;

	if (stream->flying_size == 0 && size > 0) {
		taken = uv_try_write((uv_stream_t *)stream->tcp, &buffer, 1);
		if (taken == UV_EAGAIN)
			taken = 0;
		if (taken < 0) {
			fail_by(stream, taken);
			return;
		}
	}
	if ((size_t)taken == size || !append(stream, bytes + taken, size - (size_t)taken))
		return;
	if (stream->flying_size == 0)
		fly(stream);
}

/* Puts what TLS has for the network. */
static void put_output(struct stream *stream)
{
	const uint8_t *bytes;
	size_t size = secure_output(stream->secure, &bytes);

	if (size == 0)
		return;
	put(stream, bytes, size);
	secure_sent(stream->secure);
}

size_t stream_write(struct stream *stream, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	size_t taken = 0, part;

	while (taken < size && stream->phase == OPEN && stream->flying_size == 0) {
		part = size - taken;
		if (part > STREAM_WRITE_AT_ONCE)
			part = STREAM_WRITE_AT_ONCE;
		if (!stream->secure) {
			put(stream, from + taken, part);
		} else if (secure_write(stream->secure, from + taken, part, &stream->trouble)) {
			fail(stream);
			break;
		} else {
			put_output(stream);
		}
		taken += part;
	}
	stream->wants_writable = stream->phase == OPEN && taken < size;
	return taken;
}

size_t stream_unsent(const struct stream *stream)
{
	size_t flying = stream->flying_size > 0 && stream->tcp
				? uv_stream_get_write_queue_size((uv_stream_t *)stream->tcp)
				: 0;

	return flying + stream->waiting_size;
}

/* ---- reading ---- */

static _Thread_local uint8_t network[READ_SIZE], plain[READ_SIZE];

static void deliver(struct stream *stream)
{
	size_t size;
	int error = ERROR_NONE;

	while (stream->phase == OPEN && !stream->closing) {
		size = sizeof plain;
		error = secure_read(stream->secure, plain, &size, &stream->trouble);
		if (error)
			break;
		stream->callbacks.data(stream->context, plain, size);
	}
	if (stream->closing || stream->phase != OPEN)
		return;
	put_output(stream);
	if (error == ERROR_CLOSED)
		fail_by(stream, UV_EOF);
	else if (error != ERROR_TRUNCATED)
		fail(stream);
}

static void open_now(struct stream *stream)
{
	stream->phase = OPEN;
	stream->callbacks.opened(stream->context);
}

static void shake_hands(struct stream *stream)
{
	int error = secure_handshake(stream->secure, &stream->trouble);

	put_output(stream);
	if (stream->phase == OVER)
		return;
	if (!error)
		open_now(stream);
	else if (error != ERROR_TRUNCATED)
		fail(stream);
}

static void take_in(struct stream *stream, const uint8_t *bytes, size_t size)
{
	if (!stream->secure) {
		stream->callbacks.data(stream->context, bytes, size);
		return;
	}
	if (secure_feed(stream->secure, bytes, size, &stream->trouble)) {
		fail(stream);
		return;
	}
	if (stream->phase == HANDSHAKE)
		shake_hands(stream);
	if (stream->phase == OPEN && !stream->closing)
		deliver(stream);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	*out = uv_buf_init((char *)network, sizeof network);
}

static void on_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *buffer)
{
	struct stream *stream = tcp->data;

	if (stream->closing || stream->phase == OVER)
		return;
	if (size < 0) {
		fail_by(stream, (int)size);
		return;
	}
	stream->read += (size_t)size;
	take_in(stream, network, (size_t)size);
	if (stream->closing || stream->phase == OVER || stream->read < STREAM_READ_AT_ONCE)
		return;
	/* The rest of the loop has its turn. */
	stream->read = 0;
	uv_read_stop(tcp);
	uv_timer_start(&stream->timer, on_timer, 0, 0);
}

static bool start_reading(struct stream *stream)
{
	int error = uv_read_start((uv_stream_t *)stream->tcp, on_alloc, on_read);

	if (error)
		fail_by(stream, error);
	return !error;
}

static void on_timer(uv_timer_t *timer)
{
	struct stream *stream = timer->data;

	if (stream->phase == OVER)
		stream->callbacks.ended(stream->context, &stream->trouble);
	else
		start_reading(stream);
}

/* ---- opening ---- */

static void on_dialled(void *context, uv_tcp_t *tcp, const struct trouble *trouble)
{
	const int unsent = STREAM_UNSENT_IN_KERNEL;
	struct stream *stream = context;
	uv_os_fd_t fd;

	stream->dial = NULL;
	if (!tcp) {
		stream->trouble = *trouble;
		fail(stream);
		return;
	}
	stream->tcp = tcp;
	stream->handles++;
	tcp->data = stream;
	uv_tcp_nodelay(tcp, 1);
	if (uv_fileno((uv_handle_t *)tcp, &fd) == 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
	if (!start_reading(stream))
		return;
	if (!stream->secure) {
		open_now(stream);
		return;
	}
	stream->phase = HANDSHAKE;
	shake_hands(stream);
}

static void on_dial_gone(void *context)
{
	close_part(context);
}

static int dial(struct stream *stream)
{
	static const struct dial_callbacks callbacks = {.done = on_dialled, .gone = on_dial_gone};
	int error = dial_start(stream->io.loop, stream->io.names, stream->host,
		stream->target.port, stream->target.public_only, &callbacks, stream,
		&stream->dial);

	if (error)
		return error;
	stream->phase = DIALLING;
	stream->handles++;
	return ERROR_NONE;
}

static void on_authorities(void *argument, SSL_CTX *context, const struct trouble *trouble)
{
	struct stream *stream = argument;

	if (!context) {
		stream->trouble = *trouble;
		fail(stream);
		return;
	}
	if (secure_new(context, stream->host, &stream->secure))
		fail_with(stream, TROUBLE_LOCAL, "OpenSSL gives no session");
	else if (dial(stream))
		fail_with(stream, TROUBLE_LOCAL, error_text(ERROR_NOMEM));
}

int stream_open(const struct stream_io *io, const struct stream_target *target,
	const struct stream_callbacks *callbacks, void *context, struct stream **out)
{
	struct stream *stream = memory_zalloc(sizeof *stream);
	int error;

	if (!stream)
		return ERROR_NOMEM;
	stream->io = *io;
	stream->callbacks = *callbacks;
	stream->context = context;
	stream->target = *target;
	snprintf(stream->host, sizeof stream->host, "%s", target->host);
	uv_timer_init(io->loop, &stream->timer);
	stream->timer.data = stream;
	stream->handles = 1;
	if (target->tls)
		error = authorities_ask(io->authorities, on_authorities, stream, &stream->query);
	else
		error = dial(stream);
	if (error) {
		stream_close(stream, NULL, NULL);
		return ERROR_NOMEM;
	}
	*out = stream;
	return ERROR_NONE;
}

const char *stream_doing(const struct stream *stream)
{
	switch (stream->phase) {
	case READING_AUTHORITIES:
		return "reading whom to trust";
	case DIALLING:
		return dial_doing(stream->dial);
	case HANDSHAKE:
		return "waiting for TLS";
	default:
		return "connected";
	}
}

void stream_close(struct stream *stream, void (*closed)(void *context), void *context)
{
	if (stream->closing)
		return;
	if (stream->phase == OPEN && stream->secure && stream->flying_size == 0) {
		secure_finish(stream->secure);
		put_output(stream); /* as far as it goes at once */
	}
	stream->closing = true;
	stream->phase = OVER;
	stream->closed = closed;
	stream->closed_context = context;
	authorities_forget(&stream->query);
	if (stream->dial)
		dial_cancel(stream->dial);
	if (stream->tcp)
		uv_close((uv_handle_t *)stream->tcp, on_tcp_closed);
	uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}
