/* test_tun_segment.c - large packets cut into small ones are compared with small ones built one by
 * one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/tun_segment.h"
#include "tests/lib/inner.h"

#include <stdlib.h>
#include <string.h>

enum { PACKETS_MAX = 2048, ROOM_BYTES = 1 << 20 };

/* A large packet, exactly as long as its allocation so that ASan sees each byte too many. */
struct fixture {
	uint8_t *packet;
	uint32_t len_bytes;
	struct vnet_hdr h;
	struct segmenter s;
	struct wgh_packet packets[PACKETS_MAX];
	uint8_t *room;
	struct packet_room out;
};

static void room_reset(struct fixture *f, size_t bytes, size_t n_max)
{
	f->out = (struct packet_room){
		.at = f->room, .end = f->room + bytes, .packets = f->packets, .n_max = n_max};
}

/* As the kernel gives it: lengths of the whole, checksum of the pseudo header. */
static struct fixture *fixture_new(const struct inner_spec *spec, uint16_t gso_size)
{
	struct fixture *f = calloc(1, sizeof *f);
	bool tcp = spec->proto == 6;
	uint8_t *build = malloc(1 << 17);

	assert_true(f && build);
	f->len_bytes = inner_build(build, spec);
	uint32_t l4 = inner_l4_offset(build);
	uint32_t field = l4 + (tcp ? 16 : 6);
	uint16_t partial = inner_pseudo_sum(build, f->len_bytes);
	build[field] = (uint8_t)(partial >> 8);
	build[field + 1] = (uint8_t)partial;
	f->packet = malloc(f->len_bytes);
	f->room = malloc(ROOM_BYTES);
	assert_true(f->packet && f->room);
	memcpy(f->packet, build, f->len_bytes);
	f->h = (struct vnet_hdr){.flags = VNET_F_NEEDS_CSUM,
		.gso_type = !tcp	     ? VNET_GSO_UDP_L4
			: spec->version == 4 ? VNET_GSO_TCPV4
					     : VNET_GSO_TCPV6,
		.gso_size = gso_size,
		.hdr_len = (uint16_t)inner_header_bytes(build),
		.csum_start = (uint16_t)l4,
		.csum_offset = tcp ? 16 : 6};
	free(build);
	room_reset(f, ROOM_BYTES, PACKETS_MAX);
	return f;
}

static void fixture_free(struct fixture *f)
{
	free(f->packet);
	free(f->room);
	free(f);
}

/* Piece k of spec cut at gso_size. */
static struct inner_spec piece_spec(const struct inner_spec *spec, uint32_t gso_size, uint32_t k)
{
	struct inner_spec piece = *spec;
	uint32_t from = k * gso_size, left = spec->payload_bytes - from;
	bool last = left <= gso_size;

	piece.payload_from = spec->payload_from + from;
	piece.payload_bytes = last ? left : gso_size;
	piece.seq = spec->seq + from;
	piece.id = (uint16_t)(spec->id + k);
	if (!last)
		piece.flags &= (uint8_t) ~(0x01 | 0x08);
	if (k > 0)
		piece.flags &= (uint8_t)~0x80;
	return piece;
}

static void assert_pieces(const struct fixture *f, const struct inner_spec *spec, uint32_t gso_size)
{
	uint8_t *want = malloc(1 << 17);
	uint32_t n = (spec->payload_bytes + gso_size - 1) / gso_size;

	assert_non_null(want);
	assert_int_equal(f->out.n, n ? n : 1);
	for (uint32_t k = 0; k < f->out.n; k++) {
		struct inner_spec piece = piece_spec(spec, gso_size, k);

		assert_int_equal(f->packets[k].len_bytes, inner_build(want, &piece));
		assert_int_equal(f->packets[k].ecn, 0);
		assert_memory_equal(f->packets[k].data, want, f->packets[k].len_bytes);
	}
	free(want);
}

static void check_cut(const struct inner_spec *spec, uint16_t gso_size)
{
	struct fixture *f = fixture_new(spec, gso_size);

	assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
	segment_put(&f->s, &f->out);
	assert_false(segment_pending(&f->s));
	assert_pieces(f, spec, gso_size);
	fixture_free(f);
}

static void check_all_sizes(uint8_t version, uint8_t proto)
{
	static const uint16_t sizes[] = {37, 536, 1240, 1380, 1400, 8000, 65000};
	static const uint32_t payloads[] = {1, 36, 37, 38, 1400, 1401, 2800, 9999, 40000, 65400};

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (size_t p = 0; p < sizeof payloads / sizeof *payloads; p++) {
			struct inner_spec spec = inner_spec_default(version, proto);

			spec.payload_bytes = payloads[p];
			spec.flags = 0x10 | 0x08 | 0x01 | 0x80;
			check_cut(&spec, sizes[s]);
			spec.tos = 3;
			spec.df = false;
			spec.n_options = 12;
			memcpy(spec.options, "\1\1\10\12abcdefgh", 12);
			check_cut(&spec, sizes[s]);
		}
}

