/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The whole core, fed by several peers. The input is a list of steps: what (low
 * nibble) and which peer (high nibble), a length and as many bytes. Whatever it is,
 * nothing it does may be out of bounds: neither the views, nor its frames, nor time.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/bytes/reader.h"
#include "bridge/gossip/gossip.h"
#include "bridge/gossip/wire.h"

#define TOPICS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static struct id id_of(uint8_t number)
{
	struct id id;

	memset(id.bytes, number, ID_SIZE);
	return id;
}

static void check_frame(const struct frame *frame)
{
	static uint8_t body[LIMIT_FRAME];
	static struct wire_message message;
	size_t size = 0;

	require(frame_size(frame) >= 4 && frame_size(frame) - 4 < LIMIT_FRAME);
	memcpy(body, frame->head + 4, size = frame->head_size - 4);
	if (frame->body) {
		memcpy(body + size, frame->body->content, frame->body->size);
		size += frame->body->size;
	}
	memcpy(body + size, frame->tail, frame->tail_size);
	require(wire_decode(body, size + frame->tail_size, &message) == 0);
}

static void take_effects(struct gossip *gossip)
{
	struct gossip_effect effect;
	struct id me = id_of(0);

	while (gossip_effect(gossip, &effect)) {
		if (effect.type == GOSSIP_SEND) {
			require(!id_equal(&effect.peer, &me));
			check_frame(effect.frame);
		}
		frame_free(effect.frame);
		message_unref(effect.message);
	}
}

/* A Gossip message's id must be true for it to get anywhere: the fuzzer cannot know. */
static void receive(struct gossip *gossip, uint64_t now, const struct id *peer,
	const struct id *topic, const uint8_t *body, size_t size)
{
	static struct wire_message message;
	static uint8_t mended[LIMIT_FRAME];

	if (size > 0 && size <= LIMIT_FRAME && wire_decode(body, size, &message) == 0 &&
		message.type == WIRE_GOSSIP) {
		struct message *content = message_new(message.gossip.content, message.gossip.size);
		struct writer writer;

		message.gossip.id = *message_id(content);
		message_unref(content);
		writer_init(&writer, mended, sizeof mended);
		require(wire_encode(&message, &writer) == 0);
		body = mended;
		size = writer_size(&writer);
	}
	gossip_receive(gossip, now, peer, topic, body, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct counters counters;
	uint64_t seed = 1, now = 1000000000;
	struct gossip_config config = {.me = id_of(0),
		.random = random_seeded(&seed),
		.counters = &counters,
		.max_overlays = TOPICS,
		.cache_bytes = 4096};
	struct gossip *gossip;
	struct reader reader;

	require(gossip_new(&config, &gossip) == 0);
	for (uint8_t i = 0; i < TOPICS; i++) {
		struct id topic = id_of(i);

		require(gossip_join(gossip, now, &topic) == 0);
	}
	reader_init(&reader, data, size);
	while (reader_left(&reader) >= 3) {
		uint8_t step = reader_u8(&reader);
		size_t wanted = reader_u16(&reader);
		size_t length = wanted < reader_left(&reader) ? wanted : reader_left(&reader);
		const uint8_t *bytes = reader_bytes(&reader, length);
		struct id peer = id_of(1 + (step >> 4));
		struct id topic = id_of(step >> 3 & 1);
		struct message *message;

		switch (step & 7) {
		default:
			receive(gossip, now, &peer, &topic, bytes,
				length < LIMIT_FRAME ? length : LIMIT_FRAME);
			break;
		case 4:
			gossip_ask(gossip, now, &topic, &peer);
			break;
		case 5:
			message = message_new(bytes, length);
			gossip_publish(gossip, now, &topic, message, NULL);
			message_unref(message);
			break;
		case 6:
			if (step & 0x80) {
				gossip_leave(gossip, now, &topic);
				gossip_join(gossip, now, &topic);
			} else {
				gossip_peer_lost(gossip, now, &peer);
			}
			break;
		case 7:
			now += (uint64_t)wanted * 1000000;
			gossip_tick(gossip, now);
			require(gossip_deadline(gossip) > now);
			break;
		}
		take_effects(gossip);
		for (uint8_t i = 0; i < TOPICS; i++) {
			topic = id_of(i);
			require(gossip_neighbours(gossip, &topic) <= LIMIT_ACTIVE_VIEW);
		}
	}
	/* What has been begun ends: all caches are empty and no request is open. */
	for (unsigned i = 0; i < 4; i++) {
		gossip_tick(gossip, now += UINT64_C(100000000000));
		take_effects(gossip);
	}
	gossip_free(gossip);
	return 0;
}
