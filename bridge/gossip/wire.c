/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "wire.h"

#include "../bytes/postcard.h"
#include "../error.h"

/* The tags of topic::Message; within each, wire_type counts on. */
enum { SWARM, GOSSIP, LAYERS };

static bool is_broadcast(enum wire_type type)
{
	return type >= WIRE_GOSSIP;
}

static void read_id(struct reader *reader, struct id *id)
{
	reader_copy(reader, id->bytes, ID_SIZE);
}

static void read_data(struct reader *reader, struct wire_data *data)
{
	*data = (struct wire_data){NULL, 0};
	if (postcard_read_bool(reader))
		data->bytes = postcard_read_bytes(reader, &data->size);
}

static void read_node(struct reader *reader, struct wire_node *node)
{
	read_id(reader, &node->id);
	read_data(reader, &node->data);
}

static void read_nodes(struct reader *reader, struct wire_nodes *nodes)
{
	uint64_t count = postcard_read_u64(reader);
	struct wire_node ignored;

	nodes->count = 0;
	for (uint64_t i = 0; i < count && !reader->error; i++) {
		if (nodes->count < LIMIT_SHUFFLE_NODES)
			read_node(reader, &nodes->items[nodes->count++]);
		else
			read_node(reader, &ignored);
	}
}

/* Reads the tag of an enum, which must be below choices. */
static uint32_t read_choice(struct reader *reader, uint32_t choices)
{
	uint32_t choice = postcard_read_u32(reader);

	if (choice >= choices) {
		reader_fail(reader, ERROR_INVALID);
		return 0;
	}
	return choice;
}

static void read_gossip(struct reader *reader, struct wire_message *out)
{
	read_id(reader, &out->gossip.id);
	out->gossip.content = postcard_read_bytes(reader, &out->gossip.size);
	out->gossip.scope = read_choice(reader, 2);
	out->gossip.round = out->gossip.scope == WIRE_SWARM ? postcard_read_u16(reader) : 0;
}

static void read_ihave(struct reader *reader, struct wire_message *out)
{
	uint64_t count = postcard_read_u64(reader);

	out->ihave.count = 0;
	if (count > WIRE_IHAVES)
		reader_fail(reader, ERROR_TRUNCATED);
	for (uint64_t i = 0; i < count && !reader->error; i++) {
		struct wire_ihave *ihave = &out->ihave.items[out->ihave.count++];

		read_id(reader, &ihave->id);
		ihave->round = postcard_read_u16(reader);
	}
}

bool wire_is_gossip(const uint8_t *body, size_t size)
{
	struct reader reader;

	reader_init(&reader, body, size);
	return read_choice(&reader, LAYERS) != SWARM &&
	       read_choice(&reader, WIRE_IHAVE - WIRE_GOSSIP + 1) == 0 && !reader.error;
}

int wire_decode(const uint8_t *body, size_t size, struct wire_message *out)
{
	struct reader reader;

	reader_init(&reader, body, size);
	if (read_choice(&reader, LAYERS) == SWARM)
		out->type = WIRE_JOIN + read_choice(&reader, WIRE_GOSSIP - WIRE_JOIN);
	else
		out->type = WIRE_GOSSIP + read_choice(&reader, WIRE_IHAVE - WIRE_GOSSIP + 1);
	switch (out->type) {
	case WIRE_JOIN:
		read_data(&reader, &out->join.data);
		break;
	case WIRE_FORWARD_JOIN:
		read_node(&reader, &out->forward_join.peer);
		out->forward_join.ttl = postcard_read_u16(&reader);
		break;
	case WIRE_SHUFFLE:
		read_id(&reader, &out->shuffle.origin);
		read_nodes(&reader, &out->shuffle.nodes);
		out->shuffle.ttl = postcard_read_u16(&reader);
		break;
	case WIRE_SHUFFLE_REPLY:
		read_nodes(&reader, &out->shuffle_reply.nodes);
		break;
	case WIRE_NEIGHBOR:
		out->neighbor.priority = read_choice(&reader, 2);
		read_data(&reader, &out->neighbor.data);
		break;
	case WIRE_DISCONNECT:
		out->disconnect.alive = postcard_read_bool(&reader);
		out->disconnect.respond = postcard_read_bool(&reader);
		break;
	case WIRE_GOSSIP:
		read_gossip(&reader, out);
		break;
	case WIRE_PRUNE:
		break;
	case WIRE_GRAFT:
		out->graft.has_id = postcard_read_bool(&reader);
		if (out->graft.has_id)
			read_id(&reader, &out->graft.id);
		out->graft.round = postcard_read_u16(&reader);
		break;
	case WIRE_IHAVE:
		read_ihave(&reader, out);
		break;
	}
	return reader.error;
}

