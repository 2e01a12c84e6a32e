/* factory_plan.c - see factory_plan.h. */
#include "control/factory_plan.h"

#include "control/error.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What is published now. */
struct known {
	bool is_there, is_readable, is_ours;
	struct server_file file; /* if readable */
	struct notes notes;
	struct wgh_error why; /* not readable */
};

/* ---- wishes ---- */

const char *plan_address(struct wgh_addr *address, const char *text)
{
	struct wgh_addr addr;

	if (text_addr(&addr, text, strlen(text)) || addr.family != WGH_IPV4)
		return "the hub's inner address is an IPv4 address without a length, as 10.42.42.1";
	if (!text_is_private(&addr) || addr.bytes[3] == 0 || addr.bytes[3] == 255)
		return "the hub's inner address is one of a private network (10/8, 172.16/12, "
		       "192.168/16, 100.64/10), as 10.42.42.1";
	*address = addr;
	return NULL;
}

/* An address that devices elsewhere cannot mean, or one with a slip of the finger in it. */
static const char *check_host(const char *host)
{
	static const struct wgh_addr unspec6 = {.family = WGH_IPV6};
	struct wgh_addr addr, loopback6 = {.family = WGH_IPV6};

	loopback6.bytes[15] = 1;
	if (!strcasecmp(host, "localhost"))
		return "devices cannot reach the hub at this address";
	if (text_addr(&addr, host, strlen(host)))
		return strspn(host, "0123456789.") == strlen(host) ? "this is no IPv4 address"
								   : NULL;
	if (addr.family == WGH_IPV4
			? addr.bytes[0] == 0 || addr.bytes[0] == 127 || addr.bytes[0] >= 224
			: !memcmp(&addr, &unspec6, sizeof addr) ||
				!memcmp(&addr, &loopback6, sizeof addr) || addr.bytes[0] == 0xff)
		return "devices cannot reach the hub at this address";
	return NULL;
}

static int set_endpoint(
	struct server_file *file, const char *host, uint16_t port, struct wgh_error *error)
{
	char text[SERVER_ENDPOINT_CHARS], shown[80];
	struct server_file parsed = *file;
	bool bare_ipv6 = host[0] != '[' && strchr(host, ':') != strrchr(host, ':');
	int n = snprintf(text, sizeof text, bare_ipv6 ? "[%s]:%u" : "%s:%u", host, port);
	const char *why = n < (int)sizeof text ? server_file_endpoint(&parsed, text, strlen(text))
					       : "it is too long";

	if (!why)
		why = check_host(parsed.host);
	if (why) {
		text_escape(shown, sizeof shown, host, strlen(host));
		error_set(error, "endpoint %s: %s", shown, why);
		return -EINVAL;
	}
	*file = parsed;
	return 0;
}

static int make_file(struct server_file *file, const struct plan_wish *wish,
	const struct known *known, struct wgh_error *error)
{
	struct wgh_addr address = wish->address;
	struct server_file f = known->is_readable ? known->file : (struct server_file){0};
	uint16_t port = wish->port ? wish->port : f.port;
	const char *host = wish->host;

	/* Another hub is somewhere else. */
	if (!host && known->is_ours)
		host = known->file.host;
	if (!host) {
		error_set(error,
			"where do devices reach this hub? --endpoint HOST (a name, an address, or "
			"auto)");
		return -EDESTADDRREQ;
	}
	if (!wish->endpoint_only) {
		f.enabled = true;
		if (address.family == WGH_UNSPEC)
			address = f.address;
		if (address.family == WGH_UNSPEC && plan_address(&address, FACTORY_ADDRESS_DEFAULT))
			return -EINVAL;
		f.address = address;
		f.public_key = wish->public_key;
	}
	*file = f;
	return set_endpoint(file, host, port ? port : FACTORY_PORT_DEFAULT, error);
}

/* ---- what is published ---- */

static void look(
	struct known *known, const struct factory_file *published, const struct wgh_public_key *own)
{
	*known = (struct known){.is_there = published->value != NULL};
	if (!known->is_there)
		return;
	known->is_readable = !server_file_parse(&known->file, published->value,
		strlen(published->value), &known->notes, &known->why);
	known->is_ours = known->is_readable && !memcmp(&known->file.public_key, own, sizeof *own);
}

static int may_replace(
	const struct known *known, const struct plan_wish *wish, struct wgh_error *error)
{
	char key[KEY_BASE64_CHARS + 1];

	if (wish->endpoint_only && !known->is_there) {
		error_set(error, "no hub is published yet: wghub enable");
		return -ENOENT;
	}
	if (!known->is_there || known->is_ours || (wish->take_over && !wish->endpoint_only))
		return 0;
	if (!known->is_readable) {
		error_set(error,
			"what is published cannot be read (%s); to replace it: wghub enable "
			"--take-over",
			known->why.text);
		return -EPERM;
	}
	key_to_base64(key, known->file.public_key.bytes);
	error_set(error,
		"another hub is published, with the public key %s; if all its devices shall "
		"leave it for this one: wghub enable --take-over --endpoint HOST",
		key);
	return -EPERM;
}

