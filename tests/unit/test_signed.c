/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/messages/signed.h"
#include "support_heap.h"

#define TIME	 UINT64_C(1795746691054268)
#define BODY	 "\xa2\x64temp\xf9\x4d\x60\x64unit\x61" "C"
#define BODY_SIZE (sizeof BODY - 1)

/* Where its parts are. */
#define AUTHOR	  4
#define SIGNATURE 38
#define TIME_AT	  102
#define COUNTER	  111
#define BODY_AT	  112

static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1, 2, 3};

static int setup(void **state)
{
	static struct identity identity;

	*state = &identity;
	return identity_from_secret(secret, &identity);
}

static int teardown(void **state)
{
	identity_clear(*state);
	return 0;
}

static struct message *make(const struct identity *identity, const void *body, size_t size)
{
	struct message *message;

	assert_int_equal(signed_encode(identity, TIME, 0, body, size, &message), 0);
	return message;
}

static int decode_and_verify(const void *content, size_t size)
{
	struct signed_message decoded;
	int error = signed_decode(content, size, &decoded);

	return error ? error : signed_verify(content, size, &decoded);
}

/* The message with one byte instead of another; what is made of it. */
static int with_byte(const struct message *message, size_t at, uint8_t byte)
{
	uint8_t content[LIMIT_CONTENT];

	memcpy(content, message->content, message->size);
	assert_int_not_equal(content[at], byte);
	content[at] = byte;
	return decode_and_verify(content, message->size);
}

static void what_is_made_is_taken(void **state)
{
	const struct identity *identity = *state;
	struct message *message = make(identity, BODY, BODY_SIZE);
	struct signed_message decoded;

	assert_int_equal(message->size, BODY_AT + BODY_SIZE);
	assert_int_equal(signed_decode(message->content, message->size, &decoded), 0);
	assert_int_equal(signed_verify(message->content, message->size, &decoded), 0);
	assert_true(id_equal(&decoded.author, &identity->id));
	assert_true(decoded.time_us == TIME && decoded.counter == 0);
	assert_ptr_equal(decoded.body, message->content + BODY_AT);
	assert_int_equal(decoded.body_size, BODY_SIZE);
	assert_memory_equal(decoded.body, BODY, BODY_SIZE);
	message_unref(message);
}

static void numbers_of_each_length(void **state)
{
	static const uint64_t numbers[] = {0, 1, 23, 24, 255, 256, 65535, 65536, UINT32_MAX,
		UINT64_C(1) << 32, UINT64_MAX};
	struct signed_message decoded;
	struct message *message;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++) {
			assert_int_equal(signed_encode(*state, numbers[i], numbers[j], "\x00", 1,
						 &message),
				0);
			assert_int_equal(
				signed_decode(message->content, message->size, &decoded), 0);
			assert_true(decoded.time_us == numbers[i]);
			assert_true(decoded.counter == numbers[j]);
			assert_int_equal(
				signed_verify(message->content, message->size, &decoded), 0);
			message_unref(message);
		}
	}
}

static void the_largest_body_always_fits(void **state)
{
	static uint8_t body[LIMIT_SIGNED_BODY + 1];
	struct message *message;

	body[0] = 0x59;
	body[1] = (LIMIT_SIGNED_BODY - 3) >> 8;
	body[2] = (LIMIT_SIGNED_BODY - 3) & 0xff;
	assert_int_equal(signed_encode(*state, UINT64_MAX, UINT64_MAX, body, LIMIT_SIGNED_BODY,
				 &message),
		0);
	assert_int_equal(message->size, LIMIT_CONTENT);
	assert_int_equal(decode_and_verify(message->content, message->size), 0);
	message_unref(message);
	body[2]++;
	assert_int_equal(signed_encode(*state, 0, 0, body, sizeof body, &message), ERROR_TOO_LARGE);
	assert_null(message);
}

