/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another plugin. plugin_opt_checks: `yes`, it has an access control of its own, by words in the
 * topic: "secret" is denied, "public" is allowed, and of all else it has no opinion; `no`, it has
 * none. What it is asked to reload it says.
 */
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static int on_check(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_acl_check *check = data;

	if (strstr(check->topic, "secret"))
		return MOSQ_ERR_ACL_DENIED;
	if (strstr(check->topic, "public"))
		return MOSQ_ERR_SUCCESS;
	return MOSQ_ERR_PLUGIN_DEFER;
}

static int on_reload(int event, void *data, void *userdata)
{
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "the other plugin reloads");
	return MOSQ_ERR_SUCCESS;
}

EXPORT int mosquitto_plugin_version(int count, const int *versions)
{
	return MOSQ_PLUGIN_VERSION;
}

EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
	struct mosquitto_opt *options, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(options[i].key, "checks") == 0 && strcmp(options[i].value, "yes") == 0)
			mosquitto_callback_register(
				identifier, MOSQ_EVT_ACL_CHECK, on_check, NULL, NULL);
	return mosquitto_callback_register(identifier, MOSQ_EVT_RELOAD, on_reload, NULL, NULL);
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int count)
{
	return MOSQ_ERR_SUCCESS;
}
