/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bridge/bytes/postcard.h"
#include "bridge/discovery/dialect.h"
#include "bridge/discovery/session.h"
#include "bridge/error.h"
#include "support_heap.h"

#define TOPICS 8
#define NODES  6

/* The nodes of these tests, each with an info of either order. */
static struct identity identities[NODES];
static struct info *infos[NODES][ORDERS];

static int set_up(void **state)
{
	const struct address address = {4, {10, 0, 0, 1}, 4242};

	for (uint8_t i = 0; i < NODES; i++) {
		uint8_t secret[IDENTITY_SECRET_SIZE] = {i};

		assert_int_equal(identity_from_secret(secret, &identities[i]), 0);
		for (enum info_order order = 0; order < ORDERS; order++)
			assert_int_equal(info_sign(&identities[i], (struct info_time){1, i}, order, NULL,
						 &address, 1, &infos[i][order]),
				0);
	}
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < NODES; i++) {
		identity_clear(&identities[i]);
		for (enum info_order order = 0; order < ORDERS; order++)
			info_free(infos[i][order]);
	}
	return 0;
}

static struct id topic_of(unsigned number)
{
	struct id id = {{(uint8_t)number, (uint8_t)(number >> 8), 7}};

	return id;
}

/* One end: the session, and what it has said and done. */
struct end {
	struct session *session;
	struct counters counters;
	uint64_t seed;
	size_t node;	   /* which of the nodes it is */
	size_t others;	   /* of how many others it has an info */
	unsigned gathered; /* times */
	unsigned busy;	   /* likewise */
	enum info_order asked;
	size_t shared, infos, dialects;
	struct id topics[TOPICS];
	struct id nodes[NODES];
	enum dialect dialect;
	bool done;
	int error;
	uint8_t *out; /* what it has sent that the other has not received */
	size_t out_size, sent;
	size_t largest; /* frame */
	size_t infos_before_dialect;
	enum info_order last_order; /* of the last info */
};

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	struct end *end = context;

	end->gathered++;
	end->asked = order;
	for (size_t i = 0; i <= end->others; i++) {
		size_t node = (end->node + i) % NODES;

		/* One of the wrong order is left out, not sent. */
		emit(emitter, &identities[node].id, infos[node][!order]);
		if (!emit(emitter, &identities[node].id, infos[node][order]))
			return false;
	}
	return false;
}

static int begin(struct end *end, enum session_role role, size_t node, size_t remote,
	enum dialect dialect, const struct id *topics, size_t topics_count)
{
	size_t others = end->others;

	*end = (struct end){.node = node, .others = others, .seed = node + 1};
	return session_new(&(struct session_config){.role = role,
				   .remote = &identities[remote].id,
				   .dialect = dialect,
				   .topics = topics,
				   .topics_count = topics_count,
				   .random = random_seeded(&end->seed),
				   .counters = &end->counters,
				   .gather = gather,
				   .context = end},
		&end->session);
}

static void finish(struct end *end)
{
	session_free(end->session);
	free(end->out);
	*end = (struct end){0};
}

static void take(struct end *end)
{
	struct session_effect effect;

	while (session_effect(end->session, &effect)) {
		assert_false(end->done || end->error);
		switch (effect.type) {
		case SESSION_SEND:
			assert_null(effect.frame->body);
			assert_null(effect.frame->next);
			assert_int_equal(frame_size(effect.frame), effect.frame->head_size);
			if (effect.frame->head_size > end->largest)
				end->largest = effect.frame->head_size;
			end->out = realloc(end->out, end->out_size + effect.frame->head_size);
			memcpy(end->out + end->out_size, effect.frame->head,
				effect.frame->head_size);
			end->out_size += effect.frame->head_size;
			end->sent += effect.frame->head_size;
			frame_free(effect.frame);
			break;
		case SESSION_SHARED:
			if (end->shared < TOPICS)
				end->topics[end->shared] = effect.id;
			end->shared++;
			break;
		case SESSION_INFO:
			if (end->infos < NODES)
				end->nodes[end->infos] = effect.id;
			end->infos++;
			end->last_order = effect.info->order;
			info_free(effect.info);
			break;
		case SESSION_DIALECT:
			end->dialects++;
			end->dialect = effect.dialect;
			end->infos_before_dialect = end->infos;
			break;
		case SESSION_BUSY:
			end->busy++;
			break;
		case SESSION_DONE:
			end->done = true;
			break;
		case SESSION_FAILED:
			end->error = effect.error;
			assert_true(effect.error < 0);
			break;
		}
	}
}

