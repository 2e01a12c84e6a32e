/* Translation, against packets built with the new addresses from the start: they must be equal byte
 * for byte, checksums and quotes included. Every packet lives in a heap block of its exact size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/nat.h"
#include "tests/lib/transport.h"

#define ROUNDS 4000

static const struct flow_party SENDER = {1, 1};

struct exact {
	uint8_t *data;
	uint32_t len_bytes;
};

static struct exact exact_of(const uint8_t *bytes, uint32_t len_bytes)
{
	struct exact e = {malloc(len_bytes), len_bytes};

	assert_non_null(e.data);
	memcpy(e.data, bytes, len_bytes);
	return e;
}

static struct exact build(const struct transport *t)
{
	uint8_t bytes[TRANSPORT_BYTES_MAX];

	return exact_of(bytes, transport_build(bytes, t));
}

static struct ip_info parse(const struct exact *e)
{
	struct ip_info info;

	assert_int_equal(ip_parse(&info, e->data, e->len_bytes), DROP_NONE);
	return info;
}

static enum flow_kind read_key(struct flow_key *key, const struct exact *e)
{
	const struct ip_info info = parse(e);
	uint8_t tcp_flags;

	return flow_key_read(key, &tcp_flags, e->data, &info, SENDER);
}

static struct flow_key key_of(const struct exact *e)
{
	struct flow_key key;

	assert_int_equal(read_key(&key, e), FLOW_KIND_PORTS);
	return key;
}

/* What turns the first into the second. */
static struct nat_edit edit_of(const struct exact *is, const struct exact *shall)
{
	const struct flow_key from = key_of(is), to = key_of(shall);
	struct nat_edit edit;

	nat_edit_init(&edit, &from, &to);
	return edit;
}

static enum drop rewrite(struct exact *e, const struct nat_edit *edit)
{
	const struct ip_info info = parse(e);

	return nat_rewrite(e->data, &info, edit);
}

static enum drop rewrite_error(struct exact *e, const struct nat_edit *edit)
{
	const struct ip_info info = parse(e);

	return nat_rewrite_error(e->data, &info, edit);
}

static void assert_same(const struct exact *a, const struct exact *b)
{
	assert_int_equal(a->len_bytes, b->len_bytes);
	assert_memory_equal(a->data, b->data, a->len_bytes);
}

/* Some of addresses and ports become others; the rest of the packet stays. */
static struct transport changed(struct rng *rng, const struct transport *t)
{
	const struct transport other = transport_random(rng, t->src.family, t->kind);
	struct transport r = *t;
	uint64_t what = rng_next(rng);

	if (what & 1)
		r.src = other.src;
	if (what & 2)
		r.dst = other.dst;
	if (what & 4)
		r.src_port = other.src_port;
	if (what & 8)
		r.dst_port = other.dst_port;
	return r;
}

/* Each family and kind in turn. */
static struct transport random_transport(struct rng *rng, unsigned round)
{
	return transport_random(
		rng, round & 1 ? WGH_IPV4 : WGH_IPV6, (round >> 1) % TRANSPORT_KINDS);
}

static void test_nat_gives_the_packet_that_has_the_new_addresses_from_the_start(void **state)
{
	struct rng rng = {1};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct transport t = random_transport(&rng, round), u = changed(&rng, &t);
		struct exact is = build(&t), shall = build(&u);
		const struct nat_edit edit = edit_of(&is, &shall);

		assert_int_equal(rewrite(&is, &edit), DROP_NONE);
		assert_same(&is, &shall);
		free(is.data);
		free(shall.data);
	}
}

static void test_nat_there_and_back_is_the_identity(void **state)
{
	struct rng rng = {2};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct transport t = random_transport(&rng, round), u = changed(&rng, &t);
		struct exact is = build(&t), before = build(&t), shall = build(&u);
		const struct nat_edit there = edit_of(&is, &shall), back = edit_of(&shall, &is);

		assert_int_equal(rewrite(&is, &there), DROP_NONE);
		assert_int_equal(rewrite(&is, &back), DROP_NONE);
		assert_same(&is, &before);
		free(is.data);
		free(before.data);
		free(shall.data);
	}
}

static void test_nat_leaves_a_broken_packet_as_broken_as_it_was(void **state)
{
	struct rng rng = {3};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct transport t = random_transport(&rng, round), u;
		struct exact is, shall;
		struct nat_edit edit;

		t.payload_bytes |= 1;
		u = changed(&rng, &t);
		is = build(&t);
		shall = build(&u);
		edit = edit_of(&is, &shall);
		is.data[is.len_bytes - 1] ^= 1;
		shall.data[shall.len_bytes - 1] ^= 1;
		assert_int_equal(rewrite(&is, &edit), DROP_NONE);
		assert_same(&is, &shall);
		free(is.data);
		free(shall.data);
	}
}

