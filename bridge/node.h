/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A p2panda node: the one public header of the library. The library knows no MQTT.
 *
 * A node runs one thread of its own (a libuv loop with the QUIC sockets and the sans-IO cores). The
 * owner talks to the node through two bounded queues: the calls below go in, events come out. No
 * call blocks, but node_start (binds sockets, reads the state) and node_stop (at most
 * LIMIT_FAREWELL_MS and a little).
 *
 * Threads: every call belongs to one thread, the owner's. wake is called on the node's thread.
 * Counters may be read and added to by any thread.
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

/* Binds the sockets, loads the kept state and starts the thread. On error reason is one line that
 * names what was wrong. ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_SYSTEM, ERROR_TLS,
 * ERROR_NOMEM. */
int node_start(const struct node_config *config, struct node **out, char reason[NODE_REASON_SIZE]);

/* Sends the messages that were accepted, leaves every overlay with a farewell, closes the
 * connections, ends the thread and frees the node. Events that were not taken are lost. */
void node_stop(struct node *node);
/* Performs the first half of node_stop: the thread has ended, and the messages that were not sent
 * are counted. Events can still be taken, and counters read; afterwards only node_stop may be
 * called. Call it once. */
void node_end(struct node *node);
/* Returns, once the node has stopped, how many of the messages that waited are on disk, to wait on
 * after the next start. */
size_t node_kept(const struct node *node);

/* Joins an overlay; joining twice is fine. Over max_overlays there is a log line, and messages
 * published there are dropped. ERROR_NOMEM. */
int node_join(struct node *node, const struct id *topic);
/* Leaves an overlay; messages that were accepted for the overlay before are sent first.
 * ERROR_NOMEM. */
int node_leave(struct node *node, const struct id *topic);

/* Hands content over to be sent on an overlay; whatever becomes of the message later has a counter.
 * ERROR_TOO_LARGE, ERROR_FULL (mailbox), ERROR_NOMEM: the message is not accepted, and the caller
 * counts it. */
int node_publish(struct node *node, const struct id *topic, const void *content, size_t size);

/* Publishes a body (one item of CBOR) in a message that this node signs for applications, see
 * messages/signed.h; otherwise as node_publish. The message is sent no faster than applications can
 * take messages (signed_rate). ERROR_TOO_LARGE (LIMIT_SIGNED_BODY). */
int node_publish_signed(
	struct node *node, const struct id *topic, const void *body, size_t size);
/* Sets whether each signed message of this overlay is verified, until the overlay is left; if not,
 * only some are verified now and then. ERROR_NOMEM. */
int node_verify(struct node *node, const struct id *topic, bool verify);

/* Keeps a small record of the owner on disk, or deletes the record (value_size 0). The record is
 * written soon; keys and values are opaque bytes. ERROR_TOO_LARGE (LIMIT_RECORD), ERROR_FULL
 * (mailbox; never for a deletion), ERROR_NOMEM. */
int node_record(
	struct node *node, const void *key, size_t key_size, const void *value, size_t value_size);

/* Adds a node to those of the configuration (trusted: a peer, else a bootstrap node) or replaces
 * its entry; removes a node; replaces the lists of the nodes that are let in, and ends the
 * connections of those that are not any more. Each change is in force at once, and is not kept on
 * disk: that is left to the caller. If there is no memory on the node's thread the change is not
 * made, and a line in the log says so. ERROR_NOMEM. */
int node_set_peer(struct node *node, const struct node_peer *peer, bool trusted);
int node_remove_peer(struct node *node, const struct id *id);
int node_set_access(struct node *node, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count);

/* Asks for a picture of the node; the answer is an event NODE_PICTURE, with the question in it. All
 * questions but a ping are answered in the order in which they were asked, within a turn of the
 * node's thread. A picture for which there is no memory, or no room among the events, does not
 * come: whoever waits for a picture gives up after a time (NODE_PICTURE_MS). ERROR_FULL (mailbox),
 * ERROR_NOMEM. */
#define NODE_PICTURE_MS 8000
int node_ask(struct node *node, const struct picture_question *question);

/* Wakes the node's thread if it has not heard of calls above yet: call node_flush at the end of the
 * owner's turn. Until then a few calls are gathered, for most of a call's cost is waking the other
 * thread. */
void node_flush(struct node *node);

/* Takes the oldest event. Returns false when there is none; then the next event calls wake again.
 * Give back what the event holds with node_event_clear. */
bool node_event(struct node *node, struct node_event *out);
void node_event_clear(struct node_event *event);

/* Returns the numbers of the status. The bound addresses are fixed after the start. */
struct counters *node_counters(struct node *node);
const struct address *node_addresses(const struct node *node, size_t *count);
size_t node_overlays(const struct node *node);
size_t node_neighbours(const struct node *node); /* over all overlays */
size_t node_connections(const struct node *node);
size_t node_waiting(const struct node *node); /* messages, for a first neighbour */
size_t node_relayed(const struct node *node); /* of the neighbours: reached by a relay only */
/* Returns the state of the relay at which others find us, or of the first configured relay as long
 * as there is none; NODE_RELAY_OFF if none is configured. *url becomes the text of that relay's
 * URL, in the standard spelling, valid until the node is stopped; NULL with NODE_RELAY_OFF. */
enum node_relay_state node_relay(const struct node *node, const char **url);
/* Returns the word for a state that users read. */
const char *node_relay_word(enum node_relay_state state);

/* Numbers that change whenever a picture of the overlays, or a picture of the nodes that are
 * configured or connected, would be different: so that an owner who looks now and then asks only
 * when there is news. (Round-trip times and places, which change all the time, do not count.) */
struct node_changes {
	uint64_t overlays, nodes;
};
struct node_changes node_changes(const struct node *node);

/* Returns the most work that one turn of the node's thread has been since the call before: ns of
 * that thread's CPU time, with the kernel's part, so neither sleeping nor waiting for a processor
 * counts. The first call begins the measuring and returns 0; from then on each turn costs a look at
 * the clock, which is about half a microsecond. Only tests call it. */
uint64_t node_longest_turn_ns(struct node *node);

#endif
