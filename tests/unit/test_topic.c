/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "plugin/topic.h"

#define HEX "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define TEXT_50 "01234567890123456789012345678901234567890123456789"
#define TEXT_200 TEXT_50 TEXT_50 TEXT_50 TEXT_50

#define RAW   VIEW_BIT(VIEW_RAW)
#define JSON  VIEW_BIT(VIEW_JSON)
#define TEXT  VIEW_BIT(VIEW_TEXT)
#define BYTES VIEW_BIT(VIEW_BYTES)
#define CBOR  VIEW_BIT(VIEW_CBOR)

static void overlays(void **state)
{
	static const struct {
		const char *text;
		unsigned views;
	} cases[] = {
		{"p2panda/" HEX, RAW},
		{"$share/group/p2panda/" HEX, RAW},
		{"$share/a b+c/p2panda/" HEX, RAW},
		{"p2panda/" HEX "/ephemeral/json", JSON},
		{"p2panda/" HEX "/ephemeral/text", TEXT},
		{"p2panda/" HEX "/ephemeral/bytes", BYTES},
		{"p2panda/" HEX "/ephemeral/cbor", CBOR},
		{"$share/g/p2panda/" HEX "/ephemeral/cbor", CBOR},
		{"p2panda/" HEX "/#", RAW | JSON},
		{"p2panda/" HEX "/ephemeral/+", JSON},
		{"p2panda/" HEX "/ephemeral/#", JSON},
		{"p2panda/" HEX "/+/text", TEXT},
		{"p2panda/" HEX "/+/+", JSON},
		{"p2panda/" HEX "/+/#", JSON},
	};
	static const uint8_t begin[] = {0x00, 0x11, 0x22, 0x33};
	struct topic topic;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (topic_parse(cases[i].text, &topic) != TOPIC_OVERLAY ||
			topic.views != cases[i].views)
			fail_msg("%s", cases[i].text);
		assert_memory_equal(topic.overlay.bytes, begin, sizeof begin);
		assert_int_equal(topic.overlay.bytes[31], 0xef);
		assert_null(topic.name);
	}
}

static void elsewhere(void **state)
{
	static const struct {
		const char *text;
		int at; /* -1: no */
	} cases[] = {
		{"tenant/p2panda/" HEX, 7},
		{"tenantp2panda/" HEX, 6},
		{"/p2panda/" HEX, 1},
		{"a/b/p2panda/" HEX, 4},
		{"$share/group/tenant/p2panda/" HEX, 20},
		{"p2panda/p2panda/" HEX, 8},
		{"p2panda/" HEX, -1},
		{"$share/group/p2panda/" HEX, -1},
		{"tenant/p2panda/0" HEX, -1},
		{"tenant/p2panda/" HEX "/", -1},
		{"tenant/p2panda/" HEX "0", -1},
		{"tenant/p2panda/+", -1},
		{"tenant/" HEX, -1},
		{HEX, -1},
		{"", -1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *found = topic_elsewhere(cases[i].text);

		if (found != (cases[i].at < 0 ? NULL : cases[i].text + cases[i].at))
			fail_msg("%s", cases[i].text);
	}
}

static void names(void **state)
{
	static const struct {
		const char *text, *name;
		unsigned views;
	} cases[] = {
		{"p2panda/name/lamp", "lamp", RAW},
		{"$share/g/p2panda/name/lamp", "lamp", RAW},
		{"p2panda/name/a b", "a b", RAW},
		{"p2panda/name/\xc3\xa4", "\xc3\xa4", RAW},
		{"p2panda/name/name", "name", RAW},
		{"p2panda/name/" HEX, HEX, RAW},
		{"p2panda/name/" TEXT_200, TEXT_200, RAW},
		{"p2panda/name/lamp/ephemeral/json", "lamp", JSON},
		{"p2panda/name/lamp/#", "lamp", RAW | JSON},
	};
	struct topic topic, again;
	char text[TOPIC_SIZE];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (topic_parse(cases[i].text, &topic) != TOPIC_OVERLAY ||
			topic.views != cases[i].views ||
			topic.name_size != strlen(cases[i].name) ||
			memcmp(topic.name, cases[i].name, topic.name_size) != 0)
			fail_msg("%s", cases[i].text);
		/* Name and digits are one overlay. */
		topic_text(&topic.overlay, NULL, 0, VIEW_CBOR, text);
		assert_int_equal(topic_parse(text, &again), TOPIC_OVERLAY);
		assert_true(id_equal(&topic.overlay, &again.overlay));
		assert_int_equal(again.views, CBOR);
	}
}

static void a_name_is_its_hash(void **state)
{
	/* Of "abc", as b3sum has it. */
	static const char abc[] =
		"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
	char digits[ID_HEX_SIZE + 1];
	struct topic topic;

	assert_int_equal(topic_parse("p2panda/name/abc", &topic), TOPIC_OVERLAY);
	assert_string_equal(hex_encode(topic.overlay.bytes, ID_SIZE, digits), abc);
}

