/* policy_lines.c - what one line of policy_file.h says. Its words go to the reader that the first
 * of them names; what they say is added to the file. */
#include "control/policy_words.h"

#include "control/array.h"
#include "control/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICES_MAX 64
#define WHO_MAX 256

const char policy_out_of_memory[] = "out of memory";

/* One protocol with one range of ports. */
struct service {
	uint8_t proto;
	uint16_t first, last;
};

struct who_list {
	struct policy_who items[WHO_MAX];
	size_t n;
};

struct reader {
	struct policy_file *file;
	struct words words;
	unsigned line; /* index of the line under way */
	struct who_list from, to; /* of the line, freed after it */
	char why[POLICY_WHY_CHARS]; /* for messages made on the spot */
};

/* ---- growing lists; NULL: no memory ---- */

static void *grown(void *array, size_t n, size_t *cap, size_t element_bytes)
{
	return n < *cap ? array : array_grow(array, cap, element_bytes);
}

#define APPEND(file, list, ...)                                                                    \
	({                                                                                         \
		void *bigger = grown((file)->list, (file)->n_##list, &(file)->list##_cap,          \
			sizeof *(file)->list);                                                     \
		if (bigger) {                                                                      \
			(file)->list = bigger;                                                     \
			(file)->list[(file)->n_##list++] = (__VA_ARGS__);                          \
		}                                                                                  \
		bigger != NULL;                                                                    \
	})

/* ---- who ---- */

static void who_list_fini(struct who_list *list)
{
	while (list->n)
		policy_who_fini(&list->items[--list->n]);
}

/* A, B ...: up to what cannot belong to it any more. */
static const char *read_who_list(struct reader *r, struct who_list *list, const char *missing)
{
	do {
		struct word word = words_next(&r->words);
		const char *why;

		if (word.kind != WORD && word.kind != WORD_QUOTED)
			return missing;
		if (list->n == WHO_MAX)
			return "more than 256 names; make a group of them";
		why = policy_word_who(&list->items[list->n], &word);
		if (why)
			return why;
		list->n++;
	} while (words_take(&r->words, WORD_COMMA));
	return NULL;
}

/* ---- allow, deny, ping ---- */

static const char *add_rule(struct reader *r, enum wgh_verdict verdict,
	const struct policy_who *from, const struct policy_who *to, const struct service *service)
{
	struct policy_rule rule = {.proto = service->proto,
		.port_first = service->first,
		.port_last = service->last,
		.verdict = verdict,
		.line = r->line};

	if (r->file->n_rules == POLICY_PIECES_MAX)
		return "too many rules after taking the lists apart; make groups";
	if (!policy_who_copy(&rule.from, from) || !policy_who_copy(&rule.to, to) ||
		!APPEND(r->file, rules, rule)) {
		policy_who_fini(&rule.from);
		policy_who_fini(&rule.to);
		return policy_out_of_memory;
	}
	return NULL;
}

/* "22,80-90" after tcp or udp, or nothing: all ports. */
static const char *read_ports(struct reader *r, struct service services[], size_t *n, uint8_t proto)
{
	struct word word = words_peek(&r->words);
	uint8_t other;

	if (word.kind != WORD || policy_proto(&other, word.text.at, word.text.n)) {
		services[(*n)++] = (struct service){proto, 0, UINT16_MAX};
		return NULL;
	}
	do {
		struct service *s = &services[*n];

		if (*n == SERVICES_MAX)
			return "more than 64 ports and ranges; write another line";
		word = words_next(&r->words);
		s->proto = proto;
		if (word.kind != WORD || !policy_ports(&s->first, &s->last, word.text))
			return "ports are numbers from 1 to 65535 and ranges, as: tcp 22,80-90";
		++*n;
	} while (words_take(&r->words, WORD_COMMA));
	return NULL;
}

static const char *read_services(struct reader *r, struct service services[], size_t *n)
{
	*n = 0;
	while (words_peek(&r->words).kind != WORD_END) {
		struct word word = words_next(&r->words);
		const char *why = NULL;
		uint8_t proto;

		if (word.kind != WORD || !policy_proto(&proto, word.text.at, word.text.n))
			return "after the receiver come protocols: tcp or udp, with ports or "
			       "without, icmp, or nothing";
		if (*n == SERVICES_MAX)
			return "more than 64 ports and ranges; write another line";
		if (proto == PROTO_TCP || proto == PROTO_UDP)
			why = read_ports(r, services, n, proto);
		else
			services[(*n)++] = (struct service){proto, 0, UINT16_MAX};
		if (why)
			return why;
	}
	if (*n == 0)
		services[(*n)++] = (struct service){0, 0, UINT16_MAX};
	return NULL;
}

static const char *read_rule(struct reader *r, enum wgh_verdict verdict)
{
	static const char shape[] = "a rule is: allow FROM -> TO [tcp PORTS] [udp PORTS] [icmp]";
	struct service services[SERVICES_MAX];
	size_t n;
	const char *why = read_who_list(r, &r->from, shape);

	if (!why && !words_take(&r->words, WORD_ARROW))
		why = shape;
	if (!why)
		why = read_who_list(r, &r->to, shape);
	if (!why)
		why = read_services(r, services, &n);
	if (!why && verdict == WGH_PING && (n != 1 || services[0].proto))
		why = "ping takes no protocol: ping FROM -> TO";
	for (size_t i = 0; !why && i < r->from.n; i++) {
		for (size_t j = 0; !why && j < r->to.n; j++) {
			for (size_t k = 0; !why && k < n; k++)
				why = add_rule(r, verdict, &r->from.items[i], &r->to.items[j],
					&services[k]);
		}
	}
	return why;
}

static const char *read_allow(struct reader *r)
{
	return read_rule(r, WGH_ALLOW);
}

static const char *read_deny(struct reader *r)
{
	return read_rule(r, WGH_DENY);
}

static const char *read_ping(struct reader *r)
{
	return read_rule(r, WGH_PING);
}

/* ---- group, nat ---- */

static bool is_group_name(struct slice s)
{
	if (s.n == 0 || s.n > POLICY_GROUP_CHARS)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    s.at[i]))
			return false;
	}
	return true;
}

