/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cbor.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <tinycbor/cbor.h>

#include "../error.h"

static bool check(struct reader *reader, CborError error)
{
	if (error == CborErrorUnexpectedEOF)
		reader_fail(reader, ERROR_TRUNCATED);
	else if (error)
		reader_fail(reader, ERROR_INVALID);
	return !error;
}

/* Opens the item that comes next, which must be of that type; otherwise the reader fails. */
static bool open_item(struct reader *reader, CborParser *parser, CborValue *value, CborType type)
{
	if (reader->error ||
		!check(reader, cbor_parser_init(reader->at, reader_left(reader), 0, parser, value)))
		return false;
	return check(reader, cbor_value_get_type(value) == type ? 0 : CborErrorIllegalType);
}

uint64_t cbor_read_uint(struct reader *reader)
{
	CborParser parser;
	CborValue value;
	uint64_t number = 0;

	if (!open_item(reader, &parser, &value, CborIntegerType))
		return 0;
	if (!check(reader, cbor_value_is_unsigned_integer(&value) ? 0 : CborErrorIllegalType))
		return 0;
	cbor_value_get_uint64(&value, &number);
	if (check(reader, cbor_value_advance_fixed(&value)))
		reader->at = cbor_value_get_next_byte(&value);
	return number;
}

static uint64_t read_container(struct reader *reader, CborType type)
{
	CborParser parser;
	CborValue value, inner;
	size_t count = 0;

	if (!open_item(reader, &parser, &value, type) ||
		!check(reader, type == CborArrayType ? cbor_value_get_array_length(&value, &count)
						     : cbor_value_get_map_length(&value, &count)) ||
		!check(reader, cbor_value_enter_container(&value, &inner)))
		return 0;
	reader->at = cbor_value_get_next_byte(&inner);
	return count;
}

uint64_t cbor_read_array(struct reader *reader)
{
	return read_container(reader, CborArrayType);
}

uint64_t cbor_read_map(struct reader *reader)
{
	return read_container(reader, CborMapType);
}

static const void *read_string(struct reader *reader, CborType type, size_t *size)
{
	CborParser parser;
	CborValue value;

	*size = 0;
	if (!open_item(reader, &parser, &value, type) ||
		!check(reader, cbor_value_is_length_known(&value) ? 0 : CborErrorUnknownLength) ||
		!check(reader, cbor_value_get_string_length(&value, size)) ||
		!check(reader, cbor_value_advance(&value))) {
		*size = 0;
		return NULL;
	}
	reader->at = cbor_value_get_next_byte(&value);
	return reader->at - *size;
}

const uint8_t *cbor_read_bytes(struct reader *reader, size_t *size)
{
	return read_string(reader, CborByteStringType, size);
}

const char *cbor_read_text(struct reader *reader, size_t *size)
{
	return read_string(reader, CborTextStringType, size);
}

void cbor_read_octets(struct reader *reader, uint8_t *out, size_t size)
{
	memset(out, 0, size);
	if (cbor_read_array(reader) != size)
		reader_fail(reader, ERROR_INVALID);
	for (size_t i = 0; i < size && !reader->error; i++) {
		uint64_t octet = cbor_read_uint(reader);

		if (octet > 255)
			reader_fail(reader, ERROR_INVALID);
		else
			out[i] = (uint8_t)octet;
	}
	if (reader->error)
		memset(out, 0, size);
}

const uint8_t *cbor_read_item(struct reader *reader, size_t *size)
{
	struct cbor_scan scan;
	const uint8_t *item = reader->at;
	int done;

	*size = 0;
	if (reader->error)
		return NULL;
	/* tinycbor is not used here, because its way through an item recurses. */
	cbor_scan_init(&scan, false);
	done = cbor_scan(&scan, reader->at, reader_left(reader), size);
	if (done != 1) {
		reader_fail(reader, done ? ERROR_INVALID : ERROR_TRUNCATED);
		*size = 0;
		return NULL;
	}
	reader->at += *size;
	return item;
}

/* Converts a float to the f16 of the same value; returns false if there is none, or the value is a
 * NaN. tinycbor is not used here, because it rounds. */