static void write_id(struct writer *writer, const struct id *id)
{
	writer_bytes(writer, id->bytes, ID_SIZE);
}

static void write_data(struct writer *writer, const struct wire_data *data)
{
	postcard_write_bool(writer, data->bytes != NULL);
	if (data->bytes)
		postcard_write_bytes(writer, data->bytes, data->size);
}

static void write_node(struct writer *writer, const struct wire_node *node)
{
	write_id(writer, &node->id);
	write_data(writer, &node->data);
}

static void write_nodes(struct writer *writer, const struct wire_nodes *nodes)
{
	postcard_write_varint(writer, nodes->count);
	for (size_t i = 0; i < nodes->count; i++)
		write_node(writer, &nodes->items[i]);
}

size_t wire_node_size(const struct wire_node *node)
{
	size_t data =
		node->data.bytes ? postcard_varint_size(node->data.size) + node->data.size : 0;

	return ID_SIZE + 1 + data;
}

void wire_encode_gossip_head(struct writer *writer, const struct id *id, size_t content_size)
{
	postcard_write_varint(writer, GOSSIP);
	postcard_write_varint(writer, WIRE_GOSSIP - WIRE_GOSSIP);
	write_id(writer, id);
	postcard_write_varint(writer, content_size);
}

void wire_encode_gossip_tail(struct writer *writer, enum wire_scope scope, uint16_t round)
{
	postcard_write_varint(writer, scope);
	if (scope == WIRE_SWARM)
		postcard_write_varint(writer, round);
}

int wire_encode(const struct wire_message *message, struct writer *writer)
{
	if (message->type == WIRE_GOSSIP) {
		wire_encode_gossip_head(writer, &message->gossip.id, message->gossip.size);
		writer_bytes(writer, message->gossip.content, message->gossip.size);
		wire_encode_gossip_tail(writer, message->gossip.scope, message->gossip.round);
		return writer->error;
	}
	postcard_write_varint(writer, is_broadcast(message->type) ? GOSSIP : SWARM);
	postcard_write_varint(
		writer, is_broadcast(message->type) ? message->type - WIRE_GOSSIP : message->type);
	switch (message->type) {
	case WIRE_JOIN:
		write_data(writer, &message->join.data);
		break;
	case WIRE_FORWARD_JOIN:
		write_node(writer, &message->forward_join.peer);
		postcard_write_varint(writer, message->forward_join.ttl);
		break;
	case WIRE_SHUFFLE:
		write_id(writer, &message->shuffle.origin);
		write_nodes(writer, &message->shuffle.nodes);
		postcard_write_varint(writer, message->shuffle.ttl);
		break;
	case WIRE_SHUFFLE_REPLY:
		write_nodes(writer, &message->shuffle_reply.nodes);
		break;
	case WIRE_NEIGHBOR:
		postcard_write_varint(writer, message->neighbor.priority);
		write_data(writer, &message->neighbor.data);
		break;
	case WIRE_DISCONNECT:
		postcard_write_bool(writer, message->disconnect.alive);
		postcard_write_bool(writer, message->disconnect.respond);
		break;
	case WIRE_GRAFT:
		postcard_write_bool(writer, message->graft.has_id);
		if (message->graft.has_id)
			write_id(writer, &message->graft.id);
		postcard_write_varint(writer, message->graft.round);
		break;
	case WIRE_IHAVE:
		postcard_write_varint(writer, message->ihave.count);
		for (size_t i = 0; i < message->ihave.count; i++) {
			write_id(writer, &message->ihave.items[i].id);
			postcard_write_varint(writer, message->ihave.items[i].round);
		}
		break;
	case WIRE_PRUNE:
	case WIRE_GOSSIP:
		break;
	}
	return writer->error;
}
