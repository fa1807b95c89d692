/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Overlays at rest: real nodes, in one process and over loopback, that share an overlay of
 * which nobody wants anything. Half a minute after all have come together nobody may lose a
 * neighbour any more or look for one, and nothing may cost processor time; then a message of each
 * node must reach all others, once.
 *
 *   rest [SECONDS]                 the whole table, the cases of one topology at once, a process for
 *                                  each
 *   rest TOPOLOGY NODES SECONDS    one case; TOPOLOGY is one of
 *      mesh        each node has all others as peers
 *      hub         each has the first one as a peer
 *      discovered  each has the first one as a bootstrap node
 *
 * SECONDS are those of the window in which they are watched (30). Prints a line of figures for
 * each case, below it what was too much, at the end how many cases passed. Exit status: 0 when all
 * did, 1 when one did not, 2 when they could not be run. The columns:
 *
 *   overlay  topology and nodes
 *   whole    s until everybody had a neighbour
 *   view     least and most neighbours of a node at the end
 *   gone     neighbours that went in the window, of all nodes; none may
 *   new      neighbours that came
 *   asks     nodes asked to be the first neighbour, to join two parts, or whom they know, per node
 *            and minute; at most one
 *   most     those that one node has asked
 *   merges   how many of them, of all nodes, were asked to join two parts
 *   probes   and how many whom they know
 *   dials    connections tried for gossip, of all nodes
 *   found    discovery sessions that went well, counted at both ends
 *   links    connections that a node has at the end
 *   CPU      percent of a processor that a node takes; at most 0.1 (more on a slow machine, see
 *            slowness.h)
 *   sleeps   how often a node's thread goes to sleep in a second
 *   1st 2nd  ms until one message of each node was everywhere, and another one
 *   busy     percent of all processors that the machine was busy meanwhile
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bridge/node.h"
#include "slowness.h"

#define S  UINT64_C(1000000000)
#define MS (S / 1000)

/* The bounds. So long it may take until everybody has a neighbour (a machine that starts all the
 * table is slow at first), and until the overlay is at rest after that. */
#define WHOLE	 (30 * S)
#define SETTLED	 (30 * S)
#define MOST_CPU 0.1 /* percent of a processor, for each node */
/* How long all messages of a round may take to be everywhere. */
#define CARRIED (10 * S)

/* The first round may mend the trees on which the second one travels. */
#define ROUNDS 2

#define WINDOW_SECONDS 30
#define FIRST_PORT     3000
#define NODES_MOST     1000

enum topology { MESH, HUB, DISCOVERED, TOPOLOGIES };

static const char *const topologies[TOPOLOGIES] = {"mesh", "hub", "discovered"};
static const unsigned sizes[] = {7, 8, 15, 25, 40};

#define SIZES (sizeof sizes / sizeof sizes[0])

struct member {
	struct identity identity;
	struct address bind;
	struct node *node;
	bool woken; /* has events; guarded by the lock */
	bool joined;
	uint64_t ups, downs;
	/* One for each node: how often its message of the round has come. */
	unsigned *heard[ROUNDS];
	char complaint[160]; /* its last line for the log that was a warning or an error */
};

/* What is watched, all nodes together, as it was at one moment. */
struct reading {
	uint64_t time, cpu_ns;
	uint64_t ups, downs, asks, merges, probes, dials, sessions;
	uint64_t switches; /* how often a thread went to sleep */
	uint64_t machine_busy, machine_all; /* ticks of all processors */
	uint64_t *asks_of; /* each node's */
};

static const struct id topic = {{0x52}};
static struct member *members;
static size_t count; /* of members */
static uint64_t messages_due, messages_come, messages_wrong;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell;

