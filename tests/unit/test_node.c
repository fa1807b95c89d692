/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Real nodes in one process, over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bridge/memory.h"
#include "bridge/node.h"

#define S	UINT64_C(1000000000)
#define MS	(S / 1000)
#define PLAYERS 3
/* Generous: sanitizers are slow and the machine may be busy. */
#define PATIENCE (20 * S)
/* node_stop takes at most LIMIT_FAREWELL_MS and a little. */
#define STOP_MOST (1500 * MS)

/* A node with its owner. */
struct player {
	struct identity identity;
	struct node *node;
	struct node_config config;
	struct address bind;
	struct node_peer peer;
	/* What its events have said. */
	unsigned joined, ups, downs, left, logs;
	uint64_t dropped[COUNTERS]; /* as the events said */
	unsigned messages, out_of_order;
	unsigned next_number; /* content is "<number>" */
	char last[LIMIT_CONTENT + 1];
	size_t last_size;
	struct id last_peer, last_topic;
	char log[8192];
	struct picture *picture; /* the last one */
};

static struct player players[PLAYERS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static unsigned rings;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

/* What all threads have had of the processors. */
static uint64_t process_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * S + (uint64_t)used.tv_nsec;
}

static void on_wake(void *context)
{
	pthread_mutex_lock(&lock);
	rings++;
	pthread_cond_broadcast(&bell);
	pthread_mutex_unlock(&lock);
}

static struct id topic_id(uint8_t topic)
{
	struct id id;

	memset(id.bytes, topic, ID_SIZE);
	return id;
}

static const struct id topic = {{0x77}};

static int setup(void **state)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];

	memset(players, 0, sizeof players);
	for (size_t i = 0; i < PLAYERS; i++) {
		memset(secret, (int)i + 1, sizeof secret);
		assert_int_equal(identity_from_secret(secret, &players[i].identity), 0);
		players[i].bind = (struct address){.family = 4, .ip = {127, 0, 0, 1}};
		players[i].config = (struct node_config){
			.identity = &players[i].identity,
			.network = identity_default_network,
			.binds = &players[i].bind,
			.binds_count = 1,
			.binds_all = true,
			.peers = &players[i].peer,
			.max_overlays = 10,
			.queue_limit = 128,
			.queue_age_ns = 30 * S,
			.cache_bytes = LIMIT_CACHE_BYTES,
			.wake = on_wake,
		};
	}
	return 0;
}

/* Stops within its time. */
static void stop_node(struct player *player)
{
	uint64_t begun = now_ns();

	node_stop(player->node);
	assert_true(now_ns() - begun < STOP_MOST);
	player->node = NULL;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < PLAYERS; i++) {
		if (players[i].node)
			stop_node(&players[i]);
		picture_free(players[i].picture);
		identity_clear(&players[i].identity);
	}
	return 0;
}

static void start(struct player *player)
{
	char reason[NODE_REASON_SIZE];
	size_t count;

	if (node_start(&player->config, &player->node, reason))
		fail_msg("%s", reason);
	/* It keeps its port if it is started again. */
	player->bind = node_addresses(player->node, &count)[0];
	assert_int_equal(count, player->config.binds_count);
	assert_true(player->bind.port > 0);
}

static void set_peer(struct player *player, const struct id *id, const struct address *address)
{
	player->peer = (struct node_peer){.id = *id, .hosts_count = 1};
	inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->ip,
		player->peer.hosts[0].host, NODE_HOST_SIZE);
	player->peer.hosts[0].port = address->port;
	player->config.peers_count = 1;
}

/* Starts players one after the other; each knows the first. */
static void start_all(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			set_peer(&players[i], &players[0].identity.id, &players[0].bind);
		start(&players[i]);
	}
}

static void note_message(struct player *player, const struct node_event *event)
{
	struct message *message = event->message;

	assert_non_null(message);
	assert_true(message->size <= LIMIT_CONTENT);
	memcpy(player->last, message->content, message->size);
	player->last[message->size] = 0;
	player->last_size = message->size;
	player->last_peer = event->peer;
	player->last_topic = event->topic;
	player->out_of_order += strtoul(player->last, NULL, 10) != player->next_number++;
	player->messages++;
}

static void drain(struct player *player)
{
	struct node_event event;
	size_t used;

	while (player->node && node_event(player->node, &event)) {
		switch (event.type) {
		case NODE_JOINED:
			player->joined++;
			break;
		case NODE_NEIGHBOUR_UP:
			player->ups++;
			break;
		case NODE_NEIGHBOUR_DOWN:
			player->downs++;
			break;
		case NODE_LEFT:
			player->left++;
			break;
		case NODE_MESSAGE:
			note_message(player, &event);
			break;
		case NODE_CONFIGURED:
			break;
		case NODE_DROPPED:
			assert_true(event.count > 0);
			player->dropped[event.reason] += event.count;
			break;
		case NODE_ADDRESSES:
		case NODE_PICTURE:
			picture_free(player->picture);
			player->picture = event.picture;
			event.picture = NULL; /* taken */
			break;
		case NODE_LOG:
			player->logs++;
			used = strlen(player->log);
			snprintf(player->log + used, sizeof player->log - used, "%s\n", event.text);
			break;
		}
		node_event_clear(&event);
	}
}

