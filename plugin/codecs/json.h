/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Converts JSON to CBOR and back; codec.h says what becomes of what, and with which errors. */
#ifndef PLUGIN_CODECS_JSON_H
#define PLUGIN_CODECS_JSON_H

#include "codec.h"

/* Writes the body of a JSON text, as codec_encode does; but when there is no room, *body_size is
 * not the size that the body needs. */
int json_to_body(const char *text, size_t size, bool keys_as_written, uint8_t *body, size_t room,
	size_t *body_size, char reason[CODEC_REASON_SIZE]);

/* A room that is enough for the body of any text of that size: the three bytes 0.1 become nine. */
#define JSON_BODY_ROOM(text_size) (3 * (text_size) + 16)

/* Shows a body, which body_check has accepted, as JSON; as codec_decode does. */
int json_of_body(const uint8_t *body, size_t body_size, char **text, size_t *size);

#endif