static bool half_of(float value, uint16_t *half)
{
	uint32_t bits, sign, fraction;
	int exponent, lost = 13; /* bits of the fraction that f16 has no room for */

	memcpy(&bits, &value, sizeof bits);
	sign = bits >> 16 & 0x8000;
	exponent = (int)(bits >> 23 & 0xff) - 127;
	fraction = bits & 0x7fffff;
	if (exponent == 128) {
		exponent = 16; /* infinite */
	} else if (exponent == -127 && fraction == 0) {
		exponent = -15; /* zero */
	} else if (exponent < -14) {
		/* Subnormal: the leading one is written. */
		fraction |= 0x800000;
		lost = -exponent - 1;
		exponent = -15;
	} else if (exponent > 15) {
		return false;
	}
	if (lost > 23 || (fraction & ((1u << lost) - 1)))
		return false;
	*half = (uint16_t)(sign | (uint32_t)(exponent + 15) << 10 | fraction >> lost);
	return true;
}

bool cbor_read_head(struct reader *reader, struct cbor_head *head)
{
	uint8_t first = reader_u8(reader);

	*head = (struct cbor_head){.major = first >> 5, .information = first & 31};
	switch (head->information) {
	case 24:
		head->value = reader_u8(reader);
		break;
	case 25:
		head->value = reader_u16(reader);
		break;
	case 26:
		head->value = reader_u32(reader);
		break;
	case 27:
		head->value = reader_u64(reader);
		break;
	default:
		head->value = head->information;
		if (head->information > 27) /* reserved, of unknown length, or its end */
			reader_fail(reader, ERROR_INVALID);
	}
	return !reader->error;
}

double cbor_float(const struct cbor_head *head)
{
	uint64_t bits = head->value;
	uint32_t narrow = (uint32_t)bits;
	int exponent = (int)(bits >> 10 & 31);
	double value;
	float single;

	if (head->information == CBOR_F64) {
		memcpy(&value, &bits, sizeof value);
	} else if (head->information == CBOR_F32) {
		memcpy(&single, &narrow, sizeof single);
		value = single;
	} else { /* RFC 8949, appendix D */
		bits &= 0x3ff;
		value = exponent == 0	 ? ldexp((double)bits, -24)
			: exponent != 31 ? ldexp((double)(bits + 1024), exponent - 25)
			: bits == 0	 ? INFINITY
					 : NAN;
		value = head->value & 0x8000 ? -value : value;
	}
	return value;
}

static CborError write_to(void *writer, const void *data, size_t size, CborEncoderAppendType append)
{
	(void)append;
	writer_bytes(writer, data, size);
	return CborNoError; /* an error stays in the writer */
}

static CborEncoder encoder(struct writer *writer)
{
	CborEncoder encoder;

	cbor_encoder_init_writer(&encoder, write_to, writer);
	return encoder;
}

void cbor_write_uint(struct writer *writer, uint64_t value)
{
	CborEncoder to = encoder(writer);

	cbor_encode_uint(&to, value);
}

void cbor_write_negative(struct writer *writer, uint64_t value)
{
	CborEncoder to = encoder(writer);

	cbor_encode_negative_int(&to, value + 1); /* tinycbor takes 0 for 2^64 */
}

void cbor_write_float(struct writer *writer, double value)
{
	CborEncoder to = encoder(writer);
	bool is_float = isinf(value) || fabs(value) <= FLT_MAX;
	float narrow = is_float ? (float)value : 0;
	uint16_t half = 0x7e00;

	if (isnan(value) || (is_float && narrow == value && half_of(narrow, &half)))
		cbor_encode_half_float(&to, &half);
	else if (is_float && narrow == value)
		cbor_encode_float(&to, narrow);
	else
		cbor_encode_double(&to, value);
}

void cbor_write_bool(struct writer *writer, bool value)
{
	CborEncoder to = encoder(writer);

	cbor_encode_boolean(&to, value);
}

void cbor_write_null(struct writer *writer)
{
	CborEncoder to = encoder(writer);

	cbor_encode_null(&to);
}

