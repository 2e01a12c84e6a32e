/* The handshake's cryptography: against messages recorded from wireguard-go, between our two ends,
 * and against every flipped bit and every point of low order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/cookie.h"
#include "core/noise.h"
#include "crypto/aead.h"
#include "tests/lib/hex.h"
#include "tests/lib/rng.h"

/* ---- recorded ---- */

/* A conversation with wireguard-go 0.0.20220316 (Debian 12), recorded on a loopback socket: our
 * static secret is 32 times 0x77, its 32 times 0x55, the preshared key 1, 2, .. 32. */
#define THEIR_PUBLIC "38ab664bd86f77d7e66bdd9ae0792913a94fd8b33a1260027e4b46c1f4884c67"
/* It begins; our ephemeral secret is made of 32 times 0x33, our index is 0x11223344. */
#define THEIR_INITIATION                                                                           \
	"01000000353f1609390cb390cb918af3e68ec1cef0a625d061a696d21108181df9c09730619ca545137f8140" \
	"b0c781ea1d6393e66cb6f55288268a77f2ee911d6767b28eebcab7fad7218199a1d6d183742010ca4724f533" \
	"1ff02670dea97bc1b5952c32d2913879dba0621242737213d3dff58691f3133ac8e1e1583e751dabc6989aa7" \
	"00000000000000000000000000000000"
#define THEIR_TIMESTAMP "400000006b026d643a000000"
#define OUR_RESPONSE                                                                               \
	"0200000044332211353f16097b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14" \
	"0f4c65d2f161f826f0873e1e4b9288834ad6e8189399c0342a413be964fdfa3a000000000000000000000000" \
	"00000000"
/* Its keepalive: it accepted our response and has the same keys. */
#define THEIR_KEEPALIVE "040000004433221100000000000000002ed3ea45bd7eba97faea66883ae8577f"
/* We begin; our ephemeral secret is made of 32 times 0x22, our index is 0x55667788. */
#define OUR_TIMESTAMP "400000006b026d6500000000"
#define OUR_INITIATION                                                                             \
	"01000000887766550faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f2059d12ae0" \
	"c7cbdd4acbb6ecb00c84d7fb442bf700c1798793a1bc48c64c21ce0c0dd7139481e3e785d63d567c083c02bb" \
	"0dc63ad5f11f47ead64641c2cfa6fb16faec7610e1345268d3c096f7464b97f7d34931c56a88c1b8c10d52db" \
	"00000000000000000000000000000000"
#define THEIR_RESPONSE                                                                             \
	"02000000b5273af188776655cf429aff83cab5de53d52155c0ebd97f150b15945b2f5094aadb964d9400371a" \
	"0ed1518ee9c64a46c9ed46ff6e4cf157c80582c7cc49e6fe9db48ba46f1daa52000000000000000000000000" \
	"00000000"
#define THEIR_SECOND_KEEPALIVE "0400000088776655000000000000000052e341ff643fe722e868d7cb819beb98"

static void identity_of(struct noise_identity *identity, uint8_t byte)
{
	struct x25519_secret secret;

	memset(secret.bytes, byte, sizeof secret.bytes);
	noise_identity_set(identity, &secret);
	assert_true(identity->present);
}

static struct psk recorded_psk(void)
{
	struct psk psk;

	for (unsigned i = 0; i < sizeof psk.bytes; i++)
		psk.bytes[i] = (uint8_t)(i + 1);
	return psk;
}

static void assert_hex(const void *bytes, size_t n, const char *hex)
{
	uint8_t want[256];

	assert_int_equal(hex_bytes(want, sizeof want, hex), n);
	assert_memory_equal(bytes, want, n);
}

static void assert_opens_keepalive(const struct sym_key *key, const char *hex)
{
	uint8_t message[WIRE_DATA_MIN_BYTES], out[1];

	assert_int_equal(hex_bytes(message, sizeof message, hex), sizeof message);
	assert_true(aead_open_one(
		out, message + 16, 16, NULL, 0, key, le64_get((uint8_t *)message + 8)));
}

