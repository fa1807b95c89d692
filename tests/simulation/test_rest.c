/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Overlays of whole nodes come to rest, and again after deaths, births and a partition. Under
 * virtual time, see support_world.h. Each story is run for numbers of nodes, topologies and
 * seeds; the figures are printed for each topology and range of numbers. A run that fails prints
 * the command that repeats it; with -v it tells all that happens.
 *
 *   -n N or N-M     members of the overlay (2 to 100, as far as the suite has time)
 *   -a              2 to 60, 100, 300 and 1000, ten seeds each: more than an hour
 *   -t TOPOLOGY     mesh, hub, chain, discovered, bootstrap (all)
 *   -s SEED         the first seed (1)
 *   -k SEEDS        how many (10, without -n fewer for large ones)
 *   -u STORY        the last one: rest, kill, join, part, again (again)
 *   -j MS           each flight takes up to so much longer (0)
 *   -f              go on after a story that has failed
 *   -1              one line for each run
 *   -v, -vv, -vvv   trace: neighbours, asks, frames; messages; the nodes' logs
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support_world.h"

#define LEAST_LATENCY (10 * WORLD_MS)
#define MOST_LATENCY  (50 * WORLD_MS)

/* All start within this. */
#define START_NS WORLD_S
/* Of the runs with jitter, ms. */
#define JITTER 20
/* Time to come to rest, and how long rest is watched. */
#define SETTLE_S 60
#define START_WATCH_S 60
#define WATCH_S 30
/* Whole again after the network is. */
#define WHOLE_NS (15 * WORLD_S)
#define PARTITION_S 30
#define AGAIN_NS    (2 * WORLD_S)
/* More than these are no peers of one node in a mesh: memory. */
#define MESH_WHOLE 100
#define MESH_PEERS 16
#define MESSAGE_NS (500 * WORLD_MS)
/* A message has reached everybody by then. */
#define ARRIVAL_NS (5 * WORLD_S)

/*
 * Copies per delivery, of iroh-gossip's own simulator (its mean RMR + 1; links of 10 to 50 ms), up
 * to so many nodes; ours are on average at most COPIES_MORE times as many. PlumTree over such
 * links goes on with PRUNE and GRAFT for as long as there are messages: an announcement by a
 * short way is often more than its 80 ms ahead of the message that comes by the tree.
 */
#define COPIES_MORE	   1.05
#define RUNS_OF_AN_AVERAGE 10
/* The suite has not the time for all numbers from here on in all topologies. */
#define SPREAD 26
static const struct {
	size_t nodes;
	double single, changing; /* one sender, another one for each message */
} copies_of_upstream[] = {{20, 1.14, 1.20}, {100, 1.09, 1.38}, {SIZE_MAX, 1.07, 1.42}};

enum topology { MESH, HUB, CHAIN, DISCOVERED, BOOTSTRAP, TOPOLOGIES };

static const char *const topology_names[TOPOLOGIES] = {
	[MESH] = "mesh",	     /* each has all as peers, of more than MESH_WHOLE random ones */
	[HUB] = "hub",		     /* all have the first as a peer */
	[CHAIN] = "chain",	     /* each has the one before as a peer */
	[DISCOVERED] = "discovered", /* all have the first as a bootstrap */
	[BOOTSTRAP] = "bootstrap",   /* likewise, and it is not in the overlay */
};

enum story { REST, KILL, JOIN, PART, AGAIN, STORIES };

static const char *const story_names[STORIES] = {
	[REST] = "rest",   /* all start */
	[KILL] = "kill",   /* a tenth dies */
	[JOIN] = "join",   /* three tenths more start */
	[PART] = "part",   /* two halves cannot reach one another for PARTITION_S */
	[AGAIN] = "again", /* a tenth dies, and starts again before anybody has noticed */
};

/* One story of one run. */
struct outcome {
	double whole, rest; /* s, since what has happened; rest: no neighbour goes, nobody asks */
	double downs, asks, probes, dials;
	double single, changing; /* copies per delivery */
	double trees;		 /* PRUNE and GRAFT while there are messages */
};

#define NUMBERS (sizeof(struct outcome) / sizeof(double))

struct range {
	unsigned runs, failed;
	struct outcome most[STORIES], sum[STORIES];
	unsigned told[STORIES];
};

struct run {
	struct world *world;
	size_t members; /* at first */
	size_t nodes;	/* that have been started */
	enum topology topology;
	uint64_t seed;
	bool failed;
	struct outcome outcomes[STORIES];
	unsigned stories; /* that are over */
	size_t *dead;	  /* room for a tenth */
};

