/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "flaps.h"

#include "broker.h"
#include "topic.h"

static bool take_line(struct flapping *one, uint64_t now_ns)
{
	return allowance_take(&one->lines, now_ns, FLAPS_EVERY_NS, FLAPS_BURST);
}

static const char *state_of(const struct flapping *one)
{
	return one->joined ? "joined" : "left";
}

static void sum_up(struct flaps *flaps, struct flapping *one)
{
	broker_log(BROKER_INFO, "overlay %s: joined or left %llu times more, is %s now",
		topic_short(&one->topic).text, (unsigned long long)one->unsaid, state_of(one));
	one->unsaid = 0;
	flaps->silent--;
}

/* Returns the place of an overlay; an overlay that has none gets the place of the one whose lines
 * are spent the least. */
static struct flapping *place_of(struct flaps *flaps, const struct id *topic)
{
	struct flapping *calmest = &flaps->overlays[0];

	for (size_t i = 0; i < FLAPS_OVERLAYS; i++) {
		struct flapping *one = &flaps->overlays[i];

		if (one->lines.next > 0 && id_equal(&one->topic, topic))
			return one;
		if (one->lines.next < calmest->lines.next)
			calmest = one;
	}
	if (calmest->unsaid > 0)
		sum_up(flaps, calmest);
	*calmest = (struct flapping){.topic = *topic};
	return calmest;
}

void flaps_changed(struct flaps *flaps, struct remarks *remarks, uint64_t now_ns,
	const struct id *topic, bool joined)
{
	struct flapping *one = place_of(flaps, topic);

	one->joined = joined;
	if (!take_line(one, now_ns)) {
		flaps->silent += one->unsaid == 0;
		one->unsaid++;
		return;
	}
	if (one->unsaid > 0) {
		one->unsaid++;
		sum_up(flaps, one);
		return;
	}
	if (remark_may(remarks, now_ns, REMARK_OVERLAY))
		broker_log(BROKER_INFO, "overlay %s: %s", topic_short(topic).text, state_of(one));
}

void flaps_tick(struct flaps *flaps, uint64_t now_ns)
{
	if (flaps->silent == 0)
		return;
	for (size_t i = 0; i < FLAPS_OVERLAYS; i++) {
		struct flapping *one = &flaps->overlays[i];

		if (one->unsaid > 0 && take_line(one, now_ns))
			sum_up(flaps, one);
	}
}
