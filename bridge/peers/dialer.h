/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The dialler: when which node is dialled, and at which of its addresses.
 *
 * A wanted node is dialled at its first address, and at once beside it by way of its relay. If the
 * first address has not answered after 250 ms the next one is tried beside it (RFC 8305's idea);
 * the first handshake to complete wins. While the only link is by way of a relay, however that
 * link has come about, the node's addresses are tried again after 1, 5 and 30 s, then every 60 s.
 * A node whose addresses have all failed is tried again with a jittered backoff (0.25 s doubling
 * to 4 s) if it is wanted for good; a node that is wanted once only is given up.
 *
 * At most DIALER_BUDGET dials begin per second, and at most LIMIT_UNPROVEN_DIALS of all diallers
 * together at addresses that neither are configured nor have worked yet, so that forged hearsay
 * cannot make us flood third parties. A dial that has to wait for that goes first in the next
 * second. Nor can forged hearsay make all nodes of a network go to one host: after
 * LIMIT_UNPROVEN_DIALS_PER_HOST dials at a host (an IPv6 /64) without success the next dials there
 * wait, twice as long each time, up to a minute, whatever the ports and the nodes are. An address
 * that would have to wait too long counts as one that has failed.
 *
 * sans-IO; times are monotonic nanoseconds; one thread.
 */
#ifndef BRIDGE_PEERS_DIALER_H
#define BRIDGE_PEERS_DIALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../counters.h"
#include "../id.h"
#include "../limits.h"
#include "../random.h"
#include "book.h"

#define DIALER_BUDGET 64

struct dialer;

/* The dials at one host, which may be anybody's: how many were without success, and when the next
 * one may be. */
struct dial_host {
	struct address host;
	unsigned dials; /* 0: nothing is known of the host */
	uint64_t last, due;
};

/* Two minutes' worth of dials: no host is forgotten before its time. */
#define DIAL_HOSTS (120 * LIMIT_UNPROVEN_DIALS)

/* Dials at unproven addresses, shared by all diallers of a node; zeros at first. */
struct dial_budget {
	uint64_t second; /* when the second began in which 'spent' dials have begun */
	unsigned spent;
	struct dial_host hosts[DIAL_HOSTS];
};

enum dialer_effect_type {
	DIALER_DIAL,	/* dial node at address, then say dialer_failed or dialer_linked */
	DIALER_GAVE_UP, /* wanted once, and none of its addresses answered */
	DIALER_LOOK_UP, /* all have failed: look the configured names up again */
};

struct dialer_effect {
	enum dialer_effect_type type;
	struct id node;
	struct address address;
};

/* Makes a dialler; everything but out must outlive it. Counts LIMIT_UNPROVEN: a dial that is put
 * off, once however long it has to wait, or skipped. ERROR_NOMEM. */
int dialer_new(const struct random *random, const struct book *book, struct dial_budget *budget,
	struct counters *counters, struct dialer **out);
void dialer_free(struct dialer *dialer);

/* Wants a link to node. keep: for good, until dialer_unwant; else for one round of the node's
 * addresses. Fine to repeat; keep is remembered. ERROR_NOMEM, ERROR_LIMIT. */
int dialer_want(struct dialer *dialer, uint64_t now, const struct id *node, bool keep);
void dialer_unwant(struct dialer *dialer, const struct id *node);

/* Notes that one dial of node has failed. */
void dialer_failed(
	struct dialer *dialer, uint64_t now, const struct id *node, const struct address *address);
/* Notes that a dial at this address has succeeded: the host answers, so dials there need not
 * wait. */
void dialer_worked(struct dialer *dialer, const struct address *address);
/* Notes that there is a link to node now (whoever dialled): the dialler does nothing more until
 * dialer_unlinked. */
void dialer_linked(struct dialer *dialer, const struct id *node);
/* Notes that there is a link to node by way of a relay, and no other. at_once: the node's
 * addresses are tried now as well. Fine to repeat. Without memory the dialler does not look for a
 * better link. */
void dialer_relayed(struct dialer *dialer, uint64_t now, const struct id *node, bool at_once);
/* Notes that the last connection to node is gone. A node that is wanted for good is dialled again:
 * at once, or after the backoff if the dial is less than a second ago. */
void dialer_unlinked(struct dialer *dialer, uint64_t now, const struct id *node);
/* Notes that the book has been told addresses of a wanted node. If one of them is new the node
 * does not wait for the backoff. */
void dialer_addresses(struct dialer *dialer, uint64_t now, const struct id *node);

/* Returns when the next round of a waiting node's addresses begins; UINT64_MAX: a round is under
 * way, or none is planned, or the node is linked. */
uint64_t dialer_due(const struct dialer *dialer, const struct id *node);

/* Tries all nodes at once that wait for the backoff: there may be a way to them now where there
 * was none. */
void dialer_again(struct dialer *dialer, uint64_t now);

/* Returns when dialer_effect has something; UINT64_MAX: never. */
uint64_t dialer_deadline(const struct dialer *dialer);
/* Takes the next effect that is due; false: there is none. */
bool dialer_effect(struct dialer *dialer, uint64_t now, struct dialer_effect *out);

#endif
