/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Preloaded into a broker: a machine without IPv6 (TEST_NO_IPV6 is set), or with names that
 * cannot be looked up until a file is there (TEST_NAMES): then it says where they lead to,
 * 127.0.0.1 when it is empty; or with names of its own (TEST_HOSTS: name=address,...). Names that
 * begin with "silent" are never answered for. Nothing a test may do to the machine it runs on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int socket_function(int family, int type, int protocol);
typedef int getaddrinfo_function(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out);

int socket(int family, int type, int protocol)
{
	static socket_function *next;

	if (!next)
		next = (socket_function *)dlsym(RTLD_NEXT, "socket");
	if (family == AF_INET6 && getenv("TEST_NO_IPV6")) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return next(family, type, protocol);
}

/* Where TEST_HOSTS says that a name leads to. */
static const char *host_of(const char *name, char address[64])
{
	const char *at = getenv("TEST_HOSTS");
	size_t size = strlen(name);

	for (; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, size) == 0 && at[size] == '=' &&
			sscanf(at + size + 1, "%63[^,]", address) == 1)
			return address;
	}
	return NULL;
}

int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	static getaddrinfo_function *next;
	const char *names = getenv("TEST_NAMES");
	char address[64];
	FILE *file;

	if (!next)
		next = (getaddrinfo_function *)dlsym(RTLD_NEXT, "getaddrinfo");
	while (host && strncmp(host, "silent", 6) == 0)
		pause();
	if (names && host && strcmp(host, "moving.invalid") == 0) {
		file = fopen(names, "r");
		if (!file)
			return EAI_AGAIN;
		if (fscanf(file, "%63s", address) != 1)
			strcpy(address, "127.0.0.1");
		fclose(file);
		host = address;
	} else if (host && host_of(host, address)) {
		host = address;
	}
	return next(host, service, hints, out);
}
