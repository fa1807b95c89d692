/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Subscriptions from before a restart, as they lie on disk: for each record the size of its key
 * (u16), that of its value (u8), and both. What is joined for them is named in one of the keys,
 * and nothing is left when all of their clients are gone.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/bytes/hex.h"
#include "bridge/bytes/reader.h"
#include "plugin/sessions.h"
#include "plugin/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *data;
	size_t size;
	size_t joined;
	bool has_sessions;
} world;

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

static int on_remember(void *context, const char *client, const char *filter, uint8_t qos)
{
	require(false); /* it is on record */
	return 0;
}

static void on_forget(void *context, const char *client, const char *filter)
{
	struct topic topic;

	require(topic_parse(filter, &topic) == TOPIC_OVERLAY);
}

static void on_limit(void *context, const char *client, const struct id *topic)
{
}

/* Of their own sizes, so that ASan sees a read beyond them. */
static void restore(struct interest *interest, const uint8_t *key, size_t key_size,
	const uint8_t *value, size_t value_size)
{
	uint8_t *own_key = malloc(key_size + !key_size), *own_value = malloc(value_size + !value_size);

	require(own_key && own_value);
	memcpy(own_key, key, key_size);
	memcpy(own_value, value, value_size);
	sessions_restore(interest, own_key, key_size, own_value, value_size);
	free(own_key);
	free(own_value);
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
		.remember = on_remember,
		.forget = on_forget,
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
		restore(interest, key, key_size, value, value_size);
	}
	require(world.joined == 0);
	for (uint64_t tick = 0; tick < 3; tick++) {
		world.has_sessions = tick < 2;
		interest_tick(interest, tick * UINT64_C(1000000000));
	}
	interest_free(interest);
	return 0;
}
