/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A plugin that has a say in what clients publish and subscribe:
 *
 *   plugin_opt_move <from> <to>   what is published, subscribed or unsubscribed there is so
 *                                 elsewhere; repeatable
 *
 * A payload that begins with "refused" is denied, of one that begins with "changed" the rest is
 * left. "sleep <ms>" keeps the broker from all else for so long.
 */
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOVES 16

static struct {
	char from[160], to[160];
} moves[MOVES];
static int moves_count;

/* A topic of the broker's memory; NULL: it stays. */
static char *moved(const char *topic)
{
	for (int i = 0; i < moves_count; i++)
		if (strcmp(topic, moves[i].from) == 0)
			return mosquitto_strdup(moves[i].to);
	return NULL;
}

static void sleep_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0)
		;
}

static int begins(const struct mosquitto_evt_message *message, const char *word)
{
	size_t size = strlen(word);

	return message->payloadlen >= size && memcmp(message->payload, word, size) == 0;
}

static int on_message(int event, void *data, void *userdata)
{
	struct mosquitto_evt_message *message = data;
	size_t skipped = strlen("changed ");
	char *to = moved(message->topic), *payload;

	if (begins(message, "refused"))
		return MOSQ_ERR_ACL_DENIED;
	if (begins(message, "sleep "))
		sleep_ms(strtol((const char *)message->payload + strlen("sleep "), NULL, 10));
	if (begins(message, "changed ")) {
		payload = mosquitto_calloc(1, message->payloadlen - skipped + 1);
		memcpy(payload, (char *)message->payload + skipped, message->payloadlen - skipped);
		message->payload = payload;
		message->payloadlen -= (uint32_t)skipped;
	}
	if (to)
		message->topic = to;
	return MOSQ_ERR_SUCCESS;
}

static int on_subscribe(int event, void *data, void *userdata)
{
	struct mosquitto_evt_subscribe *subscribe = data;
	char *to = moved(subscribe->data.topic_filter);

	if (to)
		subscribe->data.topic_filter = to;
	return MOSQ_ERR_SUCCESS;
}

static int on_unsubscribe(int event, void *data, void *userdata)
{
	struct mosquitto_evt_unsubscribe *unsubscribe = data;
	char *to = moved(unsubscribe->data.topic_filter);

	if (to)
		unsubscribe->data.topic_filter = to;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int count, const int *versions)
{
	for (int i = 0; i < count; i++)
		if (versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

int mosquitto_plugin_init(
	mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int count)
{
	for (int i = 0; i < count && moves_count < MOVES; i++)
		if (strcmp(options[i].key, "move") == 0)
			moves_count += sscanf(options[i].value, "%159s %159s",
					       moves[moves_count].from,
					       moves[moves_count].to) == 2;
	/* Mosquitto 2.0 has no such events. */
	mosquitto_callback_register(identifier, MOSQ_EVT_SUBSCRIBE, on_subscribe, NULL, NULL);
	mosquitto_callback_register(identifier, MOSQ_EVT_UNSUBSCRIBE, on_unsubscribe, NULL, NULL);
	return mosquitto_callback_register(
		identifier, MOSQ_EVT_MESSAGE, on_message, NULL, NULL);
}

/* Mosquitto 2.0 loads no plugin without it. */
int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int count)
{
	(void)userdata, (void)options, (void)count;
	return MOSQ_ERR_SUCCESS;
}
