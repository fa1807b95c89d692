/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "self.h"

#include <stdio.h>
#include <string.h>

#include "../backoff.h"
#include "../error.h"
#include "neighbours.h"

/* When this node's own names are looked up again: after failures, and after a success, because the
 * names may have moved. */
#define LOOK_UP_FIRST_NS (1000 * MS)
#define LOOK_UP_MOST_NS  (60000 * MS)
#define LOOK_UP_AGAIN_NS (600000 * MS)

/* A clock before 2025 has not been set: nothing is to be learned from it about other times. */
#define CLOCK_IS_SET_US UINT64_C(1735689600000000)
/* The wall clock counts as set when it has moved by more than this against the monotonic one. */
#define CLOCK_STEP_US UINT64_C(5000000)

/* Returns a time for the next info that is newer than whatever others may have of this node's
 * infos, though this machine may have no clock. But others believe nothing that is far ahead of
 * their clocks: of what was signed while this clock was wrong none of them has anything, so that is
 * forgotten. */
static struct info_time next_time(struct mesh *mesh)
{
	struct self *self = &mesh->self;
	struct info_time time = {.us = mesh->wall};

	if (time.us >= CLOCK_IS_SET_US && self->time.us > time.us + LIMIT_FUTURE_US) {
		mesh_log(mesh, NODE_LOG_WARNING,
			"what this node has said of itself before is from %llu s in the future, "
			"when its clock was wrong: it is forgotten",
			(unsigned long long)((self->time.us - time.us) / 1000000));
		self->time = (struct info_time){0};
	}
	if (time.us <= self->time.us)
		time.us = self->time.us + 1;
	return time;
}

static void sign(struct mesh *mesh, const struct address *addresses, size_t count)
{
	struct self *self = &mesh->self;
	const struct relay_url *relay = self->relay.text[0] ? &self->relay : NULL;
	struct info_time time = next_time(mesh);
	struct info *info;

	for (size_t i = 0; i < ORDERS; i++) {
		/* Without a new info the old one is better than none. */
		if (info_sign(mesh->identity, time, (enum info_order)i, relay, addresses, count,
			    &info))
			continue;
		info_free(self->infos[i]);
		self->infos[i] = info;
	}
	twin_signed(&mesh->twin, self->time, time);
	self->time = time;
	self->unsaved = true;
}

static void tell_addresses(struct mesh *mesh)
{
	struct self *self = &mesh->self;
	struct address addresses[2 * LIMIT_ADDRESSES_PER_NODE];
	size_t count = self->told_count + self->bound_count;

	memcpy(addresses, self->told, self->told_count * sizeof *addresses);
	memcpy(addresses + self->told_count, self->bound,
		self->bound_count * sizeof *addresses);
	gossip_set_addresses(mesh->gossip, self->relay.text[0] ? &self->relay : NULL, addresses,
		count);
	sign(mesh, addresses, count);
	self->is_new = true;
}

/* Returns how far the wall clock is ahead of the monotonic one, us; unsigned, it may wrap. */
static uint64_t clock_offset(const struct mesh *mesh)
{
	return mesh->wall - mesh->now / 1000;
}

static bool was_set(struct mesh *mesh)
{
	struct self *self = &mesh->self;
	uint64_t ahead = clock_offset(mesh) - self->clock;

	if (ahead + CLOCK_STEP_US <= 2 * CLOCK_STEP_US)
		return false;
	self->clock += ahead;
	mesh_log(mesh, NODE_LOG_NOTICE, "the clock was set: addresses are told anew");
	return true;
}

void self_renew(struct mesh *mesh)
{
	struct self *self = &mesh->self;
	bool is_older = info_time_compare(self->newer, self->time) > 0;

	if (is_older)
		self->time = self->newer;
	self->newer = (struct info_time){0};
	if (was_set(mesh) || is_older)
		tell_addresses(mesh);
}

static void log_advertised(struct mesh *mesh)
{
	const struct self *self = &mesh->self;
	char line[NODE_REASON_SIZE - 32] = "", text[ADDRESS_TEXT_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < self->told_count && sizeof line - used > sizeof text; i++)
		used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", i ? ", " : "",
			address_format(&self->told[i], text));
	mesh_log(mesh, NODE_LOG_INFO, "advertised to peers: %s", line);
}