static void what_may_not_go_out_is_not_made(void **state)
{
	static const struct {
		const char *body;
		size_t size;
		int error;
	} bad[] = {
		{"", 0, ERROR_TRUNCATED},
		{"21.5", 4, ERROR_TRAILING}, /* -19, and three bytes more */
		{"\x00\x00", 2, ERROR_TRAILING},
		{"\x61\xff", 2, ERROR_INVALID},
		{"\xf7", 1, ERROR_INVALID},
		{"\x18\x00", 2, ERROR_NOT_DETERMINISTIC},
		{"\xf9\xfe\x00", 3, ERROR_NOT_DETERMINISTIC},
		{"\xc1\xf6", 2, ERROR_TAGGED_SIMPLE},
	};
	struct message *message;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int error = signed_encode(*state, TIME, 0, bad[i].body, bad[i].size, &message);

		assert_int_equal(error, bad[i].error);
		assert_null(message);
	}
	/* json_keys written: an order that only the sender knows. */
	message_unref(make(*state, "\xa2\x61" "b\x00\x61" "a\x00", 7));
}

static void what_is_no_signed_message(void **state)
{
	struct message *message = make(*state, BODY, BODY_SIZE);
	struct signed_message decoded;
	uint8_t content[LIMIT_CONTENT];

	static const char *const plain[] = {"", "21.5", "{\"a\":1}", "hello world", "\xff", "\x80",
		"\xf6", "\xc1\x86\x01", "\x98\x06\x01", "\x9f\x01", "\x85\x01\x58", "\x87\x01\x58",
		"\xa6\x01\x58", "\x86\x20\x58", "\x86\x61\x31", "\x86\xf6\x58", "\x86\xc1\x01"};

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		assert_int_equal(signed_decode(plain[i], strlen(plain[i]), &decoded),
			ERROR_NOT_SIGNED);
	/* Other types, other lengths: of the author, the signature, time and counter. */
	assert_int_equal(with_byte(message, AUTHOR - 1, 31), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, AUTHOR - 1, 33), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, AUTHOR - 2, 0x78), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, SIGNATURE - 1, 63), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, SIGNATURE - 2, 0x98), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, TIME_AT, 0x3b), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, TIME_AT, 0xfb), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, COUNTER, 0x20), ERROR_NOT_SIGNED);
	assert_int_equal(with_byte(message, COUNTER, 0xf6), ERROR_NOT_SIGNED);
	/* A seventh item, and tags around the whole. */
	memcpy(content, message->content, message->size);
	content[0] = 0x87;
	content[message->size] = 0xf6;
	assert_int_equal(
		signed_decode(content, message->size + 1, &decoded), ERROR_NOT_SIGNED);
	content[0] = 0xc1;
	memcpy(content + 1, message->content, message->size);
	assert_int_equal(
		signed_decode(content, message->size + 1, &decoded), ERROR_NOT_SIGNED);
	message_unref(message);
}

static void each_refusal_has_its_name(void **state)
{
	struct message *message = make(*state, BODY, BODY_SIZE);
	struct signed_message decoded;
	uint8_t content[LIMIT_CONTENT + 1] = {0};

	assert_int_equal(with_byte(message, 1, 0), ERROR_VERSION);
	assert_int_equal(with_byte(message, 1, 2), ERROR_VERSION);
	/* A head that is longer than needed. */
	assert_int_equal(with_byte(message, AUTHOR - 2, 0x59), ERROR_NOT_SIGNED);
	memcpy(content, "\x86\x18\x01", 3);
	assert_int_equal(signed_decode(content, 200, &decoded), ERROR_NOT_DETERMINISTIC);
	memcpy(content, message->content, message->size);
	memset(content + TIME_AT + 1, 0, 8);
	assert_int_equal(
		signed_decode(content, message->size, &decoded), ERROR_NOT_DETERMINISTIC);
	/* Bytes behind it, which are not signed. */
	memcpy(content, message->content, message->size);
	assert_int_equal(signed_decode(content, message->size + 1, &decoded), ERROR_TRAILING);
	assert_int_equal(signed_decode(content, LIMIT_CONTENT, &decoded), ERROR_TRAILING);
	assert_int_equal(signed_decode(content, LIMIT_CONTENT + 1, &decoded), ERROR_TOO_LARGE);
	for (size_t cut = 1; cut < message->size; cut++)
		assert_int_equal(signed_decode(content, cut, &decoded), ERROR_TRUNCATED);
	/* The body's own (test_body.c has all of them). */
	memcpy(content + BODY_AT, "\xc1\xf6", 2);
	assert_int_equal(signed_decode(content, BODY_AT + 2, &decoded), ERROR_TAGGED_SIMPLE);
	memset(content + BODY_AT, 0x81, LIMIT_SIGNED_DEPTH + 1);
	content[BODY_AT + LIMIT_SIGNED_DEPTH + 1] = 0;
	assert_int_equal(signed_decode(content, BODY_AT + LIMIT_SIGNED_DEPTH + 2, &decoded),
		ERROR_TOO_DEEP);
	content[BODY_AT] = 0x9f;
	assert_int_equal(
		signed_decode(content, BODY_AT + 2, &decoded), ERROR_NOT_DETERMINISTIC);
	message_unref(message);
}