static void receive(struct end *end, const uint8_t *bytes, size_t size, bool fin)
{
	uint8_t *part = malloc(size ? size : 1);

	/* Of its own size, so that ASan sees a read beyond it. */
	if (size)
		memcpy(part, bytes, size);
	session_receive(end->session, part, size, fin);
	free(part);
	take(end);
}

/* Hands over what from has said, in slices; whether there was anything. */
static bool hand_over(struct end *from, struct end *to, size_t slice)
{
	uint8_t *bytes = from->out;
	size_t size = from->out_size;

	from->out = NULL;
	from->out_size = 0;
	for (size_t at = 0; at < size; at += slice) {
		size_t here = size - at < slice ? size - at : slice;

		receive(to, bytes + at, here, false);
	}
	free(bytes);
	return size > 0;
}

static void talk(struct end *alice, struct end *bob, size_t slice)
{
	take(alice);
	take(bob);
	while (hand_over(alice, bob, slice) || hand_over(bob, alice, slice))
		;
}

static void assert_done(const struct end *end)
{
	assert_int_equal(end->error, 0);
	assert_true(end->done);
}

static bool has(const struct id *ids, size_t count, const struct id *id)
{
	for (size_t i = 0; i < count; i++) {
		if (id_equal(&ids[i], id))
			return true;
	}
	return false;
}

/* What Bob takes Alice to speak before he has her infos. */
static enum dialect expected_by_bob(enum dialect alice, enum dialect bob)
{
	if (alice == DIALECT_06)
		return DIALECT_06;
	return bob == DIALECT_06 ? DIALECT_UNKNOWN : bob;
}

static void one_pairing(enum dialect alice_dialect, enum dialect bob_dialect, size_t slice)
{
	struct id alice_topics[TOPICS], bob_topics[TOPICS];
	enum dialect bob_sends = expected_by_bob(alice_dialect, bob_dialect);
	/* Bob's infos show Alice an order, and she answers in it. */
	enum dialect final = bob_sends == DIALECT_UNKNOWN ? alice_dialect : bob_sends;
	struct end alice = {.others = 2}, bob = {.others = 1};

	for (unsigned i = 0; i < TOPICS; i++) {
		alice_topics[i] = topic_of(i);
		bob_topics[i] = topic_of(i + 5);
	}
	assert_int_equal(
		begin(&alice, SESSION_ALICE, 0, 1, alice_dialect, alice_topics, TOPICS), 0);
	assert_int_equal(begin(&bob, SESSION_BOB, 1, 0, bob_dialect, bob_topics, TOPICS), 0);
	talk(&alice, &bob, slice);
	assert_done(&alice);
	assert_done(&bob);
	assert_true(session_was_answered(alice.session));
	assert_int_equal(alice.shared, TOPICS - 5);
	assert_int_equal(bob.shared, TOPICS - 5);
	for (unsigned i = 5; i < TOPICS; i++) {
		struct id topic = topic_of(i);

		assert_true(has(alice.topics, alice.shared, &topic));
		assert_true(has(bob.topics, bob.shared, &topic));
	}
	assert_int_equal(bob.gathered, bob_sends != DIALECT_UNKNOWN);
	assert_int_equal(alice.infos, bob_sends == DIALECT_UNKNOWN ? 0 : 2);
	assert_int_equal(bob.infos, 3);
	assert_true(has(bob.nodes, bob.infos, &identities[0].id));
	assert_int_equal(alice.gathered, 1);
	assert_int_equal(alice.asked, dialect_order(final));
	assert_int_equal(alice.dialects, bob_sends != DIALECT_UNKNOWN);
	if (alice.dialects)
		assert_int_equal(alice.dialect, final);
	assert_int_equal(bob.dialects, 1);
	assert_int_equal(bob.dialect, final);
	finish(&alice);
	finish(&bob);
}

static void every_pairing_understands_each_other(void **state)
{
	static const size_t slices[] = {1, 7, 50, SIZE_MAX / 2};

	for (enum dialect alice = DIALECT_06; alice <= DIALECT_071; alice++) {
		for (enum dialect bob = DIALECT_UNKNOWN; bob <= DIALECT_071; bob++) {
			for (size_t i = 0; i < 4; i++)
				one_pairing(alice, bob, slices[i]);
		}
	}
}

