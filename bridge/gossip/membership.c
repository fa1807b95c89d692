/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "membership.h"

#include "../backoff.h"
#include "views.h"

/* hyparview.rs Config::default; the counts are those of the paper, section 5.1. */
#define ACTIVE_WALK	 6
#define PASSIVE_WALK	 3
#define SHUFFLE_WALK	 6
#define SHUFFLE_ACTIVE	 3
#define SHUFFLE_PASSIVE	 4
#define SHUFFLE_INTERVAL (60000 * MS)
/* The first interval, after the first neighbour has come: this time and up to half as long again;
 * the intervals double up to SHUFFLE_INTERVAL. */
#define SHUFFLE_FIRST (4000 * MS)
/* Nodes that are probed before their part of the overlay is taken for another one than ours: each
 * node names one for the next. Two nodes of one overlay know nobody in common in half of all cases
 * if the overlay has a thousand nodes and is a minute old; if it has a hundred, rarely. */
#define PROBES 8
#define NEIGHBOR_TIMEOUT (500 * MS)

/* How long the Neighbor of a member of the active view counts as the answer to ours.
 * If two nodes both took an answer for a new request they would answer each other
 * for ever; no round trip takes as long as this (the connection's idle timeout). */
#define ANSWER_TIMEOUT (10000 * MS)

/* Tags, origin, count and ttl of the longest list message. */
#define LIST_OVERHEAD (2 + ID_SIZE + 2 + 3)

enum removal { REMOVED_AT_RANDOM, REMOVED_BY_PEER_ALIVE, REMOVED_BY_PEER_DEAD, REMOVED_AS_LOST };

void membership_init(struct membership *membership, struct core *core, struct broadcast *broadcast,
	const struct id *topic)
{
	*membership = (struct membership){.core = core,
		.broadcast = broadcast,
		.topic = *topic,
		.refills = MEMBERSHIP_REFILLS,
		.shuffle_at = UINT64_MAX,
		.deadline = UINT64_MAX};
}

void membership_clear(struct membership *membership)
{
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++)
		views_forget(&membership->members[i]);
}

bool membership_knows(const struct membership *membership, const struct id *peer)
{
	const struct member *member = views_find(membership, peer);

	return member && member->told;
}

bool membership_is_active(const struct membership *membership, const struct id *peer)
{
	const struct member *member = views_find(membership, peer);

	return member && member->view == MEMBER_ACTIVE;
}

/* Returns peer data, or None if the data is malformed or too large: such data is counted, and
 * neither kept nor passed on. */
static struct wire_data checked(struct membership *membership, struct wire_data data)
{
	struct addr_info info;

	if (!data.bytes)
		return data;
	if (data.size <= LIMIT_PEER_DATA && !addr_info_decode(data.bytes, data.size, &info))
		return data;
	counters_add(membership->core->counters, COUNTER_LIMIT_PEER_DATA, 1);
	return (struct wire_data){NULL, 0};
}

/* Reports the addresses in the data of peer, unless they are known already, and keeps the data if
 * peer is a member. data has been checked. */
static void learn(struct membership *membership, const struct id *source, const struct id *peer,
	const struct wire_data *data)
{
	struct member *member = views_find(membership, peer);
	struct addr_info info;

	if (!data->bytes || id_equal(peer, &membership->core->me))
		return;
	if (member && views_data_equal(&member->data, data))
		return;
	if (!addr_info_decode(data->bytes, data->size, &info) &&
		(info.count > 0 || (info.relay && info.relay_size < RELAY_URL_SIZE)))
		effects_addresses(&membership->core->effects, peer, source, &info);
	if (member)
		views_keep_data(membership, member, data);
}

static void send(
	struct membership *membership, const struct id *to, const struct wire_message *message)
{
	effects_send(&membership->core->effects, &membership->topic, to, message,
		message->type == WIRE_DISCONNECT);
}

static void emit(struct membership *membership, enum gossip_effect_type type, const struct id *peer)
{
	effects_peer(&membership->core->effects, type, &membership->topic, peer);
}

