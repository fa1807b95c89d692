/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "plugin/interest.h"
#include "support_heap.h"

#define S	UINT64_C(1000000000)
#define LINGER	(30 * S)
#define TOPICS	4
#define CLIENTS 4

static struct {
	struct interest *interest;
	uint64_t now, seed;
	struct random random;
	bool joined[TOPICS], verified[TOPICS];
	unsigned joins[TOPICS], leaves[TOPICS];
	unsigned asked; /* has_session */
	bool fails;	/* join and leave do */
	bool has_session[CLIENTS];
	bool lost[CLIENTS][TOPICS]; /* subscriptions that the broker has not got any more */
	unsigned missing;
	bool forbidden[CLIENTS][TOPICS];
	struct interest_owner owners[CLIENTS];
	unsigned rights_asked, denied, gave_way[CLIENTS];
	/* What is to be known after a restart: QoS + 1 of "p2panda/<topic>". */
	unsigned recorded[CLIENTS][TOPICS];
	unsigned remembered, forgotten, given_up, limited, unrecorded;
	int cannot_remember; /* an error */
} world;

static struct id topic_id(size_t topic)
{
	struct id id;

	memset(id.bytes, 0x80 + (int)topic, ID_SIZE);
	return id;
}

static size_t topic_of(void *context, const struct id *id)
{
	assert_ptr_equal(context, &world);
	assert_true(id->bytes[0] >= 0x80 && id->bytes[0] < 0x80 + TOPICS);
	return id->bytes[0] - 0x80u;
}

static int on_verify(void *context, const struct id *id, bool verify)
{
	size_t topic = topic_of(context, id);

	if (world.fails)
		return ERROR_NOMEM;
	assert_true(world.joined[topic]);
	assert_true(world.verified[topic] != verify);
	world.verified[topic] = verify;
	return ERROR_NONE;
}

static int on_join(void *context, const struct id *id)
{
	size_t topic = topic_of(context, id);

	if (world.fails)
		return ERROR_NOMEM;
	assert_false(world.joined[topic]);
	world.joined[topic] = true;
	world.joins[topic]++;
	return ERROR_NONE;
}

static int on_leave(void *context, const struct id *id)
{
	size_t topic = topic_of(context, id);

	if (world.fails)
		return ERROR_NOMEM;
	assert_true(world.joined[topic]);
	world.joined[topic] = false;
	world.leaves[topic]++;
	return ERROR_NONE;
}

static bool has_session(void *context, const char *client)
{
	assert_ptr_equal(context, &world);
	assert_int_equal(client[0], 'c');
	world.asked++;
	return world.has_session[client[1] - '0'];
}

static unsigned *record_of(void *context, const char *client, const char *filter)
{
	static unsigned elsewhere; /* $share/... */

	assert_ptr_equal(context, &world);
	assert_int_equal(client[0], 'c');
	if (strncmp(filter, "p2panda/", 8) != 0)
		return &elsewhere;
	return &world.recorded[client[1] - '0'][filter[8] - '0'];
}

static bool has_subscription(
	void *context, const char *client, const char *filter, struct terms terms)
{
	assert_ptr_equal(context, &world);
	return !world.lost[client[1] - '0'][filter[strlen(filter) - 1] - '0'];
}

static void on_missing(void *context, const char *client, const char *filter)
{
	world.missing++;
}

static int on_remember(void *context, const char *client, const char *filter, struct terms terms)
{
	if (world.cannot_remember)
		return world.cannot_remember;
	*record_of(context, client, filter) = terms_qos(terms) + 1u;
	world.remembered++;
	return ERROR_NONE;
}

static void on_forget(void *context, const char *client, const char *filter)
{
	*record_of(context, client, filter) = 0;
	world.forgotten++;
}

static void on_give_up(void *context, const char *client, const char *filter, struct terms terms)
{
	*record_of(context, client, filter) = 0;
	world.given_up++;
}

static void on_limited(void *context, const char *client, const struct id *id)
{
	topic_of(context, id);
	world.limited++;
}

static void on_unrecorded(void *context, const char *client, const struct id *id)
{
	topic_of(context, id);
	world.unrecorded++;
}

static bool is_allowed(void *context, const char *client, const char *filter, const struct id *id)
{
	size_t topic = topic_of(context, id);

	assert_int_equal(client[0], 'c');
	assert_int_equal(filter[strlen(filter) - 1], '0' + (int)topic);
	world.rights_asked++;
	return !world.forbidden[client[1] - '0'][topic];
}

static struct interest_owner owner_of(void *context, const char *client)
{
	assert_ptr_equal(context, &world);
	return world.owners[client[1] - '0'];
}

static void on_denied(void *context, const char *client, const struct id *id)
{
	topic_of(context, id);
	world.denied++;
}

static void on_gave_way(void *context, const char *client, const struct id *id)
{
	topic_of(context, id);
	world.gave_way[client[1] - '0']++;
}

static const struct interest_actions actions = {
	.allowed = is_allowed,
	.owner = owner_of,
	.join = on_join,
	.leave = on_leave,
	.verify = on_verify,
	.has_session = has_session,
	.has_subscription = has_subscription,
	.missing = on_missing,
	.remember = on_remember,
	.forget = on_forget,
	.give_up = on_give_up,
	.denied = on_denied,
	.limited = on_limited,
	.gave_way = on_gave_way,
	.unrecorded = on_unrecorded,
	.context = &world,
};

static const struct interest_config plain = {
	.linger_ns = LINGER,
	.max_overlays = 100,
	.max_overlays_per_client = 100,
	.max_overlays_per_user = 100,
	.max_overlays_per_address = 100,
	.max_records = 100000,
	.max_denied = 100};

#define GRACE (2 * S / 5)

/* Begins anew with this configuration, as after a restart. */
static void begin(const struct interest_config *config)
{
	interest_free(world.interest);
	memset(world.joined, 0, sizeof world.joined);
	assert_int_equal(interest_new(&actions, config, &world.random, &world.interest), 0);
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	memset(world.has_session, true, sizeof world.has_session);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	heap_begin();
	begin(&plain);
	return 0;
}

static int teardown(void **state)
{
	interest_free(world.interest);
	heap_end();
	return 0;
}

static void tick(void)
{
	interest_tick(world.interest, world.now);
}

/* Ticks come at least ten times per second. */
static void pass(uint64_t duration)
{
	for (uint64_t end = world.now + duration; world.now < end; world.now += S / 10)
		tick();
	tick();
}

static const char *filter_of(size_t topic, const char *before)
{
	static char filter[64];

	snprintf(filter, sizeof filter, "%s%zu", before, topic);
	return filter;
}

static void subscribe_as(const char *client, size_t topic, const char *before, uint8_t qos)
{
	struct id id = topic_id(topic);

	assert_int_equal(
		interest_subscribed(
			world.interest, client, filter_of(topic, before), &id, terms_of_qos(qos),
			true),
		0);
}

static void subscribe(const char *client, size_t topic, uint8_t qos)
{
	subscribe_as(client, topic, "p2panda/", qos);
}

static void unsubscribe(const char *client, size_t topic)
{
	interest_unsubscribed(world.interest, client, filter_of(topic, "p2panda/"));
}

static int publish_as(const char *client, size_t topic)
{
	struct id id = topic_id(topic);

	return interest_published(world.interest, world.now, client, &id);
}

static void publish(size_t topic)
{
	assert_int_equal(publish_as("c3", topic), 0);
}

static void restore(const char *client, size_t topic, uint8_t qos)
{
	struct id id = topic_id(topic);

	world.recorded[client[1] - '0'][topic] = qos + 1u;
	assert_int_equal(
		interest_restore(world.interest, client, filter_of(topic, "p2panda/"), &id,
			terms_of_qos(qos)),
		0);
}

static void nothing(void **state)
{
	tick();
	pass(2 * S);
	unsubscribe("c0", 0);
	interest_connected(world.interest, "c0", true);
	interest_connected(world.interest, "c0", false);
	interest_offline(world.interest, "c0");
	interest_gone(world.interest, "c0");
	tick();
	assert_int_equal(world.asked, 0);
	interest_free(NULL);
}

