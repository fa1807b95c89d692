/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/memory.h"
#include "bridge/message.h"
#include "plugin/broker.h"
#include "plugin/views.h"
#include "support_interest.h"

#define S UINT64_C(1000000000)
/* BLAKE3 of "abc". */
#define HEX	 "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
#define DIGITS	 "p2panda/" HEX
#define NAME	 "p2panda/name/abc"
#define TEXT_MAX 4096

static struct {
	struct interest *interest;
	struct counters counters;
	uint64_t seed;
	bool refuses;
	/* What the broker was given, one after the other. */
	char published[TEXT_MAX];
} world;

/* ---- the broker ---- */

void broker_log(enum broker_level level, const char *format, ...)
{
}

bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count)
{
	size_t used = strlen(world.published);
	const char *view = strncmp(topic, DIGITS, strlen(DIGITS)) == 0 ? topic + strlen(DIGITS)
								       : topic;

	assert_int_equal(qos, 1);
	used += (size_t)snprintf(world.published + used, TEXT_MAX - used, "%s=%.*s",
		*view ? view : "raw", (int)size, (const char *)payload);
	for (size_t i = 0; i < properties_count; i++)
		used += (size_t)snprintf(world.published + used, TEXT_MAX - used, " %.14s %.16s",
			properties[i].name, properties[i].value);
	snprintf(world.published + used, TEXT_MAX - used, "; ");
	return !world.refuses;
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

static int setup(void **state)
{
	const struct interest_actions actions = support_actions();
	static const struct interest_config limits = {.linger_ns = 30 * S,
		.max_overlays = 10,
		.max_overlays_per_client = 10,
		.max_overlays_per_user = 10,
		.max_overlays_per_address = 10,
		.max_records = 10,
		.max_denied = 10};
	struct random random;

	memset(&world, 0, sizeof world);
	random = random_seeded(&world.seed);
	return interest_new(&actions, &limits, &random, &world.interest);
}

static int teardown(void **state)
{
	interest_free(world.interest);
	return 0;
}

static void subscribe(const char *filter)
{
	struct topic topic;

	assert_int_equal(topic_parse(filter, &topic), TOPIC_OVERLAY);
	assert_int_equal(interest_subscribed(world.interest, "client", filter,
				 &topic.overlay, terms_of_qos(1), false),
		0);
}

static void assert_published(const char *expected)
{
	assert_string_equal(world.published, expected);
	world.published[0] = '\0';
}

/* A message has come: of an application (its body, hex), or a plain one. */
static enum counter arrive(const char *body, size_t size)
{
	struct node_event event = {
		.type = NODE_MESSAGE, .author = {{0xab}}, .time_us = 1795746691054268};
	struct message *message = message_new("tuple", 5);
	enum counter counter;
	struct topic topic;

	assert_int_equal(topic_parse(DIGITS, &topic), TOPIC_OVERLAY);
	event.topic = topic.overlay;
	event.message = message;
	event.is_signed = body != NULL;
	event.body = (const uint8_t *)body;
	event.body_size = size;
	counter = views_arrived(world.interest, &world.counters, 1, &event);
	message_unref(message);
	return counter;
}

#define FROM " p2panda-author ab00000000000000 p2panda-time 1795746691054268; "

/* ---- arriving ---- */

static void each_view_is_shown_by_digits_and_by_name(void **state)
{
	subscribe(DIGITS);
	subscribe(DIGITS "/ephemeral/json");
	subscribe(NAME "/ephemeral/text");
	subscribe(NAME "/ephemeral/json");
	subscribe(NAME);
	assert_int_equal(arrive("\x62hi", 3), COUNTER_OUT);
	assert_published("raw=tuple; " NAME "=tuple; /ephemeral/json=\"hi\"" FROM NAME
			 "/ephemeral/json=\"hi\"" FROM NAME "/ephemeral/text=hi" FROM);
}

/* Those who have a wildcard are not known: they see the bytes, unless only views are asked for. */
static void bytes_are_shown_to_wildcards(void **state)
{
	assert_int_equal(arrive("\x62hi", 3), COUNTER_OUT);
	assert_published("raw=tuple; ");
	subscribe(DIGITS "/ephemeral/json");
	assert_int_equal(arrive("\x62hi", 3), COUNTER_OUT);
	assert_published("/ephemeral/json=\"hi\"" FROM);
}

static void what_is_not_verified_has_no_view(void **state)
{
	subscribe(DIGITS "/ephemeral/json");
	subscribe(DIGITS "/ephemeral/cbor");
	assert_int_equal(arrive(NULL, 0), COUNTER_OUT);
	assert_published("raw=tuple; ");
}

static void a_codec_that_cannot_show_it(void **state)
{
	subscribe(DIGITS "/ephemeral/text");
	assert_int_equal(arrive("\xa0", 1), COUNTER_DROPPED_UNSUITED);
	assert_published("");
	assert_int_equal(counters_get(&world.counters, COUNTER_UNSHOWN), 1);
	/* Another one can. */
	subscribe(DIGITS "/ephemeral/json");
	assert_int_equal(arrive("\xa0", 1), COUNTER_OUT);
	assert_published("/ephemeral/json={}" FROM);
	assert_int_equal(counters_get(&world.counters, COUNTER_UNSHOWN), 2);
}

static void a_broker_that_refuses(void **state)
{
	subscribe(DIGITS "/ephemeral/json");
	world.refuses = true;
	assert_int_equal(arrive("\x01", 1), COUNTER_DROPPED_BROKER);
}

/* ---- published here ---- */

static void publish(const char *text, const char *payload, const char *body)
{
	struct views_body made = {.size = body ? strlen(body) : 0};
	struct topic topic;

	if (body)
		memcpy(made.bytes, body, made.size);
	assert_int_equal(topic_parse(text, &topic), TOPIC_OVERLAY);
	views_published(world.interest, &world.counters, 1, &topic, payload, strlen(payload),
		body ? &made : NULL);
}

static void subscribe_all(void)
{
	subscribe(DIGITS);
	subscribe(NAME);
	subscribe(DIGITS "/ephemeral/json");
	subscribe(NAME "/ephemeral/json");
	subscribe(DIGITS "/ephemeral/text");
	subscribe(DIGITS "/ephemeral/bytes");
}

/* The topic that it was published on is the broker's own; nobody here has signed it yet. */
static void the_other_topics_see_what_is_published_here(void **state)
{
	subscribe_all();
	publish(DIGITS "/ephemeral/json", "\"hi\"", "\x62hi");
	assert_published(NAME "/ephemeral/json=\"hi\"; /ephemeral/text=hi; ");
	publish(NAME "/ephemeral/json", "\"hi\"", "\x62hi");
	assert_published("/ephemeral/json=\"hi\"; /ephemeral/text=hi; ");
	publish(DIGITS "/ephemeral/text", "hi", "\x62hi");
	assert_published("/ephemeral/json=\"hi\"; " NAME "/ephemeral/json=\"hi\"; ");
	/* Nobody can have bytes of a text. */
	assert_int_equal(counters_get(&world.counters, COUNTER_UNSHOWN), 3);
}

static void plain_bytes_are_no_views(void **state)
{
	subscribe_all();
	publish(DIGITS, "plain", NULL);
	assert_published(NAME "=plain; ");
	publish(NAME, "plain", NULL);
	assert_published("raw=plain; ");
}

static void nobody_else_subscribes(void **state)
{
	publish(DIGITS "/ephemeral/json", "1", "\x01");
	assert_published("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_view_is_shown_by_digits_and_by_name),
		TEST(bytes_are_shown_to_wildcards),
		TEST(what_is_not_verified_has_no_view),
		TEST(a_codec_that_cannot_show_it),
		TEST(a_broker_that_refuses),
		TEST(the_other_topics_see_what_is_published_here),
		TEST(plain_bytes_are_no_views),
		TEST(nobody_else_subscribes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
