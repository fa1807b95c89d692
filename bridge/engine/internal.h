/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the engine's files know of one another: engine.c (commands, turns), clock.c (time), life.c
 * (beginning and end), effects.c (what the cores want done), routes.c (connections and streams of
 * gossip), nodes.c (who is wanted as a neighbour, and healing), neighbours.c (what the log says of
 * who is there), explore.c (discovery sessions), local.c (mDNS),
 * advertise.c (where we say we are).
 */
#ifndef BRIDGE_ENGINE_INTERNAL_H
#define BRIDGE_ENGINE_INTERNAL_H

#include "../discovery/info.h"
#include "../discovery/mdns.h"
#include "../discovery/session.h"
#include "../discovery/walker.h"
#include "../effort.h"
#include "../gossip/frame.h"
#include "../gossip/gossip.h"
#include "../interfaces.h"
#include "../keyed.h"
#include "../multicast.h"
#include "../peers/access.h"
#include "../peers/book.h"
#include "../peers/dialer.h"
#include "../peers/joiner.h"
#include "../peers/link.h"
#include "../peers/twin.h"
#include "../quic/quic.h"
#include "../resolver.h"
#include "../store.h"
#include "../waiting.h"
#include "engine.h"

#define MS	     UINT64_C(1000000)
#define FAILURE_SIZE 96
#define FAILURES     4
/* Overlays that others have and we have not joined, as far as they are said. */
#define UNJOINED 32

/* The protocols of the endpoint. */
enum protocol { GOSSIP, DISCOVERY, PROTOCOLS };

/* One overlay that is joined. */
struct overlay {
	struct id topic;
	bool refused; /* over max_overlays: kept so that a leave finds it */
	bool joined;  /* there is a neighbour, and that was said */
	bool lacking; /* there are places for more */
	struct waiting waiting;
	uint64_t heal_due; /* when nodes of the book are wanted again; UINT64_MAX: no need */
	uint64_t heal_backoff;
	/* When one more node is asked to tie parts together; UINT64_MAX: never. */
	uint64_t settle_due;
	unsigned settles, settle_tries; /* how often that was, and was due */
	UT_hash_handle hh;
};

/* A peer that is connected, whichever way. */
struct guest {
	struct id peer;
	size_t routes;
	size_t foreign; /* streams of overlays that are not joined, on all of its routes */
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
	/* Streams of ours, and of the peer's on overlays that are joined: without any it is a
	 * stranger's (unless the node is configured), which ends when it stays so. */
	size_t uses;
	bool stranger; /* on the engine's list of those */
	uint64_t due;  /* when it is ended then */
	struct route *strangers_prev, *strangers_next;
	struct guest *guest; /* NULL until the handshake is complete */
	size_t foreign;	     /* its part of the guest's */
	bool leaving;	     /* is being closed for what it has of them, which counts no more */
	struct route *guests_prev, *guests_next; /* all that have a guest */
};

/* One stream that a peer opened. */
struct inlet {
	struct route *route;
	struct frame_reader reader;
	bool has_topic;
	bool joined; /* its overlay is, so that it is one of the route's uses */
	struct id topic;
	struct inlet *prev, *next; /* of all of the engine */
};

/* One node of the configuration. */
struct configured {
	struct id id;
	bool trusted; /* peer, else bootstrap */
	struct resolution *resolution;
	/* Those that were logged since it was last reached, the oldest given up: an unreachable
	 * node with several addresses or a name that is gone fails in several ways in turn. */
	char failures[FAILURES][FAILURE_SIZE];
	size_t failures_count;
	bool reached; /* that was said, and no failure since */
	struct address found[LIMIT_ADDRESSES_PER_NODE]; /* by the last look-up */
	size_t found_count;
};

/* One connection of the discovery protocol, from the dial or the handshake to its end. */
struct talk;

