/* why.c - see why.h: the walk itself, one function for each link. */
#include "control/why.h"

#include "control/array.h"
#include "control/error.h"
#include "control/policy_words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONLINE_S 180 /* a session's last handshake is no older than its key may be */
#define NOBODY (-1000)

struct walk {
	struct why_report *report;
	const struct facts *facts;
	const struct why_question *q;
	long from, to; /* index of a peer, WHY_HOST, or NOBODY */
	char from_text[POLICY_WHO_CHARS], to_text[POLICY_WHO_CHARS];
};

/* ---- the report ---- */

static struct why_step *add(struct walk *w, enum why_state state, const char *link)
{
	static struct why_step nowhere;
	struct why_report *report = w->report;
	void *bigger = report->steps;

	if (report->n == report->cap)
		bigger = array_grow(report->steps, &report->cap, sizeof *report->steps);
	if (!bigger) {
		report->out_of_memory = true;
		return &nowhere;
	}
	report->steps = bigger;
	report->steps[report->n] = (struct why_step){.state = state, .link = link, .about = ""};
	return &report->steps[report->n++];
}

static void say(char out[WHY_CHARS], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(char out[WHY_CHARS], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(out, WHY_CHARS, format, args);
	va_end(args);
}

static const char *ago(char out[40], int64_t seconds)
{
	if (seconds < 120)
		snprintf(out, 40, "%" PRId64 " s", seconds);
	else if (seconds < 7200)
		snprintf(out, 40, "%" PRId64 " min", seconds / 60);
	else if (seconds < 172800)
		snprintf(out, 40, "%" PRId64 " h", seconds / 3600);
	else
		snprintf(out, 40, "%" PRId64 " days", seconds / 86400);
	return out;
}

static const char *peer_text(char out[POLICY_WHO_CHARS], const struct facts *f, long end)
{
	char key[TEXT_PEER_CHARS];

	if (end == WHY_HOST) {
		snprintf(out, POLICY_WHO_CHARS, "the hub's host");
	} else if (f->world_peers[end].name) {
		snprintf(out, POLICY_WHO_CHARS, "%s", f->world_peers[end].name);
	} else {
		text_from_peer(key, &f->world_peers[end].public_key);
		snprintf(out, POLICY_WHO_CHARS, "%s", key);
	}
	return out;
}

/* ---- who that is ---- */

static const struct fact_absent *find_absent(const struct facts *f, const struct policy_who *who)
{
	for (size_t i = 0; i < f->n_absent; i++) {
		const struct fact_absent *a = &f->absent[i];

		if ((who->kind == WHO_NAME && !strcmp(a->name, who->name)) ||
			(who->kind == WHO_KEY && a->has_key &&
				!memcmp(&a->key, &who->key, sizeof a->key)) ||
			(who->kind == WHO_ADDR && !memcmp(&a->addr, &who->addr, sizeof a->addr)))
			return a;
	}
	return NULL;
}

static void say_absent(struct why_step *step, const struct fact_absent *a, const char *text)
{
	const struct why_explanation *explanation = why_refusal(a->reason);

	if (!strcmp(a->state, "refused")) {
		if (explanation)
			step->about = explanation->name;
		say(step->text, "%s", a->why[0] ? a->why : "the hub refuses to have it as a peer");
		say(step->remedy, "%s",
			explanation ? explanation->remedy : "wghub status names what collides.");
	} else if (!strcmp(a->state, "disabled")) {
		say(step->text, "%s is disabled in the Factory", text);
		say(step->remedy, "wghub device enable %s; the device follows within five minutes",
			text);
	} else if (!strcmp(a->state, "pending")) {
		say(step->text, "%s calls the hub, but it is no peer", text);
		say(step->remedy, "If you know whose key that is: wghub client approve KEY NAME");
	} else {
		say(step->text,
			"the Factory's config has the VPN switched off (enabled=0), so %s is "
			"no peer",
			text);
		say(step->remedy,
			"Publish this hub again: wghub enable, or fioctl config wireguard");
	}
}

static void say_nobody(struct why_step *step, const struct facts *f, const struct policy_who *who,
	const char *text, long found)
{
	const struct fact_absent *absent = find_absent(f, who);

	if (found == -EISDIR) {
		say(step->text, "%s is a group; say which peer", text);
		say(step->remedy,
			"wghub show %s lists them; for the rules of groups: wghub policy test",
			f->ifname);
	} else if (found == -EEXIST) {
		say(step->text, "several peers are called %s", text);
		say(step->remedy, "Give the key or the address of one; wghub show %s has them",
			f->ifname);
	} else if (absent) {
		say_absent(step, absent, text);
	} else if (who->kind == WHO_ADDR) {
		say(step->text, "nobody owns %s: a packet to it is dropped (no_route)", text);
		say(step->remedy, "wghub show %s lists who owns which address", f->ifname);
	} else {
		say(step->text, "%s is no peer of this hub", text);
		say(step->remedy,
			"wghub show %s lists its peers. A device: wghub sync, wghub devices; an "
			"engineer: wghub client add",
			f->ifname);
	}
}

static void describe(char out[WHY_CHARS], const struct facts *f, long end)
{
	const struct policy_peer *peer = &f->world_peers[end];
	char text[POLICY_WHO_CHARS], group[POLICY_CLASS_CHARS], prefix[TEXT_PREFIX_CHARS] = "none";

	policy_class_text(group, f->plan, f->file, f->plan->settings[end].group);
	if (peer->n_prefixes)
		text_from_prefix(prefix, &peer->prefixes[0]);
	say(out, "%s is a peer (%s) with the address %s%s", peer_text(text, f, end), group, prefix,
		peer->n_prefixes > 1 ? " and others" : "");
}

static int walk_end(struct walk *w, const char *link, const char *word, long *end,
	char text[POLICY_WHO_CHARS], struct wgh_error *error)
{
	struct policy_who who;
	const char *why = policy_who_parse(&who, w->facts->file, word);
	struct why_step *step;
	long found;

	if (why) {
		char shown[60];

		text_escape(shown, sizeof shown, word, strlen(word));
		error_set(error, "%s: %s", shown, why);
		return -EINVAL;
	}
	found = why_end_of(w->facts, &who);
	step = add(w, found >= WHY_HOST ? WHY_OK : WHY_BROKEN, link);
	*end = found >= WHY_HOST ? found : NOBODY;
	if (found == WHY_HOST) {
		peer_text(text, w->facts, found);
		say(step->text, "the hub's own host");
	} else if (found >= 0) {
		peer_text(text, w->facts, found);
		describe(step->text, w->facts, found);
		if (!w->facts->world_peers[found].n_prefixes) {
			step->state = WHY_BROKEN;
			say(step->remedy,
				"It owns no address at the hub: wg set %s peer KEY allowed-ips "
				"ADDRESS/32. Another peer may have been given its prefix, "
				"which moves it",
				w->facts->ifname);
		}
	} else {
		policy_who_text(text, w->facts->file, &who);
		say_nobody(step, w->facts, &who, text, found);
	}
	policy_who_fini(&who);
	return 0;
}

/* ---- is it there? ---- */

static uint32_t drop_count(const struct facts *f, long peer, const char *name)
{
	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		if (!strcmp(wgh_drop_reason(i)->name, name))
			return f->peers[peer].drops[i];
	}
	return 0;
}

