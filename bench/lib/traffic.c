/* traffic.c - see traffic.h. The inner packets are UDP with right checksums, one flow for each
 * pair, so that a hub that coalesces towards its kernel may do so. */
#include "bench/lib/traffic.h"

#include <errno.h>
#include <linux/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/be.h"
#include "core/wire.h"
#include "crypto/aead.h"

enum {
	INNER_MIN_BYTES = 64,
	INNER_MAX_BYTES = 1500,
	PACKET_MAX_BYTES = WIRE_DATA_MIN_BYTES + INNER_MAX_BYTES,
	UDP_MAX_BYTES = 65507,
	SLOT_BYTES = 1 << 16,
	SLOTS = 16,
	HEAD_BYTES = sizeof(struct wire_data),
	OPEN_EVERY = 16, /* messages */
	INNER_TTL = 64,
	/* After so much silence what is on the way is lost. Long, since on a shared machine a hub
	 * may not run for many milliseconds. */
	SILENCE_NS = 100 * 1000 * 1000,
	SEQUENCE_AT = 28, /* 8 bytes and their complement, so the checksum never changes */
};

struct traffic {
	struct aead *aead;
	struct aead_job jobs[CHUNK_PACKETS];
	uint64_t *next_sequence; /* of each pair, and the lowest that may arrive */
	uint64_t *least_sequence;
	uint32_t *on_the_way;
	uint32_t n_pairs;
	uint64_t first_sequence; /* of this turn: what is below comes late from an earlier one */
	uint64_t n_messages; /* for the choice of those to open */
	uint8_t (*templates)[INNER_MAX_BYTES]; /* each pair's inner packet */
	struct mmsghdr in[SLOTS];
	struct iovec in_iov[SLOTS];
	_Alignas(struct cmsghdr) uint8_t control[SLOTS][CMSG_SPACE(sizeof(int))];
	uint8_t packets[CHUNK_PACKETS * PACKET_MAX_BYTES];
	uint8_t heads[SLOTS][HEAD_BYTES]; /* all that is read of most messages */
	uint8_t whole[SLOT_BYTES];
};

struct traffic *traffic_new(void)
{
	struct traffic *tr = calloc(1, sizeof *tr);

	if (!tr)
		return NULL;
	if (aead_new(&tr->aead, NULL)) {
		free(tr);
		return NULL;
	}
	return tr;
}

static void pairs_free(struct traffic *tr)
{
	free(tr->next_sequence);
	free(tr->least_sequence);
	free(tr->on_the_way);
	free(tr->templates);
}

void traffic_free(struct traffic *tr)
{
	if (!tr)
		return;
	pairs_free(tr);
	aead_free(tr->aead);
	free(tr);
}

/* ---- inner packets ---- */

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return n & 1 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

static uint32_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void sequence_put(uint8_t *inner, uint64_t sequence)
{
	le64_put(inner + SEQUENCE_AT, sequence);
	le64_put(inner + SEQUENCE_AT + 8, ~sequence);
}

static void ttl_put(uint8_t *p, uint8_t ttl)
{
	p[8] = ttl;
	be16_put(p + 10, 0);
	be16_put(p + 10, sum_fold(sum16(p, 20, 0)));
}

/* IPv4 and UDP from one inner address to another. */
static void inner_write(uint8_t *p, uint32_t len, uint32_t from, uint32_t to)
{
	uint32_t udp_len = len - 20, sum;

	memset(p, 0, 28);
	p[0] = 0x45;
	be16_put(p + 2, len);
	p[6] = 0x40; /* don't fragment */
	p[9] = IPPROTO_UDP;
	be32_put(p + 12, from);
	be32_put(p + 16, to);
	ttl_put(p, INNER_TTL);
	be16_put(p + 20, 40000);
	be16_put(p + 22, 5001);
	be16_put(p + 24, udp_len);
	for (uint32_t i = 28; i < len; i++)
		p[i] = (uint8_t)(i * 37);
	sequence_put(p, 0);
	sum = sum_fold(sum16(p + 20, udp_len, sum16(p + 12, 8, IPPROTO_UDP + udp_len)));
	be16_put(p + 26, sum ? sum : 0xffff);
}

