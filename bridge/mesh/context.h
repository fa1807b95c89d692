/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the mesh have in common: the cores, the time, what is told to the owner. Who
 * calls whom, downwards only:
 *
 *   mesh.c, effects.c, make.c, twins.c   entry points, the pump, what the cores want, the beginning
 *   changes.c, pictures.c, pings.c what the owner changes, and asks about all of it
 *   sessions.c lan.c connections.c self.c    discovery, mDNS, gossip's streams, where we are
 *   infos.c neighbours.c           what is believed of others; who is asked to be a neighbour
 *   overlays.c unverified.c        what is joined, what waits there
 *   presence.c unable.c context.c  lines about who is there, and what this machine does not do; all
 *                                  the rest
 */
#ifndef BRIDGE_MESH_CONTEXT_H
#define BRIDGE_MESH_CONTEXT_H

#include "../discovery/info.h"
#include "../discovery/mdns.h"
#include "../discovery/walker.h"
#include "../effort.h"
#include "../gossip/gossip.h"
#include "../keyed_table.h"
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
#include "unable.h"

#define FAILURE_SIZE 96
#define FAILURES     4
/* Overlays that others have and we have not joined, as far as they are said. */
#define UNJOINED 32

/* One node of the configuration. */
struct configured {
	struct id id;
	bool trusted; /* peer, else bootstrap */
	bool look_up; /* its look-up is wanted */
	/* Failures that were logged since the node was last reached, the oldest given up: an
	 * unreachable node with several addresses or a name that is gone fails in several ways in
	 * turn. */
	char failures[FAILURES][FAILURE_SIZE];
	size_t failures_count;
	bool reached; /* it was logged that the node was reached, and no failure since */
	bool linked;  /* there is a connection for gossip */
	bool visited; /* discovery has reached the node, which has not failed or been lost since */
	bool here;    /* the owner was told that the node is here */
	bool has_hosts; /* else there is nothing to be looked up */
	struct address found[LIMIT_ADDRESSES_PER_NODE]; /* by the last look-up */
	size_t found_count;
	/* How many addresses its names have, too many for one round, as was logged; 0: none was. */
	size_t many;
	struct address relays[NODE_PEER_RELAYS]; /* the node's, by the configuration */
	size_t relays_count;
};

/* For whom infos are verified, and what came of verifying them. */
struct verifying {
	bool chosen; /* dialled by us, or configured: the reserve of the effort is for such */
	size_t verified, forged;
};

/* A line that is not to fill the log. */
struct remark {
	uint64_t not_before;
	uint64_t unsaid; /* such lines that were not logged since the last one */
};

/* Lines of one kind: how many were logged, and how many were not, in a time that ends at until. */
struct quota {
	uint64_t until;
	unsigned said;
	uint64_t unsaid;
};

/* How this node last failed to reach another one. */
struct report {
	struct id id;
	uint64_t wall; /* us */
	struct address address; /* family 0: none was tried */
	char text[PICTURE_TEXT_SIZE];
	UT_hash_handle hh;
};

/* An overlay that a node has named and we have not joined. */
struct unjoined {
	struct id topic, node;
	bool said;
};

/* What this node tells about where it is: first what is configured, then what is bound. Only self.c
 * writes here. */
struct self {
	bool look_up;	/* the look-up of our own names is wanted */
	bool has_names; /* what is configured are not only literal addresses */
	uint64_t due, backoff;
	char failure[FAILURE_SIZE]; /* the last one that was logged */
	size_t many; /* addresses of our names, too many to be told, as was logged */
	struct address told[LIMIT_ADDRESSES_PER_NODE]; /* by the configuration */
	size_t told_count;
	struct address bound[LIMIT_ADDRESSES_PER_NODE];
	size_t bound_count;
	struct relay_url relay; /* this node's home; an empty text: none */
	struct info *infos[ORDERS]; /* all of that, signed; NULL before the first */
	struct info_time time;	    /* of the infos */
	struct info_time newer;	    /* of an info of ours that others have; 0: none is newer */
	bool is_new;		    /* others are to be told */
	bool unsaved;		    /* the time is not kept yet */
	uint8_t saved[8];	    /* the time, as it is to be kept */
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
	void *packet; /* of the effect that was taken last; freed with the next call */
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
	bool look_ups; /* some look-ups are wanted */
	struct self self;

