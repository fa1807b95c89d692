/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a node can be reached, as a plain value: an IP address with a UDP port, or a relay that it
 * is connected to. What peer data and the address book hold. No sockets here. Any thread.
 */
#ifndef BRIDGE_ADDRESS_H
#define BRIDGE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_SIZE 56 /* "[v6]:port" and the closing zero */

/* The family of a relay: ip has the first bytes of its URL's hash (relay_url.h), port is 0. Sorts
 * before IP addresses, as in iroh's TransportAddr. */
#define ADDRESS_RELAY 1

struct address {
	uint8_t family; /* 4, 6 or ADDRESS_RELAY; 0: none */
	uint8_t ip[16]; /* network order; IPv4 in the first four, the rest zero */
	uint16_t port;	/* host order */
};

static inline bool address_is_relay(const struct address *address)
{
	return address->family == ADDRESS_RELAY;
}

/* "127.0.0.1:4242" or "[::1]:4242". Returns 0 or ERROR_INVALID (a name, no port,
 * port 0 to be bound is fine, port above 65535 is not). */
int address_parse(const char *text, struct address *out);

/* The address of a host that is a literal one, IPv6 without brackets (its zone is left out); false:
 * it is a name. */
bool address_literal(const char *host, uint16_t port, struct address *out);

/* Writes at most ADDRESS_TEXT_SIZE bytes with a closing zero; returns text. Of a relay it does not
 * say which. */
char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

/* The order of Rust's SocketAddr, which peer data's sorted set has: all of IPv4
 * first, then by address, then by port. */
int address_compare(const struct address *a, const struct address *b);

/* Whether somebody else's word is enough to dial it: not unspecified, multicast,
 * broadcast or port 0; no relay. Loopback counts as usable here: the caller knows whence
 * the word came (see address_is_loopback). */
bool address_is_dialable(const struct address *address);
bool address_is_loopback(const struct address *address);

/* From where an address can be reached, the widest first. Who is in one of these places can be
 * believed to know addresses of it and of the wider ones: in another private network 10.0.0.1 is
 * somebody else. */
enum address_scope {
	ADDRESS_GLOBAL,
	ADDRESS_PRIVATE, /* RFC 1918, fc00::/7, link-local */
	ADDRESS_LOOPBACK,
};
enum address_scope address_scope(const struct address *address);
/* The host that an address belongs to, without a port: in IPv6 a whole /64 is one host's. */
struct address address_host(const struct address *address);

#endif
