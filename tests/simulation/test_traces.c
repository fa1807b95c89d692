/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a few whole nodes say to one another, and when, as text: one story per rule of the papers
 * (HyParView, DSN 2007; Epidemic Broadcast Trees, SRDS 2007) and per quirk of the upstream crates
 * that is followed here. (The model: cowsql/raft's traces.)
 *
 * The text of each story is in traces/, with its virtual time in ms before each line:
 *
 *   [    110] b > a NEIGHBOR high      b sends this frame to a, where it is 10 ms later
 *   [    120] a - b gossip: ...        what becomes of a's connection with b
 *   - c joins                          the story goes on
 *
 * A text that has changed fails the test, with the difference; -r STORY writes it anew, once that
 * difference has been reviewed. Without arguments all stories are told, else those that are named.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/gossip/addr_info.h"
#include "bridge/gossip/frame.h"
#include "support_world.h"

#define LATENCY (10 * WORLD_MS)

enum { A, B, C, D, E, F, G };

static FILE *text;

/* A line that says what the story does next. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("- ", text);
	vfprintf(text, format, arguments);
	putc('\n', text);
	va_end(arguments);
}

static void run_ms(struct world *world, uint64_t ms)
{
	world_run(world, ms * WORLD_MS);
}

static void start(struct world *world, size_t node)
{
	if (!world_start(world, node) || !world_join(world, node, 0))
		abort();
}

/* The first nodes are up, each has all others as peers, and they have come to rest; unsaid. */
static void gather(struct world *world, size_t nodes, unsigned trace)
{
	world_set_trace(world, 0);
	for (size_t i = 0; i < nodes; i++) {
		for (size_t peer = 0; peer < i; peer++)
			world_peer(world, i, peer);
		start(world, i);
		run_ms(world, 1000);
	}
	run_ms(world, 60000);
	world_set_trace(world, trace);
	say("%zu nodes are neighbours", nodes);
}

static void forge(struct world *world, size_t from, size_t to, const struct wire_message *message)
{
	struct frame *frame;

	if (frame_encode(message, &frame))
		abort();
	world_forge(world, from, to, 0, frame);
}

static void forge_gossip(
	struct world *world, size_t from, size_t to, size_t number, uint16_t round)
{
	struct message *message = world_content(number);
	struct frame *frame;

	if (!message || frame_encode_gossip(message, WIRE_SWARM, round, &frame))
		abort();
	message_unref(message);
	world_forge(world, from, to, 0, frame);
}

static void forge_ihave(struct world *world, size_t from, size_t to, size_t number, uint16_t round)
{
	static struct wire_message ihave = {.type = WIRE_IHAVE};
	struct message *message = world_content(number);

	ihave.ihave.count = 1;
	ihave.ihave.items[0].id = *message_id(message);
	ihave.ihave.items[0].round = round;
	message_unref(message);
	forge(world, from, to, &ihave);
}

/* A walk for a node that says where it is. */
static void forge_forward_join(
	struct world *world, size_t from, size_t to, size_t node, uint16_t ttl)
{
	static struct wire_message message = {.type = WIRE_FORWARD_JOIN};
	const struct address address = world_where_is(world, node);
	struct addr_info info = {0};
	uint8_t data[LIMIT_PEER_DATA];

	addr_info_set(&info, &address, 1);
	message.forward_join.peer.id = world_id(node);
	message.forward_join.peer.data =
		(struct wire_data){data, (size_t)addr_info_encode(&info, data, sizeof data)};
	message.forward_join.ttl = ttl;
	forge(world, from, to, &message);
}

/* ---- membership: the paper's rules ---- */

static void join(struct world *world)
{
	world_peer(world, B, A);
	start(world, A);
	run_ms(world, 1000);
	start(world, B);
	run_ms(world, 1000);
}

static void forward_join(struct world *world)
{
	world_peer(world, D, A);
	gather(world, 3, 1);
	say("d joins at a");
	start(world, D);
	run_ms(world, 400);
}

/* d is there, and knows nobody; unsaid. */
static void start_unknown(struct world *world)
{
	world_set_trace(world, 0);
	start(world, D);
	world_set_trace(world, 1);
}

static void forward_join_passive(struct world *world)
{
	gather(world, 3, 1);
	start_unknown(world);
	say("a walk for d comes to b, with 3 steps left");
	forge_forward_join(world, A, B, D, 3);
	run_ms(world, 12);
	say("b has it in its passive view now: when it misses c it asks d");
	world_leave(world, C, 0);
	run_ms(world, 100);
}

static void forward_join_ends(struct world *world)
{
	gather(world, 3, 1);
	start_unknown(world);
	say("two walks for d end at b: one question is enough (send_neighbor)");
	forge_forward_join(world, A, B, D, 0);
	forge_forward_join(world, C, B, D, 0);
	run_ms(world, 100);
}

static void full(struct world *world)
{
	world_peer(world, G, A);
	gather(world, 6, 1);
	say("each has 5 of them: its view is full. g joins at a");
	start(world, G);
	run_ms(world, 5000);
}

static void shuffle(struct world *world)
{
	world_set_trace(world, 0);
	for (size_t i = 0; i < 4; i++) {
		for (size_t peer = 0; peer < i; peer++)
			world_peer(world, i, peer);
		start(world, i);
	}
	run_ms(world, 3000);
	world_set_trace(world, 1);
	say("four nodes are neighbours");
	run_ms(world, 4500);
}

static void leave(struct world *world)
{
	gather(world, 3, 2);
	world_leave(world, B, 0);
	run_ms(world, 200);
}

static void stop(struct world *world)
{
	gather(world, 3, 2);
	world_stop(world, B);
	run_ms(world, 200);
}

static void dead(struct world *world)
{
	gather(world, 3, 1);
	start_unknown(world);
	say("b hears of d, with room for it in its passive view, and c dies");
	forge_forward_join(world, A, B, D, 3);
	run_ms(world, 12);
	world_kill(world, C);
	run_ms(world, 10000);
}

/* ---- broadcast: the paper's rules ---- */

static void tree(struct world *world)
{
	gather(world, 3, 2);
	say("all push to all: who gets a message twice prunes");
	world_publish(world, A, 0);
	run_ms(world, 200);
	say("the branch that was pruned announces");
	world_publish(world, B, 0);
	run_ms(world, 200);
}

static void graft(struct world *world)
{
	size_t message;

	world_peer(world, C, B);
	gather(world, 2, 0);
	message = world_publish(world, A, 0);
	run_ms(world, 200);
	start(world, C);
	run_ms(world, 1000);
	world_set_trace(world, 2);
	say("c, who has come later, hears from b that there is message 0, and waits for it 80 ms");
	forge_ihave(world, B, C, message, 1);
	run_ms(world, 300);
}

static void graft_again(struct world *world)
{
	size_t message;

	gather(world, 4, 2);
	message = world_message(world, D, 0);
	say("b and c announce to a what they have not: each is asked in turn, after 80 ms");
	forge_ihave(world, B, A, message, 1);
	forge_ihave(world, C, A, message, 1);
	run_ms(world, 500);
	say("the message comes after all");
	forge_gossip(world, D, A, message, 1);
	run_ms(world, 100);
}

/* One neighbour announces a message, another one brings it so much later, with these rounds. */
static void announce_and_bring(
	struct world *world, size_t announcer, uint16_t near, size_t pusher, uint16_t far,
	unsigned earlier_ms)
{
	size_t message = world_message(world, pusher, 0);

	forge_ihave(world, announcer, A, message, near);
	run_ms(world, earlier_ms);
	forge_gossip(world, pusher, A, message, far);
	run_ms(world, 12);
	world_set_trace(world, 0);
	run_ms(world, 1000);
	world_set_trace(world, 2);
}

static void optimize(struct world *world)
{
	gather(world, 3, 0);
	world_publish(world, B, 0);
	run_ms(world, 200);
	world_publish(world, B, 0);
	run_ms(world, 200);
	world_set_trace(world, 2);
	say("c announces to a what b brings by a way that is longer by 6 hops and the one to a "
	    "itself, which counts (plumtree.rs on_gossip)");
	announce_and_bring(world, C, 1, B, 7, 5);
	say("b announces what c brings by a way that is longer by 5 hops and that one");
	announce_and_bring(world, B, 1, C, 6, 5);
	say("the same, and c brings it 10 ms later: b is preferred, for it is faster");
	announce_and_bring(world, B, 1, C, 6, 10);
}

/* ---- what the papers do not say, and upstream does ---- */

static void ask_again(struct world *world)
{
	world_peer(world, B, A);
	world_set_trace(world, 2);
	world_start(world, A);
	say("a has not joined: what b asks is not answered");
	start(world, B);
	run_ms(world, 16000);
	say("a joins");
	world_join(world, A, 0);
	run_ms(world, 200);
}

static void both_dial(struct world *world)
{
	world_set_trace(world, 2);
	world_peer(world, A, B);
	world_peer(world, B, A);
	start(world, A);
	start(world, B);
	run_ms(world, 90);
	say("two connections: who reads takes what comes on either");
	world_publish(world, A, 0);
	run_ms(world, 50);
	world_publish(world, B, 0);
	run_ms(world, 1500);
}

static void fewer(struct world *world)
{
	world_peer(world, A, B);
	world_peer(world, B, A);
	world_set_trace(world, 0);
	start(world, A);
	start(world, B);
	run_ms(world, 5000);
	world_set_trace(world, 2);
	say("there are two connections: one of them ends");
	world_close(world, A, B, MESH_GOSSIP, 0);
	run_ms(world, 300);
	say("the other one ends: they are neighbours still if there is another within a second");
	world_close(world, A, B, MESH_GOSSIP, 0);
	run_ms(world, 3000);
}

static void both_unused(struct world *world)
{
	gather(world, 3, 0);
	world_start(world, D);
	world_join(world, D, 0);
	forge_forward_join(world, A, B, D, 3);
	run_ms(world, 12);
	world_kill(world, C);
	run_ms(world, 300);
	world_set_trace(world, 2);
	say("a and d find each other, and both dial");
	run_ms(world, 20500);
}

static void restarted(struct world *world)
{
	gather(world, 2, 2);
	world_kill(world, B);
	run_ms(world, 100);
	say("b knows nothing of before, a has not missed it yet");
	start(world, B);
	run_ms(world, 5000);
}

static void not_joined(struct world *world)
{
	world_peer(world, B, A);
	gather(world, 2, 2);
	say("b joins another overlay, which a has not");
	world_join(world, B, 1);
	run_ms(world, 700);
	world_publish(world, B, 1);
	say("a joins it too: who has named it is asked, and what has waited is sent");
	world_join(world, A, 1);
	run_ms(world, 100);
	say("a leaves one of them: the other one goes on over the same connection");
	world_leave(world, A, 0);
	run_ms(world, 100);
	world_publish(world, B, 1);
	run_ms(world, 100);
}

static void stranger(struct world *world)
{
	static struct wire_message message;

	gather(world, 3, 2);
	say("b takes a for no neighbour any more, and asks it something");
	message.type = WIRE_DISCONNECT;
	message.disconnect.alive = true;
	message.disconnect.respond = false;
	forge(world, B, A, &message);
	run_ms(world, 100);
	message.type = WIRE_SHUFFLE;
	message.shuffle.origin = world_id(B);
	message.shuffle.ttl = 0;
	message.shuffle.nodes.count = 1;
	message.shuffle.nodes.items[0] = (struct wire_node){.id = world_id(C)};
	forge(world, B, A, &message);
	run_ms(world, 100);
}

static void renewed(struct world *world)
{
	gather(world, 2, 1);
	say("b asks its neighbour a once more: it is answered, and that is not");
	forge(world, B, A,
		&(struct wire_message){
			.type = WIRE_NEIGHBOR, .neighbor = {.priority = WIRE_HIGH}});
	run_ms(world, 100);
}

static void nonsense(struct world *world)
{
	static const uint8_t bytes[] = {0, 0, 0, 2, 0xff, 0xff};
	struct frame *frame = frame_new(sizeof bytes);

	if (!frame)
		abort();
	memcpy(frame->head, bytes, sizeof bytes);
	gather(world, 3, 2);
	world_forge(world, B, A, 0, frame);
	run_ms(world, 1500);
}

static void joins_again(struct world *world)
{
	static struct wire_message again = {.type = WIRE_JOIN};

	gather(world, 3, 1);
	say("b joins three times more");
	for (int i = 0; i < 3; i++)
		forge(world, B, A, &again);
	run_ms(world, 200);
}

static void parts(struct world *world)
{
	gather(world, 4, 1);
	world_part(world, C, 1);
	world_part(world, D, 1);
	world_set_trace(world, 0);
	run_ms(world, 25000);
	world_set_trace(world, 1);
	say("25 s later: those who were lost have been dialled all the time");
	world_mend(world);
	run_ms(world, 3000);
}

static void waits(struct world *world)
{
	world_set_trace(world, 2);
	world_peer(world, B, A);
	start(world, B);
	world_publish(world, B, 0);
	world_publish(world, B, 0);
	run_ms(world, 1500);
	say("the first dial's packets are sent again after 1 and 3 s");
	start(world, A);
	run_ms(world, 2000);
}

/* ---- discovery ---- */

static void discovery(struct world *world)
{
	world_bootstrap(world, B, A);
	world_bootstrap(world, C, A);
	world_start(world, A);
	say("a is a way in, and not of the overlay: it is told of no topic");
	start(world, B);
	run_ms(world, 3000);
	start(world, C);
	run_ms(world, 3000);
}

static void other_codec(struct world *world)
{
	world_bootstrap(world, B, A);
	world_start(world, A);
	world_start(world, B);
	run_ms(world, 130);
	say("a understands nothing, and ends it");
	world_close(world, A, B, MESH_DISCOVERY, 1);
	run_ms(world, 120);
}

static void no_third_codec(struct world *world)
{
	world_bootstrap(world, B, A);
	world_start(world, A);
	world_start(world, B);
	run_ms(world, 130);
	say("a ends it");
	world_close(world, A, B, MESH_DISCOVERY, 1);
	run_ms(world, 40);
	say("and again");
	world_close(world, A, B, MESH_DISCOVERY, 1);
	run_ms(world, 500);
}

/* One more than may be at once, all in the same moment. */
static void busy(struct world *world)
{
	for (size_t i = 1; i <= 17; i++)
		world_bootstrap(world, i, A);
	world_start(world, A);
	for (size_t i = 1; i <= 17; i++)
		world_start(world, i);
	say("17 nodes look for others at a, which takes 16 of them: the last is not taken for one "
	    "that does not understand, and begins no second session with another codec");
	run_ms(world, 1000);
}

static const struct story {
	const char *name, *rule;
	void (*tell)(struct world *world);
	size_t nodes, topics;
	const char *about; /* only lines that hold this count; NULL: all but discovery's */
} stories[] = {
	{"join", "HyParView 4.2: a Join is answered with Neighbor. Upstream leaves some unanswered, "
		 "so it comes with a Neighbor of high priority.",
		join, 2, 1, NULL},
	{"forward_join", "HyParView 4.2: who is joined introduces the new node to all others (ARWL "
			 "6).",
		forward_join, 4, 1, NULL},
	{"forward_join_passive", "HyParView 4.2: with 3 steps left (PRWL) a walk leaves the node in "
				 "the passive view.",
		forward_join_passive, 4, 1, NULL},
	{"forward_join_ends", "HyParView 4.2: at the end of the walk the node is asked, with high "
			      "priority; upstream adds it when it answers only.",
		forward_join_ends, 4, 1, NULL},
	{"full", "HyParView 4.2, 4.3: a full view makes room for a Join; low priority is refused, "
		 "and the refusal brings nodes (hyparview.rs send_disconnect).",
		full, 7, 1, NULL},
	{"shuffle", "HyParView 4.4: a Shuffle walks, and where it ends the answer goes to its "
		    "origin. Ours begin soon after the first neighbour.",
		shuffle, 4, 1, NULL},
	{"leave", "HyParView: who leaves says so: nodes first, then Disconnect, then the streams' "
		  "ends (src/net.rs).",
		leave, 3, 1, NULL},
	{"stop", "Likewise in all overlays, before the connections end.", stop, 3, 1, NULL},
	{"dead", "HyParView 4.3: a neighbour that is lost is replaced. It is lost when there has "
		 "been no connection for a second.",
		dead, 4, 1, NULL},
	{"tree", "PlumTree 3.4: eager push; a duplicate is pruned; lazy push, after 5 ms.", tree, 3,
		1, NULL},
	{"graft", "PlumTree 3.5: what was announced and does not come is asked for, after 80 ms.",
		graft, 3, 1, NULL},
	{"graft_again",
		"PlumTree 3.5: the next one that has announced it is asked after another 80 ms.",
		graft_again, 4, 1, NULL},
	{"optimize",
		"PlumTree 3.8: a branch that is shorter by 7 hops takes the other's place; or is "
		"faster by 10 ms.",
		optimize, 3, 1, NULL},
	{"ask_again", "A Join for what the peer has not joined is ignored (upstream likewise): it "
		      "is repeated, more and more seldom.",
		ask_again, 2, 1, NULL},
	{"both_dial", "Both dial at once: the newest connection is for sending, the older one is "
		      "read (src/net.rs).",
		both_dial, 2, 1, NULL},
	{"both_unused", "After two dials at once each side may take another connection for the older "
			"one. On neither is a stream: one side closes it first, not both.",
		both_unused, 4, 1, NULL},
	{"fewer", "For upstream a peer is gone from all overlays with the newest connection there, "
		  "whatever others there are (state.rs): a neighbour is reminded.",
		fewer, 2, 1, NULL},
	{"restarted", "A node that was restarted is not answered by upstream if it only joins "
		      "(hyparview.rs, pending): Neighbor comes first.",
		restarted, 2, 1, NULL},
	{"not_joined", "A stream of an overlay that is not joined tells that its opener has it; "
		       "leaving one overlay does not touch the others.",
		not_joined, 2, 2, NULL},
	{"stranger", "hyparview.rs handle_message: nothing is wanted from who is no neighbour: the "
		     "stream to it ends.",
		stranger, 3, 1, NULL},
	{"renewed", "hyparview.rs on_neighbor: a Neighbor from a neighbour is answered unless it is "
		    "itself the answer.",
		renewed, 2, 1, NULL},
	{"nonsense", "What cannot be decoded ends the whole connection: an upstream node whose stream "
		     "alone is stopped sends nothing more on any (src/net/util.rs).",
		nonsense, 3, 1, NULL},
	{"joins_again", "p2panda-net healer.rs joins whoever has changed: many a Join comes from a "
			"neighbour. It is introduced again; one answer is enough.",
		joins_again, 3, 1, NULL},
	{"parts", "healer.rs joins all nodes of a topic when their set changes; here those that were "
		  "lost and are back: one for each part.",
		parts, 4, 1, NULL},
	{"waits", "What is published before there is a neighbour waits for the first one, in order.",
		waits, 2, 1, NULL},
	{"discovery", "p2panda-discovery: two that share a topic find each other through one that "
		      "has it not.",
		discovery, 3, 1, ""},
	{"other_codec", "A peer that ends a session without an answer may speak the other codec: "
			"0.7 first, then 0.6.",
		other_codec, 2, 1, ""},
	{"no_third_codec", "There are no more codecs than two.", no_third_codec, 2, 1, ""},
	{"busy", "A session beyond the limit ends with code 2, which is not taken for a lack of "
		 "understanding.",
		busy, 18, 1, "r - a"},
};

#define STORIES (sizeof stories / sizeof *stories)
#define PATH_SIZE 512

static void write_text(const char *path, const char *told, size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(told, 1, size, file) != size || fclose(file)) {
		perror(path);
		exit(2);
	}
}

