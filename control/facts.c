/* facts.c - see facts.h. */
#include "control/facts.h"

#include "control/array.h"
#include "control/error.h"
#include "control/slice.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static uint64_t number(const char *text)
{
	uint64_t n;

	return text_number(&n, text, strlen(text), INT64_MAX) ? n : 0;
}

/* The hub writes both forms. */
static bool read_key(struct wgh_public_key *key, const char *text)
{
	return key_from_hex(key->bytes, text, strlen(text)) ||
		key_from_base64(key->bytes, text, strlen(text));
}

/* "no_route 12" */
static int find_drop(const char *value, uint64_t *count)
{
	struct slice rest = {value, strlen(value)}, name = slice_word(&rest), n = slice_word(&rest);

	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		if (slice_is(name, wgh_drop_reason(i)->name) &&
			text_number(count, n.at, n.n, INT64_MAX))
			return (int)i;
	}
	return -1;
}

static enum wgh_group group_from_text(const char *text)
{
	size_t n = strcspn(text, ",");

	for (unsigned i = 0; i < WGH_GROUP_FIRST_FREE; i++) {
		if (slice_is((struct slice){text, n}, policy_group_name(i)))
			return i;
	}
	return WGH_GROUP_PEER;
}

static uint8_t nat_from_text(const char *text)
{
	uint8_t nat = WGH_NAT_NEVER;

	while (nat <= WGH_NAT_AUTO && strcmp(text, policy_nat_name(nat)))
		nat++;
	return nat <= WGH_NAT_AUTO ? nat : WGH_NAT_NEVER;
}

/* ---- lists; false: no memory ---- */

static bool add_prefix(struct wgh_prefix **list, size_t *n, size_t *cap, const char *text)
{
	struct wgh_prefix prefix;
	void *bigger = *list;

	if (text_prefix(&prefix, text, strlen(text)))
		return true;
	if (*n == *cap)
		bigger = array_grow(*list, cap, sizeof **list);
	if (!bigger)
		return false;
	*list = bigger;
	(*list)[(*n)++] = prefix;
	return true;
}

static bool add_peer(struct facts *f, const char *key)
{
	struct policy_peer peer = {.group = WGH_GROUP_PEER};
	struct fact_peer fact = {.handshake_s = 0};
	void *bigger;

	if (!read_key(&peer.public_key, key))
		return true; /* what follows goes to the peer before: nonsense for nonsense */
	if (f->n_peers == f->peers_cap) {
		bigger = array_grow(f->peers, &f->peers_cap, sizeof *f->peers);
		if (!bigger)
			return false;
		f->peers = bigger;
		bigger = array_grow(f->world_peers, &f->world_cap, sizeof *f->world_peers);
		if (!bigger)
			return false;
		f->world_peers = bigger;
	}
	fact.drops = calloc(wgh_n_drop_reasons(), sizeof *fact.drops);
	if (!fact.drops)
		return false;
	f->peers[f->n_peers] = fact;
	f->world_peers[f->n_peers++] = peer;
	return true;
}

/* ---- get=wghub ---- */

static void take_drop(struct facts *f, struct fact_peer *peer, const char *value)
{
	uint64_t count;
	int reason = find_drop(value, &count);

	if (reason >= 0 && peer)
		peer->drops[reason] = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
	else if (reason >= 0)
		f->drops[reason] = count;
}

static bool take_name(struct policy_peer *peer, const char *value)
{
	char shown[CONF_NAME_BYTES];

	text_escape(shown, sizeof shown, value, strlen(value));
	free((char *)peer->name);
	peer->name = strdup(shown);
	return peer->name != NULL;
}

static bool take_allowed_ip(struct policy_peer *peer, const char *value)
{
	/* Prefixes are few; their room grows at powers of two from 8. */
	size_t cap = 0;
	struct wgh_prefix *list = (struct wgh_prefix *)peer->prefixes;
	bool ok;

	while (cap < peer->n_prefixes)
		cap = cap ? cap * 2 : 8;
	ok = add_prefix(&list, &peer->n_prefixes, &cap, value);
	peer->prefixes = list;
	return ok;
}

static bool take_peer_line(
	struct fact_peer *fact, struct policy_peer *peer, const char *key, const char *value)
{
	if (!strcmp(key, "name"))
		return take_name(peer, value);
	if (!strcmp(key, "allowed_ip"))
		return take_allowed_ip(peer, value);
	if (!strcmp(key, "group"))
		peer->group = group_from_text(value);
	else if (!strcmp(key, "nat"))
		fact->nat = nat_from_text(value);
	else if (!strcmp(key, "wide"))
		fact->wide4 |= !strcmp(value, "ipv4"), fact->wide6 |= !strcmp(value, "ipv6");
	else if (!strcmp(key, "flows"))
		fact->n_flows = (uint32_t)number(value);
	else if (!strcmp(key, "last_handshake_time_sec"))
		fact->handshake_s = (int64_t)number(value);
	else if (!strcmp(key, "rx_bytes"))
		fact->rx_bytes = number(value);
	else if (!strcmp(key, "tx_bytes"))
		fact->tx_bytes = number(value);
	else if (!strcmp(key, "endpoint")) {
		fact->has_endpoint = true;
		text_escape(fact->endpoint, sizeof fact->endpoint, value, strlen(value));
	}
	return true;
}

/* "7 allow client -> device": a line of the file, or of its options. */
static int take_policy(struct facts *f, const char *value)
{
	struct slice rest = {value, strlen(value)}, word = slice_word(&rest);
	uint64_t line;

	if (!text_number(&line, word.at, word.n, UINT32_MAX))
		return 0;
	return policy_file_add(f->file, (unsigned)line, rest.at, rest.n);
}

