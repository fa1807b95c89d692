/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every bound of the node with its reason. Whenever a bound is hit, the counter of that bound's
 * name counts (counters.h).
 */
#ifndef BRIDGE_LIMITS_H
#define BRIDGE_LIMITS_H

/* iroh-gossip DEFAULT_MAX_MESSAGE_SIZE: readers take a frame body of this size,
 * writers refuse one of this size or more (src/net/util.rs). */
#define LIMIT_FRAME 4096

/* The largest content that every hop can carry: 4095 less the two tags (2), the
 * id (32), the content's length (2), the scope's tag (1) and round 0 (1). */
#define LIMIT_CONTENT 4057

/* The largest body that always fits into a signed message: LIMIT_CONTENT less author and signature
 * (102), and less time and counter, of nine bytes each at most (messages/signed.h). */
#define LIMIT_SIGNED_BODY 3937

/* Containers and tags around one item of a signed message's body: p2panda 0.7.1 accepts as many
 * (0.6.1 and 0.7.0: 255). */
#define LIMIT_SIGNED_DEPTH 199

/* The largest JSON text that becomes the body of a message, which has 3,937 bytes at most: six
 * bytes of text for one byte of body (\u0041), and as much again for blanks. And how deeply both
 * the text and the body may be nested; 0.7.1 reads bodies 199 deep, serde_json texts 128 deep. */
#define LIMIT_JSON_TEXT	 65536
#define LIMIT_JSON_DEPTH 64

/* One postcard AddrInfo: more addresses than this are not kept or sent. */
#define LIMIT_ADDRESSES_PER_NODE 16
#define LIMIT_PEER_DATA		 512
/* Addresses that the names of one configured node may have together; at most
 * LIMIT_ADDRESSES_PER_NODE of them are tried at a time. */
#define LIMIT_ADDRESSES_LOOKED_UP 256

/* HyParView, iroh-gossip src/proto/hyparview.rs, defaults (from the paper, p9). */
#define LIMIT_ACTIVE_VIEW  5
#define LIMIT_PASSIVE_VIEW 30

/* Nodes in one Shuffle or ShuffleReply that are looked at; the rest of a longer
 * list is ignored. Upstream sends 3 + 4 + 1. */
#define LIMIT_SHUFFLE_NODES 64

/* Missing messages tracked in all (170 bytes each: 11 MB); of these an overlay may have half of what
 * the others leave, and so many always, while there is room at all. And announcers kept for each of
 * them. A message that a peer announces beyond these limits is not asked for. */
#define LIMIT_MISSING	     4096
#define LIMIT_MISSING_IN_ALL 65536
#define LIMIT_ANNOUNCERS     8

/* IHAVE ids queued between two dispatches (5 ms) per lazy neighbour, and in all (34 bytes each, in
 * arrays that double: 36 MB at most). */
#define LIMIT_LAZY_QUEUE	4096
#define LIMIT_LAZY_QUEUE_IN_ALL 524288

/* Message ids remembered (90 s) in all, 70 bytes each: enough for 11,650 messages per second all
 * the time, or for the last seconds of a faster flow. */
#define LIMIT_RECEIVED_IDS 1048576

/* Content kept for GRAFT (30 s) in all; the option cache_bytes. */
#define LIMIT_CACHE_BYTES (32u << 20)

/* Overlays in all; the option max_overlays. Also the uni streams we grant. */
#define LIMIT_OVERLAYS 1000

/* Messages and bytes that wait in one direction between the two threads. */
#define LIMIT_MAILBOX_ITEMS 65536
#define LIMIT_MAILBOX_BYTES (16u << 20)

/* Of these, what one overlay may have under way before its publishers are slowed down, or its
 * neighbours are not read from: enough to keep the other thread busy while this one sleeps, some ms
 * of work. It may have half of what the others leave of the mailbox, and always a little (a thousand
 * overlays that stand still: 64 MiB). */
#define LIMIT_FLOW_HIGH_ITEMS  8192
#define LIMIT_FLOW_HIGH_BYTES  (3u << 20)
#define LIMIT_FLOW_LEAST_ITEMS 256
#define LIMIT_FLOW_LEAST_BYTES (64u << 10)

/* How long the owner's thread waits for the node's in one turn, us: the least as soon as an overlay is
 * high, the most when seven eighths of its room are taken. A node that has taken nothing of it for
 * LIMIT_STILL_MS (longer than it waits for a neighbour that is behind, and than a busy machine lets a
 * thread wait for a processor) stands still, and is not waited for until it takes something. */
#define LIMIT_WAIT_LEAST_US 500
#define LIMIT_WAIT_MOST_US  10000
#define LIMIT_STILL_MS	    1500

/* An owner that takes nothing for so long holds up no neighbour; a neighbour that is behind the
 * fastest one of an overlay for so long holds up nobody. */
