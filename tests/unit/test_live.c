/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/memory.h"
#include "plugin/live.h"
#include "support_heap.h"

#define NODES	8
#define RECORDS 64

/* What is in force, as the actions have said it, and what is on disk. */
static struct {
	struct identity identities[NODES]; /* 0: ours */
	struct options options;
	struct live *live;
	char reason[LIVE_REASON_SIZE];
	bool peer[NODES], trusted[NODES];
	char host[NODES][NODE_HOST_SIZE];
	struct id allow[NODES], deny[NODES];
	size_t allow_count, deny_count;
	unsigned sets, removes, access_sets;
	bool fixed[256];
	size_t fixed_most;
	enum broker_level level;
	struct {
		uint8_t key[64], value[1024];
		size_t key_size, value_size;
	} records[RECORDS];
	size_t records_count;
	int record_error;
} world;

static const struct id *id_of(size_t number)
{
	return &world.identities[number].id;
}

static size_t number_of(const struct id *id)
{
	for (size_t i = 0; i < NODES; i++)
		if (id_equal(id, id_of(i)))
			return i;
	fail();
	return 0;
}

static struct id topic_of(uint8_t number)
{
	return (struct id){{number}};
}

/* ---- the actions ---- */

static int set_peer(void *context, const struct node_peer *peer, bool trusted)
{
	size_t number = number_of(&peer->id);

	world.peer[number] = true;
	world.trusted[number] = trusted;
	strcpy(world.host[number], peer->hosts[0].host);
	world.sets++;
	return ERROR_NONE;
}

static int remove_peer(void *context, const struct id *id)
{
	world.peer[number_of(id)] = false;
	world.removes++;
	return ERROR_NONE;
}

static int set_access(void *context, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	assert_true(allow_count <= NODES && deny_count <= NODES);
	memcpy(world.allow, allow, allow_count * sizeof *allow);
	memcpy(world.deny, deny, deny_count * sizeof *deny);
	world.allow_count = allow_count;
	world.deny_count = deny_count;
	world.access_sets++;
	return ERROR_NONE;
}

static int fix(void *context, const struct id *topic)
{
	size_t count = 0;

	for (size_t i = 0; i < 256; i++)
		count += world.fixed[i];
	if (!world.fixed[topic->bytes[0]] && count >= world.fixed_most)
		return ERROR_LIMIT;
	world.fixed[topic->bytes[0]] = true;
	return ERROR_NONE;
}

static void unfix(void *context, const struct id *topic)
{
	world.fixed[topic->bytes[0]] = false;
}

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	size_t at = 0;

	if (world.record_error)
		return world.record_error;
	while (at < world.records_count &&
		(world.records[at].key_size != key_size ||
			memcmp(world.records[at].key, key, key_size) != 0))
		at++;
	if (at == world.records_count && value_size == 0)
		return ERROR_NONE;
	if (value_size == 0) {
		world.records[at] = world.records[--world.records_count];
		return ERROR_NONE;
	}
	assert_true(at < RECORDS && key_size + value_size <= LIMIT_RECORD);
	if (at == world.records_count)
		world.records_count++;
	memcpy(world.records[at].key, key, key_size);
	memcpy(world.records[at].value, value, value_size);
	world.records[at].key_size = key_size;
	world.records[at].value_size = value_size;
	return ERROR_NONE;
}

static void log_from(void *context, enum broker_level level)
{
	world.level = level;
}

/* ---- a life ---- */

static void option(struct option_text *texts, size_t *count, const char *key, const char *value)
{
	texts[(*count)++] = (struct option_text){key, value};
}

struct text {
	char text[NODE_HOST_SIZE + ID_HEX_SIZE];
};

static struct text hex_of(const struct id *id)
{
	struct text out;

	hex_encode(id->bytes, ID_SIZE, out.text);
	return out;
}

static struct text peer_text(size_t number, const char *host)
{
	struct text out;

	snprintf(out.text, sizeof out.text, "%.64s@%.100s:2022", hex_of(id_of(number)).text, host);
	return out;
}

