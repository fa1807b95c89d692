/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <semaphore.h>
#include <time.h>

#include "bridge/memory.h"
#include "plugin/outbound.h"
#include "plugin/topic.h"
#include "support_interest.h"

#define S     UINT64_C(1000000000)
#define HEX   "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define TOPIC "p2panda/" HEX

/* Messages to other topics of an overlay that are looked at. */
#define PUBLISHED 16

static struct {
	struct identity identity;
	struct node *node;
	struct interest *interest;
	struct unreleased *unreleased;
	struct outbound outbound;
	struct remarks remarks;
	uint64_t now, wall_s;
	struct guard *guard;
	unsigned publishes;
	char published[PUBLISHED][512];
	unsigned joins, leaves;
	/* What was logged. */
	unsigned lines;
	char line[2][512]; /* the last two */
	/* The node's thread waits here when it has an event. */
	_Atomic bool holds_node;
	sem_t held, released;
} world;

/* ---- the broker ---- */

void broker_log(enum broker_level level, const char *format, ...)
{
	va_list arguments;

	memcpy(world.line[0], world.line[1], sizeof world.line[0]);
	va_start(arguments, format);
	vsnprintf(world.line[1], sizeof world.line[1], format, arguments);
	va_end(arguments);
	world.lines++;
}

bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count)
{
	assert_int_equal(properties_count, 0);
	snprintf(world.published[world.publishes % PUBLISHED], sizeof world.published[0],
		"%s %.*s", topic, (int)size, (const char *)payload);
	world.publishes++;
	return true;
}

bool broker_retain(const char *topic, const void *payload, size_t size)
{
	fail_msg("nothing is retained here");
	return false;
}

bool broker_has_session(const char *client)
{
	return true;
}

/* ---- memory that runs out for this thread only ---- */

static _Thread_local unsigned fails_here; /* the n-th allocation; 0: none */

