/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The beginning and the end of a mesh: its cores, and what an earlier life has known. */
#include "../bytes/reader.h"
#include "../error.h"
#include "connections.h"
#include "infos.h"
#include "kept.h"
#include "lan.h"
#include "overlays.h"
#include "pings.h"
#include "presence.h"
#include "self.h"
#include "sessions.h"
#include "unverified.h"

static void configure(
	struct mesh *mesh, const struct node_peer *nodes, size_t count, bool trusted)
{
	struct configured *configured;

	for (size_t i = 0; i < count; i++) {
		configured = &mesh->configured[mesh->configured_count++];
		configured->id = nodes[i].id;
		configured->trusted = trusted;
		configured->has_hosts = nodes[i].hosts_count > 0;
		for (size_t j = 0; j < nodes[i].relays_count; j++)
			configured->relays[configured->relays_count++] =
				relay_url_address(&nodes[i].relays[j]);
	}
}

static int configure_all(struct mesh *mesh, const struct node_config *config)
{
	size_t count = config->peers_count + config->bootstraps_count;

	mesh->configured = memory_zalloc((count + 1) * sizeof *mesh->configured);
	if (!mesh->configured)
		return ERROR_NOMEM;
	configure(mesh, config->peers, config->peers_count, true);
	configure(mesh, config->bootstraps, config->bootstraps_count, false);
	return ERROR_NONE;
}

static int make_cores(struct mesh *mesh, const struct node_config *config)
{
	const struct link_io io = connections_io(mesh);
	const struct gossip_config gossip = {
		.me = mesh->me,
		.random = mesh->random,
		.counters = mesh->counters,
		.max_overlays = config->max_overlays,
		.cache_bytes = config->cache_bytes,
		.is_key = identity_is_node,
	};
	int error;

	error = book_new(&mesh->me, &mesh->random, mesh->counters, LIMIT_NODES, &mesh->book);
	if (!error)
		error = gossip_new(&gossip, &mesh->gossip);
	if (!error)
		error = links_new(&io, &mesh->me, &mesh->random, mesh->counters, &mesh->links);
	if (!error)
		error = access_new(config->allow, config->allow_count, config->deny,
			config->deny_count, &mesh->access);
	if (!error)
		error = dialer_new(&mesh->random, mesh->book, &mesh->budget, mesh->counters,
			&mesh->dialer);
	if (!error)
		error = dialer_new(&mesh->random, mesh->book, &mesh->budget, mesh->counters,
			&mesh->explorer);
	if (!error)
		error = joiner_new(&mesh->random, mesh->counters, &mesh->joiner);
	if (!error)
		error = configure_all(mesh, config);
	if (!error)
		error = sessions_make(mesh);
	return error;
}

int mesh_new(const struct mesh_config *config, struct mesh **out)
{
	const struct node_config *node = config->node;
	struct mesh *mesh = memory_zalloc(sizeof *mesh);
	int error;

	if (!mesh)
		return ERROR_NOMEM;
	mesh->port = config->port;
	mesh->identity = config->identity;
	mesh->me = config->identity->id;
	mesh->random = config->random;
	mesh->counters = config->counters;
	mesh->signed_rate = node->signed_rate;
	mesh->waiting_due = mesh->pace_due = mesh->heal_due = mesh->away_due = UINT64_MAX;
	mesh->room = (struct waiting_room){
		.limit = node->queue_limit,
		.age_ns = node->queue_age_ns,
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = config->counters,
		.gave_way = overlay_gave_way,
		.context = mesh,
	};
	/* Nothing waits for its turn for too long: it is always the same few seconds. */
	mesh->paced = (struct waiting_room){
		.limit = LIMIT_SIGNED_PACED,
		.age_ns = UINT64_C(1) << 62,
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = config->counters,
		.gave_way = overlay_gave_way,
		.context = mesh,
	};
	keyed_init(&mesh->keyed, &mesh->random);
	self_configure(mesh, node);
	error = make_cores(mesh, node);
	if (error) {
		mesh_free(mesh);
		return error;
	}
	*out = mesh;
	return ERROR_NONE;
}

int mesh_use_lan(struct mesh *mesh, enum node_mdns mode)
{
	return mode == NODE_MDNS_OFF ? ERROR_NONE : lan_make(mesh, mode);
}

int mesh_begin(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count)
{
	struct configured *configured;
	int error;

	mesh->now = time->now;
	mesh->wall = time->wall;
	/* After what was restored: the configuration counts. */
	for (size_t i = 0; i < mesh->configured_count; i++) {
		configured = &mesh->configured[i];
		error = book_configure(mesh->book, &configured->id,
			configured->trusted ? BOOK_TRUSTED : BOOK_BOOTSTRAP, configured->relays,
			configured->relays_count);
		if (error)
			return error;
		mesh_look_up(mesh, &configured->id);
		presence_configured(mesh, configured);
	}
	self_begin(mesh, bound, bound_count);
	return ERROR_NONE;
}

void mesh_free(struct mesh *mesh)
{
	if (!mesh)
		return;
	sessions_free(mesh);
	pings_free(mesh);
	unverified_free(mesh);
	overlays_free(mesh);
	kept_free(mesh);
	gossip_free(mesh->gossip);
	links_free(mesh->links);
	dialer_free(mesh->dialer);
	dialer_free(mesh->explorer);
	joiner_free(mesh->joiner);
	walker_free(mesh->walker);
	mdns_free(mesh->mdns);
	self_free(mesh);
	presence_free(mesh);
	book_free(mesh->book);
	access_free(mesh->access);
	effects_free(mesh);
	memory_free(mesh->configured);
	memory_free(mesh);
}

/* ---- what was known before ---- */

void mesh_restore_value(struct mesh *mesh, const void *bytes, size_t size)
{
	struct reader reader;

	reader_init(&reader, bytes, size);
	mesh->self.time.us = reader_u64(&reader);
}

/* Takes a row. One that means nothing to us is left out, and written anew once the node is known
 * again. */
void mesh_restore_row(struct mesh *mesh, const struct id *node, const uint8_t *row, size_t size)
{
	if (book_restore(mesh->book, node, row, size) == ERROR_NONE)
		infos_note_relay(mesh, node);
}

void mesh_restore_neighbour(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const struct id *node, const struct address *addresses, size_t count)
{
	if (id_equal(node, &mesh->me))
		return;
	book_set_shared(mesh->book, time->now, node, topic, true);
	/* These addresses have worked, loopback or not. */
	book_hear(mesh->book, time->now, node, node, addresses, count, ADDRESS_LOOPBACK);
	if (count > 0)
		book_worked(mesh->book, time->now, time->wall, node, &addresses[0]);
}
