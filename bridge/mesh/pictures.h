/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pictures of the node for its owner (picture.h): they are taken, and nothing changes by it. */
#ifndef BRIDGE_MESH_PICTURES_H
#define BRIDGE_MESH_PICTURES_H

#include "context.h"

/* Takes any picture but one of a ping; NULL: no memory. */
struct picture *pictures_take(struct mesh *mesh, const struct picture_question *question);
/* Hands a picture to the owner. */
void pictures_give(struct mesh *mesh, struct picture *picture);

#endif
