/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys, signatures, SNI and ALPN as the real crates make them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bridge/error.h"
#include "bridge/identity.h"
#include "support_json.h"

static void get_id(const cJSON *object, const char *path, struct id *id)
{
	size_t size;
	uint8_t *bytes = json_bytes(object, path, &size);

	assert_int_equal(size, sizeof id->bytes);
	memcpy(id->bytes, bytes, size);
	free(bytes);
}

static void get_identity(const cJSON *object, struct identity *identity)
{
	struct id secret, id;

	get_id(object, "secret", &secret);
	get_id(object, "node_id", &id);
	assert_int_equal(identity_from_secret(secret.bytes, identity), 0);
	assert_memory_equal(identity->id.bytes, id.bytes, sizeof id.bytes);
}

static void check_signature(const struct identity *identity, const void *data, size_t size,
	const cJSON *object, const char *path)
{
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	size_t expected_size;
	uint8_t *expected = json_bytes(object, path, &expected_size);

	assert_int_equal(expected_size, sizeof signature);
	assert_int_equal(identity_sign(identity, data, size, signature), 0);
	assert_memory_equal(signature, expected, sizeof signature);
	free(expected);
}

static void keys(void **state)
{
	for (const char *const *name = json_generations; *name; name++) {
		cJSON *vectors = json_load(*name);
		const cJSON *key;
		int count = 0;

		cJSON_ArrayForEach(key, json_get(vectors, "keys"))
		{
			struct identity identity;
			char sni[IDENTITY_SNI_SIZE];

			get_identity(key, &identity);
			identity_sni(&identity.id, sni);
			assert_string_equal(sni, json_string(key, "sni"));
			check_signature(&identity, "hello", 5, key, "ed25519_sign_hello");
			identity_clear(&identity);
			count++;
		}
		assert_true(count > 0);
		cJSON_Delete(vectors);
	}
}

static void transport_infos(void **state)
{
	for (const char *const *name = json_generations; *name; name++) {
		cJSON *vectors = json_load(*name);
		const cJSON *info;

		cJSON_ArrayForEach(info, json_get(vectors, "transport_info"))
		{
			struct identity identity;
			size_t size;
			uint8_t *bytes = json_bytes(info, "signed_bytes", &size);

			get_identity(info, &identity);
			check_signature(&identity, bytes, size, info, "signature");
			identity_clear(&identity);
			free(bytes);
		}
		cJSON_Delete(vectors);
	}
}

static void check_alpn(
	const cJSON *vectors, const char *protocol, const struct id *network, const char *path)
{
	struct id alpn, expected;

	get_id(vectors, path, &expected);
	identity_alpn(protocol, network, &alpn);
	assert_memory_equal(alpn.bytes, expected.bytes, sizeof expected.bytes);
}

static void protocols(void **state)
{
	for (const char *const *name = json_generations; *name; name++) {
		cJSON *vectors = json_load(*name);
		struct id network;

		get_id(vectors, "alpn.default_network_id", &network);
		assert_true(id_equal(&network, &identity_default_network));
		assert_string_equal(
			PROTOCOL_GOSSIP, json_string(vectors, "alpn.gossip.protocol_id"));
		assert_string_equal(
			PROTOCOL_DISCOVERY, json_string(vectors, "alpn.discovery.protocol_id"));
		check_alpn(vectors, PROTOCOL_GOSSIP, &network, "alpn.gossip.default");
		check_alpn(vectors, PROTOCOL_DISCOVERY, &network, "alpn.discovery.default");
		get_id(vectors, "alpn.custom_network_id", &network);
		check_alpn(vectors, PROTOCOL_GOSSIP, &network, "alpn.gossip.custom");
		check_alpn(vectors, PROTOCOL_DISCOVERY, &network, "alpn.discovery.custom");
		cJSON_Delete(vectors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(transport_infos),
		cmocka_unit_test(protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
