/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every bound of the node with its reason. A bound that is hit is counted by
 * name (counters.h).
 */
#ifndef BRIDGE_LIMITS_H
#define BRIDGE_LIMITS_H

/* iroh-gossip DEFAULT_MAX_MESSAGE_SIZE: readers take a frame body of this size,
 * writers refuse one of this size or more (src/net/util.rs). */
#define LIMIT_FRAME 4096

/* The largest content that every hop can carry: 4095 less the two tags (2), the
 * id (32), the content's length (2), the scope's tag (1) and round 0 (1). */
#define LIMIT_CONTENT 4057

/* The largest body that always fits into a signed message: a content less author and signature
 * (102), and time and counter, of nine bytes each at most (messages/signed.h). */
#define LIMIT_SIGNED_BODY 3937

/* Containers and tags around one item of a signed message's body: p2panda 0.7.1 takes as many
 * (0.6.1 and 0.7.0: 255). */
#define LIMIT_SIGNED_DEPTH 199

/* The largest JSON text that becomes the body of a message, which has 3,937 bytes at most: six
 * bytes for one (\u0041), and as much again for blanks. And how deeply both may be nested, where
 * 0.7.1 reads 199 and serde_json 128. */
#define LIMIT_JSON_TEXT	 65536
#define LIMIT_JSON_DEPTH 64

/* One postcard AddrInfo: more addresses than this are not kept or sent. */
#define LIMIT_ADDRESSES_PER_NODE 16
#define LIMIT_PEER_DATA		 512

/* HyParView, iroh-gossip src/proto/hyparview.rs, defaults (from the paper, p9). */
#define LIMIT_ACTIVE_VIEW  5
#define LIMIT_PASSIVE_VIEW 30

/* Nodes in one Shuffle or ShuffleReply that are looked at; the rest of a longer
 * list is ignored. Upstream sends 3 + 4 + 1. */
#define LIMIT_SHUFFLE_NODES 64

/* Missing messages tracked per overlay and in all (170 bytes each: 11 MB), and announcers kept for
 * each: what a peer announces beyond it is not asked for. */
#define LIMIT_MISSING	     4096
#define LIMIT_MISSING_IN_ALL 65536
#define LIMIT_ANNOUNCERS     8

/* IHAVE ids queued between two dispatches (5 ms) per lazy neighbour, and in all (34 bytes each, in
 * arrays that double: 36 MB at most). */
#define LIMIT_LAZY_QUEUE	4096
#define LIMIT_LAZY_QUEUE_IN_ALL 524288

/* Message ids remembered (90 s) in all, 150 bytes each: 11,650 messages per second all the time,
 * or the last seconds of what is faster. */
#define LIMIT_RECEIVED_IDS 1048576

/* Content kept for GRAFT (30 s) in all; the option cache_bytes. */
#define LIMIT_CACHE_BYTES (32u << 20)

/* Overlays in all; the option max_overlays. Also the uni streams we grant. */
#define LIMIT_OVERLAYS 1000

/* Messages and bytes that wait in one direction between the two threads. */
#define LIMIT_MAILBOX_ITEMS 65536
#define LIMIT_MAILBOX_BYTES (16u << 20)

/* Waiting for a first neighbour: per overlay, and in all. Options queue_limit,
 * queue_age. */
#define LIMIT_WAITING	    128
#define LIMIT_WAITING_BYTES (16u << 20)
#define LIMIT_WAITING_AGE_S 30

/* What an application can take at once, and each second (facts: it goes deaf for good otherwise);
 * the option signed_rate. What comes faster waits: so many per overlay. */
#define LIMIT_SIGNED_BURST  64
#define LIMIT_SIGNED_RATE   1000
#define LIMIT_SIGNED_PACED  16384
/* Signatures of messages that are verified per second, 0.1 ms each: over all overlays, and of what
 * one neighbour brings. What comes faster waits. */
#define LIMIT_SIGNED_VERIFIED		   4000
#define LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR 2000
/* And of overlays of which nobody wants them verified, to know that there are applications. */
#define LIMIT_SIGNED_SAMPLED 100
/* Messages that wait for that at once, in all and of one neighbour on one overlay: a burst of
 * several brokers, and 50 ms of work. What comes beyond it is not shown to those who want it
 * verified. A neighbour may always have a few: 64 MiB, if a thousand had as many. */
#define LIMIT_SIGNED_WAITING		 4096
#define LIMIT_SIGNED_WAITING_PER_OVERLAY 512
#define LIMIT_SIGNED_WAITING_LEAST	 16

/* Unacknowledged bytes kept for one neighbour; a neighbour that is slower loses
 * messages (counted peer_slow), it does not stall the others. */
#define LIMIT_PEER_QUEUE_BYTES (16u << 20)

/* The same over all connections: each may have half of what is left of it, and always
 * LIMIT_QUEUE_LEAST_BYTES. Six that stand still with full queues leave the seventh ten MiB, and
 * a thousand have 256 MiB. (Copies for several neighbours share their content, and are counted
 * each.) */
#define LIMIT_QUEUES_BYTES	(128u << 20)
#define LIMIT_QUEUE_LEAST_BYTES (128u << 10)

/* Content that came back from connections that have ended and waits for the next one
 * (peers/link.h), over all peers: four that were lost with full queues. For one peer it is
 * LIMIT_PEER_QUEUE_BYTES, what a connection holds. Counted with the bodies, which several copies
 * may share. */
#define LIMIT_KEPT_BYTES (64u << 20)

/* Connections in all, and per peer (newest wins, older ones are read out, and as many
 * again may be about to end). */
#define LIMIT_CONNECTIONS	   1024
#define LIMIT_CONNECTIONS_PER_PEER 8

