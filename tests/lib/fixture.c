/* fixture.c - see fixture.h. A broken expectation in here fails the test that called, through
 * cmocka. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/fixture.h"

#include "crypto/aead.h"
#include "tests/lib/naive.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the hub calls ---- */

static void hub_random(void *arg, void *out, size_t len_bytes)
{
	struct fixture *f = arg;

	rng_fill(&f->rng, out, len_bytes);
}

static void keep(struct sent *list, size_t *n, const struct sent *what, const void *data)
{
	if (*n == SENT_MAX)
		fail_msg("more than %d packets were sent", SENT_MAX);
	list[*n] = *what;
	/* An allocator that test_alloc.c lets alone: this is called from inside the hub. */
	list[*n].data = reallocarray(NULL, 1, what->len_bytes ? what->len_bytes : 1);
	memcpy(list[*n].data, data, what->len_bytes);
	(*n)++;
}

static void hub_send(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	struct fixture *f = arg;

	keep(f->sent, &f->n_sent, &(struct sent){.to = *to, .len_bytes = len_bytes, .tos = tos},
		data);
}

static void hub_event(void *arg, const struct wgh_event *event)
{
	struct fixture *f = arg;

	if (f->n_events < EVENTS_MAX)
		f->events[f->n_events++] = *event;
}

/* ---- life ---- */

void fixture_init(struct fixture *f, const struct fixture_options *options)
{
	struct hub_options hub_options = {.n_workers = options->n_workers ? options->n_workers : 1,
		.aead = "sodium",
		.has_tun = options->has_tun,
		.deliver_unowned = options->deliver_unowned,
		.random = hub_random,
		.send = hub_send,
		.on_event = hub_event,
		.budget = &f->budget,
		.arg = f};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_prefix addresses[2] = {prefix4(10, 0, 0, 254, 24), prefix6(0xfe, 64)};

	memset(f, 0, sizeof *f);
	f->rng.state = options->seed + 1;
	f->now_ns = FIXTURE_START_NS;
	f->wall_ns = FIXTURE_START_WALL_NS;
	assert_int_equal(secret_init(), 0);
	assert_int_equal(hub_new(&f->hub, &hub_options), 0);
	f->worker = f->hub->workers[0];
	rng_fill(&f->rng, change.private_key, sizeof change.private_key);
	if (!options->without_key)
		assert_int_equal(hub_apply(f->hub, &change, f->now_ns, NULL), 0);
	if (!options->without_addresses)
		assert_int_equal(hub_set_addresses(f->hub, addresses, 2), 0);
	f->hub_key = f->hub->identity->public_key;
	if (!options->down)
		hub_set_up(f->hub, true, f->now_ns);
	hub_free_retired(f->hub, hub_take_retired(f->hub));
}

static void forget(struct sent *list, size_t *n)
{
	while (*n)
		free(list[--*n].data);
}

void fixture_forget(struct fixture *f)
{
	forget(f->sent, &f->n_sent);
	forget(f->tun, &f->n_tun);
	f->n_events = 0;
}

void fixture_fini(struct fixture *f)
{
	fixture_forget(f);
	hub_free(f->hub);
	assert_int_equal(relaxed_get(&f->budget.used_bytes), 0);
}

int fixture_teardown(void **state)
{
	fixture_check_sum(*state);
	fixture_fini(*state);
	return 0;
}

/* ---- running ---- */

void fixture_run(struct fixture *f)
{
	f->next_ns = hub_run(f->hub, f->now_ns, f->wall_ns);
	hub_free_retired(f->hub, hub_take_retired(f->hub));
}

void fixture_advance(struct fixture *f, uint64_t by_ns)
{
	const uint64_t until_ns = f->now_ns + by_ns;

	for (;;) {
		const uint64_t at_ns = time_earlier(timer_heap_next(&f->hub->timers), until_ns);

		if (at_ns > f->now_ns) {
			f->wall_ns += (int64_t)(at_ns - f->now_ns);
			f->now_ns = at_ns;
		}
		fixture_run(f);
		if (f->now_ns == until_ns && f->next_ns > f->now_ns)
			return;
	}
}

