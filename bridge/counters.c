/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "counters.h"

const char *counter_topic(enum counter counter)
{
	static const char *const topics[] = {
#define X(name, topic, meaning) topic,
		COUNTER_TABLE(X)
#undef X
	};

	return topics[counter];
}
