/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"

const char *const json_generations[] = {
	"vectors06.json", "vectors07.json", "vectors071.json", NULL};

cJSON *json_load(const char *name)
{
	char path[1024];
	FILE *file;
	char *text;
	long size;
	cJSON *json;

	snprintf(path, sizeof path, "%s/%s", VECTORS_DIR, name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("cannot open %s", path);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = malloc((size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	text[size] = '\0';
	fclose(file);
	json = cJSON_Parse(text);
	free(text);
	if (!json)
		fail_msg("%s is not JSON", path);
	return json;
}

const cJSON *json_find(const cJSON *object, const char *path)
{
	char name[128];

	while (object && *path) {
		size_t size = strcspn(path, ".");

		assert_true(size < sizeof name);
		memcpy(name, path, size);
		name[size] = '\0';
		object = cJSON_GetObjectItemCaseSensitive(object, name);
		path += size + (path[size] == '.');
	}
	return object;
}

const cJSON *json_get(const cJSON *object, const char *path)
{
	const cJSON *found = json_find(object, path);

	if (!found)
		fail_msg("no %s in the vectors", path);
	return found;
}

const char *json_string(const cJSON *object, const char *path)
{
	const char *text = cJSON_GetStringValue(json_get(object, path));

	if (!text)
		fail_msg("%s is not a string", path);
	return text;
}

uint8_t *json_bytes(const cJSON *object, const char *path, size_t *size)
{
	const char *text = json_string(object, path);
	uint8_t *bytes;

	*size = strlen(text) / 2;
	/* Not one byte more, so that ASan sees a read beyond the end. */
	bytes = malloc(*size ? *size : 1);
	assert_non_null(bytes);
	if (strlen(text) % 2 || hex_decode(text, bytes, *size))
		fail_msg("%s is not hex", path);
	return bytes;
}
