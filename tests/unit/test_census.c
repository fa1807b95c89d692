/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The census beside a broker that does as Mosquitto 2.0 does: a tree of subscriptions, $share
 * groups that take turns, sessions that go on in another connection, and connections at addresses
 * that were others' before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "plugin/census.h"
#include "support_heap.h"

#define S	 UINT64_C(1000000000)
#define ONE	 "p2panda/1111111111111111111111111111111111111111111111111111111111111111"
#define TWO	 "p2panda/2222222222222222222222222222222222222222222222222222222222222222"
#define SESSIONS 6
#define ASKED	 20000
#define SEEDS	 2000

/* The first OURS are followed, the others are just there. */
static const char *const filters[] = {ONE, TWO, ONE "/#", ONE "/ephemeral/+", TWO "/ephemeral/json",
	"$share/g/" ONE, "$share/h/" TWO, "$share/g/" TWO "/#", "p2panda/name/x", "p2panda/+", "#",
	"$share/g/p2panda/+", "p2panda/+/ephemeral/json"};
#define OURS	9
#define FILTERS (sizeof filters / sizeof filters[0])

/* What a client id has, in the broker or by what was told. */
struct session {
	char id[8];
	char handles[4]; /* addresses of connections */
	unsigned handle;
	bool exists, connected, lasting;
	bool has[FILTERS + 1]; /* the last one: any other */
	uint8_t qos[FILTERS + 1];
	uint64_t expires; /* 0: never */
};

struct asked {
	char topic[300];
	unsigned number;
	bool decoy;
};

static struct {
	struct census *census;
	struct random random;
	uint64_t seed, now;
	struct session real[SESSIONS], told[SESSIONS];
	unsigned turns[FILTERS][SESSIONS], members[FILTERS]; /* of shared ones */
	struct asked asked[ASKED];
	size_t asked_count, asked_most;
	bool denies;
	size_t crowd; /* clients x0, x1... besides */
	bool crowd_is_gone;
	size_t crowd_turn;
} world;

/* ---- what the census says ---- */

static struct session *told(const char *client)
{
	static struct session any;

	for (size_t i = 0; i < SESSIONS; i++)
		if (strcmp(world.real[i].id, client) == 0)
			return &world.told[i];
	if (*client == 'x')
		return &any;
	fail();
	return NULL;
}

static size_t filter_number(const char *filter)
{
	for (size_t i = 0; i < FILTERS; i++)
		if (strcmp(filters[i], filter) == 0)
			return i;
	return FILTERS;
}

static void on_ask(void *context, const char *topic, unsigned number, bool decoy)
{
	assert_true(world.asked_count < ASKED);
	snprintf(world.asked[world.asked_count].topic, sizeof world.asked[0].topic, "%s", topic);
	world.asked[world.asked_count].number = number;
	world.asked[world.asked_count++].decoy = decoy;
}

static void on_subscribed(
	void *context, const char *client, const char *filter, uint8_t qos, bool lasting)
{
	told(client)->exists = true;
	told(client)->has[filter_number(filter)] = true;
	told(client)->qos[filter_number(filter)] = qos;
}

static void on_unsubscribed(void *context, const char *client, const char *filter)
{
	told(client)->has[filter_number(filter)] = false;
}

static void on_connected(void *context, const char *client, bool anew)
{
	told(client)->connected = true;
}

static void on_offline(void *context, const char *client)
{
	told(client)->connected = false;
}

static void on_gone(void *context, const char *client)
{
	memset(told(client)->has, 0, sizeof told(client)->has);
	told(client)->connected = told(client)->exists = false;
}

/* ---- the broker ---- */

static bool is_shared(size_t filter)
{
	return strncmp(filters[filter], "$share/", 7) == 0;
}

static bool matches(const char *filter, const char *topic)
{
	for (;;) {
		size_t a = strcspn(filter, "/"), b = strcspn(topic, "/");

		if (*filter == '#')
			return true;
		if (*filter != '+' && (a != b || memcmp(filter, topic, a) != 0))
			return false;
		filter += a;
		topic += b;
		if (!*topic)
			return !*filter || strcmp(filter, "/#") == 0;
		if (!*filter)
			return false;
		filter++;
		topic++;
	}
}

