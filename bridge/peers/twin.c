/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "twin.h"

#include "../time.h"

static bool is_newer(struct info_time a, struct info_time b)
{
	return info_time_compare(a, b) > 0;
}

static void ask(struct twin *twin, uint64_t now, const struct id *node, unsigned asks)
{
	if (twin->asks == 0)
		twin->ask_at = now + TWIN_ASK_MS * MS;
	if (twin->asks >= asks)
		return;
	twin->source = *node;
	twin->asks = asks;
}

void twin_signed(struct twin *twin, struct info_time before, struct info_time time)
{
	if (twin->first.us == 0) {
		twin->before = before;
		twin->first = time;
	}
	if (is_newer(time, twin->newest))
		twin->newest = time;
}

void twin_heard(struct twin *twin, uint64_t now, const struct id *source, struct info_time time)
{
	if (twin->had_older || !is_newer(time, twin->before) || !is_newer(twin->first, time))
		return;
	twin->had_older = true;
	ask(twin, now, source, TWIN_ASKS);
}

bool twin_verified(struct twin *twin, uint64_t now, const struct id *source, struct info_time time)
{
	if (!is_newer(time, twin->newest))
		return false;
	twin->newest = time;
	if (twin->signs > 0 && now - twin->sign_at > TWIN_SIGN_MS * MS)
		twin->signs = 0;
	twin->signs++;
	twin->sign_at = now;
	ask(twin, now, source, TWIN_ASKS);
	return twin->signs >= TWIN_SIGNS;
}

bool twin_answer(struct twin *twin, uint64_t now)
{
	if (twin->signs > TWIN_SIGNS && now - twin->answered < TWIN_ANSWER_MS * MS)
		return false;
	twin->answered = now;
	return true;
}

void twin_stream_ended(
	struct twin *twin, uint64_t now, const struct id *node, const struct id *topic)
{
	if (twin->suspect_at > 0 || now < twin->suspect_again)
		return;
	twin->suspect = *node;
	twin->topic = *topic;
	twin->suspect_at = now + TWIN_SUSPECT_MS * MS;
}

bool twin_suspect(struct twin *twin, uint64_t now, struct id *node, struct id *topic)
{
	if (twin->suspect_at == 0 || now < twin->suspect_at)
		return false;
	*node = twin->suspect;
	*topic = twin->topic;
	twin->suspect_at = 0;
	return true;
}

void twin_deprived(struct twin *twin, uint64_t now, const struct id *node)
{
	twin->suspect_again = now + TWIN_SUSPECT_AGAIN_MS * MS;
	if (twin->asks > 0)
		return;
	ask(twin, now, node, 1);
	twin->ask_at = now;
}

uint64_t twin_deadline(const struct twin *twin)
{
	uint64_t due = twin->asks > 0 ? twin->ask_at : UINT64_MAX;

	return twin->suspect_at > 0 && twin->suspect_at < due ? twin->suspect_at : due;
}

bool twin_ask(struct twin *twin, uint64_t now, struct id *node)
{
	if (twin->asks == 0 || now < twin->ask_at)
		return false;
	*node = twin->source;
	twin->asks--;
	twin->ask_at = now + TWIN_ASK_MS * MS;
	return true;
}