/* ---- what changes ---- */

static void line(struct notes *lines, const char *key, const char *before, const char *after)
{
	if (!before)
		notes_add(lines, "%s: %s", key, after);
	else if (strcasecmp(before, after))
		notes_add(lines, "%s: %s -> %s", key, before, after);
}

static void compare_fields(
	struct notes *lines, const struct server_file *before, const struct server_file *after)
{
	char endpoints[2][SERVER_ENDPOINT_CHARS], addresses[2][TEXT_ADDR_CHARS],
		keys[2][KEY_BASE64_CHARS + 1];
	const struct server_file *files[] = {before, after};

	for (unsigned i = 0; i < 2; i++) {
		if (!files[i])
			continue;
		server_file_endpoint_text(endpoints[i], files[i]);
		text_from_addr(addresses[i], &files[i]->address);
		key_to_base64(keys[i], files[i]->public_key.bytes);
	}
	line(lines, "endpoint", before ? endpoints[0] : NULL, endpoints[1]);
	line(lines, "server_address", before ? addresses[0] : NULL, addresses[1]);
	/* Of keys that differ only in case, strcasecmp() would know nothing. */
	if (!before || memcmp(&before->public_key, &after->public_key, sizeof after->public_key))
		notes_add(lines, "pubkey: %s%s%s", before ? keys[0] : "", before ? " -> " : "",
			keys[1]);
	if (before && before->enabled != after->enabled)
		notes_add(lines, "enabled: %d -> %d", before->enabled, after->enabled);
}

static void describe(
	struct plan *plan, const struct known *known, const struct factory_file *published)
{
	const struct server_file *before = known->is_readable ? &known->file : NULL;

	compare_fields(&plan->lines, before, &plan->file);
	if (before && memcmp(&before->address, &plan->file.address, sizeof before->address))
		notes_add(&plan->lines,
			"note: devices keep the addresses they have; those of another network must "
			"be changed one by one");
	if (known->is_there && !known->is_readable)
		notes_add(
			&plan->lines, "replaced: a file that cannot be read (%s)", known->why.text);
	if (known->is_there && !published->on_changed)
		notes_add(&plan->lines,
			"on-changed: the VPN's handler, without which devices do nothing");
	if (known->is_there && !published->unencrypted)
		notes_add(&plan->lines, "unencrypted: true, so that the API can read it");
	for (size_t i = 0; i < known->notes.n; i++)
		notes_add(&plan->lines, "not kept: %s", known->notes.lines[i]);
}

/* ---- public ---- */

int plan_make(struct plan *plan, const struct plan_wish *wish, const struct factory_file *published,
	struct wgh_error *error)
{
	struct known known;
	int err;

	*plan = (struct plan){0};
	look(&known, published, &wish->public_key);
	err = may_replace(&known, wish, error);
	if (!err)
		err = make_file(&plan->file, wish, &known, error);
	if (!err)
		err = server_file_write(plan->text, &plan->file, error);
	if (!err) {
		plan->change = !known.is_ours || !server_file_equal(&known.file, &plan->file) ||
			!published->on_changed || !published->unencrypted;
		plan->anew = !known.is_ours ||
			memcmp(&known.file.address, &plan->file.address, sizeof known.file.address);
		if (plan->change)
			describe(plan, &known, published);
	}
	notes_fini(&known.notes);
	return err;
}

void plan_fini(struct plan *plan)
{
	notes_fini(&plan->lines);
}

int plan_compare(
	const struct plan *plan, const struct factory_file *published, struct wgh_error *error)
{
	struct wgh_error why = {""};
	struct notes lines = {0};
	struct server_file file;
	int err = -EINVAL;

	if (!published->value) {
		error_set(error, "the API has no " SERVER_FILE_NAME " after all");
	} else if (server_file_parse(
			   &file, published->value, strlen(published->value), NULL, &why)) {
		error_set(error, "the API has something else: %s", why.text);
	} else if (!server_file_equal(&file, &plan->file)) {
		compare_fields(&lines, &plan->file, &file);
		error_set(error, "the API has something else: %s",
			lines.n ? lines.lines[0] : "out of memory");
	} else if (!published->on_changed || !published->unencrypted) {
		error_set(error,
			"the API has it without on-changed or unencrypted, so devices will not act "
			"on it");
	} else {
		err = 0;
	}
	notes_fini(&lines);
	return err;
}
