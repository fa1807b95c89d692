/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C library's look-up waits for name servers and cannot be ended, and libuv's pool does few at
 * a time. So each name has a thread of its own, detached: nobody ever waits for a name server, not
 * even the end of the node. (So the plugin stays in memory until the process ends, see
 * CMakeLists.txt.)
 */
#include "names.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "../sockaddr.h"

/* Threads at a time; names beyond them wait. */
#define LOOK_UPS 64

/* One name that is looked up. */
struct name_look_up {
	/* For the loop's thread. */
	struct name_look_up *prev, *next; /* of those that wait, or of those that have a thread */
	struct name_query *queries;	  /* empty: nobody wants to know any more */
	/* For the look-up's own thread, until the look-up is among the answers. */
	struct name_look_up *next_answer;
	struct shared *shared;
	char name[NODE_HOST_SIZE];
	struct address addresses[LIMIT_ADDRESSES_LOOKED_UP];
	size_t count;
	char failure[64]; /* empty: there is an answer */
};

/* What the loop's thread shares with the threads of the look-ups. This struct and the look-ups
 * outlive the node, if need be: their memory is not the node's (memory.h). */
struct shared {
	pthread_mutex_t mutex;
	/* Guarded by the mutex. */
	uv_async_t *async; /* NULL: stopped, nobody wants to know */
	unsigned users;	   /* the names, and each thread; the last one frees this struct */
	struct name_look_up *answers;
};

struct names {
	uv_loop_t *loop;
	bool stopped;
	uv_async_t async; /* made with shared, at the first look-up */
	struct shared *shared;
	unsigned threads;
	struct name_look_up *waiting, *running;
	struct name_query *ready; /* answered without a look-up */
};

int names_new(uv_loop_t *loop, struct names **out)
{
	struct names *names = memory_zalloc(sizeof *names);

	if (!names)
		return ERROR_NOMEM;
	names->loop = loop;
	*out = names;
	return ERROR_NONE;
}

static void free_answers(struct name_look_up *look_up)
{
	struct name_look_up *next;

	for (; look_up; look_up = next) {
		next = look_up->next_answer;
		free(look_up);
	}
}

/* Gives up one use of what is shared, and frees it with the last one. Called with the mutex, which
 * it gives back. */
static void let_go(struct shared *shared)
{
	unsigned left = --shared->users;

	pthread_mutex_unlock(&shared->mutex);
	if (left > 0)
		return;
	free_answers(shared->answers);
	pthread_mutex_destroy(&shared->mutex);
	free(shared);
}

static void forget_all(struct name_query **queries)
{
	while (*queries)
		names_forget(*queries);
}

void names_stop(struct names *names)
{
	struct name_look_up *look_up, *next;

	if (names->stopped)
		return;
	names->stopped = true;
	forget_all(&names->ready);
	DL_FOREACH (names->running, look_up)
		forget_all(&look_up->queries);
	names->running = NULL; /* their threads' now */
	DL_FOREACH_SAFE (names->waiting, look_up, next) {
		forget_all(&look_up->queries);
		free(look_up);
	}
	names->waiting = NULL;
	if (!names->shared)
		return;
	pthread_mutex_lock(&names->shared->mutex);
	names->shared->async = NULL;
	let_go(names->shared);
	names->shared = NULL;
	uv_close((uv_handle_t *)&names->async, NULL);
}

void names_free(struct names *names)
{
	memory_free(names);
}

/* ---- the thread of one name ---- */

static bool add(struct name_look_up *look_up, const struct sockaddr *from)
{
	struct address *address = &look_up->addresses[look_up->count];

	if (look_up->count == LIMIT_ADDRESSES_LOOKED_UP)
		return false;
	*address = sockaddr_address(from);
	look_up->count += address->family != 0;
	return true;
}

static void *look_up_name(void *argument)
{
	/* Not AI_ADDRCONFIG: it does not count loopback addresses, and an address that
	 * cannot be reached from here fails at once and leaves room for the next. (The type of
	 * socket is only there so that each address comes once.) */
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	struct name_look_up *look_up = argument;
	struct shared *shared = look_up->shared;
	struct addrinfo *answers = NULL;
	int status = getaddrinfo(look_up->name, NULL, &hints, &answers);

	if (status == EAI_SYSTEM)
		snprintf(look_up->failure, sizeof look_up->failure, "%s",
			error_text(error_of_system(errno)));
	else if (status)
		snprintf(look_up->failure, sizeof look_up->failure, "%s", gai_strerror(status));
	for (struct addrinfo *answer = status ? NULL : answers; answer; answer = answer->ai_next)
		if (!add(look_up, answer->ai_addr))
			break;
	if (!status)
		freeaddrinfo(answers);
	pthread_mutex_lock(&shared->mutex);
	look_up->next_answer = shared->answers;
	shared->answers = look_up;
	if (shared->async)
		uv_async_send(shared->async);
	let_go(shared);
	return NULL;
}

/* ---- the loop's thread ---- */

