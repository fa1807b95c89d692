/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The body of a message. What a codec shows comes back: as the same bytes where it can say all of
 * it, as what is shown in the same way where it cannot. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tinycbor/cbor.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "bridge/messages/body.h"
#include "plugin/codecs/codec.h"

#define ROOM (8 * LIMIT_CONTENT) /* a byte string becomes longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct codec_options written = {.keys_as_written = true};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool is_finite(const CborValue *value, CborType type)
{
	double number = 0;
	float single = 0;

	if (type == CborHalfFloatType)
		cbor_value_get_half_float_as_float(value, &single);
	else if (type == CborFloatType)
		cbor_value_get_float(value, &single);
	else
		cbor_value_get_double(value, &number);
	return isfinite(single) && isfinite(number);
}

/* Whether JSON can say all of it; leaves value behind the item. No deeper than JSON is. */
static bool says(CborValue *value)
{
	CborType type = cbor_value_get_type(value);
	bool said = true;
	CborValue inner;

	switch (type) {
	case CborArrayType:
	case CborMapType:
		require(cbor_value_enter_container(value, &inner) == CborNoError);
		while (!cbor_value_at_end(&inner))
			said = says(&inner) && said;
		require(cbor_value_leave_container(value, &inner) == CborNoError);
		return said;
	case CborTagType:
		require(cbor_value_advance_fixed(value) == CborNoError);
		says(value);
		return false;
	case CborHalfFloatType:
	case CborFloatType:
	case CborDoubleType:
		said = is_finite(value, type);
		break;
	case CborIntegerType:
	case CborTextStringType:
	case CborBooleanType:
	case CborNullType:
		break;
	default:
		said = false;
	}
	require(cbor_value_advance(value) == CborNoError);
	return said;
}

static bool json_says(const uint8_t *body, size_t size)
{
	CborParser parser;
	CborValue value;

	require(cbor_parser_init(body, size, 0, &parser, &value) == CborNoError);
	return says(&value);
}

static size_t encode(enum codec codec, const char *payload, size_t size, uint8_t *body)
{
	char reason[CODEC_REASON_SIZE];
	size_t body_size;

	require(codec_encode(codec, &written, payload, size, body, ROOM, &body_size, reason) == 0);
	return body_size;
}

static void check_json(const uint8_t *body, size_t size, const char *text, size_t text_size)
{
	static uint8_t again[ROOM];
	size_t again_size = encode(CODEC_JSON, text, text_size, again), shown_size;
	char *shown;

	require(strlen(text) == text_size);
	if (json_says(body, size))
		require(again_size == size && memcmp(again, body, size) == 0);
	if (again_size > LIMIT_CONTENT)
		return;
	require(codec_decode(CODEC_JSON, again, again_size, &shown, &shown_size) == 0);
	require(shown_size == text_size && memcmp(shown, text, text_size) == 0);
	memory_free(shown);
}

static void check_string(enum codec codec, const uint8_t *body, size_t size, const char *payload,
	size_t payload_size)
{
	static uint8_t again[ROOM];
	size_t again_size = encode(codec, payload, payload_size, again);

	if (codec == CODEC_TEXT || body[0] >> 5 == 2)
		require(again_size == size && memcmp(again, body, size) == 0);
}

static void check_cbor(const uint8_t *body, size_t size, bool is_shown)
{
	static uint8_t again[ROOM];
	char reason[CODEC_REASON_SIZE];
	size_t again_size;

	if (codec_encode(CODEC_CBOR, &written, body, size, again, ROOM, &again_size, reason))
		return;
	require(is_shown && again_size == size && memcmp(again, body, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int checked = body_check(data, size, BODY_ARRIVED);

	check_cbor(data, size, checked == 0);
	for (enum codec codec = 0; codec < CODECS; codec++) {
		size_t payload_size;
		char *payload;
		int error = codec_decode(codec, data, size, &payload, &payload_size);

		require(checked ? error == checked : error == 0 || error == ERROR_UNFIT);
		require((error == 0) == (payload != NULL));
		if (!payload)
			continue;
		if (codec == CODEC_JSON)
			check_json(data, size, payload, payload_size);
		else if (codec != CODEC_CBOR)
			check_string(codec, data, size, payload, payload_size);
		else
			require(payload_size == size && memcmp(payload, data, size) == 0);
		memory_free(payload);
	}
	return 0;
}