static void nothing_to_say_is_fine(void **state)
{
	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
		struct end alice = {0}, bob = {0};

		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, dialect, NULL, 0), 0);
		assert_int_equal(begin(&bob, SESSION_BOB, 1, 0, DIALECT_UNKNOWN, NULL, 0), 0);
		assert_false(session_was_answered(alice.session));
		talk(&alice, &bob, 3);
		assert_done(&alice);
		assert_done(&bob);
		assert_int_equal(alice.shared, 0);
		/* Nothing comes after the end. */
		receive(&alice, (const uint8_t *)"x", 1, false);
		receive(&bob, NULL, 0, true);
		finish(&alice);
		finish(&bob);
	}
}

/* The messages of a peer, made at will. */
struct script {
	const struct dialect_codec *codec;
	struct psi_salts salts;
	struct writer writer;
	uint8_t bytes[65536];
};

static const struct dialect_codec *codec_of(enum dialect dialect)
{
	return dialect == DIALECT_06 ? &dialect_cbor : &dialect_postcard;
}

static void script_begin(struct script *script, enum dialect dialect)
{
	script->codec = codec_of(dialect);
	memset(&script->salts, 9, sizeof script->salts);
	writer_init(&script->writer, script->bytes, sizeof script->bytes);
}

static void script_hashes(struct script *script, enum psi_message message, enum psi_side side,
	const struct id *topics, size_t count)
{
	uint8_t bytes[4096];
	struct writer writer;

	writer_init(&writer, bytes, sizeof bytes);
	for (size_t i = 0; i < count; i++) {
		struct id hash;

		psi_hash(&script->salts, side, &topics[i], &hash);
		script->codec->write_hash(&writer, &hash);
	}
	script->codec->write_head(&script->writer, message,
		side == PSI_ALICE ? script->salts.alice : script->salts.bob, count,
		writer_size(&writer));
	writer_bytes(&script->writer, bytes, writer_size(&writer));
}

/* Their own order each: node 0's, then node 1's and so on; ORDERS for none. */
static void script_nodes(struct script *script, const enum info_order *orders, size_t count)
{
	uint8_t bytes[8192];
	struct writer writer;
	size_t sent = 0;

	writer_init(&writer, bytes, sizeof bytes);
	for (size_t i = 0; i < count; i++) {
		if (orders[i] == ORDERS)
			continue;
		sent++;
		script->codec->write_node(&writer, &identities[i].id, infos[i][orders[i]]);
	}
	script->codec->write_head(&script->writer, PSI_NODES, NULL, sent, writer_size(&writer));
	writer_bytes(&script->writer, bytes, writer_size(&writer));
	assert_int_equal(script->writer.error, 0);
}

/* Says all that is in the script so far, and begins anew. */
static void say(struct script *script, struct end *end)
{
	receive(end, script->bytes, writer_size(&script->writer), false);
	writer_init(&script->writer, script->bytes, sizeof script->bytes);
}

static void say_salt(struct script *script, struct end *end)
{
	script->codec->write_head(&script->writer, PSI_ALICE_SALT_HALF, script->salts.alice, 0, 0);
	say(script, end);
}

