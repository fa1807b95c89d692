/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What somebody brings as fast as it can. */
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "bridge/bytes/writer.h"
#include "bridge/gossip/wire.h"
#include "bridge/limits.h"
#include "bridge/message.h"
#include "raw_node.h"

#define EACH_MS	  10
#define STRANGERS 4096
/* Bytes: what waits here would be a load that goes on when it has ended. */
#define AHEAD (256u << 10)

/* One kind of them. */
struct flood {
	uv_timer_t timer;
	void (*send)(size_t stream);
	size_t stream, count; /* each time */
};

static struct flood shuffles, forgeries;
static uint8_t version;
static uint32_t forged;

static void on_timer(uv_timer_t *timer)
{
	struct flood *flood = timer->data;

	for (size_t i = 0; i < flood->count && raw_queued(flood->stream) <= AHEAD; i++)
		flood->send(flood->stream);
}

static void set(struct flood *flood, size_t stream, unsigned long per_second)
{
	flood->stream = stream;
	flood->count = per_second * EACH_MS / 1000;
	if (flood->count == 0)
		uv_timer_stop(&flood->timer);
	else
		uv_timer_start(&flood->timer, on_timer, 0, EACH_MS);
}

static void send_message(size_t stream, const struct wire_message *message)
{
	static uint8_t body[4 + 2 * LIMIT_FRAME];
	struct writer writer;
	size_t size;

	writer_init(&writer, body + 4, sizeof body - 4);
	if (wire_encode(message, &writer))
		raw_die("a message too large even for here");
	size = writer_size(&writer);
	for (int i = 0; i < 4; i++)
		body[i] = (uint8_t)(size >> (24 - 8 * i));
	raw_send(stream, body, 4 + size);
}

/* An id that somebody has to look at closely: it is a point of the curve. */
static struct id stranger(void)
{
	static struct id strangers[STRANGERS];
	static size_t count, next;

	while (count < STRANGERS) {
		if (RAND_bytes(strangers[count].bytes, ID_SIZE) != 1)
			raw_die("no randomness");
		if (identity_is_key(&strangers[count]))
			count++;
	}
	return strangers[next++ % STRANGERS];
}

static void send_shuffle(size_t stream)
{
	static struct wire_message message = {.type = WIRE_SHUFFLE};
	static unsigned sent;

	message.shuffle.origin = raw_identity.id;
	message.shuffle.ttl = ++sent % 2 ? 0 : 6;
	message.shuffle.nodes.count = LIMIT_SHUFFLE_NODES;
	for (size_t node = 0; node < LIMIT_SHUFFLE_NODES; node++)
		message.shuffle.nodes.items[node].id = stranger();
	send_message(stream, &message);
}

/* A signed message (bridge/messages/signed.h) in the right form, each another one: that it is
 * forged is known only when all of the work is done. */
static void send_forged(size_t stream)
{
	uint8_t content[256], signature[IDENTITY_SIGNATURE_SIZE];
	struct wire_message gossip = {.type = WIRE_GOSSIP};
	struct message *message;
	struct writer writer;

	if (RAND_bytes(signature, sizeof signature) != 1)
		raw_die("no randomness");
	/* A point, and a number below the order of the group. */
	memcpy(signature, raw_identity.id.bytes, ID_SIZE);
	signature[sizeof signature - 1] &= 0x0f;
	writer_init(&writer, content, sizeof content);
	writer_u8(&writer, 0x86);
	writer_u8(&writer, version);
	writer_bytes(&writer, "\x58\x20", 2);
	writer_bytes(&writer, raw_identity.id.bytes, ID_SIZE);
	writer_bytes(&writer, "\x58\x40", 2);
	writer_bytes(&writer, signature, sizeof signature);
	writer_u8(&writer, 0x1b); /* time */
	writer_u64(&writer, UINT64_C(1790000000000000));
	writer_bytes(&writer, "\0\x66" "forged", 8); /* counter, text */
	message = message_new(content, writer_size(&writer));
	if (!message)
		raw_die("no memory");
	gossip.gossip.id = *message_id(message);
	gossip.gossip.content = content;
	gossip.gossip.size = message->size;
	gossip.gossip.scope = WIRE_SWARM;
	send_message(stream, &gossip);
	message_unref(message);
	forged++;
}

void floods_begin(uv_loop_t *loop)
{
	shuffles.send = send_shuffle;
	forgeries.send = send_forged;
	uv_timer_init(loop, &shuffles.timer);
	uv_timer_init(loop, &forgeries.timer);
	shuffles.timer.data = &shuffles;
	forgeries.timer.data = &forgeries;
}

void floods_shuffle(size_t stream, unsigned long per_second)
{
	set(&shuffles, stream, per_second);
	puts("shuffles");
}

void floods_forge(size_t stream, uint8_t of_version, unsigned long per_second)
{
	version = of_version;
	set(&forgeries, stream, per_second);
	printf("forged %u\n", forged);
}
