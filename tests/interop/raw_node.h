/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of raw_node know of one another. Streams are numbers; one that is over is nobody's
 * fault, and takes nothing. */
#ifndef TESTS_INTEROP_RAW_NODE_H
#define TESTS_INTEROP_RAW_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "bridge/quic/quic.h"

/* raw_node.c */

extern struct identity raw_identity;
_Noreturn void raw_die(const char *why);
void raw_send(size_t stream, const uint8_t *data, size_t size);
/* Bytes that wait on the stream's connection; SIZE_MAX: it is over. */
size_t raw_queued(size_t stream);

/* raw_node_messages.c */

/* Makes a Nodes message, and says its number. where is changed. */
void messages_make(const char *kind, size_t count, char *where, const char *argument);
void messages_send(size_t stream, size_t number);

/* raw_node_floods.c: so many a second, until they are to be others. */

void floods_begin(uv_loop_t *loop);
void floods_shuffle(size_t stream, unsigned long per_second);
void floods_forge(size_t stream, uint8_t version, unsigned long per_second);

#endif
