/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A JSON text, in the order of keys that the first byte says. What is taken becomes a body that
 * is deterministic, and its JSON becomes the same body again; cJSON and tinycbor agree. */
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <tinycbor/cbor.h>

#include "bridge/error.h"
#include "bridge/memory.h"
#include "bridge/messages/body.h"
#include "plugin/codecs/codec.h"

#define ROOM 3937

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void require_deterministic(const uint8_t *body, size_t size, bool written)
{
	uint32_t flags = CborValidateShortestIntegrals | CborValidateShortestFloatingPoint |
			 CborValidateUtf8 | CborValidateFiniteFloatingPoint | CborValidateNoTags |
			 CborValidateNoUndefined | CborValidateMapKeysAreString |
			 CborValidateCompleteData;
	CborParser parser;
	CborValue value;

	require(body_check(body, size, written ? BODY_ANY_ORDER : 0) == 0);
	if (!written) /* to tinycbor, known lengths alone mean sorted keys too */
		flags |= CborValidateMapIsSorted | CborValidateMapKeysAreUnique;
	require(cbor_parser_init(body, size, 0, &parser, &value) == CborNoError);
	require(cbor_value_validate(&value, flags) == CborNoError);
}

/* cJSON takes it too, and sees in it what it sees in ours, up to doubles and zeros. */
static void require_same(const char *text, size_t size, const char *ours, size_t ours_size)
{
	cJSON *left = cJSON_ParseWithLength(text, size);
	cJSON *right = cJSON_ParseWithLength(ours, ours_size);
	char *left_text = cJSON_PrintUnformatted(left), *right_text = cJSON_PrintUnformatted(right);

	require(left && right && strcmp(left_text, right_text) == 0);
	free(left_text);
	free(right_text);
	cJSON_Delete(left);
	cJSON_Delete(right);
}

static void require_stable(const struct codec_options *options, const char *text, size_t size,
	const uint8_t *body, size_t body_size)
{
	static uint8_t again[ROOM];
	char reason[CODEC_REASON_SIZE], *shown;
	size_t shown_size, again_size;

	require(codec_decode(CODEC_JSON, body, body_size, &shown, &shown_size) == 0);
	require(strlen(shown) == shown_size);
	require(codec_encode(CODEC_JSON, options, shown, shown_size, again, sizeof again,
			&again_size, reason) == 0);
	require(again_size == body_size && memcmp(again, body, body_size) == 0);
	if (options->keys_as_written)
		require_same(text, size, shown, shown_size);
	memory_free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t body[ROOM];
	struct codec_options options = {.keys_as_written = size > 0 && (data[0] & 1)};
	const char *text = (const char *)data + 1;
	char reason[CODEC_REASON_SIZE];
	size_t body_size;
	int error;

	if (size == 0)
		return 0;
	error = codec_encode(
		CODEC_JSON, &options, text, --size, body, sizeof body, &body_size, reason);
	require((error != 0) == (reason[0] != '\0'));
	for (const char *at = reason; *at; at++)
		require(*at >= ' ' && *at <= '~');
	if (error == ERROR_TOO_LARGE)
		require(body_size == 0 || body_size > sizeof body);
	if (error)
		return 0;
	require_deterministic(body, body_size, options.keys_as_written);
	require_stable(&options, text, size, body, body_size);
	return 0;
}