static bool take_hub_line(struct facts *f, const char *key, const char *value)
{
	if (!strcmp(key, "address"))
		return add_prefix(&f->addresses, &f->world.n_addresses, &f->addresses_cap, value);
	if (!strcmp(key, "mtu"))
		f->mtu_bytes = (uint32_t)number(value);
	else if (!strcmp(key, "tun"))
		f->has_tun = !strcmp(value, "true");
	else if (!strcmp(key, "flows"))
		f->n_flows = (uint32_t)number(value);
	else if (!strcmp(key, "flows_max"))
		f->flows_max = (uint32_t)number(value);
	else if (!strcmp(key, "policy"))
		return take_policy(f, value) == 0;
	return true;
}

static const char *find(const struct ctl_answer *answer, const char *key)
{
	for (size_t i = 0; i < answer->n_lines; i++) {
		if (!strcmp(answer->lines[i].key, key))
			return answer->lines[i].value;
	}
	return "";
}

static bool take_lines(struct facts *f, const struct ctl_answer *answer)
{
	bool ok = true;

	for (size_t i = 0; ok && i < answer->n_lines; i++) {
		const char *key = answer->lines[i].key, *value = answer->lines[i].value;
		struct fact_peer *fact = f->n_peers ? &f->peers[f->n_peers - 1] : NULL;

		if (!strcmp(key, "public_key"))
			ok = add_peer(f, value);
		else if (!strcmp(key, "drop"))
			take_drop(f, fact, value);
		else if (fact)
			ok = take_peer_line(fact, &f->world_peers[f->n_peers - 1], key, value);
		else
			ok = take_hub_line(f, key, value);
	}
	return ok;
}

static int plan(struct facts *f, struct wgh_error *error)
{
	policy_plan_free(f->plan);
	f->plan = NULL;
	f->world.peers = f->world_peers;
	f->world.n_peers = f->n_peers;
	f->world.addresses = f->addresses;
	return policy_plan_make(&f->plan, f->file, &f->world, error);
}

int facts_init(struct facts *f, const char *ifname, const struct ctl_answer *answer, int64_t now_s,
	struct wgh_error *error)
{
	int err = -ENOMEM;

	*f = (struct facts){.now_s = now_s};
	snprintf(f->ifname, sizeof f->ifname, "%s", ifname);
	f->drops = calloc(wgh_n_drop_reasons(), sizeof *f->drops);
	f->file = policy_file_new(find(answer, "policy_file"));
	error_set(error, "out of memory");
	if (f->drops && f->file && take_lines(f, answer))
		err = policy_file_finish(f->file);
	if (!err && f->file->errors.n) {
		error_set(error, "%s: the hub's policy is another version's: %s", f->ifname,
			f->file->errors.lines[0]);
		err = -EPROTO;
	}
	if (!err)
		err = plan(f, error);
	if (err)
		facts_fini(f);
	return err;
}

int facts_use_file(struct facts *f, struct policy_file *file, struct wgh_error *error)
{
	policy_file_free(f->file);
	f->file = file;
	return plan(f, error);
}

/* ---- those who are no peers ---- */

static void take_absent_line(struct fact_absent *a, const char *key, const char *value)
{
	size_t n = strlen(value);

	if (!strcmp(key, "public_key"))
		a->has_key = read_key(&a->key, value);
	else if (!strcmp(key, "address") && text_addr(&a->addr, value, n))
		a->addr = (struct wgh_addr){.family = WGH_UNSPEC};
	else if (!strcmp(key, "state"))
		text_escape(a->state, sizeof a->state, value, n);
	else if (!strcmp(key, "reason"))
		text_escape(a->reason, sizeof a->reason, value, n);
	else if (!strcmp(key, "why"))
		text_escape(a->why, sizeof a->why, value, n);
}

/* One that is no peer is kept. */
static bool end_absent(struct facts *f, const struct fact_absent *a)
{
	void *bigger = f->absent;

	if (!a->state[0] || !strcmp(a->state, "online") || !strcmp(a->state, "offline"))
		return true;
	if (f->n_absent == f->absent_cap)
		bigger = array_grow(f->absent, &f->absent_cap, sizeof *f->absent);
	if (!bigger)
		return false;
	f->absent = bigger;
	f->absent[f->n_absent++] = *a;
	return true;
}

int facts_add_absent(struct facts *f, const struct ctl_answer *answer, bool pending)
{
	const char *begin = pending ? "public_key" : "peer";
	struct fact_absent a = {.has_key = false};

	for (size_t i = 0; i < answer->n_lines; i++) {
		const char *key = answer->lines[i].key, *value = answer->lines[i].value;

		if (!strcmp(key, begin)) {
			if (!end_absent(f, &a))
				return -ENOMEM;
			a = (struct fact_absent){.has_key = false};
			if (pending)
				strcpy(a.state, "pending");
			else
				text_escape(a.name, sizeof a.name, value, strlen(value));
		}
		take_absent_line(&a, key, value);
	}
	return end_absent(f, &a) ? 0 : -ENOMEM;
}

void facts_fini(struct facts *f)
{
	for (size_t i = 0; i < f->n_peers; i++) {
		free(f->peers[i].drops);
		free((char *)f->world_peers[i].name);
		free((void *)f->world_peers[i].prefixes);
	}
	free(f->peers);
	free(f->world_peers);
	free(f->addresses);
	free(f->drops);
	free(f->absent);
	policy_plan_free(f->plan);
	policy_file_free(f->file);
	*f = (struct facts){.now_s = 0};
}