/* Parses pairs of a key and a value, ended by NULL. */
static void configure(const char *first, ...)
{
	struct option_text texts[16];
	char reason[OPTIONS_REASON_SIZE];
	const char *key = first;
	size_t count = 0;
	va_list pairs;

	options_clear(&world.options);
	va_start(pairs, first);
	for (; key; key = va_arg(pairs, const char *))
		option(texts, &count, key, va_arg(pairs, const char *));
	va_end(pairs);
	if (!options_parse(texts, count, "/var", &world.options, reason))
		fail_msg("%s", reason);
}

/* A new life, with what is on disk. */
static void start(void)
{
	const struct live_actions actions = {.set_peer = set_peer,
		.remove_peer = remove_peer,
		.set_access = set_access,
		.fix = fix,
		.unfix = unfix,
		.record = record,
		.log_from = log_from};

	live_free(world.live);
	world.live = NULL;
	memset(world.peer, 0, sizeof world.peer);
	memset(world.fixed, 0, sizeof world.fixed);
	world.allow_count = world.deny_count = 0;
	world.sets = world.removes = world.access_sets = 0;
	world.level = world.options.log_level;
	assert_int_equal(live_new(&actions, &world.options, id_of(0), &world.live), 0);
	for (size_t i = 0; i < world.records_count; i++)
		assert_true(live_restore(world.live, world.records[i].key,
			world.records[i].key_size, world.records[i].value,
			world.records[i].value_size));
	live_begin(world.live, world.reason);
}

static int setup(void **state)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {0};

	memset(&world, 0, sizeof world);
	world.fixed_most = 256;
	for (size_t i = 0; i < NODES; i++) {
		secret[0] = (uint8_t)(i + 1);
		if (identity_from_secret(secret, &world.identities[i]))
			return -1;
	}
	heap_begin();
	configure(NULL);
	start();
	assert_string_equal(world.reason, "");
	return 0;
}

static int teardown(void **state)
{
	live_free(world.live);
	options_clear(&world.options);
	for (size_t i = 0; i < NODES; i++)
		identity_clear(&world.identities[i]);
	heap_end();
	return 0;
}

static void assert_added(size_t number, const char *host, bool trusted)
{
	if (!live_add_node(world.live, peer_text(number, host).text, trusted, world.reason))
		fail_msg("%s", world.reason);
}

#define assert_good(call) \
	do { \
		if (!(call)) \
			fail_msg("%s", world.reason); \
		assert_string_equal(world.reason, ""); \
	} while (0)
#define assert_refused(call, why) \
	do { \
		assert_false(call); \
		assert_non_null(strstr(world.reason, why)); \
	} while (0)

/* ---- nodes ---- */

static void a_node_is_added_and_removed(void **state)
{
	assert_added(1, "one.example", true);
	assert_true(world.peer[1] && world.trusted[1]);
	assert_int_equal(live_node(world.live, id_of(1))->source, LIVE_KEPT);
	assert_null(live_node(world.live, id_of(2)));
	/* Others stay as they are. */
	assert_added(2, "two.example", false);
	assert_int_equal(world.sets, 2);
	assert_false(world.trusted[2]);
	/* It moves, and changes its role. */
	assert_added(1, "elsewhere.example", false);
	assert_int_equal(world.sets, 3);
	assert_string_equal(world.host[1], "elsewhere.example");
	assert_good(live_remove_node(world.live, id_of(1), world.reason));
	assert_false(world.peer[1]);
	assert_refused(live_remove_node(world.live, id_of(1), world.reason), "is neither a peer");
	assert_null(live_node(world.live, id_of(1)));
	assert_non_null(live_node(world.live, id_of(2)));
}

static void a_node_is_known_after_a_restart(void **state)
{
	assert_added(1, "one.example", true);
	assert_added(2, "two.example", false);
	assert_good(live_remove_node(world.live, id_of(2), world.reason));
	assert_added(3, "three.example", false);
	start();
	assert_true(world.peer[1] && world.trusted[1]);
	assert_string_equal(world.host[1], "one.example");
	assert_false(world.peer[2]);
	assert_true(world.peer[3] && !world.trusted[3]);
}

