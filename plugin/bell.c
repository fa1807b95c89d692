/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bell.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the broker's things of the kind client begin with. */
#define IDENT_CLIENT 2
/* A set of more descriptors is not read to its end. */
#define LINES 20000

/* What the broker finds behind the bell's pointer: more than the broker's largest struct has. */
static const uint64_t nothing[512];

void bell_init(struct bell *bell)
{
	*bell = (struct bell){.fd = -1, .set = -1};
}

void bell_close(struct bell *bell)
{
	if (bell->fd >= 0)
		close(bell->fd); /* and it is out of the set */
	bell_init(bell);
}

/* Tells whether an epoll instance holds a descriptor with this pointer. */
static bool holds(const char *fd, const void *pointer)
{
	char path[64], line[256];
	const char *data;
	unsigned lines = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%.16s", fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && lines++ < LINES && fgets(line, sizeof line, file)) {
		data = strncmp(line, "tfd:", 4) == 0 ? strstr(line, "data:") : NULL;
		found = data && strtoull(data + 5, NULL, 16) == (uintptr_t)pointer;
	}
	fclose(file);
	return found;
}

static bool is_epoll(const char *fd)
{
	char path[64], target[64];
	ssize_t size;

	snprintf(path, sizeof path, "/proc/self/fd/%.16s", fd);
	size = readlink(path, target, sizeof target - 1);
	if (size < 0)
		return false;
	target[size] = 0;
	return strcmp(target, "anon_inode:[eventpoll]") == 0;
}

/* Returns the epoll instance that holds a client's socket; -1: none. */
static int find_set(const void *client)
{
	const struct dirent *entry;
	DIR *folder = opendir("/proc/self/fd");
	int set = -1;

	if (!folder)
		return -1;
	while (set < 0 && (entry = readdir(folder)))
		if (is_epoll(entry->d_name) && holds(entry->d_name, client))
			set = atoi(entry->d_name);
	closedir(folder);
	return set;
}

static int hang(int set)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = (void *)nothing};
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool bell_learn(struct bell *bell, const void *client)
{
	if (bell->set >= 0 || !client)
		return false;
	/* Clients that are in no set (of websockets, in some brokers) are looked for ever more
	 * seldom: the first, second, fourth, eighth of them. */
	bell->seen++;
	if ((bell->seen & (bell->seen - 1)) != 0 || *(const int *)client != IDENT_CLIENT)
		return false;
	bell->set = find_set(client);
	if (bell->set < 0)
		return false;
	bell->fd = hang(bell->set);
	return bell->fd >= 0;
}

void bell_ring(const struct bell *bell)
{
	const uint64_t one = 1;

	/* It fails only where the number is so high that the bell has rung for centuries. */
	(void)!write(bell->fd, &one, sizeof one);
}
