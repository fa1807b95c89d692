/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All relays of a node: which there are, which one is home, which are connected to.
 *
 * Three kinds of them: those of the option relay (candidates for home, in order), those that peer
 * and bootstrap name, and, only when the configuration says any, those that others have named
 * (hearsay: https and no literal address; LIMIT_RELAYS_LEARNED are remembered, the ones longest not
 * spoken of give way, and LIMIT_RELAYS_LEARNED_OPEN are connected at a time; who has not been
 * sent to for RELAYS_YIELD gives way).
 *
 * Home is where others find us: the node stays connected there.
 *   - At first it is the first candidate that works, which is to say is connected and answers a
 *     ping: the next one is tried when the one before has failed, or RELAYS_PATIENCE has passed.
 *   - A home that is down stays home for RELAYS_HOME_DOWN, during which it is tried again. Then the
 *     others are tried in the same way, in order, and the first that works is home. (One that
 *     comes and goes is down until it has worked for as long without a break.)
 *   - Candidates that come before home in the order are tried on, each RELAYS_HOME_RETRY. One of
 *     them is home again when it has been connected, without a break, for RELAYS_HOME_BACK.
 *   - A former home stays connected for RELAYS_HOME_LEAVE, for those who have not heard of it.
 * Every other relay is connected to when something is sent by it, and left after RELAYS_LINGER
 * without that. Its datagrams wait (bounded) while that is under way.
 *
 * A relay is named by its address (relay_url_address) everywhere but in effects for the stream's
 * owner, where it is the stream: a number that is never used again.
 *
 * Lines for the log: one per change, and no more than RELAYS_LINES at once and one per
 * RELAYS_LINE_INTERVAL of each relay; what changes faster is said when its time has come, as it is
 * then.
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

/* Called from within relays_received. data is valid during the call. The calls may come back with
 * relays_send and relays_admit, and with nothing else. */
struct relays_port {
	void *context;
	/* From a node that has proven its id to the relay (whom one has to believe in that).
	 * segment: 0 for one datagram; else there are several, each but the last of that size. */
	void (*datagram)(void *context, const struct address *relay, const struct id *from,
		const uint8_t *data, size_t size, size_t segment);
	/* The relay says that a node is not there (any more); it may say so of anybody, at most
	 * LIMIT_RELAY_GONE times a second. */
	void (*gone)(void *context, const struct address *relay, const struct id *node);
};

struct relays_config {
	const struct identity *identity; /* must outlive the relays, as the counters */
	struct random random;
	struct counters *counters;
	/* Candidates for home, the first that works; copied. The same URL twice counts once. */
	const struct relay_url *homes;
	size_t homes_count;
	/* Told to homes only; copied. NULL: none. */
	const char *token;
	bool any; /* relays_admit takes what others have named */
	struct relays_port port;
};

enum relays_effect_type {
	/* Open a stream to url: TCP, and TLS with a check of the host if url->tls. relays_opened
	 * or relays_closed is to follow; if that takes too long RELAYS_CLOSE comes. hearsay: only
	 * public addresses may be connected to (ADDRESS_GLOBAL, address_is_dialable), else
	 * RELAY_NOT_PUBLIC. */
	RELAYS_OPEN,
	/* Drop the stream, whatever it is doing, without waiting for what is unsent. Nothing is to
	 * be said of it any more, and if it is that is ignored. */
	RELAYS_CLOSE,
	/* There is output for the stream. Once, until relays_output has said that there is none. */
	RELAYS_WRITE,
	/* Where others find us has changed: url, NULL for nowhere. A home that is down for a while
	 * is still the same; see RELAYS_DOWN. */
	RELAYS_HOME,
	/* What is sent by relay arrives from now on, as far as its other end is there: a time to
	 * dial. And not any more. */
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

/* The word of the status for home, or for the first candidate as long as there is none. */
enum relays_state {
	RELAYS_OFF, /* no candidates, or not started */
	RELAYS_CONNECTING,
	RELAYS_CONNECTED,
	RELAYS_DENIED,	  /* token or identity refused */
	RELAYS_ELSEWHERE, /* another process with our identity is connected, later than this one */
	RELAYS_LIMITED,	  /* the relay takes less than is sent */
};

/* ERROR_NOMEM. */
int relays_new(const struct relays_config *config, struct relays **out);
/* NULL is fine. */
void relays_free(struct relays *relays);

/* A relay that the configuration names, in peer or bootstrap; before or after relays_start.
 * ERROR_NOMEM. */
int relays_add(struct relays *relays, const struct relay_url *url);
/* Begins to look for a home, if there are candidates. */
void relays_start(struct relays *relays, uint64_t now);
/* Ends all connections (RELAYS_CLOSE), for good: nothing more is sent or wanted. No RELAYS_HOME. */
void relays_stop(struct relays *relays, uint64_t now);

/* Whether nodes may be dialled at this relay, which is only their word or somebody else's: it is
 * configured, or any is, the URL is public and there is room to remember it (counted
 * LIMIT_RELAYS). Connects to nothing. */
bool relays_admit(struct relays *relays, uint64_t now, const struct relay_url *url);
/* The URL of a relay that is known (one that others have named may have given way since); NULL.
 * Valid until the next call. */
const struct relay_url *relays_url(const struct relays *relays, const struct address *relay);

/* Sends one datagram of at most RELAY_DATAGRAM_MOST bytes to a node by a relay, or several of the
 * size segment each but the last (segment 0: one). Connects if need be. They are copied. False:
 * dropped, at least one of them, and counted (RELAY_DROPPED): the relay is not known, or cannot be
 * reached now, or its queue (LIMIT_RELAY_QUEUE) is full. */
bool relays_send(struct relays *relays, uint64_t now, const struct address *relay,
	const struct id *to, const uint8_t *data, size_t size, size_t segment);

/* ---- streams ---- */

void relays_opened(struct relays *relays, uint64_t now, uint64_t stream);
/* Somebody's bytes. size 0 is fine. */
void relays_received(
	struct relays *relays, uint64_t now, uint64_t stream, const uint8_t *data, size_t size);
/* It has not come about, or is over. trouble: RELAY_NO_NAME to RELAY_LOST; text: more about it, for
 * people (of a certificate: what is wrong with it), in any bytes, copied; NULL: nothing. */
void relays_closed(struct relays *relays, uint64_t now, uint64_t stream, enum relay_trouble trouble,
	const char *text);
/* The next bytes for it, to be written as far as it takes them; NULL and *size 0: none. They stay
 * the same until relays_written; the pointer is valid until the next call of any kind. Take no more
 * than can be written soon: what is not taken here is bounded, what is taken is the owner's to
 * bound. */
const uint8_t *relays_output(struct relays *relays, uint64_t stream, size_t *size);
/* So many of them are taken. */
void relays_written(struct relays *relays, uint64_t now, uint64_t stream, size_t size);

/* ---- time ---- */

void relays_tick(struct relays *relays, uint64_t now);
/* When relays_tick is wanted; UINT64_MAX: never. */
uint64_t relays_deadline(const struct relays *relays);

/* ---- what is wanted, and how it is ---- */

/* The next effect; false: there is none. */
bool relays_effect(struct relays *relays, struct relays_effect *out);
/* NULL: none yet. Valid until the next call. */
const struct relay_url *relays_home(const struct relays *relays);
enum relays_state relays_state(const struct relays *relays);
/* "off", "connecting", "connected", "denied", "elsewhere", "limited". */
const char *relays_state_word(enum relays_state state);
/* Whether a relay is connected (RELAYS_UP). */
bool relays_is_up(const struct relays *relays, const struct address *relay);

#endif
