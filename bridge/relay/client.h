/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One connection to one iroh relay, again and again: from the stream that somebody else opens (TCP,
 * TLS) by the WebSocket upgrade and the handshake to datagrams both ways, and after its end, while
 * it is wanted, to the next one.
 *
 *   IDLE -> OPENING -> UPGRADE -> HANDSHAKE -> CONNECTED
 *             ^  each of these, when it fails  -> WAITING -> OPENING ...
 *
 * A relay is a lossy path: what does not fit into the queue is dropped and counted, whole datagrams
 * each, and nothing ever blocks. Sent while the connection is on its way it waits, as far as there
 * is room.
 *
 * Where behaviour comes from: iroh-relay 1.4.1 src/client.rs and src/client/conn.rs, iroh 1.4.1
 * src/socket/transports/relay/actor.rs. On purpose not so: the longest wait is
 * RELAY_WAIT_MOST (there 16 s), so that nodes behind the relay meet again soon after it is back.
 *
 * sans-IO; times are monotonic ns; one thread. Everything the relay sends is bounded, and no bytes
 * of its trip an assertion.
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

/* From the wish for a stream to the end of the handshake. */
#define RELAY_DIAL_LIMIT (10 * S)
/* A ping as soon as it is connected, then as often; what is to come after it, a pong or at least
 * other bytes, within the limit; and the pong itself within the last one (behind a slow line it has
 * to wait for its turn). */
#define RELAY_PING_INTERVAL (15 * S)
#define RELAY_PONG_LIMIT    (5 * S)
#define RELAY_PONG_AT_LAST  (30 * S)
/* Something is sent and nothing has come for so long: a ping at once. (Longer than quiet connections
 * of QUIC are without a ping of their own, so that those make none here.) */
#define RELAY_QUIET_LIMIT (8 * S)
/* The stream takes nothing more for so long: it is of no use. */
#define RELAY_STALL_LIMIT (15 * S)
/* Between the end of a connection or try and the next one, doubled each time, jittered; from the
 * least again after a pong. And no two tries begin within RELAY_WAIT_APART. */
#define RELAY_WAIT_LEAST (10 * MS)
#define RELAY_WAIT_MOST	 (4 * S)
#define RELAY_WAIT_APART (1 * S)
/* After an answer that will hardly change by itself: denied, not found, another certificate. */
#define RELAY_WAIT_REFUSED (30 * S)
/* A relay says that it limits us, but not when that is over. */
#define RELAY_LIMITED_FOR (60 * S)

/* The largest datagram that is taken for sending: what QUIC's largest path to iroh may have. */
#define RELAY_DATAGRAM_MOST 1452

#define RELAY_TEXT_SIZE 192

enum relay_state {
	RELAY_IDLE,    /* not wanted */
	RELAY_WAITING, /* for the next try */
	RELAY_OPENING, /* for relay_client_opened */
	RELAY_UPGRADE,
	RELAY_HANDSHAKE,
	RELAY_CONNECTED,
};

/* What the relay says of a connection that stands. */
enum relay_status {
	RELAY_HEALTHY,
	RELAY_ELSEWHERE, /* a newer connection has our id: nothing comes to this one */
	RELAY_LIMITED,	 /* it takes less than we send */
};

/* Why the last try or connection has ended. Those up to RELAY_LOST are the stream's
 * (relay_client_closed), the others are seen here. */
enum relay_trouble {
	RELAY_NO_TROUBLE,
	RELAY_NO_NAME,	   /* the host's name was not found */
	RELAY_NOT_PUBLIC,  /* its name leads to no public address, and it is known by hearsay */
	RELAY_UNREACHABLE, /* no TCP connection came about */
	RELAY_CERTIFICATE, /* of another host, of an unknown authority, expired */
	RELAY_TLS,	   /* any other failure of TLS */
	RELAY_LOST,	   /* the stream has ended or was reset, with or without a Close */
	RELAY_TIMEOUT,	   /* not connected within RELAY_DIAL_LIMIT */
	RELAY_NOT_FOUND,   /* HTTP 404: no relay there */
	RELAY_REDIRECTED,  /* HTTP 3xx: text says where to; it is not followed */
	RELAY_REFUSED,	   /* HTTP 401, 403 */
	RELAY_BAD_REQUEST, /* HTTP 400 */
	RELAY_HTTP,	   /* any other HTTP status: text has it */
	RELAY_NO_RELAY,	   /* no HTTP, or not the upgrade that was asked for */
	RELAY_DENIED,	   /* by the handshake: text has the relay's words */
	RELAY_PROTOCOL,	   /* frames that no relay sends */
	RELAY_SILENT,	   /* no pong */
	RELAY_STALLED,	   /* RELAY_STALL_LIMIT */
	RELAY_NO_MEMORY,
};

