/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes are those of iroh-relay 1.4.1: src/protos/relay.rs has them as snapshots, and its
 * handshake has made the answer to the challenge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/relay/frame.h"

#define ID	    "197f6b23e16c8532c6abc838facd5ea789be0c76b2920334039bfa8b3d368d61"
#define HELLO_WORLD "48656c6c6f20576f726c6421"

static uint8_t bytes[256];

static size_t from_hex(const char *hex)
{
	size_t size = strlen(hex) / 2;

	assert_int_equal(hex_decode(hex, bytes, size), 0);
	return size;
}

static struct relay_frame frame;

/* The frame is in a block of its own, so that a sanitizer sees what is read beyond it. */
static int read_size(size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	int error;

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	error = relay_frame_read(copy, size, &frame);
	/* As a view of bytes, which stay. */
	if (!error && frame.data)
		frame.data = bytes + (frame.data - copy);
	free(copy);
	return error;
}

static int read_hex(const char *hex)
{
	return read_size(from_hex(hex));
}

static void assert_data(const void *data, size_t size)
{
	assert_int_equal(frame.size, size);
	assert_memory_equal(frame.data, data, size);
}

static void assert_node(void)
{
	struct id id;

	assert_int_equal(hex_decode(ID, id.bytes, ID_SIZE), 0);
	assert_memory_equal(frame.node.bytes, id.bytes, ID_SIZE);
}