static struct wire_data my_data(const struct membership *membership)
{
	return (struct wire_data){membership->core->data, membership->core->data_size};
}

static void send_neighbor(
	struct membership *membership, const struct id *to, enum wire_priority priority)
{
	struct wire_message message;

	message.type = WIRE_NEIGHBOR;
	message.neighbor.priority = priority;
	message.neighbor.data = my_data(membership);
	send(membership, to, &message);
}

static void mark_asked(struct member *member, uint64_t now)
{
	member->asked = true;
	member->asked_at = now;
}

/* Asks peer with a Neighbor to become a neighbour, but not twice while an answer may be on its way
 * (hyparview.rs send_neighbor). */
static void ask(struct membership *membership, uint64_t now, const struct id *peer,
	enum wire_priority priority)
{
	struct member *member = views_find(membership, peer);

	if (member && member->asked &&
		(member->view != MEMBER_ACTIVE || now - member->asked_at < NEIGHBOR_TIMEOUT))
		return;
	if (!member && views_count_strangers(membership) >= MEMBERSHIP_STRANGERS) {
		counters_add(membership->core->counters, COUNTER_LIMIT_PEERS, 1);
		return;
	}
	mark_asked(member ? member : views_obtain(membership, peer), now);
	send_neighbor(membership, peer, priority);
}

static void send_shuffle_reply(struct membership *membership, const struct id *to, size_t wanted)
{
	struct wire_message message;
	struct wire_nodes *nodes = &message.shuffle_reply.nodes;
	size_t room = LIMIT_FRAME - 1 - LIST_OVERHEAD;

	message.type = WIRE_SHUFFLE_REPLY;
	nodes->count = 0;
	views_draw(membership, nodes, &room, MEMBER_PASSIVE, wanted, to);
	if (nodes->count < wanted)
		views_draw(membership, nodes, &room, MEMBER_ACTIVE, wanted - nodes->count, to);
	send(membership, to, &message);
}

/* Sends a Disconnect to a peer, and a ShuffleReply before it: with these nodes a peer that has just
 * joined does not run out of nodes to ask (hyparview.rs send_disconnect). */
static void send_disconnect(struct membership *membership, const struct id *to, bool alive)
{
	struct wire_message message;

	send_shuffle_reply(membership, to, SHUFFLE_ACTIVE + SHUFFLE_PASSIVE);
	message.type = WIRE_DISCONNECT;
	message.disconnect.alive = alive;
	message.disconnect.respond = false;
	send(membership, to, &message);
	emit(membership, GOSSIP_RELEASE, to);
}

/* Asks the next member, if there is room: "When a node p suspects that one of the nodes present in
 * its active view has failed [...] it selects a random node q from its passive view" (HyParView,
 * 4.3). After a refusal refill is called again, for the next member, but only refills times:
 * refusals also bring nodes that may be asked, without an end in an overlay that has more nodes
 * than we can remember. */
static void refill(struct membership *membership, uint64_t now, const struct id *skip)
{
	struct member *member;

	if (membership->active + views_count_asked(membership) >= LIMIT_ACTIVE_VIEW)
		return;
	member = views_pick(membership, MEMBER_PASSIVE, skip, NULL, true);
	if (!member || (membership->active > 0 && membership->refills == 0))
		return;
	if (membership->active > 0)
		membership->refills--;
	ask(membership, now, &member->id, membership->active ? WIRE_LOW : WIRE_HIGH);
}

/* Adds a node that source has named to the passive view, if there is a place. is_ours: source
 * belongs to our part of the overlay. */
static void add_passive(struct membership *membership, const struct id *source,
	const struct wire_node *node, bool is_ours)
{
	struct wire_data data = checked(membership, node->data);
	struct member *member;

	if (id_equal(&node->id, &membership->core->me))
		return;
	learn(membership, source, &node->id, &data);
	member = views_find(membership, &node->id);
	if (member && member->view != MEMBER_STRANGER) {
		member->told = member->told || is_ours;
		return;
	}
	if (!is_ours && membership->passive >= LIMIT_PASSIVE_VIEW)
		return;
	if (!views_make_room(membership))
		return;
	member = views_obtain(membership, &node->id);
	member->told = is_ours;
	views_keep_data(membership, member, &data);
	views_set(membership, member, MEMBER_PASSIVE);
}

