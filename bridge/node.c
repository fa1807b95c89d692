/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "node.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "node_internal.h"
#include "relay/relays.h"

static struct command *command_new(
	enum command_type type, const struct id *topic, size_t record_size)
{
	struct command *command = memory_zalloc(sizeof *command + record_size);

	if (!command)
		return NULL;
	command->type = type;
	if (topic)
		command->topic = *topic;
	command->parcel.mail.bytes = sizeof *command + record_size;
	command->parcel.urgent = type == COMMAND_LEAVE || type == COMMAND_STOP;
	return command;
}

static void flush(struct node *node)
{
	if (node->unheard_commands == 0)
		return;
	node->unheard_commands = 0;
	uv_async_send(&node->async);
}

void node_flush(struct node *node)
{
	flush(node);
	node->waited_ns = 0;
}

/* Returns the overlay of a command; NULL: the command is about none, and all such are done in the
 * order in which they come. */
static const struct id *topic_of(const struct command *command)
{
	switch (command->type) {
	case COMMAND_JOIN:
	case COMMAND_LEAVE:
	case COMMAND_PUBLISH:
	case COMMAND_SIGN:
	case COMMAND_VERIFY:
		return &command->topic;
	default:
		return NULL;
	}
}

static int post(struct node *node, struct command *command, bool forced)
{
	struct flow *flow = flows_of(&node->outgoing, topic_of(command));
	bool wake;
	int error = ERROR_NOMEM;

	if (flow)
		error = flows_admit(&node->outgoing, &command->parcel, flow, forced) ? ERROR_NONE
										     : ERROR_FULL;
	if (!error)
		error = mailbox_push(&node->commands, &command->parcel.mail, true, &wake);
	if (error) {
		message_unref(command->message);
		memory_free(command);
		return error;
	}
	if ((wake || node->unheard_commands > 0) && ++node->unheard_commands >= UNHEARD_MOST)
		flush(node);
	return ERROR_NONE;
}

/* ---- the owner waits ---- */

/* Returns how long the owner waits in this turn for a flow that is so full. */
static uint64_t patience_ns(unsigned fill)
{
	const unsigned from = 96, to = 224; /* of 256 */
	uint64_t least = LIMIT_WAIT_LEAST_US * UINT64_C(1000);
	uint64_t most = LIMIT_WAIT_MOST_US * UINT64_C(1000);

	if (fill <= from)
		return least;
	if (fill >= to)
		return most;
	return least + (most - least) * (fill - from) / (to - from);
}

/* Waits until the flow is low or the time is over. */
static void wait_until_low(struct node *node, struct flow *flow, uint64_t now, uint64_t end)
{
	struct timespec at;

	at.tv_sec = (time_t)(end / S);
	at.tv_nsec = (long)(end % S);
	pthread_mutex_lock(&node->lock);
	atomic_store(&flow->awaited, true);
	while (!flow_is_low(flow) && now < end) {
		pthread_cond_timedwait(&node->is_low, &node->lock, &at);
		now = uv_hrtime();
	}
	atomic_store(&flow->awaited, false);
	pthread_mutex_unlock(&node->lock);
}

/* Waits before more is published on an overlay of which the node has much. */
static void wait_for_room(struct node *node, struct flow *flow)
{
	uint64_t now, end, patience;

	if (!node->waits || !flow_is_high(flow))
		return;
	now = uv_hrtime();
	if (flow_stands_for(flow, now) >= LIMIT_STILL_MS * MS)
		return;
	patience = patience_ns(flows_fill(&node->outgoing, flow));
	if (node->waited_ns >= patience)
		return;
	end = now + patience - node->waited_ns;
	flush(node);
	wait_until_low(node, flow, now, end);
	node->waited_ns += uv_hrtime() - now;
	counters_add(&node->counters, COUNTER_SLOWED, 1);
}

static void wait_to_publish(struct node *node, const struct id *topic)
{
	struct flow *flow = flows_of(&node->outgoing, topic);

	if (flow)
		wait_for_room(node, flow);
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

	if (size > LIMIT_CONTENT)
		return ERROR_TOO_LARGE;
	wait_to_publish(node, topic);
	made = command_new(COMMAND_PUBLISH, topic, 0);
	if (!made)
		return ERROR_NOMEM;
	made->message = message_new(content, size);
	if (!made->message) {
		memory_free(made);
		return ERROR_NOMEM;
	}
	made->parcel.mail.bytes += size;
	return post(node, made, false);
}

