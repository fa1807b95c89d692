/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "lines.h"

#include <stdio.h>
#include <string.h>

#include "relays.h"

void situation_of(const struct relay_view *view, bool home, struct situation *out)
{
	*out = (struct situation){.home = home, .restarting = view->restarting};
	if (view->state == RELAY_CONNECTED) {
		out->type = view->proven ? SITUATION_UP : SITUATION_NONE;
		out->status = view->status;
	} else if (view->state != RELAY_IDLE && view->trouble != RELAY_NO_TROUBLE) {
		out->type = SITUATION_TROUBLE;
		out->trouble = view->trouble;
	}
	snprintf(out->text, sizeof out->text, "%s", view->text);
}

/* Tells whether the trouble is the network, or a relay that restarts. That is one trouble, in
 * whatever way it shows. */
static bool is_passing(enum relay_trouble trouble)
{
	switch (trouble) {
	case RELAY_UNREACHABLE:
	case RELAY_LOST:
	case RELAY_TIMEOUT:
	case RELAY_SILENT:
	case RELAY_STALLED:
		return true;
	default:
		return false;
	}
}

bool situation_equal(const struct situation *a, const struct situation *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == SITUATION_TROUBLE)
		return a->trouble == b->trouble ||
		       (is_passing(a->trouble) && is_passing(b->trouble));
	return a->status == b->status && a->home == b->home && strcmp(a->text, b->text) == 0;
}

/* What is wrong and what to do about it; %s: the words that go with the trouble. */
static const struct {
	const char *with, *without; /* words */
} troubles[] = {
	[RELAY_NO_NAME] =
		{"its name was not found (%s): see how it is written, and the name server",
			"its name was not found: see how it is written, and the name server"},
	[RELAY_NOT_PUBLIC] = {"not connected to: its name leads to no public address",
		"not connected to: its name leads to no public address"},
	[RELAY_UNREACHABLE] = {"cannot be connected to (%s); trying again",
		"cannot be connected to; trying again"},
	[RELAY_CERTIFICATE] = {"its certificate is refused (%s): see whether the host is the right "
			       "one; an authority of your own is given by relay_ca",
		"its certificate is refused: see whether the host is the right one; an authority "
		"of your own is given by relay_ca"},
	[RELAY_TLS] = {"TLS fails (%s): see whether it is https there",
		"TLS fails: see whether it is https there"},
	[RELAY_LOST] = {"the connection has ended (%s); trying again",
		"the connection has ended; trying again"},
	[RELAY_TIMEOUT] = {"no answer within 10 s; trying again",
		"no answer within 10 s; trying again"},
	[RELAY_NOT_FOUND] = {"answers 404 to /relay: no relay is there, see host and port",
		"answers 404 to /relay: no relay is there, see host and port"},
	[RELAY_REDIRECTED] = {"sends us elsewhere, which is not followed: %s; if that is right, "
			      "configure that",
		"sends us elsewhere, but does not say where: see host and port"},
	[RELAY_REFUSED] = {"refuses us (HTTP %s): see relay_token_file",
		"refuses us: see relay_token_file"},
	[RELAY_BAD_REQUEST] = {"takes no WebSocket (HTTP 400): a proxy before it has to hand on "
			       "Upgrade and Connection",
		"takes no WebSocket (HTTP 400)"},
	[RELAY_HTTP] = {"answers with HTTP %s; trying again", "answers with an HTTP error"},
	[RELAY_NO_RELAY] = {"what answers there is no relay (%s): see host and port",
		"what answers there is no relay: see host and port"},
	[RELAY_DENIED] = {"denies us access (%s): see relay_token_file, and whether its operator "
			  "lets this node in",
		"denies us access: see relay_token_file, and whether its operator lets this node "
		"in"},
	[RELAY_PROTOCOL] = {"does not speak the protocol of iroh's relays (%s); trying again",
		"does not speak the protocol of iroh's relays; trying again"},
	[RELAY_SILENT] = {"does not answer any more; trying again",
		"does not answer any more; trying again"},
	[RELAY_STALLED] = {"takes nothing more; trying again", "takes nothing more; trying again"},
	[RELAY_NO_MEMORY] = {"out of memory; trying again", "out of memory; trying again"},
};

static enum node_log_level format_trouble(const struct situation *situation,
	const struct relay_url *url, bool hearsay, char *out, size_t size)
{
	const char *form = situation->text[0] ? troubles[situation->trouble].with
					      : troubles[situation->trouble].without;
	const char *words = strstr(form, "%s");

	if (situation->trouble == RELAY_LOST && situation->restarting)
		snprintf(out, size, "relay %s: it restarts; trying again", url->text);
	else if (words)
		snprintf(out, size, "relay %s: %.*s%s%s", url->text, (int)(words - form), form,
			situation->text, words + 2);
	else
		snprintf(out, size, "relay %s: %s", url->text, form);
	return hearsay ? NODE_LOG_INFO : NODE_LOG_WARNING;
}

static enum node_log_level format_up(
	const struct situation *situation, const struct relay_url *url, char *out, size_t size)
{
	if (situation->status == RELAY_ELSEWHERE) {
		snprintf(out, size,
			"relay %s: another process with the key of this node has connected there "
			"after it, and gets what comes by it: no two nodes may have one key "
			"(a cloned machine? see identity_file)",
			url->text);
		return NODE_LOG_ERROR;
	}
	if (situation->status == RELAY_LIMITED) {
		snprintf(out, size,
			"relay %s: takes less than is sent by it, as its operator has limited; "
			"expect messages by it to be slow",
			url->text);
		return NODE_LOG_WARNING;
	}
	if (situation->text[0]) {
		snprintf(out, size, "relay %s: says: %s", url->text, situation->text);
		return NODE_LOG_WARNING;
	}
	if (!situation->home) {
		snprintf(out, size, "relay %s: connected, for nodes that are there", url->text);
		return NODE_LOG_INFO;
	}
	snprintf(out, size, "relay %s: connected; others find this node there", url->text);
	return NODE_LOG_NOTICE;
}

enum node_log_level situation_format(const struct situation *situation, const struct relay_url *url,
	bool hearsay, char *out, size_t size)
{
	if (situation->type == SITUATION_UP)
		return format_up(situation, url, out, size);
	return format_trouble(situation, url, hearsay, out, size);
}

bool line_budget_take(struct line_budget *budget, uint64_t now)
{
	if (now < line_budget_due(budget))
		return false;
	budget->spent = (budget->spent > now ? budget->spent : now) + RELAYS_LINE_INTERVAL;
	return true;
}

uint64_t line_budget_due(const struct line_budget *budget)
{
	uint64_t at_once = (RELAYS_LINES - 1) * RELAYS_LINE_INTERVAL;

	return budget->spent > at_once ? budget->spent - at_once : 0;
}
