/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The topics to which requests go and from which responses come. */
#ifndef PLUGIN_CONTROL_TOPICS_H
#define PLUGIN_CONTROL_TOPICS_H

#define CONTROL_TOPIC	 "$CONTROL/p2panda/v1"
#define CONTROL_RESPONSE CONTROL_TOPIC "/response"

#endif