static void test_noise_answers_a_recorded_initiation_of_wireguard_go(void **state)
{
	struct noise_identity ours;
	struct wire_initiation in;
	struct wire_response out = {{0}};
	struct cookie_checker checker = {0};
	struct cookie_jar jar = {0};
	struct x25519_public theirs;
	struct noise_state noise;
	struct noise_keys keys;
	const struct psk psk = recorded_psk();
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], ss[32], random[32];

	(void)state;
	identity_of(&ours, 0x77);
	assert_int_equal(hex_bytes((uint8_t *)&in, sizeof in, THEIR_INITIATION), sizeof in);
	cookie_checker_set_key(&checker, &ours.public_key);
	assert_true(cookie_mac1_ok(&checker, (uint8_t *)&in, sizeof in));
	assert_true(noise_initiation_open(&noise, &theirs, &in, &ours));
	assert_hex(theirs.bytes, 32, THEIR_PUBLIC);
	assert_true(noise_static_static(ss, &ours, &theirs));
	assert_true(noise_initiation_verify(&noise, timestamp, &in, ss));
	assert_hex(timestamp, sizeof timestamp, THEIR_TIMESTAMP);

	memset(random, 0x33, sizeof random);
	assert_true(noise_response_create(&noise, &out, &keys, &theirs, &psk, random));
	le32_put(out.type, WIRE_RESPONSE);
	le32_put(out.sender, 0x11223344);
	memcpy(out.receiver, in.sender, 4);
	cookie_jar_sign(&jar, &theirs, (uint8_t *)&out, sizeof out, 1);
	assert_hex(&out, sizeof out, OUR_RESPONSE);
	assert_opens_keepalive(&keys.receive, THEIR_KEEPALIVE);
}

static void test_noise_completes_a_recorded_response_of_wireguard_go(void **state)
{
	struct noise_identity ours, theirs;
	struct wire_initiation out = {{0}};
	struct wire_response in;
	struct cookie_jar jar = {0};
	struct noise_state noise;
	struct noise_keys keys;
	const struct psk psk = recorded_psk();
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], ss[32], random[32];

	(void)state;
	identity_of(&ours, 0x77);
	identity_of(&theirs, 0x55);
	assert_hex(theirs.public_key.bytes, 32, THEIR_PUBLIC);
	assert_true(noise_static_static(ss, &ours, &theirs.public_key));
	memset(random, 0x22, sizeof random);
	assert_int_equal(hex_bytes(timestamp, sizeof timestamp, OUR_TIMESTAMP), sizeof timestamp);
	assert_true(noise_initiation_create(
		&noise, &out, &ours, &theirs.public_key, ss, timestamp, random));
	le32_put(out.type, WIRE_INITIATION);
	le32_put(out.sender, 0x55667788);
	cookie_jar_sign(&jar, &theirs.public_key, (uint8_t *)&out, sizeof out, 1);
	assert_hex(&out, sizeof out, OUR_INITIATION);

	assert_int_equal(hex_bytes((uint8_t *)&in, sizeof in, THEIR_RESPONSE), sizeof in);
	assert_true(noise_response_open(&noise, &keys, &in, &ours, &psk));
	assert_opens_keepalive(&keys.receive, THEIR_SECOND_KEEPALIVE);
}

/* ---- our two ends ---- */

struct pair {
	struct rng rng;
	struct noise_identity initiator, responder;
	struct psk psk_i, psk_r;
	uint8_t ss[32], timestamp[WIRE_TIMESTAMP_BYTES];
	struct wire_initiation initiation;
	struct wire_response response;
	struct noise_state begun, consumed; /* before the response */
	struct noise_keys keys_i, keys_r;
};

static void random_identity(struct rng *rng, struct noise_identity *identity)
{
	struct x25519_secret secret;

	rng_fill(rng, &secret, sizeof secret);
	noise_identity_set(identity, &secret);
}

/* Both identities and the initiation. */
static void begin(struct pair *p, uint64_t seed)
{
	uint8_t random[32];

	memset(p, 0, sizeof *p);
	p->rng.state = seed;
	random_identity(&p->rng, &p->initiator);
	random_identity(&p->rng, &p->responder);
	rng_fill(&p->rng, random, sizeof random);
	rng_fill(&p->rng, p->timestamp, sizeof p->timestamp);
	assert_true(noise_static_static(p->ss, &p->initiator, &p->responder.public_key));
	assert_true(noise_initiation_create(&p->begun, &p->initiation, &p->initiator,
		&p->responder.public_key, p->ss, p->timestamp, random));
}

static bool consume(struct pair *p, const struct wire_initiation *msg)
{
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], ss[32];
	struct x25519_public from;

	return noise_initiation_open(&p->consumed, &from, msg, &p->responder) &&
		!memcmp(&from, &p->initiator.public_key, 32) &&
		noise_static_static(ss, &p->responder, &from) &&
		noise_initiation_verify(&p->consumed, timestamp, msg, ss) &&
		!memcmp(timestamp, p->timestamp, sizeof timestamp);
}