static void walk_online(struct walk *w, long end, bool is_target)
{
	const struct facts *f = w->facts;
	const struct fact_peer *peer = &f->peers[end];
	struct why_step *step = add(w, WHY_OK, is_target ? "to_online" : "from_online");
	int64_t age_s = f->now_s - peer->handshake_s;
	char text[POLICY_WHO_CHARS], span[40];

	peer_text(text, f, end);
	if (age_s < 0)
		age_s = 0;
	if (!peer->handshake_s) {
		step->state = WHY_BROKEN;
		say(step->text, "%s has not connected since the hub started", text);
		say(step->remedy,
			"There: is it on, does its file name this hub's endpoint and public key, "
			"is "
			"UDP to the hub's port let through? Here: what the hub counts below");
	} else if (age_s <= ONLINE_S) {
		say(step->text, "%s is online: last handshake %s ago, from %s", text,
			ago(span, age_s), peer->has_endpoint ? peer->endpoint : "nowhere");
	} else if (is_target &&
		(!peer->has_endpoint || f->world_peers[end].group == WGH_GROUP_DEVICE ||
			drop_count(f, end, "staged_expired"))) {
		step->state = WHY_BROKEN;
		say(step->text, "%s is offline: its last handshake was %s ago", text,
			ago(span, age_s));
		say(step->remedy, "Switch it on, or look at its network; it was last seen at %s",
			peer->has_endpoint ? peer->endpoint : "no known place");
	} else {
		step->state = WHY_NOTE;
		say(step->text, "%s was last heard of %s ago: idle, or offline", text,
			ago(span, age_s));
		say(step->remedy,
			is_target ? "If it shall be reachable any time, it needs "
				    "PersistentKeepalive = 25"
				  : "If it is sending just now, nothing of it arrives: look at its "
				    "endpoint and firewall");
	}
}

