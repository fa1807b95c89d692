/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All relays of a node: which there are, which one is home, which are connected to.
 *
 * There are three kinds: those of the option relay (candidates for home, in order); those that
 * peer and bootstrap name; and, only when the configuration says any, those that other nodes have
 * named (hearsay: https and no literal address). Of the last kind LIMIT_RELAYS_LEARNED are
 * remembered, and the one not spoken of for longest gives way; LIMIT_RELAYS_LEARNED_OPEN are
 * connected at a time, and one that nothing was sent by for RELAYS_YIELD gives way.
 *
 * Home is where others find us: the node stays connected there.
 *   - At first home is the first candidate that works, which means that it is connected and answers
 *     a ping: the next one is tried when the one before has failed, or RELAYS_PATIENCE has passed.
 *   - A home that is down stays home for RELAYS_HOME_DOWN, during which it is tried again. Then the
 *     others are tried in the same way, in order, and the first that works is home. (A home that
 *     comes and goes is down until it has worked for as long without a break.)
 *   - Candidates that come before home in the order are still tried, each RELAYS_HOME_RETRY. One of
 *     them is home again when it has been connected, without a break, for RELAYS_HOME_BACK.
 *   - A former home stays connected for RELAYS_HOME_LEAVE, for nodes that have not heard of the
 *     change.
 * Every other relay is connected to when something is sent by it, and left after RELAYS_LINGER
 * without that. Datagrams wait (bounded) while the connection is on its way.
 *
 * A relay is named by its address (relay_url_address) everywhere but in effects for the stream's
 * owner. These name the stream, by a number that is never used again.
 *
 * Lines for the log: one per change, and for each relay no more than RELAYS_LINES at once and one
 * per RELAYS_LINE_INTERVAL. If a relay changes faster, its state at the time of the next line is
 * told.
 *
 * sans-IO; times are monotonic ns; one thread. After each call (but relays_output) relays_effect
 * is to be asked until it has no more, and relays_tick is due at relays_deadline.
 */
#ifndef BRIDGE_RELAY_RELAYS_H
#define BRIDGE_RELAY_RELAYS_H

#include "../address.h"
#include "../node_types.h"
#include "client.h"

#define RELAYS_PATIENCE	     (3 * S)
#define RELAYS_HOME_DOWN     (10 * S)
#define RELAYS_HOME_RETRY    (30 * S)
#define RELAYS_HOME_BACK     (30 * S)
#define RELAYS_HOME_LEAVE    (300 * S)
#define RELAYS_LINGER	     (60 * S)
#define RELAYS_YIELD	     (10 * S)
#define RELAYS_LINES	     4
#define RELAYS_LINE_INTERVAL (30 * S)
#define RELAYS_LINE_SIZE     640

struct relays;

/* Callbacks from within relays_received. data is valid during the call. The callbacks may call
 * relays_send and relays_admit, and nothing else. */
struct relays_port {
	void *context;
	/* Takes datagrams from a node that has proven its id to the relay (whose word has to be
	 * believed). segment: 0 for one datagram; else there are several, each but the last of
	 * that size. */
	void (*datagram)(void *context, const struct address *relay, const struct id *from,
		const uint8_t *data, size_t size, size_t segment);
	/* Takes the relay's word that a node is not there (any more). A relay may say so of any
	 * node, at most LIMIT_RELAY_GONE times a second. */
	void (*gone)(void *context, const struct address *relay, const struct id *node);
};

struct relays_config {
	const struct identity *identity; /* must outlive the relays, as the counters */
	struct random random;
	struct counters *counters;
	/* Candidates for home, in the order in which they are tried; copied. The same URL twice
	 * counts once. */
	const struct relay_url *homes;
	size_t homes_count;
	/* The token, told to homes only; copied. NULL: none. */
	const char *token;
	bool any; /* relays_admit takes relays that others have named */
	struct relays_port port;
};

enum relays_effect_type {
	/* Open a stream to url: TCP, and TLS with a check of the host if url->tls. relays_opened
	 * or relays_closed is to follow; if that takes too long RELAYS_CLOSE comes. hearsay: only
	 * public addresses may be connected to (ADDRESS_GLOBAL, address_is_dialable), else
	 * RELAY_NOT_PUBLIC. */
	RELAYS_OPEN,
	/* Drop the stream, whatever it is doing, without waiting for what is unsent. The owner
	 * says nothing of the stream any more; anything said is ignored. */
	RELAYS_CLOSE,
	/* There is output for the stream. Told once, until relays_output has said that there is
	 * none. */
	RELAYS_WRITE,
	/* Where others find us has changed: url. A home that is down for a while stays the same;
	 * see RELAYS_DOWN. */
	RELAYS_HOME,
	/* UP: datagrams sent by relay arrive from now on, if their node is there: a time to dial.
	 * DOWN: they arrive no more. */
	RELAYS_UP,
	RELAYS_DOWN,
	/* A line for the log. */
	RELAYS_LOG,
};

