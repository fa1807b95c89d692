/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../bridge/bytes/hex.h"
#include "../../bridge/identity.h"
#include "../../bridge/random.h"
#include "../topic.h"
#include "ctrl.h"

/* The folder where packages have the broker keep its state. */
#define STATE_DIR "/var/lib/mosquitto/p2panda"
#define PATH_SIZE 1024

static int fail(int status, const char *what)
{
	fprintf(stderr, "Error: %s\n", what);
	return status;
}

static void show(const struct id *id, const char *name, const char *file, bool as_json)
{
	char text[ID_HEX_SIZE + 1];
	cJSON *json;
	char *printed;

	hex_encode(id->bytes, ID_SIZE, text);
	if (!as_json) {
		puts(text);
		return;
	}
	json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, name, text);
	if (file)
		cJSON_AddStringToObject(json, "file", file);
	printed = cJSON_Print(json);
	if (printed)
		puts(printed);
	cJSON_free(printed);
	cJSON_Delete(json);
}

/* ---- identity ---- */

/* Writes the folder of a path. */
static void folder_of(const char *path, char out[PATH_SIZE])
{
	char *slash;

	snprintf(out, PATH_SIZE, "%s", path);
	slash = strrchr(out, '/');
	if (!slash)
		snprintf(out, PATH_SIZE, ".");
	else if (slash == out)
		out[1] = '\0';
	else
		*slash = '\0';
}

/* Gives a file or a folder that root has made to the owner of the folder around it, as the broker
 * has to own what is made for the broker. Returns false if that fails. */
static bool give_away(const char *path)
{
	char folder[PATH_SIZE];
	struct stat status;

	if (geteuid() != 0)
		return true;
	folder_of(path, folder);
	return stat(folder, &status) == 0 && lchown(path, status.st_uid, status.st_gid) == 0;
}

static bool make_folder(const char *path)
{
	char folder[PATH_SIZE];
	struct stat status;

	folder_of(path, folder);
	if (stat(folder, &status) == 0)
		return true;
	return mkdir(folder, 0700) == 0 && give_away(folder);
}

/* Lets root read a key as its owner, which is whom the key is accepted from. Returns false, with
 * errno, if that fails. */
static bool become_owner(const char *path)
{
	struct stat status;

	if (geteuid() != 0 || stat(path, &status) != 0)
		return true;
	return setgroups(0, NULL) == 0 && setegid(status.st_gid) == 0 &&
	       seteuid(status.st_uid) == 0;
}

int ctrl_identity(int count, char *const *given, bool as_json)
{
	const char *path = count > 0 ? given[0] : STATE_DIR "/identity.pem";
	char reason[IDENTITY_REASON_SIZE];
	struct identity identity;
	bool is_new;

	if (count > 1 || strlen(path) >= PATH_SIZE)
		return fail(CTRL_USAGE, "it takes the path of one file: identity [<file>]");
	is_new = access(path, F_OK) != 0 && errno == ENOENT;
	if (is_new ? !make_folder(path) : !become_owner(path))
		return fail(CTRL_FAILED, strerror(errno));
	if (identity_load(path, &identity, reason))
		return fail(CTRL_FAILED, reason);
	if (is_new && !give_away(path))
		fprintf(stderr, "Warning: %s could not be given to the owner of its folder: %s\n", path,
			strerror(errno));
	if (is_new)
		fprintf(stderr, "made %s\n", path);
	show(&identity.id, "node_id", path, as_json);
	identity_clear(&identity);
	return CTRL_DONE;
}

/* ---- topic ---- */

int ctrl_topic(int count, char *const *given, bool as_json)
{
	struct random random = random_system();
	char text[TOPIC_SIZE];
	struct topic topic;

	if (count != 1)
		return fail(CTRL_USAGE, "it takes a name, or --random");
	if (strcmp(given[0], "--random") == 0) {
		random.fill(random.context, topic.overlay.bytes, ID_SIZE);
	} else if (strlen(given[0]) > TOPIC_NAME_SIZE ||
		   snprintf(text, sizeof text, TOPIC_PREFIX TOPIC_NAMES "%s", given[0]) < 0 ||
		   topic_parse(text, &topic) != TOPIC_OVERLAY || strpbrk(given[0], "/+#")) {
		return fail(CTRL_USAGE, "a name has 1 to 200 bytes, and none of / + #");
	}
	show(&topic.overlay, "topic", NULL, as_json);
	return CTRL_DONE;
}
