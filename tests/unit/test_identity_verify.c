/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/identity.h"

static void only_its_own_signature_is_a_nodes(void **state)
{
	const uint8_t secrets[2][IDENTITY_SECRET_SIZE] = {{1}, {2}};
	struct identity identities[2];
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(identity_from_secret(secrets[i], &identities[i]), 0);
	assert_int_equal(identity_sign(&identities[0], "data", 4, signature), 0);
	assert_int_equal(identity_verify(&identities[0].id, "data", 4, signature), 0);
	assert_int_equal(identity_verify(&identities[0].id, "dat", 3, signature), ERROR_INVALID);
	assert_int_equal(identity_verify(&identities[1].id, "data", 4, signature), ERROR_INVALID);
	for (size_t i = 0; i < sizeof signature; i++) {
		signature[i] ^= 0x10;
		assert_int_equal(
			identity_verify(&identities[0].id, "data", 4, signature), ERROR_INVALID);
		signature[i] ^= 0x10;
	}
	for (size_t i = 0; i < 2; i++)
		identity_clear(&identities[i]);
}

/* S * B = R + k * A holds for all data when A is the neutral point and R is S * B: OpenSSL
 * lets that pass, ed25519-dalek's verify_strict does not. */
static void keys_of_small_order_have_no_signatures(void **state)
{
	static const char *const keys[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];

	/* R is the base point, S is 1. */
	memset(signature, 0x66, 32);
	signature[0] = 0x58;
	memset(signature + 32, 0, 32);
	signature[32] = 1;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct id node;
		char data = 'a';

		assert_int_equal(hex_decode(keys[i], node.bytes, ID_SIZE), 0);
		/* An order of 8 or less: one of a few data would be signed. */
		for (unsigned j = 0; j < 32; j++, data++)
			assert_int_equal(
				identity_verify(&node, &data, 1, signature), ERROR_INVALID);
	}
}

static void no_node_no_signature(void **state)
{
	struct id node;
	uint8_t signature[IDENTITY_SIGNATURE_SIZE] = {2};

	/* y = 2 is no point's. */
	memset(&node, 0, sizeof node);
	node.bytes[0] = 2;
	assert_true(identity_verify(&node, "", 0, signature) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_its_own_signature_is_a_nodes),
		cmocka_unit_test(keys_of_small_order_have_no_signatures),
		cmocka_unit_test(no_node_no_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
