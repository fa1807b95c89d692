/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What Wireshark and qvis read, for a search for faults, and only on request: a qlog of each
 * connection (draft-ietf-quic-qlog-main-schema, JSON text sequences, as ngtcp2 writes them), and
 * the keys of all connections (SSLKEYLOGFILE, draft-ietf-tls-keylogfile).
 *
 * Files are 0600. They are written in libuv's pool: a slow disk holds up nothing, and data that
 * the disk cannot keep up with, or that is beyond the limits (limits.h, LIMIT_TRACE_...), is
 * counted as trace/lost. The loop's thread, but for trace_new and trace_free.
 */
#ifndef BRIDGE_QUIC_TRACE_H
#define BRIDGE_QUIC_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "../counters.h"

#define TRACE_REASON_SIZE 256

struct trace;
struct qlog;

/* Opens what is wanted. qlog_dir: an existing folder; keylog_file: lines are added to this file;
 * NULL: not wanted. If neither is wanted, *out is NULL. On an error reason is one line that names
 * the option. ERROR_SYSTEM, ERROR_NOMEM. */
int trace_new(uv_loop_t *loop, const char *qlog_dir, const char *keylog_file,
	struct counters *counters, struct trace **out, char reason[TRACE_REASON_SIZE]);
/* Frees the trace, once the loop has ended or if it has never run. NULL is fine. */
void trace_free(struct trace *trace);

/* Tells whether there is a key log. trace may be NULL. */
bool trace_has_keys(const struct trace *trace);
/* Writes one line of the key log; line comes without its end. */
void trace_key(struct trace *trace, const char *line);

/* Begins the qlog of a connection, named by the connection id that the client has chosen first, so
 * that the files of both ends are found together. NULL: there is none, and nothing is to be done;
 * trace may be NULL. */
struct qlog *qlog_begin(
	struct trace *trace, const uint8_t *id, size_t id_size, bool incoming);
void qlog_write(struct qlog *qlog, const void *data, size_t size);
/* Writes what is left and closes the qlog. NULL is fine. */
void qlog_end(struct qlog *qlog);

#endif
