/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vectors of the real crates: JSON whose bytes are lower-case hex. Anything
 * that is missing or malformed fails the running cmocka test, so callers need no
 * checks of their own.
 */
#ifndef TESTS_VECTORS_SUPPORT_JSON_H
#define TESTS_VECTORS_SUPPORT_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <cjson/cJSON.h>

/* The three generations of peers, NULL at the end. */
extern const char *const json_generations[];

/* Reads VECTORS_DIR/name. Free with cJSON_Delete. */
cJSON *json_load(const char *name);

/* The member at a path of names such as "gossip.stream_header.frame". */
const cJSON *json_get(const cJSON *object, const char *path);
/* The same, NULL if it is not there. */
const cJSON *json_find(const cJSON *object, const char *path);
const char *json_string(const cJSON *object, const char *path);

/* The bytes of a hex string. Free with free. */
uint8_t *json_bytes(const cJSON *object, const char *path, size_t *size);

#endif
