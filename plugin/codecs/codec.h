/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Converts between an MQTT payload and the body of an application's message, which is one CBOR item
 * (RFC 8949): p2panda/<hex>/ephemeral/json, /text, /bytes, /cbor. Pure functions: this folder calls
 * neither Mosquitto nor the node.
 *
 * Bodies that are written are deterministic (RFC 8949, 4.2.1), because a receiver verifies a
 * message over its own re-encoding (docs/views.md): shortest heads, the shortest of f16, f32, f64
 * that keeps the bits, map keys ascending by their encoding.
 *
 *        encode (payload -> body)               decode (body -> payload)
 * json   RFC 8259: 1 is an integer, 1.0 and     RFC 8949, 6.1: keys in the body's order, no
 *        1e3 are floats; depth <= 64; refused   blanks, 1.0 stays 1.0, byte strings and
 *        are duplicate keys, lone surrogates,   bignums in base64url (which go back as
 *        integers beyond -2^64..2^64-1, -0,     text), NaN and infinities as null, tags left
 *        floats beyond an f64                   out; not shown are maps with keys that are
 *                                               no text, and depth > 64
 * text   UTF-8 -> text string                   text string only
 * bytes  anything -> byte string                byte string, or an array of 0..255, which is
 *                                               serde's Vec<u8>
 * cbor   deterministic, NaN as f97e00 only      the body as it is
 *
 * A tag around a simple value passes in neither direction: it crashes applications of p2panda
 * 0.7.1. Bodies that arrive come from strangers. They may differ from the bodies written here only
 * as those of p2panda 0.6 and 0.7.0 do (bridge/messages/body.h, BODY_ARRIVED).
 */
#ifndef PLUGIN_CODECS_CODEC_H
#define PLUGIN_CODECS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_REASON_SIZE 160

enum codec {
	CODEC_JSON,
	CODEC_TEXT,
	CODEC_BYTES,
	CODEC_CBOR,
	CODECS, /* how many */
};

struct codec_options {
	/* The option json_keys: false is sorted (p2panda 0.7.1), true is written, the order
	 * of the JSON text (structs of 0.6 and 0.7.0, whose fields are not sorted). */
	bool keys_as_written;
};

/* Returns the codec of a name: "json", "text", "bytes" or "cbor"; CODECS when the name is none of
 * these. Only tests call it. */
enum codec codec_named(const char *name);
/* Returns the name of a codec, which must be one (not CODECS). Only tests call it. */
const char *codec_name(enum codec codec);

/*
 * Writes the body of a payload: at most room bytes. Returns 0, or an error, for which reason has
 * one line of printable ASCII, whatever the payload is:
 * ERROR_INVALID    the payload is nothing that this codec takes;
 * ERROR_TOO_LARGE  the body would have *body_size bytes, more than room; or, with *body_size
 *                  0, a JSON text is larger than LIMIT_JSON_TEXT;
 * ERROR_NOMEM.
 * After an error the content of body is undefined. Any thread.
 */
int codec_encode(enum codec codec, const struct codec_options *options, const void *payload,
	size_t size, uint8_t *body, size_t room, size_t *body_size, char reason[CODEC_REASON_SIZE]);

/*
 * Shows a body as a payload: *payload is from memory_alloc and the caller's, and a zero follows it
 * that *payload_size does not count. Returns 0, or an error, with *payload NULL:
 * ERROR_UNFIT      this codec cannot show the body (a map as text), another one can;
 * ERROR_NOMEM;
 * or what body_check says of a body that no application makes, or that would crash one.
 * Any thread.
 */
int codec_decode(enum codec codec, const uint8_t *body, size_t body_size, char **payload,
	size_t *payload_size);

#endif