static void the_first_joins_the_last_leaves(void **state)
{
	subscribe("c0", 0, 0);
	assert_true(world.joined[0]); /* at once */
	subscribe("c1", 0, 1);
	subscribe("c1", 1, 1);
	tick();
	unsubscribe("c0", 0);
	tick();
	assert_true(world.joined[0]);
	unsubscribe("c1", 0);
	assert_true(world.joined[0]); /* decided at TICK */
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	assert_int_equal(world.joins[0], 1);
	subscribe("c0", 0, 0);
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 2);
}

static void several_filters_of_one_client(void **state)
{
	subscribe("c0", 0, 0);
	subscribe_as("c0", 0, "$share/a/p2panda/", 0);
	subscribe_as("c0", 0, "$share/b/p2panda/", 0);
	unsubscribe("c0", 0);
	tick();
	assert_true(world.joined[0]);
	interest_unsubscribed(world.interest, "c0", filter_of(0, "$share/a/p2panda/"));
	tick();
	assert_true(world.joined[0]);
	interest_unsubscribed(world.interest, "c0", filter_of(0, "$share/b/p2panda/"));
	tick();
	assert_false(world.joined[0]);
}

static void subscribing_again_counts_once(void **state)
{
	subscribe("c0", 0, 0);
	subscribe("c0", 0, 1);
	subscribe("c0", 0, 2);
	assert_int_equal(world.joins[0], 1);
	unsubscribe("c0", 0);
	tick();
	assert_false(world.joined[0]);
	unsubscribe("c0", 0);
	tick();
	assert_int_equal(world.leaves[0], 1);
}

static void unsubscribing_the_unknown(void **state)
{
	subscribe("c0", 0, 0);
	unsubscribe("c0", 1);
	unsubscribe("c1", 0);
	interest_unsubscribed(world.interest, "c0", "");
	interest_unsubscribed(world.interest, "c0", filter_of(0, "$share/a/p2panda/"));
	tick();
	assert_true(world.joined[0]);
	assert_int_equal(world.leaves[0] + world.leaves[1], 0);
}

static void unsubscribed_and_subscribed_before_the_tick(void **state)
{
	subscribe("c0", 0, 0);
	unsubscribe("c0", 0);
	subscribe("c0", 0, 0);
	tick();
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 1);
	unsubscribe("c0", 0);
	subscribe("c1", 0, 0);
	tick();
	assert_int_equal(world.leaves[0], 0);
}

static void gone(void **state)
{
	subscribe("c0", 0, 2);
	subscribe("c0", 1, 0);
	subscribe("c1", 1, 0);
	interest_gone(world.interest, "c0");
	assert_true(world.joined[0]);
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	interest_gone(world.interest, "c0");
	tick();
	assert_true(world.joined[1]);
}

static void gone_and_back_before_the_tick(void **state)
{
	subscribe("c0", 0, 0);
	subscribe("c0", 1, 0);
	interest_gone(world.interest, "c0");
	interest_connected(world.interest, "c0", false);
	subscribe("c0", 0, 0);
	tick();
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 1); /* it did not flap */
	assert_false(world.joined[1]);
	unsubscribe("c0", 0);
	tick();
	assert_false(world.joined[0]);
}

static void offline_sessions_want_their_messages(void **state)
{
	subscribe("c0", 0, 0);
	subscribe("c0", 1, 1);
	subscribe("c0", 2, 2);
	interest_offline(world.interest, "c0");
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	assert_true(world.joined[2]);
	pass(5 * S);
	assert_true(world.joined[1]);
	interest_offline(world.interest, "c0"); /* twice is fine */
	/* It comes back to all it had. */
	interest_connected(world.interest, "c0", true);
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 2);
	pass(5 * S);
	for (size_t topic = 0; topic < 3; topic++) {
		assert_true(world.joined[topic]);
		unsubscribe("c0", topic);
	}
	tick();
	for (size_t topic = 0; topic < 3; topic++)
		assert_false(world.joined[topic]);
}

static void they_may_want_them_at_qos_0_as_well(void **state)
{
	struct interest_config config = plain;

	config.offline = INTEREST_HOLD_ALL;
	begin(&config);
	restore("c1", 3, 0);
	tick();
	assert_true(world.joined[3]);
	subscribe("c0", 0, 0);
	subscribe("c0", 1, 1);
	interest_offline(world.interest, "c0");
	pass(3 * S);
	assert_true(world.joined[0] && world.joined[1]);
	world.has_session[0] = false;
	pass(S);
	assert_true(!world.joined[0] && !world.joined[1] && world.joined[3]);
}

static void offline_and_gone(void **state)
{
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	tick();
	assert_false(world.joined[0]);
	interest_gone(world.interest, "c0");
	tick();
	interest_connected(world.interest, "c0", true);
	tick();
	assert_false(world.joined[0]);
	assert_int_equal(world.leaves[0], 1);
}

static void others_while_it_is_offline(void **state)
{
	/* The overlay of an offline QoS 0 subscription comes and goes without it. */
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	tick();
	subscribe("c1", 0, 0);
	assert_int_equal(world.joins[0], 2);
	unsubscribe("c1", 0);
	tick();
	assert_int_equal(world.leaves[0], 2);
	publish(0);
	assert_int_equal(world.joins[0], 3);
	pass(LINGER + S);
	assert_int_equal(world.leaves[0], 3);
	interest_connected(world.interest, "c0", true);
	assert_true(world.joined[0]);
	unsubscribe("c0", 0);
	tick();
	assert_false(world.joined[0]);
	assert_int_equal(world.leaves[0], 4);
}

static void offline_and_back_before_the_tick(void **state)
{
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	interest_connected(world.interest, "c0", true);
	tick();
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 1);
}

static void resubscribed_at_another_qos(void **state)
{
	subscribe("c0", 0, 1);
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	tick();
	assert_false(world.joined[0]);
	interest_connected(world.interest, "c0", true);
	subscribe("c0", 0, 1);
	interest_offline(world.interest, "c0");
	tick();
	assert_true(world.joined[0]);
}

static void taken_over(void **state)
{
	/* The other connection goes on with the session: only CONNECT is seen. */
	subscribe("c0", 0, 0);
	subscribe("c0", 1, 1);
	interest_connected(world.interest, "c0", true);
	tick();
	assert_true(world.joined[0] && world.joined[1]);
	/* It begins a new one. */
	interest_connected(world.interest, "c0", false);
	subscribe("c0", 1, 0);
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	assert_int_equal(world.joins[1], 1);
	unsubscribe("c0", 1);
	tick();
	assert_false(world.joined[1]);
}

static void a_new_session_instead_of_an_offline_one(void **state)
{
	subscribe("c0", 0, 1);
	interest_offline(world.interest, "c0");
	pass(S);
	interest_connected(world.interest, "c0", false);
	tick();
	assert_false(world.joined[0]);
	world.asked = 0;
	pass(5 * S);
	assert_int_equal(world.asked, 0);
}

static void sessions_expire_without_a_word(void **state)
{
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	subscribe("c2", 2, 1);
	interest_offline(world.interest, "c0");
	interest_offline(world.interest, "c1");
	pass(3 * S);
	assert_true(world.asked >= 6 && world.asked <= 16); /* once or twice per second each */
	assert_true(world.joined[0] && world.joined[1]);
	world.has_session[0] = false;
	world.has_session[2] = false; /* nobody asks for one that is online */
	pass(2 * S);
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	assert_true(world.joined[2]);
	interest_connected(world.interest, "c1", true);
	world.asked = 0;
	pass(5 * S);
	assert_int_equal(world.asked, 0);
}

static void an_expired_session_that_held_nothing(void **state)
{
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	tick();
	world.has_session[0] = false;
	pass(2 * S);
	world.asked = 0;
	pass(5 * S);
	assert_int_equal(world.asked, 0);
	assert_int_equal(world.leaves[0], 1);
}

/* ---- who comes back at once ---- */

static void begin_with_grace(void)
{
	struct interest_config config = plain;

	config.grace_ns = GRACE;
	begin(&config);
}

static void taken_over_again_and_again(void **state)
{
	begin_with_grace();
	subscribe("c0", 0, 1);
	for (int i = 0; i < 20; i++) {
		pass(S);
		interest_gone(world.interest, "c0");
		interest_connected(world.interest, "c0", false);
		pass(S / 5);
		subscribe("c0", 0, 1);
	}
	assert_int_equal(world.joins[0], 1);
	assert_int_equal(world.leaves[0], 0);
	/* It is seen within a second that it does not come back. */
	interest_gone(world.interest, "c0");
	pass(S / 5);
	assert_true(world.joined[0]);
	pass(2 * S / 5);
	assert_false(world.joined[0]);
}