static void some_nodes_are_refused(void **state)
{
	const struct id zero = {{0}};
	char text[256], *long_text = calloc(1, 2048);

	snprintf(text, sizeof text, "%.64s@host:1", hex_of(&zero).text);
	assert_refused(live_add_node(world.live, text, true, world.reason), "is no node's id");
	assert_refused(live_add_node(world.live, "hello", true, world.reason), "it takes <64");
	assert_refused(live_add_node(world.live, peer_text(0, "a").text, true, world.reason),
		"own id");
	/* More than is kept of it. */
	sprintf(long_text, "%s", peer_text(1, "a").text);
	for (int i = 0; i < 7; i++)
		sprintf(long_text + strlen(long_text), ",%0200d:1", i);
	assert_refused(live_add_node(world.live, long_text, true, world.reason), "more than");
	free(long_text);
	assert_int_equal(world.records_count, 0);
}

/* ---- the configuration wins ---- */

static void the_configuration_wins(void **state)
{
	struct text one = peer_text(1, "one.example"), moved = peer_text(2, "moved.example");

	assert_added(2, "two.example", false);
	configure("peer", one.text, "peer", moved.text, NULL);
	start();
	/* It is in force already: of the start. */
	assert_int_equal(world.sets, 0);
	assert_int_equal(live_node(world.live, id_of(2))->source, LIVE_CONFIGURED);
	assert_true(live_node(world.live, id_of(2))->trusted);
	assert_refused(live_remove_node(world.live, id_of(1), world.reason), "the configuration names");
	assert_refused(live_remove_node(world.live, id_of(2), world.reason), "the configuration names");
	assert_refused(live_add_node(world.live, peer_text(1, "x").text, true, world.reason),
		"the configuration names");
	/* What it names no more is as control had it. */
	configure("peer", one.text, NULL);
	start();
	assert_int_equal(live_node(world.live, id_of(2))->source, LIVE_KEPT);
	assert_string_equal(world.host[2], "two.example");
}

static void topics_are_joined_and_left(void **state)
{
	struct id one = topic_of(1), two = topic_of(2);

	assert_good(live_join(world.live, &one, world.reason));
	assert_good(live_join(world.live, &one, world.reason));
	assert_true(world.fixed[1]);
	assert_refused(live_leave(world.live, &two, world.reason), "was not joined by joinTopic");
	start();
	assert_true(world.fixed[1]);
	configure("topic", hex_of(&one).text, NULL);
	start();
	assert_refused(live_leave(world.live, &one, world.reason), "the configuration names");
	assert_int_equal(live_topics(world.live)->items[0].source, LIVE_CONFIGURED);
	configure(NULL);
	start();
	assert_good(live_leave(world.live, &one, world.reason));
	assert_false(world.fixed[1]);
	assert_int_equal(world.records_count, 0);
}

static void there_may_be_no_place_for_a_topic(void **state)
{
	struct id one = topic_of(1), two = topic_of(2);

	world.fixed_most = 1;
	assert_good(live_join(world.live, &one, world.reason));
	assert_refused(live_join(world.live, &two, world.reason), "max_overlays is reached");
	assert_int_equal(live_topics(world.live)->count, 1);
	assert_int_equal(world.records_count, 1);
	/* Nor is there one after a restart with a smaller limit: that is no reason not to start. */
	world.fixed_most = 0;
	start();
	assert_non_null(strstr(world.reason, "max_overlays"));
}

/* ---- access ---- */

static bool access_to(bool deny, bool remove, size_t number)
{
	return live_set_access(world.live, deny, remove, id_of(number), 1, world.reason);
}

static void nodes_are_shut_out(void **state)
{
	assert_good(access_to(true, false, 3));
	assert_int_equal(world.deny_count, 1);
	assert_good(access_to(true, false, 3));
	assert_int_equal(world.access_sets, 1);
	assert_refused(live_add_node(world.live, peer_text(3, "a").text, true, world.reason),
		"is shut out by deny");
	assert_refused(access_to(false, false, 3), "is denied");
	start();
	assert_int_equal(world.deny_count, 1);
	assert_true(id_equal(&world.deny[0], id_of(3)));
	assert_good(access_to(true, true, 3));
	assert_int_equal(world.deny_count, 0);
	assert_refused(access_to(true, true, 3), "is not on that list");
	assert_refused(access_to(true, false, 0), "own id");
	assert_int_equal(world.records_count, 0);
}