static unsigned trace;
static uint64_t jitter; /* ms */
static bool go_on, each;
static enum story last_story = AGAIN;
static char command[128];

__attribute__((format(printf, 3, 4))) static void fail(
	struct run *run, enum story story, const char *format, ...)
{
	va_list arguments;

	if (!run->failed)
		printf("FAILED: %s\n", command);
	run->failed = true;
	printf("  %s: ", story_names[story]);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

/* ---- the nodes of a run ---- */

static bool has_hub(enum topology topology)
{
	return topology != MESH && topology != CHAIN;
}

/* Somebody who is up and can be told of; SIZE_MAX: nobody. */
static size_t somebody(struct run *run, size_t among)
{
	size_t node, up = 0;

	for (size_t i = 0; i < among; i++)
		up += world_is_up(run->world, i);
	if (up == 0)
		return SIZE_MAX;
	do
		node = world_random_below(run->world, among);
	while (!world_is_up(run->world, node));
	return node;
}

/* among: nodes that it may know of, itself as well. */
static void configure_mesh(struct run *run, size_t node, size_t among)
{
	bool *known;
	size_t other, count = 0;

	if (among <= MESH_WHOLE) {
		for (other = 0; other < among; other++)
			if (other != node)
				world_peer(run->world, node, other);
		return;
	}
	known = calloc(among > node ? among : node + 1, sizeof *known);
	if (!known)
		abort();
	known[node] = true;
	while (count < MESH_PEERS) {
		other = world_random_below(run->world, among);
		if (known[other])
			continue;
		known[other] = true;
		world_peer(run->world, node, other);
		count++;
	}
	free(known);
}

static void configure(struct run *run, size_t node, size_t among)
{
	size_t before = node;

	switch (run->topology) {
	case MESH:
		configure_mesh(run, node, among);
		break;
	case HUB:
		if (node > 0)
			world_peer(run->world, node, 0);
		break;
	case CHAIN:
		/* Of those that are there; at the beginning nobody is yet. */
		while (before > 0 && among == node && !world_is_up(run->world, before - 1))
			before--;
		if (before > 0)
			world_peer(run->world, node, before - 1);
		break;
	default:
		if (node > 0)
			world_bootstrap(run->world, node, 0);
		break;
	}
}

static bool is_rendezvous(const struct run *run, size_t node)
{
	return run->topology == BOOTSTRAP && node == 0;
}

static void start(struct run *run, size_t node)
{
	world_start(run->world, node);
	if (!is_rendezvous(run, node))
		world_join(run->world, node, 0);
}

/* So many more nodes, within START_NS. */
static void start_more(struct run *run, size_t count, bool first)
{
	uint64_t end = world_now(run->world) + START_NS;

	for (size_t i = 0; i < count; i++) {
		configure(run, run->nodes, first ? count : run->nodes);
		start(run, run->nodes++);
		world_run(run->world, world_random_below(run->world, 2 * START_NS / count));
	}
	if (world_now(run->world) < end)
		world_run(run->world, end - world_now(run->world));
}

/* ---- watching ---- */

static bool is_whole(const struct run *run)
{
	return world_largest_part(run->world, 0) == world_members(run->world, 0);
}

static size_t some_member(struct run *run)
{
	size_t node;

	do
		node = somebody(run, run->nodes);
	while (is_rendezvous(run, node));
	return node;
}

static size_t publish(struct run *run)
{
	return world_publish(run->world, some_member(run), 0);
}

static double seconds(uint64_t ns)
{
	return (double)ns / WORLD_S;
}

/* Lets the overlay settle: since 'begun' the network is as it is now. Without a message, for the
 * first ones make the tree, and upstream's figures include that. */
static void settle(struct run *run, enum story story, uint64_t begun)
{
	const uint64_t step = 100 * WORLD_MS, end = begun + SETTLE_S * WORLD_S;
	uint64_t not_whole = begun;

	for (;;) {
		if (!is_whole(run))
			not_whole = world_now(run->world);
		if (world_now(run->world) >= end)
			break;
		world_run(run->world, step);
	}
	run->outcomes[story].whole = seconds(not_whole - begun);
	if (not_whole - begun > WHOLE_NS)
		fail(run, story, "whole after %.1f s; %zu of %zu hang together",
			seconds(not_whole - begun), world_largest_part(run->world, 0),
			world_members(run->world, 0));
}

static double rest_since(const struct run *run, uint64_t begun)
{
	struct world_unrest unrest = world_unrest(run->world);
	uint64_t last = unrest.down > unrest.ask ? unrest.down : unrest.ask;

	return last > begun ? seconds(last - begun) : 0;
}

static double trees(const struct world_figures *figures)
{
	return (double)(figures->frames[WIRE_PRUNE] + figures->frames[WIRE_GRAFT]);
}

/* What has happened since before, which is as it is now then. */
static struct world_figures since(struct run *run, struct world_figures *before)
{
	struct world_figures now, difference;