/* Whether the file holds this and nothing else. */
static bool is_as_told(const char *path, const char *told, size_t size)
{
	FILE *file = fopen(path, "r");
	char *expected = malloc(size + 1);
	bool same = expected && file && fread(expected, 1, size + 1, file) == size &&
		    memcmp(expected, told, size) == 0;

	if (file)
		fclose(file);
	free(expected);
	return same;
}

static bool counts(const struct story *story, const char *line)
{
	return line[0] != '[' ||
	       (story->about ? strstr(line, story->about) != NULL : !strstr(line, " discovery: "));
}

/* Leaves the lines that count. */
static void choose(const struct story *story, char *told, size_t *size)
{
	char *to = told, *line = told, *end;

	while (*line) {
		end = strchr(line, '\n');
		*end = '\0';
		if (counts(story, line)) {
			memmove(to, line, (size_t)(end - line));
			to += end - line;
			*to++ = '\n';
		}
		line = end + 1;
	}
	*size = (size_t)(to - told);
}

static char *tell(const struct story *story, size_t *size)
{
	char *told = NULL;
	struct world_config config = {.nodes = story->nodes,
		.topics = story->topics,
		.seed = 1,
		.least_latency = LATENCY,
		.most_latency = LATENCY,
		.trace = 1};
	struct world *world;

	text = open_memstream(&told, size);
	if (!text)
		abort();
	fprintf(text, "# %s\n", story->rule);
	config.trace_to = text;
	world = world_new(&config);
	story->tell(world);
	world_free(world);
	fclose(text);
	choose(story, told, size);
	return told;
}