static void the_first_that_is_allowed_shuts_out_others(void **state)
{
	struct id both[2];

	assert_added(1, "one.example", true);
	assert_refused(access_to(false, false, 2), "would shut out");
	both[0] = *id_of(1);
	both[1] = *id_of(2);
	assert_good(live_set_access(world.live, false, false, both, 2, world.reason));
	assert_int_equal(world.allow_count, 2);
	assert_refused(access_to(true, false, 2), "is allowed");
	assert_refused(live_add_node(world.live, peer_text(3, "a").text, true, world.reason),
		"is shut out by allow");
	assert_refused(access_to(false, true, 1), "would shut out");
	assert_good(access_to(false, false, 3));
	assert_added(3, "three.example", true);
	assert_good(live_remove_node(world.live, id_of(3), world.reason));
	assert_good(access_to(false, true, 3));
	assert_good(access_to(false, true, 2));
	/* The last one: everybody is let in again. */
	assert_good(access_to(false, true, 1));
	assert_int_equal(world.allow_count, 0);
}

static void a_peer_is_not_denied(void **state)
{
	assert_added(1, "one.example", true);
	assert_refused(access_to(true, false, 1), "is a peer or a bootstrap node");
	assert_int_equal(world.access_sets, 0);
}

/* What was kept and the configuration that came later do not go together. */
static void where_both_disagree_the_configuration_has_it(void **state)
{
	assert_good(access_to(true, false, 1));
	assert_good(access_to(false, false, 2));
	configure("peer", peer_text(1, "one.example").text, NULL);
	start();
	assert_int_equal(world.deny_count, 0);
	assert_int_equal(world.allow_count, 2); /* the peer is let in all the same */
	configure("deny_node", hex_of(id_of(2)).text, NULL);
	start();
	assert_int_equal(live_allowed(world.live)->count, 0);
	assert_int_equal(live_denied(world.live)->count, 2);
	assert_refused(access_to(true, true, 2), "the configuration names");
	/* A node that control has added, and the configuration shuts out, is none for now. */
	configure(NULL);
	start();
	assert_good(access_to(false, true, 2));
	assert_added(3, "three.example", true);
	configure("deny_node", hex_of(id_of(3)).text, NULL);
	start();
	assert_false(world.peer[3]);
	configure(NULL);
	start();
	assert_true(world.peer[3]);
}

/* ---- the log ---- */

static void the_log_level(void **state)
{
	bool kept;

	assert_good(live_set_log_level(world.live, "warning", &kept, world.reason));
	assert_true(kept);
	assert_int_equal(world.level, BROKER_WARNING);
	assert_string_equal(live_log_level(world.live), "warning");
	assert_refused(live_set_log_level(world.live, "loud", &kept, world.reason), "it takes debug");
	start();
	assert_int_equal(world.level, BROKER_WARNING);
	configure("log_level", "notice", NULL);
	start();
	assert_int_equal(world.level, BROKER_NOTICE);
	assert_good(live_set_log_level(world.live, "debug", &kept, world.reason));
	assert_false(kept);
	assert_int_equal(world.level, BROKER_DEBUG);
	start();
	assert_int_equal(world.level, BROKER_NOTICE);
}

/* ---- another configuration while it runs ---- */

static void what_differs_is_changed(void **state)
{
	struct id one = topic_of(1), two = topic_of(2), three = topic_of(3);
	struct text first = peer_text(1, "one.example"), second = peer_text(2, "two.example");

	configure("peer", first.text, "bootstrap", second.text, "topic", hex_of(&one).text, "topic",
		hex_of(&two).text, NULL);
	start();
	world.fixed[1] = world.fixed[2] = true; /* as of the start */
	assert_good(live_join(world.live, &three, world.reason));
	assert_added(3, "three.example", true);
	world.sets = 0;
	configure("bootstrap", second.text, "peer", peer_text(4, "four.example").text, "topic",
		hex_of(&two).text, "deny_node", hex_of(id_of(5)).text, "log_level", "error", NULL);
	assert_int_equal(live_reload(world.live, &world.options), 0);
	assert_int_equal(world.sets, 1);
	assert_true(world.peer[4] && world.trusted[4]);
	assert_int_equal(world.removes, 1);
	assert_false(world.fixed[1]);
	assert_true(world.fixed[2] && world.fixed[3]);
	assert_int_equal(world.deny_count, 1);
	assert_int_equal(world.level, BROKER_ERROR);
	/* The same again. */
	assert_int_equal(live_reload(world.live, &world.options), 0);
	assert_int_equal(world.sets + world.removes + world.access_sets, 3);
	configure(NULL);
	assert_int_equal(live_reload(world.live, &world.options), 0);
	assert_int_equal(world.level, BROKER_INFO);
	assert_true(world.peer[3] && !world.peer[4] && world.fixed[3]);
}