static void joined_and_left_as_fast_as_can_be(void **state)
{
	begin_with_grace();
	for (int i = 0; i < 1000; i++) {
		subscribe("c0", 0, 1);
		world.now += S / 1000;
		tick();
		unsubscribe("c0", 0);
		pass((uint64_t)(i % 500) * S / 1000);
	}
	/* They go on for 250 s, and it is left where that takes longer than the grace. */
	assert_uint_in_range(world.leaves[0], 1, 450);
}

static void who_publishes_in_the_grace_holds(void **state)
{
	begin_with_grace();
	subscribe("c0", 0, 1);
	unsubscribe("c0", 0);
	tick();
	publish(0);
	pass(LINGER - S);
	assert_true(world.joined[0]);
	pass(3 * S);
	assert_false(world.joined[0]);
	assert_int_equal(world.joins[0], 1);
}

static void there_is_no_grace_for_what_has_expired(void **state)
{
	begin_with_grace();
	subscribe("c0", 0, 1);
	interest_offline(world.interest, "c0");
	pass(S);
	world.has_session[0] = false;
	pass(3 * S / 5);
	assert_false(world.joined[0]);
}

static void the_grace_ends_when_its_place_is_needed(void **state)
{
	struct interest_config config = plain;

	config.grace_ns = GRACE;
	config.max_overlays = 1;
	begin(&config);
	subscribe("c0", 0, 1);
	unsubscribe("c0", 0);
	tick();
	assert_true(world.joined[0]);
	subscribe("c0", 1, 1);
	assert_true(!world.joined[0] && world.joined[1]);
	assert_int_equal(world.limited, 0);
	/* And so for who publishes. */
	unsubscribe("c0", 1);
	tick();
	publish(2);
	assert_true(!world.joined[1] && world.joined[2]);
}

#define MANY 5000

/* All of them are named after c0, whose session they share in this world. */
static void many_go_offline(void)
{
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "c0-%d", i);
		subscribe(name, 0, 1);
		interest_offline(world.interest, name);
	}
}

static void many_are_asked_for_a_few_at_a_time(void **state)
{
	many_go_offline();
	pass(S);
	world.asked = 0;
	pass(10 * S);
	assert_uint_in_range(world.asked, 40, 100);
	/* There is one that still holds it. */
	subscribe("c1", 0, 1);
	interest_offline(world.interest, "c1");
	world.has_session[0] = false;
	pass(S);
	assert_true(world.joined[0]);
	/* It is the last one, which is seen, whichever way that came about. */
	world.has_session[1] = false;
	pass(S);
	assert_false(world.joined[0]);
	assert_int_equal(world.forgotten, MANY + 1);
}

static void others_of_an_overlay_that_is_held_are_forgotten_in_time(void **state)
{
	many_go_offline();
	subscribe("c1", 0, 0);
	world.has_session[0] = false;
	pass(S);
	assert_uint_in_range(world.forgotten, 2, 10);
	pass(MANY / 2 * S);
	assert_int_equal(world.forgotten, MANY);
	assert_true(world.joined[0]);
	world.asked = 0;
	pass(5 * S);
	assert_int_equal(world.asked, 0);
}

static void who_holds_many_overlays_is_asked_for_once(void **state)
{
	for (size_t topic = 0; topic < TOPICS; topic++)
		subscribe("c0", topic, 1);
	interest_offline(world.interest, "c0");
	pass(10 * S);
	assert_uint_in_range(world.asked, 10, 40);
	world.has_session[0] = false;
	pass(S);
	for (size_t topic = 0; topic < TOPICS; topic++)
		assert_false(world.joined[topic]);
}

static void publishing_lingers(void **state)
{
	publish(0);
	assert_true(world.joined[0]);
	pass(20 * S);
	publish(0);
	pass(LINGER - S);
	assert_true(world.joined[0]);
	pass(2 * S);
	assert_false(world.joined[0]);
	publish(0);
	assert_int_equal(world.joins[0], 2);
}

static void several_linger(void **state)
{
	publish(0);
	pass(10 * S);
	publish(1);
	pass(LINGER - 5 * S);
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	pass(10 * S);
	assert_false(world.joined[1]);
}

/* Each to its own end, however often it is published to and whatever comes before. */
static void many_linger(void **state)
{
	uint64_t ends[4], begun = world.now;

	for (size_t i = 0; i < 4; i++) {
		ends[i] = world.now + LINGER;
		publish(i);
		pass(S);
	}
	/* Two of them again, the younger first. */
	for (size_t i = 4; i > 0; i -= 2) {
		ends[i - 2] = world.now + LINGER;
		publish(i - 2);
		pass(S);
	}
	while (world.now < begun + 2 * LINGER) {
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(world.joined[i], world.now < ends[i]);
		world.now += S / 10;
		tick();
	}
	/* What is over is over, and begins anew. */
	publish(1);
	pass(LINGER - S);
	assert_true(world.joined[1]);
	pass(S);
	assert_false(world.joined[1]);
	assert_int_equal(world.joins[0] + world.joins[1] + world.joins[2] + world.joins[3], 5);
}

static void no_linger_at_all(void **state)
{
	begin(&(struct interest_config){.max_overlays = 1, .max_overlays_per_client = 1});
	publish(0);
	assert_true(world.joined[0]);
	tick();
	assert_false(world.joined[0]);
}

static void the_last_subscriber_ends_the_linger(void **state)
{
	publish(0);
	subscribe("c0", 0, 0);
	assert_int_equal(world.joins[0], 1);
	publish(0);
	unsubscribe("c0", 0);
	tick();
	assert_false(world.joined[0]);
	/* And the next publish joins again. */
	publish(0);
	pass(S);
	assert_true(world.joined[0]);
	pass(LINGER);
	assert_false(world.joined[0]);
}

static void a_subscriber_outlasts_the_linger(void **state)
{
	publish(0);
	subscribe("c0", 0, 0);
	pass(2 * LINGER);
	assert_true(world.joined[0]);
	assert_int_equal(world.leaves[0], 0);
}

static void fixed(void **state)
{
	struct id id = topic_id(0);

	assert_int_equal(interest_fix(world.interest, &id), 0);
	assert_int_equal(interest_fix(world.interest, &id), 0);
	assert_int_equal(world.joins[0], 1);
	subscribe("c0", 0, 0);
	publish(0);
	unsubscribe("c0", 0);
	publish(0);
	pass(2 * LINGER);
	assert_true(world.joined[0]);
	assert_int_equal(world.leaves[0], 0);
	assert_int_equal(world.joins[0], 1);
}

static void fixed_no_more(void **state)
{
	struct id id = topic_id(0), other = topic_id(1);

	interest_unfix(world.interest, &id); /* nothing is known of it */
	assert_int_equal(interest_fix(world.interest, &id), 0);
	assert_int_equal(interest_fix(world.interest, &other), 0);
	subscribe("c0", 1, 0);
	interest_unfix(world.interest, &id);
	interest_unfix(world.interest, &other);
	assert_true(world.joined[0]);
	tick();
	assert_false(world.joined[0]);
	/* Somebody else holds it. */
	assert_true(world.joined[1]);
	unsubscribe("c0", 1);
	tick();
	assert_false(world.joined[1]);
}

static void what_fails_is_tried_again(void **state)
{
	world.fails = true;
	subscribe("c0", 0, 0);
	tick();
	assert_false(world.joined[0]);
	world.fails = false;
	tick();
	assert_true(world.joined[0]);
	unsubscribe("c0", 0);
	world.fails = true;
	tick();
	assert_true(world.joined[0]);
	world.fails = false;
	tick();
	assert_false(world.joined[0]);
	/* Or not needed any more. */
	world.fails = true;
	assert_int_equal(publish_as("c3", 0), ERROR_NOMEM); /* and is told */
	subscribe("c0", 1, 0);
	unsubscribe("c0", 1);
	world.fails = false;
	tick();
	assert_false(world.joined[0]);
	assert_int_equal(world.joins[1], 0);
	publish(0);
	world.fails = true;
	pass(LINGER);
	subscribe("c0", 0, 0);
	world.fails = false;
	tick();
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[0], 2);
}

