/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../bridge/memory.h"

/* A list of keys and values, which are owned. */
struct texts {
	struct option_text *items;
	size_t count;
};

struct settings {
	struct texts given;
	struct texts first; /* all that was in force when the options were first read */
	bool has_first;
	char *persistence_location; /* NULL: none */
	char file[OPTIONS_PATH_SIZE];
};

/* The keys whose values are in force without a restart. */
static const char *const live[] = {
	"peer", "bootstrap", "allow_node", "deny_node", "topic", "log_level"};

static char *copy(const char *text, size_t size)
{
	char *out = memory_alloc(size + 1);

	if (!out)
		return NULL;
	memcpy(out, text, size);
	out[size] = '\0';
	return out;
}

static void clear(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		memory_free((void *)texts->items[i].key);
		memory_free((void *)texts->items[i].value);
	}
	memory_free(texts->items);
	*texts = (struct texts){0};
}

/* Adds a copy of a key and its value. Returns 0 or ERROR_NOMEM. */
static int add(struct texts *texts, const char *key, size_t key_size, const char *value,
	size_t value_size)
{
	struct option_text *grown =
		memory_realloc(texts->items, (texts->count + 1) * sizeof *grown);
	struct option_text *text;

	if (!grown)
		return ERROR_NOMEM;
	texts->items = grown;
	text = &grown[texts->count++];
	text->key = copy(key, key_size);
	text->value = copy(value, value_size);
	return text->key && text->value ? ERROR_NONE : ERROR_NOMEM;
}

static int add_all(struct texts *texts, const struct option_text *from, size_t count)
{
	const char *value;
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < count; i++) {
		value = from[i].value ? from[i].value : "";
		error = add(texts, from[i].key, strlen(from[i].key), value, strlen(value));
	}
	return error;
}

int settings_new(const struct option_text *given, size_t count, const char *persistence_location,
	struct settings **out)
{
	struct settings *settings = memory_zalloc(sizeof *settings);
	int error;

	if (!settings)
		return ERROR_NOMEM;
	error = add_all(&settings->given, given, count);
	if (!error && persistence_location) {
		settings->persistence_location =
			copy(persistence_location, strlen(persistence_location));
		error = settings->persistence_location ? ERROR_NONE : ERROR_NOMEM;
	}
	if (error) {
		settings_free(settings);
		return error;
	}
	*out = settings;
	return ERROR_NONE;
}

void settings_free(struct settings *settings)
{
	if (!settings)
		return;
	clear(&settings->given);
	clear(&settings->first);
	memory_free(settings->persistence_location);
	memory_free(settings);
}

bool settings_has(const struct settings *settings, const char *key)
{
	for (size_t i = 0; i < settings->given.count; i++)
		if (strcmp(settings->given.items[i].key, key) == 0)
			return true;
	return false;
}

const char *settings_file(const struct settings *settings)
{
	return settings->file;
}

/* ---- the file ---- */

/* Reads a whole file, into bytes that are the caller's. Returns NULL with a reason. */
static char *read_whole(const char *path, size_t *size, char reason[OPTIONS_REASON_SIZE])
{
	FILE *file = fopen(path, "re");
	char *bytes = file ? memory_alloc(SETTINGS_FILE_SIZE + 1) : NULL;

	if (!file)
		snprintf(reason, OPTIONS_REASON_SIZE, "config_file %.512s cannot be read: %s", path,
			strerror(errno));
	else if (!bytes)
		snprintf(reason, OPTIONS_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!bytes) {
		if (file)
			fclose(file);
		return NULL;
	}
	errno = 0;
	*size = fread(bytes, 1, SETTINGS_FILE_SIZE + 1, file);
	if (ferror(file) || *size > SETTINGS_FILE_SIZE) {
		snprintf(reason, OPTIONS_REASON_SIZE, "config_file %.512s cannot be read: %s", path,
			ferror(file) ? strerror(errno) : "it has more than 1 MiB");
		memory_free(bytes);
		bytes = NULL;
	}
	fclose(file);
	return bytes;
}

static bool is_blank(char character)
{
	return character == ' ' || character == '\t' || character == '\r';
}

/* Takes a line: a key, blanks, a value. Blanks around these do not count, nor does a line without a
 * key. */
static int take_line(struct texts *texts, const char *line, const char *end)
{
	const char *key_end, *value;

	while (line < end && is_blank(*line))
		line++;
	while (end > line && is_blank(end[-1]))
		end--;
	if (line == end || *line == '#')
		return ERROR_NONE;
	for (key_end = line; key_end < end && !is_blank(*key_end); key_end++)
		;
	for (value = key_end; value < end && is_blank(*value); value++)
		;
	return add(texts, line, (size_t)(key_end - line), value, (size_t)(end - value));
}