	struct overlay *overlays;
	struct waiting_room room, paced;
	struct kept *kept; /* what has waited since before the start, of overlays that are not joined */
	unsigned signed_rate; /* per second; 0: as they come */
	struct signed_clock clock;
	struct allowance sampled, verified; /* signatures of messages */
	struct bringer *bringers; /* neighbours whose messages wait to be verified (unverified.c) */
	size_t unverified_count;
	struct quota slow; /* lines about overlays that are too fast */
	struct node_event dropped; /* an event that is not told yet; count 0: none */
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
	uint64_t lan_second; /* the second to which lan belongs */
	struct verifying lan;

	struct remark denied, own_id, crowded, twin_said;
	struct twin twin; /* another node with our key */
	struct companion *companions;
	struct quota comings, alone, foreigners;
	struct unjoined unjoined[UNJOINED];
	size_t unjoined_count;
	struct report *reports; /* oldest first, at most LIMIT_REPORTS */
	struct overlay *by_change; /* all, the one that has changed longest ago first */
	struct ping *pings;
	size_t pings_count;
	struct unable unable;

	bool stopping, over;
	bool unfinished; /* something was put off: the next entry is due at once */
	uint64_t stop_due;
};

/* A node's id as the log shows it. */
struct short_id {
	char text[ID_SHORT_HEX_SIZE + 1];
};
struct short_id short_id(const struct id *id);

/* Hands an event to the owner, with what the event holds; without memory the event is lost, and
 * counted if it was a message. */
void mesh_emit(struct mesh *mesh, const struct node_event *event);
/* Hands an event of a type to the owner. peer, message: NULL, or what the event holds. */
void mesh_tell(struct mesh *mesh, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message);
/* Sends a packet, which is copied, to the local network. */
void mesh_send_packet(struct mesh *mesh, const uint8_t *packet, size_t size);
void mesh_count(struct mesh *mesh, enum counter counter);
void effects_free(struct mesh *mesh);

/* Tells whether this failure is another one than the last, and keeps it as the last: a failure that
 * goes on is logged once. */
bool mesh_is_news(char last[FAILURE_SIZE], const char *failure);
/* Limits the log lines that remote peers can trigger: here and in the two functions below each at
 * most once in ten seconds. */
void mesh_remark_denied(struct mesh *mesh, const struct id *peer, const char *what);
void mesh_remark_own_id(struct mesh *mesh, const char *where);
void mesh_remark_crowded(struct mesh *mesh, const struct address *source);
/* Logs that another node has this node's key, at most once in ten minutes: that goes on until
 * somebody does something about it. */
void mesh_remark_twin(struct mesh *mesh, const struct id *source);

/* Counts a change after which a picture of the nodes would be another one. */
void mesh_nodes_changed(struct mesh *mesh);
/* Returns Unix time in us of a moment of the monotonic clock; 0: unknown. */
uint64_t mesh_wall_of(const struct mesh *mesh, uint64_t ns);

/* Tells whether one more line of this kind may be logged now. about: what such lines are about, for
 * the line that says how many were not shown. */
bool mesh_may_say(struct mesh *mesh, struct quota *quota, const char *about);

/* Tells whether this node may be dialled; a dial that is not made is counted. */
bool mesh_may_dial(struct mesh *mesh, const struct id *peer);
struct configured *mesh_configured(const struct mesh *mesh, const struct id *id);
/* Returns a trusted node of the configuration; NULL also for a node that is a bootstrap only. */
struct configured *mesh_trusted(const struct mesh *mesh, const struct id *id);
/* Wants to know where a node is now; does nothing if the node is none of the configuration. */
void mesh_look_up(struct mesh *mesh, const struct id *node);
/* Tells whether what can wait is to be left for the next entry. */
bool mesh_is_late(const struct mesh *mesh);

#endif
