/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the two files of a node share: node.c (the owner's thread: node.h, beginning and end) and
 * node_thread.c (the node's thread: what the owner wants, in turns, and what it is told).
 */
#ifndef BRIDGE_NODE_INTERNAL_H
#define BRIDGE_NODE_INTERNAL_H

#include <pthread.h>
#include <utlist.h>
#include <uv.h>

#include "flow.h"
#include "io/driver.h"
#include "mailbox.h"
#include "memory.h"
#include "node.h"
#include "time.h"

enum command_type {
	COMMAND_JOIN,
	COMMAND_LEAVE,
	COMMAND_PUBLISH,
	COMMAND_SIGN,	  /* sign and publish; the body is the value */
	COMMAND_VERIFY,	  /* or verify no more */
	COMMAND_RECORD,
	COMMAND_ASK,
	COMMAND_SET_PEER,
	COMMAND_REMOVE_PEER,
	COMMAND_SET_ACCESS,
	COMMAND_STOP
};

struct command {
	struct parcel parcel; /* first */
	enum command_type type;
	struct id topic;
	struct message *message;
	struct command *prev, *next; /* in node.owed */
	bool verify; /* of VERIFY; of SET_PEER: trusted */
	struct picture_question question;
	/* RECORD: sizes of key and value; SIGN: value_size of the body; SET_ACCESS: counts of ids
	 * that are allowed, and denied. */
	size_t key_size, value_size;
	/* RECORD: key, value; SIGN: body; SET_PEER: a struct node_peer; SET_ACCESS: ids */
	_Alignas(struct node_peer) uint8_t record[];
};

struct event {
	struct parcel parcel; /* first */
	struct node_event event;
};

struct node {
	uv_loop_t loop;
	uv_async_t async;     /* wakes the node's thread */
	uv_prepare_t turn_over;
	pthread_t thread;
	struct driver *driver;
	struct mailbox commands, events;
	struct flows outgoing, incoming; /* what is under way in these, by overlay */
	bool waits;
	/* The owner's wait for a flow of outgoing to be low. */
	pthread_mutex_t lock;
	pthread_cond_t is_low;
	uint64_t waited_ns; /* in this turn of the owner's */
	/* While overlays stand (outgoing), or are not read (incoming): looks at them again. */
	uv_timer_t again_timer;
	bool stopping; /* after all that is under way */
	unsigned owner_taken; /* events since the mailbox was looked at: the owner's */
	/* Joins for which there was no memory, in the commands that asked for them. */
	struct command *owed;
	uv_timer_t owed_timer;
	void (*wake)(void *context);
	void *context;
	unsigned unheard_commands; /* the node's thread is not woken for them yet; owner only */
	unsigned unheard_events;   /* the owner is not woken for them yet; node's thread only */
	struct counters counters;
	struct address *bound;
	size_t bound_count;
	_Atomic size_t overlays, neighbours, connections, waiting, relayed;
	_Atomic uint64_t overlays_changes, nodes_changes;
	char (*relays)[RELAY_URL_SIZE]; /* URLs of the configuration, as long as the node lives */
	size_t relays_count;
	_Atomic unsigned relay; /* index in relays, and its state: RELAY_NOW */
	atomic_bool measuring; /* whether the length of turns is measured */
	uint64_t turn_began;   /* in thread_ns; 0: not measured; node's thread only */
	_Atomic uint64_t longest_turn;
	size_t ahead; /* bytes for memory_ahead */
	bool ended; /* there is no thread any more; owner only */
	size_t kept; /* messages, for node_kept */
};

/* The index of a relay and its state in one number, so that both always belong together. */
#define RELAY_NOW(index, state) ((unsigned)(index) << 8 | (unsigned)(state))

/* So many commands or events are handed over without waiting for the end of the turn: the other
 * thread has work meanwhile, and the mailbox does not fill up. */
#define UNHEARD_MOST 64

/* node_thread.c */

/* Runs the thread; context: the node. */
void node_thread_run(void *context);
/* Makes the loop's handles. Returns libuv's error, or 0. */
int node_thread_prepare(struct node *node);
/* Returns what the driver calls. */
struct driver_owner node_thread_owner(struct node *node);
/* Closes every handle of the node's. context: the node. */
void node_thread_stopped(void *context);
/* Keeps which relay is the home, and its state; home NULL: none is yet, and the first of the
 * configuration stands for it. */
void node_thread_relay(void *context, const struct relay_url *home, enum node_relay_state state);
/* Joins that are owed are given up: the thread has ended. */
void node_thread_forget(struct node *node);

#endif
