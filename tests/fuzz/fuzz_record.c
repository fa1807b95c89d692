/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Subscriptions from before a restart, as they lie on disk: for each record the size of its key
 * (u16), that of its value (u8), and both. What is joined for them is named in one of the keys,
 * and nothing is left when all of their clients are gone. What the first start has put right, a
 * second one has nothing to do with. What was given up before it is named in the values.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "bridge/bytes/hex.h"
#include "bridge/bytes/reader.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "plugin/given_up.h"
#include "plugin/sessions.h"
#include "plugin/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *data;
	size_t size;
	size_t joined;
	bool has_sessions;
	struct sessions *sessions;
	struct row *rows; /* on disk */
	size_t written;	  /* and deleted */
} world;

struct row {
	uint8_t *key, *value; /* of their own sizes, so that ASan sees a read beyond them */
	size_t key_size, value_size;
	struct row *prev, *next;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static int on_join(void *context, const struct id *topic)
{
	char name[TOPIC_SIZE];

	/* By digits, or by the name that it is the hash of, or by one of their views. */
	topic_text(topic, NULL, 0, VIEW_RAW, name);
	require(memmem(world.data, world.size, name, strlen(name)) ||
		memmem(world.data, world.size, TOPIC_PREFIX TOPIC_NAMES,
			sizeof TOPIC_PREFIX TOPIC_NAMES - 1));
	world.joined++;
	return 0;
}

static int on_leave(void *context, const struct id *topic)
{
	require(world.joined-- > 0);
	return 0;
}

static int on_verify(void *context, const struct id *topic, bool verify)
{
	return 0;
}

static bool is_allowed(
	void *context, const char *client, const char *filter, const struct id *topic)
{
	return true;
}

static struct interest_owner owner_of(void *context, const char *client)
{
	return (struct interest_owner){NULL, NULL};
}

static bool has_session(void *context, const char *client)
{
	size_t length = strlen(client);

	require(length == 0 || memmem(world.data, world.size, client, length));
	return world.has_sessions;
}

static bool has_subscription(
	void *context, const char *client, const char *filter, struct terms terms)
{
	return world.has_sessions;
}

static void on_missing(void *context, const char *client, const char *filter)
{
}

static int on_remember(void *context, const char *client, const char *filter, struct terms terms)
{
	require(false); /* it is on record */
	return 0;
}

static void on_forget(void *context, const char *client, const char *filter)
{
	struct topic topic;

	require(topic_parse(filter, &topic) == TOPIC_OVERLAY);
	sessions_forget(world.sessions, client, filter);
}

static void on_give_up(void *context, const char *client, const char *filter, struct terms terms)
{
	require(false); /* no client does anything */
}

static void on_limit(void *context, const char *client, const struct id *topic)
{
}

static uint8_t *copy(const void *bytes, size_t size)
{
	uint8_t *own = malloc(size);

	require(own || !size);
	if (size)
		memcpy(own, bytes, size);
	return own;
}

static void delete(struct row *row)
{
	DL_DELETE(world.rows, row);
	free(row->key);
	free(row->value);
	free(row);
}

/* Each key is there once, as in a table. */
static void lay(const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct row *row, *next;

	DL_FOREACH_SAFE (world.rows, row, next) {
		if (row->key_size == key_size &&
			(key_size == 0 || memcmp(row->key, key, key_size) == 0))
			delete(row);
	}
	row = malloc(sizeof *row);
	require(row);
	*row = (struct row){copy(key, key_size), copy(value, value_size), key_size, value_size,
		NULL, NULL};
	DL_APPEND(world.rows, row);
}

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	require(key_size + value_size <= LIMIT_RECORD);
	world.written++;
	lay(key, key_size, value, value_size);
	if (value_size == 0)
		delete(world.rows->prev);
	return ERROR_NONE;
}

static void on_given_up(void *context, const char *client, const char *filter, struct terms terms)
{
	struct topic topic;

	require(topic_parse(filter, &topic) == TOPIC_OVERLAY && terms_qos(terms) <= 2);
	require(memmem(world.data, world.size, client, strlen(client) + 1));
}

static void restore(struct interest *interest, struct random *random)
{
	const struct sessions_actions actions = {.record = record};
	struct given_up *given_up;
	struct row *row, *next;

	require(given_up_new(record, NULL, random, &given_up) == 0);
	DL_FOREACH_SAFE (world.rows, row, next)
		(void)given_up_restore(
			given_up, row->key, row->key_size, row->value, row->value_size);
	given_up_visit_all(given_up, on_given_up, NULL);
	given_up_settle(given_up);
	given_up_free(given_up);

	sessions_delete(world.sessions);
	require(sessions_new(&actions, random, &world.sessions) == 0);
	DL_FOREACH (world.rows, row)
		sessions_restore(
			world.sessions, row->key, row->key_size, row->value, row->value_size);
	sessions_restored(world.sessions, interest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct interest_actions actions = {
		.allowed = is_allowed,
		.owner = owner_of,
		.join = on_join,
		.leave = on_leave,
		.verify = on_verify,
		.has_session = has_session,
		.has_subscription = has_subscription,
		.missing = on_missing,
		.remember = on_remember,
		.forget = on_forget,
		.give_up = on_give_up,
		.denied = on_limit,
		.limited = on_limit,
		.gave_way = on_limit,
		.unrecorded = on_limit,
	};
	const struct interest_config config = {.linger_ns = 1,
		.max_overlays = 8,
		.max_overlays_per_client = 4,
		.max_overlays_per_user = 8,
		.max_overlays_per_address = 8,
		.max_records = 8,
		.max_denied = 8};
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct interest *interest;
	struct reader reader;

	world.data = data;
	world.size = size;
	world.joined = 0;
	world.sessions = NULL;
	world.rows = NULL;
	require(interest_new(&actions, &config, &random, &interest) == 0);
	reader_init(&reader, data, size);
	while (reader_left(&reader) >= 3) {
		size_t key_size = reader_u16(&reader), value_size = reader_u8(&reader);
		const uint8_t *key, *value;

		if (key_size > reader_left(&reader))
			key_size = reader_left(&reader);
		key = reader_bytes(&reader, key_size);
		if (value_size > reader_left(&reader))
			value_size = reader_left(&reader);
		value = reader_bytes(&reader, value_size);
		lay(key, key_size, value, value_size);
	}
	restore(interest, &random);
	world.written = 0;
	restore(interest, &random);
	require(world.written == 0);
	require(world.joined == 0);
	for (uint64_t tick = 0; tick < 3; tick++) {
		world.has_sessions = tick < 2;
		interest_tick(interest, tick * UINT64_C(1000000000));
	}
	interest_free(interest);
	sessions_delete(world.sessions);
	while (world.rows)
		delete(world.rows);
	return 0;
}