static struct census_who who_is(const struct session *session)
{
	return (struct census_who){.handle = &session->handles[session->handle],
		.id = session->id,
		.user = "user",
		.address = "address",
		.lasting = session->lasting};
}

static void answer(const struct asked *asked, size_t session)
{
	struct census_who who = who_is(&world.real[session]);

	census_answered(world.census, asked->number, asked->decoy, &who);
}

static struct census_who one_of_crowd(size_t number)
{
	static char id[16];
	static const char connections[4096];

	snprintf(id, sizeof id, "x%zu", number);
	return (struct census_who){.handle = connections + number, .id = id, .lasting = true};
}

/* What begins with p2panda/name/<id>/ its client has subscribed; p2panda/name/shared they share. */
static void deliver_to_crowd(const struct asked *asked)
{
	struct census_who who;
	size_t number;

	if (world.crowd == 0 || world.crowd_is_gone)
		return;
	if (strcmp(asked->topic, "p2panda/name/shared") == 0)
		number = world.crowd_turn++ % world.crowd;
	else if (sscanf(asked->topic, "p2panda/name/x%zu/", &number) != 1)
		return;
	who = one_of_crowd(number);
	census_answered(world.census, asked->number, asked->decoy, &who);
}

static void deliver(const struct asked *asked)
{
	deliver_to_crowd(asked);
	for (size_t i = 0; i < FILTERS; i++) {
		const char *filter = filters[i] + (is_shared(i) ? 9 : 0);
		unsigned first = world.turns[i][0];

		if (!matches(filter, asked->topic))
			continue;
		if (!is_shared(i)) {
			for (size_t j = 0; j < SESSIONS; j++)
				if (world.real[j].has[i])
					answer(asked, j);
			continue;
		}
		if (world.members[i] == 0)
			continue;
		answer(asked, first);
		memmove(world.turns[i], world.turns[i] + 1,
			(world.members[i] - 1) * sizeof first);
		world.turns[i][world.members[i] - 1] = first;
	}
}

static void set_filter(size_t session, size_t filter, bool has)
{
	unsigned *turns = world.turns[filter], *members = &world.members[filter], i = 0;

	if (world.real[session].has[filter] == has)
		return;
	world.real[session].has[filter] = has;
	if (!is_shared(filter))
		return;
	if (has) {
		turns[(*members)++] = (unsigned)session;
		return;
	}
	while (turns[i] != session)
		i++;
	memmove(turns + i, turns + i + 1, (--*members - i) * sizeof *turns);
}

static void end_session(size_t session)
{
	for (size_t i = 0; i < FILTERS; i++)
		set_filter(session, i, false);
	world.real[session].exists = world.real[session].connected = false;
	world.real[session].expires = 0;
}

static bool is_denied(size_t session, size_t filter)
{
	const char *topic = filters[filter] + (is_shared(filter) ? 9 : 0);

	/* Which one of two with the same topics is denied cannot always be told. */
	return world.denies && (session + strlen(topic) + !strstr(topic, ONE)) % 4 == 0;
}

static bool is_subscribed(const struct session *session)
{
	for (size_t i = 0; i < FILTERS; i++)
		if (session->has[i])
			return true;
	return false;
}

static void tell_disconnected(const struct session *session, bool has_subscriptions, bool lasting)
{
	struct census_who who = who_is(session);

	who.lasting = lasting;
	census_disconnected(world.census, &who, has_subscriptions);
}

static void subscribe(size_t session, size_t filter, uint8_t qos)
{
	struct census_who who = who_is(&world.real[session]);

	if (filter < OURS)
		assert_int_equal(
			census_subscribes(world.census, &who, filters[filter], qos), ERROR_NONE);
	if (is_denied(session, filter))
		return;
	set_filter(session, filter, true);
	world.real[session].qos[filter] = qos;
}

