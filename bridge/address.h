/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An address at which a node can be reached, as a plain value: an IP address with a UDP port, or a
 * relay that the node is connected to. Peer data and the address book hold such addresses. No
 * sockets here. Any thread.
 */
#ifndef BRIDGE_ADDRESS_H
#define BRIDGE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_SIZE 56 /* "[v6]:port" and the closing zero */

/* The family of a relay's address: ip has the first bytes of the hash of the relay's URL
 * (relay_url.h), port is 0. Relays sort before IP addresses, as in iroh's TransportAddr. */
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

/* Reads an address such as "127.0.0.1:4242" or "[::1]:4242". Port 0 is accepted, for binding.
 * Returns 0 or ERROR_INVALID (a host name, no port, a port above 65535). */
int address_parse(const char *text, struct address *out);

/* Reads an IP address without a port, IPv6 without brackets; an IPv6 zone ("%eth0") is left out.
 * Returns false if host is a name. */
bool address_literal(const char *host, uint16_t port, struct address *out);

/* Writes the address as text, at most ADDRESS_TEXT_SIZE bytes with a closing zero; returns text.
 * For a relay the text is "a relay", without its URL. */
char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

/* Compares two addresses in the order of Rust's SocketAddr, in which the addresses of peer data are
 * sorted: all of IPv4 first, then by address, then by port. */
int address_compare(const struct address *a, const struct address *b);

/* Tells whether an address may be dialled on the word of another node: it is not unspecified,
 * multicast, broadcast or a relay, and its port is not 0. A loopback address is dialable here: the
 * caller knows which node named the address (see address_is_loopback). */
bool address_is_dialable(const struct address *address);
bool address_is_loopback(const struct address *address);

/* From where an address can be reached, the widest range first. A node inside one of these ranges
 * can be believed to know addresses of that range and of the wider ones: in another private network
 * 10.0.0.1 is a different host. */
enum address_scope {
	ADDRESS_GLOBAL,
	ADDRESS_PRIVATE, /* RFC 1918, fc00::/7, link-local */
	ADDRESS_LOOPBACK,
};
enum address_scope address_scope(const struct address *address);
/* Returns the host that an address belongs to, without a port: in IPv6 a whole /64 counts as one
 * host. */
struct address address_host(const struct address *address);

#endif
