/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_name_server.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool awake;
	unsigned asked, answered;
	name_server_getaddrinfo *own;
} server = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0, NULL};

void name_server_begin(name_server_getaddrinfo *own)
{
	server.awake = false;
	server.asked = server.answered = 0;
	server.own = own;
}

static int say_nothing(void)
{
	pthread_mutex_lock(&server.mutex);
	server.asked++;
	pthread_cond_broadcast(&server.changed);
	while (!server.awake)
		pthread_cond_wait(&server.changed, &server.mutex);
	server.answered++;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.mutex);
	return EAI_AGAIN;
}

int name_server_next(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **out)
{
	name_server_getaddrinfo *next = (name_server_getaddrinfo *)dlsym(RTLD_NEXT, "getaddrinfo");

	return next(host, service, hints, out);
}

static bool is_silent(const char *host)
{
	static const char end[] = ".invalid";
	size_t size = strlen(host);

	return strncmp(host, "silent", 6) == 0 && size >= sizeof end &&
	       strcmp(host + size - (sizeof end - 1), end) == 0;
}

int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	if (is_silent(host))
		return say_nothing();
	return (server.own ? server.own : name_server_next)(host, service, hints, out);
}

unsigned name_server_asked(void)
{
	return server.asked;
}

unsigned name_server_answered(void)
{
	return server.answered;
}

void name_server_wait_asked(unsigned count)
{
	pthread_mutex_lock(&server.mutex);
	while (server.asked < count)
		pthread_cond_wait(&server.changed, &server.mutex);
	pthread_mutex_unlock(&server.mutex);
}

void name_server_wake(bool stay)
{
	pthread_mutex_lock(&server.mutex);
	server.awake = true;
	pthread_cond_broadcast(&server.changed);
	while (server.answered < server.asked)
		pthread_cond_wait(&server.changed, &server.mutex);
	server.awake = stay;
	pthread_mutex_unlock(&server.mutex);
}

void name_server_append(struct addrinfo **list, const char *address, const char *service,
	const struct addrinfo *hints)
{
	while (*list)
		list = &(*list)->ai_next;
	assert_int_equal(name_server_next(address, service, hints, list), 0);
}
