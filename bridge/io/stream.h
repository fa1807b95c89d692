/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One connection to a server, by TCP or by TLS above it (secure.h): opened by name (dial.h), with
 * bounds both ways, its failures told in words. Nothing blocks. The loop's thread.
 */
#ifndef BRIDGE_IO_STREAM_H
#define BRIDGE_IO_STREAM_H

#include <stdbool.h>
#include <uv.h>

#include "authorities.h"
#include "names.h"
#include "trouble.h"

/* Read from one stream in one turn of the loop, at most (bytes). */
#define STREAM_READ_AT_ONCE 65536
/* Taken at once for writing; further bytes are taken when the kernel has these. */
#define STREAM_WRITE_AT_ONCE 16384
/* How many bytes in the kernel may not be on the way yet, about: further bytes wait with whoever
 * writes, where they can still be dropped. */
#define STREAM_UNSENT_IN_KERNEL 65536

struct stream;

/* What the streams share, and what must outlive them. */
struct stream_io {
	uv_loop_t *loop;
	struct names *names;
	struct authorities *authorities;
};

struct stream_target {
	const char *host; /* a name or an IP address; copied */
	uint16_t port;
	bool tls;
	bool public_only; /* see dial.h */
};

/* Called from the loop. Within them everything may be called. */
struct stream_callbacks {
	/* The connection stands, TLS included. */
	void (*opened)(void *context);
	void (*data)(void *context, const uint8_t *data, size_t size);
	/* stream_write takes bytes again, after it has not taken all. */
	void (*writable)(void *context);
	/* The connection has not come about, or is over. Called once, and nothing follows but
	 * closed. */
	void (*ended)(void *context, const struct trouble *trouble);
};

/* Opens a stream. There is no time limit for opening it: call stream_close when that takes too
 * long. ERROR_NOMEM. */
int stream_open(const struct stream_io *io, const struct stream_target *target,
	const struct stream_callbacks *callbacks, void *context, struct stream **out);
/* Writes bytes, and returns how many of them are taken (they are copied, or sent); if not all,
 * writable follows. 0 when the stream is not open. */
size_t stream_write(struct stream *stream, const void *bytes, size_t size);
/* Returns how many bytes were taken that the kernel has not got yet (as TLS has encrypted them, if
 * the stream has TLS). Only tests call it. */
size_t stream_unsent(const struct stream *stream);
/* Returns what the stream does until it is open, in words ("connecting"), to follow "while". Only
 * tests call it. */
const char *stream_doing(const struct stream *stream);
/* Ends the stream at once: no callback is made any more, what is unsent is dropped. closed(context)
 * follows from the loop when the stream's handles are closed, and then the stream is freed. */
void stream_close(struct stream *stream, void (*closed)(void *context), void *context);

#endif
