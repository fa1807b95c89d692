/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "sessions.h"

#include <blake3.h>
#include <stdbool.h>
#include <string.h>

#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/limits.h"
#include "../bridge/memory.h"
#include "topic.h"

#define MARK	    0xfe
#define MARK_CLIENT 'c'
#define MARK_FILTER 's'
#define NAME_SIZE   16
#define HEAD_SIZE   (2 + NAME_SIZE)

struct name {
	uint8_t bytes[NAME_SIZE];
};

struct client {
	struct name name;
	char *id;	/* from its row, until it is handed on; NULL: not known */
	size_t filters; /* on record */
	bool written;	/* its row is there */
	bool wrong;	/* a row is there that says another id */
	UT_hash_handle hh;
};

/* A filter, kept as its hash, to tell a filter that is on record from one that is not. */
struct filter {
	struct name name; /* BLAKE3(the client's name, filter) */
	struct client *client;
	char *text; /* from its row, until it is handed on */
	struct terms terms;
	bool written; /* its row is there */
	bool old;     /* a row of the old form is there */
	UT_hash_handle hh;
};

struct sessions {
	struct sessions_actions actions;
	struct keyed keyed;
	struct client *clients;
	struct filter *filters;
	bool incomplete; /* not every row could be taken */
};

int sessions_new(const struct sessions_actions *actions, const struct random *random,
	struct sessions **out)
{
	struct sessions *sessions = memory_zalloc(sizeof *sessions);

	if (!sessions)
		return ERROR_NOMEM;
	sessions->actions = *actions;
	keyed_init(&sessions->keyed, random);
	*out = sessions;
	return ERROR_NONE;
}

/* ---- what is on record ---- */

static void name_client(const char *id, struct name *out)
{
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, id, strlen(id));
	blake3_hasher_finalize(&hasher, out->bytes, NAME_SIZE);
}

static void name_filter(const struct name *client, const char *filter, struct name *out)
{
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, client->bytes, NAME_SIZE);
	blake3_hasher_update(&hasher, filter, strlen(filter));
	blake3_hasher_finalize(&hasher, out->bytes, NAME_SIZE);
}

static struct client *find_client(const struct sessions *sessions, const struct name *name)
{
	struct client *client;

	KEYED_FIND(&sessions->keyed, sessions->clients, name, sizeof *name, client);
	return client;
}

static struct client *find_or_add_client(struct sessions *sessions, const struct name *name)
{
	struct client *client = find_client(sessions, name);

	if (client)
		return client;
	client = memory_zalloc(sizeof *client);
	if (!client)
		return NULL;
	client->name = *name;
	KEYED_ADD(&sessions->keyed, sessions->clients, &client->name, sizeof client->name, client);
	return client;
}

static struct filter *find_filter(
	const struct sessions *sessions, const struct client *client, const char *text)
{
	struct filter *filter;
	struct name name;

	name_filter(&client->name, text, &name);
	KEYED_FIND(&sessions->keyed, sessions->filters, &name, sizeof name, filter);
	return filter;
}

static struct filter *find_or_add_filter(
	struct sessions *sessions, struct client *client, const char *text)
{
	struct filter *filter = find_filter(sessions, client, text);

	if (filter)
		return filter;
	filter = memory_zalloc(sizeof *filter);
	if (!filter)
		return NULL;
	name_filter(&client->name, text, &filter->name);
	KEYED_ADD(&sessions->keyed, sessions->filters, &filter->name, sizeof filter->name, filter);
	if (!filter)
		return NULL;
	filter->client = client;
	client->filters++;
	return filter;
}

static void drop_filter(struct sessions *sessions, struct filter *filter)
{
	filter->client->filters--;
	HASH_DELETE(hh, sessions->filters, filter);
	memory_free(filter->text);
	memory_free(filter);
}

static void drop_client(struct sessions *sessions, struct client *client)
{
	HASH_DELETE(hh, sessions->clients, client);
	memory_free(client->id);
	memory_free(client);
}

void sessions_delete(struct sessions *sessions)
{
	struct client *client, *next_client;
	struct filter *filter, *next_filter;

	if (!sessions)
		return;
	HASH_ITER (hh, sessions->filters, filter, next_filter)
		drop_filter(sessions, filter);
	HASH_ITER (hh, sessions->clients, client, next_client)
		drop_client(sessions, client);
	memory_free(sessions);
}

/* ---- rows ---- */

/* Writes a row, or deletes it (value_size 0). A deletion that is lost leaves a row that is found at
 * the next start: as one without its other half, or as that of a session that is gone. */
static int record_row(struct sessions *sessions, const void *key, size_t key_size,
	const void *value, size_t value_size)
{
	return sessions->actions.record(
		sessions->actions.context, key, key_size, value, value_size);
}

