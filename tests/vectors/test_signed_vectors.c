/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Signed messages as the real crates make and take them. streams06.json and streams071.json:
 * values of many types with what p2panda 0.6.1 and 0.7.1 make of them. streams_decode.json:
 * messages made by hand, and which receivers (by their Rust type) of each version take them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tinycbor/cbor.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/messages/body.h"
#include "bridge/messages/signed.h"
#include "support_json.h"

static const char *const generations[] = {"streams06.json", "streams071.json"};

typedef void each(const cJSON *vector, void *context);

/* The vectors of a file that have a message: what the crate cannot say has none. */
static size_t for_each(const char *file, each *function, void *context)
{
	cJSON *vectors = json_load(file);
	const cJSON *vector;
	size_t count = 0;

	cJSON_ArrayForEach(vector, vectors)
	{
		if (json_find(vector, "message_hex")) {
			function(vector, context);
			count++;
		}
	}
	cJSON_Delete(vectors);
	return count;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

static int decode_and_verify(const uint8_t *content, size_t size, struct signed_message *message)
{
	int error = signed_decode(content, size, message);

	return error ? error : signed_verify(content, size, message);
}

/* JSON's numbers are too small for some of the times: the message is known to have them. */
static void check_number(const cJSON *vector, const char *path, uint64_t value)
{
	assert_true((double)value == cJSON_GetNumberValue(json_get(vector, path)));
}

/* What is accepted by nobody else, or refused here: why a vector's message is not taken. */
static int refusal(const cJSON *vector, const uint8_t *body, size_t body_size, size_t size)
{
	static const char *const indefinite[] = {"struct_flatten", NULL}; /* by 0.6.1 */
	const char *name = json_string(vector, "name");
	unsigned depth = 0;

	if (size > LIMIT_CONTENT)
		return ERROR_TOO_LARGE;
	if (sscanf(name, "nested_array_depth_%u", &depth) == 1 && depth > LIMIT_SIGNED_DEPTH)
		return ERROR_TOO_DEEP;
	if (sscanf(name, "nested_map_depth_%u", &depth) == 1 && depth > LIMIT_SIGNED_DEPTH)
		return ERROR_TOO_DEEP;
	if (is_one_of(name, indefinite) && body[0] == 0xbf)
		return ERROR_NOT_DETERMINISTIC;
	return ERROR_NONE;
}

static void is_decoded(const cJSON *vector, void *counts)
{
	struct signed_message decoded;
	size_t size, body_size, author_size;
	uint8_t *message = json_bytes(vector, "message_hex", &size);
	uint8_t *body = json_bytes(vector, "body_cbor_hex", &body_size);
	uint8_t *author = json_bytes(vector, "author_public_hex", &author_size);
	int expected = refusal(vector, body, body_size, size);

	assert_int_equal(decode_and_verify(message, size, &decoded), expected);
	if (!expected) {
		assert_memory_equal(decoded.author.bytes, author, ID_SIZE);
		assert_int_equal(decoded.body_size, body_size);
		assert_memory_equal(decoded.body, body, body_size);
		check_number(vector, "time_us", decoded.time_us);
		check_number(vector, "lamport", decoded.counter);
	}
	((size_t *)counts)[expected != 0]++;
	free(author);
	free(body);
	free(message);
}

static void what_applications_send_is_taken(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		size_t counts[2] = {0};

		assert_int_equal(for_each(generations[i], is_decoded, counts), 293);
		/* Too large for gossip: 7. Too deep: 10. By 0.6.1, an indefinite map. */
		assert_int_equal(counts[1], 17 + (i == 0));
	}
}

/* Bodies that we do not write: the NaN that are not f97e00. */
static bool has_odd_nan(const char *name)
{
	return strstr(name, "_nan_") && strcmp(name, "f64_nan_rust") != 0;
}

static void is_encoded(const cJSON *vector, void *counts)
{
	const char *name = json_string(vector, "name");
	struct signed_message decoded;
	struct identity identity;
	struct message *made;
	size_t size, body_size, secret_size;
	uint8_t *message = json_bytes(vector, "message_hex", &size);
	uint8_t *body = json_bytes(vector, "body_cbor_hex", &body_size);
	uint8_t *secret = json_bytes(vector, "author_secret_hex", &secret_size);
	int expected = refusal(vector, body, body_size, size), error;

	if (body_size > LIMIT_SIGNED_BODY)
		expected = ERROR_TOO_LARGE;
	if (has_odd_nan(name))
		expected = ERROR_NOT_DETERMINISTIC;
	assert_int_equal(secret_size, IDENTITY_SECRET_SIZE);
	assert_int_equal(identity_from_secret(secret, &identity), 0);
	/* Time and counter: from the message, as JSON cannot say all of them. */
	if (signed_decode(message, size, &decoded))
		decoded.time_us = decoded.counter = 0;
	error = signed_encode(
		&identity, decoded.time_us, decoded.counter, body, body_size, &made);
	assert_int_equal(error, expected);
	if (!expected) {
		assert_int_equal(made->size, size);
		assert_memory_equal(made->content, message, size);
	} else {
		assert_null(made);
	}
	((size_t *)counts)[expected != 0]++;
	message_unref(made);
	identity_clear(&identity);
	free(secret);
	free(body);
	free(message);
}

