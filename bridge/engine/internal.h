/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the engine's files know of one another: engine.c (commands, time, beginning and end),
 * effects.c (what the cores want done), routes.c (connections and streams), advertise.c
 * (where we say we are).
 */
#ifndef BRIDGE_ENGINE_INTERNAL_H
#define BRIDGE_ENGINE_INTERNAL_H

#include "../gossip/frame.h"
#include "../gossip/gossip.h"
#include "../keyed.h"
#include "../peers/access.h"
#include "../peers/book.h"
#include "../peers/dialer.h"
#include "../peers/joiner.h"
#include "../peers/link.h"
#include "../quic/quic.h"
#include "../resolver.h"
#include "../store.h"
#include "../waiting.h"
#include "engine.h"

#define MS	     UINT64_C(1000000)
#define FAILURE_SIZE 96

/* One overlay that is joined. */
struct overlay {
	struct id topic;
	bool refused; /* over max_overlays: kept so that a leave finds it */
	struct waiting waiting;
	UT_hash_handle hh;
};

/* One connection, from the dial or the handshake to its end. */
struct route {
	struct engine *engine;
	struct quic_connection *connection;
	struct id peer;
	struct address address;
	struct lane *lane; /* NULL until the handshake is complete */
	bool dialled;
	bool dialling;		   /* on the engine's list of dials under way */
	struct route *prev, *next; /* of that list */
};

/* One stream that a peer opened. */
struct inlet {
	struct route *route;
	struct frame_reader reader;
	bool has_topic;
	struct id topic;
	struct inlet *prev, *next; /* of all of the engine */
};

struct trusted {
	struct id id;
	struct resolution *resolution;
	char failure[FAILURE_SIZE]; /* the last one that was logged */
};

/* A line that is not to fill the log. */
struct remark {
	uint64_t not_before;
	uint64_t unsaid; /* since the last one */
};

/* What we tell about where we are: first what is configured, then what is bound. */
struct advertise {
	struct resolution *resolution; /* NULL: nothing is configured */
	bool has_names;		       /* not only literal addresses */
	uint64_t due, backoff;
	char failure[FAILURE_SIZE]; /* the last one that was logged */
	struct address told[LIMIT_ADDRESSES_PER_NODE];
	size_t told_count; /* of those configured */
	struct address bound[LIMIT_ADDRESSES_PER_NODE];
	size_t bound_count;
};

struct engine {
	struct engine_owner owner;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_prepare_t prepare;
	struct id me;
	struct random random;
	struct keyed keyed;
	struct gossip *gossip;
	struct links *links;
	struct dialer *dialer;
	struct joiner *joiner;
	struct book *book;
	struct access *access;
	struct advertise advertise;
	struct remark denied, own_id;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	struct store *store;
	struct overlay *overlays;
	struct waiting_room room;
	uint64_t waiting_due;
	struct node_event dropped; /* not told yet; count 0: nothing */
	struct route *dials;
	struct inlet *inlets; /* bounded by the streams we grant */
	struct trusted *trusted;
	size_t trusted_count;
	bool handles_ready;
	bool stopping, closing;
	uint64_t stop_due;
	unsigned handles; /* of ours, still open */
};

/* What becomes of a node's id in the log. */
struct short_id {
	char text[ID_SHORT_HEX_SIZE + 1];
};

/* engine.c */

uint64_t engine_now(const struct engine *engine);
struct short_id short_id(const struct id *id);
__attribute__((format(printf, 3, 4))) void engine_log(
	struct engine *engine, enum node_log_level level, const char *format, ...);
/* Whether this failure is another one than the last; keeps it as the last. One that goes
 * on is logged once. */
bool engine_is_news(char last[FAILURE_SIZE], const char *failure);
void engine_emit(struct engine *engine, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message);
void engine_count(struct engine *engine, enum counter counter);
void engine_remark_denied(struct engine *engine, const struct id *peer, const char *what);
void engine_remark_own_id(struct engine *engine, const char *where);
/* Whether this node may be dialled; a dial that is not made is counted. */
bool engine_may_dial(struct engine *engine, const struct id *peer);
struct trusted *engine_trusted(struct engine *engine, const struct id *id);
/* Sends what has waited for the overlay's first neighbour. */
void engine_send_waiting(struct engine *engine, const struct id *topic);
/* Carries out what the cores want until they want nothing more now. */
void engine_pump(struct engine *engine);

/* effects.c: each carries out all that one core wants now; whether there was anything. */

bool effects_gossip(struct engine *engine);
bool effects_links(struct engine *engine);
bool effects_dialer(struct engine *engine);
bool effects_joiner(struct engine *engine);

/* routes.c */

extern const struct quic_callbacks route_callbacks;
extern const struct link_io route_io;
void route_dial(struct engine *engine, const struct id *peer, const struct address *address);

/* advertise.c */

/* ERROR_NOMEM. */
int advertise_make(struct engine *engine, const struct node_config *config,
	const struct address *bound, size_t n);
void advertise_resolved(struct engine *engine, const struct address *addresses,
	size_t addresses_count, const char *failure);

#endif