static bool take_lines(struct texts *texts, const char *path, const char *bytes, size_t size,
	char reason[OPTIONS_REASON_SIZE])
{
	const char *end = bytes + size, *line_end;
	size_t lines = 0;

	if (memchr(bytes, '\0', size)) {
		snprintf(reason, OPTIONS_REASON_SIZE,
			"config_file %.512s is not accepted: it takes lines of text", path);
		return false;
	}
	for (const char *line = bytes; line < end; line = line_end + 1) {
		line_end = memchr(line, '\n', (size_t)(end - line));
		line_end = line_end ? line_end : end;
		if (++lines > SETTINGS_LINES) {
			snprintf(reason, OPTIONS_REASON_SIZE,
				"config_file %.512s is not accepted: it takes %d lines", path,
				SETTINGS_LINES);
			return false;
		}
		if (take_line(texts, line, line_end)) {
			snprintf(reason, OPTIONS_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
			return false;
		}
	}
	return true;
}

static bool take_file(struct texts *texts, const char *path, char reason[OPTIONS_REASON_SIZE])
{
	size_t size, before = texts->count;
	char *bytes = read_whole(path, &size, reason);
	bool good = bytes && take_lines(texts, path, bytes, size, reason);

	memory_free(bytes);
	for (size_t i = before; good && i < texts->count; i++) {
		if (strcmp(texts->items[i].key, "config_file") != 0)
			continue;
		snprintf(reason, OPTIONS_REASON_SIZE,
			"config_file %.512s is not accepted: it names another config_file; only "
			"the broker's configuration can",
			path);
		good = false;
	}
	return good;
}

/* ---- what has changed ---- */

static bool is_live(const char *key)
{
	for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
		if (strcmp(key, live[i]) == 0)
			return true;
	return false;
}

/* Returns the next value of a key from *at on, and moves *at behind it; NULL: there is none. */
static const char *next_value(const struct texts *texts, const char *key, size_t *at)
{
	while (*at < texts->count) {
		const struct option_text *text = &texts->items[(*at)++];

		if (strcmp(text->key, key) == 0)
			return text->value;
	}
	return NULL;
}

static bool differs(const struct texts *a, const struct texts *b, const char *key)
{
	size_t at_a = 0, at_b = 0;
	const char *value_a, *value_b;

	do {
		value_a = next_value(a, key, &at_a);
		value_b = next_value(b, key, &at_b);
		if (!value_a != !value_b || (value_a && strcmp(value_a, value_b) != 0))
			return true;
	} while (value_a);
	return false;
}

static void name_key(char restart[SETTINGS_KEYS_SIZE], const char *key)
{
	size_t used = strlen(restart);

	snprintf(restart + used, SETTINGS_KEYS_SIZE - used, "%s%s", used ? ", " : "", key);
}

static bool has(const struct texts *texts, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(texts->items[i].key, key) == 0)
			return true;
	return false;
}

/* Names the keys that differ and need a restart, each once. */
static void name_changes(
	const struct texts *before, const struct texts *now, char restart[SETTINGS_KEYS_SIZE])
{
	const char *key;

	for (size_t i = 0; i < before->count; i++) {
		key = before->items[i].key;
		if (!has(before, i, key) && !is_live(key) && differs(before, now, key))
			name_key(restart, key);
	}
	for (size_t i = 0; i < now->count; i++) {
		key = now->items[i].key;
		if (!has(now, i, key) && !has(before, before->count, key) && !is_live(key))
			name_key(restart, key);
	}
}

/* ---- all of it ---- */

bool settings_read(struct settings *settings, struct options *out,
	char restart[SETTINGS_KEYS_SIZE], char reason[OPTIONS_REASON_SIZE])
{
	struct texts texts = {0};
	size_t at = 0;
	const char *file = next_value(&settings->given, "config_file", &at);
	bool good = false;

	memset(out, 0, sizeof *out);
	restart[0] = '\0';
	snprintf(reason, OPTIONS_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	/* A config_file that is not accepted is for options_parse to refuse. */
	if (file && (file[0] != '/' || strlen(file) >= OPTIONS_PATH_SIZE ||
			    next_value(&settings->given, "config_file", &at)))
		file = NULL;
	if (add_all(&texts, settings->given.items, settings->given.count) == ERROR_NONE &&
		(!file || take_file(&texts, file, reason)))
		good = options_parse(
			texts.items, texts.count, settings->persistence_location, out, reason);
	if (!good) {
		clear(&texts);
		return false;
	}
	snprintf(settings->file, sizeof settings->file, "%s", out->config_file);
	if (settings->has_first) {
		name_changes(&settings->first, &texts, restart);
		clear(&texts);
		return true;
	}
	settings->first = texts;
	settings->has_first = true;
	return true;
}
