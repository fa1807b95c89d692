/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Links or files, whose they are, who may use them, and whether the file system is read-only. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/secret_file.h"

#define ESCAPE	 "MOSQUITTO_UNSAFE_ALLOW_SYMLINKS"
#define STRANGER 12345

static char folder[64], reason[SECRET_FILE_REASON_SIZE];

/* A path in the folder, until the next but three. */
static const char *in(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static void make_file(const char *name, uid_t owner, gid_t group, mode_t mode)
{
	int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "secret", 6), 6);
	assert_int_equal(fchown(fd, owner, group), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_folder(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(in(name), 0700), 0);
	assert_int_equal(chmod(in(name), mode), 0);
}

static int read_file(const char *name)
{
	const struct secret_file file = {"identity_file", in(name), "a key"};
	char text[64];
	size_t size;
	int fd = secret_file_open(file.path), error;

	reason[0] = 0;
	if (fd < 0)
		return secret_file_unopened(&file, reason);
	error = secret_file_read(fd, &file, text, sizeof text, &size, reason);
	close(fd);
	if (!error) {
		assert_int_equal(size, 6);
		assert_memory_equal(text, "secret", 6);
	}
	return error;
}

static void is_taken(const char *name)
{
	if (read_file(name))
		fail_msg("%s", reason);
}

static void is_refused(const char *name, const char *because)
{
	assert_int_equal(read_file(name), ERROR_PERMISSION);
	if (!strstr(reason, because) || !strstr(reason, "accepted: "))
		fail_msg("%s", reason);
}

/* A file system of its own, which this process alone sees. Root is needed for other owners. */
static int setup(void **state)
{
	strcpy(folder, "/tmp/secret_file.XXXXXX");
	unsetenv(ESCAPE);
	assert_non_null(mkdtemp(folder));
	if (geteuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("test", folder, "tmpfs", 0, "mode=0755") != 0)
		fail_msg("this test needs a file system of its own: %s", strerror(errno));
	return 0;
}

static int teardown(void **state)
{
	unsetenv(ESCAPE);
	if (geteuid() == 0)
		umount2(folder, MNT_DETACH);
	return rmdir(folder);
}

static void make_read_only(void)
{
	assert_int_equal(mount("test", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "mode=0755"), 0);
}

static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

/* As Kubernetes lays out a Secret: id.pem -> ..data/id.pem, ..data -> a dated folder, in one that
 * everybody may write, but for the sticky bit. */
static void make_kubernetes(uid_t owner, gid_t group, mode_t mode, mode_t of_volume)
{
	make_folder("volume", of_volume);
	make_folder("volume/..2026_11_30", 0755);
	make_file("volume/..2026_11_30/id.pem", owner, group, mode);
	assert_int_equal(symlink("..2026_11_30", in("volume/..data")), 0);
	assert_int_equal(symlink("..data/id.pem", in("volume/id.pem")), 0);
}

/* Who has access, by mode and group: everywhere, and only with Mosquitto's escape where the file
 * system is read-only. */
static const struct {
	mode_t mode;
	bool own_group, other_group, unsafe;
} modes[] = {
	{0400, true, true, true},
	{0600, true, true, true},
	{0440, true, false, true},
	{0640, true, false, true},
	{0444, false, false, true},
	{0644, false, false, true},
	{0660, false, false, false},
	{0450, false, false, false},
	{0446, false, false, false},
	{0601, false, false, false},
};

#define MODES (sizeof modes / sizeof *modes)

static void check(const char *name, bool taken)
{
	if (taken)
		is_taken(name);
	else
		is_refused(name, "others may use it");
}

static void check_modes(bool link, bool read_only, bool escape)
{
	char own[64], other[64];

	if (link)
		make_folder("real", 0755);
	for (size_t i = 0; i < MODES; i++) {
		snprintf(own, sizeof own, "%sown%zu", link ? "real/" : "", i);
		snprintf(other, sizeof other, "%sother%zu", link ? "real/" : "", i);
		make_file(own, 0, getegid(), modes[i].mode);
		make_file(other, 0, STRANGER, modes[i].mode);
		if (!link)
			continue;
		assert_int_equal(symlink(own, in(own + 5)), 0);
		assert_int_equal(symlink(other, in(other + 5)), 0);
	}
	if (read_only)
		make_read_only();
	if (escape)
		setenv(ESCAPE, "1", 1);
	for (size_t i = 0; i < MODES; i++) {
		bool all = read_only && escape && modes[i].unsafe;

		snprintf(own, sizeof own, "own%zu", i);
		snprintf(other, sizeof other, "other%zu", i);
		check(own, modes[i].own_group || all);
		check(other, modes[i].other_group || all);
	}
}