/* Does it send from the address that it owns here? */
static void walk_source(struct walk *w)
{
	const struct policy_peer *peer = &w->facts->world_peers[w->from];
	uint32_t n = drop_count(w->facts, w->from, "source");
	struct why_step *step = add(w, n ? WHY_NOTE : WHY_OK, "source");
	char prefix[TEXT_PREFIX_CHARS] = "no address";

	if (peer->n_prefixes)
		text_from_prefix(prefix, &peer->prefixes[0]);
	if (!n) {
		say(step->text, "it may send from %s, and sent from nowhere else", prefix);
		return;
	}
	step->about = "source";
	say(step->text, "it may send from %s, but %u packets came from other addresses", prefix, n);
	say(step->remedy, "%s", why_drop("source")->remedy);
}

/* ---- what its drops say ---- */

static void say_drop(struct why_step *step, unsigned reason, uint64_t count, const char *whose)
{
	const struct why_explanation *explanation = why_drop(wgh_drop_reason(reason)->name);

	step->about = wgh_drop_reason(reason)->name;
	say(step->text, "%" PRIu64 " packet%s %s dropped since the start (%s): %s", count,
		count == 1 ? "" : "s", whose, step->about,
		explanation ? explanation->cause : wgh_drop_reason(reason)->text);
	say(step->remedy, "%s", explanation ? explanation->remedy : "");
}

static void walk_drops(struct walk *w, long end)
{
	char text[POLICY_WHO_CHARS], whose[POLICY_WHO_CHARS + 8];

	snprintf(whose, sizeof whose, "of %s", peer_text(text, w->facts, end));
	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		if (w->facts->peers[end].drops[i])
			say_drop(add(w, WHY_NOTE, "drop"), i, w->facts->peers[end].drops[i], whose);
	}
}

/* Datagrams that belong to no peer: why somebody cannot connect may be among them. */
static void walk_hub_drops(struct walk *w)
{
	const struct facts *f = w->facts;

	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		uint64_t count = f->drops[i];

		for (size_t j = 0; j < f->n_peers && count; j++)
			count -= count < f->peers[j].drops[i] ? count : f->peers[j].drops[i];
		if (count)
			say_drop(add(w, WHY_NOTE, "hub_drop"), i, count, "of nobody in particular");
	}
}

/* ---- policy ---- */

static const char *service_text(char out[32], uint8_t proto, uint16_t port)
{
	static const char *const names[] = {
		[PROTO_ICMP] = "icmp", [PROTO_TCP] = "tcp", [PROTO_UDP] = "udp"};

	if (proto == 0)
		snprintf(out, 32, "%s", "");
	else if (port)
		snprintf(out, 32, " %s %u", names[proto], port);
	else
		snprintf(out, 32, " %s", names[proto]);
	return out;
}

static void walk_policy(struct walk *w)
{
	const struct facts *f = w->facts;
	char by[WHY_CHARS - 150], service[32];
	enum wgh_verdict verdict =
		why_decide(f, w->from, w->to, w->q->proto, w->q->port, by, sizeof by);
	struct why_step *step = add(w, verdict == WGH_DENY ? WHY_BROKEN : WHY_OK, "policy");
	const char *file = f->file->path[0] ? f->file->path : "a file for --policy";

	service_text(service, w->q->proto, w->q->port);
	if (verdict == WGH_ALLOW) {
		say(step->text, "the policy lets %s start%s to %s (%s)", w->from_text, service,
			w->to_text, by);
		return;
	}
	if (verdict == WGH_PING) {
		step->state = w->q->proto ? WHY_OK : WHY_NOTE;
		say(step->text, "the policy lets %s ping %s and nothing else (%s)", w->from_text,
			w->to_text, by);
	} else {
		say(step->text, "the policy does not let %s start%s to %s (%s)", w->from_text,
			service, w->to_text, by);
	}
	say(step->remedy,
		"If it should: in %s, above the line that decides: allow %s -> %s%s; then "
		"kill -HUP the hub. Replies always pass",
		file, w->from == WHY_HOST ? "host" : w->from_text,
		w->to == WHY_HOST ? "host" : w->to_text, service);
}

