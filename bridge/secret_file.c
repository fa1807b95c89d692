/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

__attribute__((format(printf, 3, 4))) static int fail(
	char reason[SECRET_FILE_REASON_SIZE], int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, SECRET_FILE_REASON_SIZE, format, arguments);
	va_end(arguments);
	return error;
}

int secret_file_open(const char *path)
{
	/* O_NONBLOCK: a FIFO in the file's place must not hang the start. */
	return open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int read_all(int fd, char *buffer, size_t capacity, size_t *size)
{
	ssize_t n;

	*size = 0;
	do {
		n = read(fd, buffer + *size, capacity - *size);
		if (n > 0)
			*size += (size_t)n;
	} while ((n > 0 && *size < capacity) || (n < 0 && errno == EINTR));
	return n < 0 ? ERROR_SYSTEM : ERROR_NONE;
}

int secret_file_read(int fd, const struct secret_file *file, char *buffer, size_t capacity,
	size_t *size, char reason[SECRET_FILE_REASON_SIZE])
{
	const char *key = file->key, *path = file->path;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return fail(reason, ERROR_SYSTEM, "%s %s: %s", key, path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(reason, ERROR_INVALID,
			"%s %s is not a regular file; accepted: a regular file", key, path);
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return fail(reason, ERROR_PERMISSION,
			"%s %s is owned by user %ld; accepted: owner %ld, who runs this", key, path,
			(long)status.st_uid, (long)geteuid());
	if (status.st_mode & 077)
		return fail(reason, ERROR_PERMISSION,
			"%s %s has mode %04o: others may use it; accepted: 0600 or 0400", key, path,
			(unsigned)status.st_mode & 07777);
	if (read_all(fd, buffer, capacity, size))
		return fail(reason, ERROR_SYSTEM, "%s %s: %s", key, path, strerror(errno));
	if (*size >= capacity)
		return fail(reason, ERROR_INVALID, "%s %s is too long; accepted: %s", key, path,
			file->accepted);
	return ERROR_NONE;
}

int secret_file_unopened(const struct secret_file *file, char reason[SECRET_FILE_REASON_SIZE])
{
	if (errno == ELOOP)
		return fail(reason, ERROR_PERMISSION,
			"%s %s is a symbolic link; accepted: a regular file", file->key,
			file->path);
	return fail(reason, errno == EACCES || errno == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM,
		"%s %s cannot be read: %s", file->key, file->path, strerror(errno));
}
