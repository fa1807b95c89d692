/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/discovery/mdns.h"
#include "bridge/error.h"
#include "support_heap.h"
#include "support_packet.h"

#define MS UINT64_C(1000000)

/* One node under virtual time. */
struct bed {
	uint64_t now;
	uint64_t seed;
	struct random random;
	struct counters counters;
	struct identity identity;
	struct info *infos[ORDERS];
	struct mdns *mdns;
	unsigned queries, answers[ORDERS], found;
	uint64_t answered, queried; /* when last */
	/* The last ones. */
	uint8_t packets[ORDERS][MDNS_PACKET_SIZE];
	size_t sizes[ORDERS];
	struct id found_id;
	struct info *found_info;
};

static void check_range(uint64_t value, uint64_t least, uint64_t most)
{
	if (value < least || value > most)
		fail_msg("%llu is not from %llu to %llu", (unsigned long long)value,
			(unsigned long long)least, (unsigned long long)most);
}

static struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

static void make_infos(struct bed *bed, const char *one, const char *two)
{
	struct address addresses[] = {address(one), address(two)};
	struct info_time time = {1700000000000000 + bed->now / 1000, 0};

	for (unsigned i = 0; i < ORDERS; i++) {
		info_free(bed->infos[i]);
		assert_int_equal(
			info_sign(&bed->identity, time, i, NULL, addresses, 2, &bed->infos[i]), 0);
	}
}

static void begin(struct bed *bed, enum mdns_mode mode, unsigned number)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];

	memset(bed, 0, sizeof *bed);
	memset(secret, (int)number, sizeof secret);
	bed->now = 5000 * MS;
	bed->seed = number;
	bed->random = random_seeded(&bed->seed);
	assert_int_equal(identity_from_secret(secret, &bed->identity), 0);
	make_infos(bed, "10.0.0.1:2022", "[fd00::1]:2022");
	assert_int_equal(
		mdns_new(&bed->identity.id, mode, &bed->random, &bed->counters, &bed->mdns), 0);
}

static void set_infos(struct bed *bed)
{
	assert_int_equal(mdns_set_infos(bed->mdns, bed->now,
				 (const struct info *const[]){bed->infos[0], bed->infos[1]}),
		0);
}

static void end(struct bed *bed)
{
	mdns_free(bed->mdns);
	for (unsigned i = 0; i < ORDERS; i++)
		info_free(bed->infos[i]);
	info_free(bed->found_info);
	identity_clear(&bed->identity);
}

static bool is_query(const uint8_t *packet)
{
	return !(packet[2] & 0x80);
}

/* Which of our infos a packet tells. */
static unsigned order_of(const struct bed *bed, const uint8_t *packet, size_t size)
{
	char text[256];

	for (unsigned i = 0; i < ORDERS; i++) {
		if (!bed->infos[i])
			continue;
		assert_int_equal(info_encode_text(bed->infos[i], text, sizeof text), 0);
		if (memmem(packet, size, text, strlen(text)))
			return i;
	}
	fail_msg("a packet with none of our infos");
	return 0;
}

static void effects(struct bed *bed)
{
	struct mdns_effect effect;
	unsigned order;

	while (mdns_effect(bed->mdns, bed->now, &effect)) {
		if (effect.type == MDNS_FOUND) {
			bed->found++;
			info_free(bed->found_info);
			bed->found_info = effect.info;
			bed->found_id = effect.node;
		} else if (is_query(effect.packet)) {
			bed->queries++;
			bed->queried = bed->now;
		} else {
			order = order_of(bed, effect.packet, effect.size);
			bed->answers[order]++;
			bed->answered = bed->now;
			memcpy(bed->packets[order], effect.packet, effect.size);
			bed->sizes[order] = effect.size;
		}
	}
	/* What was due is done. */
	assert_true(mdns_deadline(bed->mdns) > bed->now);
}

static void run(struct bed *bed, uint64_t duration)
{
	uint64_t over = bed->now + duration;

	effects(bed);
	while (mdns_deadline(bed->mdns) <= over) {
		bed->now = mdns_deadline(bed->mdns);
		effects(bed);
	}
	bed->now = over;
}

static void receive(struct bed *bed, const void *packet, size_t size)
{
	/* Not one byte more, so that ASan sees a read beyond the end. */
	uint8_t *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, packet, size);
	mdns_receive(bed->mdns, bed->now, copy, size);
	free(copy);
	effects(bed);
}

