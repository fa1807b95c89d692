/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/memory.h"
#include "support_heap.h"

struct book *book;
struct counters counters;
struct id me;
uint64_t now, seed;
uint8_t row[BOOK_ROW_SIZE];
size_t row_size;
struct usage usage;

struct id node_id(uint32_t number)
{
	struct id id = {{0}};

	id.bytes[0] = 1;
	memcpy(id.bytes + 4, &number, sizeof number);
	return id;
}

struct id topic_id(uint32_t number)
{
	struct id id = node_id(number);

	id.bytes[0] = 2;
	return id;
}

uint32_t number_of(const struct id *id)
{
	uint32_t number;

	memcpy(&number, id->bytes + 4, sizeof number);
	return number;
}

struct address address(const char *text)
{
	struct address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

struct address numbered(unsigned number)
{
	return (struct address){.family = 4,
		.ip = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
		.port = 2022};
}

struct info *info_of(uint32_t node, uint64_t us, enum info_order order,
	const struct address *addresses, size_t count)
{
	uint8_t signature[IDENTITY_SIGNATURE_SIZE] = {(uint8_t)order};
	char text[2 * IDENTITY_SIGNATURE_SIZE + 32];
	struct id id = node_id(node);
	struct info *info;

	memcpy(signature + 1, &node, sizeof node);
	memcpy(signature + 8, &us, sizeof us);
	hex_encode(signature, sizeof signature, text);
	sprintf(text + 2 * sizeof signature, "|%llu/0", (unsigned long long)us);
	if (info_decode_text(text, strlen(text), &id, addresses, count, &info))
		return NULL;
	info->order = order;
	return info;
}

static void begin(size_t max_nodes)
{
	struct random random = random_seeded(&seed);

	assert_int_equal(book_new(&me, &random, &counters, max_nodes, &book), 0);
}

void renew(size_t max_nodes)
{
	book_free(book);
	memset(&counters, 0, sizeof counters);
	begin(max_nodes);
}

int setup(void **state)
{
	seed = 1;
	now = 1;
	memset(&counters, 0, sizeof counters);
	memset(&me, 0xee, sizeof me);
	heap_begin();
	begin(MAX_NODES);
	return 0;
}

int teardown(void **state)
{
	book_free(book);
	heap_end();
	return 0;
}

uint64_t count_of(enum counter counter)
{
	return counters_get(&counters, counter);
}

void configure_as(uint32_t node, enum book_role role, const char *text)
{
	struct id id = node_id(node);
	struct address one = address(text);

	assert_int_equal(book_configure(book, &id, role, &one, 1), 0);
}

void configure(uint32_t node, const char *text)
{
	configure_as(node, BOOK_TRUSTED, text);
}

int hear_from(uint32_t source, uint32_t node, const char *text, enum address_scope scope)
{
	struct id id = node_id(node), source_id = node_id(source);
	struct address one = address(text);

	return book_hear(book, now++, &id, &source_id, &one, 1, scope);
}

int invent(uint32_t source, uint32_t node)
{
	struct id id = node_id(node), source_id = node_id(source);
	struct address one = numbered(node);

	return book_hear(book, now++, &id, &source_id, &one, 1, ADDRESS_PRIVATE);
}

int hear(uint32_t node, const char *text)
{
	return hear_from(1000000, node, text, ADDRESS_PRIVATE);
}

int insert_from(uint32_t source, uint32_t node, uint64_t us, enum info_order order,
	const char *text, enum address_scope scope, bool *fresh)
{
	struct id id = node_id(node), source_id = node_id(source);
	struct address one = address(text);

	return book_insert_info(book, now++, WALL, &id, &source_id, scope,
		info_of(node, us, order, &one, 1), fresh);
}

bool insert(uint32_t node, uint64_t us, enum info_order order, const char *text)
{
	bool fresh;

	assert_int_equal(insert_from(node, node, us, order, text, ADDRESS_PRIVATE, &fresh), 0);
	return fresh;
}

void worked_at(uint64_t wall, uint32_t node, const char *text)
{
	struct id id = node_id(node);
	struct address one = address(text);

	book_worked(book, now++, wall, &id, &one);
}

void worked(uint32_t node)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address one = numbered(node);

	worked_at(WALL, node, address_format(&one, text));
}

void unanswered(uint32_t node)
{
	struct id id = node_id(node);

	book_failed(book, now++, WALL, &id);
}

void link_to(uint32_t node, bool linked)
{
	struct id id = node_id(node);

	book_set_linked(book, &id, linked);
}

