/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the gossip core costs, against iroh-gossip's own simulator in its own scenarios
 * (n0-computer/iroh-gossip v0.98.0 src/proto/sim.rs, src/bin/sim.rs, simulations/all.toml), done
 * as there: all join through one node at the same time, a second passes (20 of the longest trips),
 * then comes one round after the other, each of which ends with its last delivery or after 5 s.
 * What is on its way at the end of a round counts in the next one.
 *
 *   RMR     Gossip frames that have arrived / (deliveries - 1) - 1
 *   LDH     the largest round of a frame that was delivered
 *   time    until everybody has everything, ms
 *   missed  deliveries that have not come
 *
 * Upstream's figure for several seeds, which it calls their mean, is the least of their means
 * (RoundStatsAvg::avg); with four seeds that is luck. Both are printed, and the mean over SEEDS
 * seeds is judged, against upstream's over as many.
 *
 *   -k SEEDS   how many (all scenarios have as many of their own as upstream's were run with)
 *   -s SCENARIO-NODES   only that one, like single-1000; 10000 nodes have no other way
 *   -l         a line for each seed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support_network.h"

#define LEAST_LATENCY (10 * NETWORK_MS)
#define MOST_LATENCY  (50 * NETWORK_MS)
#define BOOTSTRAP     (20 * MOST_LATENCY)
#define ROUND_TIMEOUT (5000 * NETWORK_MS)

enum sender { SINGLE, CHANGING, ALL, SENDERS };

static const char *const sender_names[SENDERS] = {"single", "changing", "all"};

enum figure { RMR, LDH, TIME, MISSED, FIGURES };

static const struct scenario {
	enum sender sender;
	unsigned nodes, rounds;
} scenarios[] = {
	{SINGLE, 20, 30},
	{SINGLE, 100, 30},
	{SINGLE, 1000, 30},
	{CHANGING, 20, 30},
	{CHANGING, 100, 30},
	{CHANGING, 1000, 30},
	{ALL, 20, 30},
	{ALL, 100, 5},
	{SINGLE, 10000, 30},
	{CHANGING, 10000, 30},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* Those of upstream, and then as many more as are wanted. */
static const uint64_t upstream_seeds[] = {0, 1, UINT64_C(212312388123), 123};
#define UPSTREAM_SEEDS (sizeof upstream_seeds / sizeof upstream_seeds[0])

static struct network network;

/* Everybody delivers all of these; returns how many deliveries that is. */
static uint64_t publish_round(const struct scenario *scenario, size_t sender, unsigned *number)
{
	size_t count = scenario->sender == ALL ? scenario->nodes : 1;

	for (size_t i = 0; i < count; i++)
		network_publish(&network, scenario->sender == ALL ? i : sender, (*number)++);
	return count * (scenario->nodes - 1);
}

static void play_round(
	const struct scenario *scenario, size_t sender, unsigned *number, double *sums)
{
	uint64_t payloads = network.payloads, begun = network.now, deliveries = network.deliveries;
	uint64_t expected;

	network.last_hop = 0;
	expected = publish_round(scenario, sender, number);
	network_run_until(&network, deliveries + expected, ROUND_TIMEOUT);
	deliveries = network.deliveries - deliveries;
	payloads = network.payloads - payloads;
	sums[RMR] += (double)payloads / ((double)deliveries - 1) - 1;
	sums[LDH] += network.last_hop;
	sums[TIME] += (double)(network.now - begun) / NETWORK_MS;
	sums[MISSED] += (double)(expected - deliveries);
}

/* Means over the rounds. */
static void play(const struct scenario *scenario, uint64_t seed, double *means)
{
	size_t sender;
	unsigned number = 0;

	network_start(&network, scenario->nodes, seed);
	network.latency = LEAST_LATENCY;
	network.latency_spread = MOST_LATENCY - LEAST_LATENCY;
	network.pairs = random_u64(&network.random);
	for (size_t i = 1; i < scenario->nodes; i++)
		network_ask(&network, i, 0);
	network_run(&network, BOOTSTRAP);
	sender = random_below(&network.random, scenario->nodes);
	for (unsigned i = 0; i < scenario->rounds; i++) {
		if (scenario->sender == CHANGING)
			sender = random_below(&network.random, scenario->nodes);
		play_round(scenario, sender, &number, means);
	}
	for (int i = 0; i < FIGURES; i++)
		means[i] /= scenario->rounds;
	network_stop(&network);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	unsigned seeds = 4;
	bool lines = false;
	int option;

	while ((option = getopt(argc, argv, "k:s:l")) != -1) {
		if (option == 'k')
			seeds = (unsigned)atoi(optarg);
		else if (option == 's')
			only = optarg;
		else if (option == 'l')
			lines = true;
		else
			return 2;
	}
	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *scenario = &scenarios[i];
		double sums[FIGURES] = {0}, least[FIGURES];
		char name[32];

		snprintf(name, sizeof name, "%s-%u", sender_names[scenario->sender], scenario->nodes);
		if (only ? strcmp(only, name) != 0 : scenario->nodes > 1000)
			continue;
		for (unsigned k = 0; k < seeds; k++) {
			uint64_t seed = k < UPSTREAM_SEEDS ? upstream_seeds[k] : k;
			double means[FIGURES] = {0};

			play(scenario, seed, means);
			for (int f = 0; f < FIGURES; f++) {
				sums[f] += means[f];
				if (k == 0 || means[f] < least[f])
					least[f] = means[f];
			}
			if (lines)
				printf("%s seed %llu: %.3f %.2f %.0f %.2f\n", name,
					(unsigned long long)seed, means[0], means[1], means[2],
					means[3]);
		}
		printf("%s: RMR %.3f (%.3f) LDH %.2f (%.2f) time %.0f (%.0f) missed %.3f\n", name,
			sums[RMR] / seeds, least[RMR], sums[LDH] / seeds, least[LDH],
			sums[TIME] / seeds, least[TIME], sums[MISSED] / seeds);
		fflush(stdout);
	}
	return 0;
}
