/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "context.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../bytes/hex.h"
#include "../bytes/writer.h"
#include "../error.h"

/* Rate limit for log lines that remote peers can trigger. */
#define REMARK_EVERY_NS	   (10 * S)
#define TWIN_SAID_EVERY_NS (600 * S)
/* How many lines of each kind that tells single events are logged in REMARK_EVERY_NS. */
#define LINES 16

struct short_id short_id(const struct id *id)
{
	struct short_id out;

	hex_encode(id->bytes, ID_SHORT_HEX_SIZE / 2, out.text);
	return out;
}

/* ---- effects ---- */

/* Appends an effect. ERROR_NOMEM. */
static int push(struct effects *effects, const struct mesh_effect *effect)
{
	size_t room = effects->room ? 2 * effects->room : 64, at;
	struct mesh_effect *ring;

	if (effects->count == effects->room) {
		ring = memory_alloc(room * sizeof *ring);
		if (!ring)
			return ERROR_NOMEM;
		for (size_t i = 0; i < effects->count; i++)
			ring[i] = effects->ring[(effects->first + i) % effects->room];
		memory_free(effects->ring);
		effects->ring = ring;
		effects->room = room;
		effects->first = 0;
	}
	at = (effects->first + effects->count++) % effects->room;
	effects->ring[at] = *effect;
	return ERROR_NONE;
}

static void drop_event(struct mesh *mesh, const struct node_event *event)
{
	if (event->type == NODE_MESSAGE)
		mesh_count(mesh, COUNTER_DROPPED_NO_MEMORY_ARRIVING);
	message_unref(event->message);
	memory_free(event->text);
	picture_free(event->picture);
}

void mesh_emit(struct mesh *mesh, const struct node_event *event)
{
	const struct mesh_effect effect = {.type = MESH_EVENT, .event = *event};

	if (push(&mesh->effects, &effect))
		drop_event(mesh, event);
}

void mesh_tell(struct mesh *mesh, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message)
{
	struct node_event event = {.type = type, .topic = *topic, .message = message};

	if (peer)
		event.peer = *peer;
	mesh_emit(mesh, &event);
}

void mesh_log(struct mesh *mesh, enum node_log_level level, const char *format, ...)
{
	struct node_event event = {.type = NODE_LOG, .level = level};
	va_list arguments;

	event.text = memory_alloc(NODE_REASON_SIZE);
	if (!event.text)
		return;
	va_start(arguments, format);
	vsnprintf(event.text, NODE_REASON_SIZE, format, arguments);
	va_end(arguments);
	mesh_emit(mesh, &event);
}

void mesh_send_packet(struct mesh *mesh, const uint8_t *packet, size_t size)
{
	struct mesh_effect effect = {.type = MESH_PACKET, .size = size};
	uint8_t *copy = memory_alloc(size);

	if (!copy)
		return; /* a packet may be lost anyway */
	memcpy(copy, packet, size);
	effect.bytes = copy;
	if (push(&mesh->effects, &effect))
		memory_free(copy);
}

static bool take_look_up(struct mesh *mesh, struct mesh_effect *out)
{
	bool *wanted = &mesh->self.look_up;

	out->type = MESH_LOOK_UP;
	out->node = mesh->me;
	for (size_t i = 0; !*wanted && i < mesh->configured_count; i++) {
		wanted = &mesh->configured[i].look_up;
		out->node = mesh->configured[i].id;
	}
	mesh->look_ups = *wanted;
	*wanted = false;
	return mesh->look_ups;
}

static bool take_value(struct mesh *mesh, struct mesh_effect *out)
{
	struct writer writer;

	if (!mesh->self.unsaved)
		return false;
	mesh->self.unsaved = false;
	writer_init(&writer, mesh->self.saved, sizeof mesh->self.saved);
	writer_u64(&writer, mesh->self.time.us);
	out->type = MESH_VALUE;
	out->bytes = mesh->self.saved;
	out->size = sizeof mesh->self.saved;
	return true;
}

bool mesh_effect(struct mesh *mesh, struct mesh_effect *out)
{
	struct effects *effects = &mesh->effects;

	memory_free(effects->packet);
	effects->packet = NULL;
	if (effects->count == 0)
		return (mesh->look_ups && take_look_up(mesh, out)) || take_value(mesh, out);
	*out = effects->ring[effects->first];
	effects->first = (effects->first + 1) % effects->room;
	effects->count--;
	if (out->type == MESH_PACKET)
		effects->packet = (void *)out->bytes;
	return true;
}

void effects_free(struct mesh *mesh)
{
	struct effects *effects = &mesh->effects;
	struct mesh_effect effect;

	while (effects->count > 0 && mesh_effect(mesh, &effect))
		if (effect.type == MESH_EVENT)
			drop_event(mesh, &effect.event);
	memory_free(effects->packet);
	memory_free(effects->ring);
}

void mesh_nodes_changed(struct mesh *mesh)
{
	mesh->figures.nodes_changes++;
}