/* A sum of zero is written as 0xffff, or the receiver would take it for "no checksum". */
static void test_nat_never_makes_a_udp_checksum_of_zero(void **state)
{
	struct rng rng = {4};
	unsigned n_found = 0;

	(void)state;
	for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
		const struct transport t = transport_random(&rng, family, TRANSPORT_UDP);

		for (uint32_t port = 1; port < 65536; port++) {
			struct transport u = t;
			struct exact is, shall;
			struct nat_edit edit;
			uint32_t at;

			u.src_port = (uint16_t)port;
			u.udp_without_checksum = false;
			shall = build(&u);
			at = parse(&shall).l4_offset + 6u;
			if (shall.data[at] == 0xff && shall.data[at + 1] == 0xff) {
				u.src_port = t.src_port;
				is = build(&u);
				edit = edit_of(&is, &shall);
				assert_int_equal(rewrite(&is, &edit), DROP_NONE);
				assert_same(&is, &shall);
				edit = edit_of(&shall, &is);
				assert_int_equal(rewrite(&shall, &edit), DROP_NONE);
				assert_same(&is, &shall); /* and back */
				n_found++;
				free(is.data);
			}
			free(shall.data);
		}
	}
	assert_true(n_found >= 2);
}

static void test_nat_rewrites_the_fragments_of_the_whole_packet(void **state)
{
	struct rng rng = {5};

	(void)state;
	for (unsigned round = 0; round < ROUNDS / 4; round++) {
		struct transport t = random_transport(&rng, round), u;
		uint8_t bytes[TRANSPORT_BYTES_MAX];
		struct exact is, shall;
		struct nat_edit edit;

		t.payload_bytes += 60;
		t.n_options = 0;
		u = changed(&rng, &t);
		is = build(&t);
		shall = build(&u);
		edit = edit_of(&is, &shall);
		for (uint32_t i = 0, len;
			(len = transport_fragment(bytes, is.data, is.len_bytes, 7, 40, i)); i++) {
			struct exact part = exact_of(bytes, len), want;

			want = exact_of(bytes,
				transport_fragment(bytes, shall.data, shall.len_bytes, 7, 40, i));
			if (i)
				nat_rewrite_fragment(part.data, &edit);
			else
				assert_int_equal(rewrite(&part, &edit), DROP_NONE);
			assert_same(&part, &want);
			free(part.data);
			free(want.data);
		}
		free(is.data);
		free(shall.data);
	}
}

/* ---- errors ---- */

static uint8_t error_type(struct rng *rng, uint8_t family)
{
	static const uint8_t V4[] = {3, 11, 12}, V6[] = {1, 2, 3, 4};

	return family == WGH_IPV4 ? V4[rng_below(rng, 3)] : V6[rng_below(rng, 4)];
}

/* The error about a packet that left as `sent` and was `before` translation, quoted up to n bytes,
 * goes back from `by` to its sender. */
struct error_case {
	struct exact is, shall;
	struct nat_edit edit; /* of packets that answer `sent` */
};

static struct error_case error_case(struct rng *rng, const struct transport *before,
	const struct transport *sent, const struct wgh_addr *by, const struct wgh_addr *by_after)
{
	const uint8_t family = sent->src.family, type = error_type(rng, family);
	const struct exact a = build(sent), b = build(before);
	const uint32_t least = parse(&a).l4_offset + 8u;
	uint32_t n = least + (uint32_t)rng_below(rng, a.len_bytes - least + 1);
	uint8_t bytes[TRANSPORT_BYTES_MAX + 48];
	const struct flow_key key_sent = key_of(&a), key_before = key_of(&b);
	const struct flow_key answer = flow_key_reverse(&key_sent, SENDER),
			      shall = flow_key_reverse(&key_before, SENDER);
	struct error_case c;

	/* Half a checksum cannot be mended, and nobody can check it. */
	if (sent->kind == TRANSPORT_TCP && n == least - 8 + 17)
		n++;
	c.is = exact_of(bytes, transport_error_build(bytes, by, &sent->src, type, 1, a.data, n));
	c.shall = exact_of(
		bytes, transport_error_build(bytes, by_after, &before->src, type, 1, b.data, n));
	nat_edit_init(&c.edit, &answer, &shall);
	free(a.data);
	free(b.data);
	return c;
}

static void error_case_free(struct error_case *c)
{
	free(c->is.data);
	free(c->shall.data);
}