static void what_applications_send_is_made_again(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		size_t counts[2] = {0};

		for_each(generations[i], is_encoded, counts);
		/* Besides: 5 that fit because their time is short; 8 odd NaN. */
		assert_int_equal(counts[1], 17 + (i == 0) + 5 + 8);
	}
}

/* tinycbor's validator has the same opinion of all but what it does not know. */
static void is_valid_for_tinycbor(const cJSON *vector, void *counts)
{
	CborParser parser;
	CborValue value;
	size_t size;
	uint8_t *body = json_bytes(vector, "body_cbor_hex", &size);
	bool fine = cbor_parser_init(body, size, 0, &parser, &value) == CborNoError &&
		cbor_value_validate(&value, CborValidateCanonicalFormat | CborValidateUtf8 |
						    CborValidateMapKeysAreUnique |
						    CborValidateCompleteData) == CborNoError;
	int error = body_check(body, size, 0);

	if (error != ERROR_TOO_DEEP && error != ERROR_TOO_LARGE) {
		if (fine != !error)
			print_message("%s: %s\n", json_string(vector, "name"), error_name(error));
		((size_t *)counts)[fine != !error]++;
	}
	free(body);
}

static void tinycbor_agrees(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		size_t counts[2] = {0};

		for_each(generations[i], is_valid_for_tinycbor, counts);
		assert_int_equal(counts[1], 0);
	}
}

/* Of its own size, so that ASan sees a read beyond it. */
static int decode_cut(const uint8_t *message, size_t size)
{
	struct signed_message decoded;
	uint8_t *cut = malloc(size ? size : 1);
	int error;

	memcpy(cut, message, size);
	error = signed_decode(cut, size, &decoded);
	free(cut);
	return error;
}

static void is_refused_when_cut(const cJSON *vector, void *context)
{
	size_t size;
	uint8_t *message = json_bytes(vector, "message_hex", &size);

	if (decode_cut(message, size) == ERROR_NONE) {
		assert_int_equal(decode_cut(message, 0), ERROR_NOT_SIGNED);
		for (size_t cut = 1; cut < size; cut++)
			assert_int_equal(decode_cut(message, cut), ERROR_TRUNCATED);
	}
	free(message);
}

static void what_is_cut_is_refused(void **state)
{
	for (size_t i = 0; i < 2; i++)
		for_each(generations[i], is_refused_when_cut, NULL);
}

static void is_refused_when_altered(const cJSON *vector, void *counts)
{
	struct signed_message decoded;
	size_t size;
	uint8_t *message = json_bytes(vector, "message_hex", &size);
	/* Verifying costs 0.1 ms: of a large one, not each byte of a body of equal ones. */
	size_t step = size > 400 ? 29 : 1;

	if (decode_and_verify(message, size, &decoded) == ERROR_NONE) {
		for (size_t at = 0; at < size; at += at < 130 ? 1 : step) {
			int error;

			message[at] ^= (uint8_t)(1 << at % 8);
			error = decode_and_verify(message, size, &decoded);
			assert_int_not_equal(error, ERROR_NONE);
			((size_t *)counts)[error == ERROR_SIGNATURE]++;
			message[at] ^= (uint8_t)(1 << at % 8);
		}
	}
	free(message);
}

static void what_is_altered_is_refused(void **state)
{
	size_t counts[2] = {0};

	for_each(generations[1], is_refused_when_altered, counts);
	assert_true(counts[0] > 1000 && counts[1] > 20000);
}

/*
 * What some version takes of the messages made by hand (into a type of its), and we do not: by
 * how their names, and what their signatures are over, begin.
 */
