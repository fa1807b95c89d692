/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One overlay's tree, message by message; whole networks are in test_gossip.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/gossip/broadcast.h"
#include "support_heap.h"

static struct core core;
static struct counters counters;
static struct broadcast broadcast;
static uint64_t now;
/* What was done since the last look, such as "gossip 2 r1, deliver 1". */
static char done[1 << 17];

static struct id id_of(size_t node)
{
	struct id id;

	memset(id.bytes, (int)node, ID_SIZE);
	return id;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	size_t size = strlen(done);
	va_list list;

	if (size) {
		strcpy(done + size, ", ");
		size += 2;
	}
	va_start(list, format);
	vsnprintf(done + size, sizeof done - size, format, list);
	va_end(list);
}

static void note_frame(const struct frame *frame, unsigned to)
{
	static uint8_t body[LIMIT_FRAME];
	struct wire_message message;
	size_t size = frame->head_size - 4;

	memcpy(body, frame->head + 4, size);
	if (frame->body) {
		memcpy(body + size, frame->body->content, frame->body->size);
		size += frame->body->size;
	}
	memcpy(body + size, frame->tail, frame->tail_size);
	size += frame->tail_size;
	assert_int_equal(wire_decode(body, size, &message), 0);
	assert_int_equal(frame->droppable, message.type == WIRE_GOSSIP);
	if (message.type == WIRE_GOSSIP)
		note("gossip %u r%u", to, message.gossip.round);
	else if (message.type == WIRE_PRUNE)
		note("prune %u", to);
	else if (message.type == WIRE_GRAFT)
		note("graft %u%s r%u", to, message.graft.has_id ? " id" : "", message.graft.round);
	else if (message.type == WIRE_IHAVE)
		note("ihave %u x%zu r%u", to, message.ihave.count, message.ihave.items[0].round);
	else
		fail();
}

static void assert_done(const char *expected)
{
	struct gossip_effect effect;

	assert_int_equal(effects_take_error(&core.effects), 0);
	while (effects_take(&core.effects, &effect)) {
		if (effect.type == GOSSIP_SEND)
			note_frame(effect.frame, effect.peer.bytes[0]);
		else if (effect.type == GOSSIP_DELIVER)
			note("deliver %u", effect.peer.bytes[0]);
		else
			fail();
		frame_free(effect.frame);
		message_unref(effect.message);
	}
	if (expected)
		assert_string_equal(done, expected);
	done[0] = '\0';
}

static int setup(void **state)
{
	struct id topic = id_of(200);

	heap_begin();
	memset(&core, 0, sizeof core);
	memset(&counters, 0, sizeof counters);
	core.counters = &counters;
	core.me = id_of(0);
	now = 1000 * MS;
	done[0] = '\0';
	assert_int_equal(effects_init(&core.effects, &counters), 0);
	contents_init(&core.contents, 1u << 20, &counters);
	census_init(&core.census, LIMIT_RECEIVED_IDS);
	broadcast_init(&broadcast, &core, &topic);
	for (size_t i = 1; i <= 3; i++) {
		struct id peer = id_of(i);

		broadcast_neighbour_up(&broadcast, &peer);
	}
	return 0;
}

static int teardown(void **state)
{
	broadcast_clear(&broadcast);
	assert_int_equal(core.missing, 0);
	assert_int_equal(core.lazy, 0);
	effects_clear(&core.effects);
	heap_end();
	return 0;
}

static struct id id_of_content(const char *content)
{
	struct message *message = message_new(content, strlen(content));
	struct id id = *message_id(message);

	message_unref(message);
	return id;
}

static void receive(size_t from, const struct wire_message *message)
{
	struct id id = id_of(from);

	broadcast_receive(&broadcast, now, &id, message);
}

static void receive_gossip(size_t from, const char *content, uint16_t round)
{
	struct wire_message message;

	message.type = WIRE_GOSSIP;
	message.gossip.id = id_of_content(content);
	message.gossip.content = (const uint8_t *)content;
	message.gossip.size = strlen(content);
	message.gossip.scope = WIRE_SWARM;
	message.gossip.round = round;
	receive(from, &message);
}