static bool answer(struct pair *p)
{
	uint8_t random[32];

	rng_fill(&p->rng, random, sizeof random);
	return noise_response_create(&p->consumed, &p->response, &p->keys_r,
		&p->initiator.public_key, &p->psk_r, random);
}

static bool complete(struct pair *p, const struct wire_response *msg)
{
	struct noise_state copy = p->begun;

	return noise_response_open(&copy, &p->keys_i, msg, &p->initiator, &p->psk_i);
}

static void assert_keys_agree(const struct pair *p)
{
	assert_memory_equal(&p->keys_i.send, &p->keys_r.receive, sizeof p->keys_i.send);
	assert_memory_equal(&p->keys_i.receive, &p->keys_r.send, sizeof p->keys_i.send);
	assert_memory_not_equal(&p->keys_i.send, &p->keys_i.receive, sizeof p->keys_i.send);
}

static void test_noise_both_ends_agree_with_and_without_psk(void **state)
{
	struct pair p;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		begin(&p, seed);
		if (seed % 2) {
			rng_fill(&p.rng, &p.psk_i, sizeof p.psk_i);
			p.psk_r = p.psk_i;
		}
		assert_true(consume(&p, &p.initiation));
		assert_true(answer(&p));
		assert_true(complete(&p, &p.response));
		assert_keys_agree(&p);
	}
}

static void test_noise_refuses_a_response_under_another_psk(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, 1);
	p.psk_i.bytes[31] = 1;
	assert_true(consume(&p, &p.initiation));
	assert_true(answer(&p));
	assert_false(complete(&p, &p.response));
}

static void test_noise_refuses_every_flipped_bit_of_an_initiation(void **state)
{
	const size_t n_bits = 8 * offsetof(struct wire_initiation, macs);
	struct pair p;

	(void)state;
	begin(&p, 2);
	for (size_t bit = 8 * offsetof(struct wire_initiation, ephemeral); bit < n_bits; bit++) {
		struct wire_initiation msg = p.initiation;

		((uint8_t *)&msg)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(consume(&p, &msg));
	}
	assert_true(consume(&p, &p.initiation));
}

/* The caller keeps its state: the right response works after thousands of wrong ones. */
static void test_noise_refuses_every_flipped_bit_of_a_response_and_takes_it_afterwards(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, 3);
	assert_true(consume(&p, &p.initiation));
	assert_true(answer(&p));
	for (size_t bit = 8 * offsetof(struct wire_response, ephemeral);
		bit < 8 * offsetof(struct wire_response, macs); bit++) {
		struct wire_response msg = p.response;

		((uint8_t *)&msg)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(complete(&p, &msg));
	}
	assert_true(complete(&p, &p.response));
	assert_keys_agree(&p);
}

static void test_noise_refuses_an_initiation_for_another_responder(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, 4);
	random_identity(&p.rng, &p.responder);
	assert_false(consume(&p, &p.initiation));
}

/* Who knows the responder's key and ours, but has not our secret, gets past the static key and no
 * further. */
static void test_noise_verify_refuses_an_initiation_in_another_s_name(void **state)
{
	struct noise_identity liar;
	struct x25519_public from;
	struct noise_state noise;
	struct pair p;
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], ss[32], random[32] = {9};

	(void)state;
	begin(&p, 5);
	random_identity(&p.rng, &liar);
	assert_true(noise_static_static(ss, &liar, &p.responder.public_key));
	liar.public_key = p.initiator.public_key;
	assert_true(noise_initiation_create(
		&noise, &p.initiation, &liar, &p.responder.public_key, ss, p.timestamp, random));
	assert_true(noise_initiation_open(&noise, &from, &p.initiation, &p.responder));
	assert_memory_equal(&from, &p.initiator.public_key, 32);
	assert_true(noise_static_static(ss, &p.responder, &from));
	assert_false(noise_initiation_verify(&noise, timestamp, &p.initiation, ss));
}

/* ---- points of low order ---- */

/* 0, 1, the two of order 8, p - 1, p, p + 1 (https://cr.yp.to/ecdh.html); each also with bit 255.
 */
static const char *const LOW_ORDER[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};
#define N_LOW_ORDER (2 * sizeof LOW_ORDER / sizeof LOW_ORDER[0])

static struct x25519_public low_order(size_t i)
{
	struct x25519_public point;

	assert_int_equal(hex_bytes(point.bytes, 32, LOW_ORDER[i / 2]), 32);
	point.bytes[31] |= (uint8_t)(i % 2 << 7);
	return point;
}