/* ---- what each end accepts ---- */

/* Does it accept the hub's address only, as far as is known? */
static bool is_stock(const struct facts *f, long end)
{
	return end >= 0 &&
		(f->peers[end].nat == WGH_NAT_ALWAYS ||
			(f->peers[end].nat == WGH_NAT_AUTO && !f->peers[end].wide4 &&
				!f->peers[end].wide6));
}

static const struct wgh_forward *find_forward(const struct walk *w)
{
	const struct policy_plan *plan = w->facts->plan;

	for (size_t i = 0; w->to >= 0 && i < plan->policy.n_forwards; i++) {
		const struct wgh_forward *f = &plan->forwards[i];

		if (!memcmp(&f->to, &w->facts->world_peers[w->to].public_key, sizeof f->to) &&
			(!w->q->proto || w->q->proto == f->proto) &&
			(!w->q->port || w->q->port == f->to_port) &&
			(f->from.kind == WGH_PARTY_ANY ||
				(f->from.kind == WGH_PARTY_GROUP &&
					f->from.group == why_class(w->facts, w->from)) ||
				(f->from.kind == WGH_PARTY_PEER && w->from >= 0 &&
					!memcmp(&f->from.peer,
						&w->facts->world_peers[w->from].public_key,
						sizeof f->from.peer))))
			return f;
	}
	return NULL;
}

static void hub_address(char out[TEXT_ADDR_CHARS], const struct facts *f)
{
	snprintf(out, TEXT_ADDR_CHARS, "the hub");
	if (f->world.n_addresses)
		text_from_addr(out, &f->addresses[0].addr);
}

/* A forward is permission enough; without one a stock device reaches nobody but the hub. */
static bool walk_forward(struct walk *w)
{
	const struct wgh_forward *forward = find_forward(w);
	char addr[TEXT_ADDR_CHARS];
	struct why_step *step;

	if (!forward)
		return false;
	hub_address(addr, w->facts);
	step = add(w, WHY_OK, "forward");
	say(step->text, "%s connects to %s port %u (%s), which leads to %s port %u", w->from_text,
		addr, forward->port, forward->proto == PROTO_TCP ? "tcp" : "udp", w->to_text,
		forward->to_port);
	return true;
}

static void walk_stock_sender(struct walk *w)
{
	char addr[TEXT_ADDR_CHARS];
	struct why_step *step;

	if (w->to == WHY_HOST || !is_stock(w->facts, w->from))
		return;
	hub_address(addr, w->facts);
	step = add(w, WHY_BROKEN, "from_stock");
	say(step->text,
		"%s is a stock device: its own allowed-ips let it send to %s only, so what it "
		"sends to %s does not even leave it",
		w->from_text, addr, w->to_text);
	say(step->remedy,
		"In the policy file: forward PORT/tcp -> %s:PORT from %s; then let %s "
		"connect to %s. Or let the device accept the whole network",
		w->to_text, w->from_text, w->from_text, addr);
}

static void walk_receiver(struct walk *w)
{
	const struct fact_peer *peer = &w->facts->peers[w->to];
	struct why_step *step = add(w, WHY_OK, "to_reach");
	char addr[TEXT_ADDR_CHARS];

	hub_address(addr, w->facts);
	if (w->from == WHY_HOST) {
		say(step->text, "%s sees the hub's own address", w->to_text);
	} else if (peer->nat == WGH_NAT_ALWAYS) {
		say(step->text, "%s sees %s as the sender (nat always)", w->to_text, addr);
	} else if (is_stock(w->facts, w->to)) {
		say(step->text,
			"%s has not proved that it accepts other addresses, so it sees %s as "
			"the sender (nat auto: stock)",
			w->to_text, addr);
	} else if (peer->nat == WGH_NAT_AUTO) {
		say(step->text,
			"%s has proved that it accepts other addresses (nat auto: wide), and "
			"sees %s itself",
			w->to_text, w->from_text);
	} else {
		say(step->text, "%s sees %s itself (nat never)", w->to_text, w->from_text);
		if (w->facts->world_peers[w->to].group == WGH_GROUP_DEVICE) {
			step->state = WHY_NOTE;
			say(step->remedy,
				"A stock device drops that: then nat %s = auto in the policy file",
				w->to_text);
		}
	}
}

