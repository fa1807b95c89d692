/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The relay's end of a stream, for tests of the client under a virtual clock: what a relay sends is
 * made here, what the client sends is taken apart. (Against iroh's own relay it is run in
 * tests/interop.) Whatever is not as it has to be fails the running test.
 */
#ifndef TESTS_UNIT_SUPPORT_RELAY_H
#define TESTS_UNIT_SUPPORT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVED_ROOM (1 << 20)

/* What a relay says. */
struct said {
	uint8_t bytes[SERVED_ROOM];
	size_t size;
};

/* One WebSocket frame of a server; opcode with its FIN bit, 0x82 is a whole binary message. */
void say_frame(struct said *said, uint8_t opcode, const void *data, size_t size);
/* One relay frame: its type, then data. */
void say(struct said *said, uint8_t type, const void *data, size_t size);
/* The 101 for a request, in lower case as iroh's; protocol "iroh-relay-v2". */
void say_upgrade(struct said *said, const uint8_t *request, size_t size, const char *protocol);

/* What a client has said: the next frame of its bytes, unmasked into payload (SERVED_ROOM). */
struct heard {
	uint8_t opcode; /* with FIN */
	size_t size;
	uint8_t payload[SERVED_ROOM];
};
/* Returns the bytes it took; 0: it is not whole. */
size_t frame_heard(const uint8_t *bytes, size_t size, struct heard *heard);

#endif