static void unsubscribe(size_t session, size_t filter)
{
	struct census_who who = who_is(&world.real[session]);

	if (filter < OURS)
		census_unsubscribes(world.census, &who, filters[filter]);
	set_filter(session, filter, false);
}

static void disconnect(size_t number)
{
	struct session *session = &world.real[number];

	tell_disconnected(session, is_subscribed(session), session->lasting);
	session->connected = false;
	if (session->lasting)
		session->expires = random_below(&world.random, 3) ? 0 : world.now + S / 2;
	else
		end_session(number);
}

/* Of a session that is there; keeps: and it goes on. */
static void connect(size_t number, bool lasting, bool keeps)
{
	struct session *session = &world.real[number];
	unsigned before = session->handle, after;

	keeps = keeps && session->exists && session->lasting;
	if (session->exists) {
		/* The address of the one that is there is taken, that of others is not. */
		after = (before + 1 + (unsigned)random_below(&world.random, 3)) % 4;
		if (!keeps)
			end_session(number);
		tell_disconnected(session, false, false);
		session->handle = after;
	} else {
		session->handle = (unsigned)random_below(&world.random, 4);
	}
	session->exists = session->connected = true;
	session->lasting = lasting;
	session->expires = 0;
}

/* One that is refused. */
static void claim(size_t number)
{
	static const char strange;
	struct census_who who = who_is(&world.real[number]);

	who.handle = &strange;
	census_disconnected(world.census, &who, false);
}

/* What the broker does before it listens to clients again. */
static bool turn(void)
{
	bool asks;

	for (size_t i = 0; i < SESSIONS; i++)
		if (world.real[i].expires && world.real[i].expires <= world.now)
			end_session(i);
	asks = census_tick(world.census, world.now);
	if (world.asked_count > world.asked_most)
		world.asked_most = world.asked_count;
	for (size_t i = 0; i < world.asked_count; i++)
		deliver(&world.asked[i]);
	world.asked_count = 0;
	return asks;
}

static void settle(void)
{
	/* Sessions that have expired meanwhile are missed within a second and a bit; others may
	 * expire between two questions. */
	for (int times = 0; times < 2; times++) {
		world.now += 2 * S;
		turn();
		while (turn())
			world.now += S / 1000;
	}
}

static bool holds(const struct session *session, const char *overlay, bool *is_shared_one)
{
	bool found = false;

	for (size_t i = 0; i < OURS; i++)
		if (session->has[i] && strstr(filters[i], overlay)) {
			*is_shared_one = *is_shared_one || is_shared(i);
			found = found || session->connected || session->qos[i] > 0;
		}
	return found;
}

static void check(void)
{
	static const char *const overlays[] = {ONE, TWO, "p2panda/name/x"};

	for (size_t i = 0; i < SESSIONS; i++) {
		const struct session *real = &world.real[i], *known = &world.told[i];

		for (size_t j = 0; j < sizeof overlays / sizeof overlays[0]; j++) {
			bool is_vague = false, is = holds(real, overlays[j], &is_vague),
			     said = holds(known, overlays[j], &is_vague);

			/* One of two shared ones may be taken for the other one, and who subscribes
			 * at QoS 0 and is off at once for one who is thrown out: which makes a
			 * difference where it was subscribed at another QoS before. */
			is_vague = (is_vague || world.denies) && said && !known->connected;
			if (is != said && !is_vague)
				fail_msg("%s %s: is %d, said %d", real->id, overlays[j], is, said);
		}
		for (size_t j = 0; j < OURS && !world.denies; j++)
			if (real->has[j] && !known->has[j])
				fail_msg("%s %s is missed", real->id, filters[j]);
		if (census_has(world.census, real->id)) {
			assert_string_equal(census_user(world.census, real->id), "user");
			assert_string_equal(census_address(world.census, real->id), "address");
		}
	}
}

/* ---- tests ---- */