int node_publish_signed(
	struct node *node, const struct id *topic, const void *body, size_t size)
{
	struct command *made;

	if (size > LIMIT_SIGNED_BODY)
		return ERROR_TOO_LARGE;
	wait_to_publish(node, topic);
	made = command_new(COMMAND_SIGN, topic, size);
	if (!made)
		return ERROR_NOMEM;
	made->value_size = size;
	memcpy(made->record, body, size);
	return post(node, made, false);
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
	/* A deletion makes room, and there are no more deletions than there were records. */
	return post(node, made, value_size == 0);
}

int node_set_peer(struct node *node, const struct node_peer *peer, bool trusted)
{
	struct command *made = command_new(COMMAND_SET_PEER, NULL, sizeof *peer);

	if (!made)
		return ERROR_NOMEM;
	made->verify = trusted;
	memcpy(made->record, peer, sizeof *peer);
	return post(node, made, true);
}

int node_remove_peer(struct node *node, const struct id *id)
{
	return command(node, COMMAND_REMOVE_PEER, id);
}

int node_set_access(struct node *node, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	struct command *made = command_new(
		COMMAND_SET_ACCESS, NULL, (allow_count + deny_count) * sizeof *allow);

	if (!made)
		return ERROR_NOMEM;
	made->key_size = allow_count;
	made->value_size = deny_count;
	if (allow_count > 0)
		memcpy(made->record, allow, allow_count * sizeof *allow);
	if (deny_count > 0)
		memcpy(made->record + allow_count * sizeof *allow, deny,
			deny_count * sizeof *deny);
	return post(node, made, true);
}

int node_ask(struct node *node, const struct picture_question *question)
{
	struct command *made = command_new(COMMAND_ASK, NULL, 0);

	if (!made)
		return ERROR_NOMEM;
	made->question = *question;
	return post(node, made, false);
}

/* The mailbox is looked at when there is nothing else, and now and then, so that no overlay waits
 * behind all that another one has. */
#define LOOK_AFTER 64

static struct flow *next_event(struct node *node)
{
	if (!node->incoming.ring || ++node->owner_taken >= LOOK_AFTER) {
		node->owner_taken = 0;
		flows_put(&node->incoming,
			mailbox_take(&node->events, !node->incoming.ring));
	}
	return flows_turn(&node->incoming);
}

bool node_event(struct node *node, struct node_event *out)
{
	struct flow *flow = next_event(node);
	struct event *event;

	if (!flow)
		return false;
	event = (struct event *)flow_pop(&node->incoming, flow);
	/* Those who are not read from any more are from now on. */
	if (flows_done(&node->incoming, flow, event->parcel.mail.bytes))
		uv_async_send(&node->async);
	*out = event->event;
	memory_free(event);
	return true;
}

