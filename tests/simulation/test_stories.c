/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Short stories of two to eight whole nodes under virtual time (support_world.h), each told with
 * many seeds: what goes wrong in networks, and that the overlay is whole again soon after. What is
 * the same in all of them: no message is delivered twice or invented, neighbours are neighbours on
 * both sides once it is quiet, a message reaches everybody, and all memory is free when all have
 * left. A run that fails prints the command that repeats it; with -v that tells all that happens.
 *
 *   -t STORY        (all)
 *   -s SEED         the first seed (1)
 *   -k SEEDS        how many (1000)
 *   -n NODES        as many of them instead of two to eight, where the story has not its own number
 *   -m MINUTES      of the story churn (a quarter)
 *   -v, -vv, -vvv   trace: neighbours, asks, frames; messages; the nodes' logs
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bridge/memory.h"
#include "bridge/random.h"
#include "support_world.h"

#define LEAST_LATENCY (10 * WORLD_MS)
#define MOST_LATENCY  (50 * WORLD_MS)

/* All who are there come to know one another. */
#define SETTLE_NS (20 * WORLD_S)
/* After a death: the idle timeout after the last answered ping, and the second that links wait. */
#define NOTICE_NS (11 * WORLD_S)
/* Whole again, since it can be noticed. */
#define WHOLE_DEATHS_NS (10 * WORLD_S)
#define WHOLE_NS	(15 * WORLD_S)
/* Nothing happens any more by then. */
#define QUIET_NS (10 * WORLD_S)
/* A message has reached everybody. */
#define ARRIVAL_NS (5 * WORLD_S)
#define FAREWELL_NS (2 * WORLD_S)

/* For one who has just come: at p95. (The dead cost three seconds each time that four of them are waited
 * for.) */
#define NEWCOMER_NS (2 * WORLD_S)
#define NEWCOMER_MOST_NS (60 * WORLD_S)
#define NEWCOMER_DEAD 5

struct run {
	struct world *world;
	size_t nodes;
	uint64_t seed;
	const char *story;
	bool failed;
	uint64_t measured; /* ns: until whole, or until the newcomer has a neighbour */
	char command[128];
};

struct story {
	const char *name;
	size_t least, most; /* nodes */
	void (*tell)(struct run *run);
	uint64_t p95; /* ns; 0: what is measured is not judged */
};

static unsigned trace;
static size_t wanted_nodes;
static double churn_minutes = 0.25;

