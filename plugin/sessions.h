/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The record of subscriptions, for the time after a restart: the broker restores its persistent
 * sessions without raising an event and offers no list of their filters. The node keeps the record
 * beside its own state. Many filters of one client are usual, and a client id may be long, so each
 * client id is kept once. The rows, key -> value, where a name is the first 16 bytes of
 * BLAKE3(client id):
 *   0xfe 'c' name          -> the client id and a zero (an empty value would be a deletion)
 *   0xfe 's' name filter   -> its terms (terms.h); the QoS alone where no more is known
 *   client id 0 filter 0   -> QoS: the old form; replaced when it is read
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
	/* Calls node_record, and returns its errors; value_size 0 deletes the row. */
	int (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	/* A subscription that was on record is handed on to interest; NULL: nobody wants to
	 * know. */
	void (*restored)(void *context, const char *client, const char *filter, uint8_t qos);
	void *context;
};

/* Makes an empty record. Returns 0 or ERROR_NOMEM. */
int sessions_new(const struct sessions_actions *actions, const struct random *random,
	struct sessions **out);
void sessions_delete(struct sessions *sessions);

/* Puts a subscription on record. Returns 0; or ERROR_TOO_LARGE, ERROR_FULL or ERROR_NOMEM, and the
 * subscription is on record as it was before, or not at all. How many there are is for the caller
 * to bound. */
int sessions_remember(
	struct sessions *sessions, const char *client, const char *filter, struct terms terms);
void sessions_forget(struct sessions *sessions, const char *client, const char *filter);

/* Takes one row as it was kept, in any order; a row that makes no sense is ignored. Writes nothing,
 * and takes at most LIMIT_RECORDS filters. */
void sessions_restore(struct sessions *sessions, const void *key, size_t key_size,
	const void *value, size_t value_size);
/* Ends the restart, after the last row: hands all subscriptions on to interest, replaces rows of
 * the old form, and deletes clients without a filter and filters without a client. */
void sessions_restored(struct sessions *sessions, struct interest *interest);

#endif
