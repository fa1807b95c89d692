/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the options come from: the broker's configuration, which a plugin is given once, and a file
 * of the plugin's own (config_file), which is read again when the broker reloads. The file has the
 * same options, one a line, without "plugin_opt_":
 *
 *   # a comment
 *   peer <node id>@broker.example.org:2022
 *
 * The broker's thread.
 */
#ifndef PLUGIN_SETTINGS_H
#define PLUGIN_SETTINGS_H

#include "options.h"

/* Limits of the file: bytes, and lines. */
#define SETTINGS_FILE_SIZE (1 << 20)
#define SETTINGS_LINES	   10000

struct settings;

/* Copies what the broker gives. ERROR_NOMEM. */
int settings_new(const struct option_text *given, size_t count, const char *persistence_location,
	struct settings **out);
void settings_free(struct settings *settings); /* NULL is fine */

/* Tells whether the broker's configuration has this key. */
bool settings_has(const struct settings *settings, const char *key);
/* Returns the path of the file that is read; empty: none. */
const char *settings_file(const struct settings *settings);

/* Reads all options, those of the file too. Returns false with one line in reason, and what was
 * read before still counts. Call options_clear in any case. restart: the keys, separated by commas,
 * whose values are others than at the first time and that are not live (see live.h). */
#define SETTINGS_KEYS_SIZE 1024
bool settings_read(struct settings *settings, struct options *out,
	char restart[SETTINGS_KEYS_SIZE], char reason[OPTIONS_REASON_SIZE]);

#endif
