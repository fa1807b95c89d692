/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The entry points, nothing else. */
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <stdlib.h>
#include <string.h>

#include "../bridge/memory.h"
#include "gateway.h"
#include "settings.h"

#define EXPORT __attribute__((visibility("default")))

/* A broker has one node: its identity, sockets and topics are not to be shared. */
static struct gateway *gateway;
static struct settings *settings;

EXPORT int mosquitto_plugin_version(int count, const int *versions)
{
	for (int i = 0; i < count; i++)
		if (versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

static bool take_settings(const struct mosquitto_opt *given, int count)
{
	struct option_text *texts = memory_zalloc(((size_t)count + 1) * sizeof *texts);
	int error = ERROR_NOMEM;

	if (texts) {
		for (int i = 0; i < count; i++)
			texts[i] = (struct option_text){given[i].key, given[i].value};
		error = settings_new(
			texts, (size_t)count, broker_persistence_location(), &settings);
	}
	memory_free(texts);
	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static bool read_options(struct options *options)
{
	char reason[OPTIONS_REASON_SIZE], restart[SETTINGS_KEYS_SIZE];
	bool good = settings_read(settings, options, restart, reason);

	if (!good)
		broker_log(BROKER_ERROR, "%s", reason);
	else if (!broker_tells_persistence() && !settings_has(settings, "state_dir"))
		broker_log(BROKER_NOTICE,
			"state_dir is %s: this broker does not tell plugins where its own "
			"persistence_location is",
			options->state_dir);
	return good;
}

static void stop(void)
{
	if (!gateway)
		return;
	gateway_stop(gateway);
	broker_end();
	gateway = NULL;
	settings_free(settings);
	settings = NULL;
}

/* Sees to it that exit stops the node. Mosquitto 2.0 ends without a word to the plugins that run
 * when another one cannot start: then what exit takes down is not to be in use by the node's
 * thread. */
static void stop_at_exit(void)
{
	static bool is_registered;

	is_registered = is_registered || atexit(stop) == 0;
}

static void give_up(void)
{
	broker_unregister();
	broker_end();
	settings_free(settings);
	settings = NULL;
}

EXPORT int mosquitto_plugin_init(
	mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *given, int count)
{
	struct options options = {0};
	bool good;

	if (gateway) {
		broker_log(BROKER_ERROR, "the plugin is loaded already; a broker takes it once "
					 "(global_plugin makes it serve all listeners)");
		return MOSQ_ERR_INVAL;
	}
	if (!broker_begin(identifier))
		return MOSQ_ERR_INVAL;
	good = take_settings(given, count) && read_options(&options);
	if (good) {
		broker_log_from(options.log_level);
		good = gateway_start(identifier, settings, &options, &gateway);
	}
	*userdata = good ? gateway : NULL;
	if (good) {
		stop_at_exit();
	} else {
		give_up();
	}
	options_clear(&options);
	return good ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *given, int count)
{
	if (!userdata) /* a second load, or one that has failed */
		return MOSQ_ERR_SUCCESS;
	broker_unregister();
	stop();
	return MOSQ_ERR_SUCCESS;
}