static void note_parting(struct membership *membership, uint64_t now, const struct id *peer)
{
	membership->partings[membership->next_parting] = (struct parting){*peer, now};
	membership->next_parting = (membership->next_parting + 1) % MEMBERSHIP_PARTED;
}

/* Tells whether peer was a neighbour until a moment ago, so that peer may have sent its request
 * before it knew. If we took peer back at the cost of another neighbour, that neighbour would be
 * told to go, and its request may be under way as well: where many join at once, such swaps feed
 * each other without an end (docs/simulation.md). */
static bool has_just_parted(
	const struct membership *membership, uint64_t now, const struct id *peer)
{
	for (size_t i = 0; i < MEMBERSHIP_PARTED; i++) {
		const struct parting *parting = &membership->partings[i];

		if (parting->at != 0 && now - parting->at < NEIGHBOR_TIMEOUT &&
			id_equal(&parting->peer, peer))
			return true;
	}
	return false;
}

static enum gossip_down reason_of(enum removal removal)
{
	static const enum gossip_down reasons[] = {
		[REMOVED_AT_RANDOM] = GOSSIP_DOWN_GAVE_WAY,
		[REMOVED_BY_PEER_ALIVE] = GOSSIP_DOWN_TURNED_AWAY,
		[REMOVED_BY_PEER_DEAD] = GOSSIP_DOWN_LEFT,
		[REMOVED_AS_LOST] = GOSSIP_DOWN_LOST,
	};

	return reasons[removal];
}

static void remove_active(struct membership *membership, uint64_t now, struct member *member,
	enum removal removal)
{
	const struct id id = member->id;
	bool keep = removal == REMOVED_AT_RANDOM || removal == REMOVED_BY_PEER_ALIVE ||
		    (removal == REMOVED_AS_LOST && member->alive);

	if (removal == REMOVED_AT_RANDOM || removal == REMOVED_BY_PEER_ALIVE)
		note_parting(membership, now, &id);
	member->asked = false;
	views_set(membership, member, MEMBER_STRANGER);
	if (membership->active == 0)
		membership->shuffle_at = UINT64_MAX;
	broadcast_neighbour_down(membership->broadcast, &id);
	effects_down(&membership->core->effects, &membership->topic, &id, reason_of(removal));
	views_forget_full(membership);
	membership->refills = MEMBERSHIP_REFILLS;
	if (removal == REMOVED_AT_RANDOM)
		send_disconnect(membership, &id, true);
	else
		emit(membership, GOSSIP_RELEASE, &id);
	if (keep && views_make_room(membership)) {
		views_set(membership, member, MEMBER_PASSIVE);
		member->alive = removal != REMOVED_AS_LOST;
		/* The member has just turned us away for another node. */
		member->full = removal == REMOVED_BY_PEER_ALIVE;
	} else {
		views_forget(member);
	}
}

static void shuffle_later(struct membership *membership, uint64_t now)
{
	uint64_t interval = membership->shuffle_interval;

	membership->shuffle_at = now + interval;
	if (interval == SHUFFLE_INTERVAL)
		return;
	membership->shuffle_at += random_below(&membership->core->random, interval / 2);
	backoff_double(&membership->shuffle_interval, SHUFFLE_INTERVAL);
}

/* Adds peer to the active view, if the priority of its request allows. Returns whether peer is in
 * the active view now. reply: send a Neighbor to peer, too. */
