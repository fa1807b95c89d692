/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One signed message: what decodes is made again from its parts, byte for byte but for the key and
 * the signature, which are ours then. And its body alone, by each of the rules. */
#include <stdlib.h>
#include <string.h>
#include <tinycbor/cbor.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/messages/body.h"
#include "bridge/messages/signed.h"

#define AUTHOR	      4
#define SIGNATURE     38
#define SIGNATURE_END 102

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_body(const uint8_t *data, size_t size)
{
	int strict = body_check(data, size, 0), arrived = body_check(data, size, BODY_ARRIVED);
	CborParser parser;
	CborValue value;

	/* What is right by a rule is right by a laxer one. */
	if (!strict)
		require(!body_check(data, size, BODY_WRITTEN) &&
			!body_check(data, size, BODY_ANY_NAN));
	if (!body_check(data, size, BODY_WRITTEN) || !body_check(data, size, BODY_ANY_NAN))
		require(!arrived);
	/* A second opinion. */
	if (!strict) {
		require(!cbor_parser_init(data, size, 0, &parser, &value));
		require(!cbor_value_validate(&value,
			CborValidateCanonicalFormat | CborValidateUtf8 |
				CborValidateMapKeysAreUnique | CborValidateCompleteData));
	}
}

static void check_again(const uint8_t *data, size_t size, const struct signed_message *decoded)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	static struct identity identity;
	struct signed_message again;
	struct message *message;
	int error;

	require(decoded->body + decoded->body_size == data + size);
	if (!identity.key)
		require(!identity_from_secret(secret, &identity));
	error = signed_encode(&identity, decoded->time_us, decoded->counter, decoded->body,
		decoded->body_size, &message);
	if (error) {
		require(decoded->body_size > LIMIT_SIGNED_BODY ||
			body_check(decoded->body, decoded->body_size, BODY_WRITTEN) == error);
		return;
	}
	require(message->size == size);
	require(!memcmp(message->content, data, AUTHOR));
	require(!memcmp(message->content + SIGNATURE - 2, data + SIGNATURE - 2, 2));
	require(!memcmp(message->content + SIGNATURE_END, data + SIGNATURE_END,
		size - SIGNATURE_END));
	require(!signed_decode(message->content, size, &again));
	require(!signed_verify(message->content, size, &again));
	require(signed_verify(data, size, decoded) || !memcmp(data, message->content, size) ||
		!id_equal(&decoded->author, &identity.id));
	message_unref(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct signed_message decoded;

	check_body(data, size);
	if (!signed_decode(data, size, &decoded))
		check_again(data, size, &decoded);
	return 0;
}
