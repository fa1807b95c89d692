/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Another node with our key (peers/twin.h): what the files below this one have seen of it. */
#ifndef BRIDGE_MESH_TWINS_H
#define BRIDGE_MESH_TWINS_H

#include "context.h"

/* Carries out what is due. */
void twins_tick(struct mesh *mesh);

#endif