uint64_t mesh_wall_of(const struct mesh *mesh, uint64_t ns)
{
	uint64_t ago = ns < mesh->now ? (mesh->now - ns) / 1000 : 0;
	uint64_t ahead = ns > mesh->now ? (ns - mesh->now) / 1000 : 0;

	return mesh->wall == 0 || mesh->wall < ago ? 0 : mesh->wall - ago + ahead;
}

void mesh_count(struct mesh *mesh, enum counter counter)
{
	counters_add(mesh->counters, counter, 1);
}

/* ---- lines for the log ---- */

bool mesh_is_news(char last[FAILURE_SIZE], const char *failure)
{
	if (strncmp(last, failure, FAILURE_SIZE - 1) == 0)
		return false;
	snprintf(last, FAILURE_SIZE, "%s", failure);
	return true;
}

/* Tells whether the line may be logged now. unsaid: how many such lines were not since the last
 * one. */
static bool may_remark(const struct mesh *mesh, struct remark *remark, uint64_t *unsaid)
{
	if (mesh->now < remark->not_before) {
		remark->unsaid++;
		return false;
	}
	*unsaid = remark->unsaid;
	*remark = (struct remark){.not_before = mesh->now + REMARK_EVERY_NS};
	return true;
}

void mesh_remark_denied(struct mesh *mesh, const struct id *peer, const char *what)
{
	uint64_t unsaid;

	if (may_remark(mesh, &mesh->denied, &unsaid))
		mesh_log(mesh, NODE_LOG_NOTICE,
			"peer %s: %s: shut out by allow_node or deny_node (%llu more since the "
			"last such line)",
			short_id(peer).text, what, (unsigned long long)unsaid);
}

void mesh_remark_own_id(struct mesh *mesh, const char *where)
{
	uint64_t unsaid;

	if (may_remark(mesh, &mesh->own_id, &unsaid))
		mesh_log(mesh, NODE_LOG_ERROR,
			"a peer%s shows our own node id: two nodes must not share an identity file "
			"(was a volume cloned?)",
			where);
}

void mesh_remark_twin(struct mesh *mesh, const struct id *source)
{
	uint64_t unsaid;

	if (!may_remark(mesh, &mesh->twin_said, &unsaid))
		return;
	mesh->twin_said.not_before = mesh->now + TWIN_SAID_EVERY_NS;
	mesh_log(mesh, NODE_LOG_ERROR,
		"another node has this node's id, and its key (peer %s knows it): each of the two "
		"gets only some of what is sent. Give one of them an identity file of its own: "
		"stop it, delete the copied one, and start it again (was a volume cloned?)",
		short_id(source).text);
}

void mesh_remark_crowded(struct mesh *mesh, const struct address *source)
{
	char text[ADDRESS_TEXT_SIZE];
	uint64_t unsaid;

	if (may_remark(mesh, &mesh->crowded, &unsaid))
		mesh_log(mesh, NODE_LOG_WARNING,
			"no place left for connections (%d in all, %d of one address): those that "
			"share no overlay with us give way, others are refused; last: %s (%llu "
			"more since the last such line)",
			LIMIT_CONNECTIONS, LIMIT_CONNECTIONS_PER_ADDRESS,
			address_format(source, text), (unsigned long long)unsaid);
}

bool mesh_may_say(struct mesh *mesh, struct quota *quota, const char *about)
{
	uint64_t unsaid = quota->unsaid;

	if (mesh->now >= quota->until) {
		*quota = (struct quota){.until = mesh->now + REMARK_EVERY_NS};
		if (unsaid > 0)
			mesh_log(mesh, NODE_LOG_INFO, "%llu more lines about %s not shown",
				(unsigned long long)unsaid, about);
	}
	if (quota->said == LINES) {
		quota->unsaid++;
		return false;
	}
	quota->said++;
	return true;
}

/* ---- the configuration ---- */

bool mesh_may_dial(struct mesh *mesh, const struct id *peer)
{
	if (access_grants(mesh->access, peer))
		return true;
	mesh_count(mesh, COUNTER_NOT_DIALLED);
	mesh_remark_denied(mesh, peer, "not dialled");
	return false;
}

struct configured *mesh_configured(const struct mesh *mesh, const struct id *id)
{
	for (size_t i = 0; i < mesh->configured_count; i++)
		if (id_equal(&mesh->configured[i].id, id))
			return &mesh->configured[i];
	return NULL;
}

struct configured *mesh_trusted(const struct mesh *mesh, const struct id *id)
{
	struct configured *configured = mesh_configured(mesh, id);

	return configured && configured->trusted ? configured : NULL;
}

void mesh_look_up(struct mesh *mesh, const struct id *node)
{
	struct configured *configured = mesh_configured(mesh, node);

	if (configured && configured->has_hosts)
		configured->look_up = mesh->look_ups = true;
}

bool mesh_is_late(const struct mesh *mesh)
{
	return mesh->port.is_late(mesh->port.context);
}