static int setup(void **state)
{
	const struct census_actions actions = {.ask = on_ask,
		.subscribed = on_subscribed,
		.unsubscribed = on_unsubscribed,
		.connected = on_connected,
		.offline = on_offline,
		.gone = on_gone};

	memset(&world, 0, sizeof world);
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	for (size_t i = 0; i < SESSIONS; i++)
		snprintf(world.real[i].id, sizeof world.real[i].id, "c%zu", i);
	heap_begin();
	assert_int_equal(census_new(&actions, &world.random, &world.census), ERROR_NONE);
	census_trust(world.census, true);
	return 0;
}

static int teardown(void **state)
{
	census_free(world.census);
	heap_end();
	return 0;
}

static void step(void)
{
	size_t number = random_below(&world.random, SESSIONS);
	size_t filter = random_below(&world.random, FILTERS);
	struct session *session = &world.real[number];

	switch (random_below(&world.random, 8)) {
	case 0:
	case 1:
	case 2:
		if (session->connected)
			subscribe(number, filter, (uint8_t)random_below(&world.random, 3));
		break;
	case 3:
		if (session->connected)
			unsubscribe(number, filter);
		break;
	case 4:
		if (session->connected)
			disconnect(number);
		break;
	case 5:
	case 6:
		connect(number, random_below(&world.random, 2), random_below(&world.random, 2));
		break;
	case 7:
		claim(number);
		break;
	}
}

static void at_random(uint64_t seed, bool denies)
{
	world.seed = seed;
	world.denies = denies;
	census_trust(world.census, !denies);
	for (int round = 0; round < 60; round++) {
		for (size_t steps = random_below(&world.random, 6); steps > 0; steps--) {
			step();
			if (random_below(&world.random, 2))
				turn();
			world.now += random_below(&world.random, S / 4);
		}
		settle();
		check();
	}
}

static void everything_at_random(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		at_random(seed * 1000003, false);
		teardown(NULL);
		setup(NULL);
	}
}

static void everything_at_random_where_others_may_deny(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		at_random(seed * 1000003, true);
		teardown(NULL);
		setup(NULL);
	}
}

static void nothing_is_asked_where_nothing_is_in_doubt(void **state)
{
	connect(0, true, false);
	subscribe(0, 0, 1);
	assert_true(world.told[0].has[0]);
	unsubscribe(0, 0);
	assert_false(world.told[0].has[0]);
	subscribe(0, 0, 0);
	world.real[0].lasting = false;
	disconnect(0);
	assert_false(census_has(world.census, "c0"));
	assert_false(turn());
	assert_int_equal(world.asked_most, 0);
}

static void who_claims_an_id_changes_nothing(void **state)
{
	connect(0, true, false);
	subscribe(0, 0, 0);
	claim(0);
	assert_false(turn());
	assert_int_equal(world.asked_most, 0);
	assert_true(world.told[0].connected && world.told[0].has[0]);
}

/* Before a connection is ended by another plugin each filter is asked for again, at QoS 0. */
static void rights_that_are_checked_are_no_subscriptions(void **state)
{
	struct census_who who;

	census_trust(world.census, false);
	connect(0, true, false);
	subscribe(0, 0, 2);
	subscribe(0, 1, 2);
	settle();
	check();
	who = who_is(&world.real[0]);
	for (int times = 0; times < 2; times++) { /* once connected, once offline */
		assert_int_equal(census_subscribes(world.census, &who, ONE, 0), ERROR_NONE);
		if (times == 0) {
			assert_int_equal(
				census_subscribes(world.census, &who, TWO, 0), ERROR_NONE);
			set_filter(0, 1, false); /* that one is not allowed any more */
			disconnect(0);
		}
		world.real[0].expires = 0;
		settle();
		check();
		assert_false(world.told[0].connected);
		assert_int_equal(world.told[0].qos[0], 2);
	}
}