static void each_allocation_fails(void **state)
{
	struct id id = topic_id(0);
	struct interest *interest;
	bool failed = true;

	heap_fail(1, false);
	assert_int_equal(interest_new(&actions, &plain, &world.random, &interest), ERROR_NOMEM);
	for (size_t n = 1; failed; n++) {
		heap_fail(n, false);
		failed = interest_subscribed(world.interest, "c0", "p2panda/0", &id,
				 terms_of_qos(1), true) != 0;
		assert_int_equal(failed, heap_has_failed());
		heap_fail(0, false);
		tick();
		/* Then it holds nothing. */
		assert_int_equal(world.joined[0], !failed);
		assert_int_equal(world.remembered, !failed);
		interest_offline(world.interest, "c0");
	}
	interest_gone(world.interest, "c0");
	tick();
	failed = true;
	for (size_t n = 1; failed; n++) {
		heap_fail(n, false);
		failed = publish_as("c1", 0) != 0;
		assert_int_equal(failed, heap_has_failed());
		heap_fail(0, false);
		assert_int_equal(world.joined[0], !failed);
	}
	pass(LINGER + S);
	failed = true;
	for (size_t n = 1; failed; n++) {
		heap_fail(n, false);
		failed = interest_restore(world.interest, "c2", "p2panda/0", &id, terms_of_qos(1)) != 0;
		assert_int_equal(failed, heap_has_failed());
		heap_fail(0, false);
		pass(S);
		assert_int_equal(world.joined[0], !failed);
	}
	interest_gone(world.interest, "c2");
	tick();
	failed = true;
	for (size_t n = 1; failed; n++) {
		heap_fail(n, false);
		failed = interest_fix(world.interest, &id) != 0;
		heap_fail(0, false);
		assert_int_equal(world.joined[0], !failed);
	}
}

static void restored_sessions(void **state)
{
	restore("c0", 0, 0);
	restore("c0", 1, 1);
	restore("c0", 2, 2);
	restore("c1", 3, 1);
	/* Nothing is known before the broker has all its sessions back. */
	assert_int_equal(world.joins[1] + world.joins[2] + world.asked, 0);
	world.has_session[1] = false; /* it has expired meanwhile */
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1] && world.joined[2]);
	assert_int_equal(world.joins[3], 0);
	assert_int_equal(world.forgotten, 1);
	assert_int_equal(world.remembered, 0); /* it is on record already */
	pass(5 * S);
	assert_true(world.joined[1] && world.joined[2]);
	/* It comes back to all it had. */
	interest_connected(world.interest, "c0", true);
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[1], 1);
	unsubscribe("c0", 1);
	tick();
	assert_false(world.joined[1]);
	assert_true(world.joined[0] && world.joined[2]);
	interest_gone(world.interest, "c0");
	tick();
	assert_false(world.joined[0] || world.joined[2]);
	assert_int_equal(world.forgotten, 3);
	assert_int_equal(world.given_up, 1);
	world.asked = 0;
	pass(5 * S);
	assert_int_equal(world.asked, 0);
}

/* The broker has kept an older state of a session than the record. */
static void restored_and_missing(void **state)
{
	restore("c0", 0, 1);
	restore("c0", 1, 1);
	restore("c1", 2, 1);
	restore("c2", 3, 1);
	world.lost[0][1] = world.lost[1][2] = world.lost[2][3] = true;
	world.has_session[2] = false; /* nothing of it is missing: it has expired */
	tick();
	assert_int_equal(world.missing, 2);
	assert_int_equal(world.forgotten, 3);
	assert_int_equal(world.given_up, 0);
	assert_true(world.joined[0]);
	assert_int_equal(world.joins[1] + world.joins[2] + world.joins[3], 0);
	/* Each is asked for once. */
	world.lost[0][0] = true;
	pass(5 * S);
	assert_int_equal(world.missing, 2);
	assert_true(world.joined[0]);
	/* Where the broker says by itself, before the first tick, that one is not there. */
	restore("c3", 1, 1);
	unsubscribe("c3", 1);
	assert_int_equal(world.missing, 3);
	assert_int_equal(world.given_up, 0);
}

static void many_that_are_restored_are_asked_for_a_few_at_a_time(void **state)
{
	char filter[64];
	struct id id = topic_id(0);

	for (size_t i = 0; i < 120; i++) {
		snprintf(filter, sizeof filter, "$share/%zu/p2panda/0", i);
		assert_int_equal(interest_restore(world.interest, "c0", filter, &id,
					 terms_of_qos(1)), 0);
	}
	world.lost[0][0] = true;
	for (size_t left = 120; left > 0; left = left > 50 ? left - 50 : 0) {
		assert_true(interest_is_confirming(world.interest));
		assert_int_equal(world.missing, 120 - left);
		tick();
	}
	assert_false(interest_is_confirming(world.interest));
	assert_int_equal(world.missing, 120);
	assert_int_equal(world.joins[0], 0);
	/* One that is subscribed again meanwhile is not asked for. */
	restore("c1", 1, 1);
	world.lost[1][1] = true;
	subscribe("c1", 1, 1);
	tick();
	assert_int_equal(world.missing, 120);
	assert_int_equal(world.recorded[1][1], 2);
}

/* What the session before may still have after a restart, if nothing is written down until then. */
static void given_up(void **state)
{
	subscribe("c0", 0, 1);
	subscribe("c0", 1, 1);
	unsubscribe("c0", 0);
	assert_int_equal(world.given_up, 1);
	interest_offline(world.interest, "c0");
	interest_connected(world.interest, "c0", false);
	tick();
	assert_int_equal(world.given_up, 2);
	/* What it subscribes again at once is as it was. */
	subscribe("c0", 0, 1);
	subscribe("c0", 1, 1);
	interest_connected(world.interest, "c0", false);
	subscribe("c0", 1, 1);
	tick();
	assert_int_equal(world.given_up, 3);
	assert_int_equal(world.recorded[0][1], 2);
	/* Its last session has ended. */
	interest_gone(world.interest, "c0");
	tick();
	assert_int_equal(world.given_up, 3);
	assert_int_equal(world.forgotten, 1);
}

/* The broker is asked at the first tick: it has changed with its terms. */
static void changed_terms(void **state)
{
	const struct terms terms[] = {
		{1, false, 0}, {1, true, 0}, {1, true, 7}, {1 | 0x04, true, 7}};
	struct id id = topic_id(0);

	for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
		for (int again = 0; again < 2; again++)
			assert_int_equal(interest_subscribed(world.interest, "c0", "p2panda/0", &id,
						 terms[i], true), 0);
		assert_int_equal(world.remembered, i + 1);
	}
}

/* One that had been given up is there again, of a client that is back already. */
static void restored_while_it_is_connected(void **state)
{
	subscribe("c0", 0, 0);
	restore("c0", 1, 0);
	tick();
	assert_true(world.joined[0] && world.joined[1]);
	assert_int_equal(world.asked, 0);
}

static void restored_and_expired_later(void **state)
{
	restore("c0", 0, 1);
	tick();
	assert_true(world.joined[0]);
	world.has_session[0] = false;
	pass(2 * S);
	assert_false(world.joined[0]);
	assert_int_equal(world.forgotten, 1);
}

static void restored_and_begun_anew(void **state)
{
	restore("c0", 0, 1);
	restore("c0", 1, 1);
	tick();
	interest_connected(world.interest, "c0", false);
	subscribe("c0", 1, 0);
	tick();
	assert_false(world.joined[0]);
	assert_true(world.joined[1]);
	assert_int_equal(world.joins[1], 1);
	assert_int_equal(world.given_up, 1);
	assert_int_equal(world.forgotten, 0);
}

static void the_end_forgets_nothing(void **state)
{
	subscribe("c0", 0, 1);
	interest_gone(world.interest, "c0");
	restore("c1", 1, 1);
	begin(&plain);
	assert_int_equal(world.forgotten, 0);
}

