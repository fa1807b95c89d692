/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How long the node's thread works at a stretch when everything is as large as it may be: 1,000
 * overlays, 10,000 known nodes, a million remembered ids. The real library over loopback; the other
 * side (a peer with the same overlays, and 20 nodes that share none of them, all of whom have much
 * to tell) has a process of its own, which is killed in the end. Before that, starvation: 1,000
 * overlays with 16 trusted nodes that have none of them, and one more that has the last.
 *
 *   scale [MS]     MS: what one turn of the thread may take (5, and more on a slow machine, see
 *                  slowness.h); 0: nothing is judged
 *
 * Prints the longest turn of each phase (node_longest_turn_ns) for both sides. The story is told
 * three times, by nodes that know nothing of one another, and the least of the three counts: what is
 * long by itself is so each time, but a virtual machine's processor may be taken away for tens of
 * milliseconds, which look like work. Exit status: 0; 1 when a turn or starvation took too long;
 * 2 when something did not come about at all. For a build without sanitizers.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bridge/memory.h"
#include "bridge/node.h"
#include "bridge/peers/book.h"
#include "bridge/io/store.h"
#include "slowness.h"

#define MS	 UINT64_C(1000000)
#define S	 (1000 * MS)
#define PATIENCE (60 * S)
/* Published and not yet arrived: below what one neighbour's queue holds. */
#define UNDER_WAY 8192
#define TELLERS	  (LIMIT_NODES / LIMIT_INFOS_VERIFIED)
/* New ones among those that are told: there is a limit to how many are looked at per second. */
#define LEARNT 2000
#define STRANGERS 16
/* In which it must have a neighbour all the same. */
#define STARVING (5 * S)
#define STORIES	 3
/* Ids are forgotten after it. */
#define REMEMBERED (90 * S)

enum phase { STARVE, JOIN, LEARN, MILLION, LEAVE, RUN_OUT, KILLED, LEAVE_ALL, PHASES };
enum whose { NODE, PEER, SIDES };

static const char *const phases[PHASES] = {
	[STARVE] = "starvation",
	[JOIN] = "joining 1,000 overlays",
	[LEARN] = "learning 2,000 nodes besides 10,000",
	[MILLION] = "a million messages in one overlay",
	[LEAVE] = "leaving it",
	[RUN_OUT] = "93 s later: shuffles, ids run out",
	[KILLED] = "the neighbour in 1,000 overlays is killed",
	[LEAVE_ALL] = "leaving 1,000 overlays",
};

/* What all processes share. */
static struct {
	uint64_t longest[STORIES][PHASES][SIDES];
	uint64_t starved[STORIES]; /* ns until the last overlay had a neighbour */
} *results;

/* What the two sides of a story share. */
static struct {
	_Atomic bool ready;
	_Atomic uint64_t peer_neighbours, peer_received, peer_longest;
	struct node_peer peer, tellers[TELLERS];
	struct node_peer strangers[STRANGERS + 1]; /* the last one has the last overlay */
} *stage;

static unsigned story;

static void fail(const char *what)
{
	printf("scale: story %u: FAILED: %s\n", story + 1, what);
	_exit(2);
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("no memory");
	return memory;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

static struct id topic_id(unsigned number)
{
	struct id id = {{0x70}};

	memcpy(id.bytes + 1, &number, sizeof number);
	return id;
}

/* ---- a node and its owner ---- */

struct player {
	struct identity identity;
	struct node_config config;
	struct node_peer peers[STRANGERS + 1];
	struct address bind;
	struct node *node;
	size_t left;
	uint64_t messages, dropped;
	struct id watched; /* an overlay, and whether it has had a neighbour */
	bool watched_is_joined;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static unsigned rings;

static void on_wake(void *context)
{
	pthread_mutex_lock(&lock);
	rings++;
	pthread_cond_signal(&bell);
	pthread_mutex_unlock(&lock);
}

/* Until an event of a node, 10 ms at most for what is told by none. */
static void rest(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 10 * (long)MS;
	until.tv_sec += until.tv_nsec / (long)S;
	until.tv_nsec %= (long)S;
	pthread_mutex_lock(&lock);
	if (rings == 0)
		pthread_cond_timedwait(&bell, &lock, &until);
	rings = 0;
	pthread_mutex_unlock(&lock);
}

static void player_make(struct player *player, uint8_t number)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];

	memset(player, 0, sizeof *player);
	memset(secret, number, sizeof secret);
	if (identity_from_secret(secret, &player->identity))
		fail("no identity");
	player->bind = (struct address){.family = 4, .ip = {127, 0, 0, 1}};
	player->config = (struct node_config){
		.identity = &player->identity,
		.network = identity_default_network,
		.binds = &player->bind,
		.binds_count = 1,
		.binds_all = true,
		.peers = player->peers,
		.max_overlays = LIMIT_OVERLAYS,
		.queue_limit = LIMIT_WAITING,
		.queue_age_ns = LIMIT_WAITING_AGE_S * S,
		.cache_bytes = LIMIT_CACHE_BYTES,
		.wake = on_wake,
	};
}

