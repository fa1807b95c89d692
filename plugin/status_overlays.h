/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The status of each overlay, below $SYS/broker/p2panda/overlay/<its first ten digits>/:
 *
 *   state       joining: it has had no neighbour yet; joined; alone: its last neighbour is gone
 *   neighbours  how many there are
 *   in          messages that MQTT clients published for it
 *   out         messages of it that were handed to the broker
 *   dropped     messages that were not carried, either way
 *
 * The topics are retained, and cleared when the overlay is left. At most STATUS_OVERLAYS overlays
 * have them at a time; of two overlays with the same ten digits, the one that was joined first.
 * Nothing is done for what has not changed. The broker's thread.
 */
#ifndef PLUGIN_STATUS_OVERLAYS_H
#define PLUGIN_STATUS_OVERLAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/id.h"
#include "../bridge/random.h"
#include "status_nodes.h"

#define STATUS_OVERLAYS 1000

enum status_number { STATUS_IN, STATUS_OUT, STATUS_DROPPED, STATUS_NUMBERS };

struct status_overlays;

/* Makes a status of overlays, without any. nodes is told who is a neighbour, and must outlive the
 * status. Returns 0 or ERROR_NOMEM. */
int status_overlays_new(
	struct status_nodes *nodes, const struct random *random, struct status_overlays **out);
/* Frees a status of overlays; NULL is fine. */
void status_overlays_free(struct status_overlays *overlays);

/* Notes that the node is asked to join an overlay, or to leave it. Without memory an overlay has no
 * status. */
void status_overlays_join(struct status_overlays *overlays, const struct id *topic);
void status_overlays_leave(struct status_overlays *overlays, const struct id *topic);
/* Notes what the node says of an overlay then: a neighbour more, a neighbour less, or (left) that
 * all that the node has said of the overlay before is over. status_overlays_count counts n
 * messages. */
void status_overlays_up(
	struct status_overlays *overlays, const struct id *topic, const struct id *peer);
void status_overlays_down(
	struct status_overlays *overlays, const struct id *topic, const struct id *peer);
void status_overlays_left(struct status_overlays *overlays, const struct id *topic);
void status_overlays_count(struct status_overlays *overlays, const struct id *topic,
	enum status_number number, uint64_t n);

/* Returns one word for all overlays: idle (there is none), joined (each has a neighbour), partly,
 * alone (none has one any more), joining (none has one yet). */
const char *status_overlays_word(const struct status_overlays *overlays);

/* Marks what has changed so far to be published: states and neighbours, or numbers. */
void status_overlays_words_due(struct status_overlays *overlays);
void status_overlays_numbers_due(struct status_overlays *overlays);
/* Marks all of it to be published again. */
void status_overlays_again(struct status_overlays *overlays);
/* Publishes what is due, some *room topics at most, and takes their number off *room. */
void status_overlays_publish(struct status_overlays *overlays, size_t *room);

#endif
