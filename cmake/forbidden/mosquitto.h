/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#error "the mesh and the rooms below it are sans-IO: they do not use Mosquitto (docs/architecture.md)"
