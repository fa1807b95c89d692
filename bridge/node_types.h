/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a node is told at its start and what it tells: the types of node.h, which the rooms below
 * it speak, too.
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
	/* And the relays at which it is. */
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
	bool binds_all; /* every bind must work; else one is enough */
	/* Trusted: dialled, and asked to be a neighbour in every overlay; copied. */
	const struct node_peer *peers;
	size_t peers_count;
	/* Where looking for others begins: told no topic that they have not proven to share;
	 * none of them a peer as well; copied. */
	const struct node_peer *bootstraps;
	size_t bootstraps_count;
	enum node_mdns mdns; /* look on the local network too */
	/* Nodes that may be peers (none given: all), and nodes that may not; copied. Both
	 * ways: the others are refused at the handshake and never dialled. */
	const struct id *allow, *deny;
	size_t allow_count, deny_count;
	/* Where others find us besides the bound addresses; at most NODE_PEER_HOSTS, copied. */
	const struct node_host *advertise;
	size_t advertise_count;
	/* The relays at which others find us, the first that works; at most NODE_RELAYS, copied. */
	const struct relay_url *relays;
	size_t relays_count;
	/* Said to these, and to no others: what lets us in (at most NODE_TOKEN_SIZE - 1 printable
	 * characters); NULL: nothing. Copied. */
	const char *relay_token;
	/* A file of certificates (PEM) that are believed besides the system's; NULL: none. Copied. */
	const char *relay_ca;
	/* Whether nodes are dialled, too, at relays that only they or others have named. */
	bool relay_any;
	const char *state_dir; /* an existing folder; NULL: nothing is remembered */
	bool first_start;      /* so it is no wonder if there is nothing in it */
	size_t max_overlays;
	size_t queue_limit;    /* messages that wait for a first neighbour, per overlay */
	uint64_t queue_age_ns; /* how long they wait */
	/* Signed messages that leave an overlay per second, on average; 0: as they come. */
	unsigned signed_rate;
	size_t cache_bytes;
	/* The owner's records (node_record) as they were kept, during node_start; NULL: not
	 * wanted. The bytes are valid during the call. */
	void (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	void *record_context;
	/* There are events; called once until node_event has said that there is none. */
	void (*wake)(void *context);
	void *context;
};

/* How it is with the relay at which others find us. The order of enum relays_state. */
enum node_relay_state {
	NODE_RELAY_OFF, /* none is configured */
	NODE_RELAY_CONNECTING,
	NODE_RELAY_CONNECTED,
	NODE_RELAY_DENIED,    /* it refuses the token or this node */
	NODE_RELAY_ELSEWHERE, /* somebody with our identity is connected there, later than we */
	NODE_RELAY_LIMITED    /* it takes less than is sent */
};

enum node_event_type {
	NODE_JOINED,	     /* an overlay has its first neighbour */
	NODE_NEIGHBOUR_UP,   /* with peer */
	NODE_NEIGHBOUR_DOWN, /* with peer */
	NODE_LEFT,	     /* an overlay was left: nothing more comes from it */
	NODE_MESSAGE,	     /* content arrived; the owner holds the reference */
	NODE_DROPPED,	     /* count messages of topic were not carried, with reason */
	NODE_LOG,	     /* a line for the log */
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
	struct message *message;
	/* NODE_MESSAGE: it is a signed one of an application's, and verified: */
	bool is_signed;
	struct id author;
	uint64_t time_us;    /* of the author's clock, Unix */
	const uint8_t *body; /* CBOR, within message */
	size_t body_size;
	enum counter reason;
	uint64_t count;
	enum node_log_level level;
	char *text; /* NODE_LOG: one line, no newline */
};

#endif