static void player_start(struct player *player)
{
	char reason[NODE_REASON_SIZE];

	if (node_start(&player->config, &player->node, reason))
		fail(reason);
	node_longest_turn_ns(player->node);
}

static void player_place(const struct player *player, struct node_peer *out)
{
	size_t count;
	const struct address *address = node_addresses(player->node, &count);

	out->id = player->identity.id;
	out->hosts_count = 1;
	strcpy(out->hosts[0].host, "127.0.0.1");
	out->hosts[0].port = address->port;
}

static void player_drain(struct player *player)
{
	struct node_event event;

	while (node_event(player->node, &event)) {
		player->left += event.type == NODE_LEFT;
		player->messages += event.type == NODE_MESSAGE;
		if (event.type == NODE_DROPPED)
			player->dropped += event.count;
		if (event.type == NODE_JOINED && id_equal(&event.topic, &player->watched))
			player->watched_is_joined = true;
		node_event_clear(&event);
	}
	node_flush(player->node);
}

static void player_join(struct player *player, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct id topic = topic_id(first + i);

		if (node_join(player->node, &topic))
			fail("no memory");
	}
	node_flush(player->node);
}

/* With all that it has counted. */
static void fail_with(struct player *player, const char *what)
{
	for (enum counter counter = 0; counter < COUNTERS; counter++)
		if (counters_get(node_counters(player->node), counter) > 0)
			printf("scale: %s %llu\n", counter_topic(counter),
				(unsigned long long)counters_get(
					node_counters(player->node), counter));
	fail(what);
}

#define eventually(player, condition) \
	do { \
		uint64_t give_up = now_ns() + PATIENCE; \
\
		for (player_drain(player); !(condition); player_drain(player)) { \
			if (now_ns() > give_up) \
				fail_with(player, "never: " #condition); \
			rest(); \
		} \
	} while (0)

/* ---- the other side ---- */

/* Puts the nodes first, first + 1... into a new folder of state. Nobody is there: a port that
 * refuses. */
static void write_book(const struct identity *owner, const char *folder, uint32_t first, uint32_t n)
{
	static const struct address address = {.family = 4, .ip = {127, 0, 0, 1}, .port = 9};
	static uint8_t row[BOOK_ROW_SIZE];
	struct random random = random_system();
	struct counters counters = {0};
	char reason[STORE_REASON_SIZE];
	struct book *book;
	struct store *store;
	uv_loop_t loop;
	struct id id;
	size_t size;
	bool anew;

	uv_loop_init(&loop);
	if (book_new(&owner->id, &random, &counters, LIMIT_NODES, &book) ||
		store_open(folder, &loop, NULL, NULL, &store, &anew, reason) || reason[0])
		fail("no book");
	for (uint32_t i = first; i < first + n; i++) {
		uint8_t secret[IDENTITY_SECRET_SIZE] = {0xff};
		struct identity identity;
		struct info_time time = {.us = 1};
		struct info *info;
		bool fresh;

		memcpy(secret + 1, &i, sizeof i);
		if (identity_from_secret(secret, &identity) ||
			info_sign(&identity, time, ORDER_ADDRESSES_FIRST, NULL, &address, 1, &info) ||
			book_insert_info(book, 1, 1, &identity.id, &identity.id, ADDRESS_LOOPBACK,
				info, &fresh))
			fail("no info");
		identity_clear(&identity);
	}
	while (book_row(book, &id, row, &size)) {
		while (!store_has_room(store))
			uv_run(&loop, UV_RUN_ONCE);
		if (store_put_node(store, &id, row, size))
			fail("no row");
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	store_free(store);
	uv_loop_close(&loop);
	book_free(book);
}

/* Starts it with these nodes in its book. */
static void start_with_book(struct player *player, uint32_t first, uint32_t n)
{
	char folder[] = "/tmp/p2panda-scale-XXXXXX", command[64];

	if (!mkdtemp(folder))
		fail("no folder");
	write_book(&player->identity, folder, first, n);
	player->config.state_dir = folder;
	player_start(player);
	player->config.state_dir = NULL;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command) != 0) /* the open file is enough */
		fail("the folder stays");
}

