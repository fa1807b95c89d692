/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "node.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utlist.h>
#include <uv.h>

#include "io/driver.h"
#include "mailbox.h"
#include "memory.h"

enum command_type {
	COMMAND_JOIN,
	COMMAND_LEAVE,
	COMMAND_PUBLISH,
	COMMAND_SIGN,	  /* and publish; the body is the value */
	COMMAND_VERIFY,	  /* or not */
	COMMAND_RECORD,
	COMMAND_STOP
};

struct command {
	struct mail mail; /* first */
	enum command_type type;
	struct id topic;
	struct message *message;
	struct command *prev, *next; /* of those that are owed */
	bool verify;
	size_t key_size, value_size; /* of a RECORD */
	uint8_t record[];	     /* key, value */
};

struct event {
	struct mail mail; /* first */
	struct node_event event;
};

struct node {
	uv_loop_t loop;
	uv_async_t async;     /* wakes the node's thread */
	uv_prepare_t turn_over;
	pthread_t thread;
	struct driver *driver;
	struct mailbox commands, events;
	/* Joins for which there was no memory, in the commands that asked for them. */
	struct command *owed;
	uv_timer_t owed_timer;
	void (*wake)(void *context);
	void *context;
	unsigned unheard_commands; /* the node's thread sleeps on them: the owner's */
	unsigned unheard_events;   /* likewise the owner: the node's thread's */
	struct counters counters;
	struct address *bound;
	size_t bound_count;
	_Atomic size_t overlays, neighbours, connections, waiting, relayed;
	char (*relays)[RELAY_URL_SIZE]; /* the configuration's, as long as the node lives */
	size_t relays_count;
	_Atomic unsigned relay; /* which of them, and its state: RELAY_NOW */
	atomic_bool measuring; /* how long turns are */
	uint64_t turn_began;   /* in thread_ns; 0: not measured: the node's thread's */
	_Atomic uint64_t longest_turn;
};

/* Both in one number, so that they always belong together. */
#define RELAY_NOW(index, state) ((unsigned)(index) << 8 | (unsigned)(state))

/* So many are handed over without waiting for the end of the turn: the other thread has
 * something to do meanwhile, and the mailbox does not fill up. */
#define UNHEARD_MOST 64

/* ---- the node's thread ---- */

/* A join for which there was no memory is tried again so often. */
#define OWED_MS 500

static struct command *find_owed(const struct node *node, const struct id *topic)
{
	struct command *owed;

	DL_FOREACH (node->owed, owed)
		if (id_equal(&owed->topic, topic))
			break;
	return owed;
}

static void forget_owed(struct node *node, struct command *owed)
{
	DL_DELETE(node->owed, owed);
	memory_free(owed);
}

static void on_owed(uv_timer_t *timer)
{
	struct node *node = timer->data;
	struct command *owed, *next;

	DL_FOREACH_SAFE (node->owed, owed, next)
		if (driver_join(node->driver, &owed->topic) == ERROR_NONE)
			forget_owed(node, owed);
	if (!node->owed)
		uv_timer_stop(timer);
}

static void publish(struct node *node, const struct command *command)
{
	if (!find_owed(node, &command->topic)) {
		driver_publish(node->driver, &command->topic, command->message);
		return;
	}
	counters_add(&node->counters, COUNTER_DROPPED_NO_MEMORY, 1);
	message_unref(command->message);
}

static void on_command(struct node *node, struct command *command)
{
	struct command *owed;

	switch (command->type) {
	case COMMAND_JOIN:
		if (find_owed(node, &command->topic) ||
			driver_join(node->driver, &command->topic) == ERROR_NONE)
			break;
		DL_APPEND(node->owed, command);
		uv_timer_start(&node->owed_timer, on_owed, OWED_MS, OWED_MS);
		return; /* it is kept */
	case COMMAND_LEAVE:
		owed = find_owed(node, &command->topic);
		if (owed)
			forget_owed(node, owed);
		driver_leave(node->driver, &command->topic);
		break;
	case COMMAND_PUBLISH:
		publish(node, command);
		break;
	case COMMAND_SIGN:
		if (find_owed(node, &command->topic))
			counters_add(&node->counters, COUNTER_DROPPED_NO_MEMORY, 1);
		else
			driver_publish_signed(node->driver, &command->topic, command->record,
				command->value_size);
		break;
	case COMMAND_VERIFY:
		driver_verify(node->driver, &command->topic, command->verify);
		break;
	case COMMAND_RECORD:
		driver_record(node->driver, command->record, command->key_size,
			command->record + command->key_size, command->value_size);
		break;
	case COMMAND_STOP:
		driver_stop(node->driver);
		break;
	}
	memory_free(command);
}