static void drain_all(void)
{
	for (size_t i = 0; i < PLAYERS; i++)
		drain(&players[i]);
	for (size_t i = 0; i < PLAYERS; i++)
		if (players[i].node)
			node_flush(players[i].node);
}

/* Waits for something to happen, and for what is not told by events at most 10 ms. */
static void rest(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 10 * (long)MS;
	until.tv_sec += until.tv_nsec / (long)S;
	until.tv_nsec %= (long)S;
	pthread_mutex_lock(&lock);
	if (rings == 0)
		pthread_cond_timedwait(&bell, &lock, &until);
	rings = 0;
	pthread_mutex_unlock(&lock);
}

#define eventually_within(condition, time) \
	do { \
		uint64_t give_up = now_ns() + (time); \
\
		for (drain_all(); !(condition); drain_all()) { \
			if (now_ns() > give_up) \
				fail_msg("never: %s\n%s\n%s", #condition, players[0].log, \
					players[1].log); \
			rest(); \
		} \
	} while (0)
#define eventually(condition) eventually_within(condition, PATIENCE)

static void join(struct player *player, const struct id *id)
{
	assert_int_equal(node_join(player->node, id), 0);
}

static void publish(struct player *player, const char *text)
{
	assert_int_equal(node_publish(player->node, &topic, text, strlen(text)), 0);
}

static void publish_number(struct player *player, unsigned number, char mark)
{
	char text[32];

	/* What both send must not be the same bytes. */
	snprintf(text, sizeof text, "%u%c", number, mark);
	publish(player, text);
}

static unsigned counted(struct player *player, enum counter counter)
{
	return (unsigned)counters_get(node_counters(player->node), counter);
}

static void meet(size_t count)
{
	start_all(count);
	for (size_t i = 0; i < count; i++)
		join(&players[i], &topic);
	for (size_t i = 0; i < count; i++)
		eventually(node_neighbours(players[i].node) >= 1 && players[i].joined >= 1);
}

/* ---- start and stop ---- */

static void started_and_stopped(void **state)
{
	for (int i = 0; i < 5; i++) {
		start(&players[0]);
		assert_int_equal(node_overlays(players[0].node), 0);
		assert_int_equal(node_neighbours(players[0].node), 0);
		assert_int_equal(node_connections(players[0].node), 0);
		stop_node(&players[0]);
	}
	node_stop(NULL);
}

static void stopped_with_overlays(void **state)
{
	start(&players[0]);
	for (uint8_t i = 0; i < 10; i++) {
		struct id id = topic_id(i);

		join(&players[0], &id);
	}
	stop_node(&players[0]); /* before it has even begun with them */
	start(&players[0]);
	join(&players[0], &topic);
	eventually(node_overlays(players[0].node) == 1);
	publish(&players[0], "nobody hears it");
	stop_node(&players[0]);
}

static void stopped_while_it_dials(void **state)
{
	struct address nowhere = {.family = 4, .ip = {127, 0, 0, 1}, .port = 1};

	set_peer(&players[0], &players[1].identity.id, &nowhere);
	start(&players[0]);
	join(&players[0], &topic);
	eventually(counted(&players[0], COUNTER_DIALS) > 0);
	stop_node(&players[0]);
}

static void stopped_while_it_looks_up(void **state)
{
	set_peer(&players[0], &players[1].identity.id, &players[1].bind);
	strcpy(players[0].peer.hosts[0].host, "no-such-host.invalid");
	players[0].peer.hosts[0].port = 1;
	start(&players[0]);
	join(&players[0], &topic);
	stop_node(&players[0]);
	/* With time for it: the failure is said, once. */
	start(&players[0]);
	join(&players[0], &topic);
	eventually(strstr(players[0].log, "no-such-host.invalid"));
	stop_node(&players[0]);
}

static int taken_port(struct address *out)
{
	struct sockaddr_in name = {.sin_family = AF_INET};
	socklen_t size = sizeof name;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	*out = (struct address){.family = 4, .ip = {127, 0, 0, 1}, .port = ntohs(name.sin_port)};
	return fd;
}