static void capture(struct fixture *f, const struct worker_output *out)
{
	for (size_t i = 0; i < out->n_bursts; i++) {
		const struct wgh_burst *burst = &out->bursts[i];

		assert_true(burst->n_packets > 0);
		for (uint32_t k = 0; k < burst->n_packets; k++)
			keep(f->sent, &f->n_sent,
				&(struct sent){.to = burst->endpoint,
					.len_bytes = burst->packets[k].len_bytes,
					.ecn = burst->packets[k].ecn,
					.by_worker = true},
				burst->packets[k].data);
	}
	for (size_t i = 0; i < out->n_to_tun; i++)
		keep(f->tun, &f->n_tun, &(struct sent){.len_bytes = out->to_tun[i].len_bytes},
			out->to_tun[i].data);
}

static void burst_only(struct fixture *f, const struct wgh_endpoint *from,
	const struct wgh_packet *packets, uint32_t n)
{
	struct wgh_packet *copies = calloc(n, sizeof *copies);
	struct wgh_burst burst = {.endpoint = *from, .packets = copies, .n_packets = n};

	for (uint32_t i = 0; i < n; i++) {
		copies[i] = packets[i];
		copies[i].data = malloc(packets[i].len_bytes ? packets[i].len_bytes : 1);
		memcpy(copies[i].data, packets[i].data, packets[i].len_bytes);
	}
	capture(f, worker_input_udp(f->worker, &burst, 1, f->now_ns));
	for (uint32_t i = 0; i < n; i++)
		free(copies[i].data);
	free(copies);
}

void fixture_burst(struct fixture *f, const struct wgh_endpoint *from,
	const struct wgh_packet *packets, uint32_t n)
{
	burst_only(f, from, packets, n);
	fixture_run(f);
}

void fixture_udp_only(
	struct fixture *f, const struct wgh_endpoint *from, const void *data, uint32_t len_bytes)
{
	struct wgh_packet packet = {.data = (uint8_t *)data, .len_bytes = len_bytes};

	burst_only(f, from, &packet, 1);
}

void fixture_udp(
	struct fixture *f, const struct wgh_endpoint *from, const void *data, uint32_t len_bytes)
{
	fixture_udp_only(f, from, data, len_bytes);
	fixture_run(f);
}

void fixture_tun(struct fixture *f, const void *data, uint32_t len_bytes)
{
	uint8_t *room = malloc(WGH_HEADROOM_BYTES + len_bytes + WGH_TAILROOM_BYTES);
	struct wgh_packet packet = {.data = room + WGH_HEADROOM_BYTES, .len_bytes = len_bytes};

	memcpy(packet.data, data, len_bytes);
	capture(f, worker_input_tun(f->worker, &packet, 1, f->now_ns));
	free(room);
	fixture_run(f);
}

/* ---- changes ---- */

int fixture_apply(struct fixture *f, const struct wgh_change *change, struct wgh_error *error)
{
	int err = hub_apply(f->hub, change, f->now_ns, error);

	hub_free_retired(f->hub, hub_take_retired(f->hub));
	return err;
}

void fixture_change_peer(struct fixture *f, const struct wgh_peer_change *peer)
{
	const struct wgh_change change = {.peers = peer, .n_peers = 1};

	assert_int_equal(fixture_apply(f, &change, NULL), 0);
}

/* ---- counters ---- */

uint64_t fixture_drops(const struct fixture *f, enum drop reason)
{
	uint64_t n = relaxed_get(&f->hub->drops[reason]);

	for (unsigned i = 0; i < f->hub->options.n_workers; i++)
		n += relaxed_get(&f->hub->workers[i]->stats.drops[reason]);
	return n;
}

uint64_t fixture_all_drops(const struct fixture *f)
{
	uint64_t n = 0;

	for (unsigned r = 0; r < DROP_N; r++)
		n += fixture_drops(f, r);
	return n;
}

size_t fixture_count_events(const struct fixture *f, enum wgh_event_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_events; i++)
		n += f->events[i].kind == kind;
	return n;
}

