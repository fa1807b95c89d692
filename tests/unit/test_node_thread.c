/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two real nodes whose owners are faster or slower than they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <time.h>

#include "bridge/node.h"
#include "bridge/time.h"

#define PATIENCE (60 * S)
#define SIZE	 1000
/* Of the owner, in one of its turns. */
#define PER_TURN 20

struct player {
	struct identity identity;
	struct node *node;
	struct node_config config;
	struct address bind;
	struct node_peer peer;
	bool idle; /* its owner takes nothing */
	unsigned messages, other_messages, disordered, published;
};

static struct player players[2];
static const struct id topic = {{0x77}}, other = {{0x78}};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

static unsigned counted(struct player *player, enum counter counter)
{
	return (unsigned)counters_get(node_counters(player->node), counter);
}

static void note_message(struct player *player, const struct node_event *event)
{
	char text[SIZE + 1] = {0};

	if (!id_equal(&event->topic, &topic)) {
		player->other_messages++;
		return;
	}
	memcpy(text, event->message->content, event->message->size);
	player->disordered += strtoul(text, NULL, 10) < player->messages;
	player->messages++;
}

/* One turn of an owner's. */
static void turn(struct player *player)
{
	struct node_event event;
	unsigned count = 0;

	while (!player->idle && count++ < 500 && node_event(player->node, &event)) {
		if (event.type == NODE_MESSAGE)
			note_message(player, &event);
		node_event_clear(&event);
	}
	node_flush(player->node);
}

static void turns(void)
{
	struct timespec little = {.tv_nsec = 100000};

	turn(&players[0]);
	turn(&players[1]);
	nanosleep(&little, NULL);
}

static void give_up_on(const char *condition)
{
	for (size_t i = 0; i < 2; i++) {
		print_message("%zu: published %u, got %u\n", i, players[i].published,
			players[i].messages);
		for (enum counter counter = 0; counter < COUNTERS; counter++)
			if (counted(&players[i], counter) > 0)
				print_message("%s %u\n", counter_topic(counter),
					counted(&players[i], counter));
	}
	fail_msg("never: %s", condition);
}

#define eventually(condition) \
	do { \
		uint64_t give_up = now_ns() + PATIENCE; \
\
		for (; !(condition); turns()) \
			if (now_ns() > give_up) \
				give_up_on(#condition); \
	} while (0)

static void begin(bool waits)
{
	char reason[NODE_REASON_SIZE];
	uint8_t secret[IDENTITY_SECRET_SIZE];
	size_t count;

	memset(players, 0, sizeof players);
	for (size_t i = 0; i < 2; i++) {
		struct player *player = &players[i];

		memset(secret, (int)i + 1, sizeof secret);
		assert_int_equal(identity_from_secret(secret, &player->identity), 0);
		player->bind = (struct address){.family = 4, .ip = {127, 0, 0, 1}};
		player->config = (struct node_config){
			.identity = &player->identity,
			.network = identity_default_network,
			.binds = &player->bind,
			.binds_count = 1,
			.binds_all = true,
			.peers = &player->peer,
			.peers_count = i,
			.max_overlays = 10,
			.queue_limit = 128,
			.queue_age_ns = 30 * S,
			.cache_bytes = LIMIT_CACHE_BYTES,
			.waits = waits,
		};
		if (i > 0) {
			player->peer = (struct node_peer){
				.id = players[0].identity.id, .hosts_count = 1};
			strcpy(player->peer.hosts[0].host, "127.0.0.1");
			player->peer.hosts[0].port = players[0].bind.port;
		}
		assert_int_equal(node_start(&player->config, &player->node, reason), 0);
		player->bind = node_addresses(player->node, &count)[0];
		assert_int_equal(node_join(player->node, &topic), 0);
		assert_int_equal(node_join(player->node, &other), 0);
	}
	eventually(node_neighbours(players[0].node) == 2 && node_neighbours(players[1].node) == 2);
}

static int setup(void **state)
{
	begin(true);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		node_stop(players[i].node);
		identity_clear(&players[i].identity);
	}
	return 0;
}

/* Publishes so many in one turn, of which published counts those that are taken; returns how long it
 * took. */
