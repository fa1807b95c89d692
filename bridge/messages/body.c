/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../bytes/utf8.h"
#include "../error.h"
#include "../limits.h"
#include "head.h"

struct key {
	uint16_t at; /* offset from the first byte of the body */
	uint16_t size;
};

/* A container, or a tag around one item, whose end has not come yet. */
struct level {
	uint64_t left; /* items missing, keys and values each counted */
	enum head_major major;
	bool bignum;   /* the tags 2 and 3 */
	bool unsorted; /* a key has come that sorts before the key before it */
	uint16_t keys; /* index in walk.keys at which the keys of a map begin */
	uint16_t item; /* offset at which the current item begins */
};

struct walk {
	struct reader *reader;
	const uint8_t *start;
	unsigned rules;
	size_t depth;
	size_t key_count;
	struct level levels[LIMIT_SIGNED_DEPTH];
	struct key keys[LIMIT_CONTENT / 2];
};

static void fail(struct walk *walk, int error)
{
	reader_fail(walk->reader, error);
}

static uint16_t position(const struct walk *walk)
{
	return (uint16_t)(walk->reader->at - walk->start);
}

/* Compares two keys by their bytes (RFC 8949, 4.2.1). Of two different items in this form, none
 * begins with the other, so the end of the shorter one decides nothing. */
static int compare_keys(const void *a, const void *b, void *start)
{
	const struct key *first = a, *second = b;
	const uint8_t *bytes = start;
	size_t size = first->size < second->size ? first->size : second->size;
	int order = memcmp(bytes + first->at, bytes + second->at, size);

	return order ? order : (int)first->size - (int)second->size;
}

static void end_key(struct walk *walk, struct level *map)
{
	struct key *key = &walk->keys[walk->key_count];
	int order;

	/* Each key has two bytes at least, with its value. */
	assert(walk->key_count < LIMIT_CONTENT / 2);
	*key = (struct key){map->item, (uint16_t)(position(walk) - map->item)};
	if (walk->key_count++ == map->keys)
		return;
	order = compare_keys(key - 1, key, (void *)walk->start);
	if (order == 0 || (order > 0 && !(walk->rules & BODY_ANY_ORDER)))
		fail(walk, ERROR_NOT_DETERMINISTIC);
	map->unsorted |= order > 0;
}

static void end_map(struct walk *walk, const struct level *map)
{
	struct key *keys = walk->keys + map->keys;
	size_t count = walk->key_count - map->keys;

	walk->key_count = map->keys;
	if (!map->unsorted)
		return;
	qsort_r(keys, count, sizeof *keys, compare_keys, (void *)walk->start);
	for (size_t i = 1; i < count; i++) {
		if (compare_keys(keys + i - 1, keys + i, (void *)walk->start) == 0)
			fail(walk, ERROR_NOT_DETERMINISTIC);
	}
}

/* Ends an item, and the levels of which this was the last item. */
static void end_item(struct walk *walk)
{
	while (walk->depth > 0) {
		struct level *level = &walk->levels[walk->depth - 1];

		if (level->major == HEAD_MAP && level->left % 2 == 0)
			end_key(walk, level);
		if (--level->left > 0)
			return;
		if (level->major == HEAD_MAP)
			end_map(walk, level);
		walk->depth--;
	}
}

static void begin_level(struct walk *walk, const struct head *head, uint64_t items)
{
	/* Items that cannot be there need not be walked through. */
	if (items > reader_left(walk->reader)) {
		fail(walk, ERROR_TRUNCATED);
		return;
	}
	if (walk->depth == LIMIT_SIGNED_DEPTH) {
		fail(walk, ERROR_TOO_DEEP);
		return;
	}
	if (items == 0) {
		end_item(walk);
		return;
	}
	walk->levels[walk->depth++] = (struct level){
		.left = items,
		.major = head->major,
		.bignum = head->major == HEAD_TAG && (head->value == 2 || head->value == 3),
		.keys = (uint16_t)walk->key_count,
	};
}

static void check_string(struct walk *walk, const struct head *head, const struct level *around)
{
	const uint8_t *bytes;

	if (head->value > reader_left(walk->reader)) {
		fail(walk, ERROR_TRUNCATED);
		return;
	}
	bytes = reader_bytes(walk->reader, (size_t)head->value);
	if (head->major == HEAD_TEXT && !utf8_is_valid(bytes, (size_t)head->value))
		fail(walk, ERROR_INVALID);
	/* RFC 8949, 3.4.3: an integer that fits into 64 bits is no bignum. */
	if (head->major == HEAD_BYTES && around && around->bignum &&
		(head->value <= 8 || bytes[0] == 0))
		fail(walk, ERROR_NOT_DETERMINISTIC);
	end_item(walk);
}

static void check_simple(struct walk *walk, const struct head *head, const struct level *around)
{
	if (head_is_float(head)) {
		if (!head_is_shortest_float(head, walk->rules & BODY_ANY_NAN))
			fail(walk, ERROR_NOT_DETERMINISTIC);
	} else if (around && around->major == HEAD_TAG) {
		fail(walk, ERROR_TAGGED_SIMPLE);
	} else if (head->first < HEAD_FALSE || head->first > HEAD_NULL) {
		fail(walk, ERROR_INVALID);
	}
	end_item(walk);
}

static void check_item(struct walk *walk)
{
	struct level *around = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
	struct head head;

	if (around)
		around->item = position(walk);
	if (!head_read(walk->reader, &head))
		return;
	switch (head.major) {
	case HEAD_UINT:
	case HEAD_NEGATIVE:
		end_item(walk);
		break;
	case HEAD_BYTES:
	case HEAD_TEXT:
		check_string(walk, &head, around);
		break;
	case HEAD_ARRAY:
		begin_level(walk, &head, head.value);
		break;
	case HEAD_MAP:
		/* This bound keeps twice the number of pairs from overflowing. */
		if (head.value > LIMIT_CONTENT)
			fail(walk, ERROR_TRUNCATED);
		else
			begin_level(walk, &head, 2 * head.value);
		break;
	case HEAD_TAG:
		begin_level(walk, &head, 1);
		break;
	case HEAD_SIMPLE:
		check_simple(walk, &head, around);
		break;
	}
}

const uint8_t *body_read(struct reader *reader, unsigned rules, size_t *size)
{
	struct walk walk;

	*size = 0;
	if (reader_left(reader) > LIMIT_CONTENT)
		reader_fail(reader, ERROR_TOO_LARGE);
	/* The arrays are not initialised: that would cost more than most bodies. */
	walk.reader = reader;
	walk.start = reader->at;
	walk.rules = rules;
	walk.depth = walk.key_count = 0;
	do {
		check_item(&walk);
	} while (walk.depth > 0 && !reader->error);
	if (reader->error)
		return NULL;
	*size = position(&walk);
	return walk.start;
}

int body_check(const void *data, size_t size, unsigned rules)
{
	struct reader reader;

	reader_init(&reader, data, size);
	body_read(&reader, rules, &size);
	if (reader_left(&reader) > 0)
		reader_fail(&reader, ERROR_TRAILING);
	return reader.error;
}