/* The remote is node 2. */
static void what_the_remotes_own_info_shows_counts(void **state)
{
#define TIME	  ORDER_TIMESTAMP_FIRST
#define ADDRESSES ORDER_ADDRESSES_FIRST
	static const struct {
		enum dialect configured;
		enum info_order orders[4];
		enum dialect shown, sent;
	} cases[] = {
		{DIALECT_07, {ORDERS, ORDERS, ADDRESSES, ORDERS}, DIALECT_071, DIALECT_071},
		{DIALECT_071, {ORDERS, ORDERS, TIME, ORDERS}, DIALECT_07, DIALECT_07},
		/* Among others that came first, or that are of the other order. */
		{DIALECT_07, {ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES}, DIALECT_071,
			DIALECT_071},
		{DIALECT_071, {ADDRESSES, ADDRESSES, TIME, ADDRESSES}, DIALECT_07, DIALECT_07},
		{DIALECT_07, {TIME, TIME, ADDRESSES, TIME}, DIALECT_071, DIALECT_071},
		/* Without it. */
		{DIALECT_07, {ADDRESSES, ADDRESSES, ORDERS, ORDERS}, DIALECT_071, DIALECT_071},
		{DIALECT_071, {ORDERS, ORDERS, ORDERS, TIME}, DIALECT_07, DIALECT_07},
		/* Without any. */
		{DIALECT_07, {ORDERS, ORDERS, ORDERS, ORDERS}, DIALECT_UNKNOWN, DIALECT_07},
		{DIALECT_071, {ORDERS, ORDERS, ORDERS, ORDERS}, DIALECT_UNKNOWN, DIALECT_071},
		/* CBOR needs no signature. */
		{DIALECT_06, {ORDERS, ORDERS, ORDERS, ORDERS}, DIALECT_06, DIALECT_06},
		{DIALECT_06, {TIME, ORDERS, TIME, ORDERS}, DIALECT_06, DIALECT_06},
	};
	static struct script script;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct end alice = {.others = 1}, bob = {0};

		assert_int_equal(
			begin(&alice, SESSION_ALICE, 0, 2, cases[i].configured, NULL, 0), 0);
		script_begin(&script, cases[i].configured);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
		script_nodes(&script, cases[i].orders, 4);
		say(&script, &alice);
		assert_done(&alice);
		assert_int_equal(alice.dialects, cases[i].shown != DIALECT_UNKNOWN);
		assert_int_equal(alice.dialect, cases[i].shown);
		assert_int_equal(alice.gathered, 1);
		assert_int_equal(alice.asked, dialect_order(cases[i].sent));
		if (cases[i].configured != DIALECT_06)
			assert_int_equal(
				alice.infos_before_dialect, alice.dialects ? alice.infos : 0);
		finish(&alice);

		/* Bob learns the same of Alice, too late to use it. */
		assert_int_equal(begin(&bob, SESSION_BOB, 0, 2, cases[i].configured, NULL, 0), 0);
		script_begin(&script, cases[i].configured);
		say_salt(&script, &bob);
		script_hashes(&script, PSI_ALICE_HASHED_DATA, PSI_ALICE, NULL, 0);
		script_nodes(&script, cases[i].orders, 4);
		say(&script, &bob);
		assert_done(&bob);
		assert_int_equal(bob.dialect, cases[i].shown);
		assert_int_equal(bob.asked, dialect_order(cases[i].configured));
		finish(&bob);
	}
}

/* Signatures are the owner's matter: a wrong one shows nothing and hurts nobody. */
static void wrong_signatures_are_passed_on(void **state)
{
	enum info_order orders[NODES] = {ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST,
		ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST,
		ORDER_TIMESTAMP_FIRST};
	static struct script script;

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
		struct end alice = {0};

		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 2, dialect, NULL, 0), 0);
		script_begin(&script, dialect);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
		for (size_t i = 0; i < NODES; i++)
			infos[i][ORDER_TIMESTAMP_FIRST]->time.logical ^= 1;
		script_nodes(&script, orders, NODES);
		for (size_t i = 0; i < NODES; i++)
			infos[i][ORDER_TIMESTAMP_FIRST]->time.logical ^= 1;
		say(&script, &alice);
		assert_done(&alice);
		assert_int_equal(alice.infos, NODES);
		assert_int_equal(alice.last_order, dialect_order(dialect));
		assert_int_equal(alice.dialects, dialect == DIALECT_06);
		assert_int_equal(alice.asked, dialect_order(dialect));
		finish(&alice);
	}
}

/* A verification takes as long as a hundred infos: a few have to do. */
static void not_every_info_is_verified(void **state)
{
	enum info_order orders[5] = {ORDER_ADDRESSES_FIRST, ORDER_ADDRESSES_FIRST,
		ORDER_ADDRESSES_FIRST, ORDER_ADDRESSES_FIRST, ORDER_ADDRESSES_FIRST};
	static struct script script;

	for (size_t wrong = 0; wrong < 5; wrong++) {
		struct end alice = {0};

		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 5, DIALECT_07, NULL, 0), 0);
		script_begin(&script, DIALECT_07);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
		for (size_t i = 0; i < wrong; i++)
			infos[i][ORDER_ADDRESSES_FIRST]->time.logical ^= 1;
		script_nodes(&script, orders, 5);
		for (size_t i = 0; i < wrong; i++)
			infos[i][ORDER_ADDRESSES_FIRST]->time.logical ^= 1;
		say(&script, &alice);
		assert_done(&alice);
		assert_int_equal(alice.infos, 5);
		assert_int_equal(alice.dialects, wrong < 3);
		/* Once it is known, the owner is told which to try first. */
		assert_int_equal(alice.last_order,
			wrong < 3 ? ORDER_ADDRESSES_FIRST : ORDER_TIMESTAMP_FIRST);
		finish(&alice);
	}
}

