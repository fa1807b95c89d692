/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "session.h"

#include <assert.h>
#include <string.h>

#include "../error.h"
#include "../memory.h"
#include "dialect.h"

/* Large messages go out in blocks of this size. */
#define BLOCK_SIZE 16384

/* Infos that are verified to find out the remote's dialect: so many of its own, and so many of
 * other nodes. */
#define RECOGNISE_TRIES 3

/* The elements of a message, kept until the head of the message can be written. */
struct body {
	struct frame *first, *last;
	struct writer writer; /* over the last block */
	uint64_t count, size;
};

struct effect {
	struct effect *next;
	struct session_effect effect;
};

/* The order that a valid signature has shown, if there was one. */
struct shown {
	bool known;
	enum info_order order;
	unsigned tries;
};

/* The infos to be sent that have been gathered so far. */
struct gathering {
	bool active;
	bool full; /* no more infos are sent */
	enum dialect dialect;
	struct body body;
	int error;
};

struct session {
	enum session_role role;
	struct id remote;
	enum dialect dialect; /* as configured */
	struct random random;
	struct counters *counters;
	session_gather *gather;
	void *context;
	const struct dialect_codec *codec; /* NULL: not known yet */
	struct psi_salts salts;
	struct psi *psi;
	struct shown own, others; /* by the remote's own info, and by other nodes' */
	enum psi_message awaited;
	uint64_t received, infos;
	struct gathering gathering;
	struct effect *first, *last;
	bool done, told; /* told: the end was reported */
	int error;	 /* why the session has failed */
	struct dialect_reader reader;
	size_t topics_count;
	struct id topics[];
};

static int push(struct session *session, const struct session_effect *effect)
{
	struct effect *added = memory_alloc(sizeof *added);

	if (!added) {
		frame_free(effect->frame);
		info_free(effect->info);
		return ERROR_NOMEM;
	}
	*added = (struct effect){NULL, *effect};
	if (session->last)
		session->last->next = added;
	else
		session->first = added;
	session->last = added;
	return ERROR_NONE;
}

static int send_frame(struct session *session, struct frame *frame)
{
	return push(session, &(struct session_effect){.type = SESSION_SEND, .frame = frame});
}

static void body_clear(struct body *body)
{
	while (body->first) {
		struct frame *next = body->first->next;

		frame_free(body->first);
		body->first = next;
	}
}

static void body_close_block(struct body *body)
{
	if (body->last)
		body->last->head_size = writer_size(&body->writer);
}

/* Makes room for an element of at most size bytes. ERROR_NOMEM. */
static int body_begin(struct body *body, size_t size)
{
	struct frame *block;

	if (body->last && (size_t)(body->writer.end - body->writer.at) >= size)
		return ERROR_NONE;
	block = frame_new(BLOCK_SIZE);
	if (!block)
		return ERROR_NOMEM;
	body_close_block(body);
	if (body->last)
		body->last->next = block;
	else
		body->first = block;
	body->last = block;
	writer_init(&body->writer, block->head, BLOCK_SIZE);
	return ERROR_NONE;
}

/* Counts an element that has been written. before: the writer's size before the element. */
static void body_end(struct body *body, size_t before)
{
	assert(!body->writer.error);
	body->size += writer_size(&body->writer) - before;
	body->count++;
}

/* Sends a message, and takes its body over. */
static int send_message(
	struct session *session, enum psi_message message, const uint8_t *salt, struct body *body)
{
	struct frame *head = frame_new(DIALECT_HEAD_SIZE);
	struct writer writer;
	int error = ERROR_NOMEM;

	body_close_block(body);
	if (head) {
		writer_init(&writer, head->head, DIALECT_HEAD_SIZE);
		session->codec->write_head(&writer, message, salt, body->count, body->size);
		assert(!writer.error);
		head->head_size = writer_size(&writer);
		error = send_frame(session, head);
	}
	while (!error && body->first) {
		struct frame *block = body->first;

		body->first = block->next;
		block->next = NULL;
		error = send_frame(session, block);
	}
	body_clear(body);
	return error;
}

