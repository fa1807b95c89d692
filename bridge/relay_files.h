/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The files that say how relays are used: the token that relays require, and the certificates that
 * are trusted besides the system's. They are checked before anything is started, so that errors in
 * them are reported then. Any thread; the functions may block.
 */
#ifndef BRIDGE_RELAY_FILES_H
#define BRIDGE_RELAY_FILES_H

#include "secret_file.h"

#define RELAY_FILES_REASON_SIZE 512

/* Reads a token, less than size bytes with its closing zero: the one line of a file that nobody
 * else may read (secret_file.h). A token is printable ASCII without blanks at its ends, for it goes
 * into an HTTP header. On error reason is one line that names the file. ERROR_PERMISSION,
 * ERROR_INVALID, ERROR_SYSTEM. */
int relay_files_read_token(
	const char *path, char *out, size_t size, char reason[RELAY_FILES_REASON_SIZE]);

/* Checks that the file holds at least one certificate, and no other block of PEM; there may be any
 * text around the blocks. On error reason is one line that names the file, the line in it and what
 * is wrong there. ERROR_PERMISSION, ERROR_INVALID, ERROR_SYSTEM, ERROR_NOMEM. */
int relay_files_check_ca(const char *path, char reason[RELAY_FILES_REASON_SIZE]);

#endif
