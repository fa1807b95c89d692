/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "sockaddr.h"

#include <netinet/in.h>
#include <string.h>

socklen_t sockaddr_from(const struct address *address, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (address->family == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(address->port);
		memcpy(&v4->sin_addr, address->ip, 4);
		return sizeof *v4;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(address->port);
	memcpy(&v6->sin6_addr, address->ip, 16);
	return sizeof *v6;
}

struct address sockaddr_address(const struct sockaddr *from)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
	struct address address = {0};

	if (from->sa_family == AF_INET) {
		address.family = 4;
		address.port = ntohs(v4->sin_port);
		memcpy(address.ip, &v4->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		address.family = 6;
		address.port = ntohs(v6->sin6_port);
		memcpy(address.ip, &v6->sin6_addr, 16);
	}
	return address;
}
