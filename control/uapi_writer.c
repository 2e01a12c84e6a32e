/* uapi_writer.c - the answers of uapi.h. Called by uapi_server.c each time a client has read the
 * last piece.
 *
 * The writer keeps only its place in the snapshot: an answer of any length needs one buffer, and a
 * client that does not read costs no more than that and the snapshot. Each step makes a few lines;
 * a step that does not fit any more is made again for the next piece. */
#include "control/uapi.h"

#include "control/text.h"
#include "crypto/key_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* DEVICE -> ADDRESSES -> DROPS -> EXTRA -> (PEER -> PEER_ALLOWED -> PEER_DROPS)* -> END -> DONE.
 * ADDRESSES, DROPS and EXTRA are passed through without a line where wg asks. */
enum stage {
	STAGE_DEVICE,
	STAGE_ADDRESSES,
	STAGE_DROPS,
	STAGE_EXTRA,
	STAGE_PEER,
	STAGE_PEER_ALLOWED,
	STAGE_PEER_DROPS,
	STAGE_END,
	STAGE_DONE,
};

struct piece {
	char text[UAPI_WRITE_MIN];
	size_t n;
};

static void put(struct piece *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct piece *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->text + out->n, sizeof out->text - out->n, format, args);
	va_end(args);
	/* No step comes near the limit; if one did, cut text is better than a wild write. */
	if (n > 0)
		out->n = out->n + (size_t)n < sizeof out->text ? out->n + (size_t)n
							       : sizeof out->text - 1;
}

static void put_key(struct piece *out, const char *key, const uint8_t bytes[32])
{
	char hex[KEY_HEX_CHARS + 1];

	key_to_hex(hex, bytes);
	put(out, "%s=%s\n", key, hex);
	secret_wipe(hex, sizeof hex);
}

static void put_prefix(struct piece *out, const char *key, const struct wgh_prefix *prefix)
{
	char text[TEXT_PREFIX_CHARS];

	text_from_prefix(text, prefix);
	put(out, "%s=%s\n", key, text);
}

const char *uapi_offload_name(unsigned index)
{
	static const char *const names[] = {"udp-gro", "udp-gso", "tun-tso", "tun-uso"};

	return index < sizeof names / sizeof *names ? names[index] : NULL;
}

static void put_device(struct piece *out, const struct uapi_writer *w)
{
	const struct wgh_snapshot *s = w->snapshot;

	if (!w->own && s->has_private_key)
		put_key(out, "private_key", s->private_key);
	if (w->own && s->has_private_key)
		put_key(out, "hub_public_key", s->public_key.bytes);
	if (s->listen_port)
		put(out, "listen_port=%u\n", s->listen_port);
	if (s->fwmark)
		put(out, "fwmark=%" PRIu32 "\n", s->fwmark);
	if (!w->own)
		return;
	put(out, "flows=%" PRIu32 "\nflows_max=%" PRIu32 "\n", s->n_flows, s->flows_max);
	put(out, "version=%s\naead=%s\nmtu=%" PRIu32 "\nworkers=%u\nforwarded=%" PRIu64 "\n",
		WGHUB_VERSION, s->aead, s->mtu_bytes, s->n_workers, s->n_forwarded);
	for (unsigned i = 0; uapi_offload_name(i); i++) {
		if (s->offloads & 1u << i)
			put(out, "offload=%s\n", uapi_offload_name(i));
	}
}

/* False: there is no such line. */
static bool put_extra(struct piece *out, const struct uapi_writer *w)
{
	char room[UAPI_WRITE_MIN - 8];
	const char *line =
		w->extra.line ? w->extra.line(w->extra.arg, w->item, room, sizeof room) : NULL;

	if (line)
		put(out, "%s\n", line);
	return line != NULL;
}

static void put_reach(
	struct piece *out, const struct uapi_writer *w, const struct wgh_peer_view *peer)
{
	static const char *const nats[] = {
		[WGH_NAT_NEVER] = "never", [WGH_NAT_ALWAYS] = "always", [WGH_NAT_AUTO] = "auto"};
	char room[256];

	if (w->extra.group)
		put(out, "group=%s\n",
			w->extra.group(w->extra.arg, peer->group, room, sizeof room));
	if (peer->nat <= WGH_NAT_AUTO)
		put(out, "nat=%s\n", nats[peer->nat]);
	if (peer->wide4)
		put(out, "wide=ipv4\n");
	if (peer->wide6)
		put(out, "wide=ipv6\n");
	if (peer->n_flows)
		put(out, "flows=%" PRIu32 "\n", peer->n_flows);
}