static void test_tcp_over_ipv4_is_cut_like_single_packets(void **state)
{
	(void)state;
	check_all_sizes(4, 6);
}

static void test_tcp_over_ipv6_is_cut_like_single_packets(void **state)
{
	(void)state;
	check_all_sizes(6, 6);
}

static void test_udp_over_ipv4_is_cut_like_single_packets(void **state)
{
	(void)state;
	check_all_sizes(4, 17);
}

static void test_udp_over_ipv6_is_cut_like_single_packets(void **state)
{
	(void)state;
	check_all_sizes(6, 17);
}

static void test_large_packet_without_payload_stays_one(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 6);

	(void)state;
	spec.payload_bytes = 0;
	check_cut(&spec, 1400);
}

static void test_cwr_stays_in_the_first_and_fin_and_psh_in_the_last(void **state)
{
	struct inner_spec spec = inner_spec_default(6, 6);
	struct fixture *f;

	(void)state;
	spec.flags = 0x10 | 0x08 | 0x01 | 0x80;
	spec.payload_bytes = 3000;
	f = fixture_new(&spec, 1000);
	f->h.gso_type |= VNET_GSO_ECN;
	assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
	segment_put(&f->s, &f->out);
	assert_int_equal(f->out.n, 3);
	assert_int_equal(f->packets[0].data[40 + 13], 0x10 | 0x80);
	assert_int_equal(f->packets[1].data[40 + 13], 0x10);
	assert_int_equal(f->packets[2].data[40 + 13], 0x10 | 0x08 | 0x01);
	fixture_free(f);
}

static void test_ipv6_extension_headers_are_copied_to_each_piece(void **state)
{
	struct inner_spec spec = inner_spec_default(6, 17);
	struct fixture *f;
	uint8_t *longer;

	(void)state;
	spec.payload_bytes = 2500;
	f = fixture_new(&spec, 1000);
	/* Destination options of 8 bytes, all padding. */
	longer = malloc(f->len_bytes + 8);
	assert_non_null(longer);
	memcpy(longer, f->packet, 40);
	memcpy(longer + 40, (uint8_t[]){17, 0, 1, 4, 0, 0, 0, 0}, 8);
	memcpy(longer + 48, f->packet + 40, f->len_bytes - 40);
	longer[6] = 60;
	longer[4] = (uint8_t)((f->len_bytes + 8 - 40) >> 8);
	longer[5] = (uint8_t)(f->len_bytes + 8 - 40);
	f->h.csum_start = 48;
	assert_true(segment_start(&f->s, longer, f->len_bytes + 8, &f->h));
	segment_put(&f->s, &f->out);
	assert_int_equal(f->out.n, 3);
	for (unsigned k = 0; k < 3; k++) {
		uint8_t *d = f->packets[k].data;
		uint32_t len = f->packets[k].len_bytes;

		assert_int_equal(len, 48 + 8 + (k < 2 ? 1000 : 500));
		assert_memory_equal(d + 40, longer + 40, 8);
		assert_int_equal(d[4] << 8 | d[5], len - 40);
		/* Without the extension it is a packet that the naive twin can check. */
		memmove(d + 40, d + 48, len - 48);
		d[6] = 17;
		d[4] = (uint8_t)((len - 48) >> 8);
		d[5] = (uint8_t)(len - 48);
		assert_true(inner_is_right(d, len - 8));
	}
	free(longer);
	fixture_free(f);
}

static void test_pieces_lie_as_a_segmented_send_wants_them(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 6);
	struct fixture *f;

	(void)state;
	spec.payload_bytes = 1380 * 5;
	f = fixture_new(&spec, 1380);
	assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
	segment_put(&f->s, &f->out);
	assert_int_equal(f->out.n, 5);
	assert_ptr_equal(f->packets[0].data, f->room + WGH_HEADROOM_BYTES);
	/* Header, 1420 bytes padded to 1424, tag. */
	for (unsigned k = 1; k < 5; k++)
		assert_int_equal(f->packets[k].data - f->packets[k - 1].data, 16 + 1424 + 16);
	assert_true(f->packets[4].data + 1420 + WGH_TAILROOM_BYTES <= f->out.end);
	fixture_free(f);
}

