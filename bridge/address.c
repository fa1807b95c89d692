/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

static int parse_port(const char *text, uint16_t *port)
{
	uint32_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && value <= UINT16_MAX; at++)
		value = value * 10 + (uint32_t)(*at - '0');
	if (at == text || *at || value > UINT16_MAX)
		return ERROR_INVALID;
	*port = (uint16_t)value;
	return ERROR_NONE;
}

int address_parse(const char *text, struct address *out)
{
	struct address address = {.family = text[0] == '[' ? 6 : 4};
	const char *ip = address.family == 6 ? text + 1 : text;
	const char *end = strchr(text, address.family == 6 ? ']' : ':');
	char buffer[INET6_ADDRSTRLEN];
	size_t size = end ? (size_t)(end - ip) : sizeof buffer;

	if (size >= sizeof buffer)
		return ERROR_INVALID;
	memcpy(buffer, ip, size);
	buffer[size] = '\0';
	if (address.family == 6 && *++end != ':')
		return ERROR_INVALID;
	if (inet_pton(address.family == 6 ? AF_INET6 : AF_INET, buffer, address.ip) != 1)
		return ERROR_INVALID;
	if (parse_port(end + 1, &address.port))
		return ERROR_INVALID;
	*out = address;
	return ERROR_NONE;
}

bool address_literal(const char *host, uint16_t port, struct address *out)
{
	char text[INET6_ADDRSTRLEN];
	size_t size = strcspn(host, "%");

	*out = (struct address){.port = port};
	if (size >= sizeof text)
		return false;
	memcpy(text, host, size);
	text[size] = '\0';
	if (inet_pton(AF_INET, host, out->ip) == 1)
		out->family = 4;
	else if (inet_pton(AF_INET6, text, out->ip) == 1)
		out->family = 6;
	return out->family != 0;
}

char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
	bool v6 = address->family == 6;
	char ip[INET6_ADDRSTRLEN];

	if (address_is_relay(address)) {
		snprintf(text, ADDRESS_TEXT_SIZE, "a relay");
		return text;
	}
	inet_ntop(v6 ? AF_INET6 : AF_INET, address->ip, ip, sizeof ip);
	snprintf(text, ADDRESS_TEXT_SIZE, v6 ? "[%s]:%u" : "%s:%u", ip, address->port);
	return text;
}

int address_compare(const struct address *a, const struct address *b)
{
	int order = memcmp(a->ip, b->ip, sizeof a->ip);

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (order)
		return order;
	return (a->port > b->port) - (a->port < b->port);
}

/* Returns the IPv4 address inside an IPv4-mapped IPv6 address (::ffff:a.b.c.d), or the IPv4 address
 * itself; NULL for any other address. A mapped address is dialled as IPv4, so it is judged as
 * IPv4. */
static const uint8_t *as_v4(const struct address *address)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (address->family == 4)
		return address->ip;
	if (address->family != 6)
		return NULL;
	if (memcmp(address->ip, mapped, sizeof mapped) == 0)
		return address->ip + sizeof mapped;
	return NULL;
}

bool address_is_dialable(const struct address *address)
{
	static const uint8_t unspecified[16];
	const uint8_t *v4 = as_v4(address);

	if (address->port == 0)
		return false;
	/* 0.0.0.0/8 means "this network"; from 224.0.0.0 on multicast, reserved and
	 * broadcast (RFC 6890). */
	if (v4)
		return v4[0] != 0 && v4[0] < 224;
	return address->family == 6 && address->ip[0] != 0xff &&
	       memcmp(address->ip, unspecified, sizeof unspecified) != 0;
}

bool address_is_loopback(const struct address *address)
{
	static const uint8_t loopback[16] = {[15] = 1};
	const uint8_t *v4 = as_v4(address);

	if (address_is_relay(address))
		return false;
	return v4 ? v4[0] == 127 : memcmp(address->ip, loopback, sizeof loopback) == 0;
}

enum address_scope address_scope(const struct address *address)
{
	const uint8_t *v4 = as_v4(address), *ip = address->ip;

	if (address_is_relay(address))
		return ADDRESS_GLOBAL;
	if (address_is_loopback(address))
		return ADDRESS_LOOPBACK;
	if (v4 ? v4[0] == 10 || (v4[0] == 172 && v4[1] >> 4 == 1) ||
			 (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254)
	       : (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && ip[1] >> 6 == 2))
		return ADDRESS_PRIVATE;
	return ADDRESS_GLOBAL;
}

struct address address_host(const struct address *address)
{
	struct address host = *address;

	host.port = 0;
	if (address->family == 6 && !as_v4(address))
		memset(host.ip + 8, 0, 8);
	return host;
}