static void receive_ihave(size_t from, const char *content, uint16_t round)
{
	struct wire_message message;

	message.type = WIRE_IHAVE;
	message.ihave.count = 1;
	message.ihave.items[0] = (struct wire_ihave){id_of_content(content), round};
	receive(from, &message);
}

static void receive_prune(size_t from)
{
	struct wire_message message;

	message.type = WIRE_PRUNE;
	receive(from, &message);
}

static void receive_graft(size_t from, const char *content)
{
	struct wire_message message;

	message.type = WIRE_GRAFT;
	message.graft.has_id = content != NULL;
	if (content)
		message.graft.id = id_of_content(content);
	message.graft.round = 0;
	receive(from, &message);
}

static int publish(const char *content, size_t *neighbours)
{
	struct message *message = message_new(content, strlen(content));
	int error = broadcast_publish(&broadcast, now, message, neighbours);

	message_unref(message);
	return error;
}

static void tick(uint64_t after)
{
	now += after;
	do
		broadcast_tick(&broadcast, now);
	while (broadcast_deadline(&broadcast) <= now);
}

static void what_is_new_goes_on(void **state)
{
	receive_gossip(1, "a", 4);
	assert_done("gossip 2 r5, gossip 3 r5, deliver 1");
	/* Again: its sender is no part of the tree. */
	receive_gossip(2, "a", 4);
	assert_done("prune 2");
	receive_gossip(1, "b", UINT16_MAX);
	assert_done("gossip 3 r65535, deliver 1");
	tick(5 * MS);
	assert_done("ihave 2 x1 r65535");
	assert_true(broadcast_deadline(&broadcast) == 1000 * MS + CACHE_ID_NS + CACHE_EVICT_NS);
}

static void strangers_are_answered_but_not_kept(void **state)
{
	receive_gossip(9, "a", 0);
	assert_done("gossip 1 r1, gossip 2 r1, gossip 3 r1, deliver 9");
	receive_gossip(9, "a", 0);
	assert_done("prune 9");
	receive_graft(9, "a");
	assert_done("gossip 9 r1");
	receive_ihave(9, "b", 0);
	tick(80 * MS);
	assert_done("");
	assert_int_equal(publish("c", NULL), 0);
	assert_done("gossip 1 r0, gossip 2 r0, gossip 3 r0");
}

static void lazy_neighbours_get_announcements(void **state)
{
	size_t neighbours;

	receive_prune(1);
	receive_prune(3);
	assert_int_equal(publish("a", &neighbours), 0);
	assert_int_equal(neighbours, 1);
	assert_int_equal(publish("b", NULL), 0);
	assert_done("gossip 2 r0, gossip 2 r0");
	assert_true(broadcast_deadline(&broadcast) == now + 5 * MS);
	tick(5 * MS);
	assert_done("ihave 1 x2 r0, ihave 3 x2 r0");
	receive_graft(3, "a");
	assert_done("gossip 3 r0");
	receive_graft(1, "unknown");
	assert_done("");
	assert_int_equal(publish("c", &neighbours), 0);
	assert_int_equal(neighbours, 3);
	assert_done("gossip 1 r0, gossip 2 r0, gossip 3 r0");
}

static void announcements_are_cut_into_frames(void **state)
{
	char expected[256] = "";
	char content[16];

	for (size_t i = 0; i < 3; i++)
		broadcast.neighbours[i].eager = false;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(content, sizeof content, "%u", i);
		assert_int_equal(publish(content, NULL), 0);
	}
	tick(5 * MS);
	for (unsigned peer = 1; peer <= 3; peer++)
		snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
			"%sihave %u x116 r0, ihave %u x116 r0, ihave %u x68 r0",
			peer > 1 ? ", " : "", peer, peer, peer);
	assert_done(expected);
	/* And no more than so many wait. */
	for (unsigned i = 0; i < LIMIT_LAZY_QUEUE + 10; i++) {
		snprintf(content, sizeof content, "x%u", i);
		assert_int_equal(publish(content, NULL), 0);
	}
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_LAZY_QUEUE), 30);
	tick(5 * MS);
	assert_done(NULL);
}

