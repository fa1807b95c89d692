/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relaying.h"

#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "stream.h"

/* From so many unwritten bytes on the end of the turn is not waited for. */
#define MUCH STREAM_WRITE_AT_ONCE

/* One connection: what the relays call a stream. */
struct line {
	struct relaying *relaying;
	struct line *prev, *next;
	uint64_t number;
	struct stream *stream;
	bool opened;
	bool due; /* there is output, and the stream may take it */
};

struct relaying {
	uv_loop_t *loop;
	struct relaying_callbacks callbacks;
	struct relays *relays;
	struct stream_io io;
	struct line *lines; /* without those that are closing */
	unsigned closing;
	bool stopped;
	bool busy;	  /* effects are being carried out, or bytes are taken in */
	bool is_due;	  /* one of the lines is due */
	size_t unwritten; /* bytes that were sent and not written, about */
	void (*closed)(void *context);
	void *closed_context;
};

static void drain(struct relaying *relaying, uint64_t now);

/* ---- streams ---- */

static struct line *find(const struct relaying *relaying, uint64_t number)
{
	struct line *line;

	DL_FOREACH (relaying->lines, line)
		if (line->number == number)
			break;
	return line;
}

static void write_line(struct line *line, uint64_t now)
{
	struct relays *relays = line->relaying->relays;
	const uint8_t *bytes;
	size_t size, taken;

	line->due = false;
	while ((bytes = relays_output(relays, line->number, &size))) {
		taken = stream_write(line->stream, bytes, size);
		relays_written(relays, now, line->number, taken);
		if (taken < size)
			break; /* on_writable, or on_ended */
	}
}

static void write_all(struct relaying *relaying, uint64_t now)
{
	struct line *line;

	if (!relaying->is_due || relaying->busy)
		return;
	relaying->is_due = false;
	relaying->unwritten = 0;
	DL_FOREACH (relaying->lines, line)
		if (line->due)
			write_line(line, now);
	drain(relaying, now);
}

static void on_opened(void *context)
{
	struct line *line = context;
	uint64_t now = uv_hrtime();

	line->opened = true;
	relays_opened(line->relaying->relays, now, line->number);
	drain(line->relaying, now);
}

static void on_data(void *context, const uint8_t *data, size_t size)
{
	struct line *line = context;
	uint64_t now = uv_hrtime();

	line->relaying->busy = true; /* the owner may come back with what it sends */
	relays_received(line->relaying->relays, now, line->number, data, size);
	line->relaying->busy = false;
	drain(line->relaying, now);
}

static void on_writable(void *context)
{
	struct line *line = context;
	uint64_t now = uv_hrtime();

	write_line(line, now);
	drain(line->relaying, now);
}

static enum relay_trouble as_relays(const struct line *line, enum trouble_kind kind)
{
	switch (kind) {
	case TROUBLE_NAME:
		return RELAY_NO_NAME;
	case TROUBLE_NOT_PUBLIC:
		return RELAY_NOT_PUBLIC;
	case TROUBLE_NO_TLS:
	case TROUBLE_TLS:
		return line->opened ? RELAY_LOST : RELAY_TLS;
	case TROUBLE_UNTRUSTED:
	case TROUBLE_OTHER_HOST:
	case TROUBLE_EXPIRED:
		return RELAY_CERTIFICATE;
	default:
		return line->opened ? RELAY_LOST : RELAY_UNREACHABLE;
	}
}

static void on_stream_closed(void *context)
{
	struct line *line = context;
	struct relaying *relaying = line->relaying;

	memory_free(line);
	relaying->closing--;
	if (relaying->stopped && relaying->closing == 0 && relaying->closed)
		relaying->closed(relaying->closed_context);
}

static void drop(struct line *line)
{
	DL_DELETE(line->relaying->lines, line);
	line->relaying->closing++;
	stream_close(line->stream, on_stream_closed, line);
}

static void on_ended(void *context, const struct trouble *trouble)
{
	struct line *line = context;
	struct relaying *relaying = line->relaying;
	enum relay_trouble as = as_relays(line, trouble->kind);
	uint64_t now = uv_hrtime(), number = line->number;

	drop(line);
	relays_closed(relaying->relays, now, number, as, trouble->text);
	drain(relaying, now);
}

/* ---- what the relays want ---- */

static int open_line(struct relaying *relaying, const struct relays_effect *effect)
{
	static const struct stream_callbacks callbacks = {
		.opened = on_opened,
		.data = on_data,
		.writable = on_writable,
		.ended = on_ended,
	};
	const struct stream_target target = {
		.host = effect->url->host,
		.port = effect->url->port,
		.tls = effect->url->tls,
		.public_only = effect->hearsay,
	};
	struct line *line = memory_zalloc(sizeof *line);

	if (!line)
		return ERROR_NOMEM;
	line->relaying = relaying;
	line->number = effect->stream;
	if (stream_open(&relaying->io, &target, &callbacks, line, &line->stream)) {
		memory_free(line);
		return ERROR_NOMEM;
	}
	DL_APPEND(relaying->lines, line);
	return ERROR_NONE;
}

