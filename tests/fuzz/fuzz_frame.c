/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A stream: in slices (the first byte says of which size) it has the same frames as
 * in one piece. */
#include <stdlib.h>
#include <string.h>

#include "bridge/gossip/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const uint8_t *data, size_t size, size_t slice, uint64_t *sum)
{
	struct frame_reader reader;
	int result = 0;

	frame_reader_init(&reader);
	*sum = 0;
	while (size > 0 && result == 0) {
		size_t left = size < slice ? size : slice;
		const uint8_t *body;
		size_t body_size;

		size -= left;
		while ((result = frame_reader_next(&reader, &data, &left, &body, &body_size)) ==
			1) {
			*sum = *sum * 31 + body_size;
			for (size_t i = 0; i < body_size; i++)
				*sum = *sum * 31 + body[i];
		}
	}
	if (result == 0)
		result = frame_reader_is_between(&reader);
	frame_reader_clear(&reader);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole, sliced;

	if (size == 0)
		return 0;
	if (read_all(data + 1, size - 1, SIZE_MAX, &whole) !=
			read_all(data + 1, size - 1, data[0] ? data[0] : 1, &sliced) ||
		whole != sliced)
		abort();
	return 0;
}