static uint64_t publish(struct player *player, unsigned count)
{
	uint64_t begun = now_ns();
	char text[SIZE];
	int error;

	for (; count > 0; count--) {
		memset(text, '.', sizeof text);
		/* What both send is not the same. */
		snprintf(text, 20, "%010u %zu", player->published, (size_t)(player - players));
		error = node_publish(player->node, &topic, text, sizeof text);
		assert_true(error == ERROR_NONE || error == ERROR_FULL);
		player->published += error == ERROR_NONE;
	}
	return now_ns() - begun;
}

/* What the nodes have taken arrives. (With sanitizers, on a busy machine, they may refuse some.) */
static void both_at_once_and_nothing_is_lost(void **state)
{
	const unsigned count = 15000;

	while (players[0].published < count || players[1].published < count) {
		publish(&players[0], PER_TURN);
		publish(&players[1], PER_TURN);
		turn(&players[0]);
		turn(&players[1]);
	}
	eventually(players[0].messages == players[1].published &&
		   players[1].messages == players[0].published);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(players[i].disordered, 0);
		assert_int_equal(counted(&players[i], COUNTER_SENT), players[i].published);
		assert_int_equal(counted(&players[i], COUNTER_DROPPED_PEER_SLOW), 0);
		assert_int_equal(counted(&players[i], COUNTER_DROPPED_EVENTS), 0);
	}
}

/* The other's owner takes nothing: its node reads no more, then ours takes no more, and we wait, but
 * not for long. The other overlay goes on. */
static void an_owner_that_stands_still(void **state)
{
	uint64_t took, slowest = 0;
	unsigned arriving = 0;

	players[1].idle = true;
	for (unsigned i = 0; i < 1000 && counted(&players[1], COUNTER_UNREAD) == 0; i++) {
		took = publish(&players[0], PER_TURN);
		turn(&players[0]);
		slowest = took > slowest ? took : slowest;
	}
	assert_true(counted(&players[1], COUNTER_UNREAD) > 0);
	/* Never waits longer than LIMIT_WAIT_MOST_US; what else takes time here is the machine's. */
	assert_true(slowest < LIMIT_WAIT_MOST_US * UINT64_C(1000) + 500 * MS);
	/* A second later it is read all the same: whose owner stands still does without. */
	eventually(counted(&players[1], COUNTER_RECEIVED) == players[0].published);
	players[1].idle = false;
	eventually(counted(&players[0], COUNTER_SENT) == players[0].published);
	arriving = counted(&players[1], COUNTER_RECEIVED);
	eventually(players[1].messages + counted(&players[1], COUNTER_DROPPED_EVENTS) == arriving);
	assert_int_equal(counted(&players[0], COUNTER_DROPPED_PEER_SLOW), 0);
}

static void others_do_not_wait_behind(void **state)
{
	players[1].idle = true;
	for (unsigned i = 0; i < 500; i++) {
		publish(&players[0], PER_TURN);
		turn(&players[0]);
	}
	assert_int_equal(node_publish(players[0].node, &other, "now", 3), 0);
	players[1].idle = false;
	eventually(players[1].other_messages == 1);
	/* It has overtaken them. */
	assert_true(players[1].messages < players[0].published);
}

static void whoever_drops_does_not_wait(void **state)
{
	teardown(NULL);
	begin(false);
	players[1].idle = true;
	for (unsigned i = 0; i < 1000; i++)
		publish(&players[0], PER_TURN);
	assert_int_equal(counted(&players[0], COUNTER_SLOWED), 0);
	assert_int_equal(counted(&players[1], COUNTER_UNREAD), 0);
}

static void stopped_while_much_is_under_way(void **state)
{
	uint64_t begun;

	players[1].idle = true;
	for (unsigned i = 0; i < 500; i++)
		publish(&players[0], PER_TURN);
	begun = now_ns();
	node_stop(players[0].node);
	assert_true(now_ns() - begun < 10 * S);
	node_stop(players[1].node);
	identity_clear(&players[0].identity);
	identity_clear(&players[1].identity);
	begin(true); /* for teardown */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_at_once_and_nothing_is_lost),
		TEST(an_owner_that_stands_still),
		TEST(others_do_not_wait_behind),
		TEST(whoever_drops_does_not_wait),
		TEST(stopped_while_much_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