static void the_port_is_taken(void **state)
{
	struct address binds[2] = {{.family = 4, .ip = {127, 0, 0, 1}}};
	char reason[NODE_REASON_SIZE], text[ADDRESS_TEXT_SIZE];
	struct node_config *config = &players[0].config;
	int fd = taken_port(&binds[1]);
	size_t count;

	address_format(&binds[1], text);
	config->binds = &binds[1];
	assert_int_equal(node_start(config, &players[0].node, reason), ERROR_ADDRESS_IN_USE);
	assert_non_null(strstr(reason, text));
	assert_null(strchr(reason, '\n'));
	/* One of two: enough, or not. */
	config->binds = binds;
	config->binds_count = 2;
	memset(reason, 0, sizeof reason);
	assert_int_equal(node_start(config, &players[0].node, reason), ERROR_ADDRESS_IN_USE);
	assert_non_null(strstr(reason, text));
	players[0].node = NULL;
	config->binds_all = false;
	assert_int_equal(node_start(config, &players[0].node, reason), 0);
	assert_int_not_equal(node_addresses(players[0].node, &count)[0].port, binds[1].port);
	assert_int_equal(count, 1);
	close(fd);
}

static void not_our_address(void **state)
{
	struct address elsewhere = {.family = 4, .ip = {192, 0, 2, 1}, .port = 2022};
	char reason[NODE_REASON_SIZE];

	players[0].config.binds = &elsewhere;
	assert_int_not_equal(node_start(&players[0].config, &players[0].node, reason), 0);
	assert_non_null(strstr(reason, "192.0.2.1:2022"));
	players[0].node = NULL;
}

static void both_families(void **state)
{
	struct address binds[2] = {
		{.family = 4, .ip = {127, 0, 0, 1}}, {.family = 6, .ip = {[15] = 1}}};
	const struct address *bound;
	size_t count;

	players[0].config.binds = binds;
	players[0].config.binds_count = 2;
	players[0].config.binds_all = false;
	if (node_start(&players[0].config, &players[0].node, (char[NODE_REASON_SIZE]){0}))
		fail();
	/* One of them is enough: this machine may have no IPv6. */
	bound = node_addresses(players[0].node, &count);
	assert_true(count >= 1);
	players[1].bind = bound[count - 1];
	players[1].bind.port = 0;
	set_peer(&players[1], &players[0].identity.id, &bound[count - 1]);
	start(&players[1]);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(players[0].ups == 1 && players[1].ups == 1);
}

/* Fails the n-th allocation of this thread; 0: none. */
static _Thread_local unsigned fails_here;
/* Fails all those of threads that are not the test's. */
static _Atomic bool fails_elsewhere;
static _Thread_local bool is_here;

static bool fails(void)
{
	return (fails_elsewhere && !is_here) || (fails_here > 0 && --fails_here == 0);
}

static void *heap_alloc(void *context, size_t size)
{
	return fails() ? NULL : malloc(size);
}

static void *heap_realloc(void *context, void *block, size_t size)
{
	return fails() ? NULL : realloc(block, size);
}

static void heap_free(void *context, void *block)
{
	free(block);
}

static void no_memory_to_start(void **state)
{
	static const struct memory memory = {heap_alloc, heap_realloc, heap_free, NULL};
	char reason[NODE_REASON_SIZE];
	struct relay_url relay;
	bool started = false;
	int error;

	set_peer(&players[0], &players[1].identity.id, &players[0].bind);
	assert_int_equal(relay_url_parse("http://127.0.0.1:9", 18, &relay), 0);
	players[0].config.relays = &relay;
	players[0].config.relays_count = 1;
	memory_set(&memory);
	for (unsigned n = 1; !started; n++) {
		memset(reason, 0, sizeof reason);
		fails_here = n;
		error = node_start(&players[0].config, &players[0].node, reason);
		started = fails_here > 0;
		fails_here = 0;
		/* Libraries may hide it behind an error of their own, or do without. */
		if (error) {
			assert_false(started);
			assert_true(strlen(reason) > 0);
			players[0].node = NULL;
		} else {
			stop_node(&players[0]);
		}
	}
	memory_set(NULL);
	players[0].config.relays_count = 0;
}

static void no_memory_to_join(void **state)
{
	static const struct memory memory = {heap_alloc, heap_realloc, heap_free, NULL};
	struct id second = topic_id(2);

	memory_set(&memory);
	is_here = true;
	start(&players[0]);
	fails_elsewhere = true;
	join(&players[0], &topic);
	join(&players[0], &second);
	publish(&players[0], "0");
	publish(&players[0], "1");
	/* By what is the matter. */
	eventually(counted(&players[0], COUNTER_DROPPED_NO_MEMORY) == 2);
	assert_int_equal(counted(&players[0], COUNTER_DROPPED_LEFT), 0);
	assert_int_equal(node_leave(players[0].node, &second), 0);
	fails_elsewhere = false;
	/* Not for ever, and only what is still wanted. */
	eventually(node_overlays(players[0].node) == 1);
	publish(&players[0], "2");
	eventually(node_waiting(players[0].node) == 1);
	assert_int_equal(node_overlays(players[0].node), 1);
	/* One that is owed at the end. */
	fails_elsewhere = true;
	join(&players[0], &second);
	node_flush(players[0].node);
	stop_node(&players[0]);
	fails_elsewhere = false;
	memory_set(NULL);
}