/* ---- what is on disk ---- */

static void records_that_are_none(void **state)
{
	static const struct {
		const char *key, *value;
		size_t key_size, value_size;
		bool ours;
	} records[] = {
		{"\xff" "g", "\1", 2, 1, false},
		{"client", "\1", 6, 1, false},
		{"\xfel", "\1", 2, 1, false},
		{"\xff" "l", "\1", 2, 1, false},
		{"\xff" "lt", "\1", 3, 1, true},
		{"\xff" "lt01234567890123456789012345678901", "\2", 35, 1, true}, /* a later version */
		{"\xff" "lt01234567890123456789012345678901", "", 35, 0, true},
		{"\xff" "lt012345678901234567890123456789012", "\1", 36, 1, true},
		{"\xff" "lx01234567890123456789012345678901", "\1", 35, 1, true},
		{"\xff" "ln01234567890123456789012345678901", "\1phello", 35, 7, true},
		{"\xff" "ll", "\1loud", 3, 5, true},
	};

	for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
		assert_int_equal(live_restore(world.live, records[i].key, records[i].key_size,
					 records[i].value, records[i].value_size),
			records[i].ours);
	live_begin(world.live, world.reason);
	assert_string_equal(world.reason, "");
	assert_int_equal(world.sets, 0);
	assert_int_equal(live_topics(world.live)->count, 0);
	assert_int_equal(world.level, BROKER_INFO);
}

static void what_is_not_written_is_not_done(void **state)
{
	struct id one = topic_of(1);
	bool kept;

	world.record_error = ERROR_FULL;
	assert_false(live_add_node(world.live, peer_text(1, "a").text, true, world.reason));
	assert_false(live_join(world.live, &one, world.reason));
	assert_false(access_to(true, false, 3));
	assert_false(live_set_log_level(world.live, "debug", &kept, world.reason));
	assert_string_equal(world.reason, error_text(ERROR_FULL));
	assert_int_equal(world.sets + world.access_sets, 0);
	assert_false(world.fixed[1]);
	assert_int_equal(world.level, BROKER_INFO);
	world.record_error = 0;
	assert_added(1, "a", true);
	world.record_error = ERROR_FULL;
	assert_false(live_remove_node(world.live, id_of(1), world.reason));
	assert_true(world.peer[1]);
}

/* Whatever fails, the next try has it in force. */
static void without_memory(void **state)
{
	struct id one = topic_of(1);
	bool good, access, has_failed = true;

	for (size_t n = 1; has_failed; n++) {
		heap_fail(n, false);
		good = live_add_node(world.live, peer_text(1, "a").text, true, world.reason);
		good = live_join(world.live, &one, world.reason) && good;
		access = access_to(true, false, 3);
		has_failed = heap_has_failed();
		heap_fail(0, false);
	}
	assert_true(good && access);
	assert_true(world.peer[1] && world.fixed[1]);
	assert_int_equal(world.deny_count, 1);
	configure("peer", peer_text(2, "b").text, NULL);
	has_failed = true;
	for (size_t n = 1; has_failed; n++) {
		heap_fail(n, false);
		(void)live_reload(world.live, &world.options);
		has_failed = heap_has_failed();
		heap_fail(0, false);
	}
	assert_true(world.peer[1] && world.peer[2] && world.fixed[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_node_is_added_and_removed),
		TEST(a_node_is_known_after_a_restart),
		TEST(some_nodes_are_refused),
		TEST(the_configuration_wins),
		TEST(topics_are_joined_and_left),
		TEST(there_may_be_no_place_for_a_topic),
		TEST(nodes_are_shut_out),
		TEST(the_first_that_is_allowed_shuts_out_others),
		TEST(a_peer_is_not_denied),
		TEST(where_both_disagree_the_configuration_has_it),
		TEST(the_log_level),
		TEST(what_differs_is_changed),
		TEST(records_that_are_none),
		TEST(what_is_not_written_is_not_done),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
