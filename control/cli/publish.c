/* publish.c - see publish.h.
 *
 *	read what is published -> plan -> check this host -> show -> key -> PATCH -> read again
 */
#include "control/cli/publish.h"

#include "control/cli/host_check.h"
#include "control/cli/login.h"
#include "control/factory_once.h"
#include "crypto/x25519.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDRESS_URL "https://api.ipify.org"
#define ADDRESS_ANSWER_MAX 1024
#define REASON "wghub: hub published"

struct publisher {
	struct factory_options *o;
	struct publish_result *result;
	struct plan_wish wish;
	struct factory_once *once; /* with the daemon's credentials */
	struct creds *login; /* for publishing, of a login just now; or NULL */
	struct plan plan;
	char config_path[160];
	char found_host[TEXT_ADDR_CHARS], typed_host[TEXT_HOST_CHARS];
};

static enum published outcome_of(const struct factory_reply *reply)
{
	return reply->outcome == FACTORY_TRANSIENT ? PUBLISH_UNREACHABLE : PUBLISH_FAILED;
}

/* ---- credentials ---- */

static bool has_creds_file(const struct factory_options *o)
{
	const char *path = o->factory.poll.http.creds_path;

	return !path || access(path, F_OK) == 0 || errno != ENOENT;
}

/* Without a file somebody must log in, and the daemon's credentials come from that, too. */
static enum published log_in(struct publisher *p, bool for_daemon)
{
	const char *path = p->o->factory.poll.http.creds_path;
	bool daemon = for_daemon;
	char shown[120];

	text_escape(shown, sizeof shown, path, strlen(path));
	if (!login_can_ask(p->o)) {
		say_error("%s: %s: type on a terminal: wghub login --factory %s --oauthcreds %s; "
			  "or here, with the code on standard input: --code-stdin",
			shown,
			for_daemon ? "there are no credentials"
				   : "these credentials may read only, and publishing needs more",
			p->o->name, shown);
		return PUBLISH_FAILED;
	}
	if (login_by_code(p->o, &p->login, &daemon))
		return PUBLISH_FAILED;
	p->result->no_credentials = for_daemon && !daemon;
	return PUBLISHED;
}

/* ---- reading ---- */

static enum published read_file(struct publisher *p, struct factory_file *file)
{
	struct wgh_error error = {""};
	struct factory_reply reply;
	enum published outcome = PUBLISHED;

	*file = (struct factory_file){0};
	factory_once_get(p->once, p->config_path, &reply);
	if (reply.outcome != FACTORY_OK) {
		say_error(
			"%s%s", reply.why, reply.login_needed ? "; log in again: wghub login" : "");
		outcome = outcome_of(&reply);
	} else if (factory_file_find(file, reply.body, reply.n, SERVER_FILE_NAME, &error)) {
		say_error("%s", error.text);
		outcome = PUBLISH_UNREACHABLE;
	}
	factory_reply_fini(&reply);
	return outcome;
}

/* ---- where devices reach the hub ---- */

/* An address that a third party names goes to the whole fleet: only if asked for, by HTTPS, and
 * where there is somebody, only after they have seen it. */
static enum published find_address(struct publisher *p)
{
	struct factory_http_options http = {.api_url = p->o->factory.poll.http.api_url,
		.ca_file = p->o->address_url ? p->o->factory.poll.http.ca_file : NULL,
		.creds_text = "-"};
	const char *url = p->o->address_url ? p->o->address_url : ADDRESS_URL;
	struct wgh_error error = {""};
	struct factory_once *once;
	struct factory_reply reply;
	struct wgh_addr addr;
	enum published outcome = PUBLISHED;