/* ---- two nodes ---- */

static void two_meet(void **state)
{
	meet(2);
	for (size_t i = 0; i < 2; i++) {
		eventually(players[i].ups == 1);
		assert_int_equal(players[i].joined, 1);
		assert_int_equal(players[i].downs, 0);
		assert_int_equal(node_overlays(players[i].node), 1);
		assert_int_equal(node_neighbours(players[i].node), 1);
		assert_true(node_connections(players[i].node) >= 1);
		join(&players[i], &topic); /* twice is fine */
	}
	publish(&players[0], "hello");
	eventually(players[1].messages == 1);
	assert_string_equal(players[1].last, "hello");
	assert_true(id_equal(&players[1].last_peer, &players[0].identity.id));
	assert_true(id_equal(&players[1].last_topic, &topic));
	publish(&players[1], "hello yourself");
	eventually(players[0].messages == 1);
	assert_string_equal(players[0].last, "hello yourself");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(counted(&players[i], COUNTER_SENT), 1);
		assert_int_equal(counted(&players[i], COUNTER_RECEIVED), 1);
		assert_int_equal(node_overlays(players[i].node), 1);
	}
}

static void whoever_joins_first(void **state)
{
	start_all(2);
	/* The one that is dialled has not joined yet: it is asked again. */
	join(&players[1], &topic);
	eventually(node_connections(players[1].node) == 1);
	rest();
	join(&players[0], &topic);
	eventually(players[0].ups == 1 && players[1].ups == 1);
}

static void sizes(void **state)
{
	static const size_t all[] = {0, 1, 200, LIMIT_CONTENT};
	char *content = malloc(LIMIT_CONTENT + 1);
	unsigned count = 0;

	assert_non_null(content);
	memset(content, 'x', LIMIT_CONTENT + 1);
	meet(2);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		assert_int_equal(node_publish(players[0].node, &topic, content, all[i]), 0);
		count++;
		eventually(players[1].messages == count);
		assert_int_equal(players[1].last_size, all[i]);
		assert_memory_equal(players[1].last, content, all[i]);
	}
	assert_int_equal(
		node_publish(players[0].node, &topic, content, LIMIT_CONTENT + 1), ERROR_TOO_LARGE);
	free(content);
}

static void a_thousand_in_order(void **state)
{
	meet(2);
	for (unsigned number = 0; number < 1000; number++) {
		publish_number(&players[0], number, 'a');
		publish_number(&players[1], number, 'b');
	}
	eventually(players[0].messages == 1000 && players[1].messages == 1000);
	assert_int_equal(players[0].out_of_order, 0);
	assert_int_equal(players[1].out_of_order, 0);
	assert_int_equal(counted(&players[0], COUNTER_SENT), 1000);
	rest();
	drain_all();
	assert_int_equal(players[1].messages, 1000);
}

static void the_same_twice(void **state)
{
	meet(2);
	publish(&players[0], "same");
	publish(&players[0], "same");
	publish(&players[0], "other");
	eventually(players[1].messages == 2);
	assert_int_equal(counted(&players[0], COUNTER_DROPPED_REPEATED), 1);
}

static void overlays_are_apart(void **state)
{
	struct id second = topic_id(0x55);

	meet(2);
	join(&players[0], &second);
	join(&players[1], &second);
	eventually(node_neighbours(players[0].node) == 2 && node_neighbours(players[1].node) == 2);
	assert_int_equal(node_publish(players[0].node, &second, "2", 1), 0);
	eventually(players[1].messages == 1);
	assert_true(id_equal(&players[1].last_topic, &second));
	assert_int_equal(node_leave(players[1].node, &second), 0);
	eventually(players[0].downs == 1);
	publish(&players[0], "1");
	eventually(players[1].messages == 2);
	assert_true(id_equal(&players[1].last_topic, &topic));
	assert_int_equal(node_neighbours(players[0].node), 1);
	assert_int_equal(node_overlays(players[1].node), 1);
}