static bool fails(void)
{
	return fails_here > 0 && --fails_here == 0;
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

/* ---- */

static int on_verify(void *context, const struct id *topic, bool verify)
{
	return node_verify(world.node, topic, verify);
}

static int on_join(void *context, const struct id *topic)
{
	world.joins++;
	return node_join(world.node, topic);
}

static int on_leave(void *context, const struct id *topic)
{
	world.leaves++;
	return node_leave(world.node, topic);
}

static void on_wake(void *context)
{
	if (!world.holds_node)
		return;
	sem_post(&world.held);
	sem_wait(&world.released);
}

static int setup(void **state)
{
	static const struct memory memory = {heap_alloc, heap_realloc, heap_free, NULL};
	static const struct address bind = {.family = 4, .ip = {127, 0, 0, 1}};
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	struct interest_actions actions = support_actions();
	static const struct interest_config limits = {
		.linger_ns = 30 * S, .max_overlays = 2, .max_overlays_per_client = 1};
	const struct random random = random_system();
	struct node_config config = {
		.identity = &world.identity,
		.network = identity_default_network,
		.binds = &bind,
		.binds_count = 1,
		.max_overlays = 10,
		.queue_limit = 128,
		.queue_age_ns = 30 * S,
		.cache_bytes = LIMIT_CACHE_BYTES,
		.wake = on_wake,
	};
	char reason[NODE_REASON_SIZE];

	memory_set(&memory);
	memset(&world, 0, sizeof world);
	sem_init(&world.held, 0, 0);
	sem_init(&world.released, 0, 0);
	world.now = 1000 * S;
	assert_int_equal(identity_from_secret(secret, &world.identity), 0);
	assert_int_equal(node_start(&config, &world.node, reason), 0);
	actions.join = on_join;
	actions.leave = on_leave;
	actions.verify = on_verify;
	assert_int_equal(interest_new(&actions, &limits, &random, &world.interest), 0);
	assert_int_equal(
		unreleased_new(node_counters(world.node), &random, &world.unreleased), 0);
	assert_int_equal(guard_new(&random, &world.guard), 0);
	world.outbound = (struct outbound){.node = world.node,
		.interest = world.interest,
		.unreleased = world.unreleased,
		.guard = world.guard,
		.delivery_qos = 1,
		.remarks = &world.remarks};
	return 0;
}

static int teardown(void **state)
{
	node_stop(world.node);
	interest_free(world.interest);
	unreleased_free(world.unreleased);
	guard_free(world.guard);
	identity_clear(&world.identity);
	sem_destroy(&world.held);
	sem_destroy(&world.released);
	memory_set(NULL);
	return 0;
}

static unsigned counted(enum counter counter)
{
	return (unsigned)counters_get(node_counters(world.node), counter);
}

static unsigned dropped(void)
{
	unsigned sum = 0;

	for (int i = COUNTER_DROPPED_MALFORMED_TOPIC; i <= COUNTER_DROPPED_BROKER; i++)
		sum += counted((enum counter)i);
	return sum;
}

static void nap(void)
{
	node_flush(world.node);
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static enum broker_verdict say_as(
	const char *client, const char *topic, const void *payload, size_t size, bool retain)
{
	const struct broker_message message = {.client = client,
		.topic = topic,
		.payload = payload,
		.size = size,
		.qos = 1,
		.retain = retain};

	return outbound_message(&world.outbound, world.now, world.wall_s, &message);
}

static enum broker_verdict say(const char *topic, const void *payload, size_t size, bool retain)
{
	return say_as("lamp", topic, payload, size, retain);
}

/* What is none of ours is none of our business. */
static void foreign_topics(void **state)
{
	static const char *const topics[] = {
		"", "house/lamp", "p2panda", "$SYS/broker/uptime", "$CONTROL/p2panda/v1"};
	char large[5000] = {0};

	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
		assert_int_equal(say(topics[i], large, sizeof large, true), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_IN), 0);
	assert_int_equal(dropped(), 0);
	assert_int_equal(world.lines, 0);
	assert_int_equal(world.joins, 0);
}

static void malformed_topics(void **state)
{
	static const char *const topics[] = {
		"p2panda/", "p2panda/x", TOPIC "0", TOPIC "/more", "p2panda/name/"};
	size_t count = sizeof topics / sizeof *topics;

	for (size_t i = 0; i < count; i++)
		assert_int_equal(say(topics[i], "x", 1, false), BROKER_REFUSE_NOT_AUTHORISED);
	assert_int_equal(counted(COUNTER_DROPPED_MALFORMED_TOPIC), count);
	assert_int_equal(dropped(), count);
	assert_int_equal(counted(COUNTER_IN), count);
	assert_int_equal(world.joins, 0);
}

static void refusals_are_logged_now_and_then(void **state)
{
	for (int i = 0; i < 100; i++)
		say(TOPIC "/more", "x", 1, false);
	assert_int_equal(world.lines, 1);
	assert_non_null(strstr(world.line[1], "lamp"));
	assert_non_null(strstr(world.line[1], "p2panda/0011223344"));
	/* An id is a secret. */
	assert_null(strstr(world.line[1], "00112233445"));
	assert_null(strchr(world.line[1], '\n'));
	/* Another kind does not hide behind it. */
	say(TOPIC, NULL, LIMIT_CONTENT + 1, false);
	assert_int_equal(world.lines, 2);
	assert_non_null(strstr(world.line[1], "4057"));
	world.now += S - 1;
	say(TOPIC "/more", "x", 1, false);
	assert_int_equal(world.lines, 2);
	world.now += 1;
	say(TOPIC "/more", "x", 1, false);
	assert_int_equal(world.lines, 3);
	remark_tick(&world.remarks, world.now);
	assert_int_equal(world.lines, 4);
	assert_non_null(strstr(world.line[1], "100 more lines"));
}

static void client_ids_are_clipped(void **state)
{
	char id[5000] = "";

	memset(id, 'c', sizeof id - 1);
	say_as(id, "p2panda/x", "x", 1, false);
	assert_int_equal(world.lines, 1);
	assert_true(strlen(world.line[1]) < 300);
}

static void too_large(void **state)
{
	char *content = malloc(LIMIT_CONTENT + 1);

	assert_non_null(content);
	memset(content, 'x', LIMIT_CONTENT + 1);
	assert_int_equal(say(TOPIC, content, LIMIT_CONTENT + 1, false), BROKER_REFUSE_QUOTA);
	assert_int_equal(counted(COUNTER_DROPPED_TOO_LARGE), 1);
	assert_int_equal(counted(COUNTER_IN), 1);
	assert_int_equal(world.joins, 0);
	assert_int_equal(say(TOPIC, content, LIMIT_CONTENT, false), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_IN), 2);
	free(content);
}

static void carried(void **state)
{
	assert_int_equal(say(TOPIC, "x", 1, false), BROKER_CARRY_ON);
	/* Whoever publishes needs no subscription. */
	assert_int_equal(world.joins, 1);
	while (node_overlays(world.node) == 0)
		nap();
	assert_int_equal(say(TOPIC, "y", 1, true), BROKER_CARRY_ON);
	assert_int_equal(say(TOPIC, NULL, 0, false), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_IN), 3);
	assert_int_equal(dropped(), 0);
	assert_int_equal(world.joins, 1);
	/* They wait for a neighbour, and do not outlive the overlay. */
	interest_tick(world.interest, world.now + 31 * S);
	assert_int_equal(world.leaves, 1);
	while (counted(COUNTER_DROPPED_LEFT) < 3)
		nap();
	assert_int_equal(world.lines, 0);
}

