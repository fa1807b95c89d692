/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C library's look-up waits for name servers and cannot be ended, and libuv's pool does few at
 * a time. So each name has a thread of its own, detached: nobody ever waits for a name server, not
 * even the end of the node. (So the plugin stays in memory until the process ends, see
 * CMakeLists.txt.)
 */
#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"

/* Threads at a time; names beyond them wait. */
#define LOOK_UPS 64

/* One name that is looked up: its thread's until it is among the answers. */
struct look_up {
	struct look_up *next;	       /* of those that wait for a thread, or of the answers */
	struct resolution *resolution; /* not its thread's, like the next one */
	const struct node_host *host;
	struct shared *shared;
	char name[NODE_HOST_SIZE];
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count;
	char failure[64]; /* empty: there is an answer */
};

/* What the loop's thread shares with those of the look-ups. It and the look-ups outlive the node,
 * if need be: they are not of its memory (memory.h). */
struct shared {
	pthread_mutex_t mutex;
	/* Guarded by it. */
	uv_async_t *async; /* NULL: stopped, nobody wants to know */
	unsigned users;	   /* the resolver, and each thread; the last one frees it */
	struct look_up *answers;
};

struct resolution {
	struct resolver *resolver;
	struct resolution *next;
	struct node_peer peer;
	size_t pending;	  /* names being looked up */
	bool under_way;	  /* there is an answer to come */
	bool answered;	  /* before */
	bool ready;	  /* the answer is due without a look-up */
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];	 /* in the order of the hosts */
	const struct node_host *hosts[LIMIT_ADDRESSES_PER_NODE]; /* whose they are */
	char failure[NODE_REASON_SIZE];
};

struct resolver {
	uv_loop_t *loop;
	resolver_answer *answer;
	void *context;
	bool stopped;
	uv_async_t async; /* made with shared, at the first look-up */
	struct shared *shared;
	unsigned threads;
	struct look_up *first, **last; /* those that wait for a thread */
	struct resolution *resolutions;
};

int resolver_new(uv_loop_t *loop, resolver_answer *answer, void *context, struct resolver **out)
{
	struct resolver *resolver = memory_zalloc(sizeof *resolver);

	if (!resolver)
		return ERROR_NOMEM;
	resolver->loop = loop;
	resolver->answer = answer;
	resolver->context = context;
	resolver->last = &resolver->first;
	*out = resolver;
	return ERROR_NONE;
}

static void free_all(struct look_up *look_up)
{
	struct look_up *next;

	for (; look_up; look_up = next) {
		next = look_up->next;
		free(look_up);
	}
}

/* With the mutex, which it gives back. */
static void let_go(struct shared *shared)
{
	unsigned left = --shared->users;

	pthread_mutex_unlock(&shared->mutex);
	if (left > 0)
		return;
	free_all(shared->answers);
	pthread_mutex_destroy(&shared->mutex);
	free(shared);
}

void resolver_stop(struct resolver *resolver)
{
	if (resolver->stopped)
		return;
	resolver->stopped = true;
	free_all(resolver->first);
	resolver->first = NULL;
	resolver->last = &resolver->first;
	if (!resolver->shared)
		return;
	pthread_mutex_lock(&resolver->shared->mutex);
	resolver->shared->async = NULL;
	let_go(resolver->shared);
	resolver->shared = NULL;
	uv_close((uv_handle_t *)&resolver->async, NULL);
}

void resolver_free(struct resolver *resolver)
{
	struct resolution *resolution;

	if (!resolver)
		return;
	while ((resolution = resolver->resolutions)) {
		resolver->resolutions = resolution->next;
		memory_free(resolution);
	}
	memory_free(resolver);
}

int resolution_new(struct resolver *resolver, const struct node_peer *peer, struct resolution **out)
{
	struct resolution *resolution = memory_zalloc(sizeof *resolution);

	if (!resolution)
		return ERROR_NOMEM;
	resolution->resolver = resolver;
	resolution->peer = *peer;
	resolution->next = resolver->resolutions;
	resolver->resolutions = resolution;
	*out = resolution;
	return ERROR_NONE;
}

/* ---- the thread of one name ---- */

static bool add(struct look_up *look_up, const struct sockaddr *from)
{
	struct address *address = &look_up->addresses[look_up->count];

	if (look_up->count == LIMIT_ADDRESSES_PER_NODE)
		return false;
	*address = (struct address){0};
	if (from->sa_family == AF_INET) {
		address->family = 4;
		memcpy(address->ip, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		address->family = 6;
		memcpy(address->ip, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr,
			16);
	}
	look_up->count += address->family != 0;
	return true;
}

static void *look_up_name(void *argument)
{
	/* Not AI_ADDRCONFIG: it does not count loopback addresses, and an address that
	 * cannot be reached from here fails at once and leaves room for the next. */
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	struct look_up *look_up = argument;
	struct shared *shared = look_up->shared;
	struct addrinfo *answers = NULL;
	int status = getaddrinfo(look_up->name, NULL, &hints, &answers);

	if (status == EAI_SYSTEM)
		snprintf(look_up->failure, sizeof look_up->failure, "errno %d", errno);
	else if (status)
		snprintf(look_up->failure, sizeof look_up->failure, "%s", gai_strerror(status));
	for (struct addrinfo *answer = status ? NULL : answers; answer; answer = answer->ai_next)
		if (!add(look_up, answer->ai_addr))
			break;
	if (!status)
		freeaddrinfo(answers);
	pthread_mutex_lock(&shared->mutex);
	look_up->next = shared->answers;
	shared->answers = look_up;
	if (shared->async)
		uv_async_send(shared->async);
	let_go(shared);
	return NULL;
}

/* ---- the loop's thread ---- */

/* Look-ups end in any order, but what was configured first is to be tried first. */
static void insert(
	struct resolution *resolution, const struct node_host *host, const struct address *address)
{
	size_t at = resolution->count;

	for (size_t i = 0; i < resolution->count; i++)
		if (address_compare(&resolution->addresses[i], address) == 0)
			return;
	if (resolution->count == LIMIT_ADDRESSES_PER_NODE)
		return;
	for (; at > 0 && resolution->hosts[at - 1] > host; at--) {
		resolution->addresses[at] = resolution->addresses[at - 1];
		resolution->hosts[at] = resolution->hosts[at - 1];
	}
	resolution->addresses[at] = *address;
	resolution->hosts[at] = host;
	resolution->count++;
}

static void fail(struct resolution *resolution, const struct node_host *host, const char *why)
{
	snprintf(resolution->failure, sizeof resolution->failure, "cannot look up %.128s: %s",
		host->host, why);
}

static bool start_thread(struct look_up *look_up)
{
	struct shared *shared = look_up->shared;
	pthread_t thread;
	pthread_attr_t attributes;
	int status;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&shared->mutex);
	shared->users++;
	pthread_mutex_unlock(&shared->mutex);
	status = pthread_create(&thread, &attributes, look_up_name, look_up);
	pthread_attr_destroy(&attributes);
	if (status == 0)
		return true;
	pthread_mutex_lock(&shared->mutex);
	let_go(shared);
	return false;
}

