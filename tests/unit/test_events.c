/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/broker.h"
#include "plugin/events.h"

#define S UINT64_C(1000000000)

static struct {
	struct events events;
	unsigned published;
	char before[256], last[256];
} world;

bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count)
{
	assert_string_equal(topic, "$SYS/broker/p2panda/event");
	assert_true(size < sizeof world.last && qos == 0 && properties_count == 0);
	strcpy(world.before, world.last);
	memcpy(world.last, payload, size);
	world.last[size] = 0;
	world.published++;
	return true;
}

static int set_up(void **state)
{
	memset(&world, 0, sizeof world);
	return 0;
}

static struct node_event event(enum node_event_type type)
{
	return (struct node_event){
		.type = type, .topic = {{0x01, 0x23}}, .peer = {{0xab, 0xcd, 0xef}}};
}

static void each_has_its_fields(void **state)
{
	static const struct {
		enum node_event_type type;
		const char *text;
	} events[] = {
		{NODE_JOINED, "{\"time\":5,\"event\":\"joined\",\"overlay\":\"0123000000\"}"},
		{NODE_LEFT, "{\"time\":5,\"event\":\"left\",\"overlay\":\"0123000000\"}"},
		{NODE_NEIGHBOUR_UP, "{\"time\":5,\"event\":\"neighbour_up\",\"overlay\":"
				    "\"0123000000\",\"node\":\"abcdef0000\"}"},
		{NODE_NEIGHBOUR_DOWN, "{\"time\":5,\"event\":\"neighbour_down\",\"overlay\":"
				      "\"0123000000\",\"node\":\"abcdef0000\",\"cause\":\"lost\"}"},
	};
	struct node_event one;

	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
		one = event(events[i].type);
		events_publish(&world.events, S, 5, &one);
		assert_string_equal(world.last, events[i].text);
	}
	one = event(NODE_DROPPED);
	one.reason = COUNTER_DROPPED_QUEUE_AGE;
	one.count = 3;
	events_publish(&world.events, S, 5, &one);
	assert_string_equal(world.last, "{\"time\":5,\"event\":\"dropped\",\"overlay\":\"0123000000\","
					"\"reason\":\"dropped/queue_age\",\"count\":3}");
}

static void a_cause_is_a_word(void **state)
{
	static const char *const words[] = {"lost", "left", "turned_away", "gave_way"};
	struct node_event one = event(NODE_NEIGHBOUR_DOWN);
	char text[64];

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		one.down = (enum node_down)i;
		events_publish(&world.events, S, 5, &one);
		snprintf(text, sizeof text, "\"cause\":\"%s\"}", words[i]);
		assert_non_null(strstr(world.last, text));
	}
}

static void others_are_none(void **state)
{
	struct node_event one = event(NODE_MESSAGE);

	events_publish(&world.events, S, 5, &one);
	one = event(NODE_LOG);
	events_publish(&world.events, S, 5, &one);
	one = event(NODE_CONFIGURED);
	events_publish(&world.events, S, 5, &one);
	assert_int_equal(world.published, 0);
}

static void they_do_not_flood(void **state)
{
	struct node_event one = event(NODE_LEFT);

	for (size_t i = 0; i < EVENTS_AT_ONCE + 7; i++)
		events_publish(&world.events, S, 5, &one);
	assert_int_equal(world.published, EVENTS_AT_ONCE);
	for (size_t i = 0; i < 1000; i++)
		events_publish(&world.events, S + i * S / 1000, 5, &one);
	/* In that second, and once before each of them how many there were not. */
	assert_true(world.published - EVENTS_AT_ONCE >= 2 * (EVENTS_PER_SECOND - 1));
	assert_true(world.published - EVENTS_AT_ONCE <= 2 * EVENTS_PER_SECOND);
	events_publish(&world.events, 100 * S, 5, &one);
	assert_non_null(strstr(world.before, "\"event\":\"omitted\",\"count\":"));
	events_publish(&world.events, 101 * S, 5, &one);
	assert_null(strstr(world.before, "omitted"));
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_has_its_fields),
		TEST(a_cause_is_a_word),
		TEST(others_are_none),
		TEST(they_do_not_flood),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