bool share(uint32_t node, uint32_t topic, bool shared)
{
	struct id id = node_id(node), topic_of_it = topic_id(topic);

	return book_set_shared(book, now++, &id, &topic_of_it, shared);
}

bool shares(uint32_t node, uint32_t topic)
{
	struct id id = node_id(node), topic_of_it = topic_id(topic);

	return book_shares(book, &id, &topic_of_it);
}

bool knows(uint32_t node)
{
	struct id id = node_id(node);

	return book_knows(book, &id);
}

bool is_stale(uint32_t node)
{
	struct id id = node_id(node);

	return book_is_stale(book, &id);
}

void expect(uint32_t node, size_t expected_proven, ...)
{
	struct address candidates[BOOK_CANDIDATES], wanted;
	struct id id = node_id(node);
	size_t proven, count = book_candidates(book, &id, candidates, &proven), at = 0;
	const char *text;
	va_list texts;

	va_start(texts, expected_proven);
	while ((text = va_arg(texts, const char *))) {
		wanted = address(text);
		assert_true(at < count);
		assert_int_equal(address_compare(&candidates[at], &wanted), 0);
		at++;
	}
	va_end(texts);
	assert_int_equal(at, count);
	assert_int_equal(proven, expected_proven);
	assert_int_equal(book_candidates(book, &id, candidates, NULL), count);
}

uint32_t next_row(void)
{
	struct id id;

	return book_row(book, &id, row, &row_size) ? number_of(&id) : UINT32_MAX;
}

void no_more_rows(void)
{
	assert_int_equal(next_row(), UINT32_MAX);
}

unsigned drain_rows(void)
{
	unsigned count = 0;

	while (next_row() != UINT32_MAX)
		count++;
	return count;
}

bool visit(void *context, const struct id *node)
{
	struct visits *visits = context;
	uint32_t number = number_of(node);

	assert_int_equal(visits->seen[number]++, 0);
	if (visits->count++ == 0)
		visits->first = number;
	return visits->count < visits->most;
}

double seconds(clock_t since)
{
	return (double)(clock() - since) / CLOCKS_PER_SEC;
}

/* ---- what it costs ---- */

#define HEADER 16

static void *measured_alloc(void *context, size_t size)
{
	uint8_t *block;

	size = (size + 8 + 15) / 16 * 16; /* as malloc counts it */
	block = malloc(size + HEADER);
	if (!block)
		return NULL;
	memcpy(block, &size, sizeof size);
	usage.now += size;
	if (usage.now > usage.most)
		usage.most = usage.now;
	return block + HEADER;
}

static void measured_free(void *context, void *block)
{
	size_t size;

	if (!block)
		return;
	memcpy(&size, (uint8_t *)block - HEADER, sizeof size);
	usage.now -= size;
	free((uint8_t *)block - HEADER);
}

static void *measured_realloc(void *context, void *block, size_t size)
{
	void *moved = measured_alloc(context, size);
	size_t old;

	if (!moved || !block)
		return moved;
	memcpy(&old, (uint8_t *)block - HEADER, sizeof old);
	memcpy(moved, block, old < size ? old : size);
	measured_free(context, block);
	return moved;
}

static const struct memory measured = {measured_alloc, measured_realloc, measured_free, NULL};

int setup_measured(void **state)
{
	memset(&counters, 0, sizeof counters);
	memset(&usage, 0, sizeof usage);
	seed = 1;
	memory_set(&measured);
	begin(LIMIT_NODES);
	return 0;
}

int teardown_measured(void **state)
{
	book_free(book);
	book = NULL;
	memory_set(NULL);
	assert_int_equal(usage.now, 0);
	return 0;
}

void fill(void)
{
	struct id source;
	bool fresh;

	for (uint32_t node = 0; node < LIMIT_NODES; node++) {
		struct address addresses[] = {
			numbered(node), numbered(node + 1), address("[2001:db8::1]:1")};
		struct id id = node_id(node);

		source = node_id(100000 + node / 500);
		for (unsigned order = 0; order < ORDERS; order++)
			assert_int_equal(
				book_insert_info(book, now++, WALL, &id, &source, ADDRESS_PRIVATE,
					info_of(node, node + 1, order, addresses, 3), &fresh),
				0);
		assert_int_equal(book_hear(book, now++, &id, &source, addresses, 3, ADDRESS_PRIVATE), 0);
		if (node % 2)
			book_worked(book, now++, WALL, &id, &addresses[0]);
		for (uint32_t topic = 0; topic < 6; topic++)
			assert_true(share(node, (node * 7 + topic) % 1000, true));
	}
	assert_int_equal(book_size(book), LIMIT_NODES);
}
