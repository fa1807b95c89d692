/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One message: what decodes is encoded, and decodes to the same again. */
#include <stdlib.h>
#include <string.h>

#include "bridge/gossip/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t encode(const struct wire_message *message, uint8_t *buffer, size_t size)
{
	struct writer writer;

	writer_init(&writer, buffer, size);
	if (wire_encode(message, &writer))
		abort();
	return writer_size(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_message message;
	static uint8_t first[LIMIT_FRAME], second[LIMIT_FRAME];
	size_t first_size;

	if (size > LIMIT_FRAME || wire_decode(data, size, &message))
		return 0;
	/* Never longer than it came. */
	first_size = encode(&message, first, size);
	if (wire_decode(first, first_size, &message))
		abort();
	if (encode(&message, second, sizeof second) != first_size ||
		memcmp(first, second, first_size))
		abort();
	return 0;
}
