/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "memory.h"

struct look_up {
	uv_getaddrinfo_t request;
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
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
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

int resolution_new(struct resolver *resolver, const struct node_peer *peer,
		   struct resolution **out)
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

static void add(struct resolution *resolution, const struct sockaddr *from, uint16_t port)
{
	struct address address = {.port = port};

	if (resolution->count == LIMIT_ADDRESSES_PER_NODE)
		return;
	if (from->sa_family == AF_INET) {
		address.family = 4;
		memcpy(address.ip, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		address.family = 6;
		memcpy(address.ip, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	} else {
		return;
	}
	resolution->addresses[resolution->count++] = address;
}

static void fail(struct resolution *resolution, const struct node_host *host, int status)
{
	snprintf(resolution->failure, sizeof resolution->failure, "cannot look up %.128s: %s",
		 host->host, uv_strerror(status));
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *answers)
{
	struct look_up *look_up = request->data;
	struct resolution *resolution = look_up->resolution;
	struct resolver *resolver = resolution->resolver;

	if (status)
		fail(resolution, look_up->host, status);
	for (struct addrinfo *answer = answers; answer; answer = answer->ai_next)
		add(resolution, answer->ai_addr, look_up->host->port);
	uv_freeaddrinfo(answers);
	look_up->host = NULL;
	if (--resolution->pending == 0 && !resolver->stopped)
		resolver->answer(resolver->context, &resolution->peer.id, resolution->addresses,
				 resolution->count, resolution->failure);
}

void resolution_start(struct resolution *resolution)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
	const struct addrinfo literal = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	struct look_up *look_up;
	unsigned char ip[16];
	bool is_literal;
	int status;

	if (resolution->pending || resolution->resolver->stopped)
		return;
	resolution->count = 0;
	for (size_t i = 0; i < resolution->peer.hosts_count; i++) {
		look_up = &resolution->look_ups[i];
		look_up->resolution = resolution;
		look_up->host = &resolution->peer.hosts[i];
		look_up->request.data = look_up;
		is_literal = uv_inet_pton(AF_INET, look_up->host->host, ip) == 0 ||
			     uv_inet_pton(AF_INET6, look_up->host->host, ip) == 0;
		status = uv_getaddrinfo(resolution->resolver->loop, &look_up->request, on_answer,
					look_up->host->host, NULL, is_literal ? &literal : &hints);
		if (status) {
			fail(resolution, look_up->host, status);
			look_up->host = NULL;
			continue;
		}
		resolution->pending++;
	}
}