/* For whom infos are verified, and what came of it. */
struct verifying {
	bool chosen; /* one of ours: the reserve is for it */
	size_t verified, forged;
};

/* A line that is not to fill the log. */
struct remark {
	uint64_t not_before;
	uint64_t unsaid; /* since the last one */
};

/* Lines of one kind: how many were said, and were not, until then. */
struct quota {
	uint64_t until;
	unsigned said;
	uint64_t unsaid;
};

/* An overlay that a node has named and we have not joined. */
struct unjoined {
	struct id topic, node;
	bool said;
};

struct companion;

/* The last info's time, in the store. */
#define ADVERTISE_TIME "info_time"

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
	const struct address *sockets; /* as they are bound, wildcards and all; the owner's */
	size_t sockets_count;
	struct info *infos[ORDERS]; /* the same, signed; NULL before the first */
	struct info_time time;	    /* of these */
	uint64_t clock;		    /* the wall clock's lead over the monotonic one, us */
	struct interfaces_watch *watch;
};

struct engine {
	struct engine_owner owner;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_prepare_t prepare;
	uv_check_t check;
	const struct identity *identity;
	const struct node_config *starting; /* NULL but within engine_new */
	struct id me;
	struct random random;
	struct keyed keyed;
	struct gossip *gossip;
	struct links *links;
	struct dial_budget budget;
	struct dialer *dialer;	 /* of links */
	struct dialer *explorer; /* of discovery sessions */
	struct joiner *joiner;
	struct book *book;
	struct walker *walker;
	struct effort effort;
	struct talk *talks;
	size_t talks_dialled, talks_accepted;
	struct mdns *mdns; /* NULL: off */
	struct multicast *multicast;
	uint64_t local_second; /* the one of local */
	struct verifying local;
	struct access *access;
	struct advertise advertise;
	struct remark denied, own_id, crowded, twin_said;
	struct twin twin;
	struct companion *companions;
	struct quota comings, alone, foreigners;
	struct unjoined unjoined[UNJOINED];
	size_t unjoined_count;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	struct store *store;
	char store_failure[FAILURE_SIZE]; /* the one that was logged */
	struct overlay *overlays;
	size_t lacking; /* overlays with fewer neighbours than they have places for */
	struct waiting_room room;
	uint64_t waiting_due, heal_due;
	/* When nodes that could not be reached are tried again. */
	uint64_t away_due, away_backoff;
	struct node_event dropped; /* not told yet; count 0: nothing */
	struct route *dials;
	struct route *strangers; /* in the order of their ends */
	struct guest *guests;
	struct route *guest_routes;
	size_t foreign; /* of all guests */
	struct inlet *inlets; /* bounded by the streams we grant */
	struct configured *configured;
	size_t configured_count;
	bool handles_ready;
	bool stopping, closing;
	bool unfinished;     /* the cores want something more now: the next turn's */
	uint64_t turn_began; /* as far as engine_is_late knows; 0: it was not asked yet */
	uint64_t stop_due;
	unsigned handles; /* of ours, still open */
	uint8_t row[BOOK_ROW_SIZE];
};

/* What becomes of a node's id in the log. */
struct short_id {
	char text[ID_SHORT_HEX_SIZE + 1];
};

/* engine.c */

struct short_id short_id(const struct id *id);
__attribute__((format(printf, 3, 4))) void engine_log(
	struct engine *engine, enum node_log_level level, const char *format, ...);
/* Whether this failure is another one than the last; keeps it as the last. One that goes
 * on is logged once. */