/* That it has expired nobody says; the other one's connection may be where the first one's was. */
static void another_session_after_one_that_has_expired(void **state)
{
	for (unsigned handle = 0; handle < 2; handle++) {
		connect(0, true, false);
		subscribe(0, 0, 1);
		disconnect(0);
		turn();
		turn();
		end_session(0);
		connect(0, true, false);
		world.real[0].handle = handle;
		subscribe(0, 1, 0);
		settle();
		check();
		assert_false(world.told[0].has[0]);
		assert_true(world.told[0].connected);
		end_session(0);
		settle();
	}
}

static void what_was_there_before_the_start_is_asked_for(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		world.told[i].exists = true;
		for (size_t j = 0; j < 3; j++) {
			world.told[i].has[j] = true;
			world.told[i].qos[j] = 1;
			assert_int_equal(census_restored(world.census, world.real[i].id,
						 filters[j], 1),
				ERROR_NONE);
		}
	}
	assert_true(census_is_restoring(world.census));
	for (size_t j = 0; j < 3; j++) {
		world.real[0].has[j] = true;
		world.real[0].qos[j] = 1;
	}
	world.real[0].exists = world.real[0].lasting = true;
	world.real[1] = world.real[0]; /* of which a part is there */
	strcpy(world.real[1].id, "c1");
	world.real[1].has[1] = false;
	assert_true(turn());
	assert_true(census_is_restoring(world.census));
	while (turn())
		assert_true(census_is_restoring(world.census));
	assert_false(census_is_restoring(world.census));
	check();
	assert_false(world.told[0].connected);
	assert_false(census_has(world.census, "c2"));
	connect(0, true, true);
	settle();
	check();
	assert_true(world.told[0].connected);
}

/* The answers to a question were meant for one that is gone when they are judged. */
static void unsubscribed_between_answer_and_judgement(void **state)
{
	connect(0, true, false);
	subscribe(0, 0, 1);
	connect(0, true, false); /* anew: the first one is gone, and nobody knows */
	subscribe(0, 2, 1);	 /* what takes the same */
	assert_true(turn());
	unsubscribe(0, 2);
	settle();
	check();
	assert_false(census_has(world.census, "c0"));
}

/* More than fit into one turn are asked for in several. */
static void many_questions(void **state)
{
	char filter[100];
	size_t turns = 0;

	for (size_t i = 0; i < CENSUS_QUESTIONS + CENSUS_QUESTIONS / 2; i++) {
		snprintf(filter, sizeof filter, "p2panda/name/%zu", i);
		assert_int_equal(census_restored(world.census,
					 i < CENSUS_QUESTIONS / 2 ? "c0" : "c1", filter, 1),
			ERROR_NONE);
	}
	while (turn()) {
		turns++;
		assert_true(world.asked_most <= 6 * CENSUS_QUESTIONS);
	}
	assert_int_equal(turns, 2);
	assert_false(census_has(world.census, "c0") || census_has(world.census, "c1"));
	assert_false(census_is_restoring(world.census));
}

/* For which there is no room in one turn is asked for in the next one, as it would have been. */
static void many_sessions_expire(void **state)
{
	static const char *const ends[] = {"a", "b"};
	char filter[100];

	world.crowd = 2 * CENSUS_QUESTIONS;
	for (size_t i = 0; i < world.crowd; i++) {
		struct census_who who = one_of_crowd(i);

		for (size_t j = 0; j < 2; j++) {
			snprintf(filter, sizeof filter, "p2panda/name/%s/%s", who.id, ends[j]);
			assert_int_equal(
				census_subscribes(world.census, &who, filter, 1), ERROR_NONE);
		}
		census_disconnected(world.census, &who, true);
	}
	while (turn())
		;
	for (size_t i = 0; i < world.crowd; i++)
		assert_true(census_has(world.census, one_of_crowd(i).id));
	world.crowd_is_gone = true;
	world.now += CENSUS_CHECK_MOST_NS;
	while (turn())
		;
	for (size_t i = 0; i < world.crowd; i++)
		assert_false(census_has(world.census, one_of_crowd(i).id));
}

