/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The files that say how relays are met: the token that they want, and whose certificates are
 * believed besides the system's. Looked at before anything is started, so that what is wrong with
 * them is said then. Any thread; they may block.
 */
#ifndef BRIDGE_RELAY_FILES_H
#define BRIDGE_RELAY_FILES_H

#include "secret_file.h"

#define RELAY_FILES_REASON_SIZE 512

/* Reads a token, less than size bytes with its closing zero: the one line of a file that nobody
 * else may read (secret_file.h), printable ASCII without blanks at its ends, for it goes into a
 * header of HTTP. On error reason is one line that names the file. ERROR_PERMISSION, ERROR_INVALID,
 * ERROR_SYSTEM. */
int relay_files_read_token(
	const char *path, char *out, size_t size, char reason[RELAY_FILES_REASON_SIZE]);

/* Whether the file holds at least one certificate, and nothing that is none: blocks of PEM, with
 * any text around them. On error reason is one line that names the file, the line in it and what
 * is wrong there. ERROR_PERMISSION, ERROR_INVALID, ERROR_SYSTEM, ERROR_NOMEM. */
int relay_files_check_ca(const char *path, char reason[RELAY_FILES_REASON_SIZE]);

#endif