static uint64_t count(const struct bed *bed, enum counter counter)
{
	return counters_get(&bed->counters, counter);
}

static void receive_packet(struct bed *bed, const struct packet *packet)
{
	assert_int_equal(packet->writer.error, 0);
	receive(bed, packet->bytes, writer_size(&packet->writer));
}

static void ask(struct bed *bed)
{
	struct packet packet;

	packet_begin(&packet, 0, 1, 0, 0);
	packet_question(&packet, SERVICE, 12, 1);
	receive_packet(bed, &packet);
}

/* --- tests --- */

static void active_announces_and_asks(void **state)
{
	struct bed bed;

	begin(&bed, MDNS_ACTIVE, 1);
	set_infos(&bed);
	effects(&bed);
	assert_int_equal(bed.answers[0], 1);
	assert_int_equal(bed.answers[1], 1);
	assert_int_equal(bed.queries, 1);
	/* Again after a second. Who asks also answers, at most once a second. */
	run(&bed, 10000 * MS);
	assert_true(bed.answers[0] >= 2 && bed.answers[0] <= 11);
	assert_int_equal(bed.answers[0], bed.answers[1]);
	assert_true(bed.queries >= 5 && bed.queries <= 8);
	/* A question is of 39 bytes as upstream's, an announcement fits into one packet. */
	assert_true(bed.sizes[0] <= 1452);
	end(&bed);
}

static void questions_become_rare(void **state)
{
	struct bed bed;
	unsigned before;

	begin(&bed, MDNS_ACTIVE, 1);
	set_infos(&bed);
	run(&bed, 600000 * MS);
	before = bed.queries;
	run(&bed, 600000 * MS);
	check_range(bed.queries - before, 18, 20);

	/* The same infos change nothing; others do. */
	before = bed.queries;
	set_infos(&bed);
	run(&bed, 5000 * MS);
	assert_true(bed.queries - before <= 1);
	make_infos(&bed, "10.0.0.2:2022", "[fd00::1]:2022");
	set_infos(&bed);
	before = bed.queries;
	run(&bed, 5000 * MS);
	assert_true(bed.queries - before >= 4);
	end(&bed);
}

static void changed_infos_are_announced_at_once(void **state)
{
	struct bed bed;
	uint64_t changed;

	begin(&bed, MDNS_ACTIVE, 1);
	set_infos(&bed);
	run(&bed, 100000 * MS);
	make_infos(&bed, "10.0.0.2:2022", "10.0.0.3:2022");
	set_infos(&bed);
	changed = bed.now;
	memset(bed.answers, 0, sizeof bed.answers);
	effects(&bed);
	assert_int_equal(bed.answers[0] + bed.answers[1], 2);
	assert_int_equal(bed.answered, changed);
	/* But not more than once a second, however often they change. */
	memset(bed.answers, 0, sizeof bed.answers);
	for (unsigned i = 0; i < 100; i++) {
		run(&bed, 50 * MS);
		make_infos(&bed, "10.0.0.2:2022", "10.0.0.3:2022");
		set_infos(&bed);
	}
	check_range(bed.answers[0], 4, 6);
	/* None: nothing is announced any more, and what was due is not sent. */
	memset(bed.answers, 0, sizeof bed.answers);
	assert_int_equal(mdns_set_infos(bed.mdns, bed.now,
				 (const struct info *const[]){NULL, NULL}),
		0);
	run(&bed, 10000 * MS);
	ask(&bed);
	run(&bed, 10000 * MS);
	assert_int_equal(bed.answers[0] + bed.answers[1], 0);
	end(&bed);
}

static void infos_that_go_while_they_are_sent(void **state)
{
	struct mdns_effect effect;
	struct bed bed;

	begin(&bed, MDNS_ACTIVE, 1);
	set_infos(&bed);
	assert_true(mdns_effect(bed.mdns, bed.now, &effect));
	assert_int_equal(mdns_set_infos(bed.mdns, bed.now,
				 (const struct info *const[]){NULL, bed.infos[1]}),
		0);
	info_free(bed.infos[0]);
	bed.infos[0] = NULL;
	run(&bed, 3000 * MS);
	assert_int_equal(bed.answers[0], 0);
	assert_true(bed.answers[1] >= 1);
	end(&bed);
}