static bool add_active(struct membership *membership, uint64_t now, const struct id *peer,
	const struct wire_data *data, enum wire_priority priority, bool reply)
{
	struct member *member;

	learn(membership, peer, peer, data);
	if (!membership_is_active(membership, peer)) {
		bool full = membership->active >= LIMIT_ACTIVE_VIEW;

		/* "A node that receives a low priority Neighbor request will only accept
		 * the request if it has a free slot in its active view" (4.3). */
		if (full && priority == WIRE_LOW)
			return false;
		if (full)
			remove_active(membership, now,
				views_pick(membership, MEMBER_ACTIVE, NULL, NULL, false),
				REMOVED_AT_RANDOM);
		member = views_obtain(membership, peer);
		views_keep_data(membership, member, data);
		member->asked = false;
		member->full = false;
		if (!member->told)
			membership->probing = false; /* the probe is not needed any more */
		member->told = true;
		views_set(membership, member, MEMBER_ACTIVE);
		if (membership->shuffle_at == UINT64_MAX) {
			membership->shuffle_interval = SHUFFLE_FIRST;
			shuffle_later(membership, now);
		}
		broadcast_neighbour_up(membership->broadcast, peer);
		emit(membership, GOSSIP_NEIGHBOUR_UP, peer);
	}
	if (reply)
		ask(membership, now, peer, priority);
	return true;
}

static void send_forward_join(struct membership *membership, const struct id *to,
	const struct wire_node *peer, uint16_t ttl)
{
	struct wire_message message;

	message.type = WIRE_FORWARD_JOIN;
	message.forward_join.peer = *peer;
	message.forward_join.ttl = ttl;
	send(membership, to, &message);
}

/* Handles a Join: "A node that receives a join request will start by adding the new node to its
 * active view, even if it has to drop a random node from it" (4.2), and introduces the new node to
 * all its other neighbours. */
static void on_join(struct membership *membership, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	const struct wire_node peer = {*from, checked(membership, received->join.data)};

	add_active(membership, now, from, &peer.data, WIRE_HIGH, true);
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		const struct member *member = &membership->members[i];

		if (member->view == MEMBER_ACTIVE && !id_equal(&member->id, from))
			send_forward_join(membership, &member->id, &peer, ACTIVE_WALK);
	}
}

static void on_forward_join(struct membership *membership, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct wire_node peer = received->forward_join.peer;
	uint16_t ttl = received->forward_join.ttl;
	bool is_me = id_equal(&peer.id, &membership->core->me);
	struct member *member, *next;

	peer.data = checked(membership, peer.data);
	/* The walk ends here, or the node is a neighbour, with which the tie is renewed. As
	 * upstream, the node is only asked here: it enters the active view when it answers, so no
	 * unreachable node does. */
	if (ttl == 0 || membership->active <= 1 || membership_is_active(membership, &peer.id)) {
		if (is_me)
			return;
		learn(membership, from, &peer.id, &peer.data);
		ask(membership, now, &peer.id, WIRE_HIGH);
		member = views_find(membership, &peer.id);
		if (member)
			views_keep_data(membership, member, &peer.data);
		return;
	}
	if (ttl == PASSIVE_WALK)
		add_passive(membership, from, &peer, membership_is_active(membership, from));
	member = views_find(membership, &peer.id);
	if (member && member->asked)
		return;
	next = views_pick(membership, MEMBER_ACTIVE, from, &peer.id, false);
	if (next)
		send_forward_join(membership, &next->id, &peer, ttl - 1);
}

/* Handles a Shuffle: "If the time to live of the message is greater than zero and the number of
 * nodes in q's active view is greater than 1, the node will select a random node from its active
 * view [...] and simply forwards the Shuffle request. Otherwise, node q accepts the Shuffle
 * request" (4.4). */
static void on_shuffle(
	struct membership *membership, const struct id *from, struct wire_message *received)
{
	const struct id origin = received->shuffle.origin;
	const struct wire_nodes *nodes = &received->shuffle.nodes;
	struct member *next;

	if (received->shuffle.ttl == 0 || membership->active <= 1) {
		/* Our own Shuffle has come back to us: there is nothing new in it. */
		if (id_equal(&origin, &membership->core->me))
			return;
		for (size_t i = 0; i < nodes->count; i++)
			add_passive(membership, from, &nodes->items[i],
				membership_is_active(membership, from));
		send_shuffle_reply(membership, &origin, nodes->count);
		/* membership_receive releases the link to from. */
		if (id_equal(&origin, from))
			return;
		next = views_find(membership, &origin);
		if (!next || (next->view != MEMBER_ACTIVE && !next->asked))
			emit(membership, GOSSIP_RELEASE, &origin);
		return;
	}
	/* A Shuffle that fills a whole frame ends here: such a frame cannot be written. */
	next = views_pick(membership, MEMBER_ACTIVE, &origin, from, false);
	if (next) {
		received->shuffle.ttl--;
		send(membership, &next->id, received);
	}
}