#define LIMIT_BEHIND_MS 1000

/* Messages that wait for a first neighbour: per overlay, and bytes in all. Options queue_limit,
 * queue_age. */
#define LIMIT_WAITING	    128
#define LIMIT_WAITING_BYTES (16u << 20)
#define LIMIT_WAITING_AGE_S 30

/* Of these bytes, what is kept on disk at a clean end for the next start: a slow card writes this
 * much in the second that the end may take. In all, 128 bytes for each message besides its content. */
#define LIMIT_RESUMED_BYTES (4u << 20)

/* Signed messages that an application can take at once, and each second (facts: the application
 * goes deaf for good otherwise); the option signed_rate. Faster messages wait: so many per
 * overlay. */
#define LIMIT_SIGNED_BURST  64
#define LIMIT_SIGNED_RATE   1000
#define LIMIT_SIGNED_PACED  16384
/* Signatures of messages that are verified per second, 0.1 ms each: over all overlays, and of the
 * messages that one neighbour brings. Faster messages wait. */
#define LIMIT_SIGNED_VERIFIED		   4000
#define LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR 2000
/* Signatures that are verified per second in overlays in which nobody wants them verified, to find
 * out whether there are applications. */
#define LIMIT_SIGNED_SAMPLED 100
/* Messages that wait for verification at once, in all and of one neighbour on one overlay: a burst
 * of several brokers, and 50 ms of work. Messages beyond the limit are not shown to those who want
 * them verified. A neighbour may always have a few messages waiting: 64 MiB, if a thousand
 * neighbours had as many. */
#define LIMIT_SIGNED_WAITING		 4096
#define LIMIT_SIGNED_WAITING_PER_OVERLAY 512
#define LIMIT_SIGNED_WAITING_LEAST	 16

/* Unacknowledged bytes kept for one neighbour; a neighbour that is slower loses
 * messages (counted peer_slow), it does not stall the others. */
#define LIMIT_PEER_QUEUE_BYTES (16u << 20)

/* Unacknowledged bytes kept over all connections: each may have half of the bytes that are left,
 * and always LIMIT_QUEUE_LEAST_BYTES. Six connections that stand still with full queues leave the
 * seventh ten MiB, and a thousand have 256 MiB. (Copies for several neighbours share their content,
 * and are counted each.) */
#define LIMIT_QUEUES_BYTES	(128u << 20)
#define LIMIT_QUEUE_LEAST_BYTES (128u << 10)

/* Content that came back from connections that have ended and waits for the next connection
 * (peers/link.h), over all peers: enough for four peers that were lost with full queues. One peer
 * may have LIMIT_PEER_QUEUE_BYTES, as much as a connection holds. The bodies are counted in full,
 * although several copies may share one. */
#define LIMIT_KEPT_BYTES (64u << 20)

/* Connections in all, and per peer (the newest is used, older ones are read out, and as many again
 * may be about to end). */
#define LIMIT_CONNECTIONS	   1024
#define LIMIT_CONNECTIONS_PER_PEER 8

/* Of these connections: places that strangers cannot take (for dials and configured nodes), and
 * places that one address may have (IPv6: a /64; many nodes may be behind one address, but not most
 * of all). */
#define LIMIT_CONNECTIONS_RESERVE     128
#define LIMIT_CONNECTIONS_PER_ADDRESS 128

/* A connection on which neither side has a stream of an overlay that is joined here ends after this
 * time, whatever other streams it has. */
#define LIMIT_STRANGER_MS 60000

/* Streams that peers have opened for overlays that are not joined here: some 700 bytes each. One
 * peer may have as many as two connections, which are normal, can hold for a node with
 * LIMIT_OVERLAYS overlays. */
#define LIMIT_FOREIGN_STREAMS	       32768
#define LIMIT_FOREIGN_STREAMS_PER_PEER (2 * LIMIT_OVERLAYS)

/* Links that are wanted or exist, in memory (dialler, links): more than fit into the views of every
 * overlay. */
#define LIMIT_PEERS 1024

/* Nodes in the address book, in memory and on disk: some 10 MB. */
#define LIMIT_NODES 10000

/* Rows of the address book that wait for the disk; further rows wait in the book. */
#define LIMIT_STORE_WAITING_BYTES (16u << 20)

/* Topics that one node is known to share with us, and (node, topic) pairs in all. */
#define LIMIT_TOPICS_PER_NODE LIMIT_OVERLAYS
#define LIMIT_SHARED	      65536

/* Nodes whose last failure is remembered in words, to answer questions (node_ask). */
#define LIMIT_REPORTS 512
/* Pings under way, and the addresses that one ping tries. */
#define LIMIT_PINGS	     4
#define LIMIT_PING_ADDRESSES 16

/* Nodes asked to be neighbours in one overlay at a time, of all that share it. */
#define LIMIT_JOINS_PER_TOPIC 16

