/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the mesh have in common: the cores, the time, what is told to the owner. Who
 * calls whom, downwards only:
 *
 *   mesh.c, effects.c, make.c, twins.c   entry points, the pump, what the cores want, the beginning
 *   sessions.c lan.c connections.c self.c    discovery, mDNS, gossip's streams, where we are
 *   infos.c neighbours.c           what is believed of others; who is asked to be a neighbour
 *   overlays.c unverified.c        what is joined, what waits there
 *   presence.c context.c           lines about who is there; all the rest
 */
#ifndef BRIDGE_MESH_CONTEXT_H
#define BRIDGE_MESH_CONTEXT_H

#include "../discovery/info.h"
#include "../discovery/mdns.h"
#include "../discovery/walker.h"
#include "../effort.h"
#include "../gossip/gossip.h"
#include "../keyed.h"
#include "../memory.h"
#include "../messages/signed.h"
#include "../peers/access.h"
#include "../peers/book.h"
#include "../peers/dialer.h"
#include "../peers/joiner.h"
#include "../peers/link.h"
#include "../peers/twin.h"
#include "../time.h"
#include "../waiting.h"
#include "mesh.h"

#define FAILURE_SIZE 96
#define FAILURES     4
/* Overlays that others have and we have not joined, as far as they are said. */
#define UNJOINED 32

/* One node of the configuration. */
struct configured {
	struct id id;
	bool trusted; /* peer, else bootstrap */
	bool look_up; /* its look-up is wanted */
	/* Those that were logged since it was last reached, the oldest given up: an unreachable
	 * node with several addresses or a name that is gone fails in several ways in turn. */
	char failures[FAILURES][FAILURE_SIZE];
	size_t failures_count;
	bool reached; /* that was said, and no failure since */
	bool has_hosts; /* else there is nothing to be looked up */
	struct address found[LIMIT_ADDRESSES_PER_NODE]; /* by the last look-up */
	size_t found_count;
	struct address relays[NODE_PEER_RELAYS]; /* those of the configuration */
	size_t relays_count;
};

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

/* What we tell about where we are: first what is configured, then what is bound. Others than self.c
 * only read it. */
struct self {
	bool look_up;	/* the look-up of our own names is wanted */
	bool has_names; /* what is configured are not only literal addresses */
	uint64_t due, backoff;
	char failure[FAILURE_SIZE]; /* the last one that was logged */
	struct address told[LIMIT_ADDRESSES_PER_NODE];
	size_t told_count; /* of those configured */
	struct address bound[LIMIT_ADDRESSES_PER_NODE];
	size_t bound_count;
	struct relay_url relay; /* where we are, too; an empty text: nowhere */
	struct info *infos[ORDERS]; /* the same, signed; NULL before the first */
	struct info_time time;	    /* of these */
	struct info_time newer;	    /* of one that others have of ours; 0: none is newer */
	bool is_new;		    /* others are to be told */
	bool unsaved;		    /* the time is not kept yet */
	uint8_t saved[8];	    /* as it is to be kept */
	uint64_t clock;		    /* the wall clock's lead over the monotonic one, us */
};

struct bringer;
struct companion;
struct connection;
struct discovery;
struct guest;
struct overlay;
struct stream_in;

/* Effects that are not taken yet: a ring. */
struct effects {
	struct mesh_effect *ring;
	size_t first, count, room;
	void *packet; /* of the one that was taken last; freed with the next call */
};

struct mesh {
	uint64_t now, wall; /* of this entry */
	struct mesh_port port;
	const struct identity *identity;
	struct id me;
	struct random random;
	struct keyed keyed;
	struct counters *counters;
	struct effects effects;
	struct mesh_figures figures;

	struct gossip *gossip;
	struct links *links;
	struct dial_budget budget;
	struct dialer *dialer;	 /* of links */
	struct dialer *explorer; /* of discovery sessions */
	struct joiner *joiner;
	struct book *book;
	struct walker *walker;
	struct access *access;
	struct mdns *mdns; /* NULL: off */
	struct effort effort;

	struct configured *configured;
	size_t configured_count;
	bool look_ups; /* some are wanted */
	struct self self;

	struct overlay *overlays;
	struct waiting_room room, paced;
	unsigned signed_rate; /* per second; 0: as they come */
	struct signed_clock clock;
	struct allowance sampled, verified; /* signatures of messages */
	struct bringer *bringers;	    /* whose messages wait for that (unverified.c) */
	size_t unverified_count;
	struct quota slow; /* lines about overlays that are too fast */
	struct node_event dropped; /* not told yet; count 0: nothing */
	size_t lacking; /* overlays with fewer neighbours than they have places for */
	uint64_t waiting_due, pace_due, heal_due;
	/* When nodes that could not be reached are tried again. */
	uint64_t away_due, away_backoff;

	struct connection *dials;
	struct connection *strangers; /* in the order of their ends */
	struct guest *guests;
	struct connection *guest_connections;
	size_t foreign; /* streams of overlays that are not joined, of all guests */
	struct stream_in *streams_in; /* bounded by the streams we grant */

	struct discovery *discoveries;
	size_t discoveries_dialled, discoveries_accepted;
	uint64_t lan_second; /* the one of lan */
	struct verifying lan;

	struct remark denied, own_id, crowded, twin_said;
	struct twin twin; /* another node with our key */
	struct companion *companions;
	struct quota comings, alone, foreigners;
	struct unjoined unjoined[UNJOINED];
	size_t unjoined_count;

	bool stopping, over;
	bool unfinished; /* something was put off: the next entry is due at once */
	uint64_t stop_due;
};

/* What becomes of a node's id in the log. */
struct short_id {
	char text[ID_SHORT_HEX_SIZE + 1];
};
struct short_id short_id(const struct id *id);

/* What is for the owner. An event takes what it is given; without memory it is lost, and counted
 * if it was a message. */
void mesh_emit(struct mesh *mesh, const struct node_event *event);
void mesh_tell(struct mesh *mesh, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message);
void mesh_send_packet(struct mesh *mesh, const uint8_t *packet, size_t size);
void mesh_count(struct mesh *mesh, enum counter counter);
void effects_free(struct mesh *mesh);

/* Whether this failure is another one than the last; keeps it as the last. One that goes
 * on is logged once. */
bool mesh_is_news(char last[FAILURE_SIZE], const char *failure);
/* Lines that others can bring about, each at most once in ten seconds. */
void mesh_remark_denied(struct mesh *mesh, const struct id *peer, const char *what);
void mesh_remark_own_id(struct mesh *mesh, const char *where);
void mesh_remark_crowded(struct mesh *mesh, const struct address *source);
/* The same, but once in ten minutes: it goes on until somebody does something about it. */
void mesh_remark_twin(struct mesh *mesh, const struct id *source);

/* Whether one more line of this kind (about these) may be said now. */
bool mesh_may_say(struct mesh *mesh, struct quota *quota, const char *about);

/* Whether this node may be dialled; a dial that is not made is counted. */
bool mesh_may_dial(struct mesh *mesh, const struct id *peer);
struct configured *mesh_configured(const struct mesh *mesh, const struct id *id);
/* NULL as well for one that is a bootstrap only. */
struct configured *mesh_trusted(const struct mesh *mesh, const struct id *id);
/* Wants to know where a node is now; nothing if it is none of the configuration. */
void mesh_look_up(struct mesh *mesh, const struct id *node);
/* Whether what can wait is to be left for the next entry. */
bool mesh_is_late(const struct mesh *mesh);

#endif