static void put_peer(struct piece *out, const struct uapi_writer *w)
{
	const struct wgh_peer_view *peer = &w->snapshot->peers[w->peer];
	const char *name = w->own && w->name ? w->name(w->name_arg, &peer->public_key) : NULL;

	put_key(out, "public_key", peer->public_key.bytes);
	if (name)
		put(out, "name=%.200s\n", name);
	if (!w->own) {
		put_key(out, "preshared_key", peer->preshared_key);
		put(out, "protocol_version=1\n");
	} else if (!ct_is_zero(peer->preshared_key, sizeof peer->preshared_key)) {
		put(out, "has_preshared_key=true\n");
	}
	if (peer->endpoint.family != WGH_UNSPEC) {
		char text[TEXT_ENDPOINT_CHARS];

		text_from_endpoint(text, &peer->endpoint);
		put(out, "endpoint=%s\n", text);
	}
	put(out,
		"last_handshake_time_sec=%" PRId64 "\nlast_handshake_time_nsec=%" PRIu32
		"\ntx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64 "\npersistent_keepalive_interval=%u\n",
		peer->last_handshake_s, peer->last_handshake_ns, peer->tx_bytes, peer->rx_bytes,
		peer->keepalive_s);
	if (w->own)
		put_reach(out, w, peer);
}

static void put_drop(struct piece *out, unsigned reason, uint64_t count)
{
	put(out, "drop=%s %" PRIu64 "\n", wgh_drop_reason(reason)->name, count);
}

/* The next lines; false: the answer is complete. w moves on by one step. */
static bool step(struct uapi_writer *w, struct piece *out)
{
	const struct wgh_snapshot *s = w->snapshot;
	const struct wgh_peer_view *peer = w->peer < s->n_peers ? &s->peers[w->peer] : NULL;

	switch (w->stage) {
	case STAGE_DEVICE:
		put_device(out, w);
		w->stage = w->own ? STAGE_ADDRESSES : STAGE_PEER;
		return true;
	case STAGE_ADDRESSES:
		if (w->item < s->n_addresses) {
			put_prefix(out, "address", &s->addresses[w->item++]);
			return true;
		}
		break;
	case STAGE_DROPS:
		while (w->item < wgh_n_drop_reasons() && !s->drops[w->item])
			w->item++;
		if (w->item < wgh_n_drop_reasons()) {
			put_drop(out, (unsigned)w->item, s->drops[w->item]);
			w->item++;
			return true;
		}
		break;
	case STAGE_EXTRA:
		if (put_extra(out, w)) {
			w->item++;
			return true;
		}
		break;
	case STAGE_PEER:
		if (!peer) {
			w->stage = STAGE_END;
			return true;
		}
		put_peer(out, w);
		break;
	case STAGE_PEER_ALLOWED:
		if (w->item < peer->n_allowed_ips) {
			put_prefix(out, "allowed_ip", &peer->allowed_ips[w->item++]);
			return true;
		}
		if (w->own)
			break;
		w->peer++;
		w->item = 0;
		w->stage = STAGE_PEER;
		return true;
	case STAGE_PEER_DROPS:
		/* Counters of zero are left out, and there are many of them. */
		while (w->item < wgh_n_drop_reasons() && !peer->drops[w->item])
			w->item++;
		if (w->item < wgh_n_drop_reasons()) {
			put_drop(out, (unsigned)w->item, peer->drops[w->item]);
			w->item++;
			return true;
		}
		w->peer++;
		w->item = 0;
		w->stage = STAGE_PEER;
		return true;
	case STAGE_END:
		put(out, "errno=0\n\n");
		break;
	default:
		return false;
	}
	w->item = 0;
	w->stage++;
	return true;
}

void uapi_writer_init(struct uapi_writer *w, const struct wgh_snapshot *snapshot, bool own,
	uapi_name_fn *name, void *name_arg)
{
	*w = (struct uapi_writer){
		.snapshot = snapshot, .name = name, .name_arg = name_arg, .own = own};
}

size_t uapi_write(struct uapi_writer *w, char *out, size_t size)
{
	struct piece piece;
	size_t n = 0;

	for (;;) {
		struct uapi_writer before = *w;

		piece.n = 0;
		if (!step(w, &piece))
			break;
		if (n + piece.n > size) {
			*w = before;
			break;
		}
		memcpy(out + n, piece.text, piece.n);
		n += piece.n;
	}
	secret_wipe(&piece, sizeof piece);
	return n;
}
