/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "endpoint.h"

#include <string.h>

#include "../bytes/cbor.h"
#include "../bytes/postcard.h"
#include "../error.h"

/* iroh-base keeps up to 30 bytes in place; the derived order of its type shows that. */
#define CUSTOM_INLINE 30

static int compare_bytes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	size_t common = a_size < b_size ? a_size : b_size;
	int order = common ? memcmp(a, b, common) : 0;

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

/* Compares two custom transports in the order of CustomAddrBytes: the short ones first, by size,
 * then the long ones. */
static int compare_custom(const struct transport *a, const struct transport *b)
{
	if (a->custom != b->custom)
		return a->custom < b->custom ? -1 : 1;
	if (a->size != b->size && (a->size <= CUSTOM_INLINE || b->size <= CUSTOM_INLINE))
		return a->size < b->size ? -1 : 1;
	return compare_bytes(a->data, a->size, b->data, b->size);
}

static int compare(const struct transport *a, const struct transport *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case TRANSPORT_RELAY:
		return compare_bytes(a->data, a->size, b->data, b->size);
	case TRANSPORT_IP:
		return address_compare(&a->address, &b->address);
	case TRANSPORT_CUSTOM:
		return compare_custom(a, b);
	case TRANSPORT_CUSTOM_OLD:
		break;
	}
	/* Transports of type CUSTOM_OLD stay in the order in which they came. */
	return 1;
}

bool endpoint_add(struct endpoint *endpoint, const struct transport *transport)
{
	size_t place = endpoint->count;
	int order = 1;

	while (place > 0 && (order = compare(transport, &endpoint->transports[place - 1])) < 0)
		place--;
	if (place > 0 && order == 0)
		return true;
	if (endpoint->count == ENDPOINT_TRANSPORTS)
		return false;
	memmove(&endpoint->transports[place + 1], &endpoint->transports[place],
		(endpoint->count - place) * sizeof *transport);
	endpoint->transports[place] = *transport;
	endpoint->count++;
	return true;
}

/* Makes the reader fail if a key of a struct comes twice, which serde refuses; serde ignores keys
 * that it does not know. */
static void first_time(struct reader *reader, bool *seen)
{
	if (*seen)
		reader_fail(reader, ERROR_INVALID);
	*seen = true;
}

/* Reads the only key of a map, by which serde encodes the variant of an enum. */
static const char *read_variant(struct reader *reader, size_t *size)
{
	if (cbor_read_map(reader) != 1)
		reader_fail(reader, ERROR_INVALID);
	return cbor_read_text(reader, size);
}

static uint16_t read_port(struct reader *reader)
{
	uint64_t port = cbor_read_uint(reader);

	if (port > UINT16_MAX)
		reader_fail(reader, ERROR_INVALID);
	return (uint16_t)port;
}

/* Reads an IP address with its port: {"V4": [[127, 0, 0, 1], 4242]} */
static void read_ip_cbor(struct reader *reader, struct address *address)
{
	size_t size;
	const char *variant = read_variant(reader, &size);

	*address = (struct address){.family = 4};
	if (cbor_is_name(variant, size, "V6"))
		address->family = 6;
	else if (!cbor_is_name(variant, size, "V4"))
		reader_fail(reader, ERROR_INVALID);
	if (cbor_read_array(reader) != 2)
		reader_fail(reader, ERROR_INVALID);
	cbor_read_octets(reader, address->ip, address->family == 6 ? 16 : 4);
	address->port = read_port(reader);
}

/* Reads the data of a custom transport: bytes; in iroh before 1.1 {"Inline": {"size": 1, "data":
 * [...]}} or {"Heap": [...]}. */
static void read_custom_data(struct reader *reader, struct transport *transport)
{
	size_t size;
	const uint8_t *item = cbor_read_item(reader, &size);
	struct reader data;

	if (!item)
		return;
	reader_init(&data, item, size);
	transport->data = cbor_read_bytes(&data, &transport->size);
	if (data.error)
		transport->type = TRANSPORT_CUSTOM_OLD;
}

/* Reads a custom transport: {"id": 1, "data": ...} */
static void read_custom_cbor(struct reader *reader, struct transport *transport)
{
	const uint8_t *start = reader->at;
	uint64_t pairs = cbor_read_map(reader);
	size_t size;
	bool has_id = false, has_data = false;

	transport->type = TRANSPORT_CUSTOM;
	for (uint64_t i = 0; i < pairs && !reader->error; i++) {
		const char *key = cbor_read_text(reader, &size);

		if (cbor_is_name(key, size, "id")) {
			first_time(reader, &has_id);
			transport->custom = cbor_read_uint(reader);
		} else if (cbor_is_name(key, size, "data")) {
			first_time(reader, &has_data);
			read_custom_data(reader, transport);
		} else {
			cbor_read_item(reader, &size);
		}
	}
	if (!has_id || !has_data)
		reader_fail(reader, ERROR_INVALID);
	if (transport->type == TRANSPORT_CUSTOM_OLD) {
		transport->data = start;
		transport->size = (size_t)(reader->at - start);
	}
}

