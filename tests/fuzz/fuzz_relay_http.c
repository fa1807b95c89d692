/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The head of an HTTP answer, as it comes: once it is whole or wrong, nothing that follows changes
 * that. */
#include <stdlib.h>
#include <string.h>

#include "bridge/error.h"
#include "bridge/relay/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check(const struct http_reply *reply, size_t size)
{
	require(reply->status >= 100 && reply->status <= 999);
	require(reply->size > 0 && reply->size <= size);
	require(strlen(reply->target) < sizeof reply->target);
	for (const char *at = reply->target; *at; at++)
		require(*at >= ' ' && *at <= '~');
	if (!reply->fault)
		require(reply->version == 1 || reply->version == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reply whole, part;
	struct http_key key;
	int error;

	require(http_key_make((const uint8_t *)"the sample nonce", &key) == 0);
	error = http_reply_read(data, size, &key, &whole);
	require(error == ERROR_NONE || error == ERROR_TRUNCATED || error == ERROR_INVALID);
	if (error == ERROR_NONE)
		check(&whole, size);
	for (size_t n = 0; n < size && size < 2048; n++) {
		int before = http_reply_read(data, n, &key, &part);

		if (before == ERROR_TRUNCATED)
			continue;
		require(before == error);
		if (before == ERROR_NONE)
			require(part.size == whole.size && part.status == whole.status &&
				part.fault == whole.fault);
	}
	return 0;
}
