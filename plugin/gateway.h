/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gateway: puts broker, interest, outbound, inbound, waker, status and the node
 * together. The broker's thread.
 */
#ifndef PLUGIN_GATEWAY_H
#define PLUGIN_GATEWAY_H

#include "broker.h"
#include "options.h"

struct gateway;

/* Loads the identity, starts the node and joins the fixed topics. False: one line has
 * been logged. identifier is the plugin's for the broker. */
bool gateway_start(void *identifier, const struct options *options, struct gateway **out);

/* Leaves every overlay and ends the node; at most a second and a little. */
void gateway_stop(struct gateway *gateway);

#endif
