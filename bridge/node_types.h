/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The types of node.h: what a node is told at its start, and what it reports. The other rooms below
 * node.h use these types, too.
 */
#ifndef BRIDGE_NODE_TYPES_H
#define BRIDGE_NODE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "counters.h"
#include "id.h"
#include "identity.h"
#include "message.h"
#include "picture.h"
#include "relay_url.h"

#define NODE_REASON_SIZE 256
#define NODE_HOST_SIZE	 256
#define NODE_PEER_HOSTS	 8
#define NODE_PEER_RELAYS 2
#define NODE_RELAYS	 8
#define NODE_TOKEN_SIZE	 512

/* Where a configured peer is to be found: an IP address or a name, and a port. */
struct node_host {
	char host[NODE_HOST_SIZE];
	uint16_t port;
};

/* A configured node. */
struct node_peer {
	struct id id;
	size_t hosts_count;
	struct node_host hosts[NODE_PEER_HOSTS];
	/* The relays at which the node can be reached. */
	size_t relays_count;
	struct relay_url relays[NODE_PEER_RELAYS];
};

enum node_mdns {
	NODE_MDNS_OFF,
	NODE_MDNS_PASSIVE, /* answer and listen */
	NODE_MDNS_ACTIVE   /* also announce and ask */
};

struct node_config {
	const struct identity *identity; /* must outlive the node */
	struct id network;
	const struct address *binds;
	size_t binds_count;
	bool binds_all; /* every bind must work; if false, one is enough */
	/* Peers are trusted: they are dialled, and asked to be a neighbour in every overlay;
	 * copied. */
	const struct node_peer *peers;
	size_t peers_count;
	/* The bootstrap nodes, with which discovery begins. They are told no topic that they have
	 * not proven to share. No node may be both a peer and a bootstrap node; copied. */
	const struct node_peer *bootstraps;
	size_t bootstraps_count;
	enum node_mdns mdns; /* look on the local network too */
	/* Nodes that may connect (none given: all), and nodes that may not; copied. Both ways: all
	 * others are refused at the handshake and never dialled. */
	const struct id *allow, *deny;
	size_t allow_count, deny_count;
	/* Addresses at which others find us, besides the bound addresses; at most NODE_PEER_HOSTS,
	 * copied. */
	const struct node_host *advertise;
	size_t advertise_count;
	/* The relays at which others find us: the first one that works is used; at most
	 * NODE_RELAYS, copied. */
	const struct relay_url *relays;
	size_t relays_count;
	/* The token that lets us in at these relays, and is shown to no others (at most
	 * NODE_TOKEN_SIZE - 1 printable characters); NULL: none. Copied. */
	const char *relay_token;
	/* A file of certificates (PEM) that are trusted besides the system's; NULL: none.
	 * Copied. */
	const char *relay_ca;
	/* Whether nodes are also dialled at relays that only they or other nodes have named. */
	bool relay_any;
	/* For finding faults: a folder for qlogs, and a file for the keys of all connections; NULL:
	 * none. Copied. */
	const char *qlog_dir, *keylog_file;
	const char *state_dir; /* an existing folder; NULL: nothing is remembered */
	bool first_start;      /* then an empty state_dir is expected */
	size_t max_overlays;
	size_t queue_limit;    /* messages that may wait for a first neighbour, per overlay */
	uint64_t queue_age_ns; /* how long these messages wait at most */
	/* Signed messages that are sent on an overlay per second, on average; 0: no limit. */
	unsigned signed_rate;
	size_t cache_bytes;
	/* What becomes of more than the node, its neighbours or the owner can take: waits, the owner
	 * (node_publish) and those who send to us, or else it is dropped. */
	bool waits;
	/* Called for each of the owner's records (node_record) that were kept, during node_start;
	 * NULL: not wanted. The bytes are valid during the call. */
	void (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	void *record_context;
	/* Called when there are events; once until node_event has said that there are no more. */
	void (*wake)(void *context);
	void *context;
};

/* The state of the relay at which others find us. Same order as enum relays_state. */
enum node_relay_state {
	NODE_RELAY_OFF, /* none is configured */
	NODE_RELAY_CONNECTING,
	NODE_RELAY_CONNECTED,
	NODE_RELAY_DENIED,    /* the relay refuses the token or this node */
	NODE_RELAY_ELSEWHERE, /* a node with our identity has connected there after us */
	NODE_RELAY_LIMITED    /* the relay takes less than is sent */
};

enum node_event_type {
	NODE_JOINED,	     /* an overlay has its first neighbour */
	NODE_NEIGHBOUR_UP,   /* with peer */
	NODE_NEIGHBOUR_DOWN, /* with peer, and why */
	NODE_CONFIGURED,     /* whether a node (peer) is configured, and is here: told once at the
			      * start, and at each change */
	NODE_LEFT,	     /* an overlay was left: nothing more comes from it */
	NODE_MESSAGE,	     /* content arrived; the owner holds the reference */
	NODE_DROPPED,	     /* count messages of topic were not carried, with reason */
	NODE_LOG,	     /* a line for the log */
	NODE_ADDRESSES,	     /* where other nodes are told that this one is: text; and count
			      * addresses that they are not told, for want of room */
	NODE_PICTURE,	     /* the answer to node_ask */
};

/* Why a node is no neighbour any more. Same order as enum gossip_down. */
enum node_down {
	NODE_DOWN_LOST,	       /* there has been no connection to the node for a while */
	NODE_DOWN_LEFT,	       /* the node has left the overlay, and said so */
	NODE_DOWN_TURNED_AWAY, /* the node has dropped us for another neighbour */
	NODE_DOWN_GAVE_WAY     /* we have dropped the node for another neighbour */
};

enum node_log_level {
	NODE_LOG_DEBUG,
	NODE_LOG_INFO,
	NODE_LOG_NOTICE,
	NODE_LOG_WARNING,
	NODE_LOG_ERROR
};

struct node_event {
	enum node_event_type type;
	struct id topic;
	struct id peer;
	enum node_down down; /* NODE_NEIGHBOUR_DOWN */
	/* NODE_CONFIGURED: whether peer is still configured; and whether peer is here: there is a
	 * connection to it, or it was visited and is not known to be gone since. */
	bool configured, here;
	struct message *message;
	/* NODE_MESSAGE: whether an application has signed the message, and the signature is
	 * verified. If so: */
	bool is_signed;
	struct id author;
	uint64_t time_us;    /* of the author's clock, Unix */
	const uint8_t *body; /* CBOR, within message */
	size_t body_size;
	enum counter reason;
	uint64_t count;
	enum node_log_level level;
	char *text; /* NODE_LOG: one line, no newline; NODE_ADDRESSES: with commas between */
	struct picture *picture; /* NODE_PICTURE */
};

#endif