static void what_a_slow_neighbour_is_not_sent_is_announced(void **state)
{
	struct id one = id_of(1), nine = id_of(9), id = id_of_content("a"), unknown = id_of(100);

	receive_gossip(2, "a", 0);
	assert_done(NULL);
	broadcast_refused(&broadcast, now, &one, &id);
	broadcast_refused(&broadcast, now, &one, &unknown);
	broadcast_refused(&broadcast, now, &nine, &id);
	tick(5 * MS);
	assert_done("ihave 1 x1 r1");
	/* It is an eager one still. */
	receive_gossip(2, "b", 0);
	assert_done("gossip 1 r1, gossip 3 r1, deliver 2");
}

static void what_does_not_come_is_asked_for(void **state)
{
	receive_prune(2);
	receive_ihave(2, "a", 7);
	receive_ihave(3, "a", 8);
	receive_ihave(3, "a", 8);
	assert_true(broadcast_deadline(&broadcast) == now + 80 * MS);
	tick(79 * MS);
	assert_done("");
	tick(1 * MS);
	assert_done("graft 2 id r7");
	/* The next who has it is asked when the first has had time to answer, each once. */
	assert_true(broadcast_deadline(&broadcast) == now + 80 * MS);
	tick(80 * MS);
	assert_done("graft 3 id r8");
	tick(80 * MS);
	assert_done("");
	assert_true(broadcast_deadline(&broadcast) == UINT64_MAX);
	/* Who was asked is in the tree from now on. */
	receive_gossip(1, "b", 0);
	assert_done("gossip 2 r1, gossip 3 r1, deliver 1");
}

static void what_comes_in_time_is_not_asked_for(void **state)
{
	receive_ihave(2, "a", 0);
	tick(9 * MS);
	receive_gossip(1, "a", 0);
	assert_done("gossip 3 r1, deliver 1");
	tick(71 * MS);
	assert_done("");
	receive_ihave(2, "a", 0);
	tick(80 * MS);
	assert_done("");
	/* What we publish ourselves neither. */
	receive_ihave(3, "b", 0);
	assert_int_equal(publish("b", NULL), 0);
	assert_done("gossip 1 r0, gossip 3 r0");
	tick(80 * MS);
	assert_done("ihave 2 x1 r0");
}

static void who_has_gone_is_not_asked(void **state)
{
	struct id two = id_of(2);

	receive_ihave(2, "a", 0);
	receive_ihave(2, "b", 0);
	receive_ihave(3, "b", 5);
	broadcast_neighbour_down(&broadcast, &two);
	tick(80 * MS);
	assert_done("graft 3 id r5");
	tick(80 * MS);
	assert_done("");
	assert_true(broadcast_deadline(&broadcast) == UINT64_MAX);
}

static void who_has_announced_it_is_not_sent_it(void **state)
{
	receive_ihave(2, "a", 0);
	receive_gossip(1, "a", 0);
	/* Neither the message nor an announcement; and what is next is only announced. */
	assert_done("gossip 3 r1, deliver 1");
	tick(5 * MS);
	assert_done("");
	receive_gossip(1, "b", 0);
	assert_done("gossip 3 r1, deliver 1");
	tick(5 * MS);
	assert_done("ihave 2 x1 r1");
}

static void the_faster_takes_the_place_of_the_slower(void **state)
{
	receive_prune(2);
	receive_ihave(2, "a", 3);
	tick(10 * MS);
	receive_gossip(1, "a", 0);
	assert_done("gossip 3 r1, graft 2 r3, prune 1, deliver 1");
	receive_gossip(2, "b", 0);
	assert_done("gossip 3 r1, deliver 2");
	tick(5 * MS);
	assert_done("ihave 1 x1 r1");
	/* Not when the last change may not have taken effect yet. */
	receive_ihave(1, "c", 0);
	tick(70 * MS);
	receive_gossip(2, "c", 0);
	assert_done("gossip 3 r1, deliver 2");
	tick(25 * MS);
	/* A little earlier is no reason. */
	receive_ihave(1, "d", 0);
	tick(9 * MS);
	receive_gossip(2, "d", 0);
	assert_done("gossip 3 r1, deliver 2");
	receive_ihave(1, "e", 0);
	tick(10 * MS);
	receive_gossip(2, "e", 0);
	assert_done("gossip 3 r1, graft 1 r0, prune 2, deliver 2");
}

