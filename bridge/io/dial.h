/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A TCP connection to a host by its name: the name is looked up, its addresses are tried as "happy
 * eyeballs" does (RFC 8305): IPv6 and IPv4 by turns, the next one 250 ms after the one before or as
 * soon as that has failed, the first that answers wins. Nothing blocks. The loop's thread.
 * The limits are iroh's: iroh-relay 1.4.1 src/defaults.rs.
 */
#ifndef BRIDGE_IO_DIAL_H
#define BRIDGE_IO_DIAL_H

#include <uv.h>

#include "names.h"
#include "trouble.h"

#define DIAL_NAME_MS	3000 /* for the name */
#define DIAL_ADDRESS_MS 1500 /* for one address */
#define DIAL_NEXT_MS	250

struct dial;

struct dial_callbacks {
	/* Called once, from the loop: tcp is connected and the caller's, and so is its memory (of
	 * memory.h); NULL: trouble says why. */
	void (*done)(void *context, uv_tcp_t *tcp, const struct trouble *trouble);
	/* Called after done or dial_cancel: all handles of the dial are closed, and it is freed. */
	void (*gone)(void *context);
};

/* Begins to connect to a host. host: a name or an IP address. public_only: connects only to
 * addresses of the public Internet, because not everybody's word is enough to make us connect to
 * our neighbours. ERROR_NOMEM. */
int dial_start(uv_loop_t *loop, struct names *names, const char *host, uint16_t port,
	bool public_only, const struct dial_callbacks *callbacks, void *context, struct dial **out);
/* Ends the dial: done is not called any more, gone is. */
void dial_cancel(struct dial *dial);
/* Returns what the dial does now, in words: "looking up its name". */
const char *dial_doing(const struct dial *dial);

/* Tells whether an address is one of the public Internet's. */
bool dial_is_public(const struct address *address);

#endif
