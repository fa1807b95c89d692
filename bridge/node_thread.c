/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node's thread: what the owner wants is done, overlay by overlay in turns; what happens is told.
 * */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "node_internal.h"

/* A join for which there was no memory is tried again at this interval. */
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

static void on_emit(void *context, struct node_event *node_event);

static void publish(struct node *node, const struct command *command)
{
	if (!find_owed(node, &command->topic)) {
		driver_publish(node->driver, &command->topic, command->message);
		return;
	}
	counters_add(&node->counters, COUNTER_DROPPED_NO_MEMORY, 1);
	message_unref(command->message);
}

/* Stops the node after all that was accepted, when nothing of it is left. */
static void stop_if_done(struct node *node)
{
	if (!node->stopping || node->outgoing.ring || node->outgoing.stand)
		return;
	node->stopping = false;
	driver_stop(node->driver);
}

static void complain(struct node *node, int error)
{
	struct node_event event = {.type = NODE_LOG, .level = NODE_LOG_ERROR};

	if (!error)
		return;
	event.text = memory_alloc(NODE_REASON_SIZE);
	if (!event.text)
		return;
	snprintf(event.text, NODE_REASON_SIZE, "a change of the nodes is not in force: %s",
		error_text(error));
	on_emit(node, &event);
}

static void on_command(struct node *node, struct command *command)
{
	const struct id *ids;
	struct command *owed;

	switch (command->type) {
	case COMMAND_JOIN:
		if (find_owed(node, &command->topic) ||
			driver_join(node->driver, &command->topic) == ERROR_NONE)
			break;
		DL_APPEND(node->owed, command);
		uv_timer_start(&node->owed_timer, on_owed, OWED_MS, OWED_MS);
		return; /* the command is kept */
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
	case COMMAND_SET_PEER:
		complain(node, driver_set_peer(node->driver, (struct node_peer *)command->record,
				       command->verify));
		break;
	case COMMAND_REMOVE_PEER:
		driver_remove_peer(node->driver, &command->topic);
		break;
	case COMMAND_SET_ACCESS:
		ids = (const struct id *)command->record;
		complain(node, driver_set_access(node->driver, ids, command->key_size,
				       ids + command->key_size, command->value_size));
		break;
	case COMMAND_ASK:
		/* Whoever waits for a picture gives up after a time. */
		(void)driver_ask(node->driver, &command->question);
		break;
	case COMMAND_STOP:
		node->stopping = true;
		break;
	}
	memory_free(command);
}

/* ---- the overlays in turns ---- */

/* Overlays stand for as long as acknowledgements are awaited, which bring a turn of the loop, and
 * something else may let them go on: a neighbour is behind for too long. */
#define AGAIN_MS 100
/* Of those that stand, so many are looked at in one turn. */
#define LOOKED_AT 64

static void on_again(uv_timer_t *timer);

static void look_again(struct node *node)
{
	if (!uv_is_active((uv_handle_t *)&node->again_timer))
		uv_timer_start(&node->again_timer, on_again, AGAIN_MS, AGAIN_MS);
}

/* Tells whether the overlay's neighbours take more. What is to be left or stopped does not wait for
 * them. */
static bool has_room(struct node *node, const struct flow *flow)
{
	return !node->waits || node->stopping || flow == &node->outgoing.rest ||
	       flow->urgent > 0 || driver_has_room(node->driver, &flow->topic);
}

static void tell_owner(struct node *node)
{
	pthread_mutex_lock(&node->lock);
	pthread_cond_signal(&node->is_low);
	pthread_mutex_unlock(&node->lock);
}

/* After so many commands of one overlay the clock is looked at: a message takes some microseconds. */
#define LATE_LOOK 8

