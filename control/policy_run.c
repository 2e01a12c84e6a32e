/* policy_run.c - see policy_run.h. */
#include "control/policy_run.h"

#include "control/error.h"
#include "control/journal.h"
#include "control/key_index.h"
#include "control/log.h"
#include "control/policy_words.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct policy_run {
	struct policy_options options; /* path and host_ports are copies */
	struct policy_file *file;
	struct policy_file *file_told; /* of plan; file itself, or the one before it */
	struct policy_plan *plan; /* as the device was told; NULL: nothing yet */
	struct note_once said;
	bool too_much; /* said that the plan could not be made */
};

/* ---- options ---- */

const char *policy_ports_wrong(const char *ports)
{
	struct words words = {{ports, strlen(ports)}};
	uint16_t first, last;

	do {
		struct word word = words_next(&words);

		if (word.kind != WORD || !policy_ports(&first, &last, word.text))
			return "a list of ports and ranges: 22,80-90";
	} while (words_take(&words, WORD_COMMA));
	return words_peek(&words).kind == WORD_END ? NULL : "a list of ports and ranges: 22,80-90";
}

/* Options say what a line at the file's end would say: the file decides first. */
static int add_options(struct policy_file *file, const struct policy_options *o)
{
	char line[POLICY_LINE_MAX];
	int err = 0;

	if (o->device_to_device) {
		snprintf(line, sizeof line, "allow device -> device");
		err = policy_file_add(file, 0, line, strlen(line));
	}
	if (!err && o->device_to_host) {
		const char *ports = o->host_ports;

		snprintf(line, sizeof line,
			ports ? "allow device -> host tcp %s udp %s" : "allow device -> host",
			ports, ports);
		err = policy_file_add(file, 0, line, strlen(line));
	}
	return err;
}

/* ---- the file ---- */

static int fail_file(const struct policy_file *file, struct wgh_error *error)
{
	for (size_t i = 1; i < file->errors.n; i++)
		log_error("policy wrong why=\"%s\"", file->errors.lines[i]);
	error_set(error, "%s", file->errors.lines[0]);
	return -EINVAL;
}

static int load(struct policy_file **out, const struct policy_options *o, struct wgh_error *error)
{
	struct policy_file *file = NULL;
	int err;

	if (o->path) {
		err = policy_file_read(&file, o->path, error);
	} else {
		file = policy_file_new("");
		err = file ? 0 : -ENOMEM;
	}
	if (!err)
		err = add_options(file, o);
	if (!err && !o->path)
		err = policy_file_finish(file);
	if (err == -ENOMEM)
		error_set(error, "out of memory");
	if (!err && file->errors.n)
		err = fail_file(file, error);
	if (err) {
		policy_file_free(file);
		return err;
	}
	*out = file;
	return 0;
}

static char *copy_text(const char *text, bool *ok)
{
	char *copy = text ? strdup(text) : NULL;

	*ok &= !text || copy;
	return copy;
}

int policy_run_new(
	struct policy_run **out, const struct policy_options *options, struct wgh_error *error)
{
	struct policy_run *run = calloc(1, sizeof *run);
	bool ok = run != NULL;
	int err = -ENOMEM;

	*out = NULL;
	error_set(error, "out of memory");
	if (!run)
		return err;
	run->options = *options;
	run->options.path = copy_text(options->path, &ok);
	run->options.host_ports = copy_text(options->host_ports, &ok);
	if (ok)
		err = load(&run->file, &run->options, error);
	if (err)
		policy_run_free(run);
	else
		*out = run;
	return err;
}

static void drop_file(struct policy_run *run, struct policy_file *file)
{
	if (file != run->file && file != run->file_told)
		policy_file_free(file);
}

void policy_run_free(struct policy_run *run)
{
	if (!run)
		return;
	policy_file_free(run->file);
	if (run->file_told != run->file)
		policy_file_free(run->file_told);
	policy_plan_free(run->plan);
	free((char *)run->options.path);
	free((char *)run->options.host_ports);
	free(run);
}

