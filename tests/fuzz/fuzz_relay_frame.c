/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One frame of a relay: what is taken is within it, and can be written again as it was. */
#include <stdlib.h>
#include <string.h>

#include "bridge/relay/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_words(const struct relay_frame *frame)
{
	char words[64];

	relay_words(frame->data, frame->size, words, sizeof words);
	require(strlen(words) < sizeof words);
	for (const char *at = words; *at; at++)
		require(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_frame frame;

	if (relay_frame_read(data, size, &frame))
		return 0;
	require(size > 0 && data[0] <= RELAY_FRAME_STATUS);
	require(frame.type == data[0] ||
		(frame.type == RELAY_FRAME_DATAGRAM && data[0] == RELAY_FRAME_BATCH));
	if (frame.size)
		require(frame.data >= data && frame.data + frame.size <= data + size);
	if (frame.type == RELAY_FRAME_BATCH)
		require(frame.segment > 0 && frame.segment < frame.size);
	else
		require(frame.segment == 0);
	if (frame.type == RELAY_FRAME_DATAGRAM)
		require(frame.size > 0 && frame.data + frame.size == data + size);
	check_words(&frame);
	return 0;
}
