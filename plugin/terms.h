/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a filter was subscribed. */
#ifndef PLUGIN_TERMS_H
#define PLUGIN_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terms {
	uint8_t options;     /* the byte of SUBSCRIBE: QoS, no local, retain as published, ... */
	bool complete;	     /* false: of the options only the QoS is known, and no identifier */
	uint32_t identifier; /* 0: none */
};

/* Returns the terms of a subscription of which nobody tells more than the QoS. */
static inline struct terms terms_of_qos(uint8_t qos)
{
	return (struct terms){.options = qos};
}

static inline uint8_t terms_qos(struct terms terms)
{
	return terms.options & 0x03;
}

static inline bool terms_equal(struct terms a, struct terms b)
{
	return a.options == b.options && a.complete == b.complete &&
	       a.identifier == b.identifier;
}

/* In a record: one byte if they are not complete, else with the identifier behind it. */
#define TERMS_SIZE 5

static inline size_t terms_write(struct terms terms, uint8_t out[TERMS_SIZE])
{
	out[0] = terms.options;
	for (unsigned i = 0; i < 4; i++)
		out[1 + i] = (uint8_t)(terms.identifier >> (24 - 8 * i));
	return terms.complete ? TERMS_SIZE : 1;
}

/* Reads terms. Returns false if these bytes are none. */
static inline bool terms_read(const uint8_t *bytes, size_t size, struct terms *out)
{
	if ((size != 1 && size != TERMS_SIZE) || (bytes[0] & 0x03) > 2 ||
		(bytes[0] & (size == 1 ? 0xfc : 0xc0)))
		return false;
	*out = (struct terms){.options = bytes[0], .complete = size == TERMS_SIZE};
	for (size_t i = 1; i < size; i++)
		out->identifier = out->identifier << 8 | bytes[i];
	return true;
}

#endif