static void test_pieces_that_do_not_fit_come_with_the_next_room(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 6);
	uint8_t want[2048];
	uint32_t k = 0;

	(void)state;
	spec.payload_bytes = 20000;
	for (unsigned by_count = 0; by_count < 2; by_count++) {
		struct fixture *f = fixture_new(&spec, 100);

		assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
		for (k = 0; segment_pending(&f->s);) {
			if (by_count)
				room_reset(f, ROOM_BYTES, 7);
			else
				room_reset(f, 1000, PACKETS_MAX);
			segment_put(&f->s, &f->out);
			assert_true(f->out.n > 0 && f->out.n <= 7);
			for (size_t i = 0; i < f->out.n; i++, k++) {
				struct inner_spec piece = piece_spec(&spec, 100, k);

				assert_int_equal(
					f->packets[i].len_bytes, inner_build(want, &piece));
				assert_memory_equal(
					f->packets[i].data, want, f->packets[i].len_bytes);
				assert_true(f->packets[i].data + f->packets[i].len_bytes +
						WGH_TAILROOM_BYTES <=
					f->out.end);
			}
		}
		assert_int_equal(k, 200);
		fixture_free(f);
	}
}

static void test_whole_packet_passes_unchanged(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 17);
	struct fixture *f = fixture_new(&spec, 0);
	struct vnet_hdr none = {0};

	(void)state;
	assert_true(segment_start(&f->s, f->packet, f->len_bytes, &none));
	segment_put(&f->s, &f->out);
	assert_int_equal(f->out.n, 1);
	assert_int_equal(f->packets[0].len_bytes, f->len_bytes);
	assert_memory_equal(f->packets[0].data, f->packet, f->len_bytes);
	fixture_free(f);
}

static void test_whole_packet_gets_its_checksum(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		for (uint32_t payload = 0; payload < 200; payload++) {
			struct inner_spec spec = inner_spec_default(i & 1 ? 4 : 6, i & 2 ? 6 : 17);
			struct fixture *f;

			spec.payload_bytes = payload;
			f = fixture_new(&spec, 0);
			f->h.gso_type = VNET_GSO_NONE;
			assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
			segment_put(&f->s, &f->out);
			assert_int_equal(f->out.n, 1);
			assert_true(inner_is_right(f->packets[0].data, f->packets[0].len_bytes));
			fixture_free(f);
		}
	}
}

static void test_udp_checksum_of_zero_is_sent_as_ones(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 17);
	unsigned seen = 0;

	(void)state;
	spec.payload_bytes = 2;
	/* Among all ports one makes the sum zero. */
	for (uint32_t port = 0; port < 0x10000; port++) {
		uint8_t packet[64], room[256];
		struct wgh_packet out;
		struct segmenter s;
		struct packet_room r = {
			.at = room, .end = room + sizeof room, .packets = &out, .n_max = 1};

		spec.src_port = (uint16_t)port;
		uint32_t len = inner_build(packet, &spec);
		seen += packet[26] == 0xff && packet[27] == 0xff;
		uint16_t partial = inner_pseudo_sum(packet, len);
		packet[26] = (uint8_t)(partial >> 8);
		packet[27] = (uint8_t)partial;
		assert_true(segment_start(&s, packet, len,
			&(struct vnet_hdr){
				.flags = VNET_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6}));
		segment_put(&s, &r);
		assert_false(out.data[26] == 0 && out.data[27] == 0);
		assert_true(inner_is_right(out.data, len));
	}
	assert_true(seen > 0);
}

/* ---- headers that lie ---- */

static void assert_refused(struct fixture *f, const struct vnet_hdr *h)
{
	assert_false(segment_start(&f->s, f->packet, f->len_bytes, h));
	assert_false(segment_pending(&f->s));
	segment_put(&f->s, &f->out);
	assert_int_equal(f->out.n, 0);
}

static void test_header_that_does_not_fit_the_packet_is_refused(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 6);
	struct fixture *f = fixture_new(&spec, 300);
	struct vnet_hdr h;

	(void)state;
#define REFUSE(change)                                                                             \
	h = f->h;                                                                                  \
	change;                                                                                    \
	assert_refused(f, &h)
	REFUSE(h.gso_size = 0);
	REFUSE(h.gso_type = VNET_GSO_TCPV6);
	REFUSE(h.gso_type = VNET_GSO_UDP_L4);
	REFUSE(h.gso_type = 3); /* fragmentation of UDP, which we do not offer */
	REFUSE(h.gso_type = 0x7f);
	REFUSE(h.flags = 0);
	REFUSE(h.csum_start = 19);
	REFUSE(h.csum_start = 0xffff);
	REFUSE(h.csum_start = 0);
	REFUSE(h.gso_type = VNET_GSO_NONE; h.csum_start = 0xffff; h.csum_offset = 0xffff);
	REFUSE(h.gso_type = VNET_GSO_NONE; h.csum_start = 0;
		h.csum_offset = (uint16_t)(f->len_bytes - 1));
	REFUSE(h.gso_type = VNET_GSO_NONE; h.csum_start = (uint16_t)(f->len_bytes - 1);
		h.csum_offset = 0);
	/* The same without the lie is taken. */
	assert_true(segment_start(&f->s, f->packet, f->len_bytes, &f->h));
	fixture_free(f);
}