static int add_hash(struct session *session, struct body *body, const struct id *topic)
{
	int error = body_begin(body, DIALECT_HASH_SIZE);
	struct id hash;
	size_t before;

	if (error)
		return error;
	before = writer_size(&body->writer);
	psi_hash(&session->salts, session->role == SESSION_ALICE ? PSI_ALICE : PSI_BOB, topic,
		&hash);
	session->codec->write_hash(&body->writer, &hash);
	body_end(body, before);
	return 0;
}

/* Sends the hashes of our topics, in random order: nobody is to see which of them are the same as
 * in another session. */
static int send_hashes(struct session *session, enum psi_message message, const uint8_t *salt)
{
	struct body body = {0};
	int error = 0;

	for (size_t i = 0; i < session->topics_count && !error; i++) {
		size_t other = i + random_below(&session->random, session->topics_count - i);
		struct id topic = session->topics[other];

		session->topics[other] = session->topics[i];
		session->topics[i] = topic;
		error = add_hash(session, &body, &topic);
	}
	if (!error)
		return send_message(session, message, salt, &body);
	body_clear(&body);
	return error;
}

static bool emit(void *emitter, const struct id *node, const struct info *info)
{
	struct session *session = emitter;
	struct gathering *gathering = &session->gathering;
	struct body *body = &gathering->body;
	size_t before;

	if (gathering->error || gathering->full)
		return false;
	if (!info_suits(info, node, gathering->dialect))
		return true;
	if (body->count == LIMIT_INFOS_SENT) {
		counters_add(session->counters, COUNTER_LIMIT_INFOS, 1);
		gathering->full = true;
		return false;
	}
	gathering->error = body_begin(body, DIALECT_HASH_SIZE + DIALECT_ELEMENT_SIZE);
	if (gathering->error)
		return false;
	before = writer_size(&body->writer);
	session->codec->write_node(&body->writer, node, info);
	body_end(body, before);
	return true;
}

/* Gathers some infos, and sends all of them when there are no more. */
static int gather_some(struct session *session)
{
	struct gathering *gathering = &session->gathering;
	bool more = session->gather(
		session->context, dialect_order(gathering->dialect), emit, session);

	if (more && !gathering->full && !gathering->error)
		return 0;
	gathering->active = false;
	if (!gathering->error)
		return send_message(session, PSI_NODES, NULL, &gathering->body);
	body_clear(&gathering->body);
	return gathering->error;
}

/* Begins to send infos: a thousand of them are more than one step. Sends none if the dialect is not
 * known: the peer would not believe one of the two orders. */
static int send_nodes(struct session *session, enum dialect dialect)
{
	struct gathering *gathering = &session->gathering;

	if (dialect == DIALECT_UNKNOWN)
		return send_message(session, PSI_NODES, NULL, &gathering->body);
	gathering->active = true;
	gathering->dialect = dialect;
	return gather_some(session);
}

static enum dialect dialect_of(const struct session *session, enum info_order order)
{
	if (session->codec == &dialect_cbor)
		return DIALECT_06;
	return order == ORDER_ADDRESSES_FIRST ? DIALECT_071 : DIALECT_07;
}

/* Returns the dialect that the peer has shown so far, or DIALECT_UNKNOWN. */
static enum dialect shown_dialect(const struct session *session)
{
	if (session->codec == &dialect_cbor)
		return DIALECT_06;
	if (session->own.known)
		return dialect_of(session, session->own.order);
	if (session->others.known)
		return dialect_of(session, session->others.order);
	return DIALECT_UNKNOWN;
}

/* Returns the dialect that the peer is taken to speak: the one that it has shown, or else the one
 * that it spoke before. */
static enum dialect assumed_dialect(const struct session *session)
{
	enum dialect shown = shown_dialect(session);

	if (shown != DIALECT_UNKNOWN)
		return shown;
	return session->dialect == DIALECT_06 ? DIALECT_UNKNOWN : session->dialect;
}