	if (factory_once_new(&once, &http, &error)) {
		say_error("%s", error.text);
		return PUBLISH_FAILED;
	}
	factory_once_fetch(once, url, NULL, ADDRESS_ANSWER_MAX, &reply);
	if (reply.outcome != FACTORY_OK) {
		say_error("--endpoint auto: %s; give the address: --endpoint HOST", reply.why);
		outcome = PUBLISH_UNREACHABLE;
	} else if (reply.status != 200 ||
		text_addr(&addr, reply.body, strcspn(reply.body, "\r\n"))) {
		say_error("--endpoint auto: the answer is no address; give it: --endpoint HOST");
		outcome = PUBLISH_FAILED;
	} else {
		text_from_addr(p->found_host, &addr);
		p->wish.host = p->found_host;
	}
	factory_reply_fini(&reply);
	factory_once_free(once);
	return outcome;
}

static bool confirmed(const struct publisher *p)
{
	char answer[16];

	if (p->wish.host != p->found_host || !isatty(STDIN_FILENO))
		return true;
	return login_read_line("Is this the address at which devices reach this host? [y/N] ",
		       answer, sizeof answer) &&
		(answer[0] == 'y' || answer[0] == 'Y');
}

static enum published make_plan(struct publisher *p, const struct factory_file *file)
{
	struct wgh_error error = {""};
	int err = plan_make(&p->plan, &p->wish, file, &error);

	if (err == -EDESTADDRREQ && isatty(STDIN_FILENO) &&
		login_read_line("Address or name at which devices reach this host: ", p->typed_host,
			sizeof p->typed_host)) {
		p->wish.host = p->typed_host;
		err = plan_make(&p->plan, &p->wish, file, &error);
	}
	if (!err)
		return PUBLISHED;
	say_error("%s", error.text);
	return err == -EDESTADDRREQ ? PUBLISH_USAGE : PUBLISH_FAILED;
}

/* ---- writing ---- */

static enum published check_host(const struct publisher *p)
{
	const struct host_check check = {.ifname = p->o->ifname,
		.socket_dir = p->o->hub.daemon.socket_dir,
		.factory = p->o->name,
		.port = p->plan.file.port,
		.address = p->plan.file.address,
		.no_tun = p->o->hub.daemon.device.no_tun};
	struct wgh_error error = {""};

	if (p->o->no_check_ip || !host_check(&check, &error))
		return PUBLISHED;
	say_error("%s", error.text);
	return PUBLISH_FAILED;
}

/* The token of the login just now, or the daemon's, which may do for it. */
static void send_patch(struct publisher *p, const char *body, size_t n, struct factory_reply *reply)
{
	struct factory_http_options http = p->o->factory.poll.http;
	struct wgh_error error = {""};
	struct factory_once *once = p->once;

	if (p->login) {
		http.creds_path = NULL;
		http.creds_text = p->login->text;
		if (factory_once_new(&once, &http, &error)) {
			*reply = (struct factory_reply){.outcome = FACTORY_TRANSIENT};
			snprintf(reply->why, sizeof reply->why, "%s", error.text);
			return;
		}
	}
	factory_once_patch(once, p->config_path, body, n, reply);
	if (once != p->once)
		factory_once_free(once);
}

static bool lacks_right(const struct publisher *p, const struct factory_reply *reply)
{
	return reply->outcome == FACTORY_REFUSED &&
		(reply->status == 403 || reply->status == 401) && !p->login && !p->o->token &&
		p->o->factory.poll.http.creds_path;
}

/* A write whose answer was lost may have taken effect: reading again tells. */
static enum published write_file(struct publisher *p)
{
	struct factory_reply reply;
	enum published outcome = PUBLISHED;
	char *body;
	size_t n;

	if (factory_patch_body(&body, &n, SERVER_FILE_NAME, p->plan.text, REASON)) {
		say_error("out of memory");
		return PUBLISH_FAILED;
	}
	send_patch(p, body, n, &reply);
	if (lacks_right(p, &reply)) {
		say_error("%s", reply.why);
		factory_reply_fini(&reply);
		outcome = log_in(p, false);
		if (outcome == PUBLISHED)
			send_patch(p, body, n, &reply);
	}
	free(body);
	if (outcome != PUBLISHED)
		return outcome;
	if (reply.outcome != FACTORY_OK)
		say_error("%s", reply.why);
	if (reply.outcome == FACTORY_REFUSED)
		outcome = PUBLISH_FAILED;
	factory_reply_fini(&reply);
	return outcome;
}

