/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A book, and short words for what happens to it: nodes and topics are numbers. */
#ifndef TESTS_UNIT_SUPPORT_BOOK_H
#define TESTS_UNIT_SUPPORT_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "bridge/peers/book.h"

#define MAX_NODES 4
#define MINUTE_US UINT64_C(60000000)
#define WALL	  (UINT64_C(1700000000) * 1000000)
#define FIRST	  ORDER_TIMESTAMP_FIRST
#define OTHER	  ORDER_ADDRESSES_FIRST

extern struct book *book;
extern struct counters counters;
extern struct id me;
extern uint64_t now; /* goes on by itself */
extern uint64_t seed;
/* The one that next_row has had. */
extern uint8_t row[BOOK_ROW_SIZE];
extern size_t row_size;

/* A book of MAX_NODES; the heap is watched. */
int setup(void **state);
int teardown(void **state);
/* An empty one. */
void renew(size_t max_nodes);

struct id node_id(uint32_t number);
struct id topic_id(uint32_t number);
uint32_t number_of(const struct id *id);
struct address address(const char *text);
struct address numbered(unsigned number);
/* Signed by nobody: that is not the book's business. */
struct info *info_of(uint32_t node, uint64_t us, enum info_order order,
	const struct address *addresses, size_t count);

uint64_t count_of(enum counter counter);
void configure_as(uint32_t node, enum book_role role, const char *text);
void configure(uint32_t node, const char *text);
int hear_from(uint32_t source, uint32_t node, const char *text, enum address_scope scope);
int hear(uint32_t node, const char *text);
/* An invention. */
int invent(uint32_t source, uint32_t node);
int insert_from(uint32_t source, uint32_t node, uint64_t us, enum info_order order,
	const char *text, enum address_scope scope, bool *fresh);
/* Whether it was fresh. */
bool insert(uint32_t node, uint64_t us, enum info_order order, const char *text);
void worked_at(uint64_t wall, uint32_t node, const char *text);
void worked(uint32_t node);
void unanswered(uint32_t node);
void link_to(uint32_t node, bool linked);
bool share(uint32_t node, uint32_t topic, bool shared);
bool shares(uint32_t node, uint32_t topic);
bool knows(uint32_t node);
bool is_stale(uint32_t node);
/* The candidates of a node, in order; NULL ends the list. */
void expect(uint32_t node, size_t expected_proven, ...);

/* The next row: that of which node? UINT32_MAX: there is none. */
uint32_t next_row(void);
void no_more_rows(void);
unsigned drain_rows(void);

/* Who was visited; nobody is twice. */
struct visits {
	unsigned count, most;
	uint32_t first;
	uint8_t seen[10000];
};
bool visit(void *context, const struct id *node);

double seconds(clock_t since);

/* Bytes of memory, in tests with these two. */
extern struct usage {
	size_t now, most;
} usage;
int setup_measured(void **state);
int teardown_measured(void **state);
/* Everybody with two infos of three addresses each, an address that worked, hearsay, and as
 * many topics as there may be. */
void fill(void);

#endif
