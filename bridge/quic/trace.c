/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bytes/hex.h"
#include "../error.h"
#include "../limits.h"
#include "../memory.h"

/* Bytes of a qlog that are gathered before they are written. */
#define PIECE_SIZE 16384
/* The longest id of a connection (RFC 9000, 17.2). */
#define ID_MOST 20

struct trace {
	uv_loop_t *loop;
	struct counters *counters;
	char *dir; /* NULL: no qlogs */
	int keys;  /* -1: none */
	size_t files;
	uint64_t bytes;	 /* how many bytes of all qlogs together */
	size_t underway; /* bytes that are not written yet */
};

struct qlog {
	struct trace *trace;
	uv_file file;
	int64_t at;	 /* where the next piece goes */
	size_t underway; /* pieces that are not written yet */
	bool ended;
	size_t used;
	char piece[PIECE_SIZE];
};

struct write {
	uv_fs_t request;
	struct trace *trace;
	struct qlog *qlog; /* NULL: the write is of the key log */
	size_t size;
	char bytes[];
};

static void lose(struct trace *trace)
{
	counters_add(trace->counters, COUNTER_TRACE_LOST, 1);
}

/* ---- beginning and end ---- */

static bool open_keys(
	struct trace *trace, const char *path, char reason[TRACE_REASON_SIZE])
{
	struct stat status;

	/* O_NONBLOCK: a pipe or a device would hold up the pool. */
	trace->keys = open(path,
		O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (trace->keys < 0)
		snprintf(reason, TRACE_REASON_SIZE, "keylog_file %.150s cannot be opened: %s", path,
			strerror(errno));
	else if (fstat(trace->keys, &status) != 0 || !S_ISREG(status.st_mode) ||
		 (status.st_mode & 077))
		snprintf(reason, TRACE_REASON_SIZE,
			"keylog_file %.150s is not accepted: it takes a file that nobody else may "
			"read (chmod 600), or none yet",
			path);
	else
		return true;
	return false;
}

static bool check_dir(const char *path, char reason[TRACE_REASON_SIZE])
{
	struct stat status;

	if (stat(path, &status) != 0 || (S_ISDIR(status.st_mode) && access(path, W_OK | X_OK) != 0))
		snprintf(reason, TRACE_REASON_SIZE, "qlog_dir %.150s cannot be written to: %s",
			path, strerror(errno));
	else if (!S_ISDIR(status.st_mode))
		snprintf(reason, TRACE_REASON_SIZE,
			"qlog_dir %.150s is not accepted: it takes a folder", path);
	else
		return true;
	return false;
}

int trace_new(uv_loop_t *loop, const char *qlog_dir, const char *keylog_file,
	struct counters *counters, struct trace **out, char reason[TRACE_REASON_SIZE])
{
	struct trace *trace;
	size_t size = qlog_dir ? strlen(qlog_dir) + 1 : 0;
	int error = ERROR_NONE;

