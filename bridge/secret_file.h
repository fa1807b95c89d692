/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads files that nobody else may read: the key, a relay's token. Any thread; it may block.
 */
#ifndef BRIDGE_SECRET_FILE_H
#define BRIDGE_SECRET_FILE_H

#include <stddef.h>

#define SECRET_FILE_REASON_SIZE 256

/* What a file is read for. */
struct secret_file {
	const char *key;      /* the option that names it, for the reason */
	const char *path;
	const char *accepted; /* what it may hold, for the reason */
};

/* Opens it for reading, without following a symbolic link in the last component, and without
 * waiting for what is no file. Returns the descriptor, or -1 with errno as open(2) has it. */
int secret_file_open(const char *path);

/* Reads all of an open one: fewer than capacity bytes of a regular file that belongs to us or root,
 * and that neither group nor others may read, write or execute. On error reason is one line that
 * names the key, the file and what is accepted. ERROR_PERMISSION, ERROR_INVALID, ERROR_SYSTEM. */
int secret_file_read(int fd, const struct secret_file *file, char *buffer, size_t capacity,
	size_t *size, char reason[SECRET_FILE_REASON_SIZE]);

/* Says why it could not be opened, by errno. ERROR_PERMISSION, ERROR_SYSTEM. */
int secret_file_unopened(
	const struct secret_file *file, char reason[SECRET_FILE_REASON_SIZE]);

#endif