static bool pairs_new(struct traffic *tr, const struct target *t, const struct load *load)
{
	uint32_t n = load->n_pairs;

	pairs_free(tr);
	tr->next_sequence = calloc(n, sizeof *tr->next_sequence);
	tr->least_sequence = calloc(n, sizeof *tr->least_sequence);
	tr->on_the_way = calloc(n, sizeof *tr->on_the_way);
	tr->templates = calloc(n, sizeof *tr->templates);
	tr->n_pairs = n;
	if (!tr->next_sequence || !tr->least_sequence || !tr->on_the_way || !tr->templates)
		return false;
	tr->first_sequence += UINT64_C(1) << 32;
	for (uint32_t i = 0; i < n; i++) {
		tr->next_sequence[i] = tr->least_sequence[i] = tr->first_sequence;
		inner_write(tr->templates[i], load->inner_bytes, t->peers[2 * i].inner_address,
			t->peers[2 * i + 1].inner_address);
	}
	return true;
}

/* ---- out ---- */

/* The next n packets of a pair, complete but not sealed. */
static uint8_t *packets_write(struct traffic *tr, const struct load *load, struct target *t,
	uint32_t pair, uint32_t n, uint8_t *at, struct aead_job *jobs)
{
	struct played *p = &t->peers[2 * pair];

	for (uint32_t i = 0; i < n; i++) {
		le32_put(at, WIRE_DATA);
		le32_put(at + 4, p->hub_index);
		le64_put(at + 8, p->n_sent);
		memcpy(at + 16, tr->templates[pair], load->inner_bytes);
		sequence_put(at + 16, tr->next_sequence[pair]++);
		jobs[i] = (struct aead_job){.data = at + 16,
			.key = &p->keys.send,
			.counter = p->n_sent++,
			.len_bytes = load->inner_bytes};
		at += load->inner_bytes + WIRE_DATA_MIN_BYTES;
	}
	return at;
}

static bool send_failed(void)
{
	fprintf(stderr, "hub: send: %s\n", strerror(errno));
	return false;
}

/* n packets as few segmented sends, of equal size where one cannot hold them all. */
static bool send_segmented(int fd, uint8_t *data, uint32_t n, uint32_t packet_bytes)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	uint32_t most = UDP_MAX_BYTES / packet_bytes;
	uint32_t n_sends = (n + most - 1) / most;
	uint16_t segment = (uint16_t)packet_bytes;

	for (uint32_t i = 0, at = 0; i < n_sends; i++) {
		uint32_t k = (n - at) / (n_sends - i);
		struct iovec iov = {data + (size_t)at * packet_bytes, (size_t)k * packet_bytes};
		struct msghdr h = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof control};
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);

		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof segment);
		memcpy(CMSG_DATA(c), &segment, sizeof segment);
		if (sendmsg(fd, &h, 0) < 0)
			return send_failed();
		at += k;
	}
	return true;
}

/* 64 packets, in bursts of the pairs in turn. */
static bool chunk_send(
	struct traffic *tr, struct target *t, const struct load *load, uint32_t *next_pair)
{
	uint32_t packet_bytes = load->inner_bytes + WIRE_DATA_MIN_BYTES, pair = *next_pair;
	uint8_t *at = tr->packets;

	for (uint32_t i = 0; i < CHUNK_PACKETS; i += load->burst_packets) {
		at = packets_write(tr, load, t, pair, load->burst_packets, at, &tr->jobs[i]);
		pair = (pair + 1) % load->n_pairs;
	}
	aead_seal(tr->aead, tr->jobs, CHUNK_PACKETS);

	/* Single packets of one pair share a system call: the link cuts them apart. */
	uint32_t n = load->burst_packets;
	if (n == 1 && load->n_pairs == 1)
		n = CHUNK_PACKETS;
	pair = *next_pair;
	for (uint32_t i = 0; i < CHUNK_PACKETS; i += n) {
		if (!send_segmented(t->peers[2 * pair].fd, tr->packets + (size_t)i * packet_bytes,
			    n, packet_bytes))
			return false;
		tr->on_the_way[pair] += n;
		pair = (pair + 1) % load->n_pairs;
	}
	*next_pair = pair;
	return true;
}

/* ---- in ---- */

struct arrival {
	const struct load *load;
	struct target *t;
	struct turn *turn;
	uint32_t pair;
};

