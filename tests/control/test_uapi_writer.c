/* test_uapi_writer.c - control/uapi_writer.c: what answers say, and that they come in pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/uapi.h"

#define K1 "1111111111111111111111111111111111111111111111111111111111111111"
#define K2 "22222222222222222222222222222222222222222222222222222222222222aB"
#define PEER1 "public_key=" K1 "\n"

static struct wgh_prefix prefix_10(uint8_t last)
{
	return (struct wgh_prefix){
		.addr = {.bytes = {10, 0, 0, last}, .family = WGH_IPV4}, .bits = 32};
}

struct hub_data {
	struct wgh_snapshot s;
	struct wgh_peer_view peers[2];
	struct wgh_prefix ips[3];
	uint64_t drops[128];
	uint32_t peer_drops[128], no_drops[128];
};

static void hub_data_init(struct hub_data *d)
{
	memset(d, 0, sizeof *d);
	assert_true(wgh_n_drop_reasons() > 3 && wgh_n_drop_reasons() <= 128);
	for (unsigned i = 0; i < 3; i++)
		d->ips[i] = prefix_10((uint8_t)(i + 1));
	d->drops[2] = 5;
	d->peer_drops[3] = 6;
	d->peers[0] = (struct wgh_peer_view){
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 5, .family = WGH_IPV4},
		.keepalive_s = 25,
		.last_handshake_s = 1700000000,
		.last_handshake_ns = 42,
		.rx_bytes = 1,
		.tx_bytes = UINT64_MAX,
		.allowed_ips = d->ips,
		.n_allowed_ips = 2,
		.drops = d->peer_drops};
	memset(d->peers[0].public_key.bytes, 0x11, 32);
	memset(d->peers[0].preshared_key, 0x33, 32);
	d->peers[1] = (struct wgh_peer_view){.allowed_ips = d->ips, .drops = d->no_drops};
	memset(d->peers[1].public_key.bytes, 0x22, 32);
	d->s = (struct wgh_snapshot){.has_private_key = true,
		.listen_port = 51820,
		.mtu_bytes = 1420,
		.n_workers = 2,
		.offloads = WGH_OFFLOAD_UDP_GRO | WGH_OFFLOAD_TUN_USO,
		.aead = "sodium",
		.drops = d->drops,
		.n_forwarded = 7,
		.addresses = d->ips + 2,
		.n_addresses = 1,
		.peers = d->peers,
		.n_peers = 2};
	memset(d->s.private_key, 0xaa, 32);
	memset(d->s.public_key.bytes, 0xbb, 32);
}

static const char *name_of(void *arg, const struct wgh_public_key *peer)
{
	return peer->bytes[0] == 0x11 ? arg : NULL;
}

/* The whole answer, made in pieces of size bytes. */
static char *answer(const struct hub_data *d, bool own, size_t size)
{
	char *text = calloc(1, 1 << 16), *piece = malloc(size);
	struct uapi_writer w;
	size_t n, total = 0;

	uapi_writer_init(&w, &d->s, own, name_of, (void *)"printer");
	while ((n = uapi_write(&w, piece, size))) {
		assert_true(n <= size && total + n < 1 << 16);
		memcpy(text + total, piece, n);
		total += n;
	}
	free(piece);
	return text;
}