static void who_was_asked_is_kept_when_another_brings_it(void **state)
{
	receive_prune(2);
	receive_ihave(2, "a", 3);
	receive_ihave(3, "a", 3);
	tick(80 * MS);
	assert_done("graft 2 id r3");
	receive_gossip(1, "a", 0);
	assert_done("prune 1, deliver 1");
	/* This copy was asked for, a second one was not. */
	receive_gossip(2, "a", 3);
	assert_done("");
	assert_int_equal(publish("b", NULL), 0);
	assert_done("gossip 2 r0");
	receive_graft(3, NULL);
	receive_gossip(2, "a", 3);
	assert_done("prune 2");
}

/* Whoever answers is not weighed against others that have announced it. */
static void an_answer_changes_nothing(void **state)
{
	receive_prune(2);
	receive_prune(3);
	receive_ihave(2, "a", 3);
	receive_ihave(3, "a", 3);
	tick(80 * MS);
	assert_done("graft 2 id r3");
	tick(60 * MS);
	receive_gossip(2, "a", 3);
	assert_done("gossip 1 r4, deliver 2");
	assert_int_equal(publish("b", NULL), 0);
	assert_done("gossip 1 r0, gossip 2 r0");
}

/* Brings so many new messages as make a burst, 5 ms ago. */
static void bring_burst(size_t from)
{
	static unsigned number;
	char content[16];

	for (unsigned i = 0; i < 256; i++) {
		snprintf(content, sizeof content, "burst %u", number++);
		receive_gossip(from, content, 0);
	}
	tick(5 * MS);
	assert_done(NULL);
}

/* Brings a new message, and a copy of it. */
static void bring_twice(size_t from, const char *content, size_t copy_from, const char *expected)
{
	receive_gossip(from, content, 0);
	assert_done(NULL);
	receive_gossip(copy_from, content, 0);
	assert_done(expected);
}

/* Else all that follows would have to be asked for. */
static void in_a_burst_the_last_who_pushes_stays(void **state)
{
	bring_burst(1);
	bring_twice(1, "a", 2, "prune 2");
	receive_gossip(3, "a", 0);
	assert_done("prune 3");
	/* Now one of the others was faster for once. */
	receive_gossip(2, "b", 0);
	assert_done("gossip 1 r1, deliver 2");
	receive_gossip(1, "b", 0);
	assert_done("");
	/* Or the last one has the messages from elsewhere: it may push all the same. */
	receive_prune(1);
	assert_done("graft 1 r0");
	assert_int_equal(publish("c", NULL), 0);
	tick(5 * MS);
	assert_done("gossip 1 r0, ihave 2 x1 r0, ihave 3 x2 r1");
	/* It is over. */
	tick(1000 * MS);
	bring_twice(2, "d", 1, "prune 1");
	receive_graft(1, NULL);
	receive_prune(1);
	assert_done("");
}

/* It has us for eager although we have announced something to it. */
static void in_a_burst_who_pushes_for_longer_is_pushed_to(void **state)
{
	bring_burst(1);
	bring_twice(1, "a", 2, "prune 2");
	tick(99 * MS); /* what was under way */
	receive_gossip(2, "b", 0);
	assert_int_equal(publish("c", NULL), 0);
	assert_done("gossip 1 r1, gossip 3 r1, deliver 2, gossip 1 r0, gossip 3 r0");
	tick(6 * MS);
	assert_done("ihave 2 x1 r0");
	receive_gossip(2, "d", 0);
	assert_int_equal(publish("e", NULL), 0);
	assert_done("gossip 1 r1, gossip 3 r1, deliver 2, gossip 1 r0, gossip 2 r0, gossip 3 r0");
}

