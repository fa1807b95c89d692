/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "memory.h"

struct look_up {
	union {
		uv_getaddrinfo_t request;
		uv_work_t failed; /* could not be begun */
	};
	struct resolution *resolution;
	const struct node_host *host;
};

struct resolution {
	struct resolver *resolver;
	struct resolution *next;
	struct node_peer peer;
	struct look_up look_ups[NODE_PEER_HOSTS];
	size_t pending;
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
	*out = resolver;
	return ERROR_NONE;
}

void resolver_stop(struct resolver *resolver)
{
	struct resolution *resolution;

	resolver->stopped = true;
	for (resolution = resolver->resolutions; resolution; resolution = resolution->next)
		for (size_t i = 0; i < resolution->peer.hosts_count && resolution->pending; i++)
			if (resolution->look_ups[i].host)
				uv_cancel((uv_req_t *)&resolution->look_ups[i].request);
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

static void add(
	struct resolution *resolution, const struct node_host *host, const struct sockaddr *from)
{
	struct address address = {.port = host->port};

	if (from->sa_family == AF_INET) {
		address.family = 4;
		memcpy(address.ip, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		address.family = 6;
		memcpy(address.ip, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	} else {
		return;
	}
	insert(resolution, host, &address);
}

static void fail(struct resolution *resolution, const struct node_host *host, int status)
{
	snprintf(resolution->failure, sizeof resolution->failure, "cannot look up %.128s: %s",
		host->host, uv_strerror(status));
}

static void over(struct look_up *look_up)
{
	struct resolution *resolution = look_up->resolution;
	struct resolver *resolver = resolution->resolver;

	look_up->host = NULL;
	if (--resolution->pending == 0 && !resolver->stopped)
		resolver->answer(resolver->context, &resolution->peer.id, resolution->addresses,
			resolution->count, resolution->failure);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *answers)
{
	struct look_up *look_up = request->data;

	if (status)
		fail(look_up->resolution, look_up->host, status);
	for (struct addrinfo *answer = answers; answer; answer = answer->ai_next)
		add(look_up->resolution, look_up->host, answer->ai_addr);
	uv_freeaddrinfo(answers);
	over(look_up);
}

static void on_failed(uv_work_t *failed, int status)
{
	over(failed->data);
}

static void do_nothing(uv_work_t *failed)
{
}

bool resolver_literal(const struct node_host *host, struct address *out)
{
	*out = (struct address){.port = host->port};
	if (uv_inet_pton(AF_INET, host->host, out->ip) == 0)
		out->family = 4;
	else if (uv_inet_pton(AF_INET6, host->host, out->ip) == 0)
		out->family = 6;
	return out->family != 0;
}

void resolution_start(struct resolution *resolution)
{
	/* Not AI_ADDRCONFIG: it does not count loopback addresses, and an address that
	 * cannot be reached from here fails at once and leaves room for the next. */
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	const struct addrinfo literal = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	struct look_up *look_up;
	struct address address;
	bool is_literal;
	int status;

	if (resolution->pending || resolution->resolver->stopped)
		return;
	resolution->count = 0;
	resolution->failure[0] = 0;
	for (size_t i = 0; i < resolution->peer.hosts_count; i++) {
		look_up = &resolution->look_ups[i];
		look_up->resolution = resolution;
		look_up->host = &resolution->peer.hosts[i];
		look_up->request.data = look_up;
		is_literal = resolver_literal(look_up->host, &address);
		status = uv_getaddrinfo(resolution->resolver->loop, &look_up->request, on_answer,
			look_up->host->host, NULL, is_literal ? &literal : &hints);
		resolution->pending++;
		if (status) {
			/* The answer comes from the loop all the same. */
			fail(resolution, look_up->host, status);
			look_up->failed.data = look_up;
			uv_queue_work(resolution->resolver->loop, &look_up->failed, do_nothing,
				on_failed);
		}
	}
}
