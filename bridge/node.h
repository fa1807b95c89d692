/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A p2panda node: the one public header of the library. It knows no MQTT.
 *
 * A node runs one thread of its own (a libuv loop with the QUIC sockets and the
 * sans-IO cores). The owner talks to it through two bounded queues: calls below go
 * in, events come out. No call blocks, but node_start (binds sockets, reads the
 * state) and node_stop (at most LIMIT_FAREWELL_MS and a little).
 *
 * Threads: every call belongs to one thread, the owner's. wake is called on the
 * node's thread. Counters may be read and added to by any thread.
 */
#ifndef BRIDGE_NODE_H
#define BRIDGE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "limits.h"
#include "node_types.h"

struct node;

/* Binds, loads what is remembered and starts the thread. On error reason is one line
 * that names what was wrong. ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_SYSTEM,
 * ERROR_TLS, ERROR_NOMEM. */
int node_start(const struct node_config *config, struct node **out, char reason[NODE_REASON_SIZE]);

/* Sends what was accepted, leaves every overlay with a farewell, closes the
 * connections and ends the thread. Events that were not taken are gone. */
void node_stop(struct node *node);

/* Joining twice is fine. ERROR_NOMEM. Over max_overlays: a log line, and what is
 * published there is dropped. */
int node_join(struct node *node, const struct id *topic);
/* What was accepted for the overlay before is sent first. ERROR_NOMEM. */
int node_leave(struct node *node, const struct id *topic);

/* Hands content over; whatever becomes of it later has a counter. ERROR_TOO_LARGE,
 * ERROR_FULL (mailbox), ERROR_NOMEM: not accepted, the counter is the caller's. */
int node_publish(struct node *node, const struct id *topic, const void *content, size_t size);

/* The same for a body (one item of CBOR) in a message that this node signs for applications, see
 * messages/signed.h. It leaves no faster than they can take (signed_rate). ERROR_TOO_LARGE
 * (LIMIT_SIGNED_BODY). */
int node_publish_signed(
	struct node *node, const struct id *topic, const void *body, size_t size);
/* Whether each signed message of this overlay is to be verified; else now and then one is. Until it
 * is left. ERROR_NOMEM. */
int node_verify(struct node *node, const struct id *topic, bool verify);

/* Keeps a small record of the owner's on disk, or deletes it (value_size 0). Written soon;
 * keys and values are opaque bytes. ERROR_TOO_LARGE (LIMIT_RECORD), ERROR_FULL (mailbox;
 * never for a deletion), ERROR_NOMEM. */
int node_record(
	struct node *node, const void *key, size_t key_size, const void *value, size_t value_size);

/* Hands over what the calls above have taken, should it wait for this: call it at the end of
 * the owner's turn. Until then a few of them are gathered, for what most of one costs is
 * waking the other thread. */
void node_flush(struct node *node);

/* Takes the oldest event; false when there is none, and then the next event calls
 * wake again. Give what it holds back with node_event_clear. */
bool node_event(struct node *node, struct node_event *out);
void node_event_clear(struct node_event *event);

/* For the status. Bound addresses are fixed after the start. */
struct counters *node_counters(struct node *node);
const struct address *node_addresses(const struct node *node, size_t *count);
size_t node_overlays(const struct node *node);
size_t node_neighbours(const struct node *node); /* over all overlays */
size_t node_connections(const struct node *node);
size_t node_waiting(const struct node *node); /* messages, for a first neighbour */
size_t node_relayed(const struct node *node); /* of the neighbours: reached by a relay only */
/* The state of the relay at which others find us, or of the first one that is configured as long as
 * there is none; url: its text, as others spell it, until the node is stopped. NULL: OFF. */
enum node_relay_state node_relay(const struct node *node, const char **url);

/* The most work that one turn of the node's thread has been since the call before: ns of that
 * thread's CPU time, the kernel's part of it included, so neither sleeping nor waiting for a
 * processor counts. The first call begins the measuring and returns 0; from then on each turn
 * costs a look at the clock, which is about half a microsecond. */
uint64_t node_longest_turn_ns(struct node *node);

#endif