/* Nodes asked to be neighbours, over all overlays, in one second: as many as a restart with a
 * thousand overlays needs, and no more. */
#define LIMIT_JOINS_PER_SECOND 1000

/* Unproven nodes that one node may bring into the address book: further ones replace earlier ones
 * from the same node. */
#define LIMIT_HEARSAY_PER_NODE 1000

/* Transport infos verified per second for all strangers together, and further ones for nodes that
 * we have chosen (configured, dialled): some 4 and 8 per cent of a processor. And unknown ids of
 * Shuffles that are checked to be keys, 10 us each: a restart with a thousand overlays needs
 * some. */
#define LIMIT_VERIFIED_STRANGERS 250
#define LIMIT_VERIFIED_CHOSEN	 500
#define LIMIT_KEYS_CHECKED	 2000

/* Forged infos in one session, at which it ends. */
#define LIMIT_FORGED 3

/* One discovery session: infos sent; new infos that are verified (0.1 ms each; known infos cost
 * nothing); bytes read. And sessions at once, dialled and accepted each. */
#define LIMIT_INFOS_SENT	1000
#define LIMIT_INFOS_VERIFIED	500
#define LIMIT_SESSION_BYTES	(64u << 20)
#define LIMIT_SESSIONS		16

/* Dials per second to addresses that have not worked yet and are not configured: hearsay may
 * point at third parties. */
#define LIMIT_UNPROVEN_DIALS 16
/* And dials to one host, until one of them works, before they become rare: some nodes may be behind
 * one address, and dials to them begin before the first is answered. */
#define LIMIT_UNPROVEN_DIALS_PER_HOST 8

/* An info whose time is further in the future than this is refused: such an info could never be
 * replaced (us). */
#define LIMIT_FUTURE_US (UINT64_C(600) * 1000000)

/* One mDNS packet: records and nodes in it that are looked at, and addresses of one of these nodes.
 * A packet of 9000 bytes holds no more useful ones. */
#define LIMIT_MDNS_RECORDS   128
#define LIMIT_MDNS_INSTANCES 32
#define LIMIT_MDNS_ADDRESSES 64

/* Nodes on the local network that are remembered, so that they are not reported again and
 * again; and infos reported per second (each is verified). */
#define LIMIT_MDNS_NODES 1024
#define LIMIT_MDNS_FOUND 100

/* Interfaces on which mDNS is spoken (Linux lets one socket join 20 IPv4 groups). */
#define LIMIT_MULTICAST_INTERFACES 32

/* One record of the owner, key and value: a client id or a filter of MQTT, each of which may be
 * much longer in theory. Subscriptions on record: 120 bytes each in memory. Records in all: as many
 * as subscriptions, a client id for each of them at most, 10,000 overlays of applications
 * (plugin/guard.c) and 2,000 subscriptions that were given up (plugin/given_up.h); some 50 MB on
 * disk at most. */
#define LIMIT_RECORD	  1024
#define LIMIT_RECORDS	  20000
#define LIMIT_RECORD_ROWS 52000

/* QoS 2 publishes that are not released, of sessions that may send them again: 200 bytes each, and
 * their client ids. A client has up to 20 at a time (max_inflight_messages), mostly for a
 * moment. */
#define LIMIT_UNRELEASED 1024

/* Bytes that wait for one relay: WebSocket frames of a lossy path, some 170 datagrams; further
 * datagrams are dropped. While the connection is being made the limit is lower: there is room for
 * the first datagrams of dials. Answers to pings have some more room. */
#define LIMIT_RELAY_QUEUE	  (256u << 10)
#define LIMIT_RELAY_QUEUE_OPENING (32u << 10)
#define LIMIT_RELAY_QUEUE_CONTROL (4u << 10)
/* One frame of a relay, its type included (iroh-relay protos/relay.rs), and one HTTP head. */
#define LIMIT_RELAY_FRAME 65536
#define LIMIT_RELAY_HEAD  8192
/* EndpointGone frames that are believed of one relay, per second. */
#define LIMIT_RELAY_GONE 64

/* Relays that other nodes have named: remembered (700 bytes each), and connected to at a time. And
 * connections to relays in all, to configured relays as well. */
#define LIMIT_RELAYS_LEARNED	  256
#define LIMIT_RELAYS_LEARNED_OPEN 8
#define LIMIT_RELAYS_OPEN	  64

/* Leaving and stopping take at most this long. */
#define LIMIT_FAREWELL_MS 1000

/* Limits of the options qlog_dir and keylog_file, since the start: files and bytes of qlogs, and
 * bytes that are not written to disk yet. */
#define LIMIT_TRACE_FILES    10000
#define LIMIT_TRACE_BYTES    (UINT64_C(1) << 30)
#define LIMIT_TRACE_UNDERWAY (16u << 20)

#endif
