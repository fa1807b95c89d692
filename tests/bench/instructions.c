/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fixed scripts whose instructions are counted (instructions.py, under callgrind): what a message
 * passes through, without input and output, the same in each run.
 *
 *   codec   payloads to bodies of signed messages and back, in all four codecs
 *   gossip  three whole nodes in the simulated world: messages from one to the two others
 *   queues  topic names, the mailbox between the threads, messages that wait, deadlines, and the
 *           tables that are keyed
 *
 * usage: instructions <part>. What belongs to a part is counted within its script_<part>.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bridge/keyed.h"
#include "../../bridge/limits.h"
#include "../../bridge/mailbox.h"
#include "../../bridge/memory.h"
#include "../../bridge/timers.h"
#include "../../bridge/waiting.h"
#include "../../plugin/codecs/codec.h"
#include "../../plugin/topic.h"
#include "../simulation/support_world.h"

#define ROUNDS	 500
#define MESSAGES 1000
#define AT_ONCE	 50

#define SCRIPT __attribute__((noinline, used)) static

static void require(bool met, const char *what)
{
	if (met)
		return;
	fprintf(stderr, "instructions: %s\n", what);
	exit(1);
}

/* ---- codec ---- */

static void round_trip(enum codec codec, const char *payload, size_t size)
{
	const struct codec_options options = {0};
	uint8_t body[LIMIT_SIGNED_BODY];
	char reason[CODEC_REASON_SIZE], *back;
	size_t body_size, back_size;

	require(codec_encode(codec, &options, payload, size, body, sizeof body, &body_size,
			reason) == 0,
		"a payload is refused");
	require(codec_decode(codec, body, body_size, &back, &back_size) == 0 && back_size == size &&
			memcmp(back, payload, size) == 0,
		"a payload is not as it was");
	memory_free(back);
}

SCRIPT void script_codec(void)
{
	static const char json[] =
		"{\"a\":[1,2.5,-3,true,null],\"name\":\"B\xc3\xbcro\",\"state\":{\"on\":false,"
		"\"power\":12.25,\"since\":1764460800}}";
	static const char cbor[] = "\xa2\x61"
				   "a\x01\x61"
				   "b\x83\x01\xf5\x63xyz";
	static const char text[] = "the quick brown fox jumps over the lazy dog, and over \xe2\x82\xac";

	for (unsigned i = 0; i < ROUNDS; i++) {
		round_trip(CODEC_JSON, json, sizeof json - 1);
		round_trip(CODEC_TEXT, text, sizeof text - 1);
		round_trip(CODEC_BYTES, text, sizeof text - 1);
		round_trip(CODEC_CBOR, cbor, sizeof cbor - 1);
	}
}

/* ---- gossip ---- */

static struct world *make_world(void)
{
	struct world_config config = {.nodes = 3,
		.topics = 1,
		.seed = 1,
		.least_latency = WORLD_MS,
		.most_latency = WORLD_MS};
	struct world *world = world_new(&config);

	for (size_t i = 0; i < 3; i++) {
		world_peer(world, i, (i + 1) % 3);
		world_start(world, i);
		world_join(world, i, 0);
	}
	world_run(world, 30 * WORLD_S);
	require(world_largest_part(world, 0) == 3, "the nodes have not come together");
	return world;
}

SCRIPT void script_gossip(struct world *world)
{
	size_t last = 0;

	for (unsigned i = 0; i < MESSAGES; i += AT_ONCE) {
		for (unsigned j = 0; j < AT_ONCE; j++)
			last = world_publish(world, 0, 0);
		world_run(world, 10 * WORLD_MS);
	}
	require(world_reached(world, last) == 3, "a message is lost");
}

/* ---- queues ---- */

struct item {
	struct mail mail; /* first */
	struct timer timer;
	uint8_t id[ID_SIZE];
	UT_hash_handle hh;
};

static void through_mailbox(struct mailbox *mailbox, struct item *items)
{
	bool wake;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		items[i].mail.bytes = 200;
		require(mailbox_push(mailbox, &items[i].mail, false, &wake) == 0, "a full mailbox");
	}
	for (unsigned i = 0; i < AT_ONCE; i++)
		require(mailbox_pop(mailbox) == &items[i].mail, "another mail");
	require(!mailbox_pop(mailbox), "one mail too many");
}

static void through_waiting(struct waiting_room *room, unsigned now)
{
	static const char content[200];
	struct waiting waiting = {0};
	struct message *message;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		message = message_new(content, sizeof content);
		require(message && waiting_push(room, &waiting, now, message) == 0, "no room");
		message_unref(message);
	}
	waiting_expire(room, &waiting, now + 1);
	while ((message = waiting_pop(room, &waiting)))
		message_unref(message);
}

static void through_timers(struct timers *timers, struct item *items, unsigned now)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		timers_set(timers, &items[i].timer, now + i * 7 % AT_ONCE);
	for (struct timer *timer; (timer = timers_first(timers));)
		timers_set(timers, timer, TIMER_NEVER);
}

static void through_table(const struct keyed *keyed, struct item *items, unsigned now)
{
	struct item *table = NULL, *found;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		memcpy(items[i].id, &now, sizeof now);
		items[i].id[8] = (uint8_t)i;
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, items[i].id, ID_SIZE,
			keyed_hash(keyed, items[i].id, ID_SIZE), &items[i]);
	}
	for (unsigned i = 0; i < AT_ONCE; i++) {
		HASH_FIND_BYHASHVALUE(hh, table, items[i].id, ID_SIZE,
			keyed_hash(keyed, items[i].id, ID_SIZE), found);
		require(found == &items[i], "another item");
	}
	HASH_CLEAR(hh, table);
}

static void through_topics(unsigned now)
{
	char text[TOPIC_SIZE];
	struct topic topic;
	struct id id = {{(uint8_t)now, (uint8_t)(now >> 8)}};

	topic_text(&id, NULL, 0, now % 2 ? VIEW_JSON : VIEW_RAW, text);
	require(topic_parse(text, &topic) == TOPIC_OVERLAY && id_equal(&topic.overlay, &id),
		"another topic");
}

SCRIPT void script_queues(struct item *items)
{
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct counters counters = {0};
	struct waiting_room room = {.limit = LIMIT_WAITING,
		.age_ns = UINT64_C(30000000000),
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = &counters};
	struct timers timers = {0};
	struct mailbox mailbox;
	struct keyed keyed;

	keyed_init(&keyed, &random);
	require(mailbox_init(&mailbox, AT_ONCE, 1 << 20) == 0 && timers_reserve(&timers, AT_ONCE) == 0,
		"no memory");
	for (unsigned now = 0; now < ROUNDS; now++) {
		through_topics(now);
		through_mailbox(&mailbox, items);
		through_waiting(&room, now);
		through_timers(&timers, items, now);
		through_table(&keyed, items, now);
	}
	timers_clear(&timers);
	mailbox_destroy(&mailbox);
}

int main(int argc, char **argv)
{
	static struct item items[AT_ONCE];
	const char *part = argc == 2 ? argv[1] : "";
	struct world *world;

	if (strcmp(part, "codec") == 0) {
		script_codec();
	} else if (strcmp(part, "gossip") == 0) {
		world = make_world();
		script_gossip(world);
		world_free(world);
	} else if (strcmp(part, "queues") == 0) {
		script_queues(items);
	} else {
		fprintf(stderr, "usage: instructions codec|gossip|queues\n");
		return 2;
	}
	return 0;
}