static void on_async(uv_async_t *async)
{
	struct node *node = async->data;
	struct mail *mail;

	do {
		mail = mailbox_pop(&node->commands);
		if (!mail)
			return;
		on_command(node, (struct command *)mail);
	} while (!driver_is_late(node->driver));
	uv_async_send(async); /* the others in the next turn */
}

/* At the end of each turn of the loop. */
static void on_turned(void *context)
{
	struct node *node = context;

	if (node->unheard_events == 0)
		return;
	node->unheard_events = 0;
	if (node->wake)
		node->wake(node->context);
}

/* What this thread has had of a processor. */
static uint64_t thread_ns(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* The last of all before the loop sleeps. (libuv calls the prepare that was started first
 * last, and this one is older than the driver's.) */
static void on_turn_over(uv_prepare_t *turn_over)
{
	struct node *node = turn_over->data;
	uint64_t now;

	if (!node->measuring)
		return;
	now = thread_ns();
	if (node->turn_began > 0 && now - node->turn_began > node->longest_turn)
		node->longest_turn = now - node->turn_began;
	node->turn_began = now;
}

static bool is_droppable(const struct node_event *event)
{
	return event->type == NODE_MESSAGE || event->type == NODE_DROPPED ||
	       event->type == NODE_LOG;
}

static void on_emit(void *context, struct node_event *node_event)
{
	struct node *node = context;
	struct event *event = memory_alloc(sizeof *event);
	bool wake = false;
	int error = ERROR_NOMEM;

	if (event) {
		event->event = *node_event;
		event->mail.bytes = sizeof *event;
		if (node_event->message)
			event->mail.bytes += node_event->message->size;
		error = mailbox_push(&node->events, &event->mail, !is_droppable(node_event), &wake);
	}
	if (error) {
		if (node_event->type == NODE_MESSAGE)
			counters_add(&node->counters,
				error == ERROR_FULL ? COUNTER_DROPPED_EVENTS
						    : COUNTER_DROPPED_NO_MEMORY_ARRIVING,
				1);
		memory_free(event);
		node_event_clear(node_event);
		return;
	}
	if ((wake || node->unheard_events > 0) && ++node->unheard_events >= UNHEARD_MOST)
		on_turned(node);
}

static void on_relay(void *context, const struct relay_url *home, enum node_relay_state state)
{
	struct node *node = context;
	size_t index = node->relays_count;

	while (home && index > 0 && strcmp(node->relays[index - 1], home->text) != 0)
		index--;
	if (!home || index == 0)
		index = 1; /* the first stands for none */
	node->relay = node->relays_count > 0 ? RELAY_NOW(index - 1, state) : NODE_RELAY_OFF;
}

static void on_stopped(void *context)
{
	struct node *node = context;

	/* Not if node_start has failed before it was made. */
	if (node->async.type == UV_ASYNC && !uv_is_closing((uv_handle_t *)&node->async)) {
		uv_close((uv_handle_t *)&node->async, NULL);
		uv_close((uv_handle_t *)&node->turn_over, NULL);
	}
	if (node->owed_timer.type == UV_TIMER &&
		!uv_is_closing((uv_handle_t *)&node->owed_timer))
		uv_close((uv_handle_t *)&node->owed_timer, NULL);
}

static void run(void *context)
{
	struct node *node = context;

	pthread_setname_np(pthread_self(), "p2panda"); /* for those who look at threads */
	driver_begin(node->driver);
	uv_run(&node->loop, UV_RUN_DEFAULT);
}

/* ---- the owner's thread ---- */

static struct command *command_new(
	enum command_type type, const struct id *topic, size_t record_size)
{
	struct command *command = memory_zalloc(sizeof *command + record_size);

	if (!command)
		return NULL;
	command->type = type;
	if (topic)
		command->topic = *topic;
	command->mail.bytes = sizeof *command + record_size;
	return command;
}

static int post(struct node *node, struct command *command, bool forced)
{
	bool wake;
	int error = mailbox_push(&node->commands, &command->mail, forced, &wake);

	if (!error && (wake || node->unheard_commands > 0) &&
		++node->unheard_commands >= UNHEARD_MOST)
		node_flush(node);
	return error;
}

void node_flush(struct node *node)
{
	if (node->unheard_commands == 0)
		return;
	node->unheard_commands = 0;
	uv_async_send(&node->async);
}

static int command(struct node *node, enum command_type type, const struct id *topic)
{
	struct command *made = command_new(type, topic, 0);

	return made ? post(node, made, true) : ERROR_NOMEM;
}

int node_join(struct node *node, const struct id *topic)
{
	return command(node, COMMAND_JOIN, topic);
}

int node_leave(struct node *node, const struct id *topic)
{
	return command(node, COMMAND_LEAVE, topic);
}

int node_publish(struct node *node, const struct id *topic, const void *content, size_t size)
{
	struct command *made;
	int error = ERROR_NOMEM;

	if (size > LIMIT_CONTENT)
		return ERROR_TOO_LARGE;
	made = command_new(COMMAND_PUBLISH, topic, 0);
	if (!made)
		return ERROR_NOMEM;
	made->message = message_new(content, size);
	if (made->message) {
		made->mail.bytes += size;
		error = post(node, made, false);
	}
	if (error) {
		message_unref(made->message);
		memory_free(made);
	}
	return error;
}

int node_publish_signed(
	struct node *node, const struct id *topic, const void *body, size_t size)
{
	struct command *made;
	int error;

	if (size > LIMIT_SIGNED_BODY)
		return ERROR_TOO_LARGE;
	made = command_new(COMMAND_SIGN, topic, size);
	if (!made)
		return ERROR_NOMEM;
	made->value_size = size;
	memcpy(made->record, body, size);
	error = post(node, made, false);
	if (error)
		memory_free(made);
	return error;
}

int node_verify(struct node *node, const struct id *topic, bool verify)
{
	struct command *made = command_new(COMMAND_VERIFY, topic, 0);

	if (!made)
		return ERROR_NOMEM;
	made->verify = verify;
	return post(node, made, true);
}

int node_record(
	struct node *node, const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct command *made;
	int error;

	if (key_size + value_size > LIMIT_RECORD)
		return ERROR_TOO_LARGE;
	made = command_new(COMMAND_RECORD, NULL, key_size + value_size);
	if (!made)
		return ERROR_NOMEM;
	made->key_size = key_size;
	made->value_size = value_size;
	memcpy(made->record, key, key_size);
	if (value_size > 0)
		memcpy(made->record + key_size, value, value_size);
	/* A deletion makes room, and there are no more of them than there were records. */
	error = post(node, made, value_size == 0);
	if (error)
		memory_free(made);
	return error;
}

bool node_event(struct node *node, struct node_event *out)
{
	struct mail *mail = mailbox_pop(&node->events);

	if (!mail)
		return false;
	*out = ((struct event *)mail)->event;
	memory_free(mail);
	return true;
}

void node_event_clear(struct node_event *event)
{
	message_unref(event->message);
	memory_free(event->text);
	event->message = NULL;
	event->text = NULL;
}

struct counters *node_counters(struct node *node)
{
	return &node->counters;
}

const struct address *node_addresses(const struct node *node, size_t *count)
{
	*count = node->bound_count;
	return node->bound;
}

size_t node_overlays(const struct node *node)
{
	return node->overlays;
}

size_t node_neighbours(const struct node *node)
{
	return node->neighbours;
}

size_t node_connections(const struct node *node)
{
	return node->connections;
}

size_t node_waiting(const struct node *node)
{
	return node->waiting;
}

size_t node_relayed(const struct node *node)
{
	return node->relayed;
}

enum node_relay_state node_relay(const struct node *node, const char **url)
{
	unsigned now = node->relay;

	*url = now == NODE_RELAY_OFF ? NULL : node->relays[now >> 8];
	return (enum node_relay_state)(now & 0xff);
}

uint64_t node_longest_turn_ns(struct node *node)
{
	node->measuring = true;
	return atomic_exchange(&node->longest_turn, 0);
}

/* Frees everything but the thread, on a loop whose handles are closed or closing. */
static void release(struct node *node)
{
	struct node_event event;
	struct mail *mail;

	uv_run(&node->loop, UV_RUN_DEFAULT);
	uv_loop_close(&node->loop);
	driver_free(node->driver);
	while ((mail = mailbox_pop(&node->commands))) {
		message_unref(((struct command *)mail)->message);
		memory_free(mail);
	}
	while (node_event(node, &event))
		node_event_clear(&event);
	while (node->owed)
		forget_owed(node, node->owed);
	mailbox_destroy(&node->commands);
	mailbox_destroy(&node->events);
	memory_free(node->bound);
	memory_free(node->relays);
	memory_free(node);
}

/* The broker's signals are the broker's: our thread is born with all of them blocked. */
static int start_thread(struct node *node)
{
	sigset_t all, old;
	int status;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return ERROR_SYSTEM;
	status = uv_thread_create(&node->thread, run, node);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

static int keep_relays(struct node *node, const struct node_config *config)
{
	if (config->relays_count == 0)
		return ERROR_NONE;
	node->relays = memory_alloc(config->relays_count * sizeof *node->relays);
	if (!node->relays)
		return ERROR_NOMEM;
	node->relays_count = config->relays_count;
	for (size_t i = 0; i < config->relays_count; i++)
		memcpy(node->relays[i], config->relays[i].text, RELAY_URL_SIZE);
	on_relay(node, NULL, NODE_RELAY_CONNECTING);
	return ERROR_NONE;
}

static int prepare(
	struct node *node, const struct node_config *config, char reason[NODE_REASON_SIZE])
{
	struct driver_owner owner = {
		.emit = on_emit,
		.turned = on_turned,
		.stopped = on_stopped,
		.relay = on_relay,
		.context = node,
		.counters = &node->counters,
		.overlays = &node->overlays,
		.neighbours = &node->neighbours,
		.connections = &node->connections,
		.waiting = &node->waiting,
		.relayed = &node->relayed,
	};

	node->bound = memory_zalloc(config->binds_count * sizeof *node->bound);
	if (!node->bound || keep_relays(node, config) != ERROR_NONE)
		return ERROR_NOMEM;
	uv_timer_init(&node->loop, &node->owed_timer);
	node->owed_timer.data = node;
	node->async.data = node;
	if (uv_async_init(&node->loop, &node->async, on_async) != 0)
		return ERROR_SYSTEM;
	uv_prepare_init(&node->loop, &node->turn_over);
	node->turn_over.data = node;
	uv_prepare_start(&node->turn_over, on_turn_over);
	return driver_new(config, &owner, &node->loop, node->bound, &node->bound_count,
		&node->driver, reason);
}

int node_start(const struct node_config *config, struct node **out, char reason[NODE_REASON_SIZE])
{
	struct node *node = memory_zalloc(sizeof *node);
	int error;

	snprintf(reason, NODE_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!node)
		return ERROR_NOMEM;
	if (uv_loop_init(&node->loop) != 0) {
		memory_free(node);
		return ERROR_SYSTEM;
	}
	node->wake = config->wake;
	node->context = config->context;
	mailbox_init(&node->commands, LIMIT_MAILBOX_ITEMS, LIMIT_MAILBOX_BYTES);
	mailbox_init(&node->events, LIMIT_MAILBOX_ITEMS, LIMIT_MAILBOX_BYTES);
	error = prepare(node, config, reason);
	if (!error) {
		error = start_thread(node);
		if (error)
			snprintf(reason, NODE_REASON_SIZE, "cannot start a thread");
	}
	if (error) {
		if (node->driver)
			driver_stop(node->driver);
		else
			on_stopped(node);
		release(node);
		return error;
	}
	*out = node;
	return ERROR_NONE;
}

void node_stop(struct node *node)
{
	if (!node)
		return;
	while (command(node, COMMAND_STOP, NULL) != ERROR_NONE)
		; /* there is no other way to end the thread */
	node_flush(node);
	uv_thread_join(&node->thread);
	release(node);
}
