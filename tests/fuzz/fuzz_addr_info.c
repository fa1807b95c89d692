/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer data: what decodes is encoded, and decodes to the same again. */
#include <stdlib.h>
#include <string.h>

#include "bridge/gossip/addr_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first[LIMIT_FRAME], second[LIMIT_FRAME];
	char text[ADDRESS_TEXT_SIZE];
	struct addr_info info, again;
	int encoded;

	if (size > LIMIT_FRAME || addr_info_decode(data, size, &info))
		return 0;
	for (size_t i = 0; i < info.count; i++) {
		struct address parsed;

		if (address_parse(address_format(&info.addresses[i], text), &parsed) ||
			address_compare(&parsed, &info.addresses[i]))
			abort();
	}
	encoded = addr_info_encode(&info, first, sizeof first);
	if (encoded < 0 || addr_info_decode(first, (size_t)encoded, &again) ||
		addr_info_encode(&again, second, sizeof second) != encoded ||
		memcmp(first, second, (size_t)encoded))
		abort();
	addr_info_set(&again, info.addresses, info.count);
	if (addr_info_encode(&again, second, ADDR_INFO_SIZE) < 0)
		abort();
	return 0;
}
