/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "plugin/settings.h"
#include "support_heap.h"

#define ID    "b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485"
#define TOPIC "eed10fa3224d5e8250525e82db33b7c4ab596ee324d5f423ffbdc794ae6f7b4d"

static struct {
	char folder[64], file[128];
	struct settings *settings;
	struct options options;
	char restart[SETTINGS_KEYS_SIZE], reason[OPTIONS_REASON_SIZE];
} world;

static void write_file(const char *text, size_t size)
{
	FILE *file = fopen(world.file, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	fclose(file);
}

static void give(const char *key, const char *value)
{
	const struct option_text given[] = {{"config_file", world.file}, {key, value}};

	settings_free(world.settings);
	assert_int_equal(settings_new(given, key ? 2 : 1, "/var", &world.settings), 0);
}

static bool read_again(void)
{
	options_clear(&world.options);
	return settings_read(world.settings, &world.options, world.restart, world.reason);
}

static void assert_read(const char *text, const char *restart)
{
	write_file(text, strlen(text));
	if (!read_again())
		fail_msg("%s", world.reason);
	assert_string_equal(world.restart, restart);
}

static void assert_refused(const char *text, size_t size, const char *why)
{
	write_file(text, size);
	assert_false(read_again());
	if (!strstr(world.reason, why))
		fail_msg("%s", world.reason);
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	strcpy(world.folder, "/tmp/settings.XXXXXX");
	if (!mkdtemp(world.folder))
		return -1;
	snprintf(world.file, sizeof world.file, "%s/p2panda.options", world.folder);
	heap_begin();
	give(NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	options_clear(&world.options);
	settings_free(world.settings);
	unlink(world.file);
	rmdir(world.folder);
	heap_end();
	return 0;
}

static void both_places_count(void **state)
{
	give("queue_age", "7");
	assert_read("# a comment\n\n  peer\t" ID "@a:1  \r\n\tqueue_limit 5\ntopic " TOPIC, "");
	assert_int_equal(world.options.queue_age, 7);
	assert_int_equal(world.options.queue_limit, 5);
	assert_int_equal(world.options.peers_count, 1);
	assert_string_equal(world.options.peers[0].hosts[0].host, "a");
	assert_int_equal(world.options.topics_count, 1);
	assert_string_equal(settings_file(world.settings), world.file);
	assert_true(settings_has(world.settings, "queue_age"));
	assert_false(settings_has(world.settings, "queue_limit"));
}

static void without_a_file(void **state)
{
	const struct option_text given = {"mdns", "active"};

	settings_free(world.settings);
	assert_int_equal(settings_new(&given, 1, "/var", &world.settings), 0);
	assert_true(read_again());
	assert_int_equal(world.options.mdns, NODE_MDNS_ACTIVE);
	assert_string_equal(settings_file(world.settings), "");
}

static void what_is_not_accepted(void **state)
{
	char *large = malloc(SETTINGS_FILE_SIZE + 1);

	assert_refused("nonsense 1\n", 11, "plugin_opt_nonsense '1' is not an option");
	assert_refused("peer hello\n", 11, "plugin_opt_peer 'hello' is not accepted");
	assert_refused("peer", 4, "plugin_opt_peer '' is not accepted");
	assert_refused("queue_age 1\nqueue_age 2\n", 24, "accepted once");
	assert_refused("config_file /tmp/x\n", 19, "names another config_file");
	assert_refused("peer\0x", 6, "it takes lines of text");
	memset(large, '\n', SETTINGS_FILE_SIZE + 1);
	assert_refused(large, SETTINGS_FILE_SIZE + 1, "more than 1 MiB");
	assert_refused(large, SETTINGS_LINES + 1, "it takes 10000 lines");
	free(large);
	unlink(world.file);
	assert_false(read_again());
	assert_non_null(strstr(world.reason, "cannot be read: No such file"));
	mkdir(world.file, 0700);
	assert_false(read_again());
	assert_non_null(strstr(world.reason, "cannot be read: Is a directory"));
	rmdir(world.file);
}

/* One line is about both. */
static void once_is_once(void **state)
{
	const struct option_text twice[] = {
		{"config_file", world.file}, {"config_file", world.file}};

	give("queue_age", "7");
	assert_refused("queue_age 8\n", 12, "accepted once");
	settings_free(world.settings);
	assert_int_equal(settings_new(twice, 2, "/var", &world.settings), 0);
	assert_false(read_again());
	assert_non_null(strstr(world.reason, "accepted once"));
}

static void what_needs_a_restart_is_named(void **state)
{
	give("queue_age", "7");
	assert_read("mdns active\nbind 127.0.0.1:1\nbind 127.0.0.1:2\n", "");
	assert_read("mdns active\nbind 127.0.0.1:1\nbind 127.0.0.1:2\n", "");
	assert_read("bind 127.0.0.1:1\nmdns active\n# the same\nbind 127.0.0.1:2\n", "");
	assert_read("mdns off\nbind 127.0.0.1:2\nbind 127.0.0.1:1\n", "mdns, bind");
	assert_read("queue_limit 3\nmdns active\n", "bind, queue_limit");
	/* These are live. */
	assert_read("mdns active\nbind 127.0.0.1:1\nbind 127.0.0.1:2\npeer " ID "@a:1\n"
		    "topic " TOPIC "\nlog_level error\ndeny_node " TOPIC "\n", "");
	/* A bad one in between changes nothing. */
	assert_refused("nonsense", 8, "is not an option");
	assert_read("mdns active\nbind 127.0.0.1:1\nbind 127.0.0.1:2\n", "");
}

static void without_memory(void **state)
{
	const struct option_text given = {"config_file", world.file};
	struct settings *settings;
	bool good, has_failed = true;
	int error;

	write_file("mdns active\npeer " ID "@a:1\n", 12 + 5 + 64 + 5);
	for (size_t n = 1; has_failed; n++) {
		heap_fail(n, false);
		error = settings_new(&given, 1, "/var", &settings);
		good = !error && settings_read(
					 settings, &world.options, world.restart, world.reason);
		has_failed = heap_has_failed();
		heap_fail(0, false);
		if (!error) {
			settings_free(settings);
			options_clear(&world.options);
		}
		assert_int_equal(good, !has_failed);
	}
	assert_true(good);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_places_count),
		TEST(without_a_file),
		TEST(what_is_not_accepted),
		TEST(once_is_once),
		TEST(what_needs_a_restart_is_named),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
