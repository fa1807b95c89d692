/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "resolver.h"

#include <stdio.h>
#include <string.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "names.h"

/* One of the peer's hosts. */
struct asked {
	struct resolution *resolution;
	const struct node_host *host;
	struct name_query query;
};

struct resolution {
	struct resolver *resolver;
	struct resolution *next;
	struct node_peer peer;
	struct asked asked[NODE_PEER_HOSTS];
	size_t pending;		 /* hosts that are not answered yet */
	size_t literals_pending; /* those of them that are literal addresses */
	bool answered;		 /* before */
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];	 /* in the order of the hosts */
	const struct node_host *hosts[LIMIT_ADDRESSES_PER_NODE]; /* whose they are */
	char failure[NODE_REASON_SIZE];
};

struct resolver {
	struct names *names;
	resolver_answer *answer;
	void *context;
	struct resolution *resolutions;
};

int resolver_new(uv_loop_t *loop, resolver_answer *answer, void *context, struct resolver **out)
{
	struct resolver *resolver = memory_zalloc(sizeof *resolver);

	if (!resolver)
		return ERROR_NOMEM;
	if (names_new(loop, &resolver->names)) {
		memory_free(resolver);
		return ERROR_NOMEM;
	}
	resolver->answer = answer;
	resolver->context = context;
	*out = resolver;
	return ERROR_NONE;
}

void resolver_stop(struct resolver *resolver)
{
	names_stop(resolver->names);
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
	names_free(resolver->names);
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

static void fail(struct resolution *resolution, const struct node_host *host, const char *why)
{
	snprintf(resolution->failure, sizeof resolution->failure, "cannot look up %.128s: %s",
		host->host, why);
}

static void tell(struct resolution *resolution)
{
	resolution->answered = true;
	resolution->resolver->answer(resolution->resolver->context, &resolution->peer.id,
		resolution->addresses, resolution->count, resolution->failure);
}

static void on_answer(
	void *context, const struct address *addresses, size_t count, const char *failure)
{
	struct asked *asked = context;
	struct resolution *resolution = asked->resolution;
	struct address address;
	bool was_literal = address_literal(asked->host->host, 0, &address);

	if (failure[0])
		fail(resolution, asked->host, failure);
	for (size_t i = 0; i < count; i++) {
		address = addresses[i];
		address.port = asked->host->port;
		insert(resolution, asked->host, &address);
	}
	resolution->pending--;
	resolution->literals_pending -= was_literal;
	/* Literal addresses do not wait for names, the first time: later they are known. Then there
	 * is nothing new to say while others are awaited. */
	if (resolution->pending == 0 || (was_literal && resolution->literals_pending == 0 &&
						!resolution->answered && resolution->count > 0))
		tell(resolution);
}

/* Stopped, or without memory for anything there is no look-up: whoever wants one asks again. */
static void ask(struct resolution *resolution, struct asked *asked, const struct node_host *host)
{
	struct address address;

	asked->resolution = resolution;
	asked->host = host;
	if (names_ask(resolution->resolver->names, host->host, on_answer, asked, &asked->query))
		return;
	resolution->pending++;
	resolution->literals_pending += address_literal(host->host, 0, &address);
}

void resolution_start(struct resolution *resolution)
{
	static const struct node_host nowhere;

	if (resolution->pending > 0)
		return;
	resolution->count = 0;
	resolution->failure[0] = 0;
	for (size_t i = 0; i < resolution->peer.hosts_count; i++)
		ask(resolution, &resolution->asked[i], &resolution->peer.hosts[i]);
	if (resolution->peer.hosts_count == 0)
		ask(resolution, &resolution->asked[0], &nowhere);
}