/* The group that is defined here: one of the file's, which may be new, or client or device. */
static const char *defined_group(struct reader *r, struct policy_member *member, struct word word)
{
	struct policy_file *file = r->file;
	struct policy_who who;
	void *bigger;

	if (word.kind != WORD || !is_group_name(word.text))
		return "a group is: group NAME = PEER, PEER ...; its name has up to 32 letters, "
		       "digits and _.-";
	if (policy_word_group(&who, word.text)) {
		member->group = who.group;
		if (who.kind == WHO_GROUP &&
			(who.group == WGH_GROUP_CLIENT || who.group == WGH_GROUP_DEVICE))
			return NULL;
		return "any, peer and host are built in; choose another name";
	}
	member->is_own = true;
	for (member->group = 0; member->group < file->n_groups; member->group++) {
		if (slice_is(word.text, file->groups[member->group]))
			return NULL;
	}
	if (file->n_groups == POLICY_GROUPS_MAX)
		return "at most 24 groups";
	bigger = grown(file->groups, file->n_groups, &file->groups_cap, sizeof *file->groups);
	if (!bigger)
		return policy_out_of_memory;
	file->groups = bigger;
	memcpy(file->groups[file->n_groups], word.text.at, word.text.n);
	file->groups[file->n_groups++][word.text.n] = 0;
	return NULL;
}

static const char *read_group(struct reader *r)
{
	struct policy_member member = {.line = r->line};
	const char *why = defined_group(r, &member, words_next(&r->words));

	if (why)
		return why;
	if (!words_take(&r->words, WORD_EQUALS))
		return "after the group's name comes a = between blanks: group lab = press-1, "
		       "press-2";
	while (words_peek(&r->words).kind != WORD_END) {
		struct word word = words_next(&r->words);

		if (word.kind != WORD && word.kind != WORD_QUOTED)
			return "a group's members are peers, with commas or blanks between them";
		why = policy_word_who(&member.who, &word);
		if (!why && (member.who.kind == WHO_ANY || member.who.kind == WHO_GROUP)) {
			why = "a group's members are peers, not groups; for a peer of that name "
			      "write name:NAME";
		}
		if (!why && !APPEND(r->file, members, member)) {
			policy_who_fini(&member.who);
			why = policy_out_of_memory;
		}
		if (why)
			return why;
		words_take(&r->words, WORD_COMMA);
	}
	return NULL;
}

static const char *read_nat(struct reader *r)
{
	static const char shape[] = "nat is: nat PEER-OR-GROUP = auto, always or never";
	const char *why = read_who_list(r, &r->to, shape);
	enum wgh_nat nat = WGH_NAT_NEVER;
	struct word word;

	if (why)
		return why;
	if (!words_take(&r->words, WORD_EQUALS))
		return shape;
	word = words_next(&r->words);
	while (nat <= WGH_NAT_AUTO &&
		(word.kind != WORD || !slice_is(word.text, policy_nat_name(nat))))
		nat++;
	if (nat > WGH_NAT_AUTO)
		return shape;
	for (size_t i = 0; i < r->to.n; i++) {
		struct policy_nat entry = {.nat = nat, .line = r->line};

		if (r->to.items[i].kind == WHO_GROUP && r->to.items[i].group == WGH_GROUP_HOST)
			return "the host is the hub itself; nat is for peers";
		if (!policy_who_copy(&entry.who, &r->to.items[i]) ||
			!APPEND(r->file, nats, entry)) {
			policy_who_fini(&entry.who);
			return policy_out_of_memory;
		}
	}
	return NULL;
}