/* Sends a Shuffle with some members of each view, and with us last. */
static void send_shuffle(struct membership *membership, const struct id *to, size_t active,
	size_t passive, uint16_t ttl)
{
	struct wire_message message;
	struct wire_nodes *nodes = &message.shuffle.nodes;
	const struct wire_node me = {membership->core->me, my_data(membership)};
	size_t room = LIMIT_FRAME - 1 - LIST_OVERHEAD - wire_node_size(&me);

	message.type = WIRE_SHUFFLE;
	message.shuffle.origin = me.id;
	message.shuffle.ttl = ttl;
	nodes->count = 0;
	views_draw(membership, nodes, &room, MEMBER_ACTIVE, active, to);
	views_draw(membership, nodes, &room, MEMBER_PASSIVE, passive, to);
	nodes->items[nodes->count++] = me;
	send(membership, to, &message);
}

/* Sends a Shuffle that goes no further, to probe peer. The answer to a Shuffle has at most as many
 * nodes as the Shuffle, so this one has all of ours. */
static void send_probe(struct membership *membership, const struct id *peer, unsigned probes_left)
{
	membership->probing = true;
	membership->probed = *peer;
	membership->probes_left = probes_left;
	send_shuffle(membership, peer, LIMIT_ACTIVE_VIEW, LIMIT_PASSIVE_VIEW, 0);
	emit(membership, GOSSIP_RELEASE, peer);
}

/* Tells whether a peer that names these nodes belongs to our part of the overlay, as far as we
 * know. */
static bool is_of_our_part(const struct membership *membership, const struct wire_nodes *nodes)
{
	for (size_t i = 0; i < nodes->count; i++)
		if (id_equal(&nodes->items[i].id, &membership->core->me) ||
			membership_knows(membership, &nodes->items[i].id))
			return true;
	return false;
}

/* Follows the trail of a probe: from has named these nodes, none of which we know. */
static void probe_on(
	struct membership *membership, const struct id *from, const struct wire_nodes *nodes)
{
	size_t next;

	/* A node that names nobody is alone, and asks others by itself. */
	if (nodes->count == 0)
		return;
	if (membership->probes_left == 0) {
		emit(membership, GOSSIP_APART, from);
		return;
	}
	next = random_below(&membership->core->random, nodes->count);
	send_probe(membership, &nodes->items[next].id, membership->probes_left - 1);
}

static void on_shuffle_reply(struct membership *membership, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	const struct wire_nodes *nodes = &received->shuffle_reply.nodes;
	const struct member *sender = views_find(membership, from);
	bool is_probed = membership->probing && id_equal(&membership->probed, from);
	bool is_known = is_probed && is_of_our_part(membership, nodes);
	/* An answer comes from a neighbour, or from the node where our Shuffle ended; a reply that
	 * comes with a refusal is no answer. */
	bool is_neighbour = sender && sender->view == MEMBER_ACTIVE;
	bool is_answer = membership->shuffled && !is_probed &&
			 (is_neighbour || !(sender && sender->asked));
	bool is_ours = is_answer || is_neighbour;
	struct member *member;

	for (size_t i = 0; i < nodes->count; i++)
		add_passive(membership, from, &nodes->items[i], is_ours);
	if (is_probed) {
		membership->probing = false;
		if (!is_known)
			probe_on(membership, from, nodes);
	}
	/* Once per Shuffle one of the members that had no room is tried again; not after a reply
	 * that comes with a refusal. */
	if (is_answer && !views_pick(membership, MEMBER_PASSIVE, NULL, NULL, true)) {
		member = views_pick(membership, MEMBER_PASSIVE, from, NULL, false);
		if (member)
			member->full = false;
	}
	if (is_answer) {
		membership->shuffled = false;
		if (membership->refills == 0)
			membership->refills = 1;
	}
	refill(membership, now, NULL);
}