void cbor_write_head(struct writer *writer, uint8_t major, uint64_t value)
{
	uint8_t *head = writer->at;

	cbor_write_uint(writer, value);
	if (!writer->error)
		*head |= (uint8_t)(major << 5);
}

void cbor_write_array(struct writer *writer, uint64_t items)
{
	CborEncoder to = encoder(writer), inner;

	cbor_encoder_create_array(&to, &inner, items);
}

void cbor_write_map(struct writer *writer, uint64_t pairs)
{
	CborEncoder to = encoder(writer), inner;

	cbor_encoder_create_map(&to, &inner, pairs);
}

void cbor_write_bytes(struct writer *writer, const void *data, size_t size)
{
	CborEncoder to = encoder(writer);

	cbor_encode_byte_string(&to, data, size);
}

void cbor_write_text(struct writer *writer, const void *text, size_t size)
{
	CborEncoder to = encoder(writer);

	cbor_encode_text_string(&to, text, size);
}

void cbor_write_octets(struct writer *writer, const uint8_t *data, size_t size)
{
	CborEncoder to = encoder(writer), inner;

	cbor_encoder_create_array(&to, &inner, size);
	for (size_t i = 0; i < size; i++)
		cbor_encode_uint(&inner, data[i]);
}

bool cbor_is_name(const char *text, size_t size, const char *name)
{
	return text && size == strlen(name) && memcmp(text, name, size) == 0;
}

void cbor_scan_init(struct cbor_scan *scan, bool head_only)
{
	*scan = (struct cbor_scan){.head_only = head_only};
}

/* Takes the first byte of a head (RFC 8949, 3). ERROR_INVALID. */
static int begin_head(struct cbor_scan *scan, uint8_t byte)
{
	uint8_t information = byte & 31;

	scan->major = byte >> 5;
	scan->value = information;
	scan->head = 0;
	/* 28 to 30 are reserved, 31 is an unknown length or its end. */
	if (information > 27)
		return ERROR_INVALID;
	if (information >= 24) {
		scan->value = 0;
		scan->head = (uint8_t)(1 << (information - 24));
	}
	return ERROR_NONE;
}

/* Ends an item, and the containers of which this was the last item. */
static void end_item(struct cbor_scan *scan)
{
	while (scan->depth > 0 && --scan->left[scan->depth - 1] == 0)
		scan->depth--;
	scan->done = scan->depth == 0;
}

static int end_head(struct cbor_scan *scan)
{
	uint64_t items = 0;

	if (scan->head_only) {
		scan->done = true;
		return ERROR_NONE;
	}
	switch (scan->major) {
	case CBOR_BYTES:
	case CBOR_TEXT:
		scan->content = scan->value;
		break;
	case CBOR_ARRAY:
		items = scan->value;
		break;
	case CBOR_MAP:
		if (scan->value > UINT64_MAX / 2)
			return ERROR_INVALID;
		items = 2 * scan->value;
		break;
	case CBOR_TAG: /* a tag is followed by one item */
		items = 1;
		break;
	}
	if (items > 0) {
		if (scan->depth == CBOR_DEPTH)
			return ERROR_INVALID;
		scan->left[scan->depth++] = items;
	} else if (scan->content == 0) {
		end_item(scan);
	}
	return ERROR_NONE;
}

static int scan_byte(struct cbor_scan *scan, uint8_t byte)
{
	int error = 0;

	if (scan->head > 0) {
		scan->value = scan->value << 8 | byte;
		scan->head--;
	} else {
		error = begin_head(scan, byte);
	}
	return !error && scan->head == 0 ? end_head(scan) : error;
}

int cbor_scan(struct cbor_scan *scan, const uint8_t *data, size_t size, size_t *used)
{
	size_t at = 0;
	int error = 0;

	while (!scan->done && !error && at < size) {
		if (scan->content > 0) {
			size_t here = scan->content < size - at ? scan->content : size - at;

			at += here;
			scan->content -= here;
			if (scan->content == 0)
				end_item(scan);
		} else {
			error = scan_byte(scan, data[at++]);
		}
	}
	*used = at;
	return error ? error : scan->done;
}