static void what_is_forged_is_not_verified(void **state)
{
	/* L, the order of the group (RFC 8032, 5.1), from its least byte. */
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6,
		0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
	struct message *message = make(*state, BODY, BODY_SIZE);
	uint8_t content[LIMIT_CONTENT];
	unsigned carry = 0;

	assert_int_equal(with_byte(message, AUTHOR, message->content[AUTHOR] ^ 1), ERROR_SIGNATURE);
	assert_int_equal(
		with_byte(message, SIGNATURE, message->content[SIGNATURE] ^ 1), ERROR_SIGNATURE);
	assert_int_equal(with_byte(message, TIME_AT + 8, 0), ERROR_SIGNATURE);
	assert_int_equal(with_byte(message, COUNTER, 1), ERROR_SIGNATURE);
	assert_int_equal(with_byte(message, message->size - 1, 'F'), ERROR_SIGNATURE);
	/* A signature that is as good to who does not look: S + L. */
	memcpy(content, message->content, message->size);
	for (size_t i = 0; i < sizeof order; i++) {
		carry += content[SIGNATURE + 32 + i] + order[i];
		content[SIGNATURE + 32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(decode_and_verify(content, message->size), ERROR_SIGNATURE);
	/* The neutral point as key and R, S = 0: for all messages, were it taken. */
	memset(content + AUTHOR, 0, ID_SIZE);
	memset(content + SIGNATURE, 0, IDENTITY_SIGNATURE_SIZE);
	content[AUTHOR] = content[SIGNATURE] = 1;
	assert_int_equal(decode_and_verify(content, message->size), ERROR_SIGNATURE);
	message_unref(message);
}

static void without_memory(void **state)
{
	struct message *message;

	heap_begin();
	heap_fail(1, true);
	assert_int_equal(
		signed_encode(*state, TIME, 0, BODY, BODY_SIZE, &message), ERROR_NOMEM);
	assert_null(message);
	heap_end();
}

static void the_clock_never_goes_back(void **state)
{
	static const struct {
		uint64_t now, time, counter;
	} steps[] = {
		{1000, 1000, 0},
		{1000, 1000, 1},
		{999, 1000, 2},
		{0, 1000, 3},
		{1001, 1001, 0},
		{5000, 5000, 0},
		{4000, 5000, 1},
	};
	struct signed_clock clock;

	signed_clock_init(&clock, 0);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		signed_clock_next(&clock, steps[i].now);
		assert_true(clock.time_us == steps[i].time);
		assert_true(clock.counter == steps[i].counter);
	}
}

static void the_clock_goes_on_after_a_restart(void **state)
{
	struct signed_clock clock;

	/* The wall clock has gone on. */
	signed_clock_init(&clock, 1000);
	signed_clock_next(&clock, 1001);
	assert_true(clock.time_us == 1001 && clock.counter == 0);
	/* It has been set back, or it is the same microsecond: nothing that it had said. */
	for (uint64_t now = 0; now <= 1000; now += 1000) {
		signed_clock_init(&clock, 1000);
		signed_clock_next(&clock, now);
		assert_true(clock.time_us == 1001 && clock.counter == 0);
		signed_clock_next(&clock, now);
		assert_true(clock.time_us == 1001 && clock.counter == 1);
	}
	/* Out of numbers in one microsecond. */
	clock.counter = UINT64_MAX;
	signed_clock_next(&clock, 0);
	assert_true(clock.time_us == 1002 && clock.counter == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_taken),
		cmocka_unit_test(numbers_of_each_length),
		cmocka_unit_test(the_largest_body_always_fits),
		cmocka_unit_test(what_may_not_go_out_is_not_made),
		cmocka_unit_test(what_is_no_signed_message),
		cmocka_unit_test(each_refusal_has_its_name),
		cmocka_unit_test(what_is_forged_is_not_verified),
		cmocka_unit_test(without_memory),
		cmocka_unit_test(the_clock_never_goes_back),
		cmocka_unit_test(the_clock_goes_on_after_a_restart),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