static void carry_out(struct relaying *relaying, uint64_t now, const struct relays_effect *effect)
{
	const struct relaying_callbacks *callbacks = &relaying->callbacks;
	struct line *line;

	switch (effect->type) {
	case RELAYS_OPEN:
		if (open_line(relaying, effect))
			relays_closed(relaying->relays, now, effect->stream, RELAY_UNREACHABLE,
				error_text(ERROR_NOMEM));
		break;
	case RELAYS_CLOSE:
		line = find(relaying, effect->stream);
		if (line)
			drop(line);
		break;
	case RELAYS_WRITE:
		line = find(relaying, effect->stream);
		if (line)
			line->due = relaying->is_due = true;
		break;
	case RELAYS_HOME:
		callbacks->home(callbacks->context, effect->url);
		break;
	case RELAYS_UP:
	case RELAYS_DOWN:
		callbacks->changed(
			callbacks->context, &effect->relay, effect->type == RELAYS_UP);
		break;
	case RELAYS_LOG:
		callbacks->log(callbacks->context, effect->level, effect->text);
		break;
	}
}

static void drain(struct relaying *relaying, uint64_t now)
{
	struct relays_effect effect;

	if (relaying->busy)
		return;
	relaying->busy = true;
	while (!relaying->stopped && relays_effect(relaying->relays, &effect))
		carry_out(relaying, now, &effect);
	relaying->busy = false;
}

/* ---- beginning and end ---- */

int relaying_new(const struct relaying_config *config, struct relaying **out)
{
	const struct relays_config relays = {
		.identity = config->identity,
		.random = config->random,
		.counters = config->counters,
		.homes = config->relays,
		.homes_count = config->relays_count,
		.token = config->token,
		.any = config->any,
		.port =
			{
				.context = config->callbacks.context,
				.datagram = config->callbacks.datagram,
				.gone = config->callbacks.gone,
			},
	};
	struct relaying *relaying = memory_zalloc(sizeof *relaying);
	int error;

	if (!relaying)
		return ERROR_NOMEM;
	relaying->loop = relaying->io.loop = config->loop;
	relaying->callbacks = config->callbacks;
	error = names_new(config->loop, &relaying->io.names);
	if (!error)
		error = authorities_new(config->loop, config->ca, &relaying->io.authorities);
	if (!error)
		error = relays_new(&relays, &relaying->relays);
	if (error) {
		relaying_free(relaying);
		return error;
	}
	*out = relaying;
	return ERROR_NONE;
}

int relaying_add(struct relaying *relaying, const struct relay_url *url)
{
	return relays_add(relaying->relays, url);
}

void relaying_start(struct relaying *relaying, uint64_t now)
{
	relays_start(relaying->relays, now);
	drain(relaying, now);
}

unsigned relaying_stop(
	struct relaying *relaying, uint64_t now, void (*closed)(void *context), void *context)
{
	if (!relaying || relaying->stopped)
		return 0;
	relaying->stopped = true;
	relaying->closed = closed;
	relaying->closed_context = context;
	relays_stop(relaying->relays, now);
	while (relaying->lines)
		drop(relaying->lines);
	names_stop(relaying->io.names);
	authorities_stop(relaying->io.authorities);
	return relaying->closing > 0;
}

void relaying_free(struct relaying *relaying)
{
	if (!relaying)
		return;
	relays_free(relaying->relays);
	names_free(relaying->io.names);
	authorities_free(relaying->io.authorities);
	memory_free(relaying);
}

/* ---- questions ---- */

bool relaying_admit(struct relaying *relaying, uint64_t now, const struct relay_url *url)
{
	bool admitted = relays_admit(relaying->relays, now, url);

	drain(relaying, now);
	return admitted;
}

const struct relay_url *relaying_url(const struct relaying *relaying, const struct address *relay)
{
	return relays_url(relaying->relays, relay);
}

const struct relay_url *relaying_home(const struct relaying *relaying)
{
	return relays_home(relaying->relays);
}

enum relays_state relaying_state(const struct relaying *relaying)
{
	return relays_state(relaying->relays);
}

bool relaying_is_up(const struct relaying *relaying, const struct address *relay)
{
	return relays_is_up(relaying->relays, relay);
}

/* ---- datagrams, and time ---- */

bool relaying_send(struct relaying *relaying, uint64_t now, const struct address *relay,
	const struct id *to, const uint8_t *data, size_t size, size_t segment)
{
	bool sent;

	if (relaying->stopped)
		return false;
	sent = relays_send(relaying->relays, now, relay, to, data, size, segment);
	drain(relaying, now);
	relaying->unwritten += sent ? size : 0;
	if (relaying->unwritten >= MUCH)
		write_all(relaying, now);
	return sent;
}

void relaying_tick(struct relaying *relaying, uint64_t now)
{
	if (!relaying || relaying->stopped)
		return;
	relays_tick(relaying->relays, now);
	drain(relaying, now);
	write_all(relaying, now);
}

void relaying_turn(struct relaying *relaying, uint64_t now)
{
	if (relaying && !relaying->stopped)
		write_all(relaying, now);
}

uint64_t relaying_deadline(const struct relaying *relaying)
{
	if (!relaying || relaying->stopped)
		return UINT64_MAX;
	return relaying->is_due ? 0 : relays_deadline(relaying->relays);
}