static void what_is_on_record(void **state)
{
	subscribe("c0", 0, 0);
	assert_int_equal(world.recorded[0][0], 1);
	subscribe("c0", 0, 2);
	assert_int_equal(world.recorded[0][0], 3);
	subscribe("c0", 1, 1);
	interest_offline(world.interest, "c0");
	tick();
	assert_int_equal(world.recorded[0][0], 3);
	unsubscribe("c0", 0);
	assert_int_equal(world.recorded[0][0], 0);
	unsubscribe("c0", 0);
	assert_int_equal(world.given_up, 1);
	/* Whether a session is gone for good is decided at TICK: at the broker's end there
	 * are events for sessions that it keeps. */
	interest_gone(world.interest, "c0");
	assert_int_equal(world.recorded[0][1], 2);
	tick();
	assert_int_equal(world.recorded[0][1], 0);
}

static void what_could_not_be_recorded(void **state)
{
	/* Later, by itself. */
	world.cannot_remember = ERROR_FULL;
	subscribe("c0", 0, 1);
	assert_true(world.joined[0]);
	tick();
	assert_int_equal(world.recorded[0][0], 0);
	world.cannot_remember = 0;
	tick();
	assert_int_equal(world.recorded[0][0], 2);
	tick();
	/* The same again is no news for the disk. */
	subscribe("c0", 0, 1);
	assert_int_equal(world.remembered, 1);
	assert_int_equal(world.unrecorded, 0);
	/* Never: said once. */
	world.cannot_remember = ERROR_TOO_LARGE;
	subscribe("c1", 1, 1);
	tick();
	tick();
	assert_true(world.joined[1]);
	assert_int_equal(world.unrecorded, 1);
	unsubscribe("c1", 1);
	assert_int_equal(world.forgotten, 0);
}

static void records_are_limited(void **state)
{
	struct interest_config config = plain;

	config.max_records = 2;
	begin(&config);
	restore("c0", 0, 1);
	subscribe("c1", 1, 1);
	subscribe("c1", 2, 1);
	assert_true(world.joined[2]);
	assert_int_equal(world.unrecorded, 1);
	assert_int_equal(world.recorded[1][2], 0);
	/* One that is kept may change. */
	subscribe("c1", 1, 2);
	assert_int_equal(world.recorded[1][1], 3);
	unsubscribe("c1", 1);
	subscribe("c1", 2, 1);
	assert_int_equal(world.recorded[1][2], 2);
	assert_int_equal(world.unrecorded, 1);
}

static void what_ends_with_its_connection(void **state)
{
	struct id id = topic_id(0);

	for (int i = 0; i < 2; i++) {
		interest_subscribed(world.interest, "c0", "p2panda/0", &id, terms_of_qos(1), false);
		assert_true(world.joined[0]);
		assert_int_equal(world.recorded[0][0], 0);
		subscribe("c0", 0, 1);
		assert_int_equal(world.recorded[0][0], 2);
	}
	assert_int_equal(world.forgotten, 1);
}

static void a_limit_on_filters(void **state)
{
	struct interest_config config = plain;
	struct id id = topic_id(0);
	char filter[32];
	int accepted = 0;

	config.max_overlays_per_client = 5;
	begin(&config);
	for (int i = 0; i < 100; i++) {
		snprintf(filter, sizeof filter, "$share/%d/p2panda/0", i);
		accepted += interest_subscribed(
				    world.interest, "c0", filter, &id, terms_of_qos(1), true) == ERROR_NONE;
	}
	assert_int_equal(accepted, 5 * INTEREST_FILTERS_PER_OVERLAY);
	/* Those it has may be renewed, and others have theirs. */
	assert_int_equal(interest_subscribed(world.interest, "c0", "$share/0/p2panda/0", &id,
				 terms_of_qos(0),
				 true),
		ERROR_NONE);
	subscribe("c1", 0, 1);
	interest_unsubscribed(world.interest, "c0", "$share/0/p2panda/0");
	assert_int_equal(interest_subscribed(world.interest, "c0", "$share/x/p2panda/0", &id,
				 terms_of_qos(0),
				 true),
		ERROR_NONE);
}

