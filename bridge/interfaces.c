/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "interfaces.h"

#include <netinet/in.h>
#include <string.h>
#include <uv.h>

static bool is_wildcard(const struct address *address)
{
	static const uint8_t zero[16];

	return memcmp(address->ip, zero, address->family == 4 ? 4 : 16) == 0;
}

static bool of_interface(const uv_interface_address_t *interface, struct address *out)
{
	const struct sockaddr_in6 *v6 = &interface->address.address6;

	memset(out, 0, sizeof *out);
	if (interface->address.address4.sin_family == AF_INET) {
		out->family = 4;
		memcpy(out->ip, &interface->address.address4.sin_addr, 4);
		return true;
	}
	/* Link-local ones need a scope, which peer data has no place for. */
	if (v6->sin6_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
		return false;
	out->family = 6;
	memcpy(out->ip, &v6->sin6_addr, 16);
	return true;
}

static size_t insert(struct address *out, size_t count, size_t size, const struct address *address)
{
	size_t at = 0;

	while (at < count && address_compare(&out[at], address) < 0)
		at++;
	if (count == size || (at < count && address_compare(&out[at], address) == 0))
		return count;
	memmove(&out[at + 1], &out[at], (count - at) * sizeof *out);
	out[at] = *address;
	return count + 1;
}

static size_t of_all_interfaces(
	const struct address *bound, bool loopback, struct address *out, size_t count, size_t size)
{
	uv_interface_address_t *interfaces;
	struct address address;
	int interfaces_count;

	if (uv_interface_addresses(&interfaces, &interfaces_count) != 0)
		return count;
	for (int i = 0; i < interfaces_count; i++) {
		if (!of_interface(&interfaces[i], &address) || address.family != bound->family ||
			address_is_loopback(&address) != loopback)
			continue;
		address.port = bound->port;
		count = insert(out, count, size, &address);
	}
	uv_free_interface_addresses(interfaces, interfaces_count);
	return count;
}

size_t interfaces_addresses(
	const struct address *bound, size_t bound_count, struct address *out, size_t size)
{
	size_t count = 0;

	for (size_t i = 0; i < bound_count; i++)
		count = is_wildcard(&bound[i])
				? of_all_interfaces(&bound[i], false, out, count, size)
				: insert(out, count, size, &bound[i]);
	for (size_t i = 0; i < bound_count && count == 0; i++)
		count = of_all_interfaces(&bound[i], true, out, count, size);
	return count;
}