static void a_topic_is_shared_once(void **state)
{
	struct id topics[3] = {topic_of(1), topic_of(2), topic_of(1)};
	static struct script script;

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
		struct end alice = {0};
		uint64_t seed = 1;
		struct random random = random_seeded(&seed);

		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, dialect, topics, 3), 0);
		script_begin(&script, dialect);
		take(&alice);
		free(alice.out);
		alice.out = NULL;
		/* Her half is the first of her random source. */
		random.fill(random.context, script.salts.alice, PSI_SALT_SIZE);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, topics, 3);
		say(&script, &alice);
		assert_int_equal(alice.shared, 2);
		/* Her own hashes played back are none. */
		finish(&alice);
		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, dialect, topics, 3), 0);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_ALICE, topics, 3);
		say(&script, &alice);
		assert_int_equal(alice.shared, 0);
		assert_int_equal(alice.error, 0);
		finish(&alice);
	}
}

static void hashes_go_out_in_random_order(void **state)
{
	enum { MANY = 200 };
	static uint8_t first[65536];
	struct id topics[MANY];
	size_t equal = 0;

	for (unsigned i = 0; i < MANY; i++)
		topics[i] = topic_of(i);
	for (unsigned run = 0; run < 2; run++) {
		static struct script script;
		struct end bob = {0};

		assert_int_equal(
			begin(&bob, SESSION_BOB, run, 2, DIALECT_UNKNOWN, topics, MANY), 0);
		script_begin(&script, DIALECT_07);
		say_salt(&script, &bob);
		assert_int_equal(bob.out_size, 4 + 1 + 32 + 2 + MANY * 33);
		/* Undo the salt: which topic is where? */
		memcpy(script.salts.bob, bob.out + 5, 32);
		for (size_t i = 0; i < MANY; i++) {
			for (unsigned j = 0; j < MANY; j++) {
				struct id topic = topic_of(j), hash;

				psi_hash(&script.salts, PSI_BOB, &topic, &hash);
				if (memcmp(bob.out + 39 + i * 33 + 1, hash.bytes, 32))
					continue;
				if (run == 0)
					first[i] = (uint8_t)j;
				else
					equal += first[i] == (uint8_t)j;
			}
		}
		finish(&bob);
	}
	assert_true(equal < MANY / 4);
}

/* Everything that is not what is due. */
static void other_messages_are_refused(void **state)
{
	static struct script script;
	const enum info_order none[1] = {ORDERS};

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_07; dialect++) {
		for (unsigned due = 0; due < 5; due++) {
			for (enum psi_message said = 0; said < PSI_MESSAGES; said++) {
				enum session_role role = due < 3 ? SESSION_BOB : SESSION_ALICE;
				bool right = said ==
					     (due == 0		? PSI_ALICE_SALT_HALF
						     : due == 1 ? PSI_ALICE_HASHED_DATA
						     : due == 3 ? PSI_BOB_SALT_HALF_AND_HASHED_DATA
								: PSI_NODES);
				struct end end = {0};

				assert_int_equal(begin(&end, role, 0, 1, dialect, NULL, 0), 0);
				take(&end);
				script_begin(&script, dialect);
				if (due == 1 || due == 2)
					say_salt(&script, &end);
				if (due == 2)
					script_hashes(
						&script, PSI_ALICE_HASHED_DATA, PSI_ALICE, NULL, 0);
				if (due == 4)
					script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA,
						PSI_BOB, NULL, 0);
				say(&script, &end);
				assert_int_equal(end.error, 0);
				if (said == PSI_NODES)
					script_nodes(&script, none, 1);
				else if (said == PSI_ALICE_SALT_HALF)
					script.codec->write_head(
						&script.writer, said, script.salts.alice, 0, 0);
				else
					script_hashes(&script, said, PSI_ALICE, NULL, 0);
				say(&script, &end);
				assert_int_equal(end.error, right ? 0 : ERROR_INVALID);
				assert_int_equal(end.done, right && said == PSI_NODES);
				finish(&end);
			}
		}
	}
}

static void bob_knows_the_codec_by_the_first_byte(void **state)
{
	for (unsigned first = 0; first < 256; first++) {
		uint8_t byte = (uint8_t)first;
		struct end bob = {0};

		assert_int_equal(begin(&bob, SESSION_BOB, 0, 1, DIALECT_UNKNOWN, NULL, 0), 0);
		receive(&bob, NULL, 0, false);
		assert_false(session_was_answered(bob.session));
		receive(&bob, &byte, 1, false);
		assert_true(session_was_answered(bob.session));
		assert_int_equal(bob.error, first == 0xa1 || first == 0 ? 0 : ERROR_INVALID);
		finish(&bob);
	}
}

