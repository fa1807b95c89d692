/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One connection to one iroh relay, again and again: from the stream that the owner opens (TCP,
 * TLS) by the WebSocket upgrade and the handshake to datagrams both ways; and after the
 * connection's end, while one is wanted, to the next.
 *
 *   IDLE -> OPENING -> UPGRADE -> HANDSHAKE -> CONNECTED
 *             ^  each of these, when it fails  -> WAITING -> OPENING ...
 *
 * A relay is a lossy path: datagrams that do not fit into the queue are dropped and counted, whole
 * datagrams each, and nothing ever blocks. A datagram that is sent while the connection is on its
 * way waits, as far as there is room.
 *
 * Where behaviour comes from: iroh-relay 1.4.1 src/client.rs and src/client/conn.rs, iroh 1.4.1
 * src/socket/transports/relay/actor.rs. One difference is on purpose: the longest wait is
 * RELAY_WAIT_MOST (there 16 s), so that nodes behind the relay meet again soon after it is back.
 *
 * sans-IO; times are monotonic ns; one thread. Everything the relay sends is bounded, and none of
 * its bytes can trip an assertion.
 */
#ifndef BRIDGE_RELAY_CLIENT_H
#define BRIDGE_RELAY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../counters.h"
#include "../id.h"
#include "../identity.h"
#include "../random.h"
#include "../relay_url.h"
#include "../time.h"

/* The time from the wish for a stream to the end of the handshake. */
#define RELAY_DIAL_LIMIT (10 * S)
/* A ping goes out as soon as the client is connected, then at this interval. Within the limit
 * after a ping a pong is to come, or at least other bytes; the pong itself within the last limit
 * (behind a slow line it has to wait for its turn). */
#define RELAY_PING_INTERVAL (15 * S)
#define RELAY_PONG_LIMIT    (5 * S)
#define RELAY_PONG_AT_LAST  (30 * S)
/* If a datagram is sent when nothing has come for so long, a ping goes out at once. (Longer than
 * quiet QUIC connections go without a ping of their own, so that their pings make none here.) */
#define RELAY_QUIET_LIMIT (8 * S)
/* A stream that takes nothing more for so long is of no use. */
#define RELAY_STALL_LIMIT (15 * S)
/* The wait between the end of a connection or try and the next try: doubled each time, jittered,
 * from the least again after a pong. And no two tries begin within RELAY_WAIT_APART. */
#define RELAY_WAIT_LEAST (10 * MS)
#define RELAY_WAIT_MOST	 (4 * S)
#define RELAY_WAIT_APART (1 * S)
/* The wait after an answer that will hardly change by itself: denied, not found, another
 * certificate. */
#define RELAY_WAIT_REFUSED (30 * S)
/* How long a relay's word that it limits us counts: it does not say when that is over. */
#define RELAY_LIMITED_FOR (60 * S)

/* The largest datagram that is taken for sending: the most that QUIC's largest path to iroh may
 * have. */
#define RELAY_DATAGRAM_MOST 1452

#define RELAY_TEXT_SIZE 192

enum relay_state {
	RELAY_IDLE,    /* not wanted */
	RELAY_WAITING, /* waiting for the next try */
	RELAY_OPENING, /* waiting for relay_client_opened */
	RELAY_UPGRADE,
	RELAY_HANDSHAKE,
	RELAY_CONNECTED,
};

/* What the relay says of an established connection. */
enum relay_status {
	RELAY_HEALTHY,
	RELAY_ELSEWHERE, /* a newer connection has our id: nothing comes by this one */
	RELAY_LIMITED,	 /* the relay takes less than we send */
};

/* Why the last try or connection has ended. The stream's owner reports those up to RELAY_LOST
 * (relay_client_closed), the client finds the others. */
