/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counters by name, written by any thread, read by any (relaxed atomics); the status topics show
 * them. Nothing is lost silently, so every reason for which a message is not carried has a line
 * here.
 *
 * Two sums hold whenever nothing is under way:
 *
 *   messages/in + messages/resumed = messages/sent + COUNTERS_OUTGOING (+ messages that still
 *   wait: the gauge "waiting")
 *   messages/received = messages/out + COUNTERS_ARRIVING
 *
 * If a message was sent, but a single neighbour did not get it, that neighbour's copy is in
 * neither sum: other neighbours may have the message, and pass it on. The broker's own queues come
 * after messages/out: what they drop is in $SYS/broker/publish/messages/dropped.
 */
#ifndef BRIDGE_COUNTERS_H
#define BRIDGE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* name, topic below $SYS/broker/p2panda/, meaning */
#define COUNTER_TABLE(X) \
	X(IN, "messages/in", "messages that MQTT clients published for overlays") \
	X(SENT, "messages/sent", "messages handed to at least one neighbour") \
	X(RECEIVED, "messages/received", "messages that arrived from an overlay") \
	X(OUT, "messages/out", "messages handed to the broker") \
	X(PROPERTIES, "messages/properties", "messages/in whose MQTT 5 properties stayed here") \
	X(SIGNED, "messages/signed", "messages/sent that were signed for applications") \
	X(PACED, "messages/paced", "signed messages that waited for signed_rate") \
	X(RESUMED, "messages/resumed", \
		"messages of before the start, which waited when the broker was stopped") \
	X(SLOWED, "messages/slowed", \
		"messages/in for which the broker waited, as the node was behind (when_full)") \
	X(UNREAD, "messages/unread", \
		"times that the node stopped reading an overlay, as the broker was behind") \
	X(UNSHOWN, "messages/unshown", "signed messages that a subscribed codec cannot show") \
	X(DROPPED_MALFORMED_TOPIC, "dropped/malformed_topic", "published to no topic of ours") \
	X(DROPPED_TOO_LARGE, "dropped/too_large", "content above 4057 bytes") \
	X(DROPPED_REPEATED, "dropped/repeated", "same content within 90 s") \
	X(DROPPED_RESENT, "dropped/resent", \
		"QoS 2 publishes that a client has sent again on a new connection") \
	X(DROPPED_MAX_OVERLAYS, "dropped/max_overlays", "over a limit on overlays") \
	X(DROPPED_MAILBOX, "dropped/mailbox_full", "queue to the node thread full") \
	X(DROPPED_EVENTS, "dropped/events_full", "queue to the broker thread full") \
	X(DROPPED_QUEUE_LIMIT, "dropped/queue_limit", "gave way while waiting for a neighbour") \
	X(DROPPED_QUEUE_AGE, "dropped/queue_age", "waited too long for a neighbour") \
	X(DROPPED_LEFT, "dropped/left", "still waiting when the overlay was left") \
	X(DROPPED_NO_MEMORY, "dropped/no_memory", "not sent: out of memory") \
	X(DROPPED_NO_MEMORY_ARRIVING, "dropped/no_memory_arriving", "arrived, but no memory") \
	X(DROPPED_NO_MEMORY_COPY, "dropped/no_memory_copy", \
		"copies for which there was no memory") \
	X(DROPPED_NOT_JOINED, "dropped/not_joined", \
		"copies that came for an overlay that was left, or never joined") \
	X(DROPPED_NO_STREAM_CREDIT, "dropped/no_stream_credit", "peer grants no further stream") \
	X(DROPPED_PEER_SLOW, "dropped/peer_slow", "copies a slow neighbour did not get") \
	X(DROPPED_PEER_LOST, "dropped/peer_lost", \
		"copies for a neighbour that was lost and not back in time") \
	X(DROPPED_UNFORWARDABLE, "dropped/unforwardable", "not forwarded: frame limit") \
	X(DROPPED_BROKER, "dropped/broker", "the broker refused to publish it") \
	X(DROPPED_ENCODING, "dropped/encoding", "published payload that its codec cannot encode") \
	X(DROPPED_RAW, "dropped/raw_among_signed", "plain publish refused: applications listen") \
	X(DROPPED_UNSUITED, "dropped/unsuited", "arrived, but no subscribed codec can show it") \
	X(BAD_SIGNED, "messages/bad_signed", \
		"messages that begin like signed ones and are none: version, form, depth") \
	X(BAD_SIGNATURE, "messages/bad_signatures", "signed messages whose signature is false") \
	X(LIMIT_VERIFIED, "limits/verified", "signed messages not verified: rate") \
	X(DENIED, "subscriptions/denied", \
		"subscriptions that hold no overlay: their client may not read there") \
	X(BAD_FRAME, "peers/bad_frames", "frames that could not be decoded") \
	X(BAD_ID, "peers/bad_ids", "messages whose id is not their hash") \
	X(LIMIT_MISSING, "limits/missing", "announced ids beyond the limit") \
	X(LIMIT_LAZY_QUEUE, "limits/lazy_queue", "announcements not queued: limit") \
	X(LIMIT_RECEIVED_IDS, "limits/received_ids", "remembered ids forgotten early") \
	X(LIMIT_CACHE, "limits/cache", "cached content evicted early") \
	X(LIMIT_CONNECTIONS, "limits/connections", "connections refused: limit") \
	X(LIMIT_FOREIGN, "limits/foreign_streams", \
		"connections closed: too many streams for overlays that are not joined") \
	X(LIMIT_PEERS, "limits/peers", "peers not kept: limit") \
	X(LIMIT_PEER_DATA, "limits/peer_data", "peer data ignored: too large or malformed") \
	X(LIMIT_STATELESS, "limits/stateless", "resets, refusals and Retries not sent: rate") \
	X(HANDSHAKES_REFUSED, "peers/refused", "handshakes refused: key, network, protocol, node") \
	X(RETRIES, "peers/retries", "handshakes asked to prove their address") \
	X(DIALS, "peers/dials", "connections tried for gossip") \
	X(DIALS_FAILED, "peers/dials_failed", "those of them that did not come about") \
	X(NOT_DIALLED, "peers/not_dialled", "dials not made: allow_node, deny_node") \
	X(JOINS, "peers/joins", "nodes asked to be the first neighbour in an overlay") \
	X(MERGES, "peers/merges", "nodes asked to join two parts of an overlay") \
	X(PROBES, "peers/probes", "new nodes asked whom they know in an overlay") \
	X(DISCOVERY_DIALS, "discovery/dials", "connections tried for discovery") \
	X(DISCOVERED, "discovery/sessions", "discovery sessions that came to their end") \
	X(DISCOVERY_FAILED, "discovery/failed", "discovery sessions that did not") \
	X(INFOS, "discovery/infos", "transport infos that were new and are believed") \
	X(BAD_INFO, "discovery/bad_infos", "transport infos refused: signature, time, our own id") \
	X(TWIN, "discovery/own_id", "transport infos that another node with our key has signed") \
	X(MDNS_FOUND, "discovery/mdns_found", "nodes' announcements on the local network") \
	X(BAD_PACKET, "discovery/bad_packets", \
		"mDNS packets of the service that could not be decoded") \
	X(LIMIT_INFOS, "limits/infos", "transport infos not looked at: limit per session or node") \
	X(LIMIT_KEYS, "limits/keys", "Shuffles not looked at: ids to be checked per second") \
	X(LIMIT_TOPICS, "limits/topics", "shared topics of a node not kept: limit") \
	X(LIMIT_SESSIONS, "limits/sessions", "discovery sessions refused: limit") \
	X(LIMIT_UNPROVEN, "limits/unproven", \
		"dials put off: addresses that have not worked yet, per second") \
	X(LIMIT_JOINS, "limits/joins", "nodes asked later: joins per second") \
	X(LIMIT_MDNS, "limits/mdns", "mDNS answers not sent: rate") \
	X(LIMIT_OFFLINE, "limits/offline", \
		"subscriptions of offline sessions that gave way to connected ones: limit") \
	X(LIMIT_UNRELEASED, "limits/unreleased", \
		"QoS 2 publishes that would not be known as sent again: limit") \
	X(LIMIT_RECORDS, "limits/records", "subscriptions not kept for a restart: limit") \
	X(RELAY_CONNECTS, "relay/connects", "connections to relays that came about") \
	X(RELAY_FAILED, "relay/failed", "connections to relays that did not, or that have ended") \
	X(RELAY_REFUSED, "relay/denied", "those of them for which a relay refused token or key") \
	X(RELAY_IN, "relay/in", "datagrams that came by a relay") \
	X(RELAY_OUT, "relay/out", "datagrams queued for a relay") \
	X(RELAY_DROPPED, "relay/dropped", \
		"datagrams not sent by a relay: queue full, not connected; they are sent again") \
	X(RELAY_BAD, "relay/bad_frames", \
		"frames of relays that were ignored: unknown, malformed, too many") \
	X(LIMIT_RELAYS, "limits/relays", "relays not remembered or not connected to: limit") \
	X(TRACE_LOST, "trace/lost", "pieces of qlog_dir and keylog_file that were not written") \
	X(STORE_FAILED, "store/failed", "writes to state_dir that failed, each is tried again") \
	X(STORE_LOST, "store/lost", "rows not written to state_dir: too many waited")