static void snapshots_are_read(void **state)
{
	assert_int_equal(read_hex("0b48656c6c6f3f20596573207468697320697320646f672e"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_HEALTH);
	assert_data("Hello? Yes this is dog.", 23);
	assert_int_equal(read_hex("08" ID), 0);
	assert_int_equal(frame.type, RELAY_FRAME_GONE);
	assert_node();
	assert_int_equal(read_hex("092a2a2a2a2a2a2a2a"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_PING);
	assert_data("********", 8);
	assert_int_equal(read_hex("0a2a2a2a2a2a2a2a2a"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_PONG);
	assert_data("********", 8);
	assert_int_equal(read_hex("07" ID "030006" HELLO_WORLD), 0);
	assert_int_equal(frame.type, RELAY_FRAME_BATCH);
	assert_int_equal(frame.segment, 6);
	assert_node();
	assert_data("Hello World!", 12);
	assert_int_equal(read_hex("06" ID "03" HELLO_WORLD), 0);
	assert_int_equal(frame.type, RELAY_FRAME_DATAGRAM);
	assert_int_equal(frame.segment, 0);
	assert_node();
	assert_data("Hello World!", 12);
	assert_int_equal(read_hex("0c0000000a00000014"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_RESTARTING);
	assert_int_equal(frame.reconnect_in, 10);
	assert_int_equal(frame.try_for, 20);
	for (uint8_t status = 0; status < 4; status++) {
		from_hex("0d00");
		bytes[1] = status;
		assert_int_equal(read_size(2), 0);
		assert_int_equal(frame.type, RELAY_FRAME_STATUS);
		assert_int_equal(frame.status, status);
	}
}

static void the_handshake_is_read(void **state)
{
	assert_int_equal(read_hex("00000102030405060708090a0b0c0d0e0f"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_CHALLENGE);
	assert_data("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
	assert_int_equal(read_hex("02"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_CONFIRMS);
	assert_int_equal(read_hex("030e6e6f7420617574686f72697a6564"), 0);
	assert_int_equal(frame.type, RELAY_FRAME_DENIES);
	assert_data("not authorized", 14);
	assert_int_equal(read_hex("0300"), 0);
	assert_data("", 0);
	/* postcard leaves what follows. */
	assert_int_equal(read_hex("00000102030405060708090a0b0c0d0e0fff"), 0);
	assert_data("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
	assert_int_equal(read_hex("02ff"), 0);
	assert_int_equal(read_hex("030161ff"), 0);
	assert_data("a", 1);
}

static void a_challenge_is_answered(void **state)
{
	static const char expected[] = "01" ID "40"
				       "a28b5ebc6a930b5d80ad5aca2a8e48ad4a064e699c0866674c8b8e61a5"
				       "f4ea940ee8b9f06732930250ac0735555abe77e8df740165edc3163be4"
				       "32f0e4f3cf0f";
	uint8_t secret[32], challenge[RELAY_CHALLENGE_SIZE], out[RELAY_FRAME_AUTH_SIZE];
	char hex[2 * sizeof out + 1];
	struct identity identity;

	memset(secret, 0x2a, sizeof secret);
	for (size_t i = 0; i < sizeof challenge; i++)
		challenge[i] = (uint8_t)i;
	assert_int_equal(identity_from_secret(secret, &identity), 0);
	assert_int_equal(relay_frame_auth(&identity, challenge, out), 0);
	assert_string_equal(hex_encode(out, sizeof out, hex), expected);
	identity_clear(&identity);
}

static void heads_are_written(void **state)
{
	uint8_t out[RELAY_FRAME_HEAD_SIZE];
	char hex[2 * sizeof out + 1];
	struct id id;

	assert_int_equal(hex_decode(ID, id.bytes, ID_SIZE), 0);
	assert_int_equal(relay_frame_head(&id, 0, out), 34);
	assert_string_equal(hex_encode(out, 34, hex), "04" ID "00");
	assert_int_equal(relay_frame_head(&id, 6, out), 36);
	assert_string_equal(hex_encode(out, 36, hex), "05" ID "000006");
	assert_int_equal(relay_frame_head(&id, 0x1234, out), 36);
	assert_string_equal(hex_encode(out, 36, hex), "05" ID "001234");
}

static void a_batch_of_one_is_a_datagram(void **state)
{
	static const char *const segments[] = {"000c", "000d", "ffff"};
	char hex[256];

	for (size_t i = 0; i < sizeof segments / sizeof *segments; i++) {
		snprintf(hex, sizeof hex, "07" ID "00%s" HELLO_WORLD, segments[i]);
		assert_int_equal(read_hex(hex), 0);
		assert_int_equal(frame.type, RELAY_FRAME_DATAGRAM);
		assert_int_equal(frame.segment, 0);
		assert_data("Hello World!", 12);
	}
	assert_int_equal(read_hex("07" ID "00000b" HELLO_WORLD), 0);
	assert_int_equal(frame.type, RELAY_FRAME_BATCH);
	assert_int_equal(frame.segment, 11);
}

static void what_is_too_short_is_refused(void **state)
{
	static const struct {
		const char *hex;
		size_t least; /* all below are refused */
	} cases[] = {
		{"00000102030405060708090a0b0c0d0e0f", 17},
		{"02", 1},
		{"030e6e6f7420617574686f72697a6564", 16},
		{"06" ID "0348", 35},
		{"07" ID "03000648", 37},
		{"08" ID, 33},
		{"092a2a2a2a2a2a2a2a", 9},
		{"0a2a2a2a2a2a2a2a2a", 9},
		{"0b", 1},
		{"0c0000000a00000014", 9},
		{"0d01", 2},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = from_hex(cases[i].hex);

		for (size_t n = 0; n < cases[i].least; n++)
			assert_int_not_equal(read_size(n), 0);
		assert_int_equal(read_size(cases[i].least), 0);
		assert_int_equal(read_size(size), 0);
	}
}

static void malformed_ones_are_refused(void **state)
{
	assert_int_equal(read_hex(""), ERROR_TRUNCATED);
	/* No datagram at all. */
	assert_int_equal(read_hex("06" ID "00"), ERROR_INVALID);
	assert_int_equal(read_hex("07" ID "000006"), ERROR_INVALID);
	assert_int_equal(read_hex("07" ID "000000" HELLO_WORLD), ERROR_INVALID);
	/* Too long. */
	assert_int_equal(read_hex("08" ID "00"), ERROR_INVALID);
	assert_int_equal(read_hex("092a2a2a2a2a2a2a2a2a"), ERROR_INVALID);
	assert_int_equal(read_hex("0a2a2a2a2a2a2a2a2a2a"), ERROR_INVALID);
	assert_int_equal(read_hex("0c0000000a0000001400"), ERROR_INVALID);
	assert_int_equal(read_hex("0d0100"), ERROR_INVALID);
	/* A length that is longer than a length can be. */
	assert_int_equal(read_hex("03ffffffffffffffffffff01"), ERROR_INVALID);
	assert_int_equal(read_hex("03ffffffff0f61"), ERROR_TRUNCATED);
}

static void unknown_ones_have_a_name_of_their_own(void **state)
{
	for (unsigned type = 0; type < 256; type++) {
		bool sent = type == 1 || type == 4 || type == 5;

		memset(bytes, 0, sizeof bytes);
		bytes[0] = (uint8_t)type;
		assert_int_equal(read_size(64) == ERROR_NOT_FOUND, sent || type > 13);
	}
}

static void words_are_printable_and_bounded(void **state)
{
	char out[8];

	assert_string_equal(relay_words("abc", 3, out, sizeof out), "abc");
	assert_string_equal(relay_words("abcdefghij", 10, out, sizeof out), "abcdefg");
	assert_string_equal(relay_words("a\nb\0c\xff~", 7, out, sizeof out), "a?b?c?~");
	assert_string_equal(relay_words("\x1b[31m \x7f", 7, out, sizeof out), "?[31m ?");
	assert_string_equal(relay_words(NULL, 0, out, sizeof out), "");
	assert_string_equal(relay_words("abc", 3, out, 1), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshots_are_read),
		cmocka_unit_test(the_handshake_is_read),
		cmocka_unit_test(a_challenge_is_answered),
		cmocka_unit_test(heads_are_written),
		cmocka_unit_test(a_batch_of_one_is_a_datagram),
		cmocka_unit_test(what_is_too_short_is_refused),
		cmocka_unit_test(malformed_ones_are_refused),
		cmocka_unit_test(unknown_ones_have_a_name_of_their_own),
		cmocka_unit_test(words_are_printable_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