static void passive_answers_only(void **state)
{
	struct bed bed;
	uint64_t asked;

	begin(&bed, MDNS_PASSIVE, 1);
	ask(&bed);
	assert_int_equal(mdns_deadline(bed.mdns), UINT64_MAX);
	set_infos(&bed);
	assert_int_equal(mdns_deadline(bed.mdns), UINT64_MAX);
	effects(&bed);
	assert_int_equal(bed.answers[0] + bed.answers[1] + bed.queries, 0);

	asked = bed.now;
	ask(&bed);
	run(&bed, 500 * MS);
	assert_int_equal(bed.answers[0], 1);
	assert_int_equal(bed.answers[1], 1);
	check_range(bed.answered - asked, 20 * MS, 120 * MS);
	assert_int_equal(mdns_deadline(bed.mdns), UINT64_MAX);

	/* The next question in the same second is answered at its end. */
	asked = bed.answered;
	ask(&bed);
	assert_int_equal(count(&bed, COUNTER_LIMIT_MDNS), 0);
	ask(&bed);
	assert_int_equal(count(&bed, COUNTER_LIMIT_MDNS), 1);
	run(&bed, 5000 * MS);
	assert_int_equal(bed.answers[0], 2);
	assert_int_equal(bed.answered - asked, 1000 * MS);
	assert_int_equal(bed.queries, 0);
	end(&bed);
}

static void a_flood_of_questions(void **state)
{
	struct bed bed;

	begin(&bed, MDNS_PASSIVE, 1);
	set_infos(&bed);
	for (unsigned i = 0; i < 10000; i++) {
		ask(&bed);
		run(&bed, MS);
	}
	check_range(bed.answers[0], 9, 11);
	assert_true(count(&bed, COUNTER_LIMIT_MDNS) > 9000);
	end(&bed);
}

/* What one tells the other. */
static void tell(struct bed *from, struct bed *to, enum info_order order)
{
	assert_true(from->sizes[order] > 0);
	receive(to, from->packets[order], from->sizes[order]);
}

static void nodes_find_each_other(void **state)
{
	struct bed a, b;

	begin(&a, MDNS_ACTIVE, 1);
	begin(&b, MDNS_PASSIVE, 2);
	set_infos(&a);
	set_infos(&b);
	run(&a, 100 * MS);
	tell(&a, &a, 0);
	assert_int_equal(a.found, 0);
	for (unsigned i = 0; i < ORDERS; i++) {
		tell(&a, &b, i);
		assert_int_equal(b.found, i + 1);
		assert_true(id_equal(&b.found_id, &a.identity.id));
		assert_true(info_equal(b.found_info, a.infos[i]));
		assert_int_equal(info_verify(b.found_info, &b.found_id, 0), 0);
		assert_int_equal(b.found_info->order, i);
	}
	/* Known ones are not reported, for a minute. */
	for (unsigned i = 0; i < 59; i++) {
		run(&b, 1000 * MS);
		tell(&a, &b, i % 2);
	}
	assert_int_equal(b.found, 2);
	run(&b, 1000 * MS);
	tell(&a, &b, 0);
	tell(&a, &b, 1);
	tell(&a, &b, 0);
	assert_int_equal(b.found, 4);
	/* Another info is reported at once. */
	make_infos(&a, "10.0.0.9:2022", "10.0.0.10:2023");
	a.now += 1000 * MS;
	set_infos(&a);
	run(&a, 100 * MS);
	tell(&a, &b, 1);
	assert_int_equal(b.found, 5);
	assert_true(info_equal(b.found_info, a.infos[1]));
	assert_int_equal(count(&b, COUNTER_MDNS_FOUND), 5);
	assert_int_equal(count(&b, COUNTER_BAD_PACKET), 0);
	end(&a);
	end(&b);
}

/* What a forger makes of a signature does not keep the real one away. */
static void forged_addresses_hide_nothing(void **state)
{
	uint8_t *port;
	struct bed a, b;

	begin(&a, MDNS_ACTIVE, 1);
	begin(&b, MDNS_PASSIVE, 2);
	set_infos(&a);
	run(&a, 100 * MS);
	port = memmem(a.packets[0], a.sizes[0], "\0\0\0\0\x07\xe6", 6); /* SRV: 2022 */
	assert_non_null(port);
	port[5]++;
	tell(&a, &b, 0);
	assert_int_equal(b.found, 1);
	assert_int_equal(info_verify(b.found_info, &b.found_id, 0), ERROR_INVALID);
	port[5]--;
	tell(&a, &b, 0);
	assert_int_equal(b.found, 2);
	assert_int_equal(info_verify(b.found_info, &b.found_id, 0), 0);
	end(&a);
	end(&b);
}