enum relay_trouble {
	RELAY_NO_TROUBLE,
	RELAY_NO_NAME,	   /* the host's name was not found */
	RELAY_NOT_PUBLIC,  /* the name leads to no public address, known by hearsay */
	RELAY_UNREACHABLE, /* no TCP connection came about */
	RELAY_CERTIFICATE, /* for another host, of an unknown authority, expired */
	RELAY_TLS,	   /* any other failure of TLS */
	RELAY_LOST,	   /* the stream has ended or was reset, with or without a Close */
	RELAY_TIMEOUT,	   /* not connected within RELAY_DIAL_LIMIT */
	RELAY_NOT_FOUND,   /* HTTP 404: no relay there */
	RELAY_REDIRECTED,  /* HTTP 3xx: text says where to; not followed */
	RELAY_REFUSED,	   /* HTTP 401, 403 */
	RELAY_BAD_REQUEST, /* HTTP 400 */
	RELAY_HTTP,	   /* any other HTTP status: text has it */
	RELAY_NO_RELAY,	   /* no HTTP, or not the upgrade that was asked for */
	RELAY_DENIED,	   /* in the handshake: text has the relay's words */
	RELAY_PROTOCOL,	   /* frames that no relay sends */
	RELAY_SILENT,	   /* no pong */
	RELAY_STALLED,	   /* nothing taken for RELAY_STALL_LIMIT */
	RELAY_NO_MEMORY,
};

struct relay_client;

struct relay_client_config {
	const struct relay_url *url; /* these five must outlive the client */
	const struct identity *identity;
	const struct random *random;
	struct counters *counters;
	const char *token; /* NULL: none */
	/* Takes datagrams; called from within relay_client_received. data is valid during the
	 * call. segment: 0 for one datagram; else there are several, each but the last of that
	 * size. The callback may call relay_client_send, and nothing else. */
	void (*datagram)(void *context, const struct id *from, const uint8_t *data, size_t size,
		size_t segment);
	/* Takes the relay's word that a node which we have sent to is not at this relay any more;
	 * at most LIMIT_RELAY_GONE a second. Called from within relay_client_received. */
	void (*gone)(void *context, const struct id *node);
	void *context;
};

/* What the owner may know of the client. */
struct relay_view {
	enum relay_state state;
	enum relay_status status;   /* of RELAY_CONNECTED */
	enum relay_trouble trouble; /* the last trouble since the last pong */
	/* Words of the relay or the stream, if any, printable ASCII: about trouble, or the relay's
	 * Health. */
	const char *text;
	bool proven;	  /* CONNECTED, and a pong has come */
	bool restarting;  /* the relay has said that it is about to restart */
	uint64_t since;	  /* when the state began */
	uint64_t due;	  /* no try begins before this time */
	uint64_t changes; /* how often one of the above has changed */
};

/* Makes a client in the state IDLE. ERROR_NOMEM. */
int relay_client_new(const struct relay_client_config *config, struct relay_client **out);
/* Frees the client. NULL is fine. */
void relay_client_free(struct relay_client *client);

/* Sets whether there is to be a connection. No longer to want one ends the connection at once. To
 * want one again begins a try at once, unless the last try was refused or is too short ago, and
 * forgets trouble. */
void relay_client_want(struct relay_client *client, uint64_t now, bool wanted);

/* ---- the stream ---- */

/* Tells whether a stream is to be opened now; true once for each stream. */
bool relay_client_wants_open(struct relay_client *client);
/* Tells whether the stream is to be dropped; true once for each stream. After the drop the owner
 * says nothing more of that stream. The drop comes before the next stream. */
bool relay_client_wants_close(struct relay_client *client);
/* Notes that the stream is open, TLS included. */
void relay_client_opened(struct relay_client *client, uint64_t now);
/* Takes bytes that have come on the stream. */
void relay_client_received(
	struct relay_client *client, uint64_t now, const uint8_t *data, size_t size);
/* Notes that the stream could not be opened, or is over. trouble: RELAY_NO_NAME to RELAY_LOST;
 * text: more about the trouble, for people, in any bytes; NULL: nothing. */
void relay_client_closed(
	struct relay_client *client, uint64_t now, enum relay_trouble trouble, const char *text);
/* Returns the next bytes for the stream; *size 0: none. Valid until the next call of any kind. */
const uint8_t *relay_client_output(struct relay_client *client, size_t *size);
/* Notes that the stream has taken the first size bytes of the output. */
void relay_client_written(struct relay_client *client, uint64_t now, size_t size);

/* ---- datagrams ---- */

/* Sends one datagram, or several of the size segment each but the last (segment 0: one). The data
 * is copied. False: the datagrams that found no room were dropped, and counted. */
bool relay_client_send(struct relay_client *client, uint64_t now, const struct id *to,
	const uint8_t *data, size_t size, size_t segment);

/* ---- time ---- */

void relay_client_tick(struct relay_client *client, uint64_t now);
/* Returns when relay_client_tick is wanted; UINT64_MAX: never. */
uint64_t relay_client_deadline(const struct relay_client *client);

struct relay_view relay_client_view(const struct relay_client *client);

#endif
