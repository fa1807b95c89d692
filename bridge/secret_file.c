/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

/* ---- links ---- */

/* O_NONBLOCK: a FIFO in the file's place must not hang the start. */
#define READING	 (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define LINKS	 16
#define WAY_SIZE 4096

/* The path to a file, followed name by name. */
struct way {
	int folder;	     /* left is relative to this folder */
	char left[WAY_SIZE]; /* names and slashes */
	unsigned links;
	const char *why; /* the reason for failing; NULL: errno has it */
};

static bool is_trusted(const struct stat *status)
{
	return status->st_uid == 0 || status->st_uid == geteuid();
}

static bool is_read_only(int fd)
{
	struct statvfs system;

	return fstatvfs(fd, &system) == 0 && (system.f_flag & ST_RDONLY);
}

/* Tells whether only root and we can replace what is in a folder. In a folder with the sticky bit
 * others cannot replace what does not belong to them, and step checks to whom it belongs. */
static bool is_ours_alone(int folder)
{
	struct stat status;

	return fstat(folder, &status) == 0 &&
	       (is_read_only(folder) || (is_trusted(&status) && ((status.st_mode & S_ISVTX) ||
									 !(status.st_mode & 022))));
}

/* Takes the next name from the rest of the path; returns false when there is none. */
static bool next_name(struct way *way, char name[NAME_MAX + 1])
{
	size_t begin = strspn(way->left, "/"), size = strcspn(way->left + begin, "/");
	size_t end = begin + size;

	if (size == 0 || size > NAME_MAX)
		return false;
	memcpy(name, way->left + begin, size);
	name[size] = '\0';
	memmove(way->left, way->left + end, strlen(way->left + end) + 1);
	return true;
}

/* Replaces the link by its target: the rest of the path goes on from where the link leads to. */
static bool take_link(struct way *way, int link)
{
	char target[WAY_SIZE], rest[WAY_SIZE];
	ssize_t size = readlinkat(link, "", target, sizeof target - 1);
	int root;

	if (size <= 0 || ++way->links > LINKS)
		return false;
	target[size] = '\0';
	memcpy(rest, way->left, sizeof rest);
	if (snprintf(way->left, sizeof way->left, "%s/%s", target, rest) >= WAY_SIZE)
		return false;
	if (target[0] != '/')
		return true;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return false;
	close(way->folder);
	way->folder = root;
	return true;
}

/* Goes one step along the path. Returns 1 to go on; 0 if *out is the open file; -1 on failure, with
 * the reason in way->why or errno. */
static int step(struct way *way, int *out)
{
	char name[NAME_MAX + 1];
	struct stat status;
	int fd, rv = -1;

	if (!is_ours_alone(way->folder)) {
		way->why = "others may write in a folder on its way";
		return -1;
	}
	if (!next_name(way, name))
		return -1;
	fd = openat(way->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0) {
		way->why = errno == ENOENT ? "it leads nowhere" : NULL;
	} else if (!is_trusted(&status) && !is_read_only(fd)) {
		way->why = "something on its way belongs to others";
	} else if (S_ISLNK(status.st_mode)) {
		rv = take_link(way, fd) ? 1 : -1;
	} else if (S_ISDIR(status.st_mode)) {
		close(way->folder);
		way->folder = fd;
		return 1;
	} else if (strspn(way->left, "/") == strlen(way->left)) {
		*out = openat(way->folder, name, READING);
		rv = *out >= 0 ? 0 : -1;
	}
	if (fd >= 0)
		close(fd);
	return rv;
}

/* Opens a file as secret_file_open does, for a path that is a link. On failure *why is the reason
 * in words; NULL: errno has it. */
static int open_through_links(const char *path, const char **why)
{
	struct way way = {.folder = open(path[0] == '/' ? "/" : ".",
				  O_PATH | O_DIRECTORY | O_CLOEXEC)};
	int fd = -1, rv = way.folder < 0 ? -1 : 1, number;

	if (strlen(path) < sizeof way.left)
		strcpy(way.left, path);
	while (rv == 1)
		rv = step(&way, &fd);
	number = errno;
	if (way.folder >= 0)
		close(way.folder);
	*why = way.why;
	/* ELOOP rather than ENOENT: the caller must not make a file where a link leads to. */
	errno = way.why || number == ENOENT ? ELOOP : number;
	return rv == 0 ? fd : -1;
}

int secret_file_open(const char *path)
{
	int fd = open(path, READING);
	const char *why;

	return fd < 0 && errno == ELOOP ? open_through_links(path, &why) : fd;
}

/* ---- who may use the file ---- */

static bool is_own_group(gid_t group)
{
	gid_t groups[256];
	int count;

	if (group == getegid())
		return true;
	count = getgroups(sizeof groups / sizeof *groups, groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* Tells whether the variable is set with which Mosquitto allows unsafe modes of its password
 * files. */
static bool is_allowed_unsafe(void)
{
	return getenv("MOSQUITTO_UNSAFE_ALLOW_SYMLINKS") != NULL;
}

static bool is_secret(int fd, const struct stat *status)
{
	mode_t others = status->st_mode & 077;

	if (others == 0 || (others == 040 && is_own_group(status->st_gid)))
		return true;
	return !(others & 033) && is_read_only(fd) && is_allowed_unsafe();
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
	if (!is_trusted(&status))
		return fail(reason, ERROR_PERMISSION,
			"%s %s is owned by user %ld; accepted: owner %ld, who runs this", key, path,
			(long)status.st_uid, (long)geteuid());
	if (!is_secret(fd, &status))
		return fail(reason, ERROR_PERMISSION,
			"%s %s has mode %04o: others may use it; accepted: 0600 or 0400, 0640 or "
			"0440 if its group is one of this process",
			key, path, (unsigned)status.st_mode & 07777);
	if (read_all(fd, buffer, capacity, size))
		return fail(reason, ERROR_SYSTEM, "%s %s: %s", key, path, strerror(errno));
	if (*size >= capacity)
		return fail(reason, ERROR_INVALID, "%s %s is too long; accepted: %s", key, path,
			file->accepted);
	return ERROR_NONE;
}

int secret_file_unopened(const struct secret_file *file, char reason[SECRET_FILE_REASON_SIZE])
{
	const char *why = NULL;
	int fd = errno == ELOOP ? open_through_links(file->path, &why) : -1;

	if (fd >= 0)
		close(fd); /* the file is there by now */
	if (fd >= 0 || why || errno == ELOOP)
		return fail(reason, ERROR_PERMISSION,
			"%s %s is a symbolic link%s%s; accepted: a regular file, or a link in "
			"folders that only root and this user may write",
			file->key, file->path, why ? ", and " : "", why ? why : "");
	return fail(reason, errno == EACCES || errno == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM,
		"%s %s cannot be read: %s", file->key, file->path, strerror(errno));
}