static void leaving_is_noticed(void **state)
{
	meet(2);
	publish(&players[1], "the last word");
	assert_int_equal(node_leave(players[1].node, &topic), 0);
	eventually_within(players[0].downs == 1, S);
	assert_int_equal(players[0].messages, 1); /* what was accepted before is sent first */
	eventually(players[1].left == 1);
	assert_int_equal(node_overlays(players[1].node), 0);
	assert_int_equal(node_neighbours(players[1].node), 0);
	assert_int_equal(node_neighbours(players[0].node), 0);
	assert_int_equal(node_overlays(players[0].node), 1);
	/* Nothing that was not joined is carried. */
	publish(&players[1], "too late");
	eventually(counted(&players[1], COUNTER_DROPPED_LEFT) == 1);
	/* And back again. */
	join(&players[1], &topic);
	eventually(players[0].ups == 2 && players[1].ups == 2);
	publish(&players[0], "welcome back");
	eventually(players[1].messages == 1);
}

static void left_and_joined_at_once(void **state)
{
	meet(2);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(node_leave(players[1].node, &topic), 0);
		join(&players[1], &topic);
		eventually(players[1].ups == 1 + i && node_neighbours(players[0].node) == 1);
		publish_number(&players[0], i, 'a');
		publish_number(&players[1], i, 'b');
		eventually(players[0].messages == i && players[1].messages == i);
	}
	assert_int_equal(players[1].left, 5);
}

static void leaving_what_was_not_joined(void **state)
{
	start(&players[0]);
	assert_int_equal(node_leave(players[0].node, &topic), 0);
	join(&players[0], &topic);
	eventually(node_overlays(players[0].node) == 1);
	drain(&players[0]);
	assert_int_equal(players[0].left, 0);
}

static void stopping_is_noticed(void **state)
{
	meet(2);
	stop_node(&players[1]);
	eventually_within(players[0].downs == 1, S);
	eventually(node_connections(players[0].node) == 0);
}

static void stopped_with_messages_just_accepted(void **state)
{
	meet(2);
	for (unsigned number = 0; number < 200; number++)
		publish_number(&players[0], number, 'a');
	stop_node(&players[0]);
	eventually(players[1].messages == 200);
	assert_int_equal(players[1].out_of_order, 0);
}

static void stopped_with_a_peer_that_never_joined(void **state)
{
	start_all(2);
	join(&players[1], &topic);
	eventually(node_connections(players[1].node) == 1);
	stop_node(&players[1]);
	eventually(node_connections(players[0].node) == 0);
}

static void restarted(void **state)
{
	meet(2);
	for (unsigned i = 0; i < 3; i++) {
		stop_node(&players[1]);
		eventually(node_neighbours(players[0].node) == 0);
		players[1].ups = 0;
		start(&players[1]);
		join(&players[1], &topic);
		eventually_within(
			players[1].ups >= 1 && node_neighbours(players[0].node) == 1, 2 * S);
		publish_number(&players[0], i, 'a');
		publish_number(&players[1], i, 'b');
		eventually(players[0].messages == i + 1 && players[1].messages == i + 1);
	}
	/* The one that is dialled, too: the other dials again. */
	stop_node(&players[0]);
	eventually(node_neighbours(players[1].node) == 0);
	start(&players[0]);
	join(&players[0], &topic);
	eventually(node_neighbours(players[0].node) == 1 && node_neighbours(players[1].node) == 1);
	publish(&players[0], "100");
	eventually(players[1].messages == 4);
}

static void both_dial(void **state)
{
	start(&players[0]);
	stop_node(&players[0]);
	set_peer(&players[1], &players[0].identity.id, &players[0].bind);
	start(&players[1]);
	set_peer(&players[0], &players[1].identity.id, &players[1].bind);
	start(&players[0]);
	for (size_t i = 0; i < 2; i++)
		join(&players[i], &topic);
	for (size_t i = 0; i < 2; i++)
		eventually(node_neighbours(players[i].node) == 1);
	for (unsigned number = 0; number < 500; number++) {
		publish_number(&players[0], number, 'a');
		publish_number(&players[1], number, 'b');
		if (number % 50 == 0)
			rest();
	}
	eventually(players[0].messages == 500 && players[1].messages == 500);
	assert_int_equal(players[0].out_of_order, 0);
	assert_int_equal(players[1].out_of_order, 0);
}

static void three_in_a_row(void **state)
{
	meet(3);
	eventually(node_neighbours(players[0].node) == 2);
	for (unsigned i = 0; i < 100; i++)
		publish_number(&players[1], i, 'b');
	eventually(players[0].messages == 100 && players[2].messages == 100);
	publish(&players[2], "100");
	eventually(players[0].messages == 101 && players[1].messages == 1);
}

/* ---- waiting ---- */

static void messages_wait_for_a_neighbour(void **state)
{
	start_all(2);
	join(&players[0], &topic);
	for (unsigned number = 0; number < 100; number++)
		publish_number(&players[0], number, 'a');
	join(&players[1], &topic);
	eventually(players[1].messages == 100);
	assert_int_equal(players[1].out_of_order, 0);
	assert_int_equal(counted(&players[0], COUNTER_SENT), 100);
}

