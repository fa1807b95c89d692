/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The README's table of status topics is complete: every counter has its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/counters.h"

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

static void test_every_counter_has_its_line(void **state)
{
	static const struct {
		const char *topic, *meaning;
	} counters[] = {
#define X(name, topic, meaning) {topic, meaning},
		COUNTER_TABLE(X)
#undef X
	};
	char *readme = read_file(SOURCE_DIR "/README.md");
	char line[256];

	for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
		snprintf(line, sizeof line, "| `%s` | %s |\n", counters[i].topic,
			counters[i].meaning);
		if (!strstr(readme, line))
			fail_msg("README.md lacks the line %s", line);
	}
	free(readme);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_counter_has_its_line),
	};

	return cmocka_run_group_tests_name("readme", tests, NULL, NULL);
}