/* Seconds for a thousand times subscribing and unsubscribing, with a TICK after each. */
static double cost_of_subscribing(void)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
	for (int i = 0; i < 1000; i++) {
		subscribe("c1", 1, 1);
		tick();
		unsubscribe("c1", 1);
		tick();
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	return (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
}

static size_t lingering;

static int on_lingering(void *context, const struct id *id)
{
	(void)id;
	lingering++;
	return ERROR_NONE;
}

static int on_lingered(void *context, const struct id *id)
{
	(void)id;
	lingering--;
	return ERROR_NONE;
}

/* Seconds in which so many publishers' times run out in so many TICKs. */
static double cost_of_lingering(size_t overlays, size_t ticks)
{
	struct interest_actions uncounted = actions;
	struct interest_config config = plain;
	struct timespec begun, ended;
	struct id id = {{0}};

	uncounted.join = on_lingering;
	uncounted.leave = on_lingered;
	config.max_overlays = config.max_overlays_per_client = overlays;
	config.max_overlays_per_user = config.max_overlays_per_address = overlays;
	interest_free(world.interest);
	assert_int_equal(
		interest_new(&uncounted, &config, &world.random, &world.interest), 0);
	for (uint64_t i = 0; i < overlays; i++) {
		memcpy(id.bytes, &i, sizeof i);
		assert_int_equal(interest_published(world.interest,
					 world.now + i * ticks / overlays, "c0", &id),
			0);
	}
	tick();
	assert_int_equal(lingering, overlays);
	world.now += LINGER;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
	for (size_t i = 0; i < ticks; i++, world.now++) {
		tick();
		assert_int_equal(lingering, overlays - (i + 1) * (overlays / ticks));
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	return (double)(ended.tv_sec - begun.tv_sec) +
	       (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
}

static void hear(const char *client, size_t topic, const char *before)
{
	struct id id = topic_id(topic);

	interest_heard(world.interest, client, filter_of(topic, before), &id);
}

static uint64_t witness(size_t topic)
{
	struct id id = topic_id(topic);

	return interest_witness(world.interest, &id);
}

/* Whoever subscribes a topic itself and is sent what is published there, until something might
 * have been missed. */
static void witnesses(void **state)
{
	uint64_t first, second;

	hear("c0", 0, "p2panda/");
	assert_true(witness(0) == 0);
	subscribe("c0", 0, 1);
	subscribe("c0", 1, 1);
	subscribe("c1", 0, 0);
	assert_true(witness(0) == 0);
	hear("c2", 0, "p2panda/");
	assert_true(witness(0) == 0);
	hear("c0", 0, "p2panda/");
	first = witness(0);
	assert_true(first != 0 && witness(1) == 0);
	/* It stays the same one. */
	hear("c1", 0, "p2panda/");
	unsubscribe("c1", 0);
	unsubscribe("c0", 1);
	subscribe("c0", 0, 2);
	interest_connected(world.interest, "c0", true); /* taken over */
	tick();
	assert_true(witness(0) == first);

	/* Offline it is sent nothing; later it is another one. */
	interest_offline(world.interest, "c0");
	assert_true(witness(0) == 0);
	hear("c0", 0, "p2panda/");
	assert_true(witness(0) == 0);
	interest_connected(world.interest, "c0", true);
	assert_true(witness(0) == 0);
	hear("c0", 0, "p2panda/");
	second = witness(0);
	assert_true(second != 0 && second != first);
	unsubscribe("c0", 0);
	assert_true(witness(0) == 0);

	for (int i = 0; i < 2; i++) {
		subscribe("c0", 0, 2);
		hear("c0", 0, "p2panda/");
		assert_true(witness(0) != 0);
		if (i == 0)
			interest_gone(world.interest, "c0");
		else
			interest_connected(world.interest, "c0", false);
		assert_true(witness(0) == 0);
		hear("c0", 0, "p2panda/");
		assert_true(witness(0) == 0);
		tick();
	}
}

/* What a TICK costs goes by whose time is over, not by how many linger. */
static void others_linger_costs_nothing(void **state)
{
	double at_once = cost_of_lingering(50000, 1), by_and_by = cost_of_lingering(50000, 1000);

	print_message("50,000 lingers end: %.1f ms in one TICK, %.1f ms in a thousand\n",
		at_once * 1e3, by_and_by * 1e3);
	assert_true(by_and_by < 10 * at_once);
}

static void others_filters_cost_nothing(void **state)
{
	struct interest_config config = plain;
	struct id id = topic_id(0);
	char client[16], filter[32];
	double alone = cost_of_subscribing(), beside;

	config.max_overlays_per_client = 100;
	begin(&config);
	for (int i = 0; i < 50000; i++) {
		snprintf(client, sizeof client, "c0 %d", i / 100);
		snprintf(filter, sizeof filter, "$share/%d/p2panda/0", i);
		assert_int_equal(
			interest_subscribed(world.interest, client, filter, &id, terms_of_qos(1), true), 0);
	}
	tick();
	beside = cost_of_subscribing();
	print_message("%.2f us alone, %.2f us beside 50,000 filters\n", alone * 1e3, beside * 1e3);
	assert_true(beside < 20 * alone);
}

static void offline_sessions_may_have_to_let_go(void **state)
{
	struct interest_config config = plain;

	config.offline = INTEREST_LEAVE;
	begin(&config);
	restore("c1", 3, 2);
	tick();
	assert_int_equal(world.joins[3], 0);
	subscribe("c0", 0, 2);
	interest_offline(world.interest, "c0");
	tick();
	assert_false(world.joined[0]);
	assert_int_equal(world.forgotten, 0);
	interest_connected(world.interest, "c0", true);
	interest_connected(world.interest, "c1", true);
	assert_true(world.joined[0] && world.joined[3]);
}

static void a_limit_in_all(void **state)
{
	struct interest_config config = plain;
	struct id id = topic_id(3);

	config.max_overlays = 2;
	begin(&config);
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	subscribe("c2", 2, 1);
	assert_int_equal(world.limited, 1);
	assert_int_equal(world.recorded[2][2], 0);
	assert_int_equal(publish_as("c0", 2), ERROR_LIMIT);
	/* What is joined takes more holders. */
	subscribe("c2", 1, 1);
	publish(0);
	tick();
	assert_true(world.joined[0] && world.joined[1]);
	assert_int_equal(world.joins[2] + world.joins[3], 0);
	/* Room again: for who subscribes again. */
	unsubscribe("c0", 0);
	tick();
	tick();
	assert_int_equal(world.joins[2], 0);
	subscribe("c2", 2, 1);
	assert_true(world.joined[2]);
	assert_int_equal(world.limited, 1);
	unsubscribe("c2", 2);
	tick();
	assert_int_equal(publish_as("c0", 2), 0);
	assert_int_equal(publish_as("c0", 0), ERROR_LIMIT);
	pass(LINGER + S);
	assert_int_equal(publish_as("c0", 0), 0);
	assert_int_equal(interest_fix(world.interest, &id), ERROR_LIMIT);
}

static void a_limit_on_those_that_come_back(void **state)
{
	struct interest_config config = plain;

	config.max_overlays = 1;
	begin(&config);
	subscribe("c0", 0, 0);
	interest_offline(world.interest, "c0");
	tick();
	subscribe("c1", 1, 0);
	interest_connected(world.interest, "c0", true);
	assert_int_equal(world.limited, 1);
	assert_int_equal(world.recorded[0][0], 0);
	tick();
	unsubscribe("c1", 1);
	tick();
	assert_false(world.joined[0] || world.joined[1]);
	subscribe("c0", 0, 0);
	assert_true(world.joined[0]);
	/* And after a restart with lower limits. */
	begin(&config);
	restore("c0", 0, 1);
	restore("c1", 1, 1);
	tick();
	assert_int_equal(world.joined[0] + world.joined[1], 1);
	assert_int_equal(world.limited, 2);
	config.max_overlays = 100;
	config.max_overlays_per_client = 2;
	begin(&config);
	for (size_t topic = 0; topic < TOPICS; topic++)
		restore("c0", topic, 1);
	tick();
	assert_int_equal(world.limited, 4);
	assert_int_equal(world.joined[0] + world.joined[1] + world.joined[2] + world.joined[3], 2);
	tick();
	for (size_t topic = 0; topic < TOPICS; topic++)
		assert_int_equal(world.joined[topic], publish_as("c0", topic) == 0);
}

static void a_limit_for_each_client(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_client = 2;
	begin(&config);
	subscribe("c0", 0, 1);
	subscribe_as("c0", 0, "$share/a/p2panda/", 1); /* the same overlay counts once */
	subscribe("c0", 0, 2);
	subscribe("c0", 1, 1);
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 1);
	assert_int_equal(world.joins[2], 0);
	assert_int_equal(publish_as("c0", 2), ERROR_LIMIT);
	assert_int_equal(publish_as("c0", 0), 0);
	/* Others are not touched by it, and it may use what they hold. */
	subscribe("c1", 2, 1);
	assert_int_equal(publish_as("c0", 2), 0);
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 2);
	/* Half of the holders of an overlay make no room, all of them do. */
	unsubscribe("c0", 0);
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 3);
	interest_unsubscribed(world.interest, "c0", filter_of(0, "$share/a/p2panda/"));
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 3);
	/* A new session has nothing of the old one. */
	interest_connected(world.interest, "c0", false);
	subscribe("c0", 3, 1);
	subscribe("c0", 0, 1);
	assert_int_equal(world.limited, 3);
	tick();
	subscribe("c0", 1, 1);
	assert_int_equal(world.limited, 4);
}

static void a_limit_for_publishers(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_client = 2;
	begin(&config);
	assert_int_equal(publish_as("c0", 0), 0);
	assert_int_equal(publish_as("c0", 1), 0);
	assert_int_equal(publish_as("c0", 2), ERROR_LIMIT);
	assert_int_equal(publish_as("c0", 0), 0);
	assert_int_equal(publish_as("c1", 0), 0); /* no more overlay for that */
	assert_int_equal(publish_as("c1", 2), 0);
	subscribe("c0", 3, 0);
	assert_int_equal(world.limited, 1);
	/* What it publishes to and subscribes counts once. */
	subscribe("c0", 0, 0);
	subscribe("c0", 1, 0);
	assert_int_equal(world.limited, 1);
	tick();
	subscribe("c0", 2, 0);
	assert_int_equal(world.limited, 2);
	assert_int_equal(publish_as("c0", 3), ERROR_LIMIT);
	unsubscribe("c0", 0);
	unsubscribe("c0", 1);
	tick();
	/* A subscriber takes the overlay over from who published. */
	assert_int_equal(publish_as("c0", 0), 0);
	assert_int_equal(publish_as("c0", 1), 0);
	subscribe("c2", 0, 0);
	assert_int_equal(publish_as("c0", 3), 0);
	assert_int_equal(publish_as("c0", 0), 0);
	/* The end of lingering gives back. Being away does not. */
	pass(LINGER / 2);
	interest_gone(world.interest, "c0");
	tick();
	unsubscribe("c2", 0);
	tick();
	assert_int_equal(publish_as("c0", 0), ERROR_LIMIT);
	pass(LINGER);
	assert_int_equal(publish_as("c0", 0), 0);
	assert_int_equal(publish_as("c0", 1), 0);
	assert_int_equal(publish_as("c0", 2), ERROR_LIMIT);
}

/* ---- rights ---- */

static void change_right(size_t client, size_t topic, bool forbidden)
{
	world.forbidden[client][topic] = forbidden;
	interest_rights_changed(world.interest);
	tick();
}

static void who_may_not_read_holds_nothing(void **state)
{
	world.forbidden[0][0] = true;
	subscribe("c0", 0, 1);
	subscribe_as("c0", 0, "$share/a/p2panda/", 1);
	tick();
	assert_int_equal(world.joins[0], 0);
	assert_int_equal(world.denied, 2);
	assert_int_equal(world.remembered, 0);
	/* Once it may, and once it may not any more. */
	change_right(0, 0, false);
	assert_true(world.joined[0]);
	assert_int_equal(world.recorded[0][0], 2);
	change_right(0, 0, true);
	assert_false(world.joined[0]);
	assert_int_equal(world.denied, 4);
	assert_int_equal(world.recorded[0][0], 0);
	/* Others may. */
	subscribe("c1", 0, 0);
	assert_true(world.joined[0]);
	unsubscribe("c1", 0);
	unsubscribe("c0", 0);
	tick();
	assert_false(world.joined[0]);
	change_right(0, 0, false);
	assert_true(world.joined[0]); /* for the shared one is still there */
}

