/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The dialler: when which node is dialled, and at which of its addresses.
 *
 * A wanted node is dialled at its first address; if that has not answered after
 * 250 ms the next one is tried beside it (RFC 8305's idea), the first handshake to
 * complete wins. Its relay is dialled at once beside the first address. While there is nothing but a
 * link by way of a relay its addresses are tried again after 1, 5 and 30 s, then every 60 s, however
 * it has come about. When all have failed and the node is still wanted for good it is
 * tried again with a jittered backoff (0.25 s doubling to 4 s); one that is wanted
 * once only is given up. At most DIALER_BUDGET dials begin per second, and at most
 * LIMIT_UNPROVEN_DIALS of all diallers together at addresses that neither are configured nor
 * have worked yet, so that forged hearsay cannot make us flood third parties. Who has to wait
 * for that goes first in the next second. Nor can it make all nodes of a network go to one: after
 * LIMIT_UNPROVEN_DIALS_PER_HOST dials at a host (an IPv6 /64) of which nothing has come the next
 * ones wait, twice as long each time, up to a minute, whatever the ports and the nodes are; an
 * address that long to wait for counts as one that has failed.
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

/* Of a host, which may be anybody's: dials without success, and when the next one may be. */
struct dial_host {
	struct address host;
	unsigned dials; /* 0: nothing is known of it */
	uint64_t last, due;
};

/* Two minutes' worth of dials: no host is forgotten before its time. */
#define DIAL_HOSTS (120 * LIMIT_UNPROVEN_DIALS)

/* Dials at unproven addresses, shared by all diallers of a node; zeros at first. */
struct dial_budget {
	uint64_t second; /* when the one began in which 'spent' dials have begun */
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

/* All but out must outlive the dialler. Counts LIMIT_UNPROVEN: a dial that is put off, once
 * however long it has to wait. ERROR_NOMEM. */
int dialer_new(const struct random *random, const struct book *book, struct dial_budget *budget,
	struct counters *counters, struct dialer **out);
void dialer_free(struct dialer *dialer);

/* Wants a link. keep: for good, until dialer_unwant; else one round of its addresses.
 * Fine to repeat; keep is remembered. ERROR_NOMEM, ERROR_LIMIT. */
int dialer_want(struct dialer *dialer, uint64_t now, const struct id *node, bool keep);
void dialer_unwant(struct dialer *dialer, const struct id *node);

/* One dial has not come about. */
void dialer_failed(
	struct dialer *dialer, uint64_t now, const struct id *node, const struct address *address);
/* A dial at this address has come about: there is somebody. */
void dialer_worked(struct dialer *dialer, const struct address *address);
/* There is a link now (whoever dialled): nothing more to do until it is gone. */
void dialer_linked(struct dialer *dialer, const struct id *node);
/* There is one by way of a relay, and no other. at_once: its addresses are tried now as well. Fine
 * to repeat. Without memory there is no better one. */
void dialer_relayed(struct dialer *dialer, uint64_t now, const struct id *node, bool at_once);
/* The last connection is gone; dialled again if wanted for good: at once, or after the
 * backoff if the dial is less than a second ago. */
void dialer_unlinked(struct dialer *dialer, uint64_t now, const struct id *node);
/* The book has been told addresses of a wanted node: if one of them is new it does not wait
 * for the backoff. */
void dialer_addresses(struct dialer *dialer, uint64_t now, const struct id *node);

/* There is a way now where there may have been none: who waits for the backoff is tried at once. */
void dialer_again(struct dialer *dialer, uint64_t now);

/* When dialer_effect has something; UINT64_MAX for never. */
uint64_t dialer_deadline(const struct dialer *dialer);
/* The next effect that is due; false when there is none. */
bool dialer_effect(struct dialer *dialer, uint64_t now, struct dialer_effect *out);

#endif
