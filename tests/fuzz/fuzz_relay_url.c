/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A relay's URL: what is taken is printable, and is taken again as it is spelled. */
#include <stdlib.h>
#include <string.h>

#include "bridge/relay_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_url url, again;
	size_t length;

	if (relay_url_parse((const char *)data, size, &url))
		return 0;
	length = strlen(url.text);
	for (size_t i = 0; i < length; i++)
		if (url.text[i] <= ' ' || url.text[i] > '~')
			abort();
	if (!url.host[0] || relay_url_parse(url.text, length, &again))
		abort();
	if (strcmp(url.text, again.text) != 0 || strcmp(url.host, again.host) != 0 ||
		url.port != again.port || url.tls != again.tls ||
		relay_url_is_public(&url) != relay_url_is_public(&again))
		abort();
	return 0;
}
