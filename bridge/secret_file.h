/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads files that nobody else may read: the node's key, and the token of a relay. Any thread; the
 * functions may block.
 */
#ifndef BRIDGE_SECRET_FILE_H
#define BRIDGE_SECRET_FILE_H

#include <stddef.h>

#define SECRET_FILE_REASON_SIZE 256

/* A file that is to be read, and what it is read for. */
struct secret_file {
	const char *key;      /* the option that names it, for the reason */
	const char *path;
	const char *accepted; /* what it may hold, for the reason */
};

/* Opens the file at path for reading, without waiting if it is a FIFO or the like. A symbolic link
 * in the last component is followed if nobody but root and this user could lead the link elsewhere:
 * all folders from / on, and those on the way of each further link, belong to root or this user,
 * and nobody else may write in them (unless they have the sticky bit, or are on a file system that
 * is mounted read-only, as Kubernetes mounts its secrets). Returns the descriptor, or -1 with errno
 * as open(2) sets it; ELOOP: a link that is not followed, or that leads nowhere. */
int secret_file_open(const char *path);

/* Reads all of an open file, fewer than capacity bytes. The file has to be a regular file that
 * belongs to us or root, and that neither group nor others may read, write or execute. Two
 * exceptions: a group of this process may read the file, and everybody may where the file system is
 * mounted read-only and MOSQUITTO_UNSAFE_ALLOW_SYMLINKS is set, as Mosquitto does for its own
 * files. On error reason is one line that names the key, the file and what is accepted.
 * ERROR_PERMISSION, ERROR_INVALID, ERROR_SYSTEM. */
int secret_file_read(int fd, const struct secret_file *file, char *buffer, size_t capacity,
	size_t *size, char reason[SECRET_FILE_REASON_SIZE]);

/* Writes the reason why secret_file_open has failed, from the errno that it left, and returns the
 * error. ERROR_PERMISSION, ERROR_SYSTEM. */
int secret_file_unopened(
	const struct secret_file *file, char reason[SECRET_FILE_REASON_SIZE]);

#endif