static int tell_dialect(struct session *session)
{
	enum dialect dialect = shown_dialect(session);

	if (dialect == DIALECT_UNKNOWN)
		return 0;
	return push(session, &(struct session_effect){.type = SESSION_DIALECT, .dialect = dialect});
}

/* Finds out the dialect from the signature of an info: in postcard nothing else tells the two
 * dialects apart. Infos come in the order of a BTreeMap, that of the ids. So the remote's own info,
 * which counts, may come after infos of other nodes, which cannot all be kept until then: the order
 * of the first of those that is recognised is remembered. */
static void recognise(struct session *session, const struct id *node, struct info *info)
{
	struct shown *shown = id_equal(node, &session->remote) ? &session->own : &session->others;
	enum dialect dialect = assumed_dialect(session);

	/* If there is nothing to go by, 0.7.1 is assumed, which applications use today. */
	info->order = dialect_order(dialect == DIALECT_UNKNOWN ? DIALECT_071 : dialect);
	if (session->codec == &dialect_cbor || shown->known || shown->tries == RECOGNISE_TRIES)
		return;
	shown->tries++;
	if (info_verify(info, node, info->order) == 0) {
		shown->known = true;
		shown->order = info->order;
	}
}

static int take_info(struct session *session, const struct id *node, struct info *info)
{
	recognise(session, node, info);
	session->reader.skip_infos = ++session->infos >= LIMIT_NODES;
	return push(
		session, &(struct session_effect){.type = SESSION_INFO, .id = *node, .info = info});
}

static int take_salt(struct session *session, const uint8_t salt[PSI_SALT_SIZE])
{
	enum psi_side other = session->role == SESSION_ALICE ? PSI_BOB : PSI_ALICE;

	if (session->role == SESSION_ALICE) {
		memcpy(session->salts.bob, salt, PSI_SALT_SIZE);
	} else {
		memcpy(session->salts.alice, salt, PSI_SALT_SIZE);
		session->random.fill(session->random.context, session->salts.bob, PSI_SALT_SIZE);
	}
	return psi_new(&session->salts, other, session->topics, session->topics_count,
		&session->random, &session->psi);
}

static int take_hash(struct session *session, const struct id *hash)
{
	struct session_effect effect = {.type = SESSION_SHARED};

	return psi_find(session->psi, hash, &effect.id) ? push(session, &effect) : 0;
}

static void await(struct session *session, enum psi_message message)
{
	session->awaited = message;
	session->codec->begin(&session->reader, message);
}

/* Handles the end of a message: sends the answer, and awaits the next message. */
static int take_end(struct session *session)
{
	int error = 0;

	switch (session->awaited) {
	case PSI_ALICE_SALT_HALF:
		if (session->codec == &dialect_cbor)
			error = tell_dialect(session);
		if (!error)
			error = send_hashes(
				session, PSI_BOB_SALT_HALF_AND_HASHED_DATA, session->salts.bob);
		await(session, PSI_ALICE_HASHED_DATA);
		break;
	case PSI_BOB_SALT_HALF_AND_HASHED_DATA:
		if (session->codec == &dialect_cbor)
			error = tell_dialect(session);
		if (!error)
			error = send_hashes(session, PSI_ALICE_HASHED_DATA, NULL);
		await(session, PSI_NODES);
		break;
	case PSI_ALICE_HASHED_DATA:
		error = send_nodes(session, assumed_dialect(session));
		await(session, PSI_NODES);
		break;
	case PSI_NODES:
	case PSI_MESSAGES:
		if (session->codec == &dialect_postcard)
			error = tell_dialect(session);
		if (!error && session->role == SESSION_ALICE)
			error = send_nodes(session, assumed_dialect(session));
		session->done = !error;
		break;
	}
	return error;
}