static const char hex_00[] = "0000000000000000000000000000000000000000000000000000000000000000";
static const char hex_22[] = "2222222222222222222222222222222222222222222222222222222222222222";
static const char hex_33[] = "3333333333333333333333333333333333333333333333333333333333333333";
static const char hex_aa[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char hex_bb[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static void test_get_answers_what_wg_reads(void **state)
{
	char *text, want[2048];
	struct hub_data d;

	(void)state;
	hub_data_init(&d);
	text = answer(&d, false, 4096);
	snprintf(want, sizeof want,
		"private_key=%s\nlisten_port=51820\npublic_key=%s\npreshared_key=%s\n"
		"protocol_version=1\nendpoint=192.0.2.1:5\nlast_handshake_time_sec=1700000000\n"
		"last_handshake_time_nsec=42\ntx_bytes=18446744073709551615\nrx_bytes=1\n"
		"persistent_keepalive_interval=25\nallowed_ip=10.0.0.1/32\nallowed_ip=10.0.0.2/32\n"
		"public_key=%s\npreshared_key=%s\nprotocol_version=1\nlast_handshake_time_sec=0\n"
		"last_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
		"persistent_keepalive_interval=0\nerrno=0\n\n",
		hex_aa, K1, hex_33, hex_22, hex_00);
	assert_string_equal(text, want);
	free(text);
	/* Without a key, port, mark and peers there is only the end. */
	d.s = (struct wgh_snapshot){.drops = d.drops};
	text = answer(&d, false, 4096);
	assert_string_equal(text, "errno=0\n\n");
	free(text);
	d.s.fwmark = 4294967295;
	text = answer(&d, false, 4096);
	assert_string_equal(text, "fwmark=4294967295\nerrno=0\n\n");
	free(text);
}

/* Is the text in the answer, with the words put into its format? */
__attribute__((format(printf, 2, 0))) static bool has(
	const char *text, const char *format, const char *a, const char *b)
{
	char want[512];

	snprintf(want, sizeof want, format, a, b);
	return strstr(text, want) != NULL;
}

static void test_own_answer_has_names_and_drops_and_no_secret(void **state)
{
	struct hub_data d;
	char *text;

	(void)state;
	hub_data_init(&d);
	text = answer(&d, true, 4096);
	assert_null(strstr(text, hex_aa));
	assert_null(strstr(text, hex_33));
	assert_true(has(text, "hub_public_key=%s\n%s", hex_bb, ""));
	assert_true(has(text, "public_key=%s\nname=%s\nhas_preshared_key=true\n", K1, "printer"));
	assert_true(has(text, "public_key=%s\nlast_handshake_time_sec=0\n%s", hex_22, ""));
	assert_true(has(text, "\naead=%s\nmtu=1420\nworkers=2\nforwarded=7\n%s", "sodium", ""));
	assert_true(
		has(text, "offload=%s\noffload=%s\naddress=10.0.0.3/32\n", "udp-gro", "tun-uso"));
	assert_true(has(text, "\ndrop=%s 5\n%s", wgh_drop_reason(2)->name, "public_key="));
	assert_true(has(text, "\ndrop=%s 6\n%s", wgh_drop_reason(3)->name, "public_key="));
	free(text);
}

static const char *line_of(void *arg, size_t index, char *room, size_t size)
{
	snprintf(room, size, "policy=%zu %0*d", index, *(int *)arg, 0);
	return index < 3 ? room : NULL;
}

static const char *group_of(void *arg, unsigned group, char *room, size_t size)
{
	(void)arg;
	snprintf(room, size, "group %u", group);
	return room;
}

static void test_own_answer_tells_policy_group_and_nat(void **state)
{
	int width = 900; /* as long as a line may be */
	struct hub_data d;
	struct uapi_writer w;
	char out[1 << 14];
	size_t n;

	(void)state;
	hub_data_init(&d);
	d.peers[0].group = 3;
	d.peers[0].nat = WGH_NAT_AUTO;
	d.peers[0].wide6 = true;
	d.peers[0].n_flows = 5;
	for (unsigned own = 0; own < 2; own++) {
		uapi_writer_init(&w, &d.s, own, NULL, NULL);
		w.extra = (struct uapi_extra){.line = line_of, .group = group_of, .arg = &width};
		n = uapi_write(&w, out, sizeof out - 1);
		out[n] = 0;
		assert_int_equal(
			strstr(out, "\ngroup=group 3\nnat=auto\nwide=ipv6\nflows=5\n") != NULL,
			own);
		assert_int_equal(strstr(out, "\npolicy=2 000") != NULL, own);
		assert_null(strstr(out, "\npolicy=3 "));
		assert_non_null(strstr(out, "\nerrno=0\n\n"));
	}
}

static void test_answer_is_the_same_in_pieces_of_any_size(void **state)
{
	struct hub_data d;

	(void)state;
	hub_data_init(&d);
	for (unsigned own = 0; own < 2; own++) {
		char *whole = answer(&d, own, 1 << 15);

		for (size_t size = UAPI_WRITE_MIN; size < UAPI_WRITE_MIN + 200; size++) {
			char *text = answer(&d, own, size);

			assert_string_equal(text, whole);
			free(text);
		}
		free(whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_answers_what_wg_reads),
		cmocka_unit_test(test_own_answer_has_names_and_drops_and_no_secret),
		cmocka_unit_test(test_own_answer_tells_policy_group_and_nat),
		cmocka_unit_test(test_answer_is_the_same_in_pieces_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