static void test_nat_translates_an_error_and_what_it_quotes_at_every_length(void **state)
{
	struct rng rng = {6};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct transport before = random_transport(&rng, round);
		const struct transport sent = changed(&rng, &before);
		struct error_case c = error_case(&rng, &before, &sent, &sent.dst, &before.dst);
		struct flow_key key;

		assert_int_equal(read_key(&key, &c.is), FLOW_KIND_ERROR);
		assert_int_equal(rewrite_error(&c.is, &c.edit), DROP_NONE);
		assert_same(&c.is, &c.shall);
		error_case_free(&c);
	}
}

static void test_nat_finds_an_error_s_flow_by_the_answer_to_what_it_quotes(void **state)
{
	struct rng rng = {7};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct transport sent = random_transport(&rng, round);
		const struct transport answer = transport_reverse(&sent);
		struct error_case c = error_case(&rng, &sent, &sent, &sent.dst, &sent.dst);
		struct exact e = build(&answer);
		struct flow_key key, want = key_of(&e);

		assert_int_equal(read_key(&key, &c.is), FLOW_KIND_ERROR);
		assert_memory_equal(&key, &want, sizeof key);
		error_case_free(&c);
		free(e.data);
	}
}

static void test_nat_hides_a_router_only_where_it_hides_the_receiver(void **state)
{
	struct rng rng = {8};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct transport before = random_transport(&rng, round);
		const struct wgh_addr router =
			transport_random(&rng, before.src.family, TRANSPORT_UDP).src;
		const struct transport sent = changed(&rng, &before);
		const bool hidden = !wgh_addr_equal(&sent.dst, &before.dst);
		struct error_case c =
			error_case(&rng, &before, &sent, &router, hidden ? &before.dst : &router);

		assert_int_equal(c.edit.changes_src, hidden);
		assert_int_equal(rewrite_error(&c.is, &c.edit), DROP_NONE);
		assert_same(&c.is, &c.shall);
		error_case_free(&c);
	}
}

/* An error of n bytes of quote, from the quote's receiver to `to`. */
static struct exact error_about(
	const struct exact *quoted, uint32_t n_bytes, const struct wgh_addr *to)
{
	const struct ip_info info = parse(quoted);
	uint8_t bytes[TRANSPORT_BYTES_MAX + 48];

	return exact_of(bytes,
		transport_error_build(bytes, &info.dst, to, info.src.family == WGH_IPV4 ? 3 : 1, 0,
			quoted->data, n_bytes));
}

static void assert_broken(struct exact *e, bool also_for_rewrite)
{
	const struct exact before = exact_of(e->data, e->len_bytes);
	const struct nat_edit edit = {.src_port = 1};
	struct flow_key key;

	assert_int_equal(read_key(&key, e), FLOW_KIND_BROKEN);
	if (also_for_rewrite) {
		assert_int_equal(rewrite_error(e, &edit), DROP_NAT_HEADER);
		assert_same(e, &before);
	}
	free(before.data);
	free(e->data);
}

static void test_nat_refuses_errors_that_quote_too_little(void **state)
{
	struct rng rng = {9};

	(void)state;
	for (unsigned round = 0; round < 2 * TRANSPORT_KINDS * 8; round++) {
		struct transport t = random_transport(&rng, round);
		struct exact quoted, e;
		uint32_t least;

		t.n_options = round / (2 * TRANSPORT_KINDS) % 4;
		quoted = build(&t);
		least = parse(&quoted).l4_offset + 8u;
		for (uint32_t n = 0; n < least; n++) {
			e = error_about(&quoted, n, &t.src);
			assert_broken(&e, true);
		}
		e = error_about(&quoted, least, &t.src);
		assert_int_equal(read_key(&(struct flow_key){0}, &e), FLOW_KIND_ERROR);
		free(e.data);
		free(quoted.data);
	}
}

static void test_nat_refuses_errors_about_later_fragments_and_about_errors(void **state)
{
	struct rng rng = {10};
	uint8_t bytes[TRANSPORT_BYTES_MAX];

	(void)state;
	for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
		struct transport t = transport_random(&rng, family, TRANSPORT_UDP);
		struct exact whole, e, later, error;

		t.n_options = 0;
		t.payload_bytes = 100;
		whole = build(&t);
		later = exact_of(
			bytes, transport_fragment(bytes, whole.data, whole.len_bytes, 7, 40, 1));
		e = error_about(&later, later.len_bytes, &t.src);
		assert_broken(&e, true);
		error = error_about(&whole, whole.len_bytes, &t.src);
		e = error_about(&error, error.len_bytes, &t.dst);
		assert_broken(&e, false);
		free(whole.data);
		free(later.data);
		free(error.data);
	}
}

