/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "resolver.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

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

/* An address of one of the peer's hosts. */
struct found {
	struct address address;
	const struct node_host *host;
	uint64_t told; /* the number of the last answer with it; 0: in none */
	bool chosen;   /* for the next answer */
};

/* Addresses, in the order of the hosts. */
struct found_list {
	struct found *items;
	size_t count, room;
};

struct resolution {
	struct resolver *resolver;
	struct resolution *next;
	struct node_peer peer;
	struct asked asked[NODE_PEER_HOSTS];
	size_t pending;		 /* hosts that are not answered yet */
	size_t literals_pending; /* those of them that are literal addresses */
	bool answered;		 /* there was an answer before */
	bool unwanted;		 /* is freed with its last answer */
	bool steady;
	struct found_list found, before; /* by this look-up, by the last one */
	uint64_t answers;
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
		memory_free(resolution->found.items);
		memory_free(resolution->before.items);
		memory_free(resolution);
	}
	names_free(resolver->names);
	memory_free(resolver);
}

int resolution_new(struct resolver *resolver, const struct node_peer *peer, bool steady,
	struct resolution **out)
{
	struct resolution *resolution = memory_zalloc(sizeof *resolution);

	if (!resolution)
		return ERROR_NOMEM;
	resolution->resolver = resolver;
	resolution->peer = *peer;
	resolution->steady = steady;
	resolution->next = resolver->resolutions;
	resolver->resolutions = resolution;
	*out = resolution;
	return ERROR_NONE;
}

static void forget(struct resolution *resolution)
{
	LL_DELETE(resolution->resolver->resolutions, resolution);
	memory_free(resolution->found.items);
	memory_free(resolution->before.items);
	memory_free(resolution);
}

void resolution_free(struct resolution *resolution)
{
	if (!resolution)
		return;
	resolution->unwanted = true;
	if (resolution->pending == 0)
		forget(resolution);
}

/* ---- what was found ---- */

static struct found *find(const struct found_list *list, const struct address *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (address_compare(&list->items[i].address, address) == 0)
			return &list->items[i];
	return NULL;
}

/* Makes room for one more address. ERROR_NOMEM, ERROR_LIMIT. */
static int make_room(struct found_list *list)
{
	size_t room = list->room > 0 ? 2 * list->room : LIMIT_ADDRESSES_PER_NODE;
	struct found *items;

	if (list->count < list->room)
		return ERROR_NONE;
	if (list->count == LIMIT_ADDRESSES_LOOKED_UP)
		return ERROR_LIMIT;
	items = memory_realloc(list->items, room * sizeof *items);
	if (!items)
		return ERROR_NOMEM;
	list->items = items;
	list->room = room;
	return ERROR_NONE;
}

/* Adds an address that was found for a host, in the order of the hosts: look-ups end in any order,
 * but what was configured first is to be tried first. */
static void insert(
	struct resolution *resolution, const struct node_host *host, const struct address *address)
{
	const struct found *before = find(&resolution->before, address);
	struct found_list *list = &resolution->found;
	size_t at;

	if (find(list, address) || make_room(list))
		return;
	for (at = list->count++; at > 0 && list->items[at - 1].host > host; at--)
		list->items[at] = list->items[at - 1];
	list->items[at] = (struct found){
		.address = *address, .host = host, .told = before ? before->told : 0};
}

/* Tells whether one of two addresses is to be told rather than the other. Of a node that is
 * dialled, the one that was not told for longer; of this node itself (steady), the one that others
 * know already. */
static bool is_better(const struct resolution *resolution, const struct found *one,
	const struct found *other)
{
	return resolution->steady ? one->told > other->told : one->told < other->told;
}

/* Returns the best address that is not chosen yet; NULL: all are. */
static struct found *best_of(struct resolution *resolution)
{
	struct found_list *list = &resolution->found;
	struct found *best = NULL;

	for (size_t i = 0; i < list->count; i++)
		if (!list->items[i].chosen &&
			(!best || is_better(resolution, &list->items[i], best)))
			best = &list->items[i];
	return best;
}

/* Chooses the addresses of the next answer and returns how many. Name servers change the order of
 * their answers, so what counts is when each address was last told. */
static size_t choose(struct resolution *resolution, struct address out[LIMIT_ADDRESSES_PER_NODE])
{
	struct found_list *list = &resolution->found;
	size_t most = LIMIT_ADDRESSES_PER_NODE - resolution->peer.relays_count, count = 0;
	struct found *one;

	resolution->answers++;
	for (; count < list->count && count < most; count++) {
		one = list->count > most ? best_of(resolution) : &list->items[count];
		one->chosen = true;
		out[count] = one->address;
	}
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].chosen)
			list->items[i].told = resolution->answers;
		list->items[i].chosen = false;
	}
	return count;
}

/* ---- look-ups ---- */

static void fail(struct resolution *resolution, const struct node_host *host, const char *why)
{
	snprintf(resolution->failure, sizeof resolution->failure, "cannot look up %.128s: %s",
		host->host, why);
}

static void tell(struct resolution *resolution)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = choose(resolution, addresses);

	resolution->answered = true;
	resolution->resolver->answer(resolution->resolver->context, &resolution->peer.id, addresses,
		count, resolution->found.count, resolution->failure);
}

static void on_answer(
	void *context, const struct address *addresses, size_t count, const char *failure)
{
	struct asked *asked = context;
	struct resolution *resolution = asked->resolution;
	struct address address;
	bool was_literal = address_literal(asked->host->host, 0, &address);

	if (resolution->unwanted) {
		if (--resolution->pending == 0)
			forget(resolution);
		return;
	}
	if (failure[0])
		fail(resolution, asked->host, failure);
	for (size_t i = 0; i < count; i++) {
		address = addresses[i];
		address.port = asked->host->port;
		insert(resolution, asked->host, &address);
	}
	resolution->pending--;
	resolution->literals_pending -= was_literal;
	/* The first time literal addresses do not wait for names. Later the literal ones are known,
	 * so there is nothing new to say while names are awaited. */
	if (resolution->pending == 0 || (was_literal && resolution->literals_pending == 0 &&
						!resolution->answered && resolution->found.count > 0))
		tell(resolution);
}

/* Asks for the addresses of one host. When names are stopped, or without memory, there is no
 * look-up: whoever wants one asks again. */
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
	memory_free(resolution->before.items);
	resolution->before = resolution->found;
	resolution->found = (struct found_list){0};
	resolution->failure[0] = 0;
	for (size_t i = 0; i < resolution->peer.hosts_count; i++)
		ask(resolution, &resolution->asked[i], &resolution->peer.hosts[i]);
	if (resolution->peer.hosts_count == 0)
		ask(resolution, &resolution->asked[0], &nowhere);
}