void fixture_check_sum(const struct fixture *f)
{
	uint64_t in = 0, out = 0;

	for (unsigned i = 0; i < f->hub->options.n_workers; i++) {
		struct worker_stats *s = &f->hub->workers[i]->stats;

		in += relaxed_get(&s->n_udp_in) + relaxed_get(&s->n_tun_in) +
			relaxed_get(&s->n_own);
		for (unsigned r = 0; r < DROP_N; r++)
			out += relaxed_get(&s->drops[r]);
		out += relaxed_get(&s->n_handshakes) + relaxed_get(&s->n_keepalives) +
			relaxed_get(&s->n_staged) + relaxed_get(&s->n_to_tun) +
			relaxed_get(&s->n_answers) + relaxed_get(&s->n_to_udp);
	}
	assert_int_equal(in, out);
}

/* ---- the other end ---- */

void remote_init(struct fixture *f, struct remote *r, unsigned n)
{
	struct x25519_secret secret;

	memset(r, 0, sizeof *r);
	r->n = n;
	r->endpoint = endpoint4((uint8_t)n, (uint16_t)(5000 + n));
	rng_fill(&f->rng, secret.bytes, sizeof secret.bytes);
	noise_identity_set(&r->identity, &secret);
}

struct wgh_public_key remote_key(const struct remote *r)
{
	struct wgh_public_key key;

	memcpy(key.bytes, r->identity.public_key.bytes, sizeof key.bytes);
	return key;
}

static void add(struct fixture *f, struct remote *r, uint32_t flags)
{
	struct wgh_allowed_ip ips[2] = {{.prefix = prefix4(10, 0, 0, (uint8_t)r->n, 32)},
		{.prefix = prefix6((uint8_t)r->n, 128)}};
	struct wgh_peer_change peer = {.public_key = remote_key(r),
		.flags = flags | WGH_PEER_HAS_PRESHARED_KEY,
		.endpoint = r->endpoint,
		.allowed_ips = ips,
		.n_allowed_ips = 2};

	memcpy(peer.preshared_key, r->psk.bytes, sizeof peer.preshared_key);
	fixture_change_peer(f, &peer);
}

void remote_add(struct fixture *f, struct remote *r)
{
	add(f, r, 0);
}

void remote_add_with_endpoint(struct fixture *f, struct remote *r)
{
	add(f, r, WGH_PEER_HAS_ENDPOINT);
}

void remote_pair_add(struct fixture *f, struct remote *a, struct remote *b)
{
	remote_init(f, a, 1);
	remote_init(f, b, 2);
	remote_add_with_endpoint(f, a);
	remote_add(f, b);
}

void remote_pair_connect(struct fixture *f, struct remote *a, struct remote *b)
{
	remote_init(f, a, 1);
	remote_init(f, b, 2);
	remote_add(f, a);
	remote_add(f, b);
	remote_connect(f, a);
	remote_connect(f, b);
}

struct peer *remote_peer(const struct fixture *f, const struct remote *r)
{
	return peer_find(&f->hub->peers, &r->identity.public_key);
}

static void put_timestamp(uint8_t out[WIRE_TIMESTAMP_BYTES], uint64_t n)
{
	memset(out, 0, WIRE_TIMESTAMP_BYTES);
	out[0] = 0x40;
	for (int i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(n >> (56 - 8 * i));
}

void remote_sign(struct fixture *f, struct remote *r, void *msg, size_t len_bytes)
{
	cookie_jar_sign(&r->jar, &f->hub_key, msg, len_bytes, f->now_ns);
}

void remote_initiation(struct fixture *f, struct remote *r, struct wire_initiation *msg)
{
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], random[32], ss[32];

	memset(msg, 0, sizeof *msg);
	put_timestamp(timestamp, ++r->timestamp);
	rng_fill(&f->rng, random, sizeof random);
	r->begun_index = (uint32_t)rng_next(&f->rng);
	assert_true(noise_static_static(ss, &r->identity, &f->hub_key));
	assert_true(noise_initiation_create(
		&r->begun, msg, &r->identity, &f->hub_key, ss, timestamp, random));
	le32_put(msg->type, WIRE_INITIATION);
	le32_put(msg->sender, r->begun_index);
	remote_sign(f, r, msg, sizeof *msg);
}