static enum published read_back(struct publisher *p)
{
	struct wgh_error error = {""};
	struct factory_file file;
	enum published outcome = read_file(p, &file);

	if (outcome == PUBLISHED && plan_compare(&p->plan, &file, &error)) {
		say_error("it was not published as it should be: %s", error.text);
		outcome = PUBLISH_FAILED;
	}
	factory_file_fini(&file);
	return outcome;
}

static enum published change(struct publisher *p)
{
	enum published outcome = PUBLISHED;

	printf("%s of the factory %s changes:\n", SERVER_FILE_NAME, p->o->name);
	for (size_t i = 0; i < p->plan.lines.n; i++)
		printf("  %s\n", p->plan.lines.lines[i]);
	fflush(stdout);
	if (!confirmed(p)) {
		say_error("nothing has changed; give the address: --endpoint HOST");
		return PUBLISH_FAILED;
	}
	/* On the disk before the fleet hears of it. */
	if (p->result->key_is_new && factory_write_key(p->o))
		return PUBLISH_FAILED;
	outcome = write_file(p);
	return outcome == PUBLISHED ? read_back(p) : outcome;
}

/* ---- all of it ---- */

static enum published prepare(struct publisher *p)
{
	struct factory_options *o = p->o;
	struct x25519_secret secret;
	struct x25519_public public;
	bool good;

	if (factory_read_or_make_key(o, &p->result->key_is_new))
		return PUBLISH_FAILED;
	memcpy(secret.bytes, o->factory.private_key, sizeof secret.bytes);
	good = x25519_public_from_secret(&public, &secret);
	secret_wipe(&secret, sizeof secret);
	if (!good) {
		say_error("--privatekey: an all-zero key is no key");
		return PUBLISH_FAILED;
	}
	memcpy(p->wish.public_key.bytes, public.bytes, sizeof public.bytes);
	p->wish.endpoint_only = o->who == FOR_UPDATE_ENDPOINT;
	p->wish.take_over = o->take_over;
	p->wish.host = o->endpoint;
	p->wish.port = o->port;
	p->wish.address = o->vpn_address;
	snprintf(p->config_path, sizeof p->config_path, "/ota/factories/%s/config/", o->name);
	if (o->endpoint && !strcmp(o->endpoint, "auto"))
		return find_address(p);
	return PUBLISHED;
}

static enum published connect_api(struct publisher *p)
{
	struct factory_http_options *http = &p->o->factory.poll.http, bare;
	struct wgh_error error = {""};
	enum published outcome = PUBLISHED;

	if (!has_creds_file(p->o))
		outcome = log_in(p, true);
	if (p->result->no_credentials) {
		bare = *http;
		bare.creds_path = NULL;
		bare.creds_text = p->login->text;
		http = &bare;
	}
	if (outcome == PUBLISHED && factory_once_new(&p->once, http, &error)) {
		say_error("%s", error.text);
		outcome = PUBLISH_FAILED;
	}
	return outcome;
}

static enum published run(struct publisher *p)
{
	struct factory_file file = {0};
	enum published outcome = prepare(p);

	if (outcome == PUBLISHED)
		outcome = connect_api(p);
	if (outcome == PUBLISHED)
		outcome = read_file(p, &file);
	if (outcome == PUBLISHED)
		outcome = make_plan(p, &file);
	factory_file_fini(&file);
	if (outcome == PUBLISHED)
		outcome = check_host(p);
	if (outcome == PUBLISHED && p->plan.change)
		outcome = change(p);
	if (outcome == PUBLISHED) {
		p->result->changed = p->plan.change;
		p->result->anew = p->plan.anew;
		p->result->file = p->plan.file;
	}
	return outcome;
}

enum published publish(struct factory_options *o, struct publish_result *result)
{
	struct publisher p = {.o = o, .result = result};
	enum published outcome;

	*result = (struct publish_result){0};
	outcome = run(&p);
	plan_fini(&p.plan);
	creds_free(p.login);
	factory_once_free(p.once);
	return outcome;
}