static bool start_thread(struct name_look_up *look_up)
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

/* Starts a thread for each look-up that waits, as long as there may be more threads. Returns those
 * for which no thread could be started: their answer is that failure. */
static struct name_look_up *start_waiting(struct names *names)
{
	struct name_look_up *look_up, *failed = NULL;

	while (names->threads < LOOK_UPS && (look_up = names->waiting)) {
		DL_DELETE(names->waiting, look_up);
		if (start_thread(look_up)) {
			DL_APPEND(names->running, look_up);
			names->threads++;
			continue;
		}
		snprintf(look_up->failure, sizeof look_up->failure, "no thread for it");
		look_up->next_answer = failed;
		failed = look_up;
	}
	return failed;
}

/* Tells the answer of a look-up to all who have asked, and frees the look-up. What is called may
 * forget queries, ask, and stop everything. */
static void tell(struct names *names, struct name_look_up *look_up)
{
	struct name_query *query;

	while ((query = look_up->queries)) {
		names_forget(query);
		if (!names->stopped)
			query->answer(query->context, look_up->addresses, look_up->count,
				look_up->failure);
	}
	free(look_up);
}

static void tell_all(struct names *names, struct name_look_up *answers)
{
	struct name_look_up *next;

	for (; answers; answers = next) {
		next = answers->next_answer;
		tell(names, answers);
	}
}

static struct name_look_up *take_answers(struct names *names)
{
	struct name_look_up *answers, *answer;

	pthread_mutex_lock(&names->shared->mutex);
	answers = names->shared->answers;
	names->shared->answers = NULL;
	pthread_mutex_unlock(&names->shared->mutex);
	for (answer = answers; answer; answer = answer->next_answer) {
		DL_DELETE(names->running, answer);
		names->threads--;
	}
	return answers;
}

static void tell_ready(struct names *names)
{
	struct name_query *query;
	size_t count;

	DL_COUNT(names->ready, query, count); /* what is asked meanwhile is for the next turn */
	for (; count > 0 && (query = names->ready); count--) {
		names_forget(query);
		query->answer(query->context, &query->literal, query->literal.family != 0,
			query->failure);
	}
}

static void on_async(uv_async_t *async)
{
	struct names *names = async->data;
	struct name_look_up *answers = take_answers(names);

	tell_ready(names);
	tell_all(names, answers);
	if (names->stopped)
		return;
	answers = start_waiting(names);
	tell_all(names, answers);
	if (!names->stopped && !names->ready && !names->running && !names->waiting)
		uv_unref((uv_handle_t *)async);
}

/* Makes the async handle and what is shared, unless they are there. Not in names_new: before the
 * first look-up there may be no end that would close a handle. Returns false without memory. */
static bool prepare(struct names *names)
{
	struct shared *shared = names->shared;

	if (shared)
		return true;
	shared = calloc(1, sizeof *shared);
	if (!shared || uv_async_init(names->loop, &names->async, on_async) != 0) {
		free(shared);
		return false;
	}
	pthread_mutex_init(&shared->mutex, NULL);
	names->async.data = names;
	shared->async = &names->async;
	shared->users = 1;
	names->shared = shared;
	return true;
}

static struct name_look_up *find(struct name_look_up *look_ups, const char *name)
{
	struct name_look_up *look_up;

	DL_FOREACH (look_ups, look_up)
		if (strcmp(look_up->name, name) == 0)
			break;
	return look_up;
}

/* Returns the look-up of this name that is under way, or a new one; NULL: no memory. */
static struct name_look_up *look_up_of(struct names *names, const char *name)
{
	struct name_look_up *look_up = find(names->running, name);

	if (!look_up)
		look_up = find(names->waiting, name);
	if (look_up)
		return look_up;
	look_up = calloc(1, sizeof *look_up);
	if (!look_up)
		return NULL;
	look_up->shared = names->shared;
	snprintf(look_up->name, sizeof look_up->name, "%s", name);
	DL_APPEND(names->waiting, look_up);
	return look_up;
}

int names_ask(struct names *names, const char *name, names_answer *answer, void *context,
	struct name_query *query)
{
	if (names->stopped)
		return ERROR_CLOSED;
	if (!prepare(names))
		return ERROR_NOMEM;
	*query = (struct name_query){
		.names = names, .answer = answer, .context = context, .failure = ""};
	if (name[0] && !address_literal(name, 0, &query->literal)) {
		query->look_up = look_up_of(names, name);
		query->failure = error_text(ERROR_NOMEM); /* if there is none */
	}
	if (query->look_up)
		DL_APPEND(query->look_up->queries, query);
	else
		DL_APPEND(names->ready, query);
	uv_ref((uv_handle_t *)&names->async);
	uv_async_send(&names->async);
	return ERROR_NONE;
}

void names_forget(struct name_query *query)
{
	if (!query->names)
		return;
	if (query->look_up)
		DL_DELETE(query->look_up->queries, query);
	else
		DL_DELETE(query->names->ready, query);
	query->names = NULL;
}