/* Both codecs, both roles, at every byte. */
static void an_early_end_is_seen(void **state)
{
	struct id topics[2] = {topic_of(1), topic_of(2)};
	const enum info_order orders[2] = {ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST};

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_07; dialect++) {
		for (enum session_role role = SESSION_ALICE; role <= SESSION_BOB; role++) {
			static struct script script;
			size_t size;

			script_begin(&script, dialect);
			if (role == SESSION_BOB) {
				script.codec->write_head(&script.writer, PSI_ALICE_SALT_HALF,
					script.salts.alice, 0, 0);
				script_hashes(&script, PSI_ALICE_HASHED_DATA, PSI_ALICE, topics, 2);
			} else {
				script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB,
					topics, 2);
			}
			script_nodes(&script, orders, 2);
			size = writer_size(&script.writer);
			for (size_t cut = 0; cut <= size; cut++) {
				struct end end = {0};

				assert_int_equal(begin(&end, role, 0, 1, dialect, topics, 2), 0);
				receive(&end, script.bytes, cut, true);
				assert_int_equal(end.done, cut == size);
				assert_int_equal(end.error, cut < size ? ERROR_TRUNCATED : 0);
				finish(&end);
				/* The end may come on its own. */
				assert_int_equal(begin(&end, role, 0, 1, dialect, topics, 2), 0);
				receive(&end, script.bytes, cut, false);
				assert_int_equal(end.error, 0);
				receive(&end, NULL, 0, true);
				assert_int_equal(end.error, cut < size ? ERROR_TRUNCATED : 0);
				finish(&end);
			}
		}
	}
}

static void a_session_has_an_end(void **state)
{
	static const uint8_t filling[65536];
	static struct script script;
	const uint8_t text[] = {0xa1, 0x7a, 0xff, 0xff, 0xff, 0xff};
	size_t taken = 0;
	struct end end = {0};

	/* A frame as large as a session may be, and something before it. */
	assert_int_equal(begin(&end, SESSION_BOB, 0, 1, DIALECT_07, NULL, 0), 0);
	script_begin(&script, DIALECT_07);
	say_salt(&script, &end);
	script_hashes(&script, PSI_ALICE_HASHED_DATA, PSI_ALICE, NULL, 0);
	script.bytes[0] = LIMIT_SESSION_BYTES >> 24;
	script.bytes[1] = LIMIT_SESSION_BYTES >> 16 & 255;
	script.bytes[3] = 0;
	say(&script, &end);
	for (; !end.error; taken += sizeof filling)
		receive(&end, filling, sizeof filling, false);
	assert_int_equal(end.error, ERROR_LIMIT);
	assert_true(taken <= LIMIT_SESSION_BYTES);
	assert_true(taken > LIMIT_SESSION_BYTES - 2 * sizeof filling);
	finish(&end);
	/* A name that does not end. */
	taken = 0;
	assert_int_equal(begin(&end, SESSION_BOB, 0, 1, DIALECT_06, NULL, 0), 0);
	receive(&end, text, sizeof text, false);
	for (; !end.error; taken += sizeof filling)
		receive(&end, filling, sizeof filling, false);
	assert_int_equal(end.error, ERROR_LIMIT);
	assert_true(taken <= LIMIT_SESSION_BYTES);
	finish(&end);
}

/* An info that no honest node has made costs itself, not the session. */
static void a_huge_info_is_skipped(void **state)
{
	static struct script script;
	static uint8_t body[32768];
	struct end alice = {0};
	struct writer writer;

	assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, DIALECT_07, NULL, 0), 0);
	script_begin(&script, DIALECT_07);
	script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
	writer_init(&writer, body, sizeof body);
	script.codec->write_hash(&writer, &identities[0].id);
	postcard_write_varint(&writer, 1);
	postcard_write_varint(&writer, 1);
	postcard_write_bytes(&writer, infos[0][0]->signature, 64);
	postcard_write_varint(&writer, 1);
	postcard_write_varint(&writer, 0);
	writer_bytes(&writer, identities[0].id.bytes, ID_SIZE);
	postcard_write_varint(&writer, 1000);
	for (unsigned i = 0; i < 1000; i++)
		writer_bytes(&writer, "\1\0\x0a\0\0\1\1", 7);
	script.codec->write_node(&writer, &identities[1].id, infos[1][0]);
	script.codec->write_head(&script.writer, PSI_NODES, NULL, 2, writer_size(&writer));
	writer_bytes(&script.writer, body, writer_size(&writer));
	assert_int_equal(script.writer.error, 0);
	say(&script, &alice);
	assert_done(&alice);
	assert_int_equal(alice.infos, 1);
	assert_true(id_equal(&alice.nodes[0], &identities[1].id));
	assert_int_equal(alice.dialect, DIALECT_07);
	assert_int_equal(counters_get(&alice.counters, COUNTER_LIMIT_INFOS), 1);
	finish(&alice);
}

