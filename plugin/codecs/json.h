/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON to CBOR and back; codec.h says what becomes of what, and with which errors. */
#ifndef PLUGIN_CODECS_JSON_H
#define PLUGIN_CODECS_JSON_H

#include "codec.h"

/* As codec_encode, but body_size is not set when there is no room. */
int json_to_body(const char *text, size_t size, bool keys_as_written, uint8_t *body, size_t room,
	size_t *body_size, char reason[CODEC_REASON_SIZE]);

/* Room that the body of any text of that size has enough of: the three bytes 0.1 become nine. */
#define JSON_BODY_ROOM(text_size) (3 * (text_size) + 16)

/* Of a body that body_check has taken. As codec_decode. */
int json_of_body(const uint8_t *body, size_t body_size, char **text, size_t *size);

#endif
