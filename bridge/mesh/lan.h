/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The local network: mDNS between the packets and the book. */
#ifndef BRIDGE_MESH_LAN_H
#define BRIDGE_MESH_LAN_H

#include "context.h"

/* ERROR_NOMEM. */
int lan_make(struct mesh *mesh, enum node_mdns mode);
/* We are to be found elsewhere: announces it. */
void lan_tell(struct mesh *mesh);
void lan_packet(struct mesh *mesh, const uint8_t *packet, size_t size);
/* Carries out what mDNS wants; whether there was anything. */
bool lan_effects(struct mesh *mesh);
uint64_t lan_deadline(const struct mesh *mesh);

#endif