static int record_client(struct sessions *sessions, const struct client *client, const char *id)
{
	uint8_t key[HEAD_SIZE] = {MARK, MARK_CLIENT};

	memcpy(key + 2, client->name.bytes, NAME_SIZE);
	return record_row(sessions, key, sizeof key, id, id ? strlen(id) + 1 : 0);
}

static int record_filter(struct sessions *sessions, const struct client *client, const char *text,
	const struct terms *terms)
{
	uint8_t key[LIMIT_RECORD] = {MARK, MARK_FILTER}, value[TERMS_SIZE];
	size_t size = strlen(text);

	if (size > sizeof key - HEAD_SIZE)
		return ERROR_TOO_LARGE;
	memcpy(key + 2, client->name.bytes, NAME_SIZE);
	memcpy(key + HEAD_SIZE, text, size);
	return record_row(sessions, key, HEAD_SIZE + size, value,
		terms ? terms_write(*terms, value) : 0);
}

static int forget_old(struct sessions *sessions, const char *id, const char *text)
{
	char key[LIMIT_RECORD];
	size_t id_size = strlen(id) + 1, text_size = strlen(text) + 1;

	if (id_size + text_size > sizeof key)
		return ERROR_TOO_LARGE;
	memcpy(key, id, id_size);
	memcpy(key + id_size, text, text_size);
	return record_row(sessions, key, id_size + text_size, NULL, 0);
}

/* Tells whether a client id and a filter, which may have 65,535 bytes each, fit into rows. */
static bool fits(const char *id, const char *text)
{
	return HEAD_SIZE + strlen(id) + 1 <= LIMIT_RECORD &&
	       HEAD_SIZE + strlen(text) + TERMS_SIZE <= LIMIT_RECORD;
}

static int write_filter(struct sessions *sessions, struct filter *filter, const char *id,
	const char *text, struct terms terms)
{
	struct client *client = filter->client;
	int error = client->written ? ERROR_NONE : record_client(sessions, client, id);

	if (error)
		return error;
	client->written = true;
	error = record_filter(sessions, client, text, &terms);
	if (error)
		return error;
	filter->written = true;
	/* The old row goes only now: at each moment one of the two is there. */
	filter->old = filter->old && forget_old(sessions, id, text) != ERROR_NONE;
	return ERROR_NONE;
}

/* Deletes the row of a client, and forgets the client, unless it has a filter. */
static void end_client(struct sessions *sessions, struct client *client)
{
	if (client->filters > 0)
		return;
	if (client->written || client->wrong)
		record_client(sessions, client, NULL);
	drop_client(sessions, client);
}

int sessions_remember(
	struct sessions *sessions, const char *client_id, const char *text, struct terms terms)
{
	struct client *client;
	struct filter *filter;
	struct name name;
	int error = ERROR_NOMEM;

	if (!fits(client_id, text))
		return ERROR_TOO_LARGE;
	name_client(client_id, &name);
	client = find_or_add_client(sessions, &name);
	if (!client)
		return ERROR_NOMEM;
	filter = find_or_add_filter(sessions, client, text);
	if (filter) {
		error = write_filter(sessions, filter, client_id, text, terms);
		if (!filter->written && !filter->old)
			drop_filter(sessions, filter);
	}
	end_client(sessions, client);
	return error;
}

void sessions_forget(struct sessions *sessions, const char *client_id, const char *text)
{
	struct client *client;
	struct filter *filter;
	struct name name;

	name_client(client_id, &name);
	client = find_client(sessions, &name);
	filter = client ? find_filter(sessions, client, text) : NULL;
	if (!filter)
		return;
	if (filter->written)
		record_filter(sessions, client, text, NULL);
	if (filter->old)
		forget_old(sessions, client_id, text);
	drop_filter(sessions, filter);
	end_client(sessions, client);
}

/* ---- after a restart ---- */

/* Copies a text to a string of its own; returns NULL without memory. */
static char *copy_text(const void *text, size_t size)
{
	char *copy = memory_alloc(size + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, size);
	copy[size] = 0;
	return copy;
}

static struct client *restore_client(struct sessions *sessions, const struct name *name)
{
	struct client *client = find_client(sessions, name);

	if (!client && HASH_COUNT(sessions->clients) < LIMIT_RECORDS)
		client = find_or_add_client(sessions, name);
	sessions->incomplete = sessions->incomplete || !client;
	return client;
}

static void restore_id(struct sessions *sessions, struct client *client, const char *id)
{
	if (!client->id)
		client->id = copy_text(id, strlen(id));
	sessions->incomplete = sessions->incomplete || !client->id;
}

/* Takes a filter from a row; returns NULL if it is not taken. A row of the new form is the later
 * one of two. */
