/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another plugin that uses SIGURG, as those written in Go do. plugin_opt_signals: `urgent`,
 * or `all` for every real-time signal besides. It sends SIGURG to itself ten times, and says
 * at its end how often its handler was called.
 */
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <signal.h>
#include <string.h>

static mosquitto_plugin_id_t *self;
static volatile sig_atomic_t handled;
static int raised;

static void on_signal(int signal)
{
	handled = handled + 1;
}

static int on_tick(int event, void *data, void *userdata)
{
	if (raised < 10) {
		raised++;
		raise(SIGURG);
	}
	return MOSQ_ERR_SUCCESS;
}

__attribute__((visibility("default"))) int mosquitto_plugin_version(int count, const int *versions)
{
	return MOSQ_PLUGIN_VERSION;
}

__attribute__((visibility("default"))) int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier,
	void **userdata, struct mosquitto_opt *options, int count)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	self = identifier;
	sigaction(SIGURG, &action, NULL);
	for (int i = 0; i < count; i++)
		if (strcmp(options[i].key, "signals") == 0 && strcmp(options[i].value, "all") == 0)
			for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
				sigaction(signal, &action, NULL);
	return mosquitto_callback_register(self, MOSQ_EVT_TICK, on_tick, NULL, NULL);
}

__attribute__((visibility("default"))) int mosquitto_plugin_cleanup(
	void *userdata, struct mosquitto_opt *options, int count)
{
	mosquitto_log_printf(
		MOSQ_LOG_NOTICE, "sigurg: raised %d times, handled %d times", raised, (int)handled);
	return MOSQ_ERR_SUCCESS;
}