static void waiting_is_bounded(void **state)
{
	players[0].config.queue_limit = 3;
	start_all(2);
	join(&players[0], &topic);
	for (unsigned number = 0; number < 10; number++)
		publish_number(&players[0], number, 'a');
	eventually(counted(&players[0], COUNTER_DROPPED_QUEUE_LIMIT) == 7);
	eventually(players[0].dropped[COUNTER_DROPPED_QUEUE_LIMIT] == 7);
	players[1].next_number = 7;
	join(&players[1], &topic);
	eventually(players[1].messages == 3);
	assert_int_equal(players[1].out_of_order, 0);
}

static void waiting_messages_age(void **state)
{
	players[0].config.queue_age_ns = 300 * MS;
	start(&players[0]);
	join(&players[0], &topic);
	publish(&players[0], "0");
	publish(&players[0], "1");
	eventually(counted(&players[0], COUNTER_DROPPED_QUEUE_AGE) == 2);
	eventually(players[0].dropped[COUNTER_DROPPED_QUEUE_AGE] == 2);
	/* Those of an overlay that is left have another reason. */
	publish(&players[0], "2");
	assert_int_equal(node_leave(players[0].node, &topic), 0);
	eventually(counted(&players[0], COUNTER_DROPPED_LEFT) == 1);
	eventually(players[0].dropped[COUNTER_DROPPED_LEFT] == 1);
}

static void too_many_overlays(void **state)
{
	struct id second = topic_id(2);

	players[0].config.max_overlays = 1;
	start(&players[0]);
	join(&players[0], &topic);
	join(&players[0], &second);
	assert_int_equal(node_publish(players[0].node, &second, "x", 1), 0);
	eventually(counted(&players[0], COUNTER_DROPPED_MAX_OVERLAYS) == 1);
	eventually(players[0].dropped[COUNTER_DROPPED_MAX_OVERLAYS] == 1);
	eventually(strstr(players[0].log, "max_overlays"));
	assert_int_equal(node_overlays(players[0].node), 1);
	assert_int_equal(node_leave(players[0].node, &second), 0);
	assert_int_equal(node_leave(players[0].node, &topic), 0);
	eventually(players[0].left == 2);
	assert_int_equal(node_overlays(players[0].node), 0);
}

/* ---- strangers ---- */

static void another_key_than_configured(void **state)
{
	start(&players[0]);
	set_peer(&players[1], &players[2].identity.id, &players[0].bind);
	start(&players[1]);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(strstr(players[1].log, "not the dialled node"));
	assert_int_equal(node_neighbours(players[1].node), 0);
	assert_int_equal(players[0].ups + players[1].ups, 0);
	/* The dial for gossip; the one for discovery may have been first. */
	eventually(counted(&players[1], COUNTER_DIALS_FAILED) >= 1);
}

static void another_network(void **state)
{
	players[1].config.network.bytes[0] ^= 1;
	start_all(2);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(strstr(players[1].log, "network id"));
	assert_int_equal(node_neighbours(players[1].node), 0);
	assert_int_equal(players[0].ups + players[1].ups, 0);
}

static void dials_are_not_a_storm(void **state)
{
	/* Refused again and again, but with a backoff. */
	players[1].config.network.bytes[0] ^= 1;
	start_all(2);
	join(&players[1], &topic);
	eventually(counted(&players[1], COUNTER_DIALS) >= 3);
	assert_true(counted(&players[1], COUNTER_DIALS) <= 4);
}

/* ---- finding others ---- */

/* The player (not yet started) knows the other one, which is running, as a way in. */
static void set_bootstrap(struct player *player, const struct player *other)
{
	set_peer(player, &other->identity.id, &other->bind);
	player->config.peers_count = 0;
	player->config.bootstraps = &player->peer;
	player->config.bootstraps_count = 1;
}

static void start_around_the_first(size_t count)
{
	start(&players[0]);
	for (size_t i = 1; i < count; i++) {
		set_bootstrap(&players[i], &players[0]);
		start(&players[i]);
	}
}

static void all_hear(size_t speaker, size_t count, const char *text)
{
	publish(&players[speaker], text);
	for (size_t i = 0; i < count; i++)
		if (i != speaker)
			eventually(strcmp(players[i].last, text) == 0);
}

static void a_shared_topic_is_found(void **state)
{
	start_around_the_first(2);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(node_neighbours(players[0].node) == 1 && node_neighbours(players[1].node) == 1);
	all_hear(0, 2, "0 of the first");
	all_hear(1, 2, "0 of the second");
}

