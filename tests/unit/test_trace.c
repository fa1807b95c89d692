/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/quic/trace.h"
#include "support_heap.h"

static const uint8_t id[] = {0xab, 0x01};

static struct {
	char dir[64], keys[128], path[256];
	uv_loop_t loop;
	struct counters counters;
	struct trace *trace;
	char reason[TRACE_REASON_SIZE];
} world;

static int set_up(void **state)
{
	memset(&world, 0, sizeof world);
	strcpy(world.dir, "/tmp/p2panda-trace-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	snprintf(world.keys, sizeof world.keys, "%s/keys", world.dir);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	return 0;
}

static int tear_down(void **state)
{
	DIR *dir = opendir(world.dir);
	struct dirent *entry;

	uv_run(&world.loop, UV_RUN_DEFAULT);
	trace_free(world.trace);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	return rmdir(world.dir);
}

static int begin(const char *qlog_dir, const char *keylog_file)
{
	return trace_new(&world.loop, qlog_dir, keylog_file, &world.counters, &world.trace,
		world.reason);
}

static char *contents(const char *name)
{
	static char bytes[200000];
	ssize_t size;
	int fd;

	snprintf(world.path, sizeof world.path, "%s/%s", world.dir, name);
	fd = open(world.path, O_RDONLY);
	assert_true(fd >= 0);
	size = read(fd, bytes, sizeof bytes - 1);
	assert_true(size >= 0);
	bytes[size] = 0;
	close(fd);
	return bytes;
}

static void nothing_is_wanted(void **state)
{
	assert_int_equal(begin(NULL, NULL), ERROR_NONE);
	assert_null(world.trace);
	assert_false(trace_has_keys(world.trace));
	assert_null(qlog_begin(world.trace, id, sizeof id, false));
	qlog_end(NULL);
}

static void keys_are_added_line_by_line(void **state)
{
	struct stat status;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(begin(NULL, world.keys), ERROR_NONE);
		assert_true(trace_has_keys(world.trace));
		assert_null(qlog_begin(world.trace, id, sizeof id, false));
		trace_key(world.trace, "LABEL 00 11");
		uv_run(&world.loop, UV_RUN_DEFAULT);
		trace_free(world.trace);
		world.trace = NULL;
	}
	assert_string_equal(contents("keys"), "LABEL 00 11\nLABEL 00 11\n");
	assert_int_equal(stat(world.keys, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_file_for_others_is_refused(void **state)
{
	close(open(world.keys, O_CREAT | O_WRONLY, 0600));
	chmod(world.keys, 0640);
	assert_int_equal(begin(NULL, world.keys), ERROR_SYSTEM);
	assert_non_null(strstr(world.reason, "keylog_file "));
	assert_non_null(strstr(world.reason, "chmod 600"));
	unlink(world.keys);
	assert_int_equal(mkfifo(world.keys, 0600), 0);
	assert_int_equal(begin(NULL, world.keys), ERROR_SYSTEM); /* nobody reads it */
	unlink(world.keys);
	assert_int_equal(begin("/nowhere/at/all", NULL), ERROR_SYSTEM);
	assert_non_null(strstr(world.reason, "qlog_dir /nowhere/at/all "));
	assert_null(world.trace);
}

static void a_qlog_has_all_in_order(void **state)
{
	struct qlog *qlog;
	char record[1000], *found;

	assert_int_equal(begin(world.dir, NULL), ERROR_NONE);
	assert_false(trace_has_keys(world.trace));
	qlog = qlog_begin(world.trace, id, sizeof id, true);
	assert_non_null(qlog);
	for (int i = 0; i < 100; i++) {
		memset(record, 'a' + i % 26, sizeof record);
		qlog_write(qlog, record, sizeof record);
	}
	qlog_end(qlog);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	found = contents("ab01_server.sqlog");
	assert_int_equal(strlen(found), 100 * sizeof record);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(found[i * sizeof record], 'a' + i % 26);
	assert_int_equal(counters_get(&world.counters, COUNTER_TRACE_LOST), 0);
	/* There is one of that name. */
	assert_null(qlog_begin(world.trace, id, sizeof id, true));
	assert_int_equal(counters_get(&world.counters, COUNTER_TRACE_LOST), 1);
	/* But the other end's is another one. An empty one is fine. */
	qlog = qlog_begin(world.trace, id, sizeof id, false);
	qlog_end(qlog);
	assert_string_equal(contents("ab01_client.sqlog"), "");
}

static void what_does_not_keep_up_is_lost(void **state)
{
	static char piece[16384], larger[16385];
	struct qlog *qlog;
	size_t lost = 0;

	assert_int_equal(begin(world.dir, NULL), ERROR_NONE);
	qlog = qlog_begin(world.trace, id, sizeof id, false);
	assert_non_null(qlog);
	/* The loop does not turn. */
	for (size_t i = 0; i <= LIMIT_TRACE_UNDERWAY / sizeof piece + 2; i++)
		qlog_write(qlog, piece, sizeof piece);
	lost = counters_get(&world.counters, COUNTER_TRACE_LOST);
	assert_true(lost > 0);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	qlog_write(qlog, "later", 5);
	qlog_end(qlog);
	assert_true(counters_get(&world.counters, COUNTER_TRACE_LOST) <= lost + 1);
	/* More than fits into one piece is none. */
	qlog = qlog_begin(world.trace, id, 1, false);
	qlog_write(qlog, larger, sizeof larger);
	qlog_end(qlog);
	assert_true(counters_get(&world.counters, COUNTER_TRACE_LOST) > lost);
}

static void out_of_memory_it_is_lost(void **state)
{
	struct qlog *qlog;

	heap_begin();
	for (size_t n = 1; n <= 2; n++) {
		heap_fail(n, false);
		assert_int_equal(begin(world.dir, NULL), ERROR_NOMEM);
	}
	heap_fail(0, false);
	assert_int_equal(begin(world.dir, world.keys), ERROR_NONE);
	heap_fail(1, false);
	assert_null(qlog_begin(world.trace, id, sizeof id, false));
	heap_fail(1, false);
	trace_key(world.trace, "LABEL 00 11");
	heap_fail(0, false);
	qlog = qlog_begin(world.trace, id, sizeof id, false);
	qlog_write(qlog, "x", 1);
	heap_fail(1, false);
	qlog_end(qlog);
	heap_fail(0, false);
	assert_int_equal(counters_get(&world.counters, COUNTER_TRACE_LOST), 3);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	trace_free(world.trace);
	world.trace = NULL;
	heap_end();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_wanted),
		TEST(keys_are_added_line_by_line),
		TEST(a_file_for_others_is_refused),
		TEST(a_qlog_has_all_in_order),
		TEST(what_does_not_keep_up_is_lost),
		TEST(out_of_memory_it_is_lost),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
