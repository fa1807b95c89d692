/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "topic.h"

#include <string.h>

#include "../bridge/bytes/hex.h"

static const char *without_share(const char *filter)
{
	static const char share[] = "$share/";
	const char *group_end;

	if (strncmp(filter, share, sizeof share - 1) != 0)
		return filter;
	group_end = strchr(filter + sizeof share - 1, '/');
	return group_end ? group_end + 1 : filter;
}

enum topic_kind topic_parse(const char *topic, struct id *out)
{
	const char *digits;

	topic = without_share(topic);
	if (strncmp(topic, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1) != 0)
		return TOPIC_FOREIGN;
	digits = topic + sizeof TOPIC_PREFIX - 1;
	if (strlen(digits) == ID_HEX_SIZE && hex_decode(digits, out->bytes, ID_SIZE) == 0)
		return TOPIC_OVERLAY;
	return strpbrk(digits, "+#") ? TOPIC_WILDCARD : TOPIC_MALFORMED;
}

char *topic_name(const struct id *id, char out[TOPIC_SIZE])
{
	memcpy(out, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1);
	hex_encode(id->bytes, ID_SIZE, out + sizeof TOPIC_PREFIX - 1);
	return out;
}

struct topic_short topic_short(const struct id *id)
{
	struct topic_short out;

	hex_encode(id->bytes, ID_SHORT_HEX_SIZE / 2, out.text);
	return out;
}
