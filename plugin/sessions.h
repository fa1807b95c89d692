/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The record of subscriptions, for the time after a restart: the broker restores its
 * persistent sessions without raising an event and offers no list of their filters. Kept by
 * the node beside its own state. Many filters of one client are usual, and a client id may be
 * long, so it is kept once. The rows, key -> value, where a name is the first 16 bytes of
 * BLAKE3(client id):
 *   0xfe 'c' name          -> the client id and a zero (an empty value would be a deletion)
 *   0xfe 's' name filter   -> QoS, one byte
 *   client id 0 filter 0   -> QoS, as it was before; replaced when it is read
 * (A client id of MQTT is UTF-8, in which there is no 0xfe.) The broker's thread.
 */
#ifndef PLUGIN_SESSIONS_H
#define PLUGIN_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "../bridge/random.h"
#include "interest.h"

struct sessions;

struct sessions_actions {
	/* node_record, and its errors; value_size 0 deletes the row. */
	int (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	/* One that was on record is handed on to interest; NULL: nobody wants to know. */
	void (*restored)(void *context, const char *client, const char *filter, uint8_t qos);
	void *context;
};

/* ERROR_NOMEM. */
int sessions_new(const struct sessions_actions *actions, const struct random *random,
	struct sessions **out);
void sessions_delete(struct sessions *sessions);

/* ERROR_TOO_LARGE, ERROR_FULL, ERROR_NOMEM: it is on record as it was before, or not at all. How
 * many there are is for the caller to bound. */
int sessions_remember(
	struct sessions *sessions, const char *client, const char *filter, uint8_t qos);
void sessions_forget(struct sessions *sessions, const char *client, const char *filter);

/* One row as it was kept, in any order; what makes no sense is ignored. Nothing is written, and at
 * most LIMIT_RECORDS filters are taken. */
void sessions_restore(struct sessions *sessions, const void *key, size_t key_size,
	const void *value, size_t value_size);
/* That was the last one: hands all of them on to interest, replaces those in the old form, and
 * deletes clients without a filter and filters without a client. */
void sessions_restored(struct sessions *sessions, struct interest *interest);

#endif
