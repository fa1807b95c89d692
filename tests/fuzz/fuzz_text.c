/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What comes as text: addresses, hex digits, topics, and the plugin's options, a line each
 * ("key value"). Whatever is accepted says the same again when it is written back. */
#include <stdlib.h>
#include <string.h>

#include "bridge/bytes/hex.h"
#include "plugin/options.h"
#include "plugin/topic.h"

#define LINES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const char *text)
{
	char written[ADDRESS_TEXT_SIZE];
	struct address address, again;

	if (address_parse(text, &address))
		return;
	if (address_parse(address_format(&address, written), &again) ||
		address_compare(&address, &again) != 0)
		abort();
}

static void check_topic(const char *text)
{
	char written[TOPIC_SIZE];
	struct topic topic, again;

	if (topic_parse(text, &topic) != TOPIC_OVERLAY)
		return;
	for (unsigned view = 0; view < VIEWS; view++) {
		topic_text(&topic.overlay, topic.name, topic.name_size, view, written);
		if (topic_parse(written, &again) != TOPIC_OVERLAY ||
			!id_equal(&topic.overlay, &again.overlay) ||
			again.views != VIEW_BIT(view) || strlen(written) >= TOPIC_SIZE)
			abort();
	}
	if (!topic.views)
		abort();
}

static void check_options(char *text)
{
	struct option_text options[LINES];
	char reason[OPTIONS_REASON_SIZE] = "";
	struct options parsed;
	size_t count = 0;
	char *rest = text, *line;

	while (count < LINES && (line = strsep(&rest, "\n"))) {
		options[count].key = strsep(&line, " ");
		options[count++].value = line;
	}
	if (!options_parse(options, count, "/var/lib/mosquitto/", &parsed, reason) &&
		(!reason[0] || strchr(reason, '\n')))
		abort(); /* one line that says something */
	options_clear(&parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	check_address(text);
	check_topic(text);
	check_options(text);
	free(text);
	return 0;
}
