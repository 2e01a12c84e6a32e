/* policy_words.c - see policy_words.h. */
#include "control/policy_words.h"

#include "control/text.h"
#include "crypto/key_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

static bool begins_arrow(struct slice s)
{
	return s.n >= 2 && s.at[0] == '-' && s.at[1] == '>';
}

static void skip(struct slice *s, size_t n)
{
	s->at += n;
	s->n -= n;
}

static struct word take(struct slice *rest, enum word_kind kind, size_t n)
{
	struct word word = {kind, {rest->at, n}};

	skip(rest, n);
	return word;
}

struct word words_next(struct words *w)
{
	struct slice *rest = &w->rest;
	struct word word;
	const char *end;
	size_t n = 0;

	*rest = slice_trim(*rest);
	if (rest->n == 0)
		return take(rest, WORD_END, 0);
	if (rest->at[0] == ',')
		return take(rest, WORD_COMMA, 1);
	if (begins_arrow(*rest))
		return take(rest, WORD_ARROW, 2);
	if (rest->at[0] == '=' && (rest->n == 1 || slice_is_blank(rest->at[1])))
		return take(rest, WORD_EQUALS, 1);
	if (rest->at[0] == '"') {
		end = memchr(rest->at + 1, '"', rest->n - 1);
		if (!end)
			return take(rest, WORD_BROKEN, rest->n);
		skip(rest, 1);
		word = take(rest, WORD_QUOTED, (size_t)(end - rest->at));
		skip(rest, 1);
		return word;
	}
	while (n < rest->n && !slice_is_blank(rest->at[n]) && rest->at[n] != ',' &&
		rest->at[n] != '"' && !begins_arrow((struct slice){rest->at + n, rest->n - n}))
		n++;
	return take(rest, WORD, n);
}

struct word words_peek(const struct words *w)
{
	struct words copy = *w;

	return words_next(&copy);
}

bool words_take(struct words *w, enum word_kind kind)
{
	struct words copy = *w;

	if (words_next(&copy).kind != kind)
		return false;
	*w = copy;
	return true;
}

struct slice words_without_comment(struct slice line)
{
	bool quoted = false;

	for (size_t i = 0; i < line.n; i++) {
		if (line.at[i] == '"')
			quoted = !quoted;
		else if (line.at[i] == '#' && !quoted && (i == 0 || slice_is_blank(line.at[i - 1])))
			line.n = i;
	}
	return line;
}

/* ---- who ---- */

bool policy_word_group(struct policy_who *who, struct slice text)
{
	static const struct {
		const char *word;
		enum policy_who_kind kind;
		unsigned group;
	} groups[] = {{"any", WHO_ANY, 0}, {"client", WHO_GROUP, WGH_GROUP_CLIENT},
		{"device", WHO_GROUP, WGH_GROUP_DEVICE}, {"peer", WHO_GROUP, WGH_GROUP_PEER},
		{"host", WHO_GROUP, WGH_GROUP_HOST}, {"clients", WHO_GROUP, WGH_GROUP_CLIENT},
		{"devices", WHO_GROUP, WGH_GROUP_DEVICE}, {"peers", WHO_GROUP, WGH_GROUP_PEER}};

	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if (!slice_is(text, groups[i].word))
			continue;
		*who = (struct policy_who){.kind = groups[i].kind, .group = groups[i].group};
		return true;
	}
	return false;
}

static const char *take_name(struct policy_who *who, struct slice name, bool may_be_group)
{
	char shown[CONF_NAME_BYTES];

	if (name.n == 0)
		return "a name is missing";
	text_escape(shown, sizeof shown, name.at, name.n);
	*who = (struct policy_who){
		.kind = WHO_NAME, .name = strdup(shown), .may_be_group = may_be_group};
	return who->name ? NULL : policy_out_of_memory;
}

static const char *take_key(struct policy_who *who, struct slice text)
{
	struct policy_who key = {.kind = WHO_KEY};

	if (!key_from_base64(key.key.bytes, text.at, text.n))
		return "a key is 44 base64 characters";
	*who = key;
	return NULL;
}

static bool begins(struct slice text, const char *with)
{
	return text.n >= strlen(with) && !memcmp(text.at, with, strlen(with));
}

