/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "dialect.h"

#include <string.h>

#include "../error.h"

void dialect_keep(struct dialect_reader *reader, const uint8_t *data, size_t size)
{
	if (size > sizeof reader->element - reader->size) {
		reader->too_large = true;
		return;
	}
	if (size)
		memcpy(reader->element + reader->size, data, size);
	reader->size += size;
}

int dialect_decode(struct dialect_reader *reader,
	int (*decode)(struct reader *reader, struct info **out), struct piece *out)
{
	int error = ERROR_TOO_LARGE;
	struct reader element;

	out->type = PIECE_INFO;
	out->id = reader->node;
	if (!reader->too_large && !reader->skip_infos) {
		reader_init(&element, reader->element, reader->size);
		error = decode(&element, &out->info);
	}
	if (error == ERROR_TOO_LARGE) {
		/* Any node can make an info that is too large, and all nodes pass it on: no reason
		 * to give up the session. */
		out->type = PIECE_SKIPPED;
		return 1;
	}
	/* The element is complete, so a lack of bytes is a lie about a length. */
	return error == ERROR_TRUNCATED ? ERROR_INVALID : error ? error : 1;
}