static unsigned told(struct bed *bed, enum info_order order)
{
	unsigned before = bed->answers[order];

	run(bed, 20000 * MS);
	ask(bed);
	run(bed, 2000 * MS);
	return bed->answers[order] - before;
}

static void only_what_others_understand_is_told(void **state)
{
	struct bed us, old, new, like_us;
	struct id nobody = {{7}};

	begin(&us, MDNS_PASSIVE, 1);
	begin(&old, MDNS_ACTIVE, 2);
	begin(&new, MDNS_ACTIVE, 3);
	begin(&like_us, MDNS_ACTIVE, 4);
	set_infos(&us);
	set_infos(&old);
	set_infos(&new);
	set_infos(&like_us);
	run(&old, 100 * MS);
	run(&new, 100 * MS);
	run(&like_us, 100 * MS);
	mdns_verified(us.mdns, us.now, &nobody, 0);

	tell(&old, &us, ORDER_TIMESTAMP_FIRST);
	/* Not verified: it may be forged. */
	assert_int_equal(told(&us, ORDER_ADDRESSES_FIRST), 1);
	mdns_verified(us.mdns, us.now, &old.identity.id, ORDER_TIMESTAMP_FIRST);
	assert_int_equal(told(&us, ORDER_ADDRESSES_FIRST), 0);
	assert_int_equal(told(&us, ORDER_TIMESTAMP_FIRST), 1);
	/* One that tells both takes both. */
	tell(&like_us, &us, 0);
	tell(&like_us, &us, 1);
	mdns_verified(us.mdns, us.now, &like_us.identity.id, 0);
	mdns_verified(us.mdns, us.now, &like_us.identity.id, 1);
	assert_int_equal(told(&us, ORDER_ADDRESSES_FIRST), 0);
	/* A peer of the other generation comes. */
	tell(&new, &us, ORDER_ADDRESSES_FIRST);
	mdns_verified(us.mdns, us.now, &new.identity.id, ORDER_ADDRESSES_FIRST);
	assert_int_equal(told(&us, ORDER_ADDRESSES_FIRST), 1);
	assert_int_equal(told(&us, ORDER_TIMESTAMP_FIRST), 1);
	/* The old one goes. */
	for (unsigned i = 0; i < 4; i++) {
		run(&us, 61000 * MS);
		tell(&new, &us, ORDER_ADDRESSES_FIRST);
		mdns_verified(us.mdns, us.now, &new.identity.id, ORDER_ADDRESSES_FIRST);
	}
	assert_int_equal(told(&us, ORDER_TIMESTAMP_FIRST), 0);
	assert_int_equal(told(&us, ORDER_ADDRESSES_FIRST), 1);
	/* Everybody goes: both again. */
	run(&us, 200000 * MS);
	assert_int_equal(told(&us, ORDER_TIMESTAMP_FIRST), 1);
	end(&us);
	end(&old);
	end(&new);
	end(&like_us);
}

/* An announcement of a node that does not exist, with a signature that is no good. */
static void forge(struct bed *bed, unsigned number)
{
	struct packet packet;
	struct bed forged;
	char name[128], text[256];

	memset(&forged, 0, sizeof forged);
	memcpy(forged.identity.id.bytes, &number, sizeof number);
	forged.identity.id.bytes[31] = 1;
	packet_instance_name(&forged.identity.id, name);
	memset(text, '0', 128);
	strcpy(text + 128, "|1/0");
	packet_begin(&packet, 0x8400, 0, 2, 1);
	packet_srv(&packet, name, 1, 2022, "x.local");
	packet_txt(&packet, name, 1, "", text);
	packet_record(&packet, "x.local", 1, 1, "\12\0\0\1", 4);
	receive_packet(bed, &packet);
}

