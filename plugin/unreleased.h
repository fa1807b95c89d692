/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Remembers QoS 2 messages that the broker holds and has not been told to release. When a
 * connection ends between PUBLISH and PUBREC, the client sends the same packet again on its next
 * connection; the broker knows the packet by its packet id and stores it once. To a plugin the
 * packet is shown again, as new as any other: Mosquitto 2.1 tells neither packet id nor DUP flag,
 * nor of the PUBREL (its persistence events would, but are refused where 'persistence true' is
 * set). So that the message goes to the overlay once:
 *
 * - remembered is what a client of a lasting session has published at QoS 2, when a local
 *   subscriber of the topic is known to be sent what is published there (interest.h, the witness):
 *   what is released shows itself in what that subscriber is sent, and is forgotten;
 * - when the client is back in the same session, what is remembered still was not released, and the
 *   same content for the same topic is what the client has sent again, not something new.
 *
 * Where there is no such subscriber nothing is known, and nothing is remembered: to take something
 * new for something old would be worse than to have something old arrive twice.
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

/* Makes an empty memory of such messages. counters must outlive it. Returns 0 or ERROR_NOMEM. */
int unreleased_new(
	struct counters *counters, const struct random *random, struct unreleased **out);
void unreleased_free(struct unreleased *unreleased);

/* Tells whether the client has published this content before, on an earlier connection of its
 * session, and the message was not released since; true once on each connection. witness: of the
 * topic, 0 for none. */
bool unreleased_knows(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness);
/* Remembers a message that is on its way to the overlay. The oldest message gives way if need be
 * (LIMIT_UNRELEASED), which is counted. Without memory the new one is not remembered. */
void unreleased_add(struct unreleased *unreleased, const char *client, const struct id *topic,
	const void *content, size_t size, uint64_t witness);
/* Forgets a message, as a local subscriber is sent it. */
void unreleased_released(struct unreleased *unreleased, const struct id *topic,
	const void *content, size_t size);

/* Notes that the client's session begins, or (kept) goes on with another connection; or that the
 * client is offline. */
void unreleased_connected(struct unreleased *unreleased, const char *client, bool kept);
void unreleased_offline(struct unreleased *unreleased, const char *client);
/* Forgets the client's messages, as its session is gone. */
void unreleased_gone(struct unreleased *unreleased, const char *client);
/* Asks now and then whether sessions of offline clients have expired, which raises no event. */
void unreleased_tick(struct unreleased *unreleased, uint64_t now_ns,
	bool (*has_session)(const char *client));

#endif