static void on_neighbor(struct membership *membership, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	const struct wire_data data = checked(membership, received->neighbor.data);
	struct member *member = views_find(membership, from);
	enum wire_priority priority = received->neighbor.priority;
	bool is_answer = false;

	if (member && member->asked) {
		is_answer =
			member->view != MEMBER_ACTIVE || now - member->asked_at < ANSWER_TIMEOUT;
		member->asked = false;
	}
	if (!is_answer && membership->active >= LIMIT_ACTIVE_VIEW &&
		!membership_is_active(membership, from) && has_just_parted(membership, now, from))
		priority = WIRE_LOW;
	if (!add_active(membership, now, from, &data, priority, !is_answer)) {
		send_disconnect(membership, from, true);
		member = views_find(membership, from);
		if (member && member->view == MEMBER_STRANGER)
			views_drop(membership, member);
	} else if (is_answer) {
		refill(membership, now, NULL);
	}
}

static void on_disconnect(struct membership *membership, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct member *member = views_find(membership, from);
	bool has_refused;

	if (!member)
		return;
	has_refused = member->asked && member->view != MEMBER_ACTIVE;
	member->asked = false;
	if (member->view == MEMBER_ACTIVE) {
		remove_active(membership, now, member,
			received->disconnect.alive ? REMOVED_BY_PEER_ALIVE : REMOVED_BY_PEER_DEAD);
		refill(membership, now, from);
		return;
	}
	if (member->view == MEMBER_STRANGER) {
		views_forget(member);
	} else if (received->disconnect.alive) {
		member->alive = true;
		member->full = true;
	}
	if (has_refused)
		refill(membership, now, from);
}

static void update_deadline(struct membership *membership)
{
	uint64_t deadline = membership->shuffle_at;

	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		const struct member *member = &membership->members[i];

		if (member->asked && member->view != MEMBER_ACTIVE &&
			member->asked_at + NEIGHBOR_TIMEOUT < deadline)
			deadline = member->asked_at + NEIGHBOR_TIMEOUT;
	}
	membership->deadline = deadline;
}

void membership_receive(struct membership *membership, uint64_t now, const struct id *from,
	struct wire_message *message)
{
	const struct member *member;

	switch (message->type) {
	case WIRE_JOIN:
		on_join(membership, now, from, message);
		break;
	case WIRE_FORWARD_JOIN:
		on_forward_join(membership, now, from, message);
		break;
	case WIRE_SHUFFLE:
		on_shuffle(membership, from, message);
		break;
	case WIRE_SHUFFLE_REPLY:
		on_shuffle_reply(membership, now, from, message);
		break;
	case WIRE_NEIGHBOR:
		on_neighbor(membership, now, from, message);
		break;
	case WIRE_DISCONNECT:
		on_disconnect(membership, now, from, message);
		break;
	default:
		break;
	}
	/* hyparview.rs handle_message: the link to a peer that is no neighbour is not needed,
	 * unless the peer is being asked to become one. */
	member = views_find(membership, from);
	if (message->type != WIRE_DISCONNECT &&
		!(member && (member->view == MEMBER_ACTIVE || member->asked)))
		emit(membership, GOSSIP_RELEASE, from);
	update_deadline(membership);
}

void membership_merge(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct member *member = views_find(membership, peer);

	if (id_equal(peer, &membership->core->me))
		return;
	/* If there is no place to note the question, the answer is taken for a request, and
	 * answered: harmless. */
	if (!member && views_count_strangers(membership) < MEMBERSHIP_STRANGERS)
		member = views_obtain(membership, peer);
	if (member)
		mark_asked(member, now);
	send_neighbor(membership, peer, WIRE_HIGH);
	update_deadline(membership);
}