struct relay_client;

struct relay_client_config {
	const struct relay_url *url; /* these five must outlive the client */
	const struct identity *identity;
	const struct random *random;
	struct counters *counters;
	const char *token; /* NULL: none */
	/* From within relay_client_received. data is valid during the call. segment: 0 for one
	 * datagram; else there are several, each but the last of that size. The call may come back
	 * with relay_client_send, and with nothing else. */
	void (*datagram)(void *context, const struct id *from, const uint8_t *data, size_t size,
		size_t segment);
	/* A node that something was sent to is not at this relay any more (so the relay says); at
	 * most LIMIT_RELAY_GONE a second. From within relay_client_received. */
	void (*gone)(void *context, const struct id *node);
	void *context;
};

/* What is to be known about it. */
struct relay_view {
	enum relay_state state;
	enum relay_status status;   /* of RELAY_CONNECTED */
	enum relay_trouble trouble; /* the last one since it was CONNECTED with a pong */
	/* In the relay's or the stream's words, if any, printable ASCII: about trouble, or the
	 * relay's Health. */
	const char *text;
	bool proven;	  /* CONNECTED, and a pong has come */
	bool restarting;  /* the relay has said that it is about to */
	uint64_t since;	  /* when the state began */
	uint64_t due;	  /* no try begins before */
	uint64_t changes; /* how often one of the above has changed */
};

/* IDLE. ERROR_NOMEM. */
int relay_client_new(const struct relay_client_config *config, struct relay_client **out);
/* NULL is fine. */
void relay_client_free(struct relay_client *client);

/* Whether there is to be a connection. To want no more ends it at once; to want again begins at
 * once, unless the last try was refused or is too short ago, and forgets trouble. */
void relay_client_want(struct relay_client *client, uint64_t now, bool wanted);

/* ---- the stream ---- */

/* Whether a stream is to be opened now, or the one there is to be dropped: true once for each.
 * After a drop nothing more is said of that stream. A drop comes before the next stream. */
bool relay_client_wants_open(struct relay_client *client);
bool relay_client_wants_close(struct relay_client *client);
/* It stands, TLS included. */
void relay_client_opened(struct relay_client *client, uint64_t now);
void relay_client_received(
	struct relay_client *client, uint64_t now, const uint8_t *data, size_t size);
/* It has not come about, or is over. trouble: RELAY_NO_NAME to RELAY_LOST; text: more about it, for
 * people, in any bytes; NULL: nothing. */
void relay_client_closed(
	struct relay_client *client, uint64_t now, enum relay_trouble trouble, const char *text);
/* The next bytes for it; *size 0: none. Valid until the next call of any kind. */
const uint8_t *relay_client_output(struct relay_client *client, size_t *size);
/* So many of them are taken. */
void relay_client_written(struct relay_client *client, uint64_t now, size_t size);

/* ---- datagrams ---- */

/* One datagram, or several of the size segment each but the last (segment 0: one). They are copied.
 * False: dropped (those that found no room), and counted. */
bool relay_client_send(struct relay_client *client, uint64_t now, const struct id *to,
	const uint8_t *data, size_t size, size_t segment);

/* ---- time ---- */

void relay_client_tick(struct relay_client *client, uint64_t now);
/* UINT64_MAX: never. */
uint64_t relay_client_deadline(const struct relay_client *client);

struct relay_view relay_client_view(const struct relay_client *client);

#endif
