/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the options about relays need before the node starts: their files are read, and what a
 * relay without TLS means is said. The broker's thread.
 */
#ifndef PLUGIN_RELAY_OPTIONS_H
#define PLUGIN_RELAY_OPTIONS_H

#include "options.h"

/* Reads relay_token_file into token (empty: none is given) and looks at relay_ca; writes one line
 * in the log if a relay is plain http. Returns false if a file is wrong: a line in the log says
 * what is. */
bool relay_options_load(const struct options *options, char token[NODE_TOKEN_SIZE]);

#endif
