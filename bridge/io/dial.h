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
	/* Once, from the loop: tcp is connected and the caller's, its memory of memory.h too; NULL:
	 * trouble says why. */
	void (*done)(void *context, uv_tcp_t *tcp, const struct trouble *trouble);
	/* After done or dial_cancel: all its handles are closed, it is freed. */
	void (*gone)(void *context);
};

/* host: a name or an IP address. public_only: connects only to what is reached from everywhere, for
 * not everybody's word is enough to connect to our neighbours. ERROR_NOMEM. */
int dial_start(uv_loop_t *loop, struct names *names, const char *host, uint16_t port,
	bool public_only, const struct dial_callbacks *callbacks, void *context, struct dial **out);
/* There will be no done. */
void dial_cancel(struct dial *dial);
/* What it does now, in words: "looking up its name". */
const char *dial_doing(const struct dial *dial);

/* Whether an address is one of the public Internet's. */
bool dial_is_public(const struct address *address);

#endif