int policy_run_reload(struct policy_run *run, struct wgh_error *error)
{
	struct policy_file *file, *before = run->file;
	int err = load(&file, &run->options, error);

	if (err)
		return err;
	run->file = file;
	drop_file(run, before);
	run->too_much = false;
	return 0;
}

void policy_run_refused(const struct policy_run *run, const char *why)
{
	log_error("policy not applied why=\"%s\" note=\"the one before stays\"", why);
	journal_say("policy_refused", "{s:s,s:s*,s:s}", "by", "policy", "file", run->options.path,
		"why", why);
}

/* ---- what the device is told ---- */

/* What is built in is no change. */
static void tell_applied(const struct policy_run *run, const struct wgh_policy *policy)
{
	if (run->plan)
		log_info("policy applied rules=%zu forwards=%zu", policy->n_rules,
			policy->n_forwards);
	if (run->plan || run->file->n_lines)
		journal_say("policy_changed", "{s:s,s:s*,s:I,s:I,s:I}", "by", "policy", "file",
			run->options.path, "lines", (json_int_t)run->file->n_lines, "rules",
			(json_int_t)policy->n_rules, "forwards", (json_int_t)policy->n_forwards);
}

KEY_INDEX_CAN_HOLD(struct wgh_peer_view);
KEY_INDEX_CAN_HOLD(struct wgh_peer_change);
KEY_INDEX_CAN_HOLD(struct conf_peer);

/* Into the change that the peer has in this set already, or into one of its own. */
static void add_setting(struct policy_amended *out, const struct key_index *changes,
	const struct wgh_public_key *key, const struct policy_setting *setting,
	const struct wgh_peer_view *view)
{
	struct wgh_peer_change *c = (void *)key_index_find(changes, key);

	if (view ? view->group == setting->group && view->nat == setting->nat
		 : setting->group == WGH_GROUP_PEER && setting->nat == WGH_NAT_NEVER)
		return;
	if (c && c->flags & WGH_PEER_REMOVE)
		return;
	if (!c) {
		c = &out->peers[out->change.n_peers++];
		*c = (struct wgh_peer_change){.public_key = *key, .flags = WGH_PEER_UPDATE_ONLY};
	}
	c->flags |= WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT;
	c->group = setting->group;
	c->nat = setting->nat;
}

/* Without a plan those who are there keep what they have. */
static int add_settings(struct policy_amended *out, const struct policy_world *world,
	const struct wgh_snapshot *running)
{
	struct key_index views = {0}, changes = {0};
	int err = key_index_init(&views, running->peers, running->n_peers, sizeof *running->peers);

	if (!err)
		err = key_index_init(&changes, out->peers, out->change.n_peers, sizeof *out->peers);
	for (size_t i = 0; !err && i < world->n_peers; i++) {
		const struct policy_peer *peer = &world->peers[i];
		const struct wgh_peer_view *view = key_index_find(&views, &peer->public_key);
		struct policy_setting setting = policy_default_setting(peer->group);

		if (out->plan)
			setting = out->plan->settings[i];
		if (out->plan || !view)
			add_setting(out, &changes, &peer->public_key, &setting, view);
	}
	key_index_fini(&views);
	key_index_fini(&changes);
	return err;
}

static int make_plan(
	struct policy_run *run, struct policy_amended *out, const struct policy_world *world)
{
	struct wgh_error error;
	int err = policy_plan_make(&out->plan, run->file, world, &error);

	if (err == -E2BIG && !run->too_much) {
		policy_run_refused(run, error.text);
		run->too_much = true;
	}
	return err == -E2BIG ? 0 : err;
}

int policy_run_amend(struct policy_run *run, struct policy_amended *out,
	const struct wgh_change *change, const struct policy_world *world,
	const struct wgh_snapshot *running)
{
	int err;

	*out = (struct policy_amended){.change = *change};
	out->peers_cap = change->n_peers + world->n_peers + 1;
	out->peers = calloc(out->peers_cap, sizeof *out->peers);
	err = out->peers ? make_plan(run, out, world) : -ENOMEM;
	if (err)
		return err;
	if (change->n_peers)
		memcpy(out->peers, change->peers, change->n_peers * sizeof *out->peers);
	out->change.peers = out->peers;
	if (out->plan && (!run->plan || !policy_plan_equal(run->plan, out->plan))) {
		out->change.flags |= WGH_HAS_POLICY;
		out->change.policy = &out->plan->policy;
	}
	return add_settings(out, world, running);
}

