/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Preloaded into a broker: a machine without IPv6 (TEST_NO_IPV6 is set), or with names that
 * cannot be looked up until a file is there (TEST_NAMES). Nothing a test may do to the
 * machine it runs on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
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

int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	static getaddrinfo_function *next;
	const char *names = getenv("TEST_NAMES");

	if (!next)
		next = (getaddrinfo_function *)dlsym(RTLD_NEXT, "getaddrinfo");
	if (names && host && strcmp(host, "moving.invalid") == 0) {
		if (access(names, F_OK) != 0)
			return EAI_AGAIN;
		host = "127.0.0.1";
	}
	return next(host, service, hints, out);
}