/* Tells whether the addresses are others than those that are told. Name servers change the order of
 * their answers, which means nothing. */
static bool is_new(const struct self *self, const struct address *addresses, size_t count)
{
	size_t at;

	for (size_t i = 0; i < count; i++) {
		for (at = 0; at < self->told_count; at++)
			if (address_compare(&addresses[i], &self->told[at]) == 0)
				break;
		if (at == self->told_count)
			return true;
	}
	return count != self->told_count;
}

void self_resolved(struct mesh *mesh, const struct address *addresses,
	size_t addresses_count, size_t all, const char *failure)
{
	struct self *self = &mesh->self;
	uint64_t now = mesh->now;

	if (failure[0]) {
		self->due = now + self->backoff;
		backoff_double(&self->backoff, LOOK_UP_MOST_NS);
	} else {
		self->due = self->has_names ? now + LOOK_UP_AGAIN_NS : UINT64_MAX;
		self->backoff = LOOK_UP_FIRST_NS;
	}
	/* Success is kept as well, so that the next failure is news. */
	if (mesh_is_news(self->failure, failure) && failure[0])
		mesh_log(mesh, NODE_LOG_NOTICE, "advertise: %s", failure);
	if (all > addresses_count && self->many != all)
		mesh_log(mesh, NODE_LOG_NOTICE,
			"advertise: its names lead to %zu addresses, of which peers are told %zu", all,
			addresses_count);
	self->many = all;
	/* What was found before is better than nothing. */
	if (addresses_count == 0 || !is_new(self, addresses, addresses_count))
		return;
	memcpy(self->told, addresses, addresses_count * sizeof *addresses);
	self->told_count = addresses_count;
	tell_addresses(mesh);
	log_advertised(mesh);
}

void self_addresses(struct mesh *mesh, const struct address *bound, size_t count)
{
	struct self *self = &mesh->self;

	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (count != self->bound_count || memcmp(bound, self->bound, count * sizeof *bound) != 0) {
		memcpy(self->bound, bound, count * sizeof *bound);
		self->bound_count = count;
		tell_addresses(mesh);
	}
	/* Even with the same addresses: there may be a way now where there was none. */
	neighbours_again(mesh);
}

void self_relay(struct mesh *mesh, const struct relay_url *url)
{
	struct self *self = &mesh->self;
	const char *text = url ? url->text : "";

	if (strcmp(text, self->relay.text) == 0)
		return;
	self->relay = url ? *url : (struct relay_url){0};
	tell_addresses(mesh);
}

/* Takes what is configured. Literal addresses are told from the very first, names as soon as they
 * are found. */
void self_configure(struct mesh *mesh, const struct node_config *config)
{
	struct self *self = &mesh->self;
	const struct node_host *host;
	struct address address;

	self->due = UINT64_MAX;
	self->backoff = LOOK_UP_FIRST_NS;
	for (size_t i = 0; i < config->advertise_count; i++) {
		host = &config->advertise[i];
		if (address_literal(host->host, host->port, &address))
			self->told[self->told_count++] = address;
		else
			self->has_names = true;
	}
}

void self_begin(struct mesh *mesh, const struct address *bound, size_t count)
{
	struct self *self = &mesh->self;

	self->clock = clock_offset(mesh);
	self->bound_count = count < LIMIT_ADDRESSES_PER_NODE ? count : LIMIT_ADDRESSES_PER_NODE;
	memcpy(self->bound, bound, self->bound_count * sizeof *bound);
	tell_addresses(mesh);
	if (self->told_count > 0)
		log_advertised(mesh);
	self->look_up = self->has_names;
	mesh->look_ups = mesh->look_ups || self->look_up;
}

void self_tick(struct mesh *mesh)
{
	struct self *self = &mesh->self;

	if (mesh->now < self->due)
		return;
	self->due = UINT64_MAX;
	self->look_up = mesh->look_ups = true;
}

uint64_t self_deadline(const struct mesh *mesh)
{
	return mesh->self.due;
}

void self_free(struct mesh *mesh)
{
	for (size_t i = 0; i < ORDERS; i++)
		info_free(mesh->self.infos[i]);
}
