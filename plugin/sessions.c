/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "sessions.h"

#include <string.h>

#include "../bridge/memory.h"
#include "topic.h"

/* The key: client id, zero, filter, zero. Both are MQTT strings, which hold no zero. */
static char *make_key(const char *client, const char *filter, size_t *size)
{
	size_t client_size = strlen(client) + 1, filter_size = strlen(filter) + 1;
	char *key = memory_alloc(client_size + filter_size);

	if (!key)
		return NULL;
	memcpy(key, client, client_size);
	memcpy(key + client_size, filter, filter_size);
	*size = client_size + filter_size;
	return key;
}

static int record(struct node *node, const char *client, const char *filter, const void *value,
	size_t value_size)
{
	size_t size;
	char *key;
	int error;

	/* Not even for a moment: a client id and a filter may have 65,535 bytes each. */
	if (strlen(client) + strlen(filter) + 2 + value_size > LIMIT_RECORD)
		return ERROR_TOO_LARGE;
	key = make_key(client, filter, &size);
	error = key ? node_record(node, key, size, value, value_size) : ERROR_NOMEM;
	memory_free(key);
	return error;
}

int sessions_remember(struct node *node, const char *client, const char *filter, uint8_t qos)
{
	return record(node, client, filter, &qos, 1);
}

void sessions_forget(struct node *node, const char *client, const char *filter)
{
	record(node, client, filter, NULL, 0);
}

void sessions_restore(struct interest *interest, const void *key, size_t key_size,
	const void *value, size_t value_size)
{
	const char *client = key, *filter;
	uint8_t qos;
	struct topic topic;

	if (key_size < 2 || client[key_size - 1] != 0 || value_size != 1)
		return;
	filter = client + strlen(client) + 1;
	qos = *(const uint8_t *)value;
	if (filter >= client + key_size || filter + strlen(filter) + 1 != client + key_size ||
		qos > 2 || topic_parse(filter, &topic) != TOPIC_OVERLAY)
		return;
	interest_restore(interest, client, filter, &topic.overlay, qos);
}
