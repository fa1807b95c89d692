/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "picture.h"

#include "memory.h"

struct picture *picture_new(const struct picture_question *question, size_t overlays, size_t nodes,
	size_t places)
{
	struct picture *picture = memory_zalloc(sizeof *picture);

	if (!picture)
		return NULL;
	picture->question = *question;
	if (overlays > 0)
		picture->overlays = memory_zalloc(overlays * sizeof *picture->overlays);
	if (nodes > 0)
		picture->nodes = memory_zalloc(nodes * sizeof *picture->nodes);
	if (places > 0)
		picture->places = memory_zalloc(places * sizeof *picture->places);
	if ((overlays > 0 && !picture->overlays) || (nodes > 0 && !picture->nodes) ||
		(places > 0 && !picture->places)) {
		picture_free(picture);
		return NULL;
	}
	return picture;
}

void picture_free(struct picture *picture)
{
	if (!picture)
		return;
	memory_free(picture->overlays);
	memory_free(picture->nodes);
	memory_free(picture->places);
	memory_free(picture);
}

size_t picture_size(const struct picture *picture)
{
	return sizeof *picture + picture->overlays_count * sizeof *picture->overlays +
	       picture->nodes_count * sizeof *picture->nodes +
	       picture->places_count * sizeof *picture->places;
}