bool policy_amended_is_empty(const struct policy_amended *amended)
{
	return amended->change.flags == 0 && amended->change.n_peers == 0;
}

void policy_run_applied(struct policy_run *run, struct policy_amended *amended)
{
	struct policy_file *before = run->file_told;

	if (!amended->plan)
		return;
	note_once_log(&run->said, "policy", &amended->plan->notes);
	if (amended->change.flags & WGH_HAS_POLICY)
		tell_applied(run, &amended->plan->policy);
	policy_plan_free(run->plan);
	run->plan = amended->plan;
	amended->plan = NULL;
	run->file_told = run->file;
	drop_file(run, before);
}

void policy_amended_fini(struct policy_amended *amended)
{
	if (amended->peers)
		secret_wipe(amended->peers, amended->peers_cap * sizeof *amended->peers);
	free(amended->peers);
	policy_plan_free(amended->plan);
	*amended = (struct policy_amended){0};
}

/* ---- for those who ask ---- */

const char *policy_run_line(struct policy_run *run, size_t index, char *room, size_t size)
{
	const struct policy_file *file = run->file_told;

	if (!file)
		return NULL;
	if (file->path[0] && index-- == 0) {
		snprintf(room, size, "policy_file=%s", file->path);
		return room;
	}
	if (index >= file->n_lines)
		return NULL;
	snprintf(room, size, "policy=%u %s", file->lines[index].number, file->lines[index].text);
	return room;
}

const char *policy_run_group(struct policy_run *run, unsigned class, char *room, size_t size)
{
	char text[POLICY_CLASS_CHARS];

	if (run->plan)
		policy_class_text(text, run->plan, run->file_told, class);
	snprintf(room, size, "%s", run->plan ? text : policy_group_name(class));
	return room;
}

struct wgh_addr policy_run_probe(const struct policy_run *run)
{
	return run->plan ? run->plan->policy.probe4 : (struct wgh_addr){.family = WGH_UNSPEC};
}

/* ---- a hub without a Factory ---- */

int policy_world_of_conf(
	struct policy_world *world, const struct conf *conf, const struct wgh_snapshot *running)
{
	size_t n_conf = conf ? conf->n_peers : 0, n = 0;
	struct policy_peer *peers = calloc(n_conf + running->n_peers + 1, sizeof *peers);
	struct key_index keys = {0};

	if (!peers ||
		key_index_init(
			&keys, conf ? conf->peers : NULL, n_conf, sizeof(struct conf_peer))) {
		free(peers);
		return -ENOMEM;
	}
	for (; n < n_conf; n++) {
		const struct conf_peer *peer = &conf->peers[n];

		peers[n] = (struct policy_peer){.public_key = peer->public_key,
			.name = peer->name,
			.prefixes = peer->allowed_ips,
			.n_prefixes = peer->n_allowed_ips,
			.group = WGH_GROUP_PEER};
	}
	for (size_t i = 0; i < running->n_peers; i++) {
		const struct wgh_peer_view *view = &running->peers[i];

		if (key_index_find(&keys, &view->public_key))
			continue;
		peers[n++] = (struct policy_peer){.public_key = view->public_key,
			.prefixes = view->allowed_ips,
			.n_prefixes = view->n_allowed_ips,
			.group = WGH_GROUP_PEER};
	}
	key_index_fini(&keys);
	*world = (struct policy_world){.peers = peers,
		.n_peers = n,
		.addresses = running->addresses,
		.n_addresses = running->n_addresses};
	if (conf && conf->n_addresses) { /* they are about to become the hub's */
		world->addresses = conf->addresses;
		world->n_addresses = conf->n_addresses;
	}
	return 0;
}