static void in_a_burst_copies_under_way_prune_nobody(void **state)
{
	bring_burst(1);
	bring_twice(1, "a", 2, "prune 2"); /* as it began as an eager one */
	receive_graft(2, NULL);
	tick(900 * MS);
	bring_burst(1);
	tick(94 * MS);
	bring_twice(1, "b", 2, "");
	tick(1 * MS);
	bring_twice(1, "c", 2, "prune 2");
	/* It is over. */
	tick(1000 * MS);
	receive_graft(2, NULL);
	bring_twice(1, "d", 2, "prune 2");
}

static void in_a_burst_who_announces_first_need_not_be_faster(void **state)
{
	receive_prune(2);
	bring_burst(1);
	receive_ihave(2, "a", 3);
	tick(10 * MS);
	receive_gossip(1, "a", 0);
	assert_done("gossip 3 r1, deliver 1");
	tick(1000 * MS);
	assert_done(NULL);
	receive_ihave(2, "b", 3);
	tick(10 * MS);
	receive_gossip(1, "b", 0);
	assert_done("gossip 3 r1, graft 2 r3, prune 1, deliver 1");
}

static void in_a_burst_what_is_on_its_way_is_not_asked_for(void **state)
{
	struct id three = id_of(3);

	broadcast_neighbour_down(&broadcast, &three);
	receive_prune(2);
	bring_burst(1);
	receive_ihave(2, "a", 0);
	tick(1 * MS);
	receive_ihave(2, "b", 0);
	tick(1 * MS);
	receive_ihave(2, "c", 0);
	tick(1 * MS);
	receive_ihave(2, "d", 0);
	assert_done(NULL);
	/* The pushes get on, and have not come to the others. */
	tick(70 * MS);
	receive_gossip(1, "a", 0);
	assert_done("deliver 1");
	tick(249 * MS);
	assert_done("");
	/* They have left one out: it is asked for. */
	receive_gossip(1, "c", 0);
	assert_done("deliver 1");
	tick(0);
	assert_done("graft 2 id r0");
	tick(79 * MS);
	assert_done("");
	/* They stand still: the first of what is missing makes somebody else push. */
	tick(170 * MS);
	assert_done("");
	tick(1 * MS);
	assert_done("graft 2 id r0");
}

/* A slot that has another neighbour now has not been asked. */
static void who_was_asked_and_has_gone_is_forgotten(void **state)
{
	struct id two = id_of(2), four = id_of(4);

	receive_ihave(2, "a", 3);
	receive_ihave(3, "a", 3);
	tick(80 * MS);
	assert_done("graft 2 id r3");
	broadcast_neighbour_down(&broadcast, &two);
	broadcast_neighbour_up(&broadcast, &four);
	receive_gossip(1, "a", 0);
	assert_done("gossip 4 r1, graft 3 r3, prune 1, deliver 1");
}

static void the_fifth_is_lazy_at_first(void **state)
{
	struct id one = id_of(1), four = id_of(4), five = id_of(5), six = id_of(6);

	broadcast_neighbour_up(&broadcast, &four);
	broadcast_neighbour_up(&broadcast, &five);
	assert_int_equal(publish("a", NULL), 0);
	tick(5 * MS);
	assert_done("gossip 1 r0, gossip 2 r0, gossip 3 r0, gossip 4 r0, ihave 5 x1 r0");
	/* Four are eager as long as nobody has anything against it. */
	broadcast_neighbour_down(&broadcast, &one);
	broadcast_neighbour_up(&broadcast, &six);
	assert_int_equal(publish("b", NULL), 0);
	tick(5 * MS);
	assert_done("gossip 6 r0, gossip 2 r0, gossip 3 r0, gossip 4 r0, ihave 5 x1 r0");
}

static void the_nearer_takes_the_place_of_the_farther(void **state)
{
	receive_prune(2);
	receive_ihave(2, "a", 3);
	receive_gossip(1, "a", 8);
	assert_done("gossip 3 r9, deliver 1");
	/* 3 and 10 are seven hops apart. */
	receive_ihave(2, "b", 3);
	receive_gossip(1, "b", 9);
	assert_done("gossip 3 r10, graft 2 r3, prune 1, deliver 1");
	assert_int_equal(publish("c", NULL), 0);
	assert_done("gossip 2 r0, gossip 3 r0");
}