	*out = NULL;
	if (!qlog_dir && !keylog_file)
		return ERROR_NONE;
	trace = memory_zalloc(sizeof *trace);
	if (!trace)
		return ERROR_NOMEM;
	trace->loop = loop;
	trace->counters = counters;
	trace->keys = -1;
	if (qlog_dir) {
		trace->dir = memory_alloc(size);
		if (trace->dir)
			memcpy(trace->dir, qlog_dir, size);
		else
			error = ERROR_NOMEM;
	}
	if (!error && ((qlog_dir && !check_dir(qlog_dir, reason)) ||
			      (keylog_file && !open_keys(trace, keylog_file, reason))))
		error = ERROR_SYSTEM;
	if (error) {
		trace_free(trace);
		return error;
	}
	*out = trace;
	return ERROR_NONE;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	if (trace->keys >= 0)
		close(trace->keys);
	memory_free(trace->dir);
	memory_free(trace);
}

/* ---- writing ---- */

static void close_when_over(struct qlog *qlog)
{
	uv_fs_t request;

	if (!qlog->ended || qlog->underway > 0)
		return;
	uv_fs_close(qlog->trace->loop, &request, qlog->file, NULL);
	uv_fs_req_cleanup(&request);
	memory_free(qlog);
}

static void on_written(uv_fs_t *request)
{
	struct write *write = request->data;
	struct qlog *qlog = write->qlog;

	if (request->result != (ssize_t)write->size)
		lose(write->trace);
	write->trace->underway -= write->size;
	uv_fs_req_cleanup(request);
	memory_free(write);
	if (!qlog)
		return;
	qlog->underway--;
	close_when_over(qlog);
}

/* Writes bytes to a place of their own, so that the order of writes does not matter. False: the
 * bytes are lost. */
static bool put(struct trace *trace, struct qlog *qlog, uv_file file, const char *bytes,
	size_t size, int64_t at)
{
	struct write *write = NULL;
	uv_buf_t buffer;

	if (trace->underway + size <= LIMIT_TRACE_UNDERWAY)
		write = memory_alloc(sizeof *write + size);
	if (!write) {
		lose(trace);
		return false;
	}
	write->trace = trace;
	write->qlog = qlog;
	write->size = size;
	memcpy(write->bytes, bytes, size);
	write->request.data = write;
	buffer = uv_buf_init(write->bytes, (unsigned)size);
	if (uv_fs_write(trace->loop, &write->request, file, &buffer, 1, at, on_written) != 0) {
		memory_free(write);
		lose(trace);
		return false;
	}
	trace->underway += size;
	return true;
}

/* ---- keys ---- */

bool trace_has_keys(const struct trace *trace)
{
	return trace && trace->keys >= 0;
}

void trace_key(struct trace *trace, const char *line)
{
	char text[512];
	int size = snprintf(text, sizeof text, "%s\n", line);

	if (size > 0 && (size_t)size < sizeof text)
		put(trace, NULL, trace->keys, text, (size_t)size, -1);
	else
		lose(trace);
}

/* ---- qlogs ---- */

struct qlog *qlog_begin(struct trace *trace, const uint8_t *id, size_t id_size, bool incoming)
{
	char path[4096], name[2 * ID_MOST + 1];
	struct qlog *qlog;
	uv_fs_t request;

	if (!trace || !trace->dir)
		return NULL;
	if (id_size > ID_MOST || trace->files >= LIMIT_TRACE_FILES ||
		trace->bytes >= LIMIT_TRACE_BYTES) {
		lose(trace);
		return NULL;
	}
	qlog = memory_alloc(sizeof *qlog);
	if (!qlog) {
		lose(trace);
		return NULL;
	}
	qlog->trace = trace;
	qlog->at = 0;
	qlog->underway = qlog->used = 0;
	qlog->ended = false;
	if (snprintf(path, sizeof path, "%s/%s_%s.sqlog", trace->dir,
		    hex_encode(id, id_size, name), incoming ? "server" : "client") >=
		(int)sizeof path)
		path[0] = 0;
	qlog->file = uv_fs_open(trace->loop, &request, path,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600, NULL);
	uv_fs_req_cleanup(&request);
	if (qlog->file < 0) {
		lose(trace);
		memory_free(qlog);
		return NULL;
	}
	trace->files++;
	return qlog;
}

static void flush(struct qlog *qlog)
{
	struct trace *trace = qlog->trace;

	if (qlog->used > 0 &&
		put(trace, qlog, qlog->file, qlog->piece, qlog->used, qlog->at)) {
		qlog->underway++;
		qlog->at += (int64_t)qlog->used;
		trace->bytes += qlog->used;
	}
	qlog->used = 0;
}

void qlog_write(struct qlog *qlog, const void *data, size_t size)
{
	/* One event is a record of its own: whole or not at all. */
	if (qlog->used + size > PIECE_SIZE)
		flush(qlog);
	if (size > PIECE_SIZE || qlog->trace->bytes >= LIMIT_TRACE_BYTES) {
		lose(qlog->trace);
		return;
	}
	memcpy(qlog->piece + qlog->used, data, size);
	qlog->used += size;
}

void qlog_end(struct qlog *qlog)
{
	if (!qlog)
		return;
	flush(qlog);
	qlog->ended = true;
	close_when_over(qlog);
}
