/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "advice.h"

#include "broker.h"

#define SECOND_NS UINT64_C(1000000000)
#define EVERY_NS  (600 * SECOND_NS)

static const struct {
	enum counter counter;
	const char *text; /* after the number */
} table[] = {
	{COUNTER_DROPPED_MAILBOX,
		"messages were not carried: they came faster than the node's thread takes them"},
	{COUNTER_DROPPED_EVENTS,
		"messages that arrived were not handed to the broker: they came faster than it "
		"takes them"},
	{COUNTER_DROPPED_BROKER, "messages that arrived were refused by the broker itself"},
	{COUNTER_DROPPED_NO_MEMORY_ARRIVING, "messages that arrived were lost: out of memory"},
	{COUNTER_DROPPED_NO_MEMORY_COPY,
		"copies were not sent to a neighbour: out of memory; others may have passed them on"},
	{COUNTER_DROPPED_NO_STREAM_CREDIT,
		"copies were not sent to a neighbour that takes part in no more overlays with us at "
		"once (its limit on streams: 100 for applications, max_overlays for brokers)"},
	{COUNTER_DROPPED_PEER_SLOW,
		"copies were not sent to a neighbour that is too slow, or whose network is; others "
		"may have passed them on"},
	{COUNTER_DROPPED_PEER_LOST,
		"copies were not sent to a neighbour that was lost and not back within 30 s; others "
		"may have passed them on"},
	{COUNTER_DROPPED_UNFORWARDABLE,
		"messages were not passed on: with our addition they are larger than a frame"},
	{COUNTER_DROPPED_UNSUITED,
		"messages that arrived can be shown by no codec that is subscribed: subscribe "
		".../ephemeral/cbor, which shows all"},
	{COUNTER_BAD_SIGNATURE, "messages came with a false signature, and are not shown as signed"},
	{COUNTER_LIMIT_VERIFIED,
		"signed messages were not verified, and not shown: more than there is time for"},
	{COUNTER_BAD_FRAME, "frames could not be decoded: a node that speaks another protocol"},
	{COUNTER_LIMIT_CACHE,
		"messages are not kept for neighbours that ask again: more than cache_bytes in 30 s"},
	{COUNTER_LIMIT_RECEIVED_IDS,
		"names of messages were forgotten early: the same message may arrive twice"},
	{COUNTER_LIMIT_MISSING,
		"messages that others have were not asked for: too many are missing at once"},
	{COUNTER_LIMIT_LAZY_QUEUE, "messages were not announced to neighbours: too many at once"},
	{COUNTER_TRACE_LOST,
		"pieces of qlog_dir and keylog_file were not written: the disk does not keep up or "
		"is full, or there are enough of them"},
};

_Static_assert(sizeof table / sizeof table[0] <= ADVICES, "ADVICES has a place for each");

void advice_tick(struct advice *advice, uint64_t now_ns, const struct counters *counters)
{
	uint64_t now;

	if (now_ns < advice->look_ns)
		return;
	advice->look_ns = now_ns + SECOND_NS;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		now = counters_get(counters, table[i].counter);
		if (now == advice->each[i].said || now_ns < advice->each[i].not_before)
			continue;
		broker_log(BROKER_NOTICE, "%llu %s (%s)",
			(unsigned long long)(now - advice->each[i].said), table[i].text,
			counter_topic(table[i].counter));
		advice->each[i].said = now;
		advice->each[i].not_before = now_ns + EVERY_NS;
	}
}