static bool wrong(const struct arrival *a, const char *what)
{
	fprintf(stderr, "hub: %s sent a wrong packet: %s\n", a->t->label, what);
	return false;
}

static bool segment_open(struct traffic *tr, const struct arrival *a, uint8_t *data, uint32_t len)
{
	struct played *to = &a->t->peers[2 * a->pair + 1];
	uint8_t *inner = data + 16;
	uint8_t expected[INNER_MAX_BYTES];
	struct aead_job job = {.data = inner,
		.key = &to->keys.receive,
		.counter = le64_get(data + 8),
		.len_bytes = len - WIRE_DATA_MIN_BYTES};
	uint64_t sequence;

	aead_open(tr->aead, &job, 1);
	if (!job.ok)
		return wrong(a, "it does not open");
	if (job.len_bytes == 0)
		return true; /* a keepalive */
	if (job.len_bytes < INNER_MIN_BYTES)
		return wrong(a, "it is too short");
	sequence = le64_get(inner + SEQUENCE_AT);
	if (sequence < tr->first_sequence)
		return true;
	if (job.len_bytes < a->load->inner_bytes)
		return wrong(a, "it is cut short");
	memcpy(expected, tr->templates[a->pair], a->load->inner_bytes);
	/* Segmentation in a hub's kernel numbers the packets; with "don't fragment" that means
	 * nothing (RFC 6864). */
	memcpy(expected + 4, inner + 4, 2);
	ttl_put(expected, INNER_TTL - 1);
	sequence_put(expected, sequence);
	if (memcmp(inner, expected, a->load->inner_bytes))
		return wrong(a, "its content has changed");
	if (sequence < tr->least_sequence[a->pair] || sequence >= tr->next_sequence[a->pair])
		return wrong(a, "it came before, or was never sent");
	tr->least_sequence[a->pair] = sequence + 1;
	a->turn->n_opened++;
	return true;
}

/* One message of n segments; only its first 16 bytes are there unless whole. */
static bool message_take(struct traffic *tr, struct arrival *a, uint8_t *data, uint32_t len,
	uint32_t segment, bool whole)
{
	struct played *to = &a->t->peers[2 * a->pair + 1];
	uint32_t n = (len + segment - 1) / segment;
	uint64_t counter;

	if (segment == WIRE_DATA_MIN_BYTES || len < WIRE_DATA_MIN_BYTES ||
		le32_get(data) != WIRE_DATA)
		return true; /* keepalives and handshakes are no load */
	for (uint32_t i = 0; i < (whole ? n : 1); i++) {
		uint8_t *p = data + (size_t)i * segment;
		uint32_t bytes = len - i * segment < segment ? len - i * segment : segment;

		if (bytes < WIRE_DATA_MIN_BYTES || le32_get(p + 4) != to->local_index)
			return wrong(a, "its header is not of this session");
		counter = le64_get(p + 8);
		if (counter < to->n_received)
			return wrong(a, "its counter does not rise");
		to->n_received = counter + 1;
		if (whole && !segment_open(tr, a, p, bytes))
			return false;
	}
	if (!whole)
		to->n_received += n - 1;
	a->turn->n_received += n;
	tr->on_the_way[a->pair] -= n < tr->on_the_way[a->pair] ? n : tr->on_the_way[a->pair];
	return true;
}

static uint32_t segment_bytes(struct msghdr *h, uint32_t len)
{
	int value;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&value, CMSG_DATA(c), sizeof value);
		return (uint32_t)value;
	}
	return len;
}

/* What waits for the receiver of one pair. */
static bool pair_receive(struct traffic *tr, struct arrival *a, bool *any)
{
	int fd = a->t->peers[2 * a->pair + 1].fd;
	uint32_t whole = (uint32_t)(OPEN_EVERY - 1 - tr->n_messages % OPEN_EVERY);
	int n;

	for (uint32_t i = 0; i < SLOTS; i++) {
		tr->in_iov[i] = i == whole ? (struct iovec){tr->whole, SLOT_BYTES}
					   : (struct iovec){tr->heads[i], HEAD_BYTES};
		tr->in[i].msg_hdr = (struct msghdr){.msg_iov = &tr->in_iov[i],
			.msg_iovlen = 1,
			.msg_control = tr->control[i],
			.msg_controllen = sizeof tr->control[i]};
	}
	n = recvmmsg(fd, tr->in, SLOTS, MSG_DONTWAIT | MSG_TRUNC, NULL);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		fprintf(stderr, "hub: receive: %s\n", strerror(errno));
		return false;
	}
	tr->n_messages += (uint32_t)n;
	*any |= n > 0;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		uint32_t len = tr->in[i].msg_len;

		if (len &&
			!message_take(tr, a, tr->in_iov[i].iov_base, len,
				segment_bytes(&tr->in[i].msg_hdr, len), i == whole))
			return false;
	}
	return true;
}