/* A large $share group takes many messages: no more in one turn than are allowed. */
static void large_groups(void **state)
{
	static const char *const filters_of_all[] = {"$share/g/p2panda/name/shared",
		"$share/h/p2panda/name/shared/#", "$share/i/p2panda/name/x0/#",
		"$share/j/p2panda/name/x1/#"};
	size_t turns = 0;

	census_trust(world.census, false);
	world.crowd = CENSUS_GROUP;
	for (size_t i = 0; i < world.crowd; i++)
		for (size_t j = 0; j < 4; j++) {
			struct census_who who = one_of_crowd(i);

			assert_int_equal(census_subscribes(world.census, &who, filters_of_all[j], 1),
				ERROR_NONE);
		}
	while (turn())
		turns++;
	assert_uint_in_range(world.asked_most, 2 * (2 * CENSUS_GROUP + 3), CENSUS_MESSAGES);
	assert_true(turns > 1);
	for (size_t i = 0; i < world.crowd; i++)
		assert_true(census_has(world.census, one_of_crowd(i).id));
	world.crowd_is_gone = true;
	for (size_t i = 0; i < world.crowd; i++) {
		struct census_who who = one_of_crowd(i);

		census_disconnected(world.census, &who, true);
	}
	while (turn())
		;
	assert_true(world.asked_most <= CENSUS_MESSAGES);
	for (size_t i = 0; i < world.crowd; i++)
		assert_false(census_has(world.census, one_of_crowd(i).id));
}

static void filters_of_one_client_are_bounded(void **state)
{
	struct census_who who = who_is(&world.real[0]);
	char filter[100];

	census_trust(world.census, false);
	for (size_t i = 0; i <= CENSUS_FILTERS; i++) {
		snprintf(filter, sizeof filter, "p2panda/name/%zu", i);
		assert_int_equal(census_subscribes(world.census, &who, filter, 0),
			i < CENSUS_FILTERS ? ERROR_NONE : ERROR_LIMIT);
	}
}

static void publishers_are_bounded(void **state)
{
	size_t blocks = 0;

	for (size_t i = 0; i < 3 * CENSUS_PUBLISHERS; i++) {
		struct census_who who = who_is(&world.real[0]);

		who.lasting = true;
		world.real[0].handle ^= 1;
		census_publishes(world.census, &who, true);
		snprintf(world.real[0].id, sizeof world.real[0].id, "c%zu", i % 2000);
		who.id = world.real[0].id;
		census_publishes(world.census, &who, true);
		census_disconnected(world.census, &who, false);
		if (i == 2 * CENSUS_PUBLISHERS)
			blocks = heap_blocks();
	}
	assert_true(heap_blocks() <= blocks + 16);
}

/* Whatever fails, later on it is right, or more is held than there is. */
static void no_memory(void **state)
{
	for (size_t n = 1; n < 60; n++) {
		struct census_who who;

		connect(0, true, false);
		who = who_is(&world.real[0]);
		heap_fail(n, false);
		for (size_t i = 0; i < OURS; i++)
			if (census_subscribes(world.census, &who, filters[i], 1) == ERROR_NONE) {
				set_filter(0, i, true);
				world.real[0].qos[i] = 1;
			}
		disconnect(0);
		world.real[0].expires = 0;
		turn();
		turn();
		heap_fail(0, false);
		settle();
		for (size_t i = 0; i < OURS; i++)
			assert_int_equal(world.told[0].has[i], world.real[0].has[i]);
		end_session(0);
		settle();
		assert_false(census_has(world.census, "c0"));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(everything_at_random),
		TEST(everything_at_random_where_others_may_deny),
		TEST(nothing_is_asked_where_nothing_is_in_doubt),
		TEST(who_claims_an_id_changes_nothing),
		TEST(rights_that_are_checked_are_no_subscriptions),
		TEST(another_session_after_one_that_has_expired),
		TEST(what_was_there_before_the_start_is_asked_for),
		TEST(unsubscribed_between_answer_and_judgement),
		TEST(many_questions),
		TEST(many_sessions_expire),
		TEST(large_groups),
		TEST(filters_of_one_client_are_bounded),
		TEST(publishers_are_bounded),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
