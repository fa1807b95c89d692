/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Generations 0.5 and 0.6: messages as ciborium writes serde's enums, one after the other without a
 * length (p2panda-net 0.6.1 src/cbor.rs):
 *
 *   {"BobSaltHalfAndHashedData": {"bob_salt_half": [176, ...], "topics_for_alice": [h'...']}}
 *
 * 0.5 (p2panda-discovery 0.5.2 src/psi_hash.rs) writes each hash of a set as an array of 32
 * integers, too. Both generations read both forms, as ciborium does. This codec reads both forms,
 * too, and writes as 0.6.
 *
 * A message is a chain of heads and small items. Its keys are taken in the order in which these
 * generations, which are finished, write them: hashes before the salt could not be looked up.
 */
#include "dialect.h"

#include <string.h>

#include "../error.h"

static const struct {
	const char *name, *salt, *elements;
} names[PSI_MESSAGES] = {
	[PSI_ALICE_SALT_HALF] = {"AliceSaltHalf", "alice_salt_half", NULL},
	[PSI_BOB_SALT_HALF_AND_HASHED_DATA] = {"BobSaltHalfAndHashedData", "bob_salt_half",
		"topics_for_alice"},
	[PSI_ALICE_HASHED_DATA] = {"AliceHashedData", NULL, "topics_for_bob"},
	[PSI_NODES] = {"Nodes", NULL, "transport_infos"},
};

enum step {
	OUTER,	      /* head: a map of one */
	NAME,	      /* text */
	FIELDS,	      /* head: a map */
	SALT_KEY,     /* text */
	SALT,	      /* 32 integers */
	ELEMENTS_KEY, /* text */
	ELEMENTS,     /* head: an array, or a map */
	ID,	      /* 32 bytes; a hash may be 32 integers */
	INFO,
	END,
};

static bool is_head(enum step step)
{
	return step == OUTER || step == FIELDS || step == ELEMENTS;
}

static void go_to(struct dialect_reader *reader, enum step step)
{
	reader->step = step;
	reader->size = 0;
	reader->too_large = false;
	cbor_scan_init(&reader->scan, is_head(step));
}

static void begin(struct dialect_reader *reader, enum psi_message message)
{
	reader->message = message;
	go_to(reader, OUTER);
}

static unsigned fields(enum psi_message message)
{
	return (names[message].salt != NULL) + (names[message].elements != NULL);
}

static int head_of(const struct dialect_reader *reader, uint8_t major, uint64_t value)
{
	return reader->scan.major == major && reader->scan.value == value ? 0 : ERROR_INVALID;
}

/* Opens a reader over the element, which is complete. */
static void open_element(const struct dialect_reader *reader, struct reader *element)
{
	reader_init(element, reader->element, reader->size);
	if (reader->too_large)
		reader_fail(element, ERROR_INVALID);
}

static int text_of(const struct dialect_reader *reader, const char *name)
{
	struct reader element;
	const char *text;
	size_t size;

	open_element(reader, &element);
	text = cbor_read_text(&element, &size);
	return cbor_is_name(text, size, name) ? 0 : ERROR_INVALID;
}

static int salt_of(const struct dialect_reader *reader, uint8_t salt[PSI_SALT_SIZE])
{
	struct reader element;

	open_element(reader, &element);
	cbor_read_octets(&element, salt, PSI_SALT_SIZE);
	return element.error ? ERROR_INVALID : 0;
}

static int id_of(const struct dialect_reader *reader, struct id *id)
{
	struct reader element;
	const uint8_t *bytes;
	size_t size;

	open_element(reader, &element);
	bytes = cbor_read_bytes(&element, &size);
	if (!bytes || size != ID_SIZE)
		return ERROR_INVALID;
	memcpy(id->bytes, bytes, ID_SIZE);
	return ERROR_NONE;
}