static void an_info_that_cannot_be_read_ends_the_session(void **state)
{
	enum info_order orders[2] = {ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST};
	static struct script script;

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_07; dialect++) {
		struct end alice = {0};
		size_t before;

		assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, dialect, NULL, 0), 0);
		script_begin(&script, dialect);
		script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
		before = writer_size(&script.writer);
		script_nodes(&script, orders, 2);
		/* A byte of the first info's signature's length. */
		if (dialect == DIALECT_06) {
			uint8_t *signature = memmem(script.bytes + before,
				writer_size(&script.writer) - before, "\x58\x40", 2);

			signature[0] = 0x78;
		} else {
			script.bytes[before + 4 + 1 + 1 + 33 + 1 + 1] ^= 1;
		}
		say(&script, &alice);
		assert_int_equal(alice.error, ERROR_INVALID);
		assert_false(alice.done);
		assert_int_equal(alice.infos, 0);
		finish(&alice);
	}
}

/* A book as large as it gets. */
struct library {
	struct end *end;
	size_t nodes, taken;
};

/* So many at a time. */
#define SOME 30

static bool gather_some(
	void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	struct library *library = context;

	/* Whose info it is does not matter here, but that it names its node does. */
	for (size_t i = 0; i < SOME && library->taken < library->nodes; i++, library->taken++)
		if (!emit(emitter, &identities[0].id, infos[0][order]))
			return true; /* it is not asked again */
	return library->taken < library->nodes;
}

static struct session *session_of(enum session_role role, enum dialect dialect,
	const struct id *topics, size_t count, struct library *library)
{
	struct session *session;

	library->end->seed = role + 1;
	assert_int_equal(session_new(&(struct session_config){.role = role,
					     .remote = &identities[1].id,
					     .dialect = dialect,
					     .topics = topics,
					     .topics_count = count,
					     .random = random_seeded(&library->end->seed),
					     .counters = &library->end->counters,
					     .gather = gather_some,
					     .context = library},
				 &session),
		0);
	return session;
}

/* 1,000 topics and 1,000 infos each way. Not so slow as to be noticed: 100 ms on an ordinary
 * machine without sanitizers is what the node aims at, a verification each would be as much. */
static void large_sessions_are_quick(void **state)
{
	enum { MANY = 1000 };
	static struct id alice_topics[MANY], bob_topics[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		alice_topics[i] = topic_of(i);
		bob_topics[i] = topic_of(i + MANY / 2);
	}
	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
		struct end alice = {0}, bob = {0};
		struct library ours = {&alice, MANY + 5, 0}, theirs = {&bob, MANY, 0};
		clock_t start = clock();

		alice.session = session_of(SESSION_ALICE, dialect, alice_topics, MANY, &ours);
		bob.session = session_of(SESSION_BOB, dialect, bob_topics, MANY, &theirs);
		talk(&alice, &bob, 1200);
		assert_done(&alice);
		assert_done(&bob);
		assert_int_equal(alice.shared, MANY / 2);
		assert_int_equal(bob.shared, MANY / 2);
		assert_int_equal(alice.infos, MANY);
		assert_int_equal(bob.infos, LIMIT_INFOS_SENT);
		assert_int_equal(ours.taken, LIMIT_INFOS_SENT);
		/* Bit by bit. */
		assert_int_equal(alice.busy, LIMIT_INFOS_SENT / SOME);
		assert_int_equal(bob.busy, (MANY - 1) / SOME);
		assert_int_equal(counters_get(&alice.counters, COUNTER_LIMIT_INFOS), 1);
		assert_int_equal(counters_get(&bob.counters, COUNTER_LIMIT_INFOS), 0);
		assert_true(alice.largest <= 16384 && bob.largest <= 16384);
		if (getenv("TIMES"))
			print_message("%d: %.1f ms\n", dialect,
				1e3 * (double)(clock() - start) / CLOCKS_PER_SEC);
		assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
		finish(&alice);
		finish(&bob);
	}
}