/* ---- forward ---- */

/* "8883/tcp", "10.42.42.1:8883/tcp", "[fd42::1]:8883/tcp". */
static bool read_forward_port(struct policy_forward *f, struct slice text)
{
	const char *slash = text.n ? memchr(text.at, '/', text.n) : NULL, *colon = NULL;
	struct slice port, addr = {text.at, 0};

	if (!slash || !policy_proto(&f->proto, slash + 1, (size_t)(text.at + text.n - slash - 1)) ||
		(f->proto != PROTO_TCP && f->proto != PROTO_UDP))
		return false;
	port = (struct slice){text.at, (size_t)(slash - text.at)};
	for (size_t i = 0; i < port.n; i++) {
		if (port.at[i] == ':')
			colon = port.at + i;
	}
	if (colon) {
		addr.n = (size_t)(colon - text.at);
		port = (struct slice){colon + 1, (size_t)(slash - colon - 1)};
		if (addr.n >= 2 && addr.at[0] == '[' && addr.at[addr.n - 1] == ']')
			addr.at++, addr.n -= 2;
		if (text_addr(&f->addr, addr.at, addr.n))
			return false;
	}
	return policy_port(&f->port, port);
}

/* "press-07:8883", "bench laptop":8883. */
static const char *read_forward_to(struct reader *r, struct policy_forward *f)
{
	static const char shape[] = "after -> comes the receiver and its port: press-07:8883";
	struct word word = words_next(&r->words), port = word;
	const char *colon = NULL;

	if (word.kind == WORD_QUOTED) {
		port = words_next(&r->words);
		if (port.kind != WORD || port.text.n < 2 || port.text.at[0] != ':')
			return shape;
		port.text.at++, port.text.n--;
	} else if (word.kind == WORD) {
		for (size_t i = 0; i < word.text.n; i++) {
			if (word.text.at[i] == ':')
				colon = word.text.at + i;
		}
		if (!colon)
			return shape;
		port.text =
			(struct slice){colon + 1, (size_t)(word.text.at + word.text.n - colon - 1)};
		word.text.n = (size_t)(colon - word.text.at);
		if (word.text.n >= 2 && word.text.at[0] == '[' &&
			word.text.at[word.text.n - 1] == ']')
			word.text.at++, word.text.n -= 2;
	} else {
		return shape;
	}
	if (!policy_port(&f->to_port, port.text))
		return shape;
	return policy_word_who(&f->to, &word);
}

static const char *add_forward(struct reader *r, const struct policy_forward *wanted)
{
	struct policy_forward f = *wanted;

	for (size_t i = 0; i < r->file->n_forwards; i++) {
		const struct policy_forward *other = &r->file->forwards[i];

		if (other->proto == f.proto && other->port == f.port &&
			policy_who_equal(&other->from, &f.from)) {
			snprintf(r->why, sizeof r->why,
				"this port is forwarded for the same senders in line %u already; "
				"remove one of them",
				r->file->lines[other->line].number);
			return r->why;
		}
	}
	if (r->file->n_forwards == WGH_FORWARDS_MAX)
		return "at most 256 forwards";
	f.to.name = f.from.name = NULL;
	if (!policy_who_copy(&f.to, &wanted->to) || !policy_who_copy(&f.from, &wanted->from) ||
		!APPEND(r->file, forwards, f)) {
		policy_who_fini(&f.to);
		policy_who_fini(&f.from);
		return policy_out_of_memory;
	}
	return NULL;
}

static const char *read_forward(struct reader *r)
{
	static const char shape[] = "a forward is: forward 8883/tcp -> press-07:8883 from device";
	struct policy_forward f = {.line = r->line};
	struct word word = words_next(&r->words);
	const char *why;

	if (word.kind != WORD || !read_forward_port(&f, word.text) ||
		!words_take(&r->words, WORD_ARROW))
		return shape;
	why = read_forward_to(r, &f);
	if (why)
		return why;
	if (f.to.kind != WHO_NAME && f.to.kind != WHO_KEY && f.to.kind != WHO_ADDR)
		why = "a forward leads to one peer, not to a group; for a peer of that name write "
		      "name:NAME:PORT";
	word = words_next(&r->words);
	if (!why && (word.kind != WORD || !slice_is(word.text, "from")))
		why = "who may use it? Add: from device, or: from NAME, NAME";
	if (!why)
		why = read_who_list(r, &r->from, "who may use it? Add: from device");
	for (size_t i = 0; !why && i < r->from.n; i++) {
		f.from = r->from.items[i];
		why = add_forward(r, &f);
	}
	policy_who_fini(&f.to);
	return why;
}