static int take_piece(struct session *session, const struct piece *piece)
{
	switch (piece->type) {
	case PIECE_SALT:
		return take_salt(session, piece->salt);
	case PIECE_HASH:
		return take_hash(session, &piece->id);
	case PIECE_INFO:
		return take_info(session, &piece->id, piece->info);
	case PIECE_SKIPPED:
		counters_add(session->counters, COUNTER_LIMIT_INFOS, 1);
		return 0;
	case PIECE_END:
		return take_end(session);
	}
	return 0;
}

/* Recognises the codec by Alice's first byte: a map of one pair, or the length of a frame.
 * ERROR_INVALID. */
static int recognise_codec(struct session *session, uint8_t first)
{
	if (first == 0xa1)
		session->codec = &dialect_cbor;
	else if (first == 0)
		session->codec = &dialect_postcard;
	else
		return ERROR_INVALID;
	await(session, PSI_ALICE_SALT_HALF);
	return ERROR_NONE;
}

static int receive(struct session *session, const uint8_t *data, size_t size, bool fin)
{
	struct piece piece;
	int error = 0;

	if (size > LIMIT_SESSION_BYTES - session->received)
		return ERROR_LIMIT;
	session->received += size;
	if (!session->codec && size > 0)
		error = recognise_codec(session, *data);
	while (session->codec && !error && !session->done) {
		int result = session->codec->read(&session->reader, &data, &size, &piece);

		if (result != 1) {
			error = result;
			break;
		}
		error = take_piece(session, &piece);
	}
	if (!error && fin && !session->done)
		error = ERROR_TRUNCATED;
	return error;
}

void session_receive(struct session *session, const uint8_t *data, size_t size, bool fin)
{
	if (!session->done && !session->error)
		session->error = receive(session, data, size, fin);
}

static int begin_alice(struct session *session)
{
	struct body body = {0};

	session->codec = session->dialect == DIALECT_06 ? &dialect_cbor : &dialect_postcard;
	session->random.fill(session->random.context, session->salts.alice, PSI_SALT_SIZE);
	await(session, PSI_BOB_SALT_HALF_AND_HASHED_DATA);
	return send_message(session, PSI_ALICE_SALT_HALF, session->salts.alice, &body);
}

int session_new(const struct session_config *config, struct session **out)
{
	struct session *session = NULL;
	int error = 0;

	*out = NULL;
	if (config->topics_count <= (SIZE_MAX - sizeof *session) / sizeof *session->topics)
		session = memory_zalloc(
			sizeof *session + config->topics_count * sizeof *session->topics);
	if (!session)
		return ERROR_NOMEM;
	session->role = config->role;
	session->remote = *config->remote;
	session->dialect = config->dialect;
	session->random = config->random;
	session->counters = config->counters;
	session->gather = config->gather;
	session->context = config->context;
	session->topics_count = config->topics_count;
	if (config->topics_count)
		memcpy(session->topics, config->topics,
			config->topics_count * sizeof *session->topics);
	if (session->role == SESSION_ALICE)
		error = begin_alice(session);
	if (error) {
		session_free(session);
		session = NULL;
	}
	*out = session;
	return error;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	while (session->first) {
		struct effect *next = session->first->next;

		frame_free(session->first->effect.frame);
		info_free(session->first->effect.info);
		memory_free(session->first);
		session->first = next;
	}
	body_clear(&session->gathering.body);
	psi_free(session->psi);
	memory_free(session);
}

bool session_effect(struct session *session, struct session_effect *out)
{
	struct effect *effect = session->first;

	if (effect) {
		*out = effect->effect;
		session->first = effect->next;
		if (!session->first)
			session->last = NULL;
		memory_free(effect);
		return true;
	}
	if (session->gathering.active && !session->error) {
		session->error = gather_some(session);
		*out = (struct session_effect){.type = SESSION_BUSY};
		return true;
	}
	if (session->told || (!session->done && !session->error))
		return false;
	session->told = true;
	*out = (struct session_effect){
		.type = session->error ? SESSION_FAILED : SESSION_DONE, .error = session->error};
	return true;
}

bool session_was_answered(const struct session *session)
{
	return session->received > 0;
}