static void test_noise_refuses_low_order_points_in_es_on_both_sides(void **state)
{
	uint8_t random[32] = {5};
	struct pair p;

	(void)state;
	begin(&p, 6);
	for (size_t i = 0; i < N_LOW_ORDER; i++) {
		struct x25519_public point = low_order(i), from;
		struct wire_initiation msg = p.initiation;
		struct noise_state noise;

		memcpy(msg.ephemeral, point.bytes, 32);
		assert_false(noise_initiation_open(&noise, &from, &msg, &p.responder));
		assert_false(noise_initiation_create(
			&noise, &msg, &p.initiator, &point, p.ss, p.timestamp, random));
	}
}

static void test_noise_refuses_low_order_points_in_ss(void **state)
{
	struct pair p;
	uint8_t ss[32];

	(void)state;
	begin(&p, 7);
	for (size_t i = 0; i < N_LOW_ORDER; i++) {
		struct x25519_public point = low_order(i);

		assert_false(noise_static_static(ss, &p.responder, &point));
	}
}

static void test_noise_refuses_low_order_points_in_ee_and_se_as_responder(void **state)
{
	uint8_t random[32] = {6};
	struct pair p;

	(void)state;
	begin(&p, 8);
	assert_true(consume(&p, &p.initiation));
	for (size_t i = 0; i < N_LOW_ORDER; i++) {
		struct x25519_public point = low_order(i);
		struct noise_state noise = p.consumed;
		struct wire_response msg;
		struct noise_keys keys;

		assert_false(noise_response_create(&noise, &msg, &keys, &point, &p.psk_r, random));
		noise = p.consumed;
		noise.their_ephemeral = point;
		assert_false(noise_response_create(
			&noise, &msg, &keys, &p.initiator.public_key, &p.psk_r, random));
	}
}

/* Both DH of the initiator take the same point; a static secret alone would refuse it as well. */
static void test_noise_refuses_low_order_ephemerals_of_a_response(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, 9);
	assert_true(consume(&p, &p.initiation));
	assert_true(answer(&p));
	for (size_t i = 0; i < N_LOW_ORDER; i++) {
		struct x25519_public point = low_order(i);
		struct wire_response msg = p.response;

		memcpy(msg.ephemeral, point.bytes, 32);
		assert_false(complete(&p, &msg));
	}
	assert_true(complete(&p, &p.response));
}

/* ---- identities ---- */

static void test_noise_identity_is_clamped_and_zero_means_none(void **state)
{
	struct x25519_secret secret;
	struct noise_identity identity, clamped;
	uint8_t ss[32];

	(void)state;
	memset(secret.bytes, 0xff, sizeof secret.bytes);
	noise_identity_set(&identity, &secret);
	assert_int_equal(identity.secret.bytes[0], 0xf8);
	assert_int_equal(identity.secret.bytes[31], 0x7f);
	noise_identity_set(&clamped, &identity.secret);
	assert_memory_equal(&identity.public_key, &clamped.public_key, 32);

	memset(&secret, 0, sizeof secret);
	noise_identity_set(&identity, &secret);
	assert_false(identity.present);
	assert_true(ct_is_zero(&identity, sizeof identity));
	assert_false(noise_static_static(ss, &identity, &clamped.public_key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_answers_a_recorded_initiation_of_wireguard_go),
		cmocka_unit_test(test_noise_completes_a_recorded_response_of_wireguard_go),
		cmocka_unit_test(test_noise_both_ends_agree_with_and_without_psk),
		cmocka_unit_test(test_noise_refuses_a_response_under_another_psk),
		cmocka_unit_test(test_noise_refuses_every_flipped_bit_of_an_initiation),
		cmocka_unit_test(
			test_noise_refuses_every_flipped_bit_of_a_response_and_takes_it_afterwards),
		cmocka_unit_test(test_noise_refuses_an_initiation_for_another_responder),
		cmocka_unit_test(test_noise_verify_refuses_an_initiation_in_another_s_name),
		cmocka_unit_test(test_noise_refuses_low_order_points_in_es_on_both_sides),
		cmocka_unit_test(test_noise_refuses_low_order_points_in_ss),
		cmocka_unit_test(test_noise_refuses_low_order_points_in_ee_and_se_as_responder),
		cmocka_unit_test(test_noise_refuses_low_order_ephemerals_of_a_response),
		cmocka_unit_test(test_noise_identity_is_clamped_and_zero_means_none),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
