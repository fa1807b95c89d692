/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* URLs of relays as Rust's crate url spells them: relay_urls.json. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "bridge/error.h"
#include "bridge/relay_url.h"
#include "support_json.h"

static const char *string_at(const cJSON *array, int index)
{
	const cJSON *item = cJSON_GetArrayItem(array, index);

	assert_true(cJSON_IsString(item));
	return item->valuestring;
}

static void check_url(const cJSON *vector)
{
	const char *input = string_at(vector, 0), *expected = string_at(vector, 1);
	struct relay_url url, again;
	int error = relay_url_parse(input, strlen(input), &url);

	if (strlen(expected) >= RELAY_URL_SIZE) {
		assert_int_equal(error, ERROR_TOO_LARGE);
		return;
	}
	if (error)
		fail_msg("%s: %s", input, error_name(error));
	assert_string_equal(url.text, expected);
	assert_string_equal(url.host, string_at(vector, 2));
	assert_int_equal(url.port, cJSON_GetArrayItem(vector, 3)->valueint);
	assert_int_equal(url.tls, strncmp(expected, "https:", 6) == 0);
	/* What is spelled that way stays as it is. */
	assert_int_equal(relay_url_parse(url.text, strlen(url.text), &again), 0);
	assert_string_equal(again.text, url.text);
	assert_string_equal(again.host, url.host);
}

static void check_refused(const char *input)
{
	struct relay_url url;

	if (relay_url_parse(input, strlen(input), &url) != ERROR_INVALID)
		fail_msg("taken: %s", input);
}

static void spelled_as_by_the_crate(void **state)
{
	cJSON *vectors = json_load("relay_urls.json");
	int taken = 0, refused = 0;
	const cJSON *vector;

	cJSON_ArrayForEach(vector, json_get(vectors, "urls"))
	{
		if (cJSON_GetArraySize(vector) == 1) {
			check_refused(string_at(vector, 0));
			refused++;
		} else {
			check_url(vector);
			taken++;
		}
	}
	assert_true(taken > 100 && refused > 50);
	cJSON_Delete(vectors);
}

static void no_urls_of_relays(void **state)
{
	cJSON *vectors = json_load("relay_urls.json");
	const cJSON *vector;

	assert_true(cJSON_GetArraySize(json_get(vectors, "refused")) > 30);
	cJSON_ArrayForEach(vector, json_get(vectors, "refused")) check_refused(vector->valuestring);
	cJSON_Delete(vectors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spelled_as_by_the_crate),
		cmocka_unit_test(no_urls_of_relays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