static void over_a_limit(void **state)
{
	static const char *const others[] = {
		"p2panda/1111111111111111111111111111111111111111111111111111111111111111",
		"p2panda/2222222222222222222222222222222222222222222222222222222222222222"};

	assert_int_equal(say(TOPIC, "x", 1, false), BROKER_CARRY_ON);
	assert_int_equal(say(others[0], "x", 1, false), BROKER_REFUSE_QUOTA); /* its own */
	assert_int_equal(say_as("door", others[0], "x", 1, false), BROKER_CARRY_ON);
	assert_int_equal(say_as("bell", others[1], "x", 1, false), BROKER_REFUSE_QUOTA); /* all */
	assert_int_equal(say(others[0], "x", 1, false), BROKER_CARRY_ON);
	assert_int_equal(say_as("bell", others[1], NULL, 0, true), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_DROPPED_MAX_OVERLAYS), 2);
	assert_int_equal(counted(COUNTER_IN), 5);
	assert_int_equal(dropped(), 2);
	assert_int_equal(world.joins, 2);
	assert_int_equal(world.lines, 1);
	assert_non_null(strstr(world.line[1], "max_overlays"));
}

static void clearing_what_is_retained(void **state)
{
	assert_int_equal(say(TOPIC, NULL, 0, true), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_IN), 0);
	assert_int_equal(dropped(), 0);
	assert_int_equal(world.joins, 0);
}

static void out_of_memory(void **state)
{
	unsigned failures = 0, allocations;

	for (unsigned n = 1;; n++) {
		fails_here = n;
		assert_int_equal(say(TOPIC, "x", 1, false), BROKER_CARRY_ON);
		allocations = fails_here;
		fails_here = 0;
		if (allocations > 0)
			break;
		failures++;
		/* Local subscribers have it; it is counted, unless what failed was joining:
		 * then it is for the overlay to say that it is not there. */
		while (dropped() < failures)
			nap();
		assert_int_equal(dropped(), failures);
		assert_int_equal(counted(COUNTER_IN), n);
		assert_true(n < 20);
	}
	assert_true(failures >= 3);
	assert_true(counted(COUNTER_DROPPED_NO_MEMORY) >= failures - 1);
}

static void the_queue_is_full(void **state)
{
	static char content[LIMIT_CONTENT];
	struct id topic = {{0}};
	struct node_event event;
	unsigned count = 0;

	/* The node's thread is held up at its first event. */
	world.holds_node = true;
	node_join(world.node, &topic);
	node_leave(world.node, &topic);
	node_flush(world.node);
	sem_wait(&world.held);
	while (counted(COUNTER_DROPPED_MAILBOX) < 3) {
		snprintf(content, sizeof content, "%u", count++);
		assert_int_equal(say(TOPIC, content, sizeof content, false), BROKER_CARRY_ON);
		assert_true(count < 2 * LIMIT_MAILBOX_BYTES / LIMIT_CONTENT);
	}
	assert_int_equal(counted(COUNTER_IN), count);
	assert_true(count > LIMIT_MAILBOX_BYTES / 2 / LIMIT_CONTENT);
	assert_int_equal(world.lines, 0);
	world.holds_node = false;
	sem_post(&world.released);
	/* All but those three come through, as far as there is room for them to wait. */
	while (counted(COUNTER_DROPPED_QUEUE_LIMIT) < count - 3 - 128)
		nap();
	while (node_event(world.node, &event))
		node_event_clear(&event);
}

static enum broker_verdict say_exactly(const char *content, uint8_t qos, bool lasting)
{
	const struct broker_message message = {.client = "lamp",
		.topic = TOPIC,
		.payload = content,
		.size = strlen(content),
		.qos = qos,
		.lasting = lasting};

	return outbound_message(&world.outbound, world.now, world.wall_s, &message);
}

/* Of QoS 2, in a session that lasts, beside a subscriber that would have been sent it. */
static void sent_again(void **state)
{
	struct topic parsed;
	struct id topic;

	assert_int_equal(topic_parse(TOPIC, &parsed), TOPIC_OVERLAY);
	topic = parsed.overlay;
	assert_int_equal(
		interest_subscribed(world.interest, "ear", TOPIC, &topic, terms_of_qos(0), false), 0);
	say_exactly("before", 2, true);
	interest_heard(world.interest, "ear", TOPIC, &topic);
	say_exactly("a", 2, true);
	say_exactly("b", 2, true);
	say_exactly("c", 2, false);
	say_exactly("d", 1, true);
	unreleased_released(world.unreleased, &topic, "b", 1);
	unreleased_connected(world.unreleased, "lamp", true);
	say_exactly("before", 2, true);
	say_exactly("b", 2, true);
	say_exactly("c", 2, true);
	say_exactly("d", 2, true);
	assert_int_equal(counted(COUNTER_DROPPED_RESENT), 0);
	assert_int_equal(say_exactly("a", 2, true), BROKER_CARRY_ON);
	assert_int_equal(counted(COUNTER_DROPPED_RESENT), 1);
	assert_int_equal(counted(COUNTER_IN), 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(foreign_topics),
		TEST(malformed_topics),
		TEST(refusals_are_logged_now_and_then),
		TEST(client_ids_are_clipped),
		TEST(too_large),
		TEST(carried),
		TEST(over_a_limit),
		TEST(clearing_what_is_retained),
		TEST(out_of_memory),
		TEST(the_queue_is_full),
		TEST(sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