static void rights_change_without_a_word(void **state)
{
	subscribe("c0", 0, 1);
	subscribe("c0", 1, 1);
	subscribe("c1", 2, 1);
	interest_offline(world.interest, "c0");
	world.forbidden[0][0] = true;
	world.forbidden[1][2] = true;
	pass(59 * S);
	assert_true(world.joined[0] && world.joined[2]);
	pass(2 * S);
	assert_false(world.joined[2]);
	/* Of who is offline, every ten minutes. */
	pass(600 * S);
	assert_true(!world.joined[0] && world.joined[1]);
	/* Who comes back is asked for at once. */
	world.forbidden[0][0] = false;
	world.forbidden[0][1] = true;
	interest_connected(world.interest, "c0", true);
	tick();
	assert_true(world.joined[0] && !world.joined[1]);
}

static void denied_ones_are_known_up_to_a_limit(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_client = 1;
	config.max_denied = 2;
	begin(&config);
	for (size_t topic = 0; topic < 3; topic++) {
		world.forbidden[0][topic] = true;
		subscribe("c0", topic, 1);
	}
	/* They do not count for its limit. */
	subscribe("c0", 3, 1);
	assert_true(world.joined[3]);
	unsubscribe("c0", 3);
	tick();
	memset(world.forbidden, 0, sizeof world.forbidden);
	interest_rights_changed(world.interest);
	tick();
	assert_true(world.joined[0] && !world.joined[1] && !world.joined[2]);
	assert_int_equal(world.limited, 1); /* the second one; the third one is forgotten */
}

static void restored_sessions_need_the_right_too(void **state)
{
	world.forbidden[0][0] = true;
	restore("c0", 0, 1);
	restore("c1", 1, 1);
	tick();
	assert_true(!world.joined[0] && world.joined[1]);
	assert_int_equal(world.joins[0], 0);
}

static void rights_are_asked_for_in_slices(void **state)
{
	struct id id = topic_id(0);
	char filter[32];
	unsigned before, most = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(filter, sizeof filter, "$share/%d/p2panda/0", i);
		assert_int_equal(
			interest_subscribed(world.interest, "c0", filter, &id, terms_of_qos(1), true), 0);
	}
	assert_int_equal(world.rights_asked, 300);
	world.forbidden[0][0] = true;
	interest_rights_changed(world.interest);
	for (int i = 0; i < 20; i++) {
		before = world.rights_asked;
		tick();
		if (world.rights_asked - before > most)
			most = world.rights_asked - before;
	}
	assert_uint_in_range(most, 1, 50);
	assert_int_equal(world.rights_asked, 600); /* each once */
	assert_false(world.joined[0]);
	assert_int_equal(world.denied, 300);
}

/* ---- limits that clients share ---- */

static void a_limit_for_each_user(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_user = 2;
	begin(&config);
	for (size_t client = 0; client < 3; client++)
		world.owners[client].user = "one";
	world.owners[3].user = "other";
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	subscribe("c2", 1, 1); /* one overlay counts once */
	subscribe("c2", 2, 1);
	assert_int_equal(world.limited, 1);
	assert_int_equal(publish_as("c2", 2), ERROR_LIMIT);
	subscribe("c3", 2, 1);
	assert_true(world.joined[2]);
	/* It is another one's now, who takes what it holds along. */
	world.owners[0].user = "other";
	interest_connected(world.interest, "c0", true);
	tick();
	assert_true(world.joined[0] && world.joined[1] && world.joined[2]);
	assert_int_equal(world.leaves[0], 0);
	subscribe("c3", 3, 1);
	assert_int_equal(world.limited, 2);
	subscribe("c1", 3, 1);
	assert_true(world.joined[3]);
}

static void a_limit_for_each_address(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_address = 1;
	begin(&config);
	world.owners[0].address = "2001:db8::1";
	world.owners[1].address = "2001:db8::ffff:1"; /* in the same /64 */
	world.owners[2].address = "192.0.2.1";
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	assert_false(world.joined[1]);
	assert_int_equal(publish_as("c1", 1), ERROR_LIMIT);
	subscribe("c2", 1, 1);
	assert_true(world.joined[1]);
	/* Who has none, as on a Unix socket, is not limited so. */
	subscribe("c3", 2, 1);
	subscribe("c3", 3, 1);
	assert_int_equal(world.limited, 1);
	/* What is published counts as long as it lingers. */
	unsubscribe("c0", 0);
	tick();
	assert_int_equal(publish_as("c1", 0), 0);
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 2);
	pass(LINGER + S);
	subscribe("c0", 2, 1);
	assert_int_equal(world.limited, 2);
}

static void who_is_offline_gives_way(void **state)
{
	struct interest_config config = plain;

	config.max_overlays = 3;
	begin(&config);
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	subscribe("c1", 2, 1);
	subscribe("c2", 3, 1);
	assert_int_equal(world.limited, 1); /* nobody is offline */
	interest_offline(world.interest, "c0");
	interest_offline(world.interest, "c1");
	subscribe("c2", 3, 1);
	/* Of who has more, one. */
	assert_true(world.joined[0] && world.joined[3]);
	assert_int_equal(world.joined[1] + world.joined[2], 1);
	assert_int_equal(world.gave_way[0], 0);
	assert_int_equal(world.gave_way[1], 1);
	tick();
	/* It comes back, and so others give way to it. */
	interest_connected(world.interest, "c1", true);
	assert_true(world.joined[1] && world.joined[2]);
	assert_int_equal(world.gave_way[0], 1);
	assert_int_equal(world.recorded[0][0], 2); /* known for when it is back */
	/* A publisher has no such right, nor who is offline itself. */
	interest_offline(world.interest, "c1");
	assert_int_equal(publish_as("c2", 0), ERROR_LIMIT);
	begin(&config);
	for (size_t topic = 0; topic < 4; topic++)
		restore("c0", topic, 1);
	tick();
	assert_int_equal(world.joined[0] + world.joined[1] + world.joined[2] + world.joined[3], 3);
	assert_int_equal(world.limited, 2);
	unsubscribe("c0", 0);
	unsubscribe("c0", 1);
	tick();
	interest_connected(world.interest, "c0", true);
	tick();
	assert_true(world.joined[2] && world.joined[3]);
}

/* Nor until TICK. */
static void what_nobody_holds_takes_no_place(void **state)
{
	struct interest_config config = plain;

	config.max_overlays = 1;
	begin(&config);
	subscribe("c0", 0, 1);
	unsubscribe("c0", 0);
	subscribe("c1", 1, 1);
	assert_true(!world.joined[0] && world.joined[1]);
	/* Nor what a session had that is gone. */
	interest_gone(world.interest, "c1");
	subscribe("c0", 2, 1);
	assert_true(!world.joined[1] && world.joined[2]);
	/* A publisher may have it as well, and keeps it for a while. */
	unsubscribe("c0", 2);
	publish(0);
	assert_true(world.joined[0] && !world.joined[2]);
	subscribe("c0", 3, 1);
	assert_int_equal(world.limited, 1);
	assert_int_equal(publish_as("c2", 1), ERROR_LIMIT);
	pass(LINGER);
	assert_int_equal(world.joins[0] + world.joins[1] + world.joins[2] + world.joins[3], 4);
	assert_int_equal(world.joined[0] + world.joined[1] + world.joined[2] + world.joined[3], 0);
	/* What somebody has is not taken away, and where there is room nothing is left early. */
	subscribe("c0", 0, 1);
	subscribe("c1", 1, 1);
	assert_int_equal(world.limited, 2);
	config.max_overlays = 2;
	begin(&config);
	subscribe("c0", 0, 1);
	unsubscribe("c0", 0);
	subscribe("c1", 1, 1);
	assert_true(world.joined[0] && world.joined[1]);
	subscribe("c0", 0, 1);
	tick();
	assert_int_equal(world.joins[0], 4);
}

static void nor_for_whom_it_belongs_to(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_user = 1;
	begin(&config);
	world.owners[0].user = world.owners[1].user = "one";
	subscribe("c0", 0, 1);
	interest_gone(world.interest, "c0");
	subscribe("c1", 1, 1);
	assert_true(!world.joined[0] && world.joined[1]);
	assert_int_equal(world.limited, 0);
	tick();
	assert_int_equal(world.joins[0] + world.joins[1], 2);
	assert_true(world.joined[1]);
}