struct relays_effect {
	enum relays_effect_type type;
	uint64_t stream;	     /* RELAYS_OPEN, RELAYS_CLOSE, RELAYS_WRITE; never 0 */
	const struct relay_url *url; /* RELAYS_OPEN, RELAYS_HOME; valid until the next call */
	struct address relay;	     /* RELAYS_OPEN, RELAYS_HOME, RELAYS_UP, RELAYS_DOWN */
	bool hearsay;		     /* RELAYS_OPEN */
	enum node_log_level level;   /* RELAYS_LOG */
	const char *text;	     /* RELAYS_LOG; valid until the next call */
};

/* The state of home, or of the first candidate as long as there is no home. */
enum relays_state {
	RELAYS_OFF, /* no candidates, or not started */
	RELAYS_CONNECTING,
	RELAYS_CONNECTED,
	RELAYS_DENIED,	  /* token or identity refused */
	RELAYS_ELSEWHERE, /* another process with our identity is connected, later than this one */
	RELAYS_LIMITED,	  /* the relay takes less than is sent */
};

/* Makes the relays, with the candidates for home. ERROR_NOMEM. */
int relays_new(const struct relays_config *config, struct relays **out);
/* Frees the relays. NULL is fine. */
void relays_free(struct relays *relays);

/* Adds a relay that the configuration names, in peer or bootstrap; before or after relays_start.
 * ERROR_NOMEM. */
int relays_add(struct relays *relays, const struct relay_url *url);
/* Begins to look for a home, if there are candidates. */
void relays_start(struct relays *relays, uint64_t now);
/* Ends all connections (RELAYS_CLOSE), for good: nothing more is sent or wanted. Tells no
 * RELAYS_HOME. */
void relays_stop(struct relays *relays, uint64_t now);

/* Tells whether nodes may be dialled at this relay, which only they or others have named: the
 * relay is configured, or any is, the URL is public and there is room to remember it (counted
 * LIMIT_RELAYS). Connects to nothing. */
bool relays_admit(struct relays *relays, uint64_t now, const struct relay_url *url);
/* Returns the URL of a known relay; NULL: the relay is not known (one that others have named may
 * have given way). Valid until the next call. */
const struct relay_url *relays_url(const struct relays *relays, const struct address *relay);

/* Sends one datagram of at most RELAY_DATAGRAM_MOST bytes to a node by a relay, or several of the
 * size segment each but the last (segment 0: one). Connects if need be. The data is copied. False:
 * at least one datagram was dropped and counted (RELAY_DROPPED): the relay is not known, or cannot
 * be reached now, or its queue (LIMIT_RELAY_QUEUE) is full. */
bool relays_send(struct relays *relays, uint64_t now, const struct address *relay,
	const struct id *to, const uint8_t *data, size_t size, size_t segment);

/* ---- streams ---- */

/* Notes that the stream is open, TLS included. */
void relays_opened(struct relays *relays, uint64_t now, uint64_t stream);
/* Takes bytes that have come on the stream, which are not trusted. size 0 is fine. */
void relays_received(
	struct relays *relays, uint64_t now, uint64_t stream, const uint8_t *data, size_t size);
/* Notes that the stream could not be opened, or is over. trouble: RELAY_NO_NAME to RELAY_LOST;
 * text: more about the trouble, for people (of a certificate: what is wrong with it), in any
 * bytes, copied; NULL: nothing. */
void relays_closed(struct relays *relays, uint64_t now, uint64_t stream, enum relay_trouble trouble,
	const char *text);
/* Returns the next bytes for the stream, to be written as far as it takes them; NULL and *size 0:
 * none. The bytes stay the same until relays_written; the pointer is valid until the next call of
 * any kind. The owner takes no more than can be written soon: bytes that are not taken are bounded
 * here, bytes that are taken are the owner's to bound. */
const uint8_t *relays_output(struct relays *relays, uint64_t stream, size_t *size);
/* Notes that the owner has taken the first size bytes of the output. */
void relays_written(struct relays *relays, uint64_t now, uint64_t stream, size_t size);

/* ---- time ---- */

void relays_tick(struct relays *relays, uint64_t now);
/* Returns when relays_tick is wanted; UINT64_MAX: never. */
uint64_t relays_deadline(const struct relays *relays);

/* ---- what is wanted, and how it is ---- */

/* Takes the next effect; false: there is none. */
bool relays_effect(struct relays *relays, struct relays_effect *out);
/* Returns the URL of home; NULL: there is none yet. Valid until the next call. */
const struct relay_url *relays_home(const struct relays *relays);
enum relays_state relays_state(const struct relays *relays);
/* Returns the word for a state: "off", "connecting", "connected", "denied", "elsewhere",
 * "limited". */
const char *relays_state_word(enum relays_state state);
/* Tells whether a relay is connected (RELAYS_UP). */
bool relays_is_up(const struct relays *relays, const struct address *relay);

#endif