static int hash_of(const struct dialect_reader *reader, struct id *hash)
{
	struct reader element;

	if (id_of(reader, hash) == ERROR_NONE)
		return ERROR_NONE;
	open_element(reader, &element);
	cbor_read_octets(&element, hash->bytes, ID_SIZE);
	return element.error ? ERROR_INVALID : ERROR_NONE;
}

static void next_element(struct dialect_reader *reader)
{
	go_to(reader, reader->elements > 0 ? ID : END);
	if (reader->elements > 0)
		reader->elements--;
}

/* Handles the head or item of a step, which is complete. Returns 1 if out is a piece, 0 to go on,
 * or an error. */
static int complete(struct dialect_reader *reader, struct piece *out)
{
	enum psi_message message = reader->message;
	int result = 0;

	switch ((enum step)reader->step) {
	case OUTER:
		result = head_of(reader, CBOR_MAP, 1);
		go_to(reader, NAME);
		break;
	case NAME:
		result = text_of(reader, names[message].name);
		go_to(reader, FIELDS);
		break;
	case FIELDS:
		result = head_of(reader, CBOR_MAP, fields(message));
		go_to(reader, names[message].salt ? SALT_KEY : ELEMENTS_KEY);
		break;
	case SALT_KEY:
		result = text_of(reader, names[message].salt);
		go_to(reader, SALT);
		break;
	case SALT:
		out->type = PIECE_SALT;
		result = salt_of(reader, out->salt);
		go_to(reader, names[message].elements ? ELEMENTS_KEY : END);
		return result ? result : 1;
	case ELEMENTS_KEY:
		result = text_of(reader, names[message].elements);
		go_to(reader, ELEMENTS);
		break;
	case ELEMENTS:
		reader->elements = reader->scan.value;
		result = head_of(
			reader, message == PSI_NODES ? CBOR_MAP : CBOR_ARRAY, reader->elements);
		next_element(reader);
		break;
	case ID:
		if (message == PSI_NODES) {
			result = id_of(reader, &reader->node);
			go_to(reader, INFO);
			break;
		}
		out->type = PIECE_HASH;
		result = hash_of(reader, &out->id);
		next_element(reader);
		return result ? result : 1;
	case INFO:
		result = dialect_decode(reader, info_decode_cbor, out);
		next_element(reader);
		break;
	case END:
		out->type = PIECE_END;
		return 1;
	}
	return result;
}

static int read_message(
	struct dialect_reader *reader, const uint8_t **data, size_t *size, struct piece *out)
{
	int result = 0;

	*out = (struct piece){0};
	while (!result) {
		size_t used;

		if (reader->step != END) {
			result = cbor_scan(&reader->scan, *data, *size, &used);
			dialect_keep(reader, *data, used);
			*data += used;
			*size -= used;
			if (result != 1)
				return result;
		}
		result = complete(reader, out);
	}
	return result;
}

static void write_text(struct writer *writer, const char *text)
{
	cbor_write_text(writer, text, strlen(text));
}

static void write_head(struct writer *writer, enum psi_message message, const uint8_t *salt,
	uint64_t count, uint64_t size)
{
	(void)size;
	cbor_write_map(writer, 1);
	write_text(writer, names[message].name);
	cbor_write_map(writer, fields(message));
	if (names[message].salt) {
		write_text(writer, names[message].salt);
		cbor_write_octets(writer, salt, PSI_SALT_SIZE);
	}
	if (names[message].elements) {
		write_text(writer, names[message].elements);
		if (message == PSI_NODES)
			cbor_write_map(writer, count);
		else
			cbor_write_array(writer, count);
	}
}

static void write_hash(struct writer *writer, const struct id *hash)
{
	cbor_write_bytes(writer, hash->bytes, ID_SIZE);
}

static void write_node(struct writer *writer, const struct id *node, const struct info *info)
{
	write_hash(writer, node);
	info_encode_cbor(info, writer);
}

const struct dialect_codec dialect_cbor = {begin, read_message, write_head, write_hash, write_node};