bool remote_take_response(struct remote *r, const struct sent *sent)
{
	const struct wire_response *msg = (const struct wire_response *)sent->data;
	struct noise_state state = r->begun;
	struct noise_keys keys;

	if (sent->len_bytes != sizeof *msg || le32_get(msg->type) != WIRE_RESPONSE ||
		le32_get(msg->receiver) != r->begun_index ||
		!noise_response_open(&state, &keys, msg, &r->identity, &r->psk))
		return false;
	r->keys = keys;
	r->local_index = r->begun_index;
	r->remote_index = le32_get(msg->sender);
	r->counter = 0;
	return true;
}

bool remote_answer(struct fixture *f, struct remote *r, const struct sent *initiation,
	struct wire_response *msg)
{
	const struct wire_initiation *in = (const struct wire_initiation *)initiation->data;
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], random[32], ss[32];
	struct x25519_public from;
	struct noise_state state;

	memset(msg, 0, sizeof *msg);
	rng_fill(&f->rng, random, sizeof random);
	if (initiation->len_bytes != sizeof *in || le32_get(in->type) != WIRE_INITIATION ||
		!noise_initiation_open(&state, &from, in, &r->identity) ||
		memcmp(&from, &f->hub_key, sizeof from) ||
		!noise_static_static(ss, &r->identity, &from) ||
		!noise_initiation_verify(&state, timestamp, in, ss) ||
		!noise_response_create(&state, msg, &r->keys, &from, &r->psk, random))
		return false;
	r->local_index = (uint32_t)rng_next(&f->rng);
	r->remote_index = le32_get(in->sender);
	r->counter = 0;
	le32_put(msg->type, WIRE_RESPONSE);
	le32_put(msg->sender, r->local_index);
	le32_put(msg->receiver, r->remote_index);
	remote_sign(f, r, msg, sizeof *msg);
	return true;
}

void remote_connect(struct fixture *f, struct remote *r)
{
	struct wire_initiation msg;
	const struct sent *response;
	size_t before = f->n_sent;

	remote_initiation(f, r, &msg);
	fixture_udp(f, &r->endpoint, &msg, sizeof msg);
	assert_int_equal(f->n_sent, before + 1);
	response = &f->sent[before];
	assert_true(remote_take_response(r, response));
	remote_send(f, r, NULL, 0);
	assert_non_null(relaxed_get(&remote_peer(f, r)->current));
	fixture_forget(f);
}

void remote_connect_from_hub(struct fixture *f, struct remote *r)
{
	struct wire_response msg;

	fixture_forget(f);
	handshake_want(f->hub, remote_peer(f, r), f->now_ns, f->wall_ns);
	assert_int_equal(f->n_sent, 1);
	assert_true(remote_answer(f, r, &f->sent[0], &msg));
	fixture_udp(f, &r->endpoint, &msg, sizeof msg);
	assert_non_null(relaxed_get(&remote_peer(f, r)->current));
	fixture_forget(f);
}

static uint32_t seal(struct remote *r, uint8_t *out, const void *inner, uint32_t len_bytes,
	uint32_t padded_bytes)
{
	struct wire_data *msg = (struct wire_data *)out;

	memset(out, 0, sizeof *msg + padded_bytes);
	if (len_bytes)
		memcpy(out + sizeof *msg, inner, len_bytes);
	le32_put(msg->type, WIRE_DATA);
	le32_put(msg->receiver, r->remote_index);
	le64_put(msg->counter, r->counter);
	aead_seal_one(out + sizeof *msg, out + sizeof *msg, padded_bytes, NULL, 0, &r->keys.send,
		r->counter++);
	return padded_bytes + (uint32_t)WIRE_DATA_MIN_BYTES;
}

uint32_t remote_seal(struct remote *r, uint8_t *out, const void *inner, uint32_t len_bytes)
{
	return seal(r, out, inner, len_bytes, (len_bytes + 15) & ~15u);
}

uint32_t remote_seal_unpadded(struct remote *r, uint8_t *out, const void *inner, uint32_t len_bytes)
{
	return seal(r, out, inner, len_bytes, len_bytes);
}