/* Of these: places that strangers cannot take (for dials and configured nodes), and those that
 * one address may have (IPv6: a /64; many nodes may be behind one, but not most of all). */
#define LIMIT_CONNECTIONS_RESERVE     128
#define LIMIT_CONNECTIONS_PER_ADDRESS 128

/* A connection on which neither side has a stream of an overlay that is joined here ends after
 * this time, whatever other streams there are. */
#define LIMIT_STRANGER_MS 60000

/* Streams that peers have opened for overlays that are not joined here: some 700 bytes each. Of
 * one peer: what two connections, which are normal, can hold of a node with as many overlays as
 * there may be. */
#define LIMIT_FOREIGN_STREAMS	       32768
#define LIMIT_FOREIGN_STREAMS_PER_PEER (2 * LIMIT_OVERLAYS)

/* Links that are wanted or there, in memory (dialler, links): more than fit into the views of
 * every overlay. */
#define LIMIT_PEERS 1024

/* Nodes in the address book, in memory and on disk: some 10 MB. */
#define LIMIT_NODES 10000

/* Rows of the address book that wait for the disk; those beyond it wait in the book. */
#define LIMIT_STORE_WAITING_BYTES (16u << 20)

/* Topics that one node is known to share with us, and (node, topic) pairs in all. */
#define LIMIT_TOPICS_PER_NODE LIMIT_OVERLAYS
#define LIMIT_SHARED	      65536

/* Nodes asked to be neighbours in one overlay at a time, of all that share it. */
#define LIMIT_JOINS_PER_TOPIC 16

/* Nodes asked to be neighbours, over all overlays, in one second: what a restart with a thousand
 * overlays needs, and no more. */
#define LIMIT_JOINS_PER_SECOND 1000

/* Unproven nodes that one node may bring into the book: further ones replace its own. */
#define LIMIT_HEARSAY_PER_NODE 1000

/* Infos verified per second for all strangers together, and more for those whom we have chosen
 * (configured, dialled): some 4 and 8 per cent of a processor. And ids of Shuffles of which it is
 * not known whether they are keys, 10 us each: a restart with a thousand overlays needs some. */
#define LIMIT_VERIFIED_STRANGERS 250
#define LIMIT_VERIFIED_CHOSEN	 500
#define LIMIT_KEYS_CHECKED	 2000

/* Forged infos in one session, at which it ends. */
#define LIMIT_FORGED 3

/* One discovery session: infos sent; new ones that are verified (0.1 ms each), the known ones
 * cost nothing; bytes read. Sessions at once, dialled and accepted each. */
#define LIMIT_INFOS_SENT	1000
#define LIMIT_INFOS_VERIFIED	500
#define LIMIT_SESSION_BYTES	(64u << 20)
#define LIMIT_SESSIONS		16

/* Dials per second to addresses that have not worked yet and are not configured: hearsay may
 * point at third parties. */
#define LIMIT_UNPROVEN_DIALS 16
/* And to one host, until one of them works, before they become rare: some nodes may be behind one
 * address, and dials to them begin before the first is answered. */
#define LIMIT_UNPROVEN_DIALS_PER_HOST 8

/* An info that claims to be from further in the future than this is refused: it could never
 * be replaced (us). */
#define LIMIT_FUTURE_US (UINT64_C(600) * 1000000)

/* One mDNS packet: records and nodes in it that are looked at, and addresses of one of them.
 * A packet of 9000 bytes holds no more of them that are of use. */
#define LIMIT_MDNS_RECORDS   128
#define LIMIT_MDNS_INSTANCES 32
#define LIMIT_MDNS_ADDRESSES 64

/* Nodes on the local network that are remembered, so that they are not reported again and
 * again; and infos reported per second (each is verified). */
#define LIMIT_MDNS_NODES 1024
#define LIMIT_MDNS_FOUND 100

/* Interfaces on which mDNS is spoken (Linux lets one socket join 20 IPv4 groups). */
#define LIMIT_MULTICAST_INTERFACES 32

/* One record of the owner's, key and value: a client id or a filter of MQTT, each of which may
 * be much longer in theory. Subscriptions on record: 120 bytes each in memory. Records in all:
 * as many, a client id for each at most, and 10,000 overlays of applications (plugin/guard.c);
 * some 50 MB on disk at most. */
#define LIMIT_RECORD	  1024
#define LIMIT_RECORDS	  20000
#define LIMIT_RECORD_ROWS 50000

/* QoS 2 publishes that are not released, of sessions that may send them again: 200 bytes each,
 * and their client ids. A client has up to 20 at a time (max_inflight_messages), mostly for a
 * moment. */
#define LIMIT_UNRELEASED 1024

/* What waits for one relay: WebSocket frames of a lossy path, some 170 datagrams; what is beyond it
 * is dropped. While the connection is on its way it is less: the first datagrams of dials. Answers
 * to pings have some more room. */
#define LIMIT_RELAY_QUEUE	  (256u << 10)
#define LIMIT_RELAY_QUEUE_OPENING (32u << 10)
#define LIMIT_RELAY_QUEUE_CONTROL (4u << 10)
/* One frame of a relay, its type included (iroh-relay protos/relay.rs), and one HTTP head. */
#define LIMIT_RELAY_FRAME 65536
#define LIMIT_RELAY_HEAD  8192
/* EndpointGone that is believed of one relay, per second. */
#define LIMIT_RELAY_GONE 64

/* Relays that others have named: remembered (700 bytes each), and connected to at a time. And
 * connections to relays in all, those that the configuration names included. */
#define LIMIT_RELAYS_LEARNED	  256
#define LIMIT_RELAYS_LEARNED_OPEN 8
#define LIMIT_RELAYS_OPEN	  64

/* Leaving and stopping take at most this long. */
#define LIMIT_FAREWELL_MS 1000

#endif