static const struct {
	const char *name;
	const char *signed_over;
	int error;
} stricter[] = {
	/* Not signed, so that one signature would do for many messages. */
	{"trailing bytes", "", ERROR_TRAILING},
	{"extra element", "", ERROR_NOT_SIGNED},
	{"outer array indefinite with a 7th element", "", ERROR_NOT_SIGNED},
	/* Tags around the outer items, which all skip: likewise. */
	{"outer tag", "", ERROR_NOT_SIGNED},
	{"version tagged", "", ERROR_NOT_SIGNED},
	{"key tagged", "", ERROR_NOT_SIGNED},
	{"signature tagged", "", ERROR_NOT_SIGNED},
	{"time tagged", "", ERROR_NOT_SIGNED},
	{"lamport tagged", "", ERROR_NOT_SIGNED},
	/* By 0.6.1 and 0.7.0 alone, and likewise: other forms of the outer items. */
	{"version", "parts", ERROR_NOT_DETERMINISTIC},
	{"version bignum", "", ERROR_NOT_SIGNED},
	{"outer array", "", ERROR_NOT_SIGNED},
	{"head says 87", "", ERROR_NOT_SIGNED},
	{"key", "parts", ERROR_NOT_DETERMINISTIC},
	{"key as array", "", ERROR_NOT_SIGNED},
	{"signature as array", "", ERROR_NOT_SIGNED},
	{"signature length", "", ERROR_NOT_DETERMINISTIC},
	{"signature indefinite", "", ERROR_NOT_DETERMINISTIC},
	{"time", "parts", ERROR_NOT_DETERMINISTIC},
	{"time small bignum", "", ERROR_NOT_SIGNED},
	{"lamport", "parts", ERROR_NOT_DETERMINISTIC},
	{"lamport small bignum", "", ERROR_NOT_SIGNED},
	/* Signed over what the receiver's type makes of the body, and not over the body: no
	 * application sends that, and without the type nobody can verify it. */
	{"", "body re-encoded", ERROR_SIGNATURE},
	{"", "body re-encoded", ERROR_NOT_DETERMINISTIC},
	{"", "body re-encoded", ERROR_TOO_DEEP},
	{"", "body re-encoded", ERROR_TAGGED_SIMPLE},
	{"undefined", "body re-encoded", ERROR_INVALID},
	{"simple value", "body re-encoded", ERROR_INVALID},
	{"struct Sorted with d undefined", "body re-encoded", ERROR_INVALID},
	/* By 0.6.1 and 0.7.0 alone, as they are sent. Only with serde(flatten) does an ordinary
	 * type of an application make such a body. */
	{"struct with serde(flatten), indefinite", "the bytes as sent", ERROR_NOT_DETERMINISTIC},
	{"map duplicate key", "the bytes as sent", ERROR_NOT_DETERMINISTIC},
	{"arrays nested", "the bytes as sent", ERROR_TOO_DEEP},
	{"empty arrays nested 200", "the bytes as sent", ERROR_TOO_DEEP},
	{"tags nested", "the bytes as sent", ERROR_TOO_DEEP},
	/* These crash 0.7.1. */
	{"tag around", "the bytes as sent", ERROR_TAGGED_SIMPLE},
	{"tagged c1", "the bytes as sent", ERROR_TAGGED_SIMPLE},
	{"Pair with an unknown field", "the bytes as sent", ERROR_TAGGED_SIMPLE},
};

#define STRICTER (sizeof stricter / sizeof *stricter)

static bool begins_with(const char *text, const char *begin)
{
	return strncmp(text, begin, strlen(begin)) == 0;
}

/* Whether the receiver of any type does so. */
static bool any_receiver(const cJSON *row, const char *what)
{
	return cJSON_GetArraySize(json_get(row, what)) > 0;
}

static void is_judged_as_by_applications(const cJSON *row, void *used)
{
	struct signed_message decoded;
	size_t size, i = 0;
	uint8_t *message = json_bytes(row, "message_hex", &size);
	const char *name = json_string(row, "name"), *over = json_string(row, "signed_over");
	int error = decode_and_verify(message, size, &decoded);

	if (!error) {
		/* Whether it is of the type that an application wants is the application's. */
		assert_true(begins_with(over, "the bytes as sent"));
		assert_false(any_receiver(row, "crashes_071"));
	} else if (any_receiver(row, "taken_by_071") || any_receiver(row, "taken_by_06")) {
		while (i < STRICTER && !(begins_with(name, stricter[i].name) &&
					       begins_with(over, stricter[i].signed_over) &&
					       error == stricter[i].error))
			i++;
		if (i == STRICTER)
			fail_msg("%s, signed over %s: %s", name, over, error_name(error));
		((bool *)used)[i] = true;
	}
	free(message);
}

static void messages_made_by_hand(void **state)
{
	bool used[STRICTER] = {0};

	assert_int_equal(for_each("streams_decode.json", is_judged_as_by_applications, used), 557);
	for (size_t i = 0; i < STRICTER; i++) {
		if (!used[i])
			fail_msg("nothing is refused for row %zu, %s", i, stricter[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_applications_send_is_taken),
		cmocka_unit_test(what_applications_send_is_made_again),
		cmocka_unit_test(tinycbor_agrees),
		cmocka_unit_test(what_is_cut_is_refused),
		cmocka_unit_test(what_is_altered_is_refused),
		cmocka_unit_test(messages_made_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