const char *policy_word_who(struct policy_who *who, const struct word *word)
{
	struct policy_who addr = {.kind = WHO_ADDR};
	struct slice text = word->text;
	uint8_t key[WGH_KEY_BYTES];

	if (word->kind == WORD_QUOTED)
		return take_name(who, text, false);
	if (word->kind != WORD)
		return "a name, key, address or group is missing";
	if (begins(text, "name:"))
		return take_name(who, (struct slice){text.at + 5, text.n - 5}, false);
	if (begins(text, "key:"))
		return take_key(who, (struct slice){text.at + 4, text.n - 4});
	if (policy_word_group(who, text))
		return NULL;
	if (key_from_base64(key, text.at, text.n))
		return take_key(who, text);
	if (!text_addr(&addr.addr, text.at, text.n)) {
		*who = addr;
		return NULL;
	}
	if (memchr(text.at, '=', text.n) || memchr(text.at, '/', text.n))
		return "no name, key, address or group; a name with = or / goes between quotation "
		       "marks, a = that is none of a name's between blanks";
	return take_name(who, text, true);
}

void policy_who_fini(struct policy_who *who)
{
	free(who->name);
	*who = (struct policy_who){0};
}

bool policy_who_copy(struct policy_who *out, const struct policy_who *who)
{
	*out = *who;
	if (who->name)
		out->name = strdup(who->name);
	return !who->name || out->name;
}

bool policy_who_equal(const struct policy_who *a, const struct policy_who *b)
{
	return a->kind == b->kind && a->group == b->group &&
		!memcmp(&a->key, &b->key, sizeof a->key) &&
		!memcmp(&a->addr, &b->addr, sizeof a->addr) &&
		(a->name ? b->name && !strcmp(a->name, b->name) : !b->name);
}

void policy_who_text(
	char out[POLICY_WHO_CHARS], const struct policy_file *file, const struct policy_who *who)
{
	char key[TEXT_PEER_CHARS], addr[TEXT_ADDR_CHARS];
	const char *text = "any";

	switch (who->kind) {
	case WHO_ANY:
		break;
	case WHO_GROUP:
		text = policy_group_name(who->group);
		break;
	case WHO_OWN_GROUP:
		text = file->groups[who->group];
		break;
	case WHO_NAME:
		text = who->name;
		break;
	case WHO_KEY:
		text_from_peer(key, &who->key);
		text = key;
		break;
	case WHO_ADDR:
		text_from_addr(addr, &who->addr);
		text = addr;
		break;
	}
	snprintf(out, POLICY_WHO_CHARS, "%s", text);
}

/* ---- numbers, words ---- */

bool policy_port(uint16_t *port, struct slice text)
{
	uint64_t n;

	if (!text_number(&n, text.at, text.n, UINT16_MAX) || n == 0)
		return false;
	*port = (uint16_t)n;
	return true;
}

bool policy_ports(uint16_t *first, uint16_t *last, struct slice text)
{
	const char *dash = text.n ? memchr(text.at, '-', text.n) : NULL;
	struct slice low = text, high = text;

	if (dash) {
		low.n = (size_t)(dash - text.at);
		high = (struct slice){dash + 1, text.n - low.n - 1};
	}
	return policy_port(first, low) && policy_port(last, high) && *first <= *last;
}

bool policy_proto(uint8_t *proto, const char *text, size_t n)
{
	static const struct {
		const char *word;
		uint8_t proto;
	} protos[] = {{"any", 0}, {"icmp", PROTO_ICMP}, {"tcp", PROTO_TCP}, {"udp", PROTO_UDP}};

	for (size_t i = 0; i < sizeof protos / sizeof *protos; i++) {
		if (!slice_is((struct slice){text, n}, protos[i].word))
			continue;
		*proto = protos[i].proto;
		return true;
	}
	return false;
}

const char *policy_nat_name(enum wgh_nat nat)
{
	return nat == WGH_NAT_AUTO ? "auto" : nat == WGH_NAT_ALWAYS ? "always" : "never";
}

const char *policy_group_name(unsigned group)
{
	static const char *const names[WGH_GROUP_FIRST_FREE] = {[WGH_GROUP_PEER] = "peer",
		[WGH_GROUP_HOST] = "host",
		[WGH_GROUP_CLIENT] = "client",
		[WGH_GROUP_DEVICE] = "device"};

	return group < WGH_GROUP_FIRST_FREE ? names[group] : "(unknown)";
}