static _Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("rest: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

static void *zalloc(size_t items, size_t size)
{
	void *memory = calloc(items, size);

	if (!memory)
		die("no memory");
	return memory;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

/* ---- the nodes and their events ---- */

/* Called on the thread of a node. */
static void on_wake(void *context)
{
	struct member *member = context;

	pthread_mutex_lock(&lock);
	member->woken = true;
	pthread_cond_signal(&bell);
	pthread_mutex_unlock(&lock);
}

static void note_message(struct member *member, const struct message *message)
{
	unsigned round, sender;
	char text[32] = "";

	if (message->size < sizeof text)
		memcpy(text, message->content, message->size);
	if (sscanf(text, "round %u of %u", &round, &sender) != 2 || round >= ROUNDS ||
		sender >= count) {
		messages_wrong++;
		return;
	}
	if (member->heard[round][sender]++ == 0)
		messages_come++;
}

static void take_events(struct member *member)
{
	struct node_event event;

	while (node_event(member->node, &event)) {
		if (event.type == NODE_JOINED)
			member->joined = true;
		else if (event.type == NODE_NEIGHBOUR_UP)
			member->ups++;
		else if (event.type == NODE_NEIGHBOUR_DOWN)
			member->downs++;
		else if (event.type == NODE_MESSAGE)
			note_message(member, event.message);
		else if (event.type == NODE_LOG && event.level >= NODE_LOG_WARNING)
			snprintf(member->complaint, sizeof member->complaint, "%s", event.text);
		node_event_clear(&event);
	}
}

/* Sleeps until a node has events, or until then; takes the events. */
static void turn(uint64_t until)
{
	struct timespec limit = {(time_t)(until / S), (long)(until % S)};
	bool woken = false;

	pthread_mutex_lock(&lock);
	for (;;) {
		for (size_t i = 0; i < count; i++)
			woken |= members[i].woken;
		if (woken || pthread_cond_timedwait(&bell, &lock, &limit))
			break;
	}
	for (size_t i = 0; i < count; i++) {
		if (!members[i].woken)
			continue;
		members[i].woken = false;
		pthread_mutex_unlock(&lock);
		take_events(&members[i]);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}

static void watch_until(uint64_t until)
{
	while (now_ns() < until)
		turn(until);
}

static bool everybody_joined(void)
{
	for (size_t i = 0; i < count; i++)
		if (!members[i].joined)
			return false;
	return true;
}

static bool everything_came(void)
{
	return messages_come >= messages_due;
}

/* Takes events until that is so; false when it is not in time. */
static bool watch_for(bool (*condition)(void), uint64_t until)
{
	while (!condition()) {
		if (now_ns() >= until)
			return false;
		turn(until);
	}
	return true;
}

/* An address of loopback that is this process's own, so that nobody else takes its ports. */
static struct address own_address(size_t index)
{
	unsigned pid = (unsigned)getpid();
	struct address address = {.family = 4, .port = (uint16_t)(FIRST_PORT + index)};

	address.ip[0] = 127;
	address.ip[1] = 64 | (pid >> 16 & 63);
	address.ip[2] = pid >> 8 & 255;
	address.ip[3] = pid & 255;
	return address;
}

static void set_peer(struct node_peer *peer, const struct member *member)
{
	const uint8_t *ip = member->bind.ip;

	peer->id = member->identity.id;
	peer->hosts_count = 1;
	peer->hosts[0].port = member->bind.port;
	snprintf(peer->hosts[0].host, NODE_HOST_SIZE, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

static void make_members(size_t nodes)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {1};

	count = nodes;
	members = zalloc(count, sizeof *members);
	for (size_t i = 0; i < count; i++) {
		secret[1] = i & 255;
		secret[2] = (uint8_t)(i >> 8);
		if (identity_from_secret(secret, &members[i].identity))
			die("no key");
		members[i].bind = own_address(i);
		for (size_t round = 0; round < ROUNDS; round++)
			members[i].heard[round] = zalloc(count, sizeof *members[i].heard[round]);
	}
}

static void start_member(struct member *member, struct node_config *config)
{
	char reason[NODE_REASON_SIZE];

	config->identity = &member->identity;
	config->binds = &member->bind;
	config->context = member;
	if (node_start(config, &member->node, reason))
		die("%s", reason);
	if (node_join(member->node, &topic))
		die("no memory");
	node_flush(member->node);
}

static void start_members(enum topology topology)
{
	/* Twice all of them: behind each one are the others. */
	struct node_peer *peers = zalloc(2 * count, sizeof *peers);
	struct node_config config = {
		.network = identity_default_network,
		.binds_count = 1,
		.binds_all = true,
		.max_overlays = LIMIT_OVERLAYS,
		.queue_limit = LIMIT_WAITING,
		.queue_age_ns = LIMIT_WAITING_AGE_S * S,
		.cache_bytes = LIMIT_CACHE_BYTES,
		.wake = on_wake,
	};

	for (size_t i = 0; i < 2 * count; i++)
		set_peer(&peers[i], &members[i % count]);
	for (size_t i = 0; i < count; i++) {
		if (topology == MESH) {
			config.peers = &peers[i + 1];
			config.peers_count = count - 1;
		} else if (topology == HUB) {
			config.peers = peers;
			config.peers_count = i > 0;
		} else {
			config.bootstraps = peers;
			config.bootstraps_count = i > 0;
		}
		start_member(&members[i], &config);
	}
	free(peers);
}

/* ---- the figures ---- */

static uint64_t counted(const struct member *member, enum counter counter)
{
	return counters_get(node_counters(member->node), counter);
}

/* How busy all processors were since the machine's start; left as it is where the kernel does
 * not say so. */
static void read_machine(struct reading *out)
{
	FILE *file = fopen("/proc/stat", "r");
	uint64_t ticks[8];

	if (!file)
		return;
	if (fscanf(file,
		    "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		    " %" SCNu64 " %" SCNu64,
		    &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
		    &ticks[7]) == 8) {
		for (size_t i = 0; i < 8; i++)
			out->machine_all += ticks[i];
		out->machine_busy = out->machine_all - ticks[3] - ticks[4]; /* idle, iowait */
	}
	fclose(file);
}

static uint64_t time_ns(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * S + (uint64_t)time->tv_usec * 1000;
}

/* Reads all that is watched. */
static struct reading read_all(void)
{
	struct reading now = {.time = now_ns(), .asks_of = zalloc(count, sizeof *now.asks_of)};
	struct rusage usage;

	read_machine(&now);
	getrusage(RUSAGE_SELF, &usage);
	now.cpu_ns = time_ns(&usage.ru_utime) + time_ns(&usage.ru_stime);
	now.switches = (uint64_t)usage.ru_nvcsw;
	for (size_t i = 0; i < count; i++) {
		const struct member *member = &members[i];

		now.asks_of[i] = counted(member, COUNTER_JOINS) +
				 counted(member, COUNTER_MERGES) + counted(member, COUNTER_PROBES);
		now.asks += now.asks_of[i];
		now.merges += counted(member, COUNTER_MERGES);
		now.probes += counted(member, COUNTER_PROBES);
		now.dials += counted(member, COUNTER_DIALS);
		now.sessions += counted(member, COUNTER_DISCOVERED);
		now.ups += member->ups;
		now.downs += member->downs;
	}
	return now;
}

static uint64_t most_asks(const struct reading *before, const struct reading *after)
{
	uint64_t most = 0;

	for (size_t i = 0; i < count; i++)
		if (after->asks_of[i] - before->asks_of[i] > most)
			most = after->asks_of[i] - before->asks_of[i];
	return most;
}

/* Each node publishes one message of the round; returns how many ns it took until all were
 * everywhere, or 0 when they were not in time. */
static uint64_t carry_round(unsigned round)
{
	uint64_t begun = now_ns();
	char text[32];

	messages_due += count * (count - 1);
	for (size_t i = 0; i < count; i++) {
		snprintf(text, sizeof text, "round %u of %zu", round, i);
		if (node_publish(members[i].node, &topic, text, strlen(text)))
			die("a node does not take a message");
		node_flush(members[i].node);
	}
	return watch_for(everything_came, begun + CARRIED) ? now_ns() - begun : 0;
}

/* Messages that came more often than once, or to their sender. */
static uint64_t repetitions(void)
{
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t round = 0; round < ROUNDS; round++)
			for (size_t sender = 0; sender < count; sender++)
				if (members[i].heard[round][sender] > (sender != i))
					found += members[i].heard[round][sender] - (sender != i);
	return found;
}

/* ---- one case ---- */

static bool passed = true;

static void too_much(const char *format, ...)
{
	va_list arguments;

	passed = false;
	va_start(arguments, format);
	fputs("    FAILED: ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
}

/* The columns of print_case(). */
static void print_head(void)
{
	puts("overlay         whole   view    gone     new    asks  most  merges  probes  dials  found  links"
	     "    CPU  sleeps     1st     2nd  busy");
}

static void print_case(enum topology topology, uint64_t whole, const struct reading *before,
	const struct reading *after, const uint64_t carried[ROUNDS])
{
	double seconds = (double)(after->time - before->time) / (double)S;
	double minutes = seconds / 60 * (double)count;
	uint64_t ticks = after->machine_all - before->machine_all;
	size_t least = SIZE_MAX, most = 0, connections = 0;

	for (size_t i = 0; i < count; i++) {
		size_t neighbours = node_neighbours(members[i].node);

		connections += node_connections(members[i].node);
		least = neighbours < least ? neighbours : least;
		most = neighbours > most ? neighbours : most;
	}
	printf("%-10s %3zu %6.2f %3zu-%-2zu %7" PRIu64 " %7" PRIu64 " %7.2f %5" PRIu64 " %7" PRIu64
	       " %7" PRIu64 " %6" PRIu64 " %6" PRIu64 " %6.1f %6.3f %7.1f %7.1f %7.1f %5.0f\n",
		topologies[topology], count, (double)whole / (double)S, least, most,
		after->downs - before->downs, after->ups - before->ups,
		(double)(after->asks - before->asks) / minutes, most_asks(before, after),
		after->merges - before->merges, after->probes - before->probes,
		after->dials - before->dials, after->sessions - before->sessions,
		(double)connections / (double)count,
		(double)(after->cpu_ns - before->cpu_ns) / (double)S / seconds / (double)count *
			100,
		(double)(after->switches - before->switches) / seconds / (double)count,
		(double)carried[0] / (double)MS, (double)carried[1] / (double)MS,
		ticks ? (double)(after->machine_busy - before->machine_busy) / (double)ticks * 100
		      : 0);
}

static void judge(const struct reading *before, const struct reading *after,
	const uint64_t carried[ROUNDS])
{
	double seconds = (double)(after->time - before->time) / (double)S;
	uint64_t downs = after->downs - before->downs, asks = after->asks - before->asks;
	double per_minute = (double)asks / (seconds / 60 * (double)count);
	double cpu = (double)(after->cpu_ns - before->cpu_ns) / (double)S / seconds /
		     (double)count * 100;
	double most_cpu = MOST_CPU * slowness();

	if (downs > 0)
		too_much("%" PRIu64 " neighbours went; none may", downs);
	if (per_minute > 1)
		too_much("%.2f asks per node and minute; at most 1", per_minute);
	/* A node's one ask of this minute, and in a longer window that of the next one. */
	if ((double)most_asks(before, after) > seconds / 60 + 1)
		too_much("one node asked %" PRIu64 " times", most_asks(before, after));
	if (cpu > most_cpu)
		too_much("%.3f %% of a processor per node; at most %.2f", cpu, most_cpu);
	for (size_t round = 0; round < ROUNDS; round++)
		if (carried[round] == 0)
			too_much("round %zu of messages was not everywhere in time", round + 1);
	if (messages_come < messages_due)
		too_much("%" PRIu64 " of %" PRIu64 " deliveries never came",
			messages_due - messages_come, messages_due);
	if (repetitions() > 0)
		too_much("%" PRIu64 " deliveries came once more", repetitions());
	if (messages_wrong > 0)
		too_much("%" PRIu64 " messages that nobody has sent", messages_wrong);
}

/* The first few say enough. */
static void print_complaints(void)
{
	size_t left = 3;

	for (size_t i = 0; i < count && left > 0; i++)
		if (members[i].complaint[0]) {
			printf("    node %zu said: %s\n", i, members[i].complaint);
			left--;
		}
}

/* Returns the exit status. The nodes end with the process. */
static int run_case(enum topology topology, size_t nodes, unsigned seconds)
{
	pthread_condattr_t attributes;
	uint64_t begun = now_ns(), whole, carried[ROUNDS];
	struct reading before, after;
	bool in_time;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&bell, &attributes);
	make_members(nodes);
	start_members(topology);
	in_time = watch_for(everybody_joined, begun + WHOLE);
	whole = now_ns() - begun;
	watch_until(begun + whole + SETTLED);
	before = read_all();
	watch_until(before.time + seconds * S);
	after = read_all();
	for (unsigned round = 0; round < ROUNDS; round++)
		carried[round] = carry_round(round);
	print_case(topology, whole, &before, &after, carried);
	if (!in_time)
		too_much("not everybody has had a neighbour");
	judge(&before, &after, carried);
	if (!passed)
		print_complaints();
	fflush(stdout);
	_exit(!passed);
}

/* ---- the table ---- */

struct running {
	pid_t pid;
	FILE *output;
};

static struct running start_case(enum topology topology, size_t nodes, unsigned seconds)
{
	struct running running;
	int ends[2];

	fflush(stdout);
	if (pipe(ends))
		die("no pipe");
	running.pid = fork();
	if (running.pid < 0)
		die("no process");
	if (running.pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		run_case(topology, nodes, seconds);
	}
	close(ends[1]);
	running.output = fdopen(ends[0], "r");
	if (!running.output)
		die("no memory");
	return running;
}

/* Prints what the case says; returns whether it passed. */
static bool end_case(struct running *running)
{
	char line[512];
	int status;

	while (fgets(line, sizeof line, running->output))
		fputs(line, stdout);
	fclose(running->output);
	if (waitpid(running->pid, &status, 0) < 0)
		die("a process was lost");
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		printf("    FAILED: a case ended with status %#x\n", (unsigned)status);
	return status == 0;
}

/* One topology after the other: all of them at once are 285 nodes that come together, which a slow
 * machine takes so long for that connections end meanwhile. */
static int run_table(unsigned seconds)
{
	struct running running[SIZES];
	unsigned good = 0;

	printf("%u seconds of idle overlays, %zu at once:\n", seconds, SIZES);
	print_head();
	for (size_t topology = 0; topology < TOPOLOGIES; topology++) {
		for (size_t size = 0; size < SIZES; size++)
			running[size] = start_case((enum topology)topology, sizes[size], seconds);
		for (size_t size = 0; size < SIZES; size++)
			good += end_case(&running[size]);
	}
	printf("%u passed, %zu failed\n", good, TOPOLOGIES * SIZES - good);
	return good < TOPOLOGIES * SIZES;
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < least || value > most)
		die("'%s' is not a number from %u to %u", text, least, most);
	return (unsigned)value;
}

static enum topology topology_of(const char *text)
{
	for (size_t i = 0; i < TOPOLOGIES; i++)
		if (strcmp(text, topologies[i]) == 0)
			return (enum topology)i;
	die("'%s' is no topology: mesh, hub, discovered", text);
}

int main(int argc, char **argv)
{
	if (argc <= 2)
		return run_table(argc == 2 ? number(argv[1], 1, 86400) : WINDOW_SECONDS);
	if (argc != 4)
		die("usage: rest [SECONDS] or rest TOPOLOGY NODES SECONDS");
	print_head();
	return run_case(topology_of(argv[1]), number(argv[2], 2, NODES_MOST),
		number(argv[3], 1, 86400));
}