/* ---- the rest ---- */

/* One for each family. */
static const char *read_probe(struct reader *r)
{
	struct word word = words_next(&r->words);
	struct policy_file *file = r->file;
	struct wgh_addr addr, *probe;

	if (word.kind == WORD && slice_is(word.text, "off")) {
		file->probe_off = true;
		file->probe4 = file->probe6 = (struct wgh_addr){.family = WGH_UNSPEC};
		return NULL;
	}
	if (word.kind != WORD || text_addr(&addr, word.text.at, word.text.n))
		return "probe-address is an unused address of the network, or off";
	probe = addr.family == WGH_IPV4 ? &file->probe4 : &file->probe6;
	if (probe->family != WGH_UNSPEC || file->probe_off)
		return "there is a probe-address in a line above already; remove one of them";
	*probe = addr;
	return NULL;
}

static const char *read_nat_ports(struct reader *r)
{
	struct word word = words_next(&r->words);
	uint16_t first, last;

	if (word.kind != WORD || !policy_ports(&first, &last, word.text) || first < 1024 ||
		last - first < 255)
		return "nat-ports is a range of at least 256 ports above 1023 which the hub's host "
		       "does not use: nat-ports 61000-65535";
	r->file->nat_port_first = first;
	r->file->nat_port_last = last;
	return NULL;
}

/* Alone it means on. */
static const char *read_switch(struct reader *r, bool *out)
{
	struct word word = words_peek(&r->words);

	*out = true;
	if (word.kind == WORD_END)
		return NULL;
	word = words_next(&r->words);
	*out = slice_is(word.text, "on");
	return *out || slice_is(word.text, "off") ? NULL : "it stands alone, or with on or off";
}

static const char *read_clamp(struct reader *r)
{
	return read_switch(r, &r->file->clamp_mss);
}

static const char *read_log_flows(struct reader *r)
{
	r->file->log_flows_said = true;
	return read_switch(r, &r->file->log_flows);
}

static const char *read_count(struct reader *r, uint32_t *out)
{
	struct word word = words_next(&r->words);
	uint64_t n;

	if (word.kind != WORD || !text_number(&n, word.text.at, word.text.n, 1 << 20) || n < 16)
		return "a number of flows from 16 to 1048576";
	*out = (uint32_t)n;
	return NULL;
}

static const char *read_flows(struct reader *r)
{
	return read_count(r, &r->file->flows_max);
}

static const char *read_flows_per_peer(struct reader *r)
{
	return read_count(r, &r->file->flows_per_peer_max);
}

static const struct {
	const char *word;
	const char *(*read)(struct reader *r);
	bool once;
} readers[] = {{"allow", read_allow}, {"deny", read_deny}, {"ping", read_ping},
	{"group", read_group}, {"nat", read_nat}, {"forward", read_forward},
	{"probe-address", read_probe}, {"nat-ports", read_nat_ports, true},
	{"clamp-mss", read_clamp, true}, {"log-flows", read_log_flows, true},
	{"flows", read_flows, true}, {"flows-per-peer", read_flows_per_peer, true}};

static const char *read_words(struct reader *r)
{
	struct word word = words_next(&r->words);
	const char *why;
	unsigned i = 0;

	while (i < sizeof readers / sizeof *readers &&
		(word.kind != WORD || !slice_is(word.text, readers[i].word)))
		i++;
	if (i == sizeof readers / sizeof *readers)
		return "a line begins with allow, deny, ping, group, nat, forward, probe-address, "
		       "nat-ports, clamp-mss, log-flows, flows or flows-per-peer";
	if (readers[i].once && r->file->settings & 1u << i)
		return "this was given in a line above already; remove one of them";
	r->file->settings |= 1u << i;
	why = readers[i].read(r);
	if (why || words_peek(&r->words).kind == WORD_END)
		return why;
	word = words_next(&r->words);
	snprintf(r->why, sizeof r->why, "%.*s at the end means nothing here; remove it",
		(int)(word.text.n < 60 ? word.text.n : 60), word.text.at);
	return r->why;
}

const char *policy_line_read(
	struct policy_file *file, unsigned line, char why_room[POLICY_WHY_CHARS])
{
	struct reader *r = calloc(1, sizeof *r);
	const char *why;

	if (!r)
		return policy_out_of_memory;
	r->file = file;
	r->line = line;
	r->words.rest = (struct slice){file->lines[line].text, strlen(file->lines[line].text)};
	why = read_words(r);
	if (why == r->why)
		why = strcpy(why_room, why);
	who_list_fini(&r->from);
	who_list_fini(&r->to);
	free(r);
	return why;
}