void remote_send(struct fixture *f, struct remote *r, const void *inner, uint32_t len_bytes)
{
	uint8_t *message = malloc(len_bytes + 15 + WIRE_DATA_MIN_BYTES);
	uint32_t n = remote_seal(r, message, inner, len_bytes);

	fixture_udp(f, &r->endpoint, message, n);
	free(message);
}

int remote_open(const struct remote *r, const struct sent *sent, uint8_t *out)
{
	const struct wire_data *msg = (const struct wire_data *)sent->data;

	if (sent->len_bytes < WIRE_DATA_MIN_BYTES || le32_get(msg->type) != WIRE_DATA ||
		le32_get(msg->receiver) != r->local_index ||
		!aead_open_one(out, sent->data + sizeof *msg, sent->len_bytes - sizeof *msg, NULL,
			0, &r->keys.receive, le64_get(msg->counter)))
		return -1;
	return (int)(sent->len_bytes - WIRE_DATA_MIN_BYTES);
}

const struct sent *remote_sent(const struct fixture *f, const struct remote *r, size_t i)
{
	for (size_t k = 0; k < f->n_sent; k++)
		if (f->sent[k].to.port == r->endpoint.port &&
			!memcmp(f->sent[k].to.addr, r->endpoint.addr, 16) && !i--)
			return &f->sent[k];
	return NULL;
}

/* ---- inner packets ---- */

void inner_mend(struct inner *p)
{
	put16(p->data + 10, 0);
	put16(p->data + 10, ~naive_sum(0, p->data, (p->data[0] & 15u) * 4));
}

static struct inner header4(unsigned src, unsigned dst, uint8_t proto, uint32_t body_bytes)
{
	struct inner p = {.len_bytes = 20 + body_bytes};

	p.data[0] = 0x45;
	put16(p.data + 2, p.len_bytes);
	p.data[8] = 64;
	p.data[9] = proto;
	memcpy(p.data + 12, (uint8_t[]){10, 0, 0, (uint8_t)src, 10, 0, 0, (uint8_t)dst}, 8);
	inner_mend(&p);
	return p;
}

static void put_udp(uint8_t *p, uint32_t payload_bytes)
{
	put16(p, 7);
	put16(p + 2, 9);
	put16(p + 4, 8 + payload_bytes);
	for (uint32_t i = 0; i < payload_bytes; i++)
		p[8 + i] = (uint8_t)i;
}

struct inner inner4(unsigned src, unsigned dst, uint32_t payload_bytes)
{
	struct inner p = header4(src, dst, IP_PROTO_UDP, 8 + payload_bytes);

	put_udp(p.data + 20, payload_bytes); /* checksum 0: none, which IPv4 allows */
	return p;
}

struct inner inner6(unsigned src, unsigned dst, uint32_t payload_bytes)
{
	struct inner p = {.len_bytes = 48 + payload_bytes};

	p.data[0] = 0x60;
	put16(p.data + 4, 8 + payload_bytes);
	p.data[6] = IP_PROTO_UDP;
	p.data[7] = 64;
	p.data[8] = p.data[24] = 0xfd;
	p.data[23] = (uint8_t)src;
	p.data[39] = (uint8_t)dst;
	put_udp(p.data + 40, payload_bytes);
	return p;
}

struct inner inner_echo4(unsigned src, unsigned dst)
{
	struct inner p = header4(src, dst, IP_PROTO_ICMP, 16);

	p.data[20] = 8;
	put16(p.data + 24, 0x1234);
	put16(p.data + 22, ~naive_sum(0, p.data + 20, 16));
	return p;
}

struct wgh_prefix prefix4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t bits)
{
	return (struct wgh_prefix){{{a, b, c, d}, WGH_IPV4}, bits};
}

struct wgh_prefix prefix6(uint8_t last, uint8_t bits)
{
	return (struct wgh_prefix){{{0xfd, [15] = last}, WGH_IPV6}, bits};
}

struct wgh_endpoint endpoint4(uint8_t last, uint16_t port)
{
	return (struct wgh_endpoint){.addr = {192, 0, 2, last}, .port = port, .family = WGH_IPV4};
}