bool engine_is_news(char last[FAILURE_SIZE], const char *failure);
/* The same for one node of the configuration; and what makes the next one news again. */
bool configured_is_news(struct configured *configured, const char *failure);
void configured_succeeded(struct configured *configured);
void engine_emit(struct engine *engine, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message);
void engine_count(struct engine *engine, enum counter counter);
void engine_remark_denied(struct engine *engine, const struct id *peer, const char *what);
void engine_remark_own_id(struct engine *engine, const char *where);
void engine_remark_twin(struct engine *engine, const struct id *source);
void engine_remark_crowded(struct engine *engine, const struct address *source);
/* Whether this node may be dialled; a dial that is not made is counted. */
bool engine_may_dial(struct engine *engine, const struct id *peer);
struct configured *engine_configured(struct engine *engine, const struct id *id);
/* NULL as well for one that is a bootstrap only. */
struct configured *engine_trusted(struct engine *engine, const struct id *id);
struct overlay *engine_overlay(const struct engine *engine, const struct id *topic);
/* Sends what has waited for the overlay's first neighbour. */
void engine_send_waiting(struct engine *engine, const struct id *topic);
/* A waiting message of this overlay's has given way to another overlay's. context: the engine. */
void engine_gave_way(void *context, struct waiting *waiting);
/* Carries out what the cores want until they want nothing more now, or the turn has taken its
 * time. */
void engine_pump(struct engine *engine);

/* Leaves an overlay, and forgets it. */
void engine_drop(struct engine *engine, struct overlay *overlay);
/* What is due. */
void engine_tick(struct engine *engine);
/* The end of a turn: all that came has been taken in. Returns when engine_tick is wanted next;
 * UINT64_MAX: never. */
uint64_t engine_turn(struct engine *engine);

/* clock.c, with engine_is_late */

/* Monotonic nanoseconds. */
uint64_t engine_now(const struct engine *engine);
/* Unix microseconds. */
uint64_t engine_wall(const struct engine *engine);
/* The loop's handles: from now on time passes. */
void clock_start(struct engine *engine);
/* Closes them; life_part_closed is called for each of CLOCK_HANDLES. */
#define CLOCK_HANDLES 3
void clock_stop(struct engine *engine);

/* life.c */

/* One of the handles is closed. context: the engine. */
void life_part_closed(void *context);

/* The end, once the farewells are said: sockets and handles close. */
void life_close(struct engine *engine);

/* effects.c, and explore.c and local.c for theirs: each carries out all that one core wants
 * now; whether there was anything. */

bool effects_gossip(struct engine *engine);
bool effects_links(struct engine *engine);
bool effects_dialer(struct engine *engine);
bool effects_joiner(struct engine *engine);
bool effects_explorer(struct engine *engine);
bool effects_walker(struct engine *engine);
bool effects_mdns(struct engine *engine);
/* What the book wants written down. */
void effects_rows(struct engine *engine);

/* routes.c */

extern const struct quic_callbacks route_callbacks;
extern const struct link_io route_io;
/* Whether a peer is let in, whatever the protocol. */
bool route_accept(void *context, const struct id *peer);
void route_dial(struct engine *engine, const struct id *peer, const struct address *address);
/* Whether a peer has one of the reserved places: those of the configuration have. */
bool route_keep(void *context, const struct id *peer);
/* There is no place for all connections. */
void route_crowded(void *context, const struct address *source);
/* The overlay was joined, or left: what peers have opened for it is of use, or is not. */
void routes_joined(struct engine *engine, const struct id *topic, bool joined);
/* Connections that nobody here has a use for are ended after a while. */
uint64_t routes_deadline(const struct engine *engine);
void routes_expire(struct engine *engine, uint64_t now);
/* Has failed to connect: for the log, where it is news. */
void route_note_failure(struct engine *engine, const struct id *peer, const struct address *address,
	const char *text);

/* neighbours.c */

/* peer has become a neighbour in one more overlay, or is no longer one in topic's. */
void neighbours_up(struct engine *engine, const struct id *peer);
void neighbours_down(struct engine *engine, const struct id *topic, const struct id *peer);
/* The overlay is about to be left. */
void neighbours_left(struct engine *engine, const struct id *topic);
/* A configured node has let us in. */
void neighbours_reached(
	struct engine *engine, const struct id *peer, const struct address *address);
