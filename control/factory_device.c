/* factory_device.c - see factory_device.h. */
#include "control/factory_device.h"

#include "control/error.h"
#include "control/factory_alloc.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 1000
#define WAIT_LEAST_MS 50
#define WAIT_SPAN_MS 450

/* ---- requests ---- */

void device_path(char out[DEVICE_PATH_CHARS], const struct device_job *job, const char *below)
{
	static const char hex[] = "0123456789ABCDEF", letters[] = "-._~";
	size_t n = (size_t)snprintf(out, DEVICE_PATH_CHARS, "/ota/devices/");

	for (const char *at = job->name; *at && n < DEVICE_PATH_CHARS - 200; at++) {
		unsigned char c = (unsigned char)*at;

		if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
			strchr(letters, c)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	snprintf(out + n, DEVICE_PATH_CHARS - n, "/%s?factory=%s", below, job->factory);
}

/* A refusal as an error. */
static int refused(const struct factory_reply *reply, struct wgh_error *error)
{
	error_set(error, "%s", reply->why);
	if (reply->status == 403 || reply->status == 401 || reply->login_needed)
		return -EACCES;
	return reply->status == 404 ? -ENOENT : -EIO;
}

static bool device_exists(const struct device_job *job)
{
	struct factory_reply reply;
	char path[DEVICE_PATH_CHARS];
	bool exists;

	device_path(path, job, "");
	factory_once_get(job->once, path, &reply);
	exists = reply.outcome == FACTORY_OK;
	factory_reply_fini(&reply);
	return exists;
}

/* A device without any configuration has an empty one, or none: nobody knows which. */
static int read_file(
	struct factory_file *file, const struct device_job *job, struct wgh_error *error)
{
	struct factory_reply reply;
	char path[DEVICE_PATH_CHARS];
	int err = 0;

	*file = (struct factory_file){0};
	device_path(path, job, "config/");
	factory_once_get(job->once, path, &reply);
	if (reply.outcome == FACTORY_OK) {
		err = factory_file_find(file, reply.body, reply.n, DEVICE_FILE_NAME, error);
		if (err == -EINVAL)
			err = -EIO;
	} else if (reply.status == 404 && !device_exists(job)) {
		error_set(error, "the factory has no device of this name");
		err = -ENOENT;
	} else if (reply.status != 404) {
		err = refused(&reply, error);
	}
	factory_reply_fini(&reply);
	return err;
}

int device_read(struct device_result *result, const struct device_job *job, struct notes *notes,
	struct wgh_error *error)
{
	struct factory_file file;
	int err = read_file(&file, job, error);

	if (err)
		return err;
	result->file = (struct device_file){0};
	result->on_changed = file.on_changed;
	if (file.value)
		device_file_parse(&result->file, file.value, strlen(file.value), notes);
	factory_file_fini(&file);
	return 0;
}

static int read_peers(
	struct factory_peers *peers, const struct device_job *job, struct wgh_error *error)
{
	char path[160];
	char *next = path;
	int err = 0;

	*peers = (struct factory_peers){0};
	snprintf(path, sizeof path, "/ota/factories/%s/wireguard-ips/", job->factory);
	for (unsigned page = 0; next && !err && page < PAGES_MAX; page++) {
		struct factory_reply reply;

		factory_once_get(job->once, next, &reply);
		if (next != path)
			free(next);
		peers->next = NULL;
		if (reply.outcome != FACTORY_OK)
			err = refused(&reply, error);
		else if (factory_peers_add(peers, reply.body, reply.n, NULL, error))
			err = -EIO;
		next = peers->next;
		peers->next = NULL;
		factory_reply_fini(&reply);
	}
	if (next && next != path)
		free(next);
	if (err)
		factory_peers_fini(peers);
	return err;
}

static int read_server(
	struct server_file *server, const struct device_job *job, struct wgh_error *error)
{
	struct factory_reply reply;
	char path[160];
	int err;

	snprintf(path, sizeof path, "/ota/factories/%s/config/", job->factory);
	factory_once_get(job->once, path, &reply);
	if (reply.outcome == FACTORY_OK)
		err = factory_server_find(server, reply.body, reply.n, NULL, error);
	else
		err = refused(&reply, error);
	factory_reply_fini(&reply);
	if (!err && !server->enabled) {
		error_set(error,
			"the factory's VPN is switched off: publish a hub with wghub enable");
		err = -ENOENT;
	}
	return err == -EINVAL ? -EIO : err;
}

/* After a failure of the network nobody knows whether it took effect: the caller reads again. */
static int write_file(
	const struct device_job *job, const struct device_file *file, struct wgh_error *error)
{
	char text[FACTORY_FILE_CHARS], path[DEVICE_PATH_CHARS], *body;
	struct factory_reply reply;
	size_t n;
	int err = device_file_write(text, file, error);

	if (err)
		return -ENOENT; /* no key */
	err = factory_patch_body(&body, &n, DEVICE_FILE_NAME, text,
		file->enabled ? "VPN on (wghub)" : "VPN off (wghub)");
	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	device_path(path, job, "config/");
	factory_once_patch(job->once, path, body, n, &reply);
	free(body);
	if (reply.outcome == FACTORY_REFUSED)
		err = refused(&reply, error);
	else if (reply.outcome == FACTORY_TRANSIENT)
		error_set(error, "%s", reply.why);
	factory_reply_fini(&reply);
	return err;
}

static void wait_a_moment(const struct device_job *job)
{
	uint16_t random;

	secret_random(&random, sizeof random);
	factory_once_wait(job->once, WAIT_LEAST_MS + random % WAIT_SPAN_MS);
}

/* ---- addresses ---- */

static bool same_addr(const struct wgh_addr *a, const struct wgh_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* Why this device cannot have it: "NAME has it, too"; NULL: it can. */
static const char *objection(const struct device_job *job, const struct factory_peers *peers,
	const struct wgh_addr *address, char out[160])
{
	char shown[100];

	for (size_t i = 0; i < peers->n; i++) {
		const char *name = peers->items[i].name;

		if (!same_addr(&peers->items[i].address, address) || !strcmp(name, job->name))
			continue;
		text_escape(shown, sizeof shown, name, strlen(name));
		snprintf(out, 160, "%s has it, too", shown);
		return out;
	}
	for (size_t i = 0; i < job->n_taken; i++) {
		if (same_addr(&job->taken[i], address))
			return "a client has it";
	}
	return same_addr(&job->refused, address) ? "the hub refuses it" : NULL;
}

static int allocate(struct wgh_addr *address, const struct device_job *job,
	const struct factory_peers *peers, struct wgh_error *error)
{
	struct wgh_addr *taken = calloc(peers->n + job->n_taken + 2, sizeof *taken);
	struct server_file server;
	size_t n = 0;
	int err;

	if (!taken) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = read_server(&server, job, error);
	for (size_t i = 0; !err && i < peers->n; i++) {
		if (strcmp(peers->items[i].name, job->name))
			taken[n++] = peers->items[i].address;
	}
	for (size_t i = 0; !err && i < job->n_taken; i++)
		taken[n++] = job->taken[i];
	taken[n++] = job->refused;
	if (!err) {
		err = alloc_device(address, &server.address, taken, n);
		if (err)
			error_set(error, "no address is free in the factory's VPN");
	}
	free(taken);
	return err;
}

/* The device's own address if nobody else has it, else a free one. */
static int choose(struct device_file *want, const struct device_job *job, struct notes *notes,
	struct wgh_error *error)
{
	bool has_one = want->address.family != WGH_UNSPEC;
	char text[TEXT_ADDR_CHARS], who[160];
	struct factory_peers peers;
	const char *why = NULL;
	int err = read_peers(&peers, job, error);

	if (err)
		return err;
	if (has_one)
		why = objection(job, &peers, &want->address, who);
	if (why) {
		text_from_addr(text, &want->address);
		notes_add(notes, "not %s any more: %s", text, why);
	}
	if (!has_one || why)
		err = allocate(&want->address, job, &peers, error);
	factory_peers_fini(&peers);
	return err;
}

/* ---- the two ---- */

static bool says(const struct device_result *now, const struct device_file *want)
{
	return now->on_changed && now->file.enabled == want->enabled && now->file.has_public_key &&
		!memcmp(&now->file.public_key, &want->public_key, sizeof want->public_key) &&
		same_addr(&now->file.address, &want->address);
}

/* Reads, and writes what is missing, until there is nothing to write. */
static int make(struct device_result *result, const struct device_job *job, bool enabled,
	struct notes *notes, struct wgh_error *error)
{
	struct device_file want;
	int err;

	*result = (struct device_result){.changed = false};
	for (unsigned tries = 0; tries < DEVICE_TRIES_MAX; tries++) {
		/* Notes on the file are told once. */
		err = device_read(result, job, tries ? NULL : notes, error);
		if (err)
			return err;
		want = result->file;
		want.enabled = enabled;
		if (enabled && want.has_public_key)
			err = choose(&want, job, notes, error);
		if (err || says(result, &want))
			return err;
		if (tries)
			wait_a_moment(job);
		err = write_file(job, &want, error);
		if (err)
			return err;
		result->changed = true;
	}
	if (!error->text[0])
		error_set(error, "somebody else changes it, or takes its addresses, all the time");
	return -EAGAIN;
}

int device_enable(struct device_result *result, const struct device_job *job, struct notes *notes,
	struct wgh_error *error)
{
	return make(result, job, true, notes, error);
}

int device_disable(struct device_result *result, const struct device_job *job, struct notes *notes,
	struct wgh_error *error)
{
	return make(result, job, false, notes, error);
}