static void be_the_others(void)
{
	static struct player peer, tellers[TELLERS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	player_make(&peer, 1);
	start_with_book(&peer, 0, LIMIT_NODES);
	player_place(&peer, &stage->peer);
	for (size_t i = 0; i < TELLERS; i++) {
		player_make(&tellers[i], (uint8_t)(10 + i));
		start_with_book(&tellers[i], i * LIMIT_INFOS_VERIFIED, LIMIT_INFOS_VERIFIED);
		player_place(&tellers[i], &stage->tellers[i]);
	}
	player_join(&peer, 0, LIMIT_OVERLAYS);
	eventually(&peer, node_overlays(peer.node) == LIMIT_OVERLAYS);
	stage->ready = true;
	for (;;) {
		uint64_t longest = node_longest_turn_ns(peer.node);

		if (longest > stage->peer_longest)
			stage->peer_longest = longest;
		player_drain(&peer);
		for (size_t i = 0; i < TELLERS; i++)
			player_drain(&tellers[i]);
		stage->peer_neighbours = node_neighbours(peer.node);
		stage->peer_received = peer.messages;
		rest();
	}
}

static void be_the_strangers(void)
{
	static struct player strangers[STRANGERS + 1];
	struct player *last = &strangers[STRANGERS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i <= STRANGERS; i++) {
		player_make(&strangers[i], (uint8_t)(100 + i));
		player_start(&strangers[i]);
		player_place(&strangers[i], &stage->strangers[i]);
	}
	player_join(last, LIMIT_OVERLAYS - 1, 1);
	eventually(last, node_overlays(last->node) == 1);
	stage->ready = true;
	for (;; rest())
		for (size_t i = 0; i <= STRANGERS; i++)
			player_drain(&strangers[i]);
}

/* ---- the phases ---- */

/* Until all turns of before are over and measured: what is not carried is told at a turn's end. */
static void settle(struct player *player)
{
	struct id nowhere = {{0}};

	for (int turns = 0; turns < 2; turns++) {
		uint64_t before = player->dropped;

		if (node_publish(player->node, &nowhere, "", 0))
			fail("no memory");
		eventually(player, player->dropped > before);
	}
}

static void phase_over(struct player *player, enum phase phase)
{
	settle(player);
	results->longest[story][phase][NODE] = node_longest_turn_ns(player->node);
	results->longest[story][phase][PEER] = atomic_exchange(&stage->peer_longest, 0);
}

static void print_since(uint64_t begun, const char *what)
{
	printf("scale: story %u: %s after %.1f s\n", story + 1, what,
		(double)(now_ns() - begun) / S);
}

static uint64_t counted(struct player *player, enum counter counter)
{
	return counters_get(node_counters(player->node), counter);
}

static void publish_a_million(struct player *player)
{
	struct id topic = topic_id(0);

	for (uint64_t number = 0; number < LIMIT_RECEIVED_IDS;) {
		int error = ERROR_FULL;

		if (number < stage->peer_received + UNDER_WAY)
			error = node_publish(player->node, &topic, &number, sizeof number);
		if (!error) {
			number++;
			continue;
		}
		if (error != ERROR_FULL)
			fail("publishing");
		player_drain(player);
		rest();
	}
	eventually(player, stage->peer_received == LIMIT_RECEIVED_IDS);
}

/* The other side, in a process that ends with this one, which has no thread yet. */
static pid_t begin(void (*be)(void))
{
	pid_t pid = fork();

	if (pid == 0)
		be();
	while (pid > 0 && !stage->ready && waitpid(pid, NULL, WNOHANG) == 0)
		rest();
	if (!stage->ready)
		fail("no other side");
	return pid;
}

static void tell(void)
{
	static struct player player;
	struct id topic = topic_id(0);
	uint64_t begun, published;
	pid_t others;

	stage = shared(sizeof *stage);
	others = begin(be_the_others);

	player_make(&player, 2);
	player.peers[0] = stage->peer;
	player.config.peers_count = 1;
	player.config.bootstraps = stage->tellers;
	player.config.bootstraps_count = TELLERS;
	/* Others than those of which it is told. */
	start_with_book(&player, LIMIT_NODES, LIMIT_NODES);
	begun = now_ns();
	player_join(&player, 0, LIMIT_OVERLAYS);
	eventually(&player, node_neighbours(player.node) == LIMIT_OVERLAYS);
	eventually(&player, stage->peer_neighbours == LIMIT_OVERLAYS);
	print_since(begun, "neighbours in 1,000 overlays");
	phase_over(&player, JOIN);

	eventually(&player, counted(&player, COUNTER_INFOS) >= LEARNT);
	print_since(begun, "2,000 infos");
	phase_over(&player, LEARN);

	begun = now_ns();
	publish_a_million(&player);
	published = now_ns();
	print_since(begun, "a million messages");
	if (published - begun > REMEMBERED)
		fail("too slow: the first ids were forgotten before the last ones came");
	phase_over(&player, MILLION);

	node_leave(player.node, &topic);
	eventually(&player, player.left == 1);
	phase_over(&player, LEAVE);

	while (now_ns() < published + REMEMBERED + 3 * S) {
		player_drain(&player);
		rest();
	}
	phase_over(&player, RUN_OUT);

	kill(others, SIGKILL);
	waitpid(others, NULL, 0);
	eventually(&player, node_neighbours(player.node) == 0);
	phase_over(&player, KILLED);

	player_join(&player, 0, 1);
	for (unsigned i = 0; i < LIMIT_OVERLAYS; i++) {
		topic = topic_id(i);
		node_leave(player.node, &topic);
	}
	eventually(&player, player.left == 1 + LIMIT_OVERLAYS);
	phase_over(&player, LEAVE_ALL);
	node_stop(player.node);
}

static void starve(void)
{
	static struct player player;
	uint64_t begun;

	stage = shared(sizeof *stage);
	begin(be_the_strangers);
	begun = now_ns();
	player_make(&player, 3);
	memcpy(player.peers, stage->strangers, sizeof player.peers);
	player.config.peers_count = STRANGERS + 1;
	player.watched = topic_id(LIMIT_OVERLAYS - 1);
	player_start(&player);
	player_join(&player, 0, LIMIT_OVERLAYS);
	eventually(&player, player.watched_is_joined);
	results->starved[story] = now_ns() - begun;
	phase_over(&player, STARVE);
	node_stop(player.node);
}

/* ---- all of it ---- */

static pid_t begin_story(void (*tell_it)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		tell_it();
		exit(0);
	}
	return pid;
}