/* Gives one overlay its turn. */
static void serve(struct node *node, struct flow *flow)
{
	struct command *command;
	unsigned served = 0;
	size_t bytes;

	if (!has_room(node, flow)) {
		flow_stand(&node->outgoing, flow);
		look_again(node);
		return;
	}
	do {
		command = (struct command *)flow_pop(&node->outgoing, flow);
		bytes = command->parcel.mail.bytes;
		on_command(node, command);
		/* With its last parcel it may be gone. */
		if (flows_done(&node->outgoing, flow, bytes))
			tell_owner(node);
	} while (flow == flows_turn(&node->outgoing) &&
		 (++served % LATE_LOOK != 0 || !driver_is_late(node->driver)));
}

/* Carries out all that the owner wants, until the turn has taken its time: the rest in the next
 * turn, after the datagrams that have come meanwhile. */
static void serve_all(struct node *node)
{
	struct mail *mail;
	struct flow *flow;

	for (;;) {
		mail = mailbox_take(&node->commands, !node->outgoing.ring);
		flows_put(&node->outgoing, mail);
		flow = flows_turn(&node->outgoing);
		if (!flow && !mail)
			break;
		if (flow)
			serve(node, flow);
		if (driver_is_late(node->driver)) {
			uv_async_send(&node->async);
			break;
		}
	}
	stop_if_done(node);
}

/* Lets flows go on that stand and may; tells whether there were any. */
static bool any_goes_on(struct node *node)
{
	struct flow *flow, *next, *last;
	unsigned count = 0;
	bool any = false;

	if (!node->outgoing.stand)
		return false;
	last = node->outgoing.stand->prev;
	DL_FOREACH_SAFE (node->outgoing.stand, flow, next) {
		if (count++ == LOOKED_AT)
			break;
		if (has_room(node, flow)) {
			flow_go_on(&node->outgoing, flow);
			any = true;
		} else if (flow != last) {
			/* The others have their turn next time. */
			DL_DELETE(node->outgoing.stand, flow);
			DL_APPEND(node->outgoing.stand, flow);
		}
		if (flow == last)
			break;
	}
	return any;
}

/* Goes on with what was not taken when it came; with what there is no time for, in the next turn. */
static void read_on(struct node *node)
{
	if (driver_read_on(node->driver))
		uv_async_send(&node->async);
}

static void on_async(uv_async_t *async)
{
	struct node *node = async->data;

	read_on(node);
	serve_all(node);
}

static void on_again(uv_timer_t *timer)
{
	struct node *node = timer->data;

	read_on(node);
	if (any_goes_on(node))
		serve_all(node);
	if (!driver_holds(node->driver) && !node->outgoing.stand)
		uv_timer_stop(timer);
}

static void wake_owner(struct node *node)
{
	if (node->unheard_events == 0)
		return;
	node->unheard_events = 0;
	if (node->wake)
		node->wake(node->context);
}

/* Goes on with flows that may, and wakes the owner; at the end of each turn of the loop, and after
 * what came was read. */
static void on_turned(void *context)
{
	struct node *node = context;

	if (any_goes_on(node))
		serve_all(node);
	wake_owner(node);
}