static void a_false_id_is_counted_and_nothing_else(void **state)
{
	struct wire_message message;

	message.type = WIRE_GOSSIP;
	message.gossip.id = id_of_content("true");
	message.gossip.content = (const uint8_t *)"false";
	message.gossip.size = 5;
	message.gossip.scope = WIRE_SWARM;
	message.gossip.round = 0;
	receive(1, &message);
	assert_done("");
	assert_int_equal(counters_get(&counters, COUNTER_BAD_ID), 1);
	receive_gossip(1, "true", 0);
	assert_done("gossip 2 r1, gossip 3 r1, deliver 1");
}

static void the_message_is_shared(void **state)
{
	struct message *message = message_new("a", 1);
	struct gossip_effect effect;

	assert_int_equal(broadcast_publish(&broadcast, now, message, NULL), 0);
	/* Ours, three frames and the cache. */
	assert_int_equal(message->references, 5);
	while (effects_take(&core.effects, &effect)) {
		assert_ptr_equal(effect.frame->body, message);
		frame_free(effect.frame);
	}
	contents_evict(&core.contents, now + CACHE_CONTENT_NS);
	assert_int_equal(message->references, 1);
	message_unref(message);
}

static void what_is_missing_is_bounded(void **state)
{
	struct wire_message message;
	struct id one = id_of(1);

	message.type = WIRE_IHAVE;
	message.ihave.count = 1;
	message.ihave.items[0].round = 0;
	for (unsigned i = 0; i < LIMIT_MISSING_IN_ALL / 2 + 100; i++) {
		memcpy(message.ihave.items[0].id.bytes, &i, sizeof i);
		receive(1, &message);
	}
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_MISSING), 100);
	core.missing += LIMIT_MISSING_IN_ALL / 2; /* other overlays have so many */
	memset(message.ihave.items[0].id.bytes, 0xff, ID_SIZE);
	receive(1, &message);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_MISSING), 101);
	core.missing -= LIMIT_MISSING_IN_ALL / 2;
	broadcast_neighbour_down(&broadcast, &one);
	assert_true(broadcast_deadline(&broadcast) == UINT64_MAX);
}

/* However many overlays there are. */
static void what_is_missing_is_bounded_in_sum(void **state)
{
	const uint32_t overlays = LIMIT_MISSING_IN_ALL / 1000 + 1;
	struct broadcast *others = calloc(overlays, sizeof *others);
	struct id topic = id_of(201), peer = id_of(1);
	static struct wire_message message;

	assert_non_null(others);
	message.type = WIRE_IHAVE;
	message.ihave.count = 1;
	for (uint32_t i = 0; i < overlays; i++) {
		broadcast_init(&others[i], &core, &topic);
		broadcast_neighbour_up(&others[i], &peer);
		for (uint32_t j = 0; j < 1000; j++) {
			memcpy(message.ihave.items[0].id.bytes, &j, sizeof j);
			broadcast_receive(&others[i], now, &peer, &message);
		}
	}
	assert_int_equal(core.missing, LIMIT_MISSING_IN_ALL);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_MISSING),
		overlays * 1000 - LIMIT_MISSING_IN_ALL);
	/* There is room again when one of them is left. */
	broadcast_clear(&others[0]);
	receive_ihave(1, "a", 0);
	assert_int_equal(core.missing, LIMIT_MISSING_IN_ALL - 1000 + 1);
	for (uint32_t i = 1; i < overlays; i++)
		broadcast_clear(&others[i]);
	free(others);
}