	world_sum(run->world, &now);
	world_difference(&now, before, &difference);
	*before = now;
	return difference;
}

/* Publishes for so long, from node or (SIZE_MAX) another one each time; returns the copies per
 * delivery. */
static double publish_some(struct run *run, enum story story, size_t node, uint64_t duration)
{
	struct world_figures before, figures;
	size_t members = world_members(run->world, 0), first = SIZE_MAX, message, lost = 0;
	uint64_t end = world_now(run->world) + duration;

	world_sum(run->world, &before);
	do {
		message = node < SIZE_MAX ? world_publish(run->world, node, 0) : publish(run);
		if (first == SIZE_MAX)
			first = message;
		world_run(run->world, MESSAGE_NS);
	} while (world_now(run->world) < end);
	world_run(run->world, ARRIVAL_NS);
	for (size_t i = first; i <= message; i++)
		lost += members - world_reached(run->world, i);
	if (lost > 0)
		fail(run, story, "%zu of %zu deliveries did not come", lost,
			(message - first + 1) * (members - 1));
	figures = since(run, &before);
	run->outcomes[story].trees += trees(&figures);
	return figures.deliveries
		       ? (double)figures.frames[WIRE_GOSSIP] / (double)figures.deliveries
		       : 0;
}

/* Watches for so long: a third in silence, a third with messages of one sender, a third with
 * messages of many. */
static void watch(struct run *run, enum story story, unsigned watch_s, uint64_t begun)
{
	struct outcome *outcome = &run->outcomes[story];
	uint64_t third = watch_s * WORLD_S / 3;
	struct world_figures before, middle, figures;

	world_sum(run->world, &before);
	middle = before;
	world_run(run->world, third);
	figures = since(run, &middle);
	if (trees(&figures) > 0)
		fail(run, story, "%.0f PRUNE and GRAFT without a message", trees(&figures));
	outcome->single = publish_some(run, story, some_member(run), third - ARRIVAL_NS);
	outcome->changing = publish_some(run, story, SIZE_MAX, third - ARRIVAL_NS);
	figures = since(run, &before);
	outcome->rest = rest_since(run, begun);
	outcome->downs = (double)figures.downs;
	outcome->asks = (double)(figures.counters[COUNTER_JOINS] +
				 figures.counters[COUNTER_MERGES]);
	outcome->probes = (double)figures.counters[COUNTER_PROBES];
	outcome->dials = (double)figures.counters[COUNTER_DIALS];
	if (outcome->downs + outcome->asks > 0)
		fail(run, story, "no rest: %.0f neighbours down, %.0f asks", outcome->downs,
			outcome->asks);
	if (world_repeated(run->world) > 0)
		fail(run, story, "%llu messages came twice",
			(unsigned long long)world_repeated(run->world));
	if (world_one_sided(run->world, 0) > 0)
		fail(run, story, "%zu neighbours do not know it", world_one_sided(run->world, 0));
	run->stories = story + 1;
}

/* ---- stories ---- */

static bool ends(const struct run *run, enum story story)
{
	return last_story < story || (run->failed && !go_on);
}

static void rest(struct run *run)
{
	start_more(run, run->members + (run->topology == BOOTSTRAP), true);
	settle(run, REST, 0);
	watch(run, REST, START_WATCH_S, 0);
}

/* A tenth, one at least, without a word; who can be missed. Returns how many. */
static size_t kill_some(struct run *run, size_t *dead)
{
	size_t count = run->members < 20 ? 1 : run->members / 10, node;

	for (size_t i = 0; i < count; i++) {
		do
			node = somebody(run, run->nodes);
		while (node == 0 && has_hub(run->topology));
		world_kill(run->world, node);
		dead[i] = node;
	}
	return count;
}

static void deaths(struct run *run)
{
	uint64_t begun = world_now(run->world);

	kill_some(run, run->dead);
	settle(run, KILL, begun);
	watch(run, KILL, WATCH_S, begun);
}

static size_t newcomers(size_t members)
{
	return (3 * members + 9) / 10;
}

static void births(struct run *run)
{
	uint64_t begun = world_now(run->world);

	start_more(run, newcomers(run->members), false);
	settle(run, JOIN, begun);
	watch(run, JOIN, WATCH_S, begun);
}

static void partition(struct run *run)
{
	uint64_t begun;

	for (size_t i = 0; i < run->nodes; i++)
		world_part(run->world, i, (unsigned)world_random_below(run->world, 2));
	world_run(run->world, PARTITION_S * WORLD_S);
	world_mend(run->world);
	begun = world_now(run->world);
	settle(run, PART, begun);
	watch(run, PART, WATCH_S, begun);
}

static void restarts(struct run *run)
{
	size_t count = kill_some(run, run->dead);
	uint64_t begun;

	world_run(run->world, AGAIN_NS);
	begun = world_now(run->world);
	for (size_t i = 0; i < count; i++)
		start(run, run->dead[i]);
	settle(run, AGAIN, begun);
	watch(run, AGAIN, WATCH_S, begun);
}

static void play(struct run *run)
{
	struct world_config config = {
		.nodes = run->members + 1 + newcomers(run->members),
		.topics = 1,
		.seed = run->seed,
		.least_latency = LEAST_LATENCY,
		.most_latency = MOST_LATENCY,
		.jitter = jitter * WORLD_MS,
		.trace = trace,
	};

	snprintf(command, sizeof command, "simulation_test_rest -t %s -n %zu -s %llu -k 1 -j %llu",
		topology_names[run->topology], run->members, (unsigned long long)run->seed,
		(unsigned long long)jitter);
	run->world = world_new(&config);
	run->dead = calloc(run->members, sizeof *run->dead);
	if (!run->dead)
		abort();
	rest(run);
	if (!ends(run, KILL) && run->members > 2)
		deaths(run);
	if (!ends(run, JOIN))
		births(run);
	if (!ends(run, PART))
		partition(run);
	if (!ends(run, AGAIN))
		restarts(run);
}

/* ---- figures ---- */

static void add(struct range *range, const struct run *run)
{
	range->runs++;
	range->failed += run->failed;
	for (size_t story = 0; story < run->stories; story++) {
		const double *numbers = (const double *)&run->outcomes[story];

		range->told[story]++;
		for (size_t i = 0; i < NUMBERS; i++) {
			((double *)&range->sum[story])[i] += numbers[i];
			if (numbers[i] > ((double *)&range->most[story])[i])
				((double *)&range->most[story])[i] = numbers[i];
		}
	}
}

static void tell(const struct range *range, const char *what)
{
	for (size_t story = 0; story < STORIES; story++) {
		const struct outcome *most = &range->most[story], *sum = &range->sum[story];
		double runs = range->told[story];

		if (runs == 0)
			continue;
		printf("%s %s: %.0f runs; at most (on average) whole after %.1f (%.1f) s, rest "
		       "after %.1f (%.1f) s; then %.0f (%.1f) downs, %.0f (%.1f) asks, %.0f (%.1f) "
		       "probes, %.0f (%.1f) dials; copies per delivery: one sender %.3f (%.3f), many %.3f (%.3f), with "
		       "%.0f (%.1f) PRUNE and GRAFT\n",
			what, story_names[story], runs, most->whole, sum->whole / runs, most->rest,
			sum->rest / runs, most->downs, sum->downs / runs, most->asks,
			sum->asks / runs, most->probes, sum->probes / runs, most->dials, sum->dials / runs, most->single,
			sum->single / runs, most->changing, sum->changing / runs, most->trees,
			sum->trees / runs);
	}
}

/* Whether there are too many copies, of a freshly made overlay. */
static bool wastes(const struct range *range, const char *what, size_t most)
{
	const struct outcome *sum = &range->sum[REST];
	double runs = range->told[REST];
	size_t at = 0;

	while (most > copies_of_upstream[at].nodes)
		at++;
	/* An average of a few says nothing; upstream's has no jitter. */
	if (runs < RUNS_OF_AN_AVERAGE || jitter > 0)
		return false;
	if (sum->single / runs <= COPIES_MORE * copies_of_upstream[at].single &&
		sum->changing / runs <= COPIES_MORE * copies_of_upstream[at].changing)
		return false;
	printf("FAILED: %s: %.3f and %.3f copies per delivery, upstream %.2f and %.2f\n", what,
		sum->single / runs, sum->changing / runs, copies_of_upstream[at].single,
		copies_of_upstream[at].changing);
	return true;
}

static void run_one(struct range *range, enum topology topology, size_t members, uint64_t seed)
{
	struct run run = {.members = members, .topology = topology, .seed = seed};
	clock_t begun = clock();

	play(&run);
	if (each)
		printf("%s %zu seed %llu: %s, %llu events, hash %016llx, %.3f s\n",
			topology_names[topology], members, (unsigned long long)seed,
			run.failed ? "failed" : "ok",
			(unsigned long long)world_events(run.world),
			(unsigned long long)world_hash(run.world),
			(double)(clock() - begun) / CLOCKS_PER_SEC);
	world_free(run.world);
	free(run.dead);
	add(range, &run);
	fflush(stdout);
}

/* spread: each number in one topology only. */
static unsigned run_range(enum topology topology, size_t least, size_t most, bool spread,
	uint64_t first_seed, unsigned seeds)
{
	struct range range = {0};
	char what[64];
	bool wasteful;
	clock_t begun = clock();

	for (size_t members = least; members <= most; members++) {
		if (spread && members % TOPOLOGIES != topology)
			continue;
		for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
			run_one(&range, topology, members, seed);
	}
	snprintf(what, sizeof what, "%s %zu-%zu%s", topology_names[topology], least, most,
		jitter > 0 ? ", jitter" : "");
	tell(&range, what);
	wasteful = wastes(&range, what, most);
	printf("%s: %u of %u runs failed, %.1f s\n", what, range.failed, range.runs,
		(double)(clock() - begun) / CLOCKS_PER_SEC);
	fflush(stdout);
	return range.failed + wasteful;
}

/* ---- arguments ---- */

static void on_abort(int signal)
{
	static const char text[] = "\nit was: ";

	(void)signal;
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0 ||
		write(STDERR_FILENO, command, strlen(command)) < 0 ||
		write(STDERR_FILENO, "\n", 1) < 0)
		_exit(1);
}