/* ---- the loop ---- */

/* A little rest, so that looking at an empty socket does not keep its lock from the hub. */
static void rest(void)
{
	for (int i = 0; i < 64; i++) {
#ifdef __x86_64__
		__builtin_ia32_pause();
#else
		__asm__ volatile("");
#endif
	}
}

/* What came late from the turn before, and keepalives. */
static bool sockets_empty(struct traffic *tr, struct arrival *a)
{
	for (a->pair = 0; a->pair < a->load->n_pairs; a->pair++) {
		for (bool any = true; any;) {
			any = false;
			if (!pair_receive(tr, a, &any))
				return false;
		}
	}
	return true;
}

/* In the order of sending, as far as there is something; next time it starts behind that pair, so
 * that one whose packets are lost holds up nobody. */
static bool pairs_receive(struct traffic *tr, struct arrival *a, uint32_t *cursor, bool *any)
{
	for (uint32_t i = 0; i < a->load->n_pairs; i++) {
		bool some = false;

		a->pair = *cursor;
		*cursor = (*cursor + 1) % a->load->n_pairs;
		if (!tr->on_the_way[a->pair])
			continue;
		if (!pair_receive(tr, a, &some))
			return false;
		*any |= some;
		if (!some)
			break;
	}
	return true;
}

static uint64_t on_the_way(const struct traffic *tr)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < tr->n_pairs; i++)
		n += tr->on_the_way[i];
	return n;
}

static bool loop(struct traffic *tr, struct arrival *a, uint64_t duration_ns)
{
	uint64_t start_ns = clock_now_ns(), now_ns = start_ns, heard_ns = start_ns, flying = 0;
	uint32_t next_pair = 0, cursor = 0;

	for (;;) {
		bool sending = now_ns - start_ns < duration_ns;
		bool room = flying + CHUNK_PACKETS <= a->t->window_packets;
		uint64_t before_ns = now_ns;
		bool any = false;

		if (!sending && (!flying || now_ns - heard_ns > SILENCE_NS))
			break;
		if (sending && room) {
			if (!chunk_send(tr, a->t, a->load, &next_pair))
				return false;
			a->turn->n_sent += CHUNK_PACKETS;
		}
		if (!pairs_receive(tr, a, &cursor, &any))
			return false;
		flying = on_the_way(tr);
		now_ns = clock_now_ns();
		if (any) {
			heard_ns = now_ns;
		} else if (sending && now_ns - heard_ns > SILENCE_NS) {
			memset(tr->on_the_way, 0, tr->n_pairs * sizeof *tr->on_the_way);
			flying = 0;
			heard_ns = now_ns;
		} else if (!room) {
			if (a->t->shared)
				target_sleep(a->t);
			else
				rest();
			now_ns = clock_now_ns();
			a->turn->waited_ns += now_ns - before_ns;
		}
	}
	a->turn->elapsed_ns = heard_ns - start_ns;
	return true;
}

bool traffic_turn(struct traffic *tr, struct target *t, const struct load *load,
	uint64_t duration_ns, struct turn *turn)
{
	uint64_t cpu_ns, softirq_ns;
	struct arrival a = {.load = load, .t = t, .turn = turn};

	if (!pairs_new(tr, t, load))
		return wrong(&a, "no memory");
	if (!sockets_empty(tr, &a) || !target_refresh(t))
		return false;
	*turn = (struct turn){0};
	if (!target_cpu_ns(t, &cpu_ns, &softirq_ns) || !loop(tr, &a, duration_ns) ||
		!target_cpu_ns(t, &turn->cpu_ns, &turn->softirq_ns))
		return false;
	turn->cpu_ns -= cpu_ns;
	turn->softirq_ns -= softirq_ns;
	return true;
}
