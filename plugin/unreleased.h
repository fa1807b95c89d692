/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * QoS 2 publishes that the broker holds and has not been told to release. When a connection ends
 * between PUBLISH and PUBREC its client sends the same packet again on the next one; the broker
 * knows it by its packet id and stores it once. To a plugin it is shown again, as new as any other:
 * Mosquitto 2.1 tells neither packet id nor DUP flag, nor of the PUBREL (its persistence events
 * would, but are refused where 'persistence true' is set). So that it goes to the overlay once:
 *
 * - remembered is what a client of a lasting session has published at QoS 2, when a local
 *   subscriber of the topic is known to be sent what is published there (interest.h, the witness):
 *   what is released shows itself in what that one is sent, and is forgotten;
 * - when the client is back in the same session, what is remembered still was not released, and
 *   the same content for the same topic is what it has sent again, not something new.
 *
 * Where there is no such subscriber nothing is known, and nothing is remembered: that something
 * new is taken for something old would be worse than that something old arrives twice.
 *
 * The broker's thread.
 */
#ifndef PLUGIN_UNRELEASED_H
#define PLUGIN_UNRELEASED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/counters.h"
#include "../bridge/id.h"
#include "../bridge/random.h"

struct unreleased;

/* ERROR_NOMEM. counters must outlive it. */
int unreleased_new(
	struct counters *counters, const struct random *random, struct unreleased **out);
void unreleased_free(struct unreleased *unreleased);

/* Whether the client has published this before, on an earlier connection of its session, and it was
 * not released since. witness: of the topic, 0 for none. */
bool unreleased_knows(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness);
/* It is on its way to the overlay. The oldest gives way to it if need be (LIMIT_UNRELEASED), which
 * is counted. Without memory it is not remembered. */
void unreleased_add(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness);
/* A local subscriber is sent this. */
void unreleased_released(struct unreleased *unreleased, const struct id *topic,
	const void *content, size_t size);

/* The client's session begins, or goes on with another connection. */
void unreleased_connected(struct unreleased *unreleased, const char *client, bool kept);
void unreleased_offline(struct unreleased *unreleased, const char *client);
/* The session is gone. */
void unreleased_gone(struct unreleased *unreleased, const char *client);
/* That a session has expired raises no event, so it is asked for now and then. */
void unreleased_tick(struct unreleased *unreleased, uint64_t now_ns,
	bool (*has_session)(const char *client));

#endif