static void walk_flows(struct walk *w)
{
	const struct facts *f = w->facts;
	const struct wgh_policy *policy = &f->plan->policy;
	struct why_step *step = add(w, WHY_OK, "flows");
	uint32_t max = f->flows_max ? f->flows_max : policy->flows_max;

	if (f->n_flows >= max) {
		step->state = WHY_BROKEN;
		say(step->text, "the hub remembers %u flows and has no room for another",
			f->n_flows);
		say(step->remedy, "%s", why_drop("flow_table_full")->remedy);
	} else if (w->from >= 0 && f->peers[w->from].n_flows >= policy->flows_per_peer_max) {
		step->state = WHY_BROKEN;
		say(step->text, "%s has %u flows, as many as one peer may", w->from_text,
			f->peers[w->from].n_flows);
		say(step->remedy, "%s", why_drop("flow_peer_full")->remedy);
	} else {
		say(step->text, "the hub remembers %u flows of at most %u", f->n_flows, max);
	}
}

static void walk_mtu(struct walk *w)
{
	bool too_big = (w->from >= 0 && drop_count(w->facts, w->from, "too_big")) ||
		(w->to >= 0 && drop_count(w->facts, w->to, "too_big"));
	struct why_step *step = add(w, too_big ? WHY_NOTE : WHY_OK, "mtu");

	say(step->text, "packets of up to %u bytes pass%s", w->facts->mtu_bytes,
		too_big ? ", and larger ones came" : "");
	if (too_big)
		say(step->remedy, "%s", why_drop("too_big")->remedy);
}

/* Without TUN the host is not in the VPN, and the hub answers ping only. */
static void walk_host(struct walk *w)
{
	struct why_step *step;

	if ((w->from != WHY_HOST && w->to != WHY_HOST) || w->facts->has_tun)
		return;
	if (w->from != WHY_HOST && w->q->proto <= PROTO_ICMP) {
		step = add(w, w->q->proto ? WHY_OK : WHY_NOTE, "host");
		say(step->text, "the hub runs without TUN and answers ping itself, nothing else");
		return;
	}
	step = add(w, WHY_BROKEN, "host");
	step->about = "no_host";
	say(step->text, "the hub runs without TUN: its host is not in the VPN");
	say(step->remedy, "%s", why_drop("no_host")->remedy);
}

static void walk_between(struct walk *w)
{
	if (w->from == w->to) {
		struct why_step *step = add(w, WHY_BROKEN, "to");

		step->about = "hairpin";
		say(step->text, "%s and %s are the same", w->from_text, w->to_text);
		say(step->remedy, "%s", why_drop("hairpin")->remedy);
		return;
	}
	if (!walk_forward(w)) {
		walk_policy(w);
		walk_stock_sender(w);
	}
	walk_host(w);
	if (w->to >= 0) {
		walk_online(w, w->to, true);
		walk_receiver(w);
	}
	walk_flows(w);
	walk_mtu(w);
}

int why_walk(struct why_report *report, const struct facts *facts,
	const struct why_question *question, struct wgh_error *error)
{
	struct walk w = {.report = report, .facts = facts, .q = question};
	int err;

	*report = (struct why_report){.n = 0};
	err = walk_end(&w, "from", question->from, &w.from, w.from_text, error);
	if (err)
		return err;
	if (w.from >= 0) {
		walk_online(&w, w.from, false);
		walk_source(&w);
	}
	err = walk_end(&w, "to", question->to, &w.to, w.to_text, error);
	if (err)
		return err;
	if (w.from != NOBODY && w.to != NOBODY)
		walk_between(&w);
	else if (w.to >= 0)
		walk_online(&w, w.to, true);
	if (w.from >= 0)
		walk_drops(&w, w.from);
	if (w.to >= 0 && w.to != w.from)
		walk_drops(&w, w.to);
	if (w.from == NOBODY || (w.from >= 0 && !facts->peers[w.from].handshake_s) ||
		(w.to >= 0 && !facts->peers[w.to].handshake_s))
		walk_hub_drops(&w);
	if (report->out_of_memory) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

void why_report_fini(struct why_report *report)
{
	free(report->steps);
	*report = (struct why_report){.n = 0};
}

const struct why_step *why_broken(const struct why_report *report)
{
	for (size_t i = 0; i < report->n; i++) {
		if (report->steps[i].state == WHY_BROKEN)
			return &report->steps[i];
	}
	return NULL;
}
