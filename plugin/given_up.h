/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Subscriptions that their clients have given up while their sessions go on, or by beginning other
 * ones. The broker writes its
 * database down now and then; if it ends before it does (a power cut), the session has them again
 * after the restart, and nobody is told. So they are kept until the next start, when the broker is
 * asked. Each is one row of the node's state:
 *   0xfe 'g' name -> the size of its terms, these (terms.h), client id 0 filter 0
 * where the name is the first 16 bytes of BLAKE3(client id 0 filter). The broker's thread.
 */
#ifndef PLUGIN_GIVEN_UP_H
#define PLUGIN_GIVEN_UP_H

#include "../bridge/random.h"
#include "terms.h"

/* Of more than so many those that were given up longest ago are forgotten. */
#define GIVEN_UP_MOST 2000

struct given_up;

/* node_record, and its errors; value_size 0 deletes the row. */
typedef int (*given_up_record)(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size);

/* One from before the restart. */
typedef void (*given_up_visit)(
	void *context, const char *client, const char *filter, struct terms terms);

/* Makes an empty table. ERROR_NOMEM. */
int given_up_new(given_up_record record, void *context, const struct random *random,
	struct given_up **out);
void given_up_free(struct given_up *given_up);

/* Remembers a subscription that was given up. One that there is no memory for, or whose client id
 * and filter do not fit into a row, is not kept. */
void given_up_add(struct given_up *given_up, const char *client, const char *filter,
	struct terms terms);
/* Forgets a subscription, as its client has subscribed again. */
void given_up_end(struct given_up *given_up, const char *client, const char *filter);

/* Takes one row of the node's state. Returns false if the row belongs to somebody else. */
bool given_up_restore(struct given_up *given_up, const void *key, size_t key_size,
	const void *value, size_t value_size);
/* Visits those that were restored and not ended since. */
void given_up_visit_all(struct given_up *given_up, given_up_visit visit, void *context);
/* Forgets all that were restored: what the broker has of them is known by then. */
void given_up_settle(struct given_up *given_up);

#endif