void node_event_clear(struct node_event *event)
{
	message_unref(event->message);
	memory_free(event->text);
	picture_free(event->picture);
	event->message = NULL;
	event->text = NULL;
	event->picture = NULL;
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

struct node_changes node_changes(const struct node *node)
{
	return (struct node_changes){node->overlays_changes, node->nodes_changes};
}

enum node_relay_state node_relay(const struct node *node, const char **url)
{
	unsigned now = node->relay;

	*url = now == NODE_RELAY_OFF ? NULL : node->relays[now >> 8];
	return (enum node_relay_state)(now & 0xff);
}

const char *node_relay_word(enum node_relay_state state)
{
	return relays_state_word((enum relays_state)state);
}

uint64_t node_longest_turn_ns(struct node *node)
{
	node->measuring = true;
	return atomic_exchange(&node->longest_turn, 0);
}

static void drop_commands(struct node *node)
{
	struct command *command;
	struct flow *flow;

	flows_put(&node->outgoing, mailbox_take(&node->commands, true));
	while (node->outgoing.stand)
		flow_go_on(&node->outgoing, node->outgoing.stand);
	while ((flow = flows_turn(&node->outgoing))) {
		command = (struct command *)flow_pop(&node->outgoing, flow);
		if (command->type == COMMAND_PUBLISH || command->type == COMMAND_SIGN)
			counters_add(&node->counters, COUNTER_DROPPED_LEFT, 1);
		message_unref(command->message);
		memory_free(command);
	}
}

/* Frees the loop, the driver and the commands that are left, after the thread has ended. The
 * handles of the loop are closed or closing. */
static void end(struct node *node)
{
	uv_run(&node->loop, UV_RUN_DEFAULT);
	uv_loop_close(&node->loop);
	node->kept = node->driver ? driver_kept(node->driver) : 0;
	driver_free(node->driver);
	node->driver = NULL;
	drop_commands(node);
	node_thread_forget(node);
	node->ended = true;
}

static void release(struct node *node)
{
	struct node_event event;

	if (!node->ended)
		end(node);
	while (node_event(node, &event))
		node_event_clear(&event);
	flows_clear(&node->outgoing);
	flows_clear(&node->incoming);
	mailbox_destroy(&node->commands);
	mailbox_destroy(&node->events);
	pthread_cond_destroy(&node->is_low);
	pthread_mutex_destroy(&node->lock);
	memory_free(node->bound);
	memory_free(node->relays);
	memory_free(node);
}

/* Starts the node's thread with all signals blocked: the broker's signals belong to the broker. */
static int start_thread(struct node *node)
{
	sigset_t all, old;
	int status;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return ERROR_SYSTEM;
	status = uv_thread_create(&node->thread, node_thread_run, node);
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
	node_thread_relay(node, NULL, NODE_RELAY_CONNECTING);
	return ERROR_NONE;
}

/* Writes the reason that a part of the loop could not be made, and returns the error. error:
 * libuv's. */
static int refuse(char reason[NODE_REASON_SIZE], int error)
{
	snprintf(reason, NODE_REASON_SIZE,
		"the node's event loop cannot be made (epoll, eventfd): %s",
		error_text(error_of_system(-error)));
	return error == UV_ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
}

static int prepare(
	struct node *node, const struct node_config *config, char reason[NODE_REASON_SIZE])
{
	struct driver_owner owner = node_thread_owner(node);
	int error;

	node->bound = memory_zalloc(config->binds_count * sizeof *node->bound);
	if (!node->bound || keep_relays(node, config) != ERROR_NONE)
		return ERROR_NOMEM;
	error = node_thread_prepare(node);
	if (error)
		return refuse(reason, error);
	return driver_new(config, &owner, &node->loop, node->bound, &node->bound_count,
		&node->driver, reason);
}

/* Makes the mailboxes; the flows bound what is in them. */
static void make_queues(struct node *node)
{
	struct random random = random_system();
	pthread_condattr_t attributes;

	mailbox_init(&node->commands, SIZE_MAX, SIZE_MAX);
	mailbox_init(&node->events, SIZE_MAX, SIZE_MAX);
	flows_init(&node->outgoing, LIMIT_MAILBOX_ITEMS, LIMIT_MAILBOX_BYTES, node->waits, &random);
	flows_init(&node->incoming, LIMIT_MAILBOX_ITEMS, LIMIT_MAILBOX_BYTES, node->waits, &random);
	pthread_mutex_init(&node->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&node->is_low, &attributes);
	pthread_condattr_destroy(&attributes);
}

int node_start(const struct node_config *config, struct node **out, char reason[NODE_REASON_SIZE])
{
	struct node *node = memory_zalloc(sizeof *node);
	int error;

	snprintf(reason, NODE_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!node)
		return ERROR_NOMEM;
	error = uv_loop_init(&node->loop);
	if (error) {
		memory_free(node);
		return refuse(reason, error);
	}
	node->wake = config->wake;
	/* The content of messages, and a fourth more for what is stored with it. */
	node->ahead = config->cache_bytes < MEMORY_AHEAD_MOST
			      ? config->cache_bytes + config->cache_bytes / 4
			      : MEMORY_AHEAD_MOST;
	node->context = config->context;
	node->waits = config->waits;
	make_queues(node);
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
			node_thread_stopped(node);
		release(node);
		return error;
	}
	*out = node;
	return ERROR_NONE;
}

void node_end(struct node *node)
{
	while (command(node, COMMAND_STOP, NULL) != ERROR_NONE)
		; /* there is no other way to end the thread */
	node_flush(node);
	uv_thread_join(&node->thread);
	end(node);
}

size_t node_kept(const struct node *node)
{
	return node->kept;
}

void node_stop(struct node *node)
{
	if (!node)
		return;
	if (!node->ended)
		node_end(node);
	release(node);
}
