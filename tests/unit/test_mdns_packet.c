/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/discovery/mdns_packet.h"
#include "bridge/error.h"
#include "bridge/memory.h"
#include "support_packet.h"

/* A node that tells an info, and what the last packet said. */
struct bed {
	struct identity identity;
	struct info *info;
	char name[128], text[256];
	uint8_t *packet;
	struct mdns_contents contents;
};

static const struct id nobody = {{0xaa}};

static struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

static void begin(struct bed *bed)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	struct address addresses[] = {address("10.0.0.1:2022"), address("[fd00::1]:2022")};

	memset(bed, 0, sizeof *bed);
	assert_int_equal(identity_from_secret(secret, &bed->identity), 0);
	assert_int_equal(info_sign(&bed->identity, (struct info_time){1700000000000000, 0}, 0, NULL,
				 addresses, 2, &bed->info),
		0);
	packet_instance_name(&bed->identity.id, bed->name);
	assert_int_equal(info_encode_text(bed->info, bed->text, sizeof bed->text), 0);
}

static void end(struct bed *bed)
{
	free(bed->packet);
	info_free(bed->info);
	identity_clear(&bed->identity);
}

static void parse(struct bed *bed, const struct id *me, const void *packet, size_t size)
{
	/* Not one byte more, so that ASan sees a read beyond the end; kept, as the contents
	 * point into it. */
	free(bed->packet);
	bed->packet = malloc(size ? size : 1);
	assert_non_null(bed->packet);
	memcpy(bed->packet, packet, size);
	/* What is left of another packet does not matter. */
	memset(&bed->contents, 0xff, sizeof bed->contents);
	mdns_packet_parse(bed->packet, size, me, &bed->contents);
}

static void parse_packet(struct bed *bed, const struct packet *packet)
{
	assert_int_equal(packet->writer.error, 0);
	parse(bed, &nobody, packet->bytes, writer_size(&packet->writer));
}

/* The one node's info; NULL: none. */
static struct info *decode(struct bed *bed)
{
	struct info *info;

	assert_false(bed->contents.bad);
	assert_false(bed->contents.excess);
	assert_int_equal(bed->contents.instances_count, 1);
	assert_true(id_equal(&bed->contents.instances[0].id, &bed->identity.id));
	assert_int_equal(mdns_packet_decode_info(&bed->contents, 0, &info), 0);
	return info;
}

static void check_told(struct bed *bed)
{
	struct info *info = decode(bed);

	assert_non_null(info);
	assert_true(info_equal(info, bed->info));
	info_free(info);
}

static bool is_asked(struct bed *bed, const struct packet *packet)
{
	assert_int_equal(packet->writer.error, 0);
	parse(bed, &bed->identity.id, packet->bytes, writer_size(&packet->writer));
	assert_false(bed->contents.bad);
	return bed->contents.asked;
}

static void which_questions_are_ours(void **state)
{
	struct packet packet;
	struct bed bed;
	char other[128];
	const struct {
		const char *name;
		unsigned type, class, flags;
		bool ours;
	} questions[] = {
		{SERVICE, 12, 1, 0, true},
		{SERVICE, 12, 0x8001, 0, true}, /* QU */
		{SERVICE, 255, 255, 0, true},
		{"_P2PandaV1._UDP.Local", 12, 1, 0, true},
		{SERVICE, 16, 1, 0, false},
		{SERVICE, 12, 3, 0, false},
		{SERVICE, 12, 1, 0x8400, false}, /* an answer's question */
		{"_p2pandav2._udp.local", 12, 1, 0, false},
		{"x." SERVICE, 12, 1, 0, false},
		{"", 12, 1, 0, false},
		{bed.name, 33, 1, 0, true},
		{bed.name, 255, 1, 0, true},
		{other, 33, 1, 0, false},
	};

	begin(&bed);
	packet_instance_name(&nobody, other);
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		packet_begin(&packet, questions[i].flags, 1, 0, 0);
		packet_question(&packet, questions[i].name, questions[i].type, questions[i].class);
		assert_int_equal(is_asked(&bed, &packet), questions[i].ours);
		/* Among others, and with answers that are known already. */
		packet_begin(&packet, questions[i].flags, 3, 1, 0);
		packet_question(&packet, "_ipp._tcp.local", 12, 1);
		packet_question(&packet, questions[i].name, questions[i].type, questions[i].class);
		packet_question(&packet, "printer.local", 28, 0x8001);
		packet_record(&packet, "_ipp._tcp.local", 12, 1, "\1a\0", 3);
		assert_int_equal(is_asked(&bed, &packet), questions[i].ours);
	}
	end(&bed);
}