enum counter {
#define X(name, topic, meaning) COUNTER_##name,
	COUNTER_TABLE(X)
#undef X
		COUNTERS
};

/* The terms of the sums above. */
#define COUNTERS_OUTGOING(X) \
	X(DROPPED_MALFORMED_TOPIC) \
	X(DROPPED_TOO_LARGE) \
	X(DROPPED_REPEATED) \
	X(DROPPED_MAX_OVERLAYS) \
	X(DROPPED_MAILBOX) \
	X(DROPPED_QUEUE_LIMIT) \
	X(DROPPED_QUEUE_AGE) \
	X(DROPPED_LEFT) \
	X(DROPPED_NO_MEMORY) \
	X(DROPPED_ENCODING) \
	X(DROPPED_RAW)

#define COUNTERS_ARRIVING(X) \
	X(DROPPED_EVENTS) \
	X(DROPPED_NO_MEMORY_ARRIVING) \
	X(DROPPED_BROKER) \
	X(DROPPED_UNSUITED)

struct counters {
	_Atomic uint64_t values[COUNTERS];
};

/* Returns the counter's topic below $SYS/broker/p2panda/, which is the counter's name in logs
 * too. */
const char *counter_topic(enum counter counter);

static inline void counters_add(struct counters *counters, enum counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&counters->values[counter], n, memory_order_relaxed);
}

static inline uint64_t counters_get(const struct counters *counters, enum counter counter)
{
	return atomic_load_explicit(
		&((struct counters *)counters)->values[counter], memory_order_relaxed);
}

#endif