static void test_packet_whose_headers_lie_is_refused(void **state)
{
	struct inner_spec spec = inner_spec_default(4, 6);
	struct fixture *f = fixture_new(&spec, 300);
	uint8_t saved[64];

	(void)state;
	memcpy(saved, f->packet, 40);
#define REFUSE_PACKET(change)                                                                      \
	change;                                                                                    \
	assert_refused(f, &f->h);                                                                  \
	memcpy(f->packet, saved, 40)
	REFUSE_PACKET(f->packet[0] = 0x44); /* header shorter than a header */
	REFUSE_PACKET(f->packet[0] = 0x4f); /* longer, so the checksum starts elsewhere */
	REFUSE_PACKET(f->packet[0] = 0x65); /* version */
	REFUSE_PACKET(f->packet[3] ^= 1); /* length one byte too long */
	REFUSE_PACKET(f->packet[3] ^= 0x10); /* and too short */
	REFUSE_PACKET(f->packet[2] = 0xff;
		      f->packet[3] = 0xff); /* length beyond the bytes there are */
	REFUSE_PACKET(f->packet[6] = 0x20); /* more fragments */
	REFUSE_PACKET(f->packet[7] = 4); /* fragment offset */
	REFUSE_PACKET(f->packet[9] = 17); /* protocol */
	REFUSE_PACKET(f->packet[20 + 12] = 0x40); /* TCP header shorter than one */
	f->len_bytes = 44;
	f->packet[2] = 0;
	f->packet[3] = 44;
	memcpy(saved, f->packet, 40);
	REFUSE_PACKET(f->packet[20 + 12] = 0xf0); /* TCP header longer than the packet */
	f->len_bytes = 30;
	f->packet[3] = 30;
	assert_refused(f, &f->h);
	f->len_bytes = 0;
	assert_refused(f, &f->h);
	assert_refused(f, &(struct vnet_hdr){0});
	fixture_free(f);
}

static void test_random_headers_never_lose_or_invent_payload(void **state)
{
	uint32_t seed = 1;
	unsigned n_taken = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct inner_spec spec = inner_spec_default(round & 1 ? 4 : 6, round & 2 ? 6 : 17);
		struct fixture *f;
		uint8_t *bytes;

		seed = seed * 1664525 + 1013904223;
		spec.payload_bytes = seed >> 20;
		f = fixture_new(&spec, (uint16_t)(seed >> 22 | 1));
		bytes = (uint8_t *)&f->h;
		for (unsigned k = 0; k < (seed >> 8) % 3; k++) {
			seed = seed * 1664525 + 1013904223;
			bytes[(seed >> 8) % sizeof f->h] = (uint8_t)(seed >> 24);
			seed = seed * 1664525 + 1013904223;
			f->packet[(seed >> 8) % 48 % f->len_bytes] = (uint8_t)(seed >> 24);
		}
		if (segment_start(&f->s, f->packet, f->len_bytes, &f->h)) {
			uint32_t payload = 0, header = f->s.header_bytes;

			n_taken++;
			while (segment_pending(&f->s)) {
				room_reset(f, 1 << 17, 512);
				segment_put(&f->s, &f->out);
				assert_true(f->out.n > 0);
				for (size_t i = 0; i < f->out.n; i++)
					payload += f->packets[i].len_bytes - header;
			}
			assert_int_equal(payload + header, f->len_bytes);
		}
		fixture_free(f);
	}
	assert_in_range(n_taken, 2000, 18000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_over_ipv4_is_cut_like_single_packets),
		cmocka_unit_test(test_tcp_over_ipv6_is_cut_like_single_packets),
		cmocka_unit_test(test_udp_over_ipv4_is_cut_like_single_packets),
		cmocka_unit_test(test_udp_over_ipv6_is_cut_like_single_packets),
		cmocka_unit_test(test_large_packet_without_payload_stays_one),
		cmocka_unit_test(test_cwr_stays_in_the_first_and_fin_and_psh_in_the_last),
		cmocka_unit_test(test_ipv6_extension_headers_are_copied_to_each_piece),
		cmocka_unit_test(test_pieces_lie_as_a_segmented_send_wants_them),
		cmocka_unit_test(test_pieces_that_do_not_fit_come_with_the_next_room),
		cmocka_unit_test(test_whole_packet_passes_unchanged),
		cmocka_unit_test(test_whole_packet_gets_its_checksum),
		cmocka_unit_test(test_udp_checksum_of_zero_is_sent_as_ones),
		cmocka_unit_test(test_header_that_does_not_fit_the_packet_is_refused),
		cmocka_unit_test(test_packet_whose_headers_lie_is_refused),
		cmocka_unit_test(test_random_headers_never_lose_or_invent_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
