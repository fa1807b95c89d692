/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A session of discovery with whoever. The first byte says which side we are, what the peer is
 * taken to speak and in which slices its bytes come; the rest is what it says. Salts and
 * topics are the vectors', so that the seeds are understood. What comes of it does not depend
 * on the slices.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/discovery/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* All that a session has done. */
struct trace {
	uint64_t hash;
	size_t shared;
	bool ended;
};

struct source {
	uint64_t seed;
	bool salted;
	uint8_t salt;
};

static void fill(void *context, void *out, size_t size)
{
	struct source *source = context;
	struct random random = random_seeded(&source->seed);

	random.fill(random.context, out, size);
	if (!source->salted)
		memset(out, source->salt, size);
	source->salted = true;
}

static void add(struct trace *trace, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		trace->hash = (trace->hash ^ bytes[i]) * 0x100000001b3;
}

static void add_number(struct trace *trace, int number)
{
	add(trace, &number, sizeof number);
}

static struct info *ours[ORDERS];
static struct identity identity;

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	emit(emitter, &identity.id, ours[order]);
	emit(emitter, &identity.id, ours[!order]);
	return false;
}

static void take(struct session *session, struct trace *trace)
{
	struct session_effect effect;

	while (session_effect(session, &effect)) {
		require(!trace->ended);
		add_number(trace, effect.type);
		switch (effect.type) {
		case SESSION_SEND:
			require(frame_size(effect.frame) == effect.frame->head_size);
			add(trace, effect.frame->head, effect.frame->head_size);
			frame_free(effect.frame);
			break;
		case SESSION_SHARED:
			require(++trace->shared <= 2);
			add(trace, effect.id.bytes, ID_SIZE);
			break;
		case SESSION_INFO:
			add(trace, effect.id.bytes, ID_SIZE);
			add_number(trace, effect.info->order);
			add(trace, effect.info->addresses, effect.info->size);
			info_free(effect.info);
			break;
		case SESSION_DIALECT:
			require(effect.dialect != DIALECT_UNKNOWN);
			add_number(trace, effect.dialect);
			break;
		case SESSION_FAILED:
			require(effect.error < 0);
			add_number(trace, effect.error);
			trace->ended = true;
			break;
		case SESSION_BUSY: /* there is little to gather */
			require(false);
			break;
		case SESSION_DONE:
			trace->ended = true;
			break;
		}
	}
}

static struct trace hold(
	const struct session_config *config, const uint8_t *data, size_t size, size_t slice)
{
	struct source source = {1, false, config->role == SESSION_ALICE ? 0x0a : 0xb0};
	struct session_config own = *config;
	struct trace trace = {0};
	struct session *session;

	own.random = (struct random){fill, &source};
	require(session_new(&own, &session) == 0);
	take(session, &trace);
	for (size_t at = 0; at < size; at += slice) {
		size_t here = size - at < slice ? size - at : slice;
		/* Of its own size, so that ASan sees a read beyond it. */
		uint8_t *part = malloc(here);

		require(part);
		memcpy(part, data + at, here);
		session_receive(session, part, here, false);
		free(part);
		take(session, &trace);
	}
	require(session_was_answered(session) == (size > 0));
	session_receive(session, NULL, 0, true);
	take(session, &trace);
	require(trace.ended);
	session_free(session);
	return trace;
}

static void set_up(void)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	const struct address address = {4, {10, 0, 0, 1}, 1};

	if (ours[0])
		return;
	require(identity_from_secret(secret, &identity) == 0);
	for (enum info_order order = 0; order < ORDERS; order++)
		require(info_sign(&identity, (struct info_time){1, 1}, order, NULL, &address, 1,
				&ours[order]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The node of the recordings: its own info counts. */
	static const struct id remote = {{0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd,
		0x52, 0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72, 0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12,
		0x1b, 0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c}};
	static struct counters counters;
	struct session_config config = {.remote = &remote, .counters = &counters, .gather = gather};
	struct id topics[2];
	struct trace whole, sliced;

	if (size == 0)
		return 0;
	set_up();
	memset(&topics[0], 0x11, ID_SIZE);
	for (uint8_t i = 0; i < ID_SIZE; i++)
		topics[1].bytes[i] = 0x80 + i;
	config.role = data[0] & 1 ? SESSION_BOB : SESSION_ALICE;
	config.dialect = data[0] >> 1 & 3;
	if (config.role == SESSION_ALICE && config.dialect == DIALECT_UNKNOWN)
		config.dialect = DIALECT_071;
	config.topics = topics;
	config.topics_count = 2;
	whole = hold(&config, data + 1, size - 1, SIZE_MAX / 2);
	sliced = hold(&config, data + 1, size - 1, 1 + (data[0] >> 3));
	require(whole.hash == sliced.hash);
	return 0;
}