static void read_transport_cbor(struct reader *reader, struct transport *transport)
{
	size_t size;
	const char *variant = read_variant(reader, &size);

	*transport = (struct transport){0};
	if (cbor_is_name(variant, size, "Relay")) {
		transport->type = TRANSPORT_RELAY;
		transport->data = (const uint8_t *)cbor_read_text(reader, &transport->size);
	} else if (cbor_is_name(variant, size, "Ip")) {
		transport->type = TRANSPORT_IP;
		read_ip_cbor(reader, &transport->address);
	} else if (cbor_is_name(variant, size, "Custom")) {
		read_custom_cbor(reader, transport);
	} else {
		reader_fail(reader, ERROR_INVALID);
	}
}

static void add(struct reader *reader, struct endpoint *endpoint, const struct transport *transport)
{
	if (!reader->error && !endpoint_add(endpoint, transport))
		reader_fail(reader, ERROR_TOO_LARGE);
}

void endpoint_read_cbor(struct reader *reader, struct endpoint *endpoint)
{
	bool has_id = false, has_addrs = false;
	struct transport transport;
	uint64_t pairs, count;
	size_t size;
	const char *variant = read_variant(reader, &size);

	endpoint->count = 0;
	if (!cbor_is_name(variant, size, "Iroh"))
		reader_fail(reader, ERROR_INVALID);
	pairs = cbor_read_map(reader);
	for (uint64_t i = 0; i < pairs && !reader->error; i++) {
		const char *key = cbor_read_text(reader, &size);

		if (cbor_is_name(key, size, "id")) {
			first_time(reader, &has_id);
			cbor_read_octets(reader, endpoint->id.bytes, ID_SIZE);
		} else if (cbor_is_name(key, size, "addrs")) {
			first_time(reader, &has_addrs);
			count = cbor_read_array(reader);
			for (uint64_t j = 0; j < count && !reader->error; j++) {
				read_transport_cbor(reader, &transport);
				add(reader, endpoint, &transport);
			}
		} else {
			cbor_read_item(reader, &size);
		}
	}
	if (!has_id || !has_addrs)
		reader_fail(reader, ERROR_INVALID);
}

static void read_transport_postcard(struct reader *reader, struct transport *transport)
{
	uint32_t type = postcard_read_u32(reader), family;

	*transport = (struct transport){.type = type};
	switch (type) {
	case TRANSPORT_RELAY:
		transport->data = postcard_read_bytes(reader, &transport->size);
		break;
	case TRANSPORT_IP:
		family = postcard_read_u32(reader);
		if (family > 1)
			reader_fail(reader, ERROR_INVALID);
		transport->address.family = family ? 6 : 4;
		reader_copy(reader, transport->address.ip, family ? 16 : 4);
		transport->address.port = postcard_read_u16(reader);
		break;
	case TRANSPORT_CUSTOM:
		transport->custom = postcard_read_u64(reader);
		transport->data = postcard_read_bytes(reader, &transport->size);
		break;
	default:
		reader_fail(reader, ERROR_INVALID);
	}
}

void endpoint_read_postcard(struct reader *reader, struct endpoint *endpoint)
{
	struct transport transport;
	uint64_t count;

	endpoint->count = 0;
	if (postcard_read_u32(reader) != 0) /* TransportAddress has one variant */
		reader_fail(reader, ERROR_INVALID);
	reader_copy(reader, endpoint->id.bytes, ID_SIZE);
	count = postcard_read_u64(reader);
	for (uint64_t i = 0; i < count && !reader->error; i++) {
		read_transport_postcard(reader, &transport);
		add(reader, endpoint, &transport);
	}
}

static void write_transport_cbor(const struct transport *transport, struct writer *writer)
{
	cbor_write_map(writer, 1);
	switch (transport->type) {
	case TRANSPORT_RELAY:
		cbor_write_name(writer, "Relay");
		cbor_write_text(writer, transport->data, transport->size);
		break;
	case TRANSPORT_IP:
		cbor_write_name(writer, "Ip");
		cbor_write_map(writer, 1);
		if (transport->address.family == 6)
			cbor_write_name(writer, "V6");
		else
			cbor_write_name(writer, "V4");
		cbor_write_array(writer, 2);
		cbor_write_octets(
			writer, transport->address.ip, transport->address.family == 6 ? 16 : 4);
		cbor_write_uint(writer, transport->address.port);
		break;
	case TRANSPORT_CUSTOM:
		cbor_write_name(writer, "Custom");
		cbor_write_map(writer, 2);
		cbor_write_name(writer, "id");
		cbor_write_uint(writer, transport->custom);
		cbor_write_name(writer, "data");
		cbor_write_bytes(writer, transport->data, transport->size);
		break;
	case TRANSPORT_CUSTOM_OLD:
		cbor_write_name(writer, "Custom");
		writer_bytes(writer, transport->data, transport->size);
		break;
	}
}