static void who_is_offline_gives_way_to_its_own(void **state)
{
	struct interest_config config = plain;

	config.max_overlays_per_user = 1;
	begin(&config);
	world.owners[0].user = world.owners[1].user = "one";
	world.owners[2].user = "other";
	subscribe("c0", 0, 1);
	subscribe("c2", 0, 1);
	interest_offline(world.interest, "c0");
	interest_offline(world.interest, "c2");
	subscribe("c1", 1, 1);
	tick();
	assert_true(world.joined[0] && world.joined[1]); /* the other one still has it held */
	assert_int_equal(world.gave_way[0], 1);
	assert_int_equal(world.gave_way[2], 0);
}

static void nothing_grows(void **state)
{
	struct interest_config config = plain;
	size_t blocks = heap_blocks();
	char client[8];

	config.max_overlays_per_client = 1;
	begin(&config);
	for (int i = 0; i < 10000; i++) {
		snprintf(client, sizeof client, "c%d", i % CLIENTS);
		subscribe(client, (size_t)i % TOPICS, (uint8_t)(i % 3));
		subscribe(client, (size_t)(i + 1) % TOPICS, 0); /* over the limit */
		(void)publish_as(client, (size_t)(i + 2) % TOPICS);
		if (i % 5 == 0)
			interest_offline(world.interest, client);
		if (i % 2)
			unsubscribe(client, (size_t)i % TOPICS);
		else
			interest_gone(world.interest, client);
		tick();
	}
	pass(LINGER + S);
	assert_int_equal(heap_blocks(), blocks);
}

/* The same by plain arrays, to compare with. */
static struct {
	bool subscribed[CLIENTS][TOPICS];
	uint8_t qos[CLIENTS][TOPICS];
	bool offline[CLIENTS];
} model;

static bool is_held(size_t topic)
{
	for (size_t client = 0; client < CLIENTS; client++)
		if (model.subscribed[client][topic] && !world.forbidden[client][topic] &&
			(!model.offline[client] || model.qos[client][topic] > 0))
			return true;
	return false;
}

static unsigned recorded(size_t client, size_t topic)
{
	return model.subscribed[client][topic] && !world.forbidden[client][topic]
		       ? model.qos[client][topic] + 1u
		       : 0;
}

static void random_event(void)
{
	size_t client = random_below(&world.random, CLIENTS);
	size_t topic = random_below(&world.random, TOPICS);
	uint8_t qos = (uint8_t)random_below(&world.random, 3);
	char name[4] = {'c', (char)('0' + client)};
	bool kept = random_below(&world.random, 2);

	switch (random_below(&world.random, 9)) {
	case 0:
	case 1:
	case 2:
		if (model.offline[client])
			break;
		subscribe(name, topic, qos);
		model.subscribed[client][topic] = true;
		model.qos[client][topic] = qos;
		break;
	case 3:
		if (model.offline[client])
			break;
		unsubscribe(name, topic);
		model.subscribed[client][topic] = false;
		break;
	case 4:
		if (!kept)
			memset(model.subscribed[client], 0, sizeof model.subscribed[client]);
		model.offline[client] = false;
		interest_connected(world.interest, name, kept);
		break;
	case 5:
		interest_offline(world.interest, name);
		model.offline[client] = true;
		break;
	case 6:
		interest_gone(world.interest, name);
		memset(model.subscribed[client], 0, sizeof model.subscribed[client]);
		/* A client without subscriptions is forgotten, until it connects again. */
		interest_connected(world.interest, name, false);
		model.offline[client] = false;
		break;
	case 7:
		world.has_session[client] = false;
		pass(2 * S);
		world.has_session[client] = true;
		if (model.offline[client])
			memset(model.subscribed[client], 0, sizeof model.subscribed[client]);
		break;
	case 8:
		change_right(client, topic, !world.forbidden[client][topic]);
		break;
	}
}

static void anything_in_any_order_with_grace(void **state)
{
	for (unsigned seed = 1; seed <= 50; seed++) {
		teardown(NULL);
		setup(NULL);
		begin_with_grace();
		memset(&model, 0, sizeof model);
		world.seed = seed;
		for (int i = 0; i < 300; i++) {
			random_event();
			for (size_t topic = 0; topic < TOPICS; topic++)
				assert_true(world.joined[topic] || !is_held(topic));
			if (random_below(&world.random, 2))
				continue;
			pass(GRACE + S / 10);
			for (size_t topic = 0; topic < TOPICS; topic++)
				assert_int_equal(world.joined[topic], is_held(topic));
		}
	}
}

static void anything_in_any_order(void **state)
{
	for (unsigned seed = 1; seed <= 100; seed++) {
		teardown(NULL);
		setup(NULL);
		memset(&model, 0, sizeof model);
		world.seed = seed;
		for (int i = 0; i < 300; i++) {
			random_event();
			for (size_t topic = 0; topic < TOPICS; topic++)
				assert_true(world.joined[topic] || !is_held(topic));
			if (random_below(&world.random, 2))
				continue;
			tick();
			for (size_t topic = 0; topic < TOPICS; topic++)
				assert_int_equal(world.joined[topic], is_held(topic));
			/* And so the record. */
			for (size_t client = 0; client < CLIENTS; client++)
				for (size_t topic = 0; topic < TOPICS; topic++)
					assert_int_equal(world.recorded[client][topic],
						recorded(client, topic));
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing),
		TEST(the_first_joins_the_last_leaves),
		TEST(several_filters_of_one_client),
		TEST(subscribing_again_counts_once),
		TEST(unsubscribing_the_unknown),
		TEST(unsubscribed_and_subscribed_before_the_tick),
		TEST(gone),
		TEST(gone_and_back_before_the_tick),
		TEST(offline_sessions_want_their_messages),
		TEST(they_may_want_them_at_qos_0_as_well),
		TEST(offline_and_gone),
		TEST(others_while_it_is_offline),
		TEST(offline_and_back_before_the_tick),
		TEST(resubscribed_at_another_qos),
		TEST(taken_over),
		TEST(a_new_session_instead_of_an_offline_one),
		TEST(sessions_expire_without_a_word),
		TEST(an_expired_session_that_held_nothing),
		TEST(taken_over_again_and_again),
		TEST(joined_and_left_as_fast_as_can_be),
		TEST(who_publishes_in_the_grace_holds),
		TEST(there_is_no_grace_for_what_has_expired),
		TEST(the_grace_ends_when_its_place_is_needed),
		TEST(anything_in_any_order_with_grace),
		TEST(many_are_asked_for_a_few_at_a_time),
		TEST(others_of_an_overlay_that_is_held_are_forgotten_in_time),
		TEST(who_holds_many_overlays_is_asked_for_once),
		TEST(publishing_lingers),
		TEST(several_linger),
		TEST(many_linger),
		TEST(no_linger_at_all),
		TEST(the_last_subscriber_ends_the_linger),
		TEST(a_subscriber_outlasts_the_linger),
		TEST(fixed),
		TEST(fixed_no_more),
		TEST(what_fails_is_tried_again),
		TEST(restored_sessions),
		TEST(restored_and_missing),
		TEST(many_that_are_restored_are_asked_for_a_few_at_a_time),
		TEST(given_up),
		TEST(changed_terms),
		TEST(restored_while_it_is_connected),
		TEST(restored_and_expired_later),
		TEST(restored_and_begun_anew),
		TEST(the_end_forgets_nothing),
		TEST(what_is_on_record),
		TEST(what_could_not_be_recorded),
		TEST(records_are_limited),
		TEST(what_ends_with_its_connection),
		TEST(a_limit_on_filters),
		TEST(others_filters_cost_nothing),
		TEST(others_linger_costs_nothing),
		TEST(witnesses),
		TEST(offline_sessions_may_have_to_let_go),
		TEST(a_limit_in_all),
		TEST(a_limit_on_those_that_come_back),
		TEST(a_limit_for_each_client),
		TEST(a_limit_for_publishers),
		TEST(who_may_not_read_holds_nothing),
		TEST(rights_change_without_a_word),
		TEST(denied_ones_are_known_up_to_a_limit),
		TEST(restored_sessions_need_the_right_too),
		TEST(rights_are_asked_for_in_slices),
		TEST(a_limit_for_each_user),
		TEST(a_limit_for_each_address),
		TEST(who_is_offline_gives_way),
		TEST(what_nobody_holds_takes_no_place),
		TEST(nor_for_whom_it_belongs_to),
		TEST(who_is_offline_gives_way_to_its_own),
		TEST(nothing_grows),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
