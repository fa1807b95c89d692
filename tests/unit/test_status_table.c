/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of status topics in docs/status.md is complete: every counter and every other topic has its
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/counters.h"
#include "plugin/status.h"

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	long size;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	fclose(file);
	return text;
}

static void test_every_topic_has_its_line(void **state)
{
	static const struct {
		const char *topic, *meaning;
	} topics[] = {
#define COUNTER_LINE(name, topic, meaning) {topic, meaning},
#define STATUS_LINE(topic, meaning) {topic, meaning},
		COUNTER_TABLE(COUNTER_LINE) STATUS_TABLE(STATUS_LINE)
	};
	char *document = read_file(SOURCE_DIR "/docs/status.md");
	char line[512];

	for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
		snprintf(line, sizeof line, "| `%s` | %s |\n", topics[i].topic,
			topics[i].meaning);
		if (!strstr(document, line))
			fail_msg("docs/status.md lacks the line %s", line);
	}
	free(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_topic_has_its_line),
	};

	return cmocka_run_group_tests_name("status_table", tests, NULL, NULL);
}