static void many_nodes_answer_less_often(void **state)
{
	struct bed bed;
	unsigned before;

	begin(&bed, MDNS_PASSIVE, 1);
	set_infos(&bed);
	for (unsigned i = 0; i < 10; i++)
		forge(&bed, i);
	assert_int_equal(bed.found, 10);
	/* Somebody new may wait for the first answer. */
	ask(&bed);
	run(&bed, 1000 * MS);
	assert_int_equal(bed.answers[0], 1);
	for (unsigned i = 0; i < 100; i++) {
		ask(&bed);
		run(&bed, 1000 * MS);
	}
	check_range(bed.answers[0], 19, 22);
	/* However many there are, all of them are heard some time. */
	for (unsigned i = 0; i < 1000; i++) {
		forge(&bed, i);
		run(&bed, 20 * MS);
	}
	ask(&bed);
	run(&bed, 20000 * MS);
	before = bed.answers[0];
	for (unsigned i = 0; i < 100; i++) {
		ask(&bed);
		run(&bed, 1000 * MS);
	}
	check_range(bed.answers[0] - before, 9, 11);
	end(&bed);
}

static void a_flood_of_nodes(void **state)
{
	struct bed bed;

	heap_begin();
	begin(&bed, MDNS_PASSIVE, 1);
	for (unsigned i = 0; i < 500; i++)
		forge(&bed, i);
	assert_int_equal(bed.found, 100);
	assert_int_equal(count(&bed, COUNTER_LIMIT_INFOS), 400);
	/* What was not reported is when it is heard again. */
	run(&bed, 1000 * MS);
	for (unsigned i = 0; i < 200; i++)
		forge(&bed, i);
	assert_int_equal(bed.found, 200);
	for (unsigned i = 0; i < 20000; i++) {
		forge(&bed, i);
		bed.now += 10 * MS;
	}
	assert_true(heap_blocks() <= 2 * 1024 + 20);
	end(&bed);
	heap_end();
}