static int find(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	fprintf(stderr, "not known: %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	/* From, to, seeds: the more nodes, the longer it takes. */
	static const size_t some[][3] = {{2, 6, 4}, {7, 8, 10}, {9, 14, 2}, {15, 15, 10},
		{16, 24, 1}, {25, 25, 4}, {SPREAD, 60, 1}, {100, 100, 1}};
	static const size_t all[][3] = {
		{2, 60, 10}, {100, 100, 10}, {300, 300, 10}, {1000, 1000, 10}};
	const size_t(*ranges)[3] = some;
	size_t count = sizeof some / sizeof some[0];
	size_t least = 0, most = 0;
	int topology = TOPOLOGIES, option;
	uint64_t seed = 1;
	unsigned seeds = 0, failed = 0;
	char *end;

	while ((option = getopt(argc, argv, "an:t:s:k:u:j:f1v")) != -1) {
		switch (option) {
		case 'a':
			ranges = all;
			count = sizeof all / sizeof all[0];
			break;
		case 'n':
			least = most = strtoul(optarg, &end, 10);
			if (*end == '-')
				most = strtoul(end + 1, NULL, 10);
			break;
		case 't':
			topology = find(topology_names, TOPOLOGIES, optarg);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			seeds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'u':
			last_story = (enum story)find(story_names, STORIES, optarg);
			break;
		case 'j':
			jitter = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			go_on = true;
			break;
		case '1':
			each = true;
			break;
		case 'v':
			trace++;
			break;
		default:
			return 2;
		}
	}
	signal(SIGABRT, on_abort);
	for (int i = 0; i < TOPOLOGIES; i++) {
		if (topology != TOPOLOGIES && topology != i)
			continue;
		if (least > 0) {
			failed += run_range((enum topology)i, least, most, false, seed, seeds ? seeds : 10);
			continue;
		}
		for (size_t at = 0; at < count; at++)
			failed += run_range(
				(enum topology)i, ranges[at][0], ranges[at][1],
				ranges[at][0] == SPREAD, seed,
				seeds ? seeds : (unsigned)ranges[at][2]);
		/* Questions and answers of many who join at once cross each other. */
		if (i == HUB && jitter == 0) {
			jitter = JITTER;
			failed += run_range(HUB, 20, 20, false, seed, seeds ? seeds : 2);
			failed += run_range(HUB, 100, 100, false, seed, seeds ? seeds : 1);
			jitter = 0;
		}
	}
	return failed > 0;
}