static struct filter *restore_filter(struct sessions *sessions, const struct name *client_name,
	const char *text, struct terms terms, bool old)
{
	struct client *client = restore_client(sessions, client_name);
	struct filter *filter = client ? find_filter(sessions, client, text) : NULL;

	if (client && !filter && HASH_COUNT(sessions->filters) < LIMIT_RECORDS)
		filter = find_or_add_filter(sessions, client, text);
	if (filter && !filter->text)
		filter->text = copy_text(text, strlen(text));
	if (filter && !filter->text) {
		drop_filter(sessions, filter);
		filter = NULL;
	}
	if (!filter) {
		sessions->incomplete = true;
		return NULL;
	}
	if (!old || !filter->written)
		filter->terms = terms;
	filter->written = filter->written || !old;
	filter->old = filter->old || old;
	return filter;
}

static void read_client(
	struct sessions *sessions, const struct name *name, const char *id, size_t size)
{
	struct client *client = restore_client(sessions, name);
	struct name found;

	if (!client)
		return;
	client->wrong = true;
	if (size == 0 || memchr(id, 0, size) != id + size - 1)
		return;
	name_client(id, &found);
	if (memcmp(&found, name, sizeof found) != 0)
		return;
	client->wrong = false;
	client->written = true;
	restore_id(sessions, client, id);
}

static bool is_overlay(const char *filter)
{
	struct topic topic;

	return topic_parse(filter, &topic) == TOPIC_OVERLAY;
}

static void read_filter(struct sessions *sessions, const struct name *name, const char *text,
	size_t size, const uint8_t *value, size_t value_size)
{
	char copy[LIMIT_RECORD];
	struct terms terms;

	if (size >= sizeof copy || !terms_read(value, value_size, &terms) || memchr(text, 0, size))
		return;
	memcpy(copy, text, size);
	copy[size] = 0;
	if (is_overlay(copy))
		restore_filter(sessions, name, copy, terms, false);
}

static void read_old(struct sessions *sessions, const char *id, size_t size, const uint8_t *value,
	size_t value_size)
{
	const char *text;
	struct filter *filter;
	struct name name;

	if (size < 2 || size > LIMIT_RECORD || id[size - 1] != 0 || value_size != 1 || *value > 2)
		return;
	text = id + strlen(id) + 1;
	if (text >= id + size || text + strlen(text) + 1 != id + size || !is_overlay(text))
		return;
	name_client(id, &name);
	filter = restore_filter(sessions, &name, text, terms_of_qos(*value), true);
	if (filter)
		restore_id(sessions, filter->client, id);
}

void sessions_restore(struct sessions *sessions, const void *key, size_t key_size,
	const void *value, size_t value_size)
{
	const uint8_t *bytes = key;
	struct name name;

	if (key_size == 0 || bytes[0] != MARK) {
		read_old(sessions, key, key_size, value, value_size);
		return;
	}
	if (key_size < HEAD_SIZE)
		return;
	memcpy(&name, bytes + 2, sizeof name);
	if (bytes[1] == MARK_CLIENT && key_size == HEAD_SIZE)
		read_client(sessions, &name, value, value_size);
	else if (bytes[1] == MARK_FILTER)
		read_filter(sessions, &name, (const char *)bytes + HEAD_SIZE, key_size - HEAD_SIZE,
			value, value_size);
}

static void hand_on(struct sessions *sessions, struct interest *interest, struct filter *filter)
{
	const char *id = filter->client->id;
	struct topic topic;

	/* Without memory the subscription is in the record still, for the next start. */
	if (topic_parse(filter->text, &topic) == TOPIC_OVERLAY &&
		interest_restore(interest, id, filter->text, &topic.overlay, filter->terms) ==
			ERROR_NONE &&
		sessions->actions.restored)
		sessions->actions.restored(
			sessions->actions.context, id, filter->text, terms_qos(filter->terms));
	/* A row of the old form that does not fit any more stays as it is until it is forgotten. */
	if (filter->old && fits(id, filter->text))
		write_filter(sessions, filter, id, filter->text, filter->terms);
	memory_free(filter->text);
	filter->text = NULL;
}

void sessions_restored(struct sessions *sessions, struct interest *interest)
{
	struct client *client, *next_client;
	struct filter *filter, *next_filter;

	HASH_ITER (hh, sessions->filters, filter, next_filter) {
		if (filter->client->id) {
			hand_on(sessions, interest, filter);
			continue;
		}
		/* A row whose other half may be one that was not taken stays on disk. */
		if (filter->written && !sessions->incomplete)
			record_filter(sessions, filter->client, filter->text, NULL);
		drop_filter(sessions, filter);
	}
	HASH_ITER (hh, sessions->clients, client, next_client) {
		memory_free(client->id);
		client->id = NULL;
		if (sessions->incomplete && client->filters == 0)
			drop_client(sessions, client);
		else
			end_client(sessions, client);
	}
}