static void take(struct look_up *look_up)
{
	struct resolution *resolution = look_up->resolution;

	if (look_up->failure[0])
		fail(resolution, look_up->host, look_up->failure);
	for (size_t i = 0; i < look_up->count; i++) {
		look_up->addresses[i].port = look_up->host->port;
		insert(resolution, look_up->host, &look_up->addresses[i]);
	}
	resolution->pending--;
	/* Nothing new to say while others are awaited. */
	resolution->ready = resolution->ready || resolution->pending == 0;
	free(look_up);
}

/* Those that wait, as far as there may be threads. */
static void start_waiting(struct resolver *resolver)
{
	struct look_up *look_up;

	while (resolver->threads < LOOK_UPS && (look_up = resolver->first)) {
		resolver->first = look_up->next;
		if (!resolver->first)
			resolver->last = &resolver->first;
		if (start_thread(look_up)) {
			resolver->threads++;
			continue;
		}
		snprintf(look_up->failure, sizeof look_up->failure, "no thread for it");
		take(look_up);
		uv_async_send(&resolver->async); /* the answer comes from the loop all the same */
	}
}

static void on_async(uv_async_t *async)
{
	struct resolver *resolver = async->data;
	struct look_up *answers, *next;
	struct resolution *resolution;
	bool busy = false;

	pthread_mutex_lock(&resolver->shared->mutex);
	answers = resolver->shared->answers;
	resolver->shared->answers = NULL;
	pthread_mutex_unlock(&resolver->shared->mutex);
	for (; answers; answers = next) {
		next = answers->next;
		resolver->threads--;
		take(answers);
	}
	start_waiting(resolver);
	for (resolution = resolver->resolutions; resolution; resolution = resolution->next) {
		if (!resolution->ready)
			continue;
		resolution->ready = false;
		resolution->answered = true;
		resolution->under_way = resolution->pending > 0;
		resolver->answer(resolver->context, &resolution->peer.id, resolution->addresses,
			resolution->count, resolution->failure);
		if (resolver->stopped)
			return;
	}
	for (resolution = resolver->resolutions; resolution; resolution = resolution->next)
		busy = busy || resolution->under_way;
	if (!busy)
		uv_unref((uv_handle_t *)async);
}

/* Before the first look-up there may be no end that would close a handle. */
static bool prepare(struct resolver *resolver)
{
	struct shared *shared = resolver->shared;

	if (shared)
		return true;
	shared = calloc(1, sizeof *shared);
	if (!shared || uv_async_init(resolver->loop, &resolver->async, on_async) != 0) {
		free(shared);
		return false;
	}
	pthread_mutex_init(&shared->mutex, NULL);
	resolver->async.data = resolver;
	shared->async = &resolver->async;
	shared->users = 1;
	resolver->shared = shared;
	return true;
}

static void begin(struct resolution *resolution, const struct node_host *host)
{
	struct resolver *resolver = resolution->resolver;
	struct look_up *look_up = calloc(1, sizeof *look_up);

	if (!look_up) {
		fail(resolution, host, error_text(ERROR_NOMEM));
		return;
	}
	look_up->resolution = resolution;
	look_up->host = host;
	look_up->shared = resolver->shared;
	memcpy(look_up->name, host->host, sizeof look_up->name);
	*resolver->last = look_up;
	resolver->last = &look_up->next;
	resolution->pending++;
}

void resolution_start(struct resolution *resolution)
{
	struct resolver *resolver = resolution->resolver;
	struct address address;

	/* Without memory for it there is no look-up now: whoever wants one asks again. */
	if (resolution->under_way || resolver->stopped || !prepare(resolver))
		return;
	resolution->under_way = true;
	resolution->count = 0;
	resolution->failure[0] = 0;
	for (size_t i = 0; i < resolution->peer.hosts_count; i++) {
		if (address_literal(resolution->peer.hosts[i].host, resolution->peer.hosts[i].port,
			    &address))
			insert(resolution, &resolution->peer.hosts[i], &address);
		else
			begin(resolution, &resolution->peer.hosts[i]);
	}
	/* Literal addresses do not wait for names, the first time: later they are known. */
	resolution->ready = resolution->pending == 0 ||
			    (!resolution->answered && resolution->count > 0);
	uv_ref((uv_handle_t *)&resolver->async);
	uv_async_send(&resolver->async);
}