/* Whether it is told as ever. */
static bool check(const char *program, const struct story *story, bool renew)
{
	char expected[PATH_SIZE], actual[PATH_SIZE], command[3 * PATH_SIZE];
	size_t size;
	char *told = tell(story, &size);
	bool same;

	snprintf(expected, sizeof expected, "%s/tests/simulation/traces/%s.txt", SOURCE_DIR,
		story->name);
	if (renew)
		write_text(expected, told, size);
	same = is_as_told(expected, told, size);
	printf("%s %s\n", same ? "ok    " : "FAILED", story->name);
	if (!same) {
		snprintf(actual, sizeof actual, "%s.txt.told", story->name);
		write_text(actual, told, size);
		snprintf(command, sizeof command, "diff -u '%s' '%s'", expected, actual);
		fflush(stdout);
		if (system(command) == -1)
			perror("diff");
		printf("if that is as it should be: %s -r %s\n", program, story->name);
	}
	free(told);
	return same;
}

int main(int argc, char **argv)
{
	bool renew = argc > 1 && strcmp(argv[1], "-r") == 0;
	int first = renew ? 2 : 1, told = 0, failed = 0;

	for (size_t i = 0; i < STORIES; i++) {
		bool named = first == argc;

		for (int at = first; at < argc; at++)
			named = named || strcmp(argv[at], stories[i].name) == 0;
		if (!named)
			continue;
		told++;
		failed += !check(argv[0], &stories[i], renew);
	}
	printf("%d stories, %d are told in another way\n", told, failed);
	return told == 0 || failed > 0;
}
