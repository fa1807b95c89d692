/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "remark.h"

#include "broker.h"
#include "topic.h"

#define SECOND_NS	  UINT64_C(1000000000)
#define SUMMARY_EVERY_NS  (10 * SECOND_NS)
#define DROPPED_EVERY_NS (600 * SECOND_NS)

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
	[REMARK_DROPPED] = {20, 10 * SECOND_NS, "overlays with messages that were not carried"},
	/* A restart joins as many overlays as there are. */
	[REMARK_OVERLAY] = {2000, SECOND_NS / 10, "overlays joined or left"},
	[REMARK_CONTROL] = {5, 10 * SECOND_NS, "requests of control refused"},
};

bool remark_may(struct remarks *remarks, uint64_t now_ns, enum remark_kind kind)
{
	if (allowance_take(&remarks->kinds[kind].lines, now_ns, kinds[kind].every,
		    kinds[kind].burst))
		return true;
	remarks->kinds[kind].unsaid++;
	return false;
}

bool remark_first(struct remarks *remarks, enum remark_once what)
{
	bool first = !remarks->said[what];

	remarks->said[what] = true;
	return first;
}

void remark_elsewhere(struct remarks *remarks, enum remark_once what, const char *client,
	const char *topic)
{
	const char *end = topic_elsewhere(topic);

	if (!end || !remark_first(remarks, what))
		return;
	broker_log(BROKER_NOTICE,
		"client %.*s %s %.*s%.18s..., which only ends like an overlay: nothing is joined or "
		"carried there (has its listener a mount_point?). This is said once",
		REMARK_CLIENT, client,
		what == REMARK_SUBSCRIBED_ELSEWHERE ? "subscribed" : "publishes to",
		(int)(end - topic > REMARK_CLIENT ? REMARK_CLIENT : end - topic), topic, end);
}

/* Returns why messages of an overlay were not carried, and what to do about it: the words after
 * their number. NULL: nothing is said of that reason. */
static const char *advice_on(enum counter reason)
{
	switch (reason) {
	case COUNTER_DROPPED_REPEATED:
		return "were not sent on, as it has had the same bytes within 90 s: put what "
		       "changes into the payload, a counter or the time";
	case COUNTER_DROPPED_QUEUE_AGE:
		return "have waited for a neighbour for queue_age, and none came: either no other "
		       "node has this overlay, or none of them is reached (lines about peers)";
	case COUNTER_DROPPED_QUEUE_LIMIT:
		return "gave way to later ones while they waited for a neighbour: more than "
		       "queue_limit, or 16 MiB in all";
	case COUNTER_DROPPED_LEFT:
		return "still waited for a neighbour when it was left: nobody here subscribes it "
		       "any more (option topic holds it)";
	case COUNTER_DROPPED_NO_MEMORY:
		return "were not sent: out of memory";
	default:
		return NULL;
	}
}

static bool is_about(
	const struct remarks *remarks, size_t i, const struct id *topic, enum counter reason)
{
	return remarks->droppers[i].not_before > 0 && remarks->droppers[i].reason == reason &&
	       id_equal(&remarks->droppers[i].topic, topic);
}

/* Returns the place of an overlay and a reason; if they have none, the place that was logged
 * longest ago. */
static size_t find_dropper(
	const struct remarks *remarks, const struct id *topic, enum counter reason)
{
	size_t oldest = 0;

	for (size_t i = 0; i < REMARK_DROPPERS; i++) {
		if (is_about(remarks, i, topic, reason))
			return i;
		if (remarks->droppers[i].not_before < remarks->droppers[oldest].not_before)
			oldest = i;
	}
	return oldest;
}

void remark_dropped(struct remarks *remarks, uint64_t now_ns, const struct id *topic,
	enum counter reason, uint64_t count)
{
	const char *advice = advice_on(reason);
	size_t i = find_dropper(remarks, topic, reason);
	bool known = is_about(remarks, i, topic, reason);

	if (!advice)
		return;
	if (known)
		count += remarks->droppers[i].unsaid;
	if (known && now_ns < remarks->droppers[i].not_before) {
		remarks->droppers[i].unsaid = count;
		return;
	}
	remarks->droppers[i].topic = *topic;
	remarks->droppers[i].reason = reason;
	if (!remark_may(remarks, now_ns, REMARK_DROPPED)) {
		remarks->droppers[i].not_before = now_ns;
		remarks->droppers[i].unsaid = count;
		return;
	}
	remarks->droppers[i].not_before = now_ns + DROPPED_EVERY_NS;
	remarks->droppers[i].unsaid = 0;
	broker_log(BROKER_NOTICE, "overlay %s: %llu messages %s", topic_short(topic).text,
		(unsigned long long)count, advice);
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