static void everything_else(void **state)
{
	static const struct {
		const char *text;
		enum topic_kind kind;
	} cases[] = {
		{"", TOPIC_FOREIGN},
		{"#", TOPIC_FOREIGN},
		{"+/" HEX, TOPIC_FOREIGN},
		{"p2panda", TOPIC_FOREIGN},
		{"P2panda/" HEX, TOPIC_FOREIGN},
		{"/p2panda/" HEX, TOPIC_FOREIGN},
		{"p2pandas/" HEX, TOPIC_FOREIGN},
		{"$SYS/broker/p2panda/node_id", TOPIC_FOREIGN},
		{"$share", TOPIC_FOREIGN},
		{"$share/", TOPIC_FOREIGN},
		{"$share/group", TOPIC_FOREIGN},
		{"$share/group/#", TOPIC_FOREIGN},
		{"$share/p2panda/" HEX, TOPIC_FOREIGN},
		{"$share/a/b/p2panda/" HEX, TOPIC_FOREIGN},
		{"p2panda/#", TOPIC_WILDCARD},
		{"p2panda/+", TOPIC_WILDCARD},
		{"p2panda/+/x", TOPIC_WILDCARD},
		{"p2panda/+/ephemeral/json", TOPIC_WILDCARD},
		{"p2panda/name/+", TOPIC_WILDCARD},
		{"p2panda/name/#", TOPIC_WILDCARD},
		{"p2panda/name/+/ephemeral/json", TOPIC_WILDCARD},
		{"p2panda/" HEX "/+", TOPIC_WILDCARD},
		{"p2panda/" HEX "/ephemeral/json/+", TOPIC_WILDCARD},
		{"p2panda/" HEX "/stream/#", TOPIC_WILDCARD},
		{"$share/group/p2panda/#", TOPIC_WILDCARD},
		{"p2panda/", TOPIC_MALFORMED},
		{"p2panda/x", TOPIC_MALFORMED},
		{"p2panda/" HEX "0", TOPIC_MALFORMED},
		{"p2panda/" HEX "/", TOPIC_MALFORMED},
		{"p2panda/" HEX "/more", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral/", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral/JSON", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral/yaml", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral/json/", TOPIC_MALFORMED},
		{"p2panda/" HEX "/ephemeral/json/x", TOPIC_MALFORMED},
		{"p2panda/" HEX "//json", TOPIC_MALFORMED},
		{"p2panda/" HEX "/stream/json", TOPIC_MALFORMED},
		{"p2panda/" HEX "/tree/x", TOPIC_MALFORMED},
		{"p2panda/name", TOPIC_MALFORMED},
		{"p2panda/name/", TOPIC_MALFORMED},
		{"p2panda/name//ephemeral/json", TOPIC_MALFORMED},
		{"p2panda/name/lamp/", TOPIC_MALFORMED},
		{"p2panda/name/lamp/more", TOPIC_MALFORMED},
		{"p2panda/name/" TEXT_200 "x", TOPIC_MALFORMED},
		{"p2panda/ 0112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef",
			TOPIC_MALFORMED},
		{"p2panda/00112233445566778899AABBCCDDEEFF0123456789abcdef0123456789abcdef",
			TOPIC_MALFORMED},
		{"p2panda/00112233445566778899aabbccddeeff0123456789abcdef0123456789abcde",
			TOPIC_MALFORMED},
		{"p2panda/0x112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef",
			TOPIC_MALFORMED},
		{"$share/group/p2panda/x", TOPIC_MALFORMED},
	};
	struct topic topic;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (topic_parse(cases[i].text, &topic) != cases[i].kind)
			fail_msg("%s", cases[i].text);
}

static void written(void **state)
{
	static const char *const texts[] = {"p2panda/" HEX, "p2panda/" HEX "/ephemeral/json",
		"p2panda/" HEX "/ephemeral/text", "p2panda/" HEX "/ephemeral/bytes",
		"p2panda/" HEX "/ephemeral/cbor", "p2panda/name/lamp",
		"p2panda/name/lamp/ephemeral/bytes",
		"p2panda/name/" TEXT_200 "/ephemeral/bytes"};
	char text[TOPIC_SIZE];
	struct topic topic;
	enum view view;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(topic_parse(texts[i], &topic), TOPIC_OVERLAY);
		for (view = VIEW_RAW; topic.views != VIEW_BIT(view);)
			view++;
		assert_ptr_equal(topic_text(&topic.overlay, topic.name, topic.name_size, view, text),
			text);
		assert_string_equal(text, texts[i]);
	}
	/* An id is a secret: no more than this is shown of it. */
	assert_int_equal(topic_parse("p2panda/" HEX, &topic), TOPIC_OVERLAY);
	assert_string_equal(topic_short(&topic.overlay).text, "0011223344");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlays),
		cmocka_unit_test(elsewhere),
		cmocka_unit_test(names),
		cmocka_unit_test(a_name_is_its_hash),
		cmocka_unit_test(everything_else),
		cmocka_unit_test(written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
