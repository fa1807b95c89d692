/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/evp.h>

static void append(struct said *said, const void *data, size_t size)
{
	assert_true(size <= sizeof said->bytes - said->size);
	if (size)
		memcpy(said->bytes + said->size, data, size);
	said->size += size;
}

void say_frame(struct said *said, uint8_t opcode, const void *data, size_t size)
{
	uint8_t head[10] = {opcode};
	size_t length = 2;

	if (size < 126) {
		head[1] = (uint8_t)size;
	} else if (size < 65536) {
		head[1] = 126;
		length = 4;
	} else {
		head[1] = 127;
		length = 10;
	}
	for (size_t i = 2; i < length; i++)
		head[i] = (uint8_t)(size >> 8 * (length - 1 - i));
	append(said, head, length);
	append(said, data, size);
}

void say(struct said *said, uint8_t type, const void *data, size_t size)
{
	uint8_t *frame = malloc(size + 1);

	assert_non_null(frame);
	frame[0] = type;
	if (size)
		memcpy(frame + 1, data, size);
	say_frame(said, 0x82, frame, size + 1);
	free(frame);
}

void say_upgrade(struct said *said, const uint8_t *request, size_t size, const char *protocol)
{
	char text[4096], key[64], digest[EVP_MAX_MD_SIZE], accept[64];
	unsigned digest_size;
	const char *at;

	assert_true(size < sizeof text);
	memcpy(text, request, size);
	text[size] = '\0';
	at = strstr(text, "Sec-WebSocket-Key: ");
	assert_non_null(at);
	snprintf(key, sizeof key, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", at + 19);
	assert_int_equal(EVP_Digest(key, strlen(key), (unsigned char *)digest, &digest_size,
				 EVP_sha1(), NULL),
		1);
	EVP_EncodeBlock((unsigned char *)accept, (unsigned char *)digest, (int)digest_size);
	size = (size_t)snprintf(text, sizeof text,
		"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
		"sec-websocket-accept: %s\r\nsec-websocket-protocol: %s\r\n"
		"date: Sat, 01 Aug 2026 10:00:00 GMT\r\n\r\n",
		accept, protocol);
	append(said, text, size);
}

size_t frame_heard(const uint8_t *bytes, size_t size, struct heard *heard)
{
	size_t head = 2, length;

	if (size < 2)
		return 0;
	length = bytes[1] & 0x7f;
	/* A client masks. */
	assert_true(bytes[1] & 0x80);
	head = length == 126 ? 4 : length == 127 ? 10 : 2;
	if (size < head + 4)
		return 0;
	if (head > 2)
		length = 0;
	for (size_t i = 2; i < head; i++)
		length = length << 8 | bytes[i];
	if (size < head + 4 + length)
		return 0;
	assert_true(length <= sizeof heard->payload);
	heard->opcode = bytes[0];
	heard->size = length;
	for (size_t i = 0; i < length; i++)
		heard->payload[i] = bytes[head + 4 + i] ^ bytes[head + i % 4];
	return head + 4 + length;
}
