/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The URL of an iroh relay, as a plain value. The text is spelled as Rust's url crate (WHATWG's URL
 * standard) spells it, because nodes compare and sign that text: lower-case host, no default port,
 * a path at least "/". Any thread.
 */
#ifndef BRIDGE_RELAY_URL_H
#define BRIDGE_RELAY_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

#define RELAY_URL_SIZE	256 /* the longest text with its closing zero */
#define RELAY_HOST_SIZE 256

struct relay_url {
	char text[RELAY_URL_SIZE];
	bool tls;		    /* https */
	char host[RELAY_HOST_SIZE]; /* to be looked up: IPv6 without brackets; a trailing dot kept
				     */
	uint16_t port;
};

/* http and https only; a user name, a query and a fragment are refused (a relay has no use for
 * them, and iroh's client leaves the query out). So are blanks, controls and a host name that is
 * not ASCII: its punycode form ("xn--...") is taken, and not looked into. out is untouched on an
 * error. ERROR_INVALID, ERROR_TOO_LARGE. */
int relay_url_parse(const char *text, size_t size, struct relay_url *out);

/* What stands for the relay in lists of addresses: family ADDRESS_RELAY, the first 16 bytes of
 * BLAKE3(text), port 0. */
struct address relay_url_address(const struct relay_url *url);

/* Whether somebody else's word is enough to connect to it: https, and not an IP literal, a name of
 * this machine (localhost and below, localdomain) or one without a dot, which the resolver may
 * complete by a domain of its own. That its name leads to a public address is to be seen when it
 * is looked up. */
bool relay_url_is_public(const struct relay_url *url);

#endif