static void several_nodes_in_one_packet(void **state)
{
	struct packet packet;
	struct bed a, b, c;
	char names[2][128], texts[2][256];

	begin(&a, MDNS_PASSIVE, 1);
	begin(&b, MDNS_PASSIVE, 2);
	begin(&c, MDNS_PASSIVE, 3);
	packet_instance_name(&a.identity.id, names[0]);
	packet_instance_name(&b.identity.id, names[1]);
	assert_int_equal(info_encode_text(a.infos[0], texts[0], sizeof texts[0]), 0);
	assert_int_equal(info_encode_text(b.infos[1], texts[1], sizeof texts[1]), 0);
	packet_begin(&packet, 0x8400, 0, 4, 2);
	for (unsigned i = 0; i < 2; i++) {
		packet_txt(&packet, names[i], 1, "", texts[i]);
		packet_srv(&packet, names[i], 1, 2022, "host.local");
	}
	packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
	packet_record(&packet, "host.local", 28, 1, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	receive_packet(&c, &packet);
	assert_int_equal(c.found, 2);
	assert_true(id_equal(&c.found_id, &b.identity.id));
	assert_true(info_equal(c.found_info, b.infos[1]));
	end(&a);
	end(&b);
	end(&c);
}

/* What the packets are in detail: test_mdns_packet. */
static void what_is_counted(void **state)
{
	struct packet packet;
	struct bed a, b;
	char name[128], text[256];

	begin(&a, MDNS_PASSIVE, 1);
	begin(&b, MDNS_PASSIVE, 2);
	packet_instance_name(&a.identity.id, name);
	assert_int_equal(info_encode_text(a.infos[0], text, sizeof text), 0);

	/* None of ours. */
	receive(&b, "", 0);
	assert_int_equal(count(&b, COUNTER_BAD_PACKET), 0);
	/* Cut; user-data that is none. */
	receive(&b, "\0\0\x84\0\0\0\0\1\0\0\0\0\x0b_p2pandav1x", 24);
	assert_int_equal(count(&b, COUNTER_BAD_PACKET), 1);
	packet_begin(&packet, 0x8400, 0, 2, 1);
	packet_txt(&packet, name, 1, "", "0123|5/0");
	packet_srv(&packet, name, 1, 2022, "host.local");
	packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
	receive_packet(&b, &packet);
	assert_int_equal(count(&b, COUNTER_BAD_PACKET), 2);
	assert_int_equal(count(&b, COUNTER_LIMIT_INFOS), 0);
	/* More addresses than the limit, then more records. */
	for (unsigned many = 65; many <= 200; many += 135) {
		packet_begin(&packet, 0x8400, 0, 2, many);
		packet_txt(&packet, name, 1, "", text);
		packet_srv(&packet, name, 1, 2022, "h.local");
		for (unsigned i = 0; i < many; i++) {
			uint8_t ip[4] = {10, 0, 0, (uint8_t)i};

			packet_record(&packet, "h.local", 1, 1, ip, 4);
		}
		receive_packet(&b, &packet);
	}
	assert_int_equal(count(&b, COUNTER_LIMIT_INFOS), 2);
	assert_int_equal(count(&b, COUNTER_BAD_PACKET), 2);
	assert_int_equal(b.found, 0);
	end(&a);
	end(&b);
}

static void each_allocation_fails(void **state)
{
	struct bed a, b;
	struct mdns *mdns = NULL;
	bool over = false;
	int error;

	begin(&a, MDNS_ACTIVE, 1);
	set_infos(&a);
	run(&a, 100 * MS);
	begin(&b, MDNS_ACTIVE, 2);
	mdns_free(b.mdns);
	for (size_t n = 1; !over; n++) {
		heap_begin();
		heap_fail(n, n % 2);
		error = mdns_new(&b.identity.id, MDNS_ACTIVE, &b.random, &b.counters, &mdns);
		assert_int_equal(error, heap_has_failed() ? ERROR_NOMEM : 0);
		over = !heap_has_failed();
		heap_fail(0, false);
		if (!error)
			mdns_free(mdns);
		heap_end();
	}
	over = false;
	for (size_t n = 1; !over; n++) {
		heap_begin();
		assert_int_equal(
			mdns_new(&b.identity.id, MDNS_ACTIVE, &b.random, &b.counters, &b.mdns), 0);
		heap_fail(n, false);
		error = mdns_set_infos(b.mdns, b.now,
			(const struct info *const[]){b.infos[0], b.infos[1]});
		assert_int_equal(error, heap_has_failed() ? ERROR_NOMEM : 0);
		if (error) {
			/* Nothing has changed: nothing is announced, and it can be repeated. */
			b.answers[0] = b.answers[1] = 0;
			effects(&b);
			assert_int_equal(b.answers[0] + b.answers[1], 0);
			set_infos(&b);
		}
		over = !heap_has_failed();
		heap_fail(0, false);
		effects(&b);
		assert_int_equal(b.answers[0], 1);
		mdns_free(b.mdns);
		heap_end();
		b.answers[0] = b.answers[1] = 0;
	}
	over = false;
	for (size_t n = 1; !over; n++) {
		heap_begin();
		assert_int_equal(
			mdns_new(&b.identity.id, MDNS_PASSIVE, &b.random, &b.counters, &b.mdns), 0);
		heap_fail(n, n % 2);
		b.found = 0;
		mdns_receive(b.mdns, b.now, a.packets[0], a.sizes[0]);
		over = !heap_has_failed();
		heap_fail(0, false);
		mdns_free(b.mdns); /* with or without something found */
		heap_end();
	}
	assert_int_equal(mdns_new(&b.identity.id, MDNS_PASSIVE, &b.random, &b.counters, &b.mdns), 0);
	end(&a);
	end(&b);
}

static void never_without_a_use(void **state)
{
	struct bed bed;

	mdns_free(NULL);
	begin(&bed, MDNS_PASSIVE, 1);
	assert_int_equal(mdns_deadline(bed.mdns), UINT64_MAX);
	end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(active_announces_and_asks),
		cmocka_unit_test(questions_become_rare),
		cmocka_unit_test(changed_infos_are_announced_at_once),
		cmocka_unit_test(infos_that_go_while_they_are_sent),
		cmocka_unit_test(passive_answers_only),
		cmocka_unit_test(a_flood_of_questions),
		cmocka_unit_test(nodes_find_each_other),
		cmocka_unit_test(forged_addresses_hide_nothing),
		cmocka_unit_test(only_what_others_understand_is_told),
		cmocka_unit_test(many_nodes_answer_less_often),
		cmocka_unit_test(a_flood_of_nodes),
		cmocka_unit_test(several_nodes_in_one_packet),
		cmocka_unit_test(what_is_counted),
		cmocka_unit_test(each_allocation_fails),
		cmocka_unit_test(never_without_a_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