/* Returns the CPU time of this thread, in ns; 0 if the system does not say. */
static uint64_t thread_ns(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* Measures the turn that is over. Runs last of all before the loop sleeps. (libuv calls the prepare
 * handle that was started first last, and this handle is older than the driver's.) */
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
	       event->type == NODE_LOG || event->type == NODE_PICTURE;
}

/* Returns the overlay of an event; NULL: lines of the log and pictures belong to none. */
static const struct id *topic_of(const struct node_event *event)
{
	return event->type == NODE_LOG || event->type == NODE_PICTURE ? NULL : &event->topic;
}

static int post_event(struct node *node, struct event *event, bool *wake)
{
	bool forced = !is_droppable(&event->event);
	struct flow *flow = flows_of(&node->incoming, topic_of(&event->event));

	if (!flow)
		return ERROR_NOMEM;
	if (!flows_admit(&node->incoming, &event->parcel, flow, forced))
		return ERROR_FULL;
	return mailbox_push(&node->events, &event->parcel.mail, true, wake);
}

static void on_emit(void *context, struct node_event *node_event)
{
	struct node *node = context;
	struct event *event = memory_zalloc(sizeof *event);
	bool wake = false;
	int error = ERROR_NOMEM;

	if (event) {
		event->event = *node_event;
		event->parcel.mail.bytes = sizeof *event;
		if (node_event->message)
			event->parcel.mail.bytes += node_event->message->size;
		if (node_event->picture)
			event->parcel.mail.bytes += picture_size(node_event->picture);
		error = post_event(node, event, &wake);
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
		wake_owner(node);
}

/* Tells whether what comes for this overlay is to be read now. Not while the owner has much of it
 * to take, and takes it. */
static bool on_takes(void *context, const struct id *topic)
{
	struct node *node = context;
	struct flow *flow = node->waits ? flows_of(&node->incoming, topic) : NULL;

	if (!flow || !flow_is_high(flow))
		return true;
	/* In this order: what the owner takes from now on, it tells. */
	atomic_store(&flow->awaited, true);
	if (!flow_is_high(flow))
		return true;
	if (flow_stands_for(flow, uv_hrtime()) >= LIMIT_BEHIND_MS * MS)
		return true;
	look_again(node);
	return false;
}

void node_thread_relay(void *context, const struct relay_url *home, enum node_relay_state state)
{
	struct node *node = context;
	size_t index = node->relays_count;

	while (home && index > 0 && strcmp(node->relays[index - 1], home->text) != 0)
		index--;
	if (!home || index == 0)
		index = 1; /* without a home relay the first one is shown */
	node->relay = node->relays_count > 0 ? RELAY_NOW(index - 1, state) : NODE_RELAY_OFF;
}

void node_thread_stopped(void *context)
{
	struct node *node = context;

	/* The handles do not exist if node_start failed before it made them. */
	if (node->async.type == UV_ASYNC && !uv_is_closing((uv_handle_t *)&node->async)) {
		uv_close((uv_handle_t *)&node->async, NULL);
		uv_close((uv_handle_t *)&node->turn_over, NULL);
	}
	if (node->owed_timer.type == UV_TIMER &&
		!uv_is_closing((uv_handle_t *)&node->owed_timer))
		uv_close((uv_handle_t *)&node->owed_timer, NULL);
	if (node->again_timer.type == UV_TIMER &&
		!uv_is_closing((uv_handle_t *)&node->again_timer))
		uv_close((uv_handle_t *)&node->again_timer, NULL);
}

void node_thread_run(void *context)
{
	struct node *node = context;

	pthread_setname_np(pthread_self(), "p2panda"); /* for those who look at threads */
	memory_ahead(node->ahead);
	driver_begin(node->driver);
	uv_run(&node->loop, UV_RUN_DEFAULT);
}

struct driver_owner node_thread_owner(struct node *node)
{
	return (struct driver_owner){
		.emit = on_emit,
		.takes = on_takes,
		.turned = on_turned,
		.stopped = node_thread_stopped,
		.relay = node_thread_relay,
		.context = node,
		.counters = &node->counters,
		.overlays = &node->overlays,
		.neighbours = &node->neighbours,
		.connections = &node->connections,
		.waiting = &node->waiting,
		.relayed = &node->relayed,
		.overlays_changes = &node->overlays_changes,
		.nodes_changes = &node->nodes_changes,
	};
}

int node_thread_prepare(struct node *node)
{
	int error;

	uv_timer_init(&node->loop, &node->owed_timer);
	node->owed_timer.data = node;
	uv_timer_init(&node->loop, &node->again_timer);
	node->again_timer.data = node;
	node->async.data = node;
	error = uv_async_init(&node->loop, &node->async, on_async);
	if (error)
		return error;
	uv_prepare_init(&node->loop, &node->turn_over);
	node->turn_over.data = node;
	uv_prepare_start(&node->turn_over, on_turn_over);
	return 0;
}

void node_thread_forget(struct node *node)
{
	while (node->owed)
		forget_owed(node, node->owed);
}
