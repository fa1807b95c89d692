/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/topic.h"

#define HEX "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"

static void overlays(void **state)
{
	static const char *const names[] = {
		"p2panda/" HEX, "$share/group/p2panda/" HEX, "$share/a b+c/p2panda/" HEX};
	static const uint8_t begin[] = {0x00, 0x11, 0x22, 0x33};
	struct id topic;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		memset(&topic, 0, sizeof topic);
		assert_int_equal(topic_parse(names[i], &topic), TOPIC_OVERLAY);
		assert_memory_equal(topic.bytes, begin, sizeof begin);
		assert_int_equal(topic.bytes[31], 0xef);
	}
}

static void everything_else(void **state)
{
	static const struct {
		const char *name;
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
		{"p2panda/" HEX "/#", TOPIC_WILDCARD},
		{"p2panda/+/x", TOPIC_WILDCARD},
		{"$share/group/p2panda/#", TOPIC_WILDCARD},
		{"p2panda/", TOPIC_MALFORMED},
		{"p2panda/x", TOPIC_MALFORMED},
		{"p2panda/" HEX "0", TOPIC_MALFORMED},
		{"p2panda/" HEX "/", TOPIC_MALFORMED},
		{"p2panda/" HEX "/more", TOPIC_MALFORMED},
		{"p2panda/name/lamp", TOPIC_MALFORMED},
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
	struct id topic;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (topic_parse(cases[i].name, &topic) != cases[i].kind)
			fail_msg("%s", cases[i].name);
}

static void names(void **state)
{
	char name[TOPIC_SIZE];
	struct id topic, again;

	assert_int_equal(topic_parse("p2panda/" HEX, &topic), TOPIC_OVERLAY);
	assert_ptr_equal(topic_name(&topic, name), name);
	assert_string_equal(name, "p2panda/" HEX);
	assert_int_equal(strlen(name) + 1, TOPIC_SIZE);
	assert_int_equal(topic_parse(name, &again), TOPIC_OVERLAY);
	assert_true(id_equal(&topic, &again));
	/* An id is a secret: no more than this is shown of it. */
	assert_string_equal(topic_short(&topic).text, "0011223344");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlays),
		cmocka_unit_test(everything_else),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
