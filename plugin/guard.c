/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "guard.h"

#include <string.h>

#include "../bridge/bytes/reader.h"
#include "../bridge/bytes/writer.h"
#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/memory.h"
#include "../bridge/node.h"

/* How many overlays are known: more than may be joined, if max_overlays is not raised. Of still
 * more the first stay. */
#define GUARDED 10000
/* After so many seconds it is written down again that a signed message was seen. */
#define RENEW_S 3600

/* The key of a record: this mark, and the topic. (A client id of MQTT, with which keys of
 * sessions.h may begin, is UTF-8.) */
static const uint8_t mark[] = {0xff, 'g'};
#define KEY_SIZE (sizeof mark + ID_SIZE)

struct guarded {
	struct id topic;
	uint64_t seen_s;  /* when the last signed message was seen */
	uint64_t saved_s; /* seen_s as it is on record */
	UT_hash_handle hh;
};

struct guard {
	struct keyed keyed;
	struct guarded *all;
};

int guard_new(const struct random *random, struct guard **out)
{
	struct guard *guard = memory_zalloc(sizeof *guard);

	if (!guard)
		return ERROR_NOMEM;
	keyed_init(&guard->keyed, random);
	*out = guard;
	return ERROR_NONE;
}

void guard_free(struct guard *guard)
{
	struct guarded *guarded, *next;

	if (!guard)
		return;
	HASH_ITER (hh, guard->all, guarded, next) {
		HASH_DELETE(hh, guard->all, guarded);
		memory_free(guarded);
	}
	memory_free(guard);
}

static struct guarded *find(const struct guard *guard, const struct id *topic)
{
	struct guarded *guarded;

	KEYED_FIND(&guard->keyed, guard->all, topic, sizeof *topic, guarded);
	return guarded;
}

static struct guarded *find_or_add(struct guard *guard, const struct id *topic)
{
	struct guarded *guarded = find(guard, topic);

	if (guarded || HASH_COUNT(guard->all) >= GUARDED)
		return guarded;
	guarded = memory_zalloc(sizeof *guarded);
	if (!guarded)
		return NULL;
	guarded->topic = *topic;
	KEYED_ADD(&guard->keyed, guard->all, &guarded->topic, sizeof guarded->topic, guarded);
	return guarded;
}

static void save(struct guarded *guarded, struct node *node)
{
	uint8_t key[KEY_SIZE], value[sizeof guarded->seen_s];
	struct writer writer;

	memcpy(key, mark, sizeof mark);
	memcpy(key + sizeof mark, &guarded->topic, ID_SIZE);
	writer_init(&writer, value, sizeof value);
	writer_u64(&writer, guarded->seen_s);
	if (node_record(node, key, sizeof key, value, sizeof value) == ERROR_NONE)
		guarded->saved_s = guarded->seen_s;
}

void guard_seen(struct guard *guard, struct node *node, const struct id *topic, uint64_t wall_s)
{
	struct guarded *guarded = find_or_add(guard, topic);

	if (!guarded)
		return;
	guarded->seen_s = wall_s;
	/* The clock may have been set back. */
	if (wall_s < guarded->saved_s || wall_s >= guarded->saved_s + RENEW_S)
		save(guarded, node);
}

bool guard_holds(const struct guard *guard, const struct id *topic, uint64_t wall_s)
{
	const struct guarded *guarded = find(guard, topic);

	return guarded && wall_s < guarded->seen_s + GUARD_S;
}

bool guard_restore(struct guard *guard, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	struct guarded *guarded;
	struct reader reader;
	struct id topic;

	if (key_size != KEY_SIZE || memcmp(key, mark, sizeof mark) != 0)
		return false;
	memcpy(&topic, (const uint8_t *)key + sizeof mark, ID_SIZE);
	guarded = find_or_add(guard, &topic);
	if (!guarded)
		return true;
	reader_init(&reader, value, value_size);
	guarded->seen_s = guarded->saved_s = reader_u64(&reader);
	return true;
}
