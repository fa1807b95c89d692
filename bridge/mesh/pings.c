/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "pings.h"

#include <stdio.h>
#include <utlist.h>

#include "../error.h"
#include "pictures.h"
#include "sessions.h"

struct try {
	struct ping *ping;
	size_t place;
};

/* One ping. It is freed when the last of its handshakes has ended; the picture is given before that
 * if time is up. */
struct ping {
	struct mesh *mesh;
	struct picture *picture; /* NULL: the owner has it */
	uint64_t due;
	size_t pending;
	struct try tries[LIMIT_PING_ADDRESSES];
	struct ping *prev, *next;
};

static void give(struct ping *ping)
{
	if (ping->picture)
		pictures_give(ping->mesh, ping->picture);
	ping->picture = NULL;
	ping->due = UINT64_MAX;
}

static void remove_ping(struct ping *ping)
{
	struct mesh *mesh = ping->mesh;

	DL_DELETE(mesh->pings, ping);
	mesh->pings_count--;
	picture_free(ping->picture);
	memory_free(ping);
}

static void on_ended(void *context, const struct probe *probe)
{
	struct try *try = context;
	struct ping *ping = try->ping;
	struct picture_place *place;

	if (ping->picture) {
		place = &ping->picture->places[try->place];
		place->answered = probe->answered;
		place->rtt_us = probe->rtt_us;
		snprintf(place->failure, sizeof place->failure, "%s", probe->failure);
	}
	if (--ping->pending > 0)
		return;
	give(ping);
	remove_ping(ping);
}

/* Makes the picture of a ping, with each address once, as they would be dialled. */
static struct picture *prepare(struct mesh *mesh, const struct picture_question *question,
	size_t *count)
{
	struct address addresses[BOOK_CANDIDATES];
	struct book_account account = {0};
	struct picture *picture;

	*count = book_candidates(mesh->book, &question->id, addresses, NULL);
	if (*count > LIMIT_PING_ADDRESSES)
		*count = LIMIT_PING_ADDRESSES;
	picture = picture_new(question, 0, 0, *count);
	if (!picture)
		return NULL;
	picture->found = book_describe(mesh->book, &question->id, &account);
	picture->places_count = *count;
	for (size_t i = 0; i < *count; i++) {
		picture->places[i].address = addresses[i];
		picture->places[i].source = question->id;
		snprintf(picture->places[i].failure, PICTURE_TEXT_SIZE, "no answer within %d s",
			PING_MOST_MS / 1000);
		for (size_t j = account.places_count; j-- > 0;) {
			if (address_compare(&account.places[j].address, &addresses[i]) != 0)
				continue;
			picture->places[i].origin = (enum picture_origin)account.places[j].origin;
			picture->places[i].source = account.places[j].source;
		}
	}
	return picture;
}

/* Dials one address. An address that cannot be dialled counts as one that does not answer. */
static void start(struct ping *ping, size_t place)
{
	struct mesh *mesh = ping->mesh;
	struct picture *picture = ping->picture;
	struct try *try = &ping->tries[place];
	int error;

	*try = (struct try){ping, place};
	error = sessions_probe(mesh, &picture->question.id, &picture->places[place].address,
		on_ended, try);
	if (error)
		snprintf(picture->places[place].failure, PICTURE_TEXT_SIZE, "cannot be dialled: %s",
			error_text(error));
	else
		ping->pending++;
}

int pings_begin(struct mesh *mesh, const struct picture_question *question)
{
	struct ping *ping;
	size_t count;

	ping = memory_zalloc(sizeof *ping);
	if (!ping)
		return ERROR_NOMEM;
	ping->mesh = mesh;
	ping->picture = prepare(mesh, question, &count);
	if (!ping->picture) {
		memory_free(ping);
		return ERROR_NOMEM;
	}
	ping->due = mesh->now + PING_MOST_MS * MS;
	DL_APPEND(mesh->pings, ping);
	mesh->pings_count++;
	for (size_t i = 0; i < count; i++) {
		if (!access_grants(mesh->access, &question->id))
			snprintf(ping->picture->places[i].failure, PICTURE_TEXT_SIZE,
				"shut out by allow_node or deny_node");
		else if (mesh->pings_count > LIMIT_PINGS)
			snprintf(ping->picture->places[i].failure, PICTURE_TEXT_SIZE,
				"too many pings at once: try again");
		else
			start(ping, i);
	}
	if (ping->pending == 0) {
		give(ping);
		remove_ping(ping);
	}
	return ERROR_NONE;
}

void pings_tick(struct mesh *mesh)
{
	struct ping *ping;

	DL_FOREACH (mesh->pings, ping)
		if (ping->due <= mesh->now)
			give(ping);
}

uint64_t pings_deadline(const struct mesh *mesh)
{
	uint64_t due = UINT64_MAX;
	struct ping *ping;

	DL_FOREACH (mesh->pings, ping)
		if (ping->due < due)
			due = ping->due;
	return due;
}

void pings_free(struct mesh *mesh)
{
	while (mesh->pings)
		remove_ping(mesh->pings);
}
