/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ids for tests in which they are mere numbers. */
#ifndef TESTS_UNIT_SUPPORT_ID_H
#define TESTS_UNIT_SUPPORT_ID_H

#include "bridge/id.h"

/* Returns the id that begins with this number, and has zeros otherwise. */
static inline struct id id_of(uint64_t number)
{
	struct id id = {{0}};

	memcpy(id.bytes, &number, sizeof number);
	return id;
}

/* Returns the number of such an id. */
static inline uint64_t number_of(const struct id *id)
{
	uint64_t number;

	memcpy(&number, id->bytes, sizeof number);
	return number;
}

#endif