static void two_that_know_a_third(void **state)
{
	start_around_the_first(3);
	for (size_t i = 0; i < 3; i++)
		join(&players[i], &topic);
	for (size_t i = 0; i < 3; i++)
		eventually(node_neighbours(players[i].node) == 2);
	for (size_t i = 0; i < 3; i++)
		all_hear(i, 3, i == 0 ? "a" : i == 1 ? "b" : "c");
}

static void what_is_not_shared_is_not_told(void **state)
{
	struct id other = topic_id(9);

	start_around_the_first(2);
	join(&players[0], &topic);
	join(&players[1], &other);
	eventually(counted(&players[0], COUNTER_DISCOVERED) >= 1 &&
		   counted(&players[1], COUNTER_DISCOVERED) >= 1);
	assert_int_equal(counted(&players[0], COUNTER_JOINS), 0);
	assert_int_equal(counted(&players[1], COUNTER_JOINS), 0);
	assert_int_equal(counted(&players[1], COUNTER_DIALS), 0);
	/* Later it is. */
	join(&players[1], &topic);
	eventually(node_neighbours(players[0].node) == 1);
	all_hear(1, 2, "now");
}

static void nodes_are_known_after_a_restart(void **state)
{
	char dir[] = "/tmp/p2panda-node-XXXXXX", command[64];

	assert_non_null(mkdtemp(dir));
	players[1].config.state_dir = dir;
	start_around_the_first(2);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(node_neighbours(players[0].node) == 1 && node_neighbours(players[1].node) == 1);
	stop_node(&players[1]);
	eventually(node_neighbours(players[0].node) == 0);
	players[1].config.bootstraps_count = 0;
	start(&players[1]);
	join(&players[1], &topic);
	eventually(node_neighbours(players[0].node) == 1);
	all_hear(0, 2, "here again");
	stop_node(&players[1]);
	snprintf(command, sizeof command, "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* The one that is away comes back and knows nobody; messages have aged meanwhile. */
static void who_was_lost_is_asked_again(void **state)
{
	players[1].config.queue_age_ns = 100 * MS;
	start_around_the_first(2);
	join(&players[0], &topic);
	join(&players[1], &topic);
	eventually(node_neighbours(players[0].node) == 1 && node_neighbours(players[1].node) == 1);
	stop_node(&players[0]);
	eventually(node_neighbours(players[1].node) == 0);
	publish(&players[1], "nobody is there");
	eventually(players[1].dropped[COUNTER_DROPPED_QUEUE_AGE] == 1);
	start(&players[0]);
	join(&players[0], &topic);
	eventually(node_neighbours(players[0].node) == 1);
	all_hear(0, 2, "back");
}

static void who_is_denied_is_not_found(void **state)
{
	players[2].config.deny = &players[1].identity.id;
	players[2].config.deny_count = 1;
	start_around_the_first(3);
	for (size_t i = 0; i < 3; i++)
		join(&players[i], &topic);
	eventually(node_neighbours(players[0].node) == 2);
	eventually(node_neighbours(players[1].node) == 1 && node_neighbours(players[2].node) == 1);
	/* Through the first. */
	all_hear(1, 3, "from afar");
}

/* What one turn has worked, not how long it has slept: never more than the whole process has. */
/* Nobody is there: it is none of the node's business whether a name is one. */
static void relays_are_told(void **state)
{
	static const char *const texts[] = {"http://127.0.0.1:9", "https://relay.invalid"};
	struct player *player = &players[0];
	struct relay_url relays[2];
	const char *url;

	start(player);
	assert_int_equal(node_relay(player->node, &url), NODE_RELAY_OFF);
	assert_null(url);
	assert_int_equal(node_relayed(player->node), 0);
	stop_node(player);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(relay_url_parse(texts[i], strlen(texts[i]), &relays[i]), 0);
	player->config.relays = relays;
	player->config.relays_count = 2;
	start(player);
	memset(relays, 0, sizeof relays); /* they are copied */
	assert_int_equal(node_relay(player->node, &url), NODE_RELAY_CONNECTING);
	assert_string_equal(url, "http://127.0.0.1:9/");
	stop_node(player);
	player->config.relays_count = 0;
}

static void turns_are_measured(void **state)
{
	uint64_t begun, worked, longest = 0;

	start_all(2);
	assert_int_equal(node_longest_turn_ns(players[0].node), 0);
	begun = now_ns();
	worked = process_ns();
	join(&players[0], &topic);
	join(&players[1], &topic);
	/* Most of this time it has nothing to do. */
	eventually(players[0].ups == 1 && now_ns() - begun > 30 * (process_ns() - worked));
	publish(&players[1], "to end its sleep");
	eventually(players[0].messages == 1 &&
		(longest = node_longest_turn_ns(players[0].node)) > 0);
	assert_true(longest <= process_ns() - worked);
}

static void ask(struct player *player, enum picture_subject subject, const struct id *id)
{
	const struct picture_question question = {.subject = subject, .id = *id};

	picture_free(player->picture);
	player->picture = NULL;
	assert_int_equal(node_ask(player->node, &question), 0);
	eventually(player->picture != NULL);
	assert_int_equal(player->picture->question.subject, subject);
	assert_true(player->picture->found);
}

static void it_shows_itself_when_asked(void **state)
{
	const struct id *other = &players[0].identity.id;
	struct node_changes changes;
	struct picture *picture;

	meet(2);
	publish(&players[1], "hello");
	eventually(players[0].messages == 1);
	ask(&players[0], PICTURE_OVERLAY, &topic);
	picture = players[0].picture;
	assert_int_equal(picture->overlays->state, PICTURE_JOINED);
	assert_int_equal(picture->overlays->received, 1);
	assert_int_equal(picture->nodes_count, 1);
	assert_true(picture->nodes->linked);
	assert_true(picture->nodes->rtt_us > 0);
	assert_true(picture->nodes->rtt_us < PATIENCE / 1000);
	ask(&players[1], PICTURE_NODE, other);
	assert_int_equal(players[1].picture->nodes->role, PICTURE_PEER);
	assert_true(players[1].picture->nodes->worked_us > 0);
	/* The connections of gossip stay as they are. */
	changes = node_changes(players[1].node);
	ask(&players[1], PICTURE_PING, other);
	picture = players[1].picture;
	assert_true(picture->places_count > 0);
	assert_true(picture->places->answered);
	assert_true(picture->places->rtt_us > 0);
	assert_int_equal(node_changes(players[1].node).overlays, changes.overlays);
	assert_int_equal(node_neighbours(players[1].node), 1);
}

static void its_nodes_change_while_it_runs(void **state)
{
	struct player *first = &players[0], *second = &players[1];

	start(first);
	start(second);
	join(first, &topic);
	join(second, &topic);
	set_peer(second, &first->identity.id, &first->bind);
	assert_int_equal(node_set_peer(second->node, &second->peer, true), 0);
	eventually(first->ups == 1 && second->ups == 1);
	publish(first, "0");
	eventually(second->messages == 1);
	/* Shut out. */
	assert_int_equal(node_set_access(first->node, NULL, 0, &second->identity.id, 1), 0);
	eventually(first->downs == 1 && second->downs == 1);
	eventually(counted(first, COUNTER_HANDSHAKES_REFUSED) > 0);
	assert_int_equal(node_neighbours(first->node), 0);
	/* Not any more, and so it is tried again until it works. */
	assert_int_equal(node_set_access(first->node, NULL, 0, NULL, 0), 0);
	eventually(first->ups == 2 && second->ups == 2);
	/* A connection that is there stays when its node is one as any other's. */
	assert_int_equal(node_remove_peer(second->node, &first->identity.id), 0);
	publish(first, "1");
	eventually(second->messages == 2);
	assert_int_equal(second->out_of_order, 0);
	ask(second, PICTURE_NODE, &first->identity.id);
	assert_int_equal(second->picture->nodes->role, PICTURE_NO_ROLE);
	assert_int_equal(second->downs, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(started_and_stopped),
		TEST(stopped_with_overlays),
		TEST(stopped_while_it_dials),
		TEST(stopped_while_it_looks_up),
		TEST(the_port_is_taken),
		TEST(not_our_address),
		TEST(both_families),
		TEST(no_memory_to_start),
		TEST(no_memory_to_join),
		TEST(two_meet),
		TEST(whoever_joins_first),
		TEST(sizes),
		TEST(a_thousand_in_order),
		TEST(the_same_twice),
		TEST(overlays_are_apart),
		TEST(leaving_is_noticed),
		TEST(left_and_joined_at_once),
		TEST(leaving_what_was_not_joined),
		TEST(stopping_is_noticed),
		TEST(stopped_with_messages_just_accepted),
		TEST(stopped_with_a_peer_that_never_joined),
		TEST(restarted),
		TEST(both_dial),
		TEST(three_in_a_row),
		TEST(messages_wait_for_a_neighbour),
		TEST(waiting_is_bounded),
		TEST(waiting_messages_age),
		TEST(too_many_overlays),
		TEST(another_key_than_configured),
		TEST(another_network),
		TEST(dials_are_not_a_storm),
		TEST(relays_are_told),
		TEST(turns_are_measured),
		TEST(it_shows_itself_when_asked),
		TEST(its_nodes_change_while_it_runs),
		TEST(a_shared_topic_is_found),
		TEST(two_that_know_a_third),
		TEST(what_is_not_shared_is_not_told),
		TEST(nodes_are_known_after_a_restart),
		TEST(who_was_lost_is_asked_again),
		TEST(who_is_denied_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