__attribute__((format(printf, 2, 3))) static void fail(struct run *run, const char *format, ...)
{
	va_list arguments;

	if (!run->failed)
		printf("FAILED: %s\n", run->command);
	run->failed = true;
	printf("  at %.3f s: ", (double)world_now(run->world) / WORLD_S);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

/* ---- memory ---- */

static size_t blocks;

static void *count_alloc(void *context, size_t size)
{
	void *block = malloc(size);

	blocks += block != NULL;
	return block;
}

static void *count_realloc(void *context, void *block, size_t size)
{
	void *bigger = realloc(block, size);

	blocks += !block && bigger;
	return bigger;
}

static void count_free(void *context, void *block)
{
	blocks -= block != NULL;
	free(block);
}

static const struct memory counting = {count_alloc, count_realloc, count_free, NULL};

/* ---- what stories are made of ---- */

static size_t chance(struct run *run, size_t bound)
{
	return world_random_below(run->world, bound);
}

static void pass(struct run *run, uint64_t duration)
{
	world_run(run->world, duration);
}

static void start(struct run *run, size_t node)
{
	world_start(run->world, node);
	world_join(run->world, node, 0);
}

static size_t count_up(const struct run *run)
{
	size_t up = 0;

	for (size_t i = 0; i < run->nodes; i++)
		up += world_is_up(run->world, i);
	return up;
}

/* One that is up. */
static size_t somebody(struct run *run)
{
	size_t node;

	do
		node = chance(run, run->nodes);
	while (!world_is_up(run->world, node));
	return node;
}

enum topology { MESH, HUB, CHAIN, DISCOVERED, TOPOLOGIES };

/* Who is configured where; in three of these nobody but the first, or the one before. */
static void configure(struct run *run, enum topology topology)
{
	for (size_t i = 0; i < run->nodes; i++) {
		switch (topology) {
		case MESH:
			for (size_t j = 0; j < run->nodes; j++)
				if (j != i && (run->nodes <= 16 || chance(run, run->nodes) < 16))
					world_peer(run->world, i, j);
			break;
		case HUB:
			if (i > 0)
				world_peer(run->world, i, 0);
			break;
		case CHAIN:
			if (i > 0)
				world_peer(run->world, i, i - 1);
			break;
		default:
			if (i > 0)
				world_bootstrap(run->world, i, 0);
			break;
		}
	}
}

/* Everybody within a second, and then time to settle. */
static void start_all(struct run *run)
{
	for (size_t i = 0; i < run->nodes; i++) {
		start(run, i);
		pass(run, chance(run, WORLD_S / run->nodes));
	}
	pass(run, SETTLE_NS);
}

static void begin(struct run *run)
{
	configure(run, (enum topology)chance(run, TOPOLOGIES));
	start_all(run);
}

static bool is_whole(const struct run *run)
{
	return world_largest_part(run->world, 0) == world_members(run->world, 0);
}

/* Lets it become whole: begun is when something has happened, which may be noticed so long after,
 * and it has so long from then on. */
static void become_whole(struct run *run, uint64_t begun, uint64_t notice, uint64_t within)
{
	uint64_t end = begun + notice + within, not_whole = begun;

	for (;;) {
		if (!is_whole(run))
			not_whole = world_now(run->world);
		else if (world_now(run->world) >= begun + notice &&
			 world_now(run->world) - not_whole >= WORLD_S)
			break;
		if (world_now(run->world) >= end)
			break;
		pass(run, 50 * WORLD_MS);
	}
	if (not_whole - begun > run->measured)
		run->measured = not_whole - begun;
	if (!is_whole(run))
		fail(run, "not whole within %.0f s: %zu of %zu hang together",
			(double)(notice + within) / WORLD_S, world_largest_part(run->world, 0),
			world_members(run->world, 0));
}

static uint64_t now(const struct run *run)
{
	return world_now(run->world);
}

/* What is true of every overlay that is left in peace. */
static void be_quiet(struct run *run)
{
	size_t message;

	pass(run, QUIET_NS);
	if (!is_whole(run))
		fail(run, "whole no longer: %zu of %zu hang together",
			world_largest_part(run->world, 0), world_members(run->world, 0));
	/* Somebody may have let go of somebody this very moment, who hears of it a latency later. */
	for (int i = 0; i < 10 && world_one_sided(run->world, 0) > 0; i++)
		pass(run, 100 * WORLD_MS);
	if (world_one_sided(run->world, 0) > 0)
		fail(run, "%zu neighbours do not know it", world_one_sided(run->world, 0));
	message = world_publish(run->world, somebody(run), 0);
	pass(run, ARRIVAL_NS);
	if (world_reached(run->world, message) < world_members(run->world, 0))
		fail(run, "a message reaches %zu of %zu", world_reached(run->world, message),
			world_members(run->world, 0));
}

static void kill_one(struct run *run)
{
	world_kill(run->world, somebody(run));
}

/* Without a word or with one. */
static void end(struct run *run, size_t node)
{
	if (chance(run, 2) == 0)
		world_kill(run->world, node);
	else
		world_stop(run->world, node);
}

/* ---- stories ---- */

static void deaths(struct run *run, size_t percent)
{
	size_t count = (run->nodes * percent + 50) / 100;
	uint64_t begun;

	begin(run);
	begun = now(run);
	while (count-- > 0 && count_up(run) > 2)
		kill_one(run);
	become_whole(run, begun, NOTICE_NS, WHOLE_DEATHS_NS);
	be_quiet(run);
}

static void deaths30(struct run *run)
{
	deaths(run, 30);
}

static void deaths80(struct run *run)
{
	deaths(run, 80);
}

/* Each second one of a hundred, and of few nodes one in ten seconds, ends and comes back some seconds
 * later; half of them have lost what they had kept. */
static void churn(struct run *run)
{
	size_t deaths_a_second = run->nodes / 100, node, *dead;
	size_t seconds = (size_t)(churn_minutes * 60), count = 0;

	dead = calloc(run->nodes, sizeof *dead);
	if (!dead)
		abort();
	begin(run);
	for (size_t second = 0; second < seconds; second++) {
		for (size_t i = 0; i < deaths_a_second || (i == 0 && second % 10 == 0); i++) {
			node = somebody(run);
			end(run, node);
			dead[count++] = node;
			pass(run, WORLD_S / (deaths_a_second + 1));
		}
		if (deaths_a_second == 0 && second % 10 == 0)
			pass(run, WORLD_S / 2);
		else if (deaths_a_second == 0)
			pass(run, WORLD_S);
		else
			pass(run, WORLD_S - deaths_a_second * (WORLD_S / (deaths_a_second + 1)));
		/* At most so many are away at a time, who went first comes first. */
		while (count > 5 * deaths_a_second + (deaths_a_second == 0 && second % 10 != 3)) {
			if (chance(run, 2) == 0)
				world_forget(run->world, dead[0]);
			start(run, dead[0]);
			memmove(dead, dead + 1, --count * sizeof *dead);
		}
	}
	free(dead);
	become_whole(run, now(run), NOTICE_NS, WHOLE_NS);
	be_quiet(run);
}

/* 1, 5 or 25 % of the connections fail, for a minute; it is whole nevertheless for most of it. */
static void connections_fail(struct run *run)
{
	static const unsigned percents[] = {1, 5, 25};
	unsigned whole = 0, steps = 0;

	world_fail_connections(run->world, percents[chance(run, 3)]);
	configure(run, (enum topology)chance(run, TOPOLOGIES));
	start_all(run);
	for (; steps < 60; steps++) {
		pass(run, WORLD_S);
		whole += is_whole(run);
		if (steps % 10 == 0)
			world_publish(run->world, somebody(run), 0);
	}
	if (whole < steps / 2)
		fail(run, "whole for %u of %u s only", whole, steps);
	world_fail_connections(run->world, 0);
	/* What was dialled before may yet break. */
	pass(run, 60 * WORLD_S);
	become_whole(run, now(run), NOTICE_NS, WHOLE_NS);
	be_quiet(run);
}

static void halves(struct run *run, uint64_t duration)
{
	begin(run);
	/* One in each at least. */
	for (size_t i = 0; i < run->nodes; i++)
		world_part(run->world, i, i < 2 ? (unsigned)i : (unsigned)chance(run, 2));
	pass(run, duration);
	world_mend(run->world);
	become_whole(run, now(run), 0, WHOLE_NS);
	be_quiet(run);
}

static void halves_minute(struct run *run)
{
	halves(run, 60 * WORLD_S);
}

static void halves_hour(struct run *run)
{
	halves(run, 3600 * WORLD_S);
}

/* Those through whom the others have found one another are gone for good; who comes back has its
 * address book and nothing else. */
static void bootstraps_go(struct run *run)
{
	size_t node;

	for (size_t i = 2; i < run->nodes; i++) {
		world_bootstrap(run->world, i, 0);
		world_bootstrap(run->world, i, 1);
	}
	world_bootstrap(run->world, 1, 0);
	start_all(run);
	world_kill(run->world, 0);
	world_kill(run->world, 1);
	become_whole(run, now(run), NOTICE_NS, WHOLE_DEATHS_NS);
	be_quiet(run);
	node = somebody(run);
	end(run, node);
	pass(run, FAREWELL_NS + chance(run, 20 * WORLD_S));
	start(run, node);
	become_whole(run, now(run), 0, WHOLE_NS);
	be_quiet(run);
}

/* Most of the bootstraps in the configuration have been gone for years. */
static void bootstraps_dead(struct run *run)
{
	/* The last three never come. */
	for (size_t i = 1; i + 3 < run->nodes; i++) {
		for (size_t j = run->nodes - 3; j < run->nodes; j++)
			world_bootstrap(run->world, i, j);
		world_bootstrap(run->world, i, 0);
	}
	for (size_t i = 0; i + 3 < run->nodes; i++)
		start(run, i);
	become_whole(run, now(run), 0, WHOLE_NS);
	be_quiet(run);
}

/* In the same moment, each for the other; and once more after both were cut off. */
static void both_dial(struct run *run)
{
	configure(run, MESH);
	for (size_t i = 0; i < run->nodes; i++)
		start(run, i);
	become_whole(run, now(run), 0, 3 * WORLD_S);
	be_quiet(run);
	for (size_t i = 0; i < run->nodes; i++)
		world_part(run->world, i, (unsigned)i);
	pass(run, NOTICE_NS + chance(run, 20 * WORLD_S));
	world_mend(run->world);
	become_whole(run, now(run), 0, WHOLE_NS);
	be_quiet(run);
}

static void slow_dials(struct run *run)
{
	world_slow_dials(run->world, 4 * WORLD_S);
	configure(run, (enum topology)chance(run, TOPOLOGIES));
	for (size_t i = 0; i < run->nodes; i++)
		start(run, i);
	become_whole(run, now(run), 0, 2 * WHOLE_NS);
	be_quiet(run);
}

/* Some or all of them, before or after it was noticed, with what they have kept or without. */
static void restarts(struct run *run, bool with_state)
{
	size_t count, *dead = calloc(run->nodes, sizeof *dead);
	bool all = chance(run, 3) == 0;

	if (!dead)
		abort();
	begin(run);
	count = all ? run->nodes : 1 + chance(run, run->nodes - 1);
	for (size_t i = 0; i < count; i++) {
		dead[i] = somebody(run);
		end(run, dead[i]);
	}
	pass(run, FAREWELL_NS + chance(run, 2) * chance(run, 30 * WORLD_S));
	for (size_t i = 0; i < count; i++) {
		if (!with_state)
			world_forget(run->world, dead[i]);
		start(run, dead[i]);
	}
	free(dead);
	/* Who has been away unnoticed is taken for a neighbour still. */
	become_whole(run, now(run), NOTICE_NS, WHOLE_NS);
	be_quiet(run);
}

static void restarts_with_state(struct run *run)
{
	restarts(run, true);
}

static void restarts_without_state(struct run *run)
{
	restarts(run, false);
}

static void addresses_change(struct run *run)
{
	size_t count = 1 + chance(run, run->nodes - 1);

	begin(run);
	for (size_t i = 0; i < count; i++) {
		world_move(run->world, somebody(run));
		pass(run, chance(run, 2) * chance(run, 5 * WORLD_S));
	}
	become_whole(run, now(run), NOTICE_NS, WHOLE_NS);
	be_quiet(run);
}

/* All of them were off; some are elsewhere now, and what the others have kept of them is of no use.
 * Where the first one is, by its name, the configuration still says. */
static void infos_stale(struct run *run)
{
	configure(run, chance(run, 2) ? HUB : DISCOVERED);
	start_all(run);
	for (size_t i = 0; i < run->nodes; i++)
		end(run, i);
	pass(run, FAREWELL_NS);
	for (size_t i = 0; i < run->nodes; i++)
		if (chance(run, 2) == 0)
			world_move(run->world, i);
	for (size_t i = 0; i < run->nodes; i++)
		start(run, i);
	become_whole(run, now(run), 0, WHOLE_NS);
	be_quiet(run);
}

/*
 * A node that knows one live node and five dead ones. It has joined, and has talked with the live
 * one, before that one joins: how long until they are neighbours? told: the live one is its bootstrap
 * and has told it of the others; else all that the two know of one another they have kept, and
 * what is configured is one of the dead.
 */
static void newcomer(struct run *run, bool told)
{
	const size_t live = 0, node = 1, bootstrap = told ? live : 2;
	bool newcomer_first;
	uint64_t begun;

	for (size_t i = 0; i < run->nodes; i++) {
		if (i != bootstrap)
			world_bootstrap(run->world, i, bootstrap);
		if (i != node || !told)
			world_start(run->world, i);
		if (i > node)
			world_join(run->world, i, 0);
	}
	pass(run, SETTLE_NS);
	if (!told) {
		world_kill(run->world, node);
		pass(run, chance(run, 30 * WORLD_S));
	}
	/* In one order or the other. */
	newcomer_first = chance(run, 2) == 0;
	if (newcomer_first) {
		start(run, node);
		pass(run, WORLD_S + chance(run, 30 * WORLD_S));
	}
	for (size_t i = 2; i < run->nodes; i++)
		world_kill(run->world, i);
	pass(run, chance(run, 30 * WORLD_S));
	if (!newcomer_first) {
		start(run, node);
		pass(run, WORLD_S + chance(run, 30 * WORLD_S));
	}
	world_join(run->world, live, 0);
	begun = now(run);
	while (!is_whole(run) && now(run) - begun < NEWCOMER_MOST_NS)
		pass(run, 10 * WORLD_MS);
	run->measured = now(run) - begun;
	if (!is_whole(run))
		fail(run, "no neighbour within %.0f s", (double)NEWCOMER_MOST_NS / WORLD_S);
	/* The last of the dead is missed. */
	pass(run, NOTICE_NS);
	be_quiet(run);
}

static void newcomer_told(struct run *run)
{
	newcomer(run, true);
}

static void newcomer_again(struct run *run)
{
	newcomer(run, false);
}

/* All have joined through the first one within a second: how long does a message of one of them take
 * to reach everybody, on average over some? */
static void spread(struct run *run)
{
	const unsigned count = 10;
	uint64_t sum = 0, begun;
	size_t sender, message;

	configure(run, HUB);
	start_all(run);
	sender = somebody(run);
	for (unsigned i = 0; i < count; i++) {
		begun = now(run);
		message = world_publish(run->world, sender, 0);
		while (world_reached(run->world, message) < world_members(run->world, 0) &&
			now(run) - begun < ARRIVAL_NS)
			pass(run, WORLD_MS);
		if (now(run) - begun >= ARRIVAL_NS)
			fail(run, "a message reaches %zu of %zu",
				world_reached(run->world, message), world_members(run->world, 0));
		sum += now(run) - begun;
	}
	run->measured = sum / count;
}

static const struct story stories[] = {
	{"deaths30", 4, 8, deaths30, 0},
	{"deaths80", 5, 8, deaths80, 0},
	{"churn", 4, 8, churn, 0},
	{"connections", 3, 8, connections_fail, 0},
	{"minute", 2, 8, halves_minute, 0},
	{"hour", 2, 4, halves_hour, 0},
	{"bootstraps", 4, 8, bootstraps_go, 0},
	{"dead-bootstraps", 5, 8, bootstraps_dead, 0},
	{"both-dial", 2, 4, both_dial, 0},
	{"slow-dials", 2, 6, slow_dials, 0},
	{"restart-with-state", 2, 8, restarts_with_state, 0},
	{"restart-without-state", 2, 8, restarts_without_state, 0},
	{"addresses", 2, 8, addresses_change, 0},
	{"stale-infos", 3, 8, infos_stale, 0},
	{"spread", 2, 8, spread, 0},
	{"newcomer", 2 + NEWCOMER_DEAD, 2 + NEWCOMER_DEAD, newcomer_told, NEWCOMER_NS},
	{"newcomer-again", 2 + NEWCOMER_DEAD, 2 + NEWCOMER_DEAD, newcomer_again, NEWCOMER_NS},
};
#define STORIES (sizeof stories / sizeof stories[0])

/* ---- runs ---- */

/* All leave, half of the times without a word. */
static void end_all(struct run *run)
{
	bool killed = chance(run, 2) == 0;

	for (size_t i = 0; i < run->nodes; i++) {
		if (world_is_up(run->world, i) && !killed)
			world_stop(run->world, i);
	}
	pass(run, FAREWELL_NS);
	if (!killed && count_up(run) > 0)
		fail(run, "%zu do not stop", count_up(run));
	if (world_repeated(run->world) > 0)
		fail(run, "%llu messages came twice",
			(unsigned long long)world_repeated(run->world));
}

static bool play(const struct story *story, uint64_t seed, uint64_t *measured)
{
	struct run run = {.seed = seed, .story = story->name};
	struct world_config config = {.topics = 1,
		.seed = seed,
		.least_latency = LEAST_LATENCY,
		.most_latency = MOST_LATENCY,
		.trace = trace,
		.keeps = true,
		.command = run.command};
	uint64_t state = seed;
	struct random random = random_seeded(&state);
	size_t before = blocks;

	run.nodes = story->least + random_below(&random, story->most - story->least + 1);
	if (wanted_nodes > 0 && story->least < story->most)
		run.nodes = wanted_nodes;
	config.nodes = run.nodes;
	snprintf(run.command, sizeof run.command, "simulation_test_stories -t %s -s %llu -k 1",
		story->name, (unsigned long long)seed);
	if (wanted_nodes > 0)
		snprintf(run.command + strlen(run.command),
			sizeof run.command - strlen(run.command), " -n %zu -m %g", wanted_nodes,
			churn_minutes);
	run.world = world_new(&config);
	story->tell(&run);
	end_all(&run);
	world_free(run.world);
	if (blocks != before) {
		printf("FAILED: %s\n  %zu blocks of memory are left\n", run.command,
			blocks - before);
		run.failed = true;
	}
	*measured = run.measured;
	fflush(stdout);
	return !run.failed;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

static double at_percent(const uint64_t *measured, size_t count, size_t percent)
{
	return (double)measured[(count - 1) * percent / 100] / WORLD_S;
}

/* Returns how many runs have failed. */
static size_t tell(const struct story *story, uint64_t first, size_t count)
{
	uint64_t *measured = calloc(count, sizeof *measured);
	struct timespec begun, end;
	size_t failed = 0;

	if (!measured)
		abort();
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (size_t i = 0; i < count; i++)
		failed += !play(story, first + i, &measured[i]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	qsort(measured, count, sizeof *measured, compare);
	printf("%s: %zu of %zu runs failed; %.2f s at p50, %.2f s at p95, %.2f s at p99, at most "
	       "%.2f s; took %.1f s\n",
		story->name, failed, count, at_percent(measured, count, 50),
		at_percent(measured, count, 95), at_percent(measured, count, 99),
		at_percent(measured, count, 100),
		(double)(end.tv_sec - begun.tv_sec) + (double)(end.tv_nsec - begun.tv_nsec) / 1e9);
	if (story->p95 > 0 && count >= 100 &&
		at_percent(measured, count, 95) > (double)story->p95 / WORLD_S) {
		printf("FAILED: simulation_test_stories -t %s -s %llu -k %zu\n  more than %.0f s at "
		       "p95\n",
			story->name, (unsigned long long)first, count,
			(double)story->p95 / WORLD_S);
		failed++;
	}
	fflush(stdout);
	free(measured);
	return failed;
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	uint64_t first = 1;
	size_t count = 1000, failed = 0, told = 0;
	int option;

	while ((option = getopt(argc, argv, "t:s:k:n:m:v")) != -1) {
		switch (option) {
		case 't':
			only = optarg;
			break;
		case 's':
			first = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			count = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			wanted_nodes = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			churn_minutes = strtod(optarg, NULL);
			break;
		case 'v':
			trace++;
			break;
		default:
			return 2;
		}
	}
	memory_set(&counting);
	for (size_t i = 0; i < STORIES; i++) {
		if (only && strcmp(stories[i].name, only) != 0)
			continue;
		told++;
		failed += count > 0 ? tell(&stories[i], first, count) : 0;
	}
	if (told == 0)
		fprintf(stderr, "there is no such story\n");
	return failed > 0 || told == 0;
}