static void of_endless_infos_as_many_as_fit_are_looked_at(void **state)
{
	enum { MANY = LIMIT_NODES + 100 };
	struct writer writer;
	struct end alice = {0};
	static struct script script;
	size_t size = 256 * MANY;
	uint8_t *body = malloc(size), head[DIALECT_HEAD_SIZE];

	assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, DIALECT_071, NULL, 0), 0);
	script_begin(&script, DIALECT_071);
	script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
	say(&script, &alice);
	writer_init(&writer, body, size);
	for (unsigned i = 0; i < MANY; i++)
		script.codec->write_node(
			&writer, &identities[2].id, infos[2][ORDER_ADDRESSES_FIRST]);
	size = writer_size(&writer);
	writer_init(&writer, head, sizeof head);
	script.codec->write_head(&writer, PSI_NODES, NULL, MANY, size);
	receive(&alice, head, writer_size(&writer), false);
	receive(&alice, body, size, false);
	assert_done(&alice);
	assert_int_equal(alice.infos, LIMIT_NODES);
	assert_int_equal(counters_get(&alice.counters, COUNTER_LIMIT_INFOS), 100);
	free(body);
	finish(&alice);
}

static void no_memory_ends_the_session(void **state)
{
	struct id topics[3] = {topic_of(1), topic_of(2), topic_of(3)};

	for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
		size_t n = 0;
		bool failed;

		heap_begin();
		do {
			struct end alice = {.others = 1}, bob = {.others = 1};

			heap_fail(++n, false);
			if (!begin(&alice, SESSION_ALICE, 0, 1, dialect, topics, 3) &&
				!begin(&bob, SESSION_BOB, 1, 0, dialect, topics, 3))
				talk(&alice, &bob, 100);
			failed = heap_has_failed();
			if (failed) {
				assert_false(alice.done && bob.done);
				assert_true(!alice.error || alice.error == ERROR_NOMEM);
				assert_true(!bob.error || bob.error == ERROR_NOMEM);
				assert_true(
					!alice.session || !bob.session || alice.error || bob.error);
			} else {
				assert_done(&alice);
				assert_done(&bob);
			}
			finish(&alice);
			finish(&bob);
			assert_int_equal(heap_blocks(), 0);
		} while (failed);
		assert_true(n > 30);
		heap_end();
	}
}

static void effects_that_nobody_takes_are_freed(void **state)
{
	struct end alice = {.others = 1};
	const enum info_order orders[2] = {ORDER_TIMESTAMP_FIRST, ORDER_TIMESTAMP_FIRST};
	static struct script script;

	heap_begin();
	assert_int_equal(begin(&alice, SESSION_ALICE, 0, 1, DIALECT_06, NULL, 0), 0);
	script_begin(&script, DIALECT_06);
	script_hashes(&script, PSI_BOB_SALT_HALF_AND_HASHED_DATA, PSI_BOB, NULL, 0);
	script_nodes(&script, orders, 2);
	session_receive(alice.session, script.bytes, writer_size(&script.writer), true);
	assert_true(heap_blocks() > 5);
	finish(&alice);
	session_free(NULL);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pairing_understands_each_other),
		cmocka_unit_test(nothing_to_say_is_fine),
		cmocka_unit_test(what_the_remotes_own_info_shows_counts),
		cmocka_unit_test(wrong_signatures_are_passed_on),
		cmocka_unit_test(not_every_info_is_verified),
		cmocka_unit_test(a_topic_is_shared_once),
		cmocka_unit_test(hashes_go_out_in_random_order),
		cmocka_unit_test(other_messages_are_refused),
		cmocka_unit_test(bob_knows_the_codec_by_the_first_byte),
		cmocka_unit_test(an_early_end_is_seen),
		cmocka_unit_test(a_session_has_an_end),
		cmocka_unit_test(a_huge_info_is_skipped),
		cmocka_unit_test(an_info_that_cannot_be_read_ends_the_session),
		cmocka_unit_test(large_sessions_are_quick),
		cmocka_unit_test(of_endless_infos_as_many_as_fit_are_looked_at),
		cmocka_unit_test(no_memory_ends_the_session),
		cmocka_unit_test(effects_that_nobody_takes_are_freed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
