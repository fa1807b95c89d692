/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A name server in this process: whoever refers to it gets its getaddrinfo in place of the C
 * library's. Names that begin with "silent" and end with ".invalid" are not answered until it is
 * woken. All others are for the test's own answer, if there is one, else for the C library.
 */
#ifndef SUPPORT_NAME_SERVER_H
#define SUPPORT_NAME_SERVER_H

#include <netdb.h>
#include <stdbool.h>

/* As getaddrinfo. */
typedef int name_server_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **out);

/* Begins anew: it sleeps, and nothing was asked. own: answers, or calls name_server_next; NULL: none. */
void name_server_begin(name_server_getaddrinfo *own);
name_server_getaddrinfo name_server_next;
/* How many silent names were asked for, and how many of these were answered. */
unsigned name_server_asked(void), name_server_answered(void);
/* Waits until so many silent names have been asked for. */
void name_server_wait_asked(unsigned count);
/* Answers them (EAI_AGAIN), and waits until all are. It stays awake, or sleeps again. */
void name_server_wake(bool stay);
/* Adds addresses after those of *list, which may be NULL, by the C library. */
void name_server_append(struct addrinfo **list, const char *address, const char *service,
	const struct addrinfo *hints);

#endif