void endpoint_write_cbor(const struct endpoint *endpoint, struct writer *writer)
{
	cbor_write_map(writer, 1);
	cbor_write_name(writer, "Iroh");
	cbor_write_map(writer, 2);
	cbor_write_name(writer, "id");
	cbor_write_octets(writer, endpoint->id.bytes, ID_SIZE);
	cbor_write_name(writer, "addrs");
	cbor_write_array(writer, endpoint->count);
	for (size_t i = 0; i < endpoint->count; i++)
		write_transport_cbor(&endpoint->transports[i], writer);
}

static void write_transport_postcard(const struct transport *transport, struct writer *writer)
{
	bool is_v6 = transport->address.family == 6;

	postcard_write_varint(writer, transport->type);
	switch (transport->type) {
	case TRANSPORT_RELAY:
		postcard_write_bytes(writer, transport->data, transport->size);
		break;
	case TRANSPORT_IP:
		postcard_write_varint(writer, is_v6);
		writer_bytes(writer, transport->address.ip, is_v6 ? 16 : 4);
		postcard_write_varint(writer, transport->address.port);
		break;
	case TRANSPORT_CUSTOM:
		postcard_write_varint(writer, transport->custom);
		postcard_write_bytes(writer, transport->data, transport->size);
		break;
	case TRANSPORT_CUSTOM_OLD:
		break;
	}
}

void endpoint_write_postcard(const struct endpoint *endpoint, struct writer *writer)
{
	size_t count = endpoint->count;

	while (count > 0 && endpoint->transports[count - 1].type == TRANSPORT_CUSTOM_OLD)
		count--; /* these are sorted last */
	postcard_write_varint(writer, 0);
	writer_bytes(writer, endpoint->id.bytes, ID_SIZE);
	postcard_write_varint(writer, count);
	for (size_t i = 0; i < count; i++)
		write_transport_postcard(&endpoint->transports[i], writer);
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_label(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || is_digit(byte) || byte == '-';
}

/* Takes a number below limit, without leading zeros; returns false if there is none. */
static bool take_number(struct reader *url, unsigned limit, unsigned *out)
{
	const uint8_t *start = url->at;
	unsigned value = 0;

	while (reader_left(url) > 0 && is_digit(*url->at) && value < limit)
		value = 10 * value + (*url->at++ - '0');
	*out = value;
	return url->at > start && value < limit && (*start != '0' || url->at == start + 1);
}

static bool take(struct reader *url, const char *text)
{
	size_t size = strlen(text);

	if (reader_left(url) < size || memcmp(url->at, text, size) != 0)
		return false;
	url->at += size;
	return true;
}

static bool take_ipv4(struct reader *url)
{
	unsigned number;

	for (unsigned i = 0; i < 4; i++) {
		if ((i > 0 && !take(url, ".")) || !take_number(url, 256, &number))
			return false;
	}
	return true;
}

/* Takes a host name: labels of letters, digits and hyphens, none of them IDNA. The last label
 * decides whether the URL standard takes the whole host for a number, so it must not begin with a
 * digit. */
static bool take_name(struct reader *url)
{
	bool is_name = false;

	do {
		const uint8_t *label = url->at;

		if (take(url, "xn--"))
			return false;
		while (reader_left(url) > 0 && is_label(*url->at))
			url->at++;
		if (url->at == label)
			return is_name; /* the dot at the end of an absolute name */
		is_name = !is_digit(*label);
	} while (take(url, "."));
	return is_name;
}

bool endpoint_relay_is_plain(const uint8_t *data, size_t size)
{
	struct reader url;
	unsigned own_port, port;

	reader_init(&url, data, size);
	if (take(&url, "https://"))
		own_port = 443;
	else if (take(&url, "http://"))
		own_port = 80;
	else
		return false;
	if (reader_left(&url) == 0 || !(is_digit(*url.at) ? take_ipv4(&url) : take_name(&url)))
		return false;
	if (take(&url, ":") && (!take_number(&url, 65536, &port) || port == own_port))
		return false;
	if (!take(&url, "/"))
		return false;
	/* No dots: "." and ".." would be resolved. */
	while (reader_left(&url) > 0 && (is_label(*url.at) || *url.at == '/' || *url.at == '_' ||
						(*url.at >= 'A' && *url.at <= 'Z')))
		url.at++;
	return reader_left(&url) == 0;
}