static bool ends_well(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Whether the least of what the stories have given is not above most; prints them. */
static bool judge(const char *what, const char *whose, const uint64_t ns[STORIES], uint64_t most)
{
	uint64_t least = UINT64_MAX;

	printf("scale: %-44s %-4s", what, whose);
	for (unsigned i = 0; i < STORIES; i++) {
		printf(" %8.2f", (double)ns[i] / MS);
		if (ns[i] < least)
			least = ns[i];
	}
	printf(" ms%s\n", least > most ? "  TOO LONG" : "");
	return least <= most;
}

static bool judge_phase(enum phase phase, enum whose whose, uint64_t most)
{
	uint64_t ns[STORIES];

	for (unsigned i = 0; i < STORIES; i++)
		ns[i] = results->longest[i][phase][whose];
	return judge(phases[phase], whose == NODE ? "node" : "peer", ns, most);
}

int main(int argc, char **argv)
{
	uint64_t most = (argc > 1 ? strtoull(argv[1], NULL, 10) : 5) * MS;
	bool well = true, quick = true;
	double slow = slowness();
	pid_t pids[STORIES];

	setvbuf(stdout, NULL, _IOLBF, 0);
	results = shared(sizeof *results);
	/* One after the other, for there is a time to be kept. */
	for (story = 0; story < STORIES; story++)
		well = ends_well(begin_story(starve)) && well;
	for (story = 0; story < STORIES; story++)
		pids[story] = begin_story(tell);
	for (unsigned i = 0; i < STORIES; i++)
		well = ends_well(pids[i]) && well;
	if (!well)
		return 2;
	slow = (slow + slowness()) / 2;
	printf("scale: the machine is %.2f times slower than the one for which the bounds are\n", slow);
	most = (uint64_t)((double)most * slow);
	quick = judge("starvation: the last overlay has a neighbour", "node", results->starved,
		most > 0 ? STARVING : UINT64_MAX);
	if (most == 0)
		most = UINT64_MAX;
	puts("scale: longest turn of the thread:");
	for (enum phase phase = 0; phase < PHASES; phase++) {
		quick = judge_phase(phase, NODE, most) && quick;
		if (phase != STARVE && phase != KILLED && phase != LEAVE_ALL)
			quick = judge_phase(phase, PEER, most) && quick;
	}
	return quick ? 0 : 1;
}