/* peer has opened a stream for this overlay, joined or not. */
void neighbours_named(struct engine *engine, const struct id *peer, const struct id *topic);
/* Somebody who dialled us was refused before anything is known of who it is. */
void neighbours_stranger(struct engine *engine, const struct address *address, const char *why);
void neighbours_free(struct engine *engine);

/* nodes.c */

/* The overlay was just joined: all who are known to share it are wanted. */
void nodes_join(struct engine *engine, struct overlay *overlay);
/* node has shown that it has this topic, or that it has it no longer. */
void nodes_shared(
	struct engine *engine, const struct id *node, const struct id *topic, bool shared);
/* node has opened a stream for this overlay. */
void nodes_named(struct engine *engine, const struct id *node, const struct id *topic);
/* A link to node has come about. */
void nodes_linked(struct engine *engine, const struct id *node);
/* A connection with node has come about, whatever for and whoever has dialled. */
void nodes_reached(struct engine *engine, const struct id *node);
/* An overlay that uses the link to node has lost it, or it could not be dialled. */
void nodes_lost(struct engine *engine, const struct id *node);
/* The overlay has more neighbours than before, or fewer. */
void nodes_counted(struct engine *engine, struct overlay *overlay, size_t neighbours);
/* node belongs to a part of the overlay that ours does not reach. */
void nodes_apart(struct engine *engine, const struct id *topic, const struct id *node);
/* The overlay has its first neighbour. */
void nodes_first(struct engine *engine, struct overlay *overlay);
/* Fewer neighbours than before. */
void nodes_fewer(struct engine *engine, struct overlay *overlay);
/* Ask again in every overlay, now: we can be reached elsewhere. */
void nodes_again(struct engine *engine);
/* What is due. */
void nodes_heal(struct engine *engine, uint64_t now);

/* explore.c */

extern const struct quic_callbacks explore_callbacks;
int explore_make(struct engine *engine);
void explore_free(struct engine *engine);
/* Sessions that take too long are ended, and those that were not through with what they have
 * brought or are to say go on with it, until the turn has taken its time. */
uint64_t explore_deadline(const struct engine *engine);
void explore_tick(struct engine *engine, uint64_t now);
/* Our topics or addresses have changed. */
void explore_anew(struct engine *engine);
void explore_dial(struct engine *engine, const struct id *node, const struct address *address);
/* Somebody (source) has passed on an info that claims to be node's; takes it. verifying: on this
 * source's behalf. Whether it was new and is believed. */
bool explore_info(struct engine *engine, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying);

/* twins.c: another node with our key */

/* source has told of an info of ours, not verified yet. */
void twins_heard(struct engine *engine, const struct id *source, const struct info *info);
/* It is one, verified. */
void twins_verified(struct engine *engine, const struct id *source, const struct info *info);
/* A stream of the peer's for an overlay has ended. */
void twins_stream_ended(struct engine *engine, const struct id *peer, const struct id *topic);
/* What is due. */
void twins_tick(struct engine *engine, uint64_t now);

/* local.c */

/* ERROR_NOMEM; what the network does not allow is only logged. */
int local_make(struct engine *engine, enum node_mdns mode);
void local_tell(struct engine *engine);

/* advertise.c */

/* ERROR_NOMEM, ERROR_TLS. */
int advertise_make(struct engine *engine, const struct node_config *config,
	const struct address *bound, size_t n);
/* The loop is there: follow the interfaces. */
void advertise_begin(struct engine *engine);
void advertise_resolved(struct engine *engine, const struct address *addresses,
	size_t addresses_count, const char *failure);
/* There was an info of ours with this time: ours are to be newer. */
void advertise_newer(struct engine *engine, struct info_time time);
/* Tells our addresses with another time if the clock was set. */
void advertise_clock(struct engine *engine);
void advertise_free(struct engine *engine);

#endif