#define MATRIX(name, link, read_only, escape) \
	static void name(void **state) \
	{ \
		needs_root(); \
		check_modes(link, read_only, escape); \
	}

MATRIX(files, false, false, false)
MATRIX(files_with_the_escape, false, false, true)
MATRIX(files_read_only, false, true, false)
MATRIX(files_read_only_with_the_escape, false, true, true)
MATRIX(links, true, false, false)
MATRIX(links_with_the_escape, true, false, true)
MATRIX(links_read_only, true, true, false)
MATRIX(links_read_only_with_the_escape, true, true, true)

static void owners(void **state)
{
	needs_root();
	make_file("theirs", STRANGER, getegid(), 0400);
	is_refused("theirs", "owned by user 12345");
	make_folder("real", 0755);
	make_file("real/theirs", STRANGER, getegid(), 0400);
	assert_int_equal(symlink("real/theirs", in("link")), 0);
	is_refused("link", "belongs to others");
	/* The link is theirs, in a folder in which they may make one. */
	make_folder("sticky", 01777);
	make_file("sticky/ours", 0, 0, 0400);
	assert_int_equal(symlink("ours", in("sticky/link")), 0);
	is_taken("sticky/link");
	assert_int_equal(lchown(in("sticky/link"), STRANGER, STRANGER), 0);
	is_refused("sticky/link", "belongs to others");
}

static void folders_on_the_way(void **state)
{
	needs_root();
	make_folder("safe", 0755);
	make_folder("unsafe", 0777);
	make_file("safe/key", 0, 0, 0400);
	make_file("unsafe/key", 0, 0, 0400);
	assert_int_equal(symlink("../safe/key", in("unsafe/link")), 0);
	assert_int_equal(symlink("../unsafe/key", in("safe/link")), 0);
	assert_int_equal(symlink("../unsafe/link", in("safe/links")), 0);
	assert_int_equal(symlink("key", in("safe/good")), 0);
	is_taken("safe/good");
	is_refused("unsafe/link", "others may write in a folder");
	is_refused("safe/link", "others may write in a folder");
	is_refused("safe/links", "others may write in a folder");
	/* The file itself is taken where it is. */
	is_taken("unsafe/key");
	assert_int_equal(chmod(in("unsafe"), 0775), 0);
	is_refused("unsafe/link", "others may write in a folder");
	assert_int_equal(chown(in("safe"), STRANGER, 0), 0);
	is_refused("safe/good", "folder");
	make_read_only();
	is_taken("unsafe/link");
}

static void as_kubernetes_mounts_it(void **state)
{
	static const mode_t volumes[] = {0755, 01777, 03777};

	needs_root();
	make_kubernetes(0, getegid(), 0440, 01777);
	for (size_t i = 0; i < sizeof volumes / sizeof *volumes; i++) {
		assert_int_equal(chmod(in("volume"), volumes[i]), 0);
		is_taken("volume/id.pem");
	}
	assert_int_equal(chmod(in("volume"), 0777), 0);
	is_refused("volume/id.pem", "others may write in a folder");
	make_read_only();
	is_taken("volume/id.pem");
}

static void links_that_lead_nowhere(void **state)
{
	assert_int_equal(symlink("nothing", in("link")), 0);
	is_refused("link", "leads nowhere");
	assert_int_equal(symlink("round", in("round")), 0);
	assert_int_equal(read_file("round"), ERROR_PERMISSION);
	assert_int_equal(symlink("/", in("root")), 0);
	assert_int_not_equal(read_file("root"), 0);
	unlink(in("link"));
	unlink(in("round"));
	unlink(in("root"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(files),
		TEST(files_with_the_escape),
		TEST(files_read_only),
		TEST(files_read_only_with_the_escape),
		TEST(links),
		TEST(links_with_the_escape),
		TEST(links_read_only),
		TEST(links_read_only_with_the_escape),
		TEST(owners),
		TEST(folders_on_the_way),
		TEST(as_kubernetes_mounts_it),
		TEST(links_that_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
