/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gateway: puts broker, interest, outbound, inbound, waker, status and the node
 * together. The broker's thread.
 */
#ifndef PLUGIN_GATEWAY_H
#define PLUGIN_GATEWAY_H

#include "broker.h"
#include "options.h"
#include "settings.h"

struct gateway;

/* Loads the identity, starts the node and joins the fixed topics. Returns false after one line in
 * the log. identifier is the plugin's for the broker; settings is where options come from, and must
 * outlive the gateway. */
bool gateway_start(void *identifier, struct settings *settings, const struct options *options,
	struct gateway **out);

/* Leaves every overlay and ends the node; takes at most a second and a little. */
void gateway_stop(struct gateway *gateway);

#endif
