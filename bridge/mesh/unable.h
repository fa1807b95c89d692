/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lines about what this machine itself does not do: a socket that cannot be bound, sent from, read.
 * Such a thing fails with every datagram; it is logged when it begins, again when the system gives
 * another reason, and once in ten minutes as long as it goes on.
 */
#ifndef BRIDGE_MESH_UNABLE_H
#define BRIDGE_MESH_UNABLE_H

#include <stdbool.h>
#include <stdint.h>

/* More kinds than there are, with two families each. */
#define UNABLE_KINDS 24

struct unable {
	struct {
		const char *what; /* NULL: there are no further kinds */
		uint8_t family;
		int error;
		uint64_t until;
	} kinds[UNABLE_KINDS];
};

/* Tells whether this failure is to be logged now, and then takes it as logged. what: a constant
 * that names the kind. family: of the address that the failure is about; 0: none. now: ns. */
bool unable_is_news(
	struct unable *unable, uint64_t now, const char *what, uint8_t family, int error);

#endif
