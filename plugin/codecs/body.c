/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "body.h"

#include <math.h>
#include <stdbool.h>

#include "../../bridge/bytes/cbor.h"
#include "../../bridge/error.h"
#include "keys.h"
#include "utf8.h"

#define DEPTH_OURS   199
#define DEPTH_THEIRS 255

/* RFC 8949, 3.4.3: integers beyond 64 bits. */
#define TAG_BIGNUM	    2
#define TAG_NEGATIVE_BIGNUM 3

#define NAN_BITS 0x7e00 /* f97e00, the one that we write */

struct check {
	struct reader reader;
	struct keys keys;
	enum body_origin origin;
	unsigned depth;
	const char *why; /* what reader.error is about */
};

static void check_item(struct check *check);

static void refuse(struct check *check, const char *why)
{
	if (!check->reader.error) {
		reader_fail(&check->reader, ERROR_INVALID);
		check->why = why;
	}
}

static bool is_nan(const struct cbor_head *head)
{
	return head->major == CBOR_SIMPLE && head->information >= CBOR_F16 &&
	       head->information <= CBOR_F64 && isnan(cbor_float(head));
}

static void read_head(struct check *check, struct cbor_head *head)
{
	if (!cbor_read_head(&check->reader, head))
		return;
	if (!head->shortest && !(is_nan(head) && check->origin == BODY_THEIRS))
		refuse(check, head->major == CBOR_SIMPLE && head->information > 24
				      ? "a float is not in its shortest form"
				      : "a head is longer than needed");
}

static void check_string(struct check *check, const struct cbor_head *head)
{
	size_t left = reader_left(&check->reader);
	const uint8_t *content;

	if (head->unknown_length) {
		refuse(check, "a string is of unknown length");
		return;
	}
	content = reader_bytes(&check->reader, head->value > left ? left + 1 : (size_t)head->value);
	if (content && head->major == CBOR_TEXT && !utf8_is_valid(content, (size_t)head->value))
		refuse(check, "a text string is not UTF-8");
}

/* Whether there is one more item, or pair, of which count have been read. Takes the break at the
 * end of those of unknown length. */
static bool has_more(struct check *check, const struct cbor_head *head, uint64_t count)
{
	if (check->reader.error)
		return false;
	if (!head->unknown_length)
		return count < head->value;
	if (reader_left(&check->reader) == 0 || *check->reader.at != 0xff)
		return true; /* the item will say what is wrong with it */
	reader_u8(&check->reader);
	return false;
}

static void check_array(struct check *check, const struct cbor_head *head)
{
	for (uint64_t count = 0; has_more(check, head, count); count++)
		check_item(check);
}

static void check_keys(struct check *check, size_t first)
{
	if (keys_ascend(&check->keys, first))
		return;
	if (!keys_sort(&check->keys, first))
		refuse(check, "a key of a map comes twice");
	else if (check->origin == BODY_OURS)
		refuse(check, "the keys of a map are not sorted");
}

static void check_map(struct check *check, const struct cbor_head *head)
{
	size_t first = check->keys.count;

	for (uint64_t count = 0; has_more(check, head, count); count++) {
		struct key key = {.at = check->reader.at};
		int error;

		check_item(check);
		key.size = (size_t)(check->reader.at - key.at);
		check_item(check);
		error = check->reader.error ? 0 : keys_push(&check->keys, &key);
		if (error)
			reader_fail(&check->reader, error);
	}
	if (!check->reader.error)
		check_keys(check, first);
	keys_drop(&check->keys, first);
}

/* A bignum must be one: what fits into 64 bits is an integer, and no zeros lead it. */
static void check_bignum(struct check *check)
{
	struct reader inside = check->reader;
	struct cbor_head head;

	if (cbor_read_head(&inside, &head) && head.major == CBOR_BYTES && !head.unknown_length &&
		(head.value <= 8 || (reader_left(&inside) > 0 && *inside.at == 0)))
		refuse(check, "a bignum is longer than needed");
}

static void check_tag(struct check *check, const struct cbor_head *head)
{
	size_t left = reader_left(&check->reader);
	uint8_t next = left ? *check->reader.at : 0;

	if (head->value == TAG_BIGNUM || head->value == TAG_NEGATIVE_BIGNUM)
		check_bignum(check);
	/* Applications of p2panda 0.7.1 panic at it. Floats are none. */
	if (next >= (CBOR_SIMPLE << 5) && next < (CBOR_SIMPLE << 5 | CBOR_F16))
		refuse(check, "a tag is around a simple value");
	check_item(check);
}

static void check_simple(struct check *check, const struct cbor_head *head)
{
	if (head->unknown_length)
		refuse(check, "a break is where an item must be");
	else if (is_nan(head) && head->value != NAN_BITS && check->origin == BODY_OURS)
		refuse(check, "a NaN is not f97e00");
}

static void check_content(struct check *check, const struct cbor_head *head)
{
	switch (head->major) {
	case CBOR_BYTES:
	case CBOR_TEXT:
		check_string(check, head);
		break;
	case CBOR_ARRAY:
		check_array(check, head);
		break;
	case CBOR_MAP:
		check_map(check, head);
		break;
	case CBOR_TAG:
		check_tag(check, head);
		break;
	case CBOR_SIMPLE:
		check_simple(check, head);
		break;
	}
}

/* Recurses: as deep as a body may be, and no deeper. */
static void check_item(struct check *check)
{
	unsigned deepest = check->origin == BODY_OURS ? DEPTH_OURS : DEPTH_THEIRS;
	struct cbor_head head;
	bool nests;

	read_head(check, &head);
	if (check->reader.error)
		return;
	nests = head.major >= CBOR_ARRAY && head.major <= CBOR_TAG;
	if (head.unknown_length && nests && check->origin == BODY_OURS)
		refuse(check, "an array or a map is of unknown length");
	if (nests && check->depth == deepest)
		refuse(check, "it is nested too deeply");
	if (check->reader.error)
		return;
	check->depth += nests;
	check_content(check, &head);
	check->depth -= nests;
}

int body_check(const uint8_t *body, size_t size, enum body_origin origin, const char **why)
{
	struct check check = {.origin = origin};
	int error;

	reader_init(&check.reader, body, size);
	check_item(&check);
	if (reader_left(&check.reader) > 0)
		refuse(&check, "something follows the item");
	keys_clear(&check.keys);
	error = check.reader.error;
	if (error == ERROR_TRUNCATED)
		check.why = "it ends too early";
	*why = check.why ? check.why : error ? "it is not well-formed CBOR" : NULL;
	return error == ERROR_TRUNCATED ? ERROR_INVALID : error;
}
