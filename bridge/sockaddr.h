/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses as the system's calls take and give them. Any thread. */
#ifndef BRIDGE_SOCKADDR_H
#define BRIDGE_SOCKADDR_H

#include <sys/socket.h>

#include "address.h"

/* Converts an IPv4 or IPv6 address to what calls of the system take, and returns its size; the rest
 * of out is zero. */
socklen_t sockaddr_from(const struct address *address, struct sockaddr_storage *out);
/* Converts it back; a scope id is not kept. The result's family is 0 where from has another one. */
struct address sockaddr_address(const struct sockaddr *from);

#endif
