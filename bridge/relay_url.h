/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The URL of an iroh relay, as a plain value. The text is spelled as Rust's url crate (WHATWG's URL
 * standard) spells URLs, because nodes compare and sign that text: lower-case host, no default
 * port, a path of at least "/". Any thread.
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

/* Reads the URL of a relay, http or https. Refuses a user name, a query and a fragment (a relay has
 * no use for them, and iroh's client leaves the query out), blanks, controls and a host name that
 * is not ASCII: the punycode form of such a name ("xn--...") is accepted, and not checked. out is
 * untouched on an error. ERROR_INVALID, ERROR_TOO_LARGE. */
int relay_url_parse(const char *text, size_t size, struct relay_url *out);

/* Returns the address that stands for the relay in lists of addresses: family ADDRESS_RELAY, the
 * first 16 bytes of BLAKE3(text), port 0. */
struct address relay_url_address(const struct relay_url *url);

/* Tells whether we may connect to a relay on the word of another node: its URL is https, and its
 * host is neither an IP literal, nor a name of this machine (localhost and below, localdomain), nor
 * a name without a dot, which the resolver may complete by a domain of its own. Whether the name
 * leads to a public address has to be checked when the name is looked up. */
bool relay_url_is_public(const struct relay_url *url);

#endif
