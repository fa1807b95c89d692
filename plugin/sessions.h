/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The record of subscriptions, for the time after a restart: the broker restores its
 * persistent sessions without raising an event and offers no list of their filters. Kept by
 * the node beside its own state, as (client id, filter) -> QoS. The broker's thread.
 */
#ifndef PLUGIN_SESSIONS_H
#define PLUGIN_SESSIONS_H

#include "../bridge/node.h"
#include "interest.h"

/* ERROR_TOO_LARGE, ERROR_FULL, ERROR_NOMEM. */
int sessions_remember(struct node *node, const char *client, const char *filter, uint8_t qos);
void sessions_forget(struct node *node, const char *client, const char *filter);

/* One record as the node read it, handed on to interest; what makes no sense is ignored. */
void sessions_restore(struct interest *interest, const void *key, size_t key_size,
	const void *value, size_t value_size);

#endif
