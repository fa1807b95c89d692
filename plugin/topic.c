/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "topic.h"

#include <blake3.h>
#include <stdbool.h>
#include <string.h>

#include "../bridge/bytes/hex.h"

static const char *const codecs[VIEWS] = {
	[VIEW_JSON] = "json", [VIEW_TEXT] = "text", [VIEW_BYTES] = "bytes", [VIEW_CBOR] = "cbor"};

/* The overlay whose digits were read or written last: most messages are of the same one as those
 * before them. */
static struct {
	bool is_set;
	struct id overlay;
	char digits[ID_HEX_SIZE];
} last;

static void remember(const struct id *overlay, const char *digits)
{
	last.is_set = true;
	last.overlay = *overlay;
	memcpy(last.digits, digits, ID_HEX_SIZE);
}

static const char *without_share(const char *filter)
{
	static const char share[] = "$share/";
	const char *group_end;

	if (strncmp(filter, share, sizeof share - 1) != 0)
		return filter;
	group_end = strchr(filter + sizeof share - 1, '/');
	return group_end ? group_end + 1 : filter;
}

bool topic_is_shared(const char *filter)
{
	return without_share(filter) != filter;
}

/* One level of a topic. */
struct level {
	const char *text;
	size_t size;
	bool is_last;
};

static struct level level_at(const char *text)
{
	size_t size = strcspn(text, "/");

	return (struct level){text, size, text[size] == '\0'};
}

static struct level next_level(const struct level *level)
{
	return level_at(level->text + level->size + 1);
}

static bool is(const struct level *level, const char *text)
{
	return level->size == strlen(text) && memcmp(level->text, text, level->size) == 0;
}

static bool is_wildcard(const struct level *level)
{
	return is(level, "+") || is(level, "#");
}

static enum topic_kind nothing(const char *text)
{
	return strpbrk(text, "+#") ? TOPIC_WILDCARD : TOPIC_MALFORMED;
}

/* Returns the views that the last level, that of the codec, means; 0: it is no codec. */
static unsigned views_of_codec(const struct level *level)
{
	if (!level->is_last)
		return 0;
	if (is_wildcard(level))
		return VIEW_BIT(VIEW_JSON);
	for (unsigned view = VIEW_JSON; view < VIEWS; view++)
		if (is(level, codecs[view]))
			return VIEW_BIT(view);
	return 0;
}

/* Returns the views that what follows the overlay's level means; 0: it is no view. */
static unsigned views_behind(const struct level *overlay)
{
	struct level level, codec;

	if (overlay->is_last)
		return VIEW_BIT(VIEW_RAW);
	level = next_level(overlay);
	if (is(&level, "#")) /* the level above it, too (MQTT 5, 4.7.1.2) */
		return VIEW_BIT(VIEW_RAW) | VIEW_BIT(VIEW_JSON);
	if (level.is_last || !(is(&level, "ephemeral") || is(&level, "+")))
		return 0;
	codec = next_level(&level);
	return views_of_codec(&codec);
}

static bool take_name(const struct level *level, struct topic *out)
{
	blake3_hasher hasher;

	if (level->size == 0 || level->size > TOPIC_NAME_SIZE || is_wildcard(level))
		return false;
	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, level->text, level->size);
	blake3_hasher_finalize(&hasher, out->overlay.bytes, ID_SIZE);
	out->name = level->text;
	out->name_size = level->size;
	return true;
}

static bool take_digits(const struct level *level, struct topic *out)
{
	if (level->size != ID_HEX_SIZE)
		return false;
	if (last.is_set && memcmp(level->text, last.digits, ID_HEX_SIZE) == 0) {
		out->overlay = last.overlay;
		return true;
	}
	if (hex_decode(level->text, out->overlay.bytes, ID_SIZE) != 0)
		return false;
	remember(&out->overlay, level->text);
	return true;
}

enum topic_kind topic_parse(const char *text, struct topic *out)
{
	struct level level;
	bool is_overlay;

	*out = (struct topic){0};
	text = without_share(text);
	if (strncmp(text, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1) != 0)
		return TOPIC_FOREIGN;
	text += sizeof TOPIC_PREFIX - 1;
	level = level_at(text);
	if (is(&level, "name") && !level.is_last) {
		level = next_level(&level);
		is_overlay = take_name(&level, out);
	} else {
		is_overlay = take_digits(&level, out);
	}
	out->views = is_overlay ? views_behind(&level) : 0;
	return out->views ? TOPIC_OVERLAY : nothing(text);
}

const char *topic_elsewhere(const char *text)
{
	size_t size = strlen(text), end_size = sizeof TOPIC_PREFIX - 1 + ID_HEX_SIZE;
	const char *end;
	struct id ignored;

	if (size <= end_size)
		return NULL;
	end = text + size - end_size;
	if (memcmp(end, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1) != 0 ||
		hex_decode(end + sizeof TOPIC_PREFIX - 1, ignored.bytes, ID_SIZE) != 0 ||
		without_share(text) == end)
		return NULL;
	return end;
}

enum view topic_view(const struct topic *topic)
{
	enum view view = VIEW_RAW;

	while (view + 1 < VIEWS && !(topic->views & VIEW_BIT(view)))
		view++;
	return view;
}

char *topic_text(const struct id *overlay, const char *name, size_t name_size, enum view view,
	char out[TOPIC_SIZE])
{
	char digits[ID_HEX_SIZE + 1], *end = stpcpy(out, TOPIC_PREFIX);

	if (name) {
		end = mempcpy(stpcpy(end, TOPIC_NAMES), name, name_size);
	} else {
		if (!last.is_set || !id_equal(&last.overlay, overlay))
			remember(overlay, hex_encode(overlay->bytes, ID_SIZE, digits));
		end = mempcpy(end, last.digits, ID_HEX_SIZE);
	}
	*end = '\0';
	if (codecs[view])
		stpcpy(stpcpy(end, TOPIC_SIGNED), codecs[view]);
	return out;
}

struct topic_short topic_short(const struct id *id)
{
	struct topic_short out;

	hex_encode(id->bytes, ID_SHORT_HEX_SIZE / 2, out.text);
	return out;
}
