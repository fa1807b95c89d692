/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "remark.h"

#include "broker.h"
#include "topic.h"

#define SECOND_NS	  UINT64_C(1000000000)
#define SUMMARY_EVERY_NS  (10 * SECOND_NS)
#define REPEATED_EVERY_NS (600 * SECOND_NS)

static const struct {
	unsigned burst; /* lines at once */
	uint64_t every; /* ns for each further one */
	const char *what;
} kinds[REMARKS] = {
	[REMARK_MALFORMED_FILTER] = {10, SECOND_NS, "subscriptions that are no overlay"},
	[REMARK_LOCAL] = {20, SECOND_NS, "subscriptions that stay local"},
	[REMARK_DENIED] = {5, 10 * SECOND_NS, "subscriptions of who may not read there"},
	[REMARK_GAVE_WAY] = {5, 10 * SECOND_NS, "clients offline that gave way"},
	[REMARK_UNRECORDED] = {5, SECOND_NS, "subscriptions not kept for a restart"},
	[REMARK_MALFORMED_TOPIC] = {1, SECOND_NS, "messages refused: no overlay"},
	[REMARK_TOO_LARGE] = {1, SECOND_NS, "messages refused: too large"},
	[REMARK_ENCODING] = {5, SECOND_NS, "messages refused: not of their codec"},
	[REMARK_GUARD] = {5, SECOND_NS, "messages refused: applications listen"},
	[REMARK_MAX_OVERLAYS] = {1, SECOND_NS, "messages refused: too many overlays"},
	[REMARK_REPEATED] = {20, 10 * SECOND_NS, "overlays with repeated messages"},
	/* A restart joins as many as there are. */
	[REMARK_OVERLAY] = {2000, SECOND_NS / 10, "overlays joined or left"},
};

bool remark_may(struct remarks *remarks, uint64_t now_ns, enum remark_kind kind)
{
	uint64_t *until = &remarks->kinds[kind].spent_until;

	if (*until < now_ns)
		*until = now_ns;
	if (*until + kinds[kind].every > now_ns + kinds[kind].burst * kinds[kind].every) {
		remarks->kinds[kind].unsaid++;
		return false;
	}
	*until += kinds[kind].every;
	return true;
}

/* Its place, or that of the one that was spoken of longest ago. */
static size_t find_repeater(const struct remarks *remarks, const struct id *topic)
{
	size_t oldest = 0;

	for (size_t i = 0; i < REMARK_REPEATERS; i++) {
		if (remarks->repeaters[i].not_before > 0 &&
			id_equal(&remarks->repeaters[i].topic, topic))
			return i;
		if (remarks->repeaters[i].not_before < remarks->repeaters[oldest].not_before)
			oldest = i;
	}
	return oldest;
}

void remark_repeated(
	struct remarks *remarks, uint64_t now_ns, const struct id *topic, uint64_t count)
{
	size_t i = find_repeater(remarks, topic);
	bool known = remarks->repeaters[i].not_before > 0 &&
		     id_equal(&remarks->repeaters[i].topic, topic);

	if (known)
		count += remarks->repeaters[i].unsaid;
	if (known && now_ns < remarks->repeaters[i].not_before) {
		remarks->repeaters[i].unsaid = count;
		return;
	}
	if (!remark_may(remarks, now_ns, REMARK_REPEATED))
		return;
	remarks->repeaters[i].topic = *topic;
	remarks->repeaters[i].not_before = now_ns + REPEATED_EVERY_NS;
	remarks->repeaters[i].unsaid = 0;
	broker_log(BROKER_NOTICE,
		"overlay %s: %llu messages were not sent on, as it has had the same bytes within "
		"90 s: put what changes into the payload, a counter or the time",
		topic_short(topic).text, (unsigned long long)count);
}

void remark_tick(struct remarks *remarks, uint64_t now_ns)
{
	if (now_ns < remarks->summary_ns)
		return;
	for (size_t i = 0; i < REMARKS; i++) {
		if (remarks->kinds[i].unsaid == 0)
			continue;
		broker_log(BROKER_NOTICE, "%llu more lines were not written: %s",
			(unsigned long long)remarks->kinds[i].unsaid, kinds[i].what);
		remarks->kinds[i].unsaid = 0;
		remarks->summary_ns = now_ns + SUMMARY_EVERY_NS;
	}
}
