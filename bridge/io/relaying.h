/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The relays (relay/relays.h) on libuv: their effects are carried out with streams (stream.h), and
 * what the streams tell goes back into the relays. As long as no relay is connected to there is no
 * handle, no thread and nothing to wait for.
 *
 * The loop's thread; times are uv_hrtime. The owner calls relaying_tick when relaying_deadline has
 * come, and relaying_turn once in each turn of the loop, before it sleeps; the deadline may change
 * with every call and with every callback.
 */
#ifndef BRIDGE_IO_RELAYING_H
#define BRIDGE_IO_RELAYING_H

#include <uv.h>

#include "../node_types.h"
#include "../relay/relays.h"

struct relaying;

/* Called from the loop, and from within calls here that take the time. Within datagram and gone
 * nothing may be called but relaying_send, relaying_admit and what asks; within the others
 * everything but relaying_stop and relaying_free. What is pointed to is valid until such a call. */
struct relaying_callbacks {
	/* See relays_port. */
	void (*datagram)(void *context, const struct address *relay, const struct id *from,
		const uint8_t *data, size_t size, size_t segment);
	void (*gone)(void *context, const struct address *relay, const struct id *node);
	/* Where others find us has changed; NULL: nowhere. */
	void (*home)(void *context, const struct relay_url *url);
	/* RELAYS_UP, RELAYS_DOWN. */
	void (*changed)(void *context, const struct address *relay, bool up);
	/* A line for the log. */
	void (*log)(void *context, enum node_log_level level, const char *text);
	void *context;
};

struct relaying_config {
	uv_loop_t *loop;
	const struct identity *identity; /* must outlive the relaying, as the counters */
	struct random random;
	struct counters *counters;
	/* As in node_config; all copied. */
	const struct relay_url *relays;
	size_t relays_count;
	const char *token; /* NULL: none */
	const char *ca;	   /* NULL: none */
	bool any;
	struct relaying_callbacks callbacks;
};

/* Makes the relays, without any handle or connection. ERROR_NOMEM. */
int relaying_new(const struct relaying_config *config, struct relaying **out);
/* Adds a relay that the option peer or bootstrap names. ERROR_NOMEM. */
int relaying_add(struct relaying *relaying, const struct relay_url *url);
/* Begins to look for a home relay, if there are candidates. */
void relaying_start(struct relaying *relaying, uint64_t now);
/* Ends all connections, at once: nothing is called any more but closed(context), from the loop,
 * when the streams' handles are closed. Returns how often closed will be called: 1, or 0 if there
 * is no stream. NULL is fine. */
unsigned relaying_stop(
	struct relaying *relaying, uint64_t now, void (*closed)(void *context), void *context);
/* Frees the relays, when the loop has ended. NULL is fine. */
void relaying_free(struct relaying *relaying);

/* Asks the relays; see relays_admit, and for the functions below relays_url, relays_home,
 * relays_state and relays_is_up. Only tests call relaying_url and relaying_is_up. */
bool relaying_admit(struct relaying *relaying, uint64_t now, const struct relay_url *url);
const struct relay_url *relaying_url(
	const struct relaying *relaying, const struct address *relay);
const struct relay_url *relaying_home(const struct relaying *relaying);
enum relays_state relaying_state(const struct relaying *relaying);
bool relaying_is_up(const struct relaying *relaying, const struct address *relay);

/* Sends datagrams to a node by a relay, see relays_send. They are written at the end of the turn,
 * or as soon as there are many. */
bool relaying_send(struct relaying *relaying, uint64_t now, const struct address *relay,
	const struct id *to, const uint8_t *data, size_t size, size_t segment);

/* Carries out what is due. NULL is fine, here and below. */
void relaying_tick(struct relaying *relaying, uint64_t now);
/* Writes what was sent in this turn. */
void relaying_turn(struct relaying *relaying, uint64_t now);
/* Returns when relaying_tick is wanted; UINT64_MAX: never. */
uint64_t relaying_deadline(const struct relaying *relaying);

#endif