static void test_nat_refuses_errors_to_somebody_who_did_not_send_the_quote(void **state)
{
	struct rng rng = {11};

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		const struct transport t = random_transport(&rng, round),
				       other = random_transport(&rng, round);
		struct exact quoted = build(&t), e;

		e = error_about(&quoted, quoted.len_bytes, &other.src);
		assert_broken(&e, false);
		free(quoted.data);
	}
}

/* ---- refused, and left alone ---- */

static void assert_refused(struct exact *e, enum drop reason)
{
	const struct nat_edit edit = {.src_port = 1};
	const struct exact before = exact_of(e->data, e->len_bytes);

	assert_int_equal(rewrite(e, &edit), reason);
	assert_same(e, &before);
	free(before.data);
}

static void test_nat_refuses_protocols_it_does_not_know(void **state)
{
	static const uint8_t PROTOS[] = {0x2f /* GRE */, 50 /* ESP */, 132 /* SCTP */, 2, 255};
	struct rng rng = {12};

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof PROTOS; i++) {
		struct transport t =
			transport_random(&rng, i & 1 ? WGH_IPV4 : WGH_IPV6, TRANSPORT_UDP);
		struct exact e;
		struct flow_key key;

		t.n_options = 0;
		e = build(&t);
		e.data[t.src.family == WGH_IPV4 ? 9 : 6] = PROTOS[i / 2];
		assert_int_equal(read_key(&key, &e), FLOW_KIND_OTHER);
		assert_int_equal(key.src_port | key.dst_port, 0);
		assert_refused(&e, DROP_NAT_PROTOCOL);
		free(e.data);
	}
}

static void test_nat_refuses_icmp_that_is_no_echo(void **state)
{
	struct rng rng = {13};

	(void)state;
	for (unsigned type = 0; type < 256; type++)
		for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
			const bool v4 = family == WGH_IPV4;
			const struct transport t =
				transport_random(&rng, family, TRANSPORT_ECHO_REQUEST);
			struct exact e = build(&t);

			e.data[parse(&e).l4_offset] = (uint8_t)type;
			if (v4 ? type != 0 && type != 8 : type != 128 && type != 129)
				assert_refused(&e, DROP_NAT_PROTOCOL);
			free(e.data);
		}
}

/* The shortest packet that still holds what is rewritten is taken, one byte less is not. */
static void test_nat_refuses_a_transport_header_that_is_cut_off(void **state)
{
	struct rng rng = {14};

	(void)state;
	for (unsigned round = 0; round < 2 * TRANSPORT_KINDS; round++) {
		struct transport t = random_transport(&rng, round);
		struct exact whole, e;
		uint32_t at;

		t.payload_bytes = 0;
		whole = build(&t);
		at = parse(&whole).l4_offset;
		for (uint32_t len = at; len < whole.len_bytes; len++) {
			e = exact_of(whole.data, len);
			e.data[t.src.family == WGH_IPV4 ? 3 : 5] =
				(uint8_t)(t.src.family == WGH_IPV4 ? len : len - 40);
			e.data[t.src.family == WGH_IPV4 ? 2 : 4] = 0;
			assert_int_equal(read_key(&(struct flow_key){0}, &e), FLOW_KIND_BROKEN);
			assert_refused(&e, DROP_NAT_HEADER);
			free(e.data);
		}
		e = exact_of(whole.data, whole.len_bytes);
		assert_int_equal(read_key(&(struct flow_key){0}, &e), FLOW_KIND_PORTS);
		free(e.data);
		free(whole.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_nat_gives_the_packet_that_has_the_new_addresses_from_the_start),
		cmocka_unit_test(test_nat_there_and_back_is_the_identity),
		cmocka_unit_test(test_nat_leaves_a_broken_packet_as_broken_as_it_was),
		cmocka_unit_test(test_nat_never_makes_a_udp_checksum_of_zero),
		cmocka_unit_test(test_nat_rewrites_the_fragments_of_the_whole_packet),
		cmocka_unit_test(test_nat_translates_an_error_and_what_it_quotes_at_every_length),
		cmocka_unit_test(test_nat_finds_an_error_s_flow_by_the_answer_to_what_it_quotes),
		cmocka_unit_test(test_nat_hides_a_router_only_where_it_hides_the_receiver),
		cmocka_unit_test(test_nat_refuses_errors_that_quote_too_little),
		cmocka_unit_test(test_nat_refuses_errors_about_later_fragments_and_about_errors),
		cmocka_unit_test(test_nat_refuses_errors_to_somebody_who_did_not_send_the_quote),
		cmocka_unit_test(test_nat_refuses_protocols_it_does_not_know),
		cmocka_unit_test(test_nat_refuses_icmp_that_is_no_echo),
		cmocka_unit_test(test_nat_refuses_a_transport_header_that_is_cut_off),
	};

	return cmocka_run_group_tests_name("nat", tests, NULL, NULL);
}