static void announcements_are_bounded_in_sum(void **state)
{
	const uint32_t overlays = LIMIT_LAZY_QUEUE_IN_ALL / LIMIT_LAZY_QUEUE;
	struct broadcast *others = calloc(overlays, sizeof *others);
	struct id topic = id_of(201), peer = id_of(1);
	uint32_t number = 0;

	assert_non_null(others);
	for (uint32_t i = 0; i < overlays; i++) {
		broadcast_init(&others[i], &core, &topic);
		broadcast_neighbour_up(&others[i], &peer);
		others[i].neighbours[0].eager = false;
		for (size_t j = 0; j < LIMIT_LAZY_QUEUE; j++, number++) {
			struct message *message = message_new(&number, sizeof number);

			assert_int_equal(broadcast_publish(&others[i], now, message, NULL), 0);
			message_unref(message);
		}
	}
	assert_int_equal(core.lazy, LIMIT_LAZY_QUEUE_IN_ALL);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_LAZY_QUEUE), 0);
	receive_prune(1);
	assert_int_equal(publish("a", NULL), 0);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_LAZY_QUEUE), 1);
	/* A dispatch makes room, and so does a neighbour that goes. */
	broadcast_tick(&others[0], now + 5 * MS);
	broadcast_neighbour_down(&others[1], &peer);
	assert_int_equal(core.lazy, LIMIT_LAZY_QUEUE_IN_ALL - 2 * LIMIT_LAZY_QUEUE);
	assert_int_equal(publish("b", NULL), 0);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_LAZY_QUEUE), 1);
	assert_done(NULL);
	for (uint32_t i = 0; i < overlays; i++)
		broadcast_clear(&others[i]);
	free(others);
}

/* Asks for what is missing, and returns for how many. */
static size_t count_grafts(void)
{
	struct gossip_effect effect;
	size_t count = 0;

	broadcast_tick(&broadcast, now);
	while (effects_take(&core.effects, &effect)) {
		assert_int_equal(effect.type, GOSSIP_SEND);
		frame_free(effect.frame);
		count++;
	}
	return count;
}

/* However much is missing at once: a bit of it at a time, and at once all the same. */
static void much_is_asked_for_bit_by_bit(void **state)
{
	static struct wire_message message;
	size_t n = 1000, asked = 0, ticks = 0;

	message.type = WIRE_IHAVE;
	for (size_t i = 0; i < n; i++) {
		message.ihave.count = 1;
		message.ihave.items[0] = (struct wire_ihave){.round = 1};
		memcpy(message.ihave.items[0].id.bytes, &i, sizeof i);
		receive(1, &message);
		receive(2, &message);
	}
	now += 80 * MS;
	for (; broadcast_deadline(&broadcast) <= now; ticks++) {
		size_t count = count_grafts();

		assert_true(count > 0 && count <= n / 3);
		asked += count;
	}
	assert_int_equal(asked, n);
	assert_true(ticks > 3);
	/* The others who have it are asked as well, and then nobody is left. */
	now += 80 * MS;
	for (asked = 0; broadcast_deadline(&broadcast) <= now;)
		asked += count_grafts();
	assert_int_equal(asked, n);
	now += 80 * MS;
	while (broadcast_deadline(&broadcast) <= now)
		assert_int_equal(count_grafts(), 0);
	assert_null(broadcast.missing.by_id);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(much_is_asked_for_bit_by_bit),
		TEST(what_is_new_goes_on),
		TEST(strangers_are_answered_but_not_kept),
		TEST(lazy_neighbours_get_announcements),
		TEST(announcements_are_cut_into_frames),
		TEST(what_a_slow_neighbour_is_not_sent_is_announced),
		TEST(what_does_not_come_is_asked_for),
		TEST(what_comes_in_time_is_not_asked_for),
		TEST(who_has_gone_is_not_asked),
		TEST(who_has_announced_it_is_not_sent_it),
		TEST(the_nearer_takes_the_place_of_the_farther),
		TEST(the_faster_takes_the_place_of_the_slower),
		TEST(who_was_asked_is_kept_when_another_brings_it),
		TEST(an_answer_changes_nothing),
		TEST(in_a_burst_the_last_who_pushes_stays),
		TEST(in_a_burst_who_pushes_for_longer_is_pushed_to),
		TEST(in_a_burst_copies_under_way_prune_nobody),
		TEST(in_a_burst_who_announces_first_need_not_be_faster),
		TEST(in_a_burst_what_is_on_its_way_is_not_asked_for),
		TEST(who_was_asked_and_has_gone_is_forgotten),
		TEST(the_fifth_is_lazy_at_first),
		TEST(a_false_id_is_counted_and_nothing_else),
		TEST(the_message_is_shared),
		TEST(what_is_missing_is_bounded),
		TEST(what_is_missing_is_bounded_in_sum),
		TEST(announcements_are_bounded_in_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