void membership_offer(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct member *member = views_find(membership, peer);

	if (id_equal(peer, &membership->core->me) || (member && member->view == MEMBER_ACTIVE))
		return;
	if (!member || member->view == MEMBER_STRANGER) {
		if (membership->passive >= LIMIT_PASSIVE_VIEW)
			return;
		member = views_obtain(membership, peer);
		views_set(membership, member, MEMBER_PASSIVE);
	}
	member->full = false;
	if (membership->refills < MEMBERSHIP_REFILLS)
		membership->refills++;
	refill(membership, now, NULL);
	update_deadline(membership);
}

void membership_ask(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct wire_message message;

	if (id_equal(peer, &membership->core->me))
		return;
	membership_merge(membership, now, peer);
	message.type = WIRE_JOIN;
	message.join.data = my_data(membership);
	send(membership, peer, &message);
	update_deadline(membership);
}

void membership_remind(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct member *member = views_find(membership, peer);

	if (!member || member->view != MEMBER_ACTIVE)
		return;
	/* Also if the member has been asked just now: that question may have been lost with the
	 * connection. */
	mark_asked(member, now);
	send_neighbor(membership, peer, WIRE_HIGH);
}

/* Forgets that peer was asked, see gossip_link_down. Otherwise, if two nodes ask each other and one
 * of the questions is lost, the node whose question was lost takes the other's question for the
 * answer and does not answer it: the two are neighbours on one side only. */
void membership_link_down(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct member *member = views_find(membership, peer);

	if (!member || !member->asked)
		return;
	member->asked = false;
	if (member->view == MEMBER_STRANGER)
		views_drop(membership, member);
	refill(membership, now, peer);
	update_deadline(membership);
}

void membership_peer_lost(struct membership *membership, uint64_t now, const struct id *peer)
{
	struct member *member = views_find(membership, peer);

	if (!member)
		return;
	member->asked = false;
	if (member->view == MEMBER_ACTIVE) {
		remove_active(membership, now, member, REMOVED_AS_LOST);
		refill(membership, now, peer);
	} else if (member->alive) {
		member->alive = false;
	} else {
		views_drop(membership, member);
	}
	update_deadline(membership);
}

void membership_leave(struct membership *membership)
{
	struct wire_message message;

	message.type = WIRE_DISCONNECT;
	message.disconnect.alive = false;
	message.disconnect.respond = false;
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		struct member *member = &membership->members[i];

		if (member->view == MEMBER_ACTIVE) {
			views_set(membership, member, MEMBER_STRANGER);
			send_disconnect(membership, &member->id, false);
		} else if (member->asked) {
			/* The member may be about to take us for a neighbour. */
			send(membership, &member->id, &message);
			emit(membership, GOSSIP_RELEASE, &member->id);
		}
	}
	membership->shuffle_at = UINT64_MAX;
}

static void shuffle(struct membership *membership, uint64_t now)
{
	const struct member *to = views_pick(membership, MEMBER_ACTIVE, NULL, NULL, false);

	shuffle_later(membership, now);
	membership->crowd = 0;
	membership->shuffled = true;
	send_shuffle(membership, &to->id, SHUFFLE_ACTIVE, SHUFFLE_PASSIVE, SHUFFLE_WALK);
}

void membership_probe(struct membership *membership, const struct id *peer)
{
	if (!id_equal(peer, &membership->core->me) && !membership_is_active(membership, peer))
		send_probe(membership, peer, PROBES - 1);
}

uint64_t membership_deadline(const struct membership *membership)
{
	return membership->deadline;
}

void membership_tick(struct membership *membership, uint64_t now)
{
	if (membership->deadline > now)
		return;
	if (membership->shuffle_at <= now)
		shuffle(membership, now);
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		struct member *member = &membership->members[i];

		if (!member->asked || member->view == MEMBER_ACTIVE ||
			now - member->asked_at < NEIGHBOR_TIMEOUT)
			continue;
		/* The member did not answer: it is considered failed, and another is tried
		 * instead. */
		member->asked = false;
		if (member->view == MEMBER_PASSIVE && membership->refills < MEMBERSHIP_REFILLS)
			membership->refills++;
		emit(membership, GOSSIP_RELEASE, &member->id);
		views_drop(membership, member);
		refill(membership, now, NULL);
	}
	update_deadline(membership);
}