/* What we make we understand. */
static void there_and_back(void **state)
{
	struct mdns_packet packet;
	struct bed bed;

	begin(&bed);
	assert_int_equal(mdns_packet_make_query(&packet), 0);
	assert_int_equal(packet.size, 39); /* as upstream's */
	parse(&bed, &nobody, packet.bytes, packet.size);
	assert_true(bed.contents.asked);
	assert_int_equal(bed.contents.instances_count, 0);
	memory_free(packet.bytes);

	assert_int_equal(mdns_packet_make_answer(&bed.identity.id, bed.info, &packet), 0);
	parse(&bed, &nobody, packet.bytes, packet.size);
	assert_false(bed.contents.asked);
	check_told(&bed);
	/* Cut anywhere it tells nothing. */
	for (size_t size = 0; size < packet.size; size++) {
		parse(&bed, &nobody, packet.bytes, size);
		assert_int_equal(bed.contents.instances_count, 0);
	}
	assert_true(bed.contents.bad);
	memory_free(packet.bytes);
	end(&bed);
}

/* One node's announcement in all sorts of spellings. */
static void spellings(void **state)
{
	char upper[128], host[300];
	struct packet packet;
	struct info *info;
	struct bed bed;

	begin(&bed);
	for (size_t i = 0; i <= strlen(bed.name); i++)
		upper[i] = (char)(bed.name[i] >= 'a' && bed.name[i] <= 'z' ? bed.name[i] - 32
									   : bed.name[i]);

	/* Cache-flush bits, upper case, other attributes and records, other sections. */
	packet_begin(&packet, 0x8400, 1, 3, 5);
	packet_question(&packet, "x.local", 1, 1);
	packet_record(&packet, "host.local", 1, 0x8001, "\12\0\0\1", 4);
	packet_txt(&packet, upper, 0x8001, "relay=x", bed.text);
	packet_txt(&packet, bed.name, 0x8001, "", "second|1/1");
	packet_srv(&packet, upper, 0x8001, 2022, "HOST.local");
	packet_record(&packet, "Host.Local", 28, 0x8001, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	packet_record(&packet, "other.local", 1, 1, "\12\0\0\2", 4);
	packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
	packet_record(&packet, bed.name, 47, 1, "\0", 1);
	parse_packet(&bed, &packet);
	check_told(&bed);

	/* Two ports: two infos would be needed, this is another. */
	packet_begin(&packet, 0x8000, 0, 3, 1);
	packet_txt(&packet, bed.name, 1, "", bed.text);
	packet_srv(&packet, bed.name, 1, 2022, "host.local");
	packet_srv(&packet, bed.name, 1, 2023, "host.local");
	packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
	parse_packet(&bed, &packet);
	info = decode(&bed);
	assert_non_null(info);
	assert_int_equal(info_verify(info, &bed.identity.id, 0), ERROR_INVALID);
	info_free(info);

	/* Without one of the three it is nothing, and a query announces nothing. */
	for (unsigned without = 0; without < 4; without++) {
		packet_begin(
			&packet, without == 3 ? 0 : 0x8400, 0, 1 + (without >= 2), without != 2);
		if (without != 0)
			packet_txt(&packet, bed.name, 1, "", bed.text);
		if (without != 1)
			packet_srv(&packet, bed.name, 1, 4, "host.local");
		if (without != 2)
			packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
		parse_packet(&bed, &packet);
		assert_false(bed.contents.bad);
		if (without == 3)
			assert_int_equal(bed.contents.instances_count, 0);
		else
			assert_null(decode(&bed));
	}

	/* Names that are long, or of many strange bytes. */
	memset(host, 0, sizeof host);
	for (unsigned i = 0; i < 4; i++)
		memset(host + strlen(host), i == 3 ? '\n' : 'x', 60), strcat(host, ".");
	packet_begin(&packet, 0x8400, 0, 2, 1);
	packet_txt(&packet, bed.name, 1, "", bed.text);
	packet_srv(&packet, bed.name, 1, 2022, host);
	packet_record(&packet, host, 1, 1, "\12\0\0\1", 4);
	parse_packet(&bed, &packet);
	for (size_t i = 0; i < bed.contents.instances_count; i++) {
		assert_int_equal(mdns_packet_decode_info(&bed.contents, i, &info), 0);
		assert_null(info);
	}
	end(&bed);
}

static void malformed(void **state)
{
	struct packet packet;
	struct info *info;
	struct bed bed;

	begin(&bed);

	/* None of ours: not even bad. */
	parse(&bed, &nobody, "", 0);
	assert_false(bed.contents.bad);
	parse(&bed, &nobody, "\0\0\x84\0\0\0\0\1\0\0\0\0\4_ipp", 17);
	assert_false(bed.contents.bad);
	packet_begin(&packet, 0x8400, 0, 1, 0);
	packet_record(&packet, "x._ipp._tcp.local", 33, 1, "", 0);
	parse_packet(&bed, &packet);
	assert_false(bed.contents.bad);

	/* Cut, an instance that is no id, a SRV without target, a TXT that ends early, user-data
	 * that is none. */
	parse(&bed, &nobody, "\0\0\x84\0\0\0\0\1\0\0\0\0\x0b_p2pandav1x", 24);
	assert_true(bed.contents.bad);
	packet_begin(&packet, 0x8400, 0, 1, 0);
	packet_record(&packet, "x." SERVICE, 16, 1, "\0", 1);
	parse_packet(&bed, &packet);
	assert_true(bed.contents.bad);
	packet_begin(&packet, 0x8400, 0, 1, 0);
	packet_record(&packet, bed.name, 33, 1, "\0\0\0\0\0\1", 6);
	parse_packet(&bed, &packet);
	assert_true(bed.contents.bad);
	packet_begin(&packet, 0x8400, 0, 1, 0);
	packet_record(&packet, bed.name, 16, 1, "\x20user-data=", 11);
	parse_packet(&bed, &packet);
	assert_true(bed.contents.bad);
	packet_begin(&packet, 0x8400, 0, 2, 1);
	packet_txt(&packet, bed.name, 1, "", "0123|5/0");
	packet_srv(&packet, bed.name, 1, 2022, "host.local");
	packet_record(&packet, "host.local", 1, 1, "\12\0\0\1", 4);
	parse_packet(&bed, &packet);
	assert_false(bed.contents.bad);
	assert_int_equal(mdns_packet_decode_info(&bed.contents, 0, &info), ERROR_INVALID);
	/* A name that points to itself. */
	packet_begin(&packet, 0x8400, 0, 1, 0);
	packet_name(&packet, SERVICE);
	packet.bytes[12] = 0xc0;
	packet.bytes[13] = 0x0c;
	parse_packet(&bed, &packet);
	assert_int_equal(bed.contents.instances_count, 0);
	end(&bed);
}

static void more_than_the_limits(void **state)
{
	struct packet packet;
	struct info *info;
	struct bed bed;
	struct id id;
	char name[128];

	begin(&bed);
	/* Addresses of one node, then records. */
	for (unsigned many = 65; many <= 200; many += 135) {
		packet_begin(&packet, 0x8400, 0, 2, many);
		packet_txt(&packet, bed.name, 1, "", bed.text);
		packet_srv(&packet, bed.name, 1, 2022, "h.local");
		for (unsigned i = 0; i < many; i++) {
			uint8_t ip[4] = {10, 0, 0, (uint8_t)i};

			packet_record(&packet, "h.local", 1, 1, ip, 4);
		}
		parse_packet(&bed, &packet);
		assert_int_equal(bed.contents.excess, many > LIMIT_MDNS_RECORDS);
		assert_int_equal(mdns_packet_decode_info(&bed.contents, 0, &info), ERROR_LIMIT);
	}
	/* Others' records are no excess of ours. */
	packet_begin(&packet, 0x8400, 0, 200, 0);
	for (unsigned i = 0; i < 200; i++)
		packet_record(&packet, "h.local", 1, 1, "\12\0\0\1", 4);
	parse_packet(&bed, &packet);
	assert_false(bed.contents.excess);
	/* Nodes. */
	id = bed.identity.id;
	packet_begin(&packet, 0x8400, 0, 40, 0);
	for (unsigned i = 0; i < 40; i++) {
		id.bytes[0] = (uint8_t)i;
		packet_instance_name(&id, name);
		packet_record(&packet, name, 16, 1, "\0", 1);
	}
	parse_packet(&bed, &packet);
	assert_true(bed.contents.excess);
	assert_false(bed.contents.bad);
	assert_int_equal(bed.contents.instances_count, LIMIT_MDNS_INSTANCES);
	end(&bed);
}

/* Upstream reads 1472 bytes. */
static void all_addresses_of_a_node_fit(void **state)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct mdns_packet packet;
	struct bed bed;

	begin(&bed);
	/* On four ports; as many ports as addresses do not, but we read them all the same. */
	for (unsigned ports = 4; ports <= LIMIT_ADDRESSES_PER_NODE; ports *= 4) {
		for (unsigned i = 0; i < LIMIT_ADDRESSES_PER_NODE; i++) {
			addresses[i] = address("[2001:db8::1]:2022");
			addresses[i].ip[15] = (uint8_t)i;
			addresses[i].port = (uint16_t)(65535 - i % ports);
		}
		info_free(bed.info);
		assert_int_equal(
			info_sign(&bed.identity, (struct info_time){UINT64_MAX, UINT64_MAX}, 0, NULL,
				addresses, LIMIT_ADDRESSES_PER_NODE, &bed.info),
			0);
		assert_int_equal(mdns_packet_make_answer(&bed.identity.id, bed.info, &packet), 0);
		if (ports == 4)
			assert_true(packet.size >= 800 && packet.size <= 1452);
		parse(&bed, &nobody, packet.bytes, packet.size);
		check_told(&bed);
		memory_free(packet.bytes);
	}
	end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_questions_are_ours),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(spellings),
		cmocka_unit_test(malformed),
		cmocka_unit_test(more_than_the_limits),
		cmocka_unit_test(all_addresses_of_a_node_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
