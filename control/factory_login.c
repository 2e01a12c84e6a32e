/* factory_login.c - see factory_login.h.
 *
 *	IDLE -> LOCKING -> ASKING -> WRITING -> IDLE
 *
 * LOCKING tries every LOCK_RETRY_MS, because the main loop must not sleep on another's lock. The
 * new token is in memory before it is on the disk; where the disk refuses, it is written before the
 * next request instead, and stays in use. */
#include "control/factory_login.h"

#include "control/error.h"
#include "control/factory_json.h"
#include "control/file.h"
#include "control/log.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_RETRY_MS 100
#define LOCK_TRIES 200
#define AGAIN_MIN_S 5
#define AGAIN_MAX_S 300
#define ANSWER_MAX (256u << 10)

/* A file that was replaced or changed has another one. */
struct stamp {
	int64_t mtime_ns;
	uint64_t inode;
	int64_t bytes;
};

struct factory_login {
	uv_loop_t *loop;
	struct https *https;
	char *oauth_url, *path; /* path: or NULL */
	bool read_only, write_fioctl;
	struct creds *creds; /* NULL: none that can be read */
	struct stamp stamp;
	bool unsaved; /* newer than the file */
	bool refused; /* by the OAuth server: until the file changes */
	/* Not before; CLOCK_BOOTTIME, because the other one may be set back by years. */
	double again_s; /* after failures */
	double forced_again_s; /* because of a 401, after those that no request has thanked for */
	unsigned n_failures, n_in_vain;
	char *file_token; /* the access token in the file, as far as known; or NULL */
	char why[600]; /* LATER and NEEDED */
	/* a renewal under way */
	factory_login_fn *done; /* NULL: none */
	void *arg;
	bool forced;
	uv_timer_t timer;
	unsigned n_lock_tries, attempt, last_status;
	int lock_fd; /* -1: not held */
	uv_work_t work;
	bool writing;
	int write_err;
	struct wgh_error write_error;
};

static double clock_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now_s(void)
{
	return clock_s(CLOCK_REALTIME);
}

/* AGAIN_MIN_S, and twice as long after each of n failures. */
static double again_after_s(unsigned n)
{
	unsigned wait_s = AGAIN_MIN_S;

	for (unsigned i = 0; i < n && wait_s < AGAIN_MAX_S; i++)
		wait_s *= 2;
	return clock_s(CLOCK_BOOTTIME) + (wait_s < AGAIN_MAX_S ? wait_s : AGAIN_MAX_S);
}

/* ---- the file ---- */

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct stamp){0};
	return (struct stamp){
		.mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
		.inode = st.st_ino,
		.bytes = st.st_size};
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->mtime_ns == b->mtime_ns && a->inode == b->inode && a->bytes == b->bytes;
}

static void set_file_token(struct factory_login *login, const char *token)
{
	if (login->file_token)
		secret_wipe(login->file_token, strlen(login->file_token));
	free(login->file_token);
	login->file_token = token ? strdup(token) : NULL;
}

/* The token in memory is newer than the file, and somebody touched that: it is no login. */
static bool is_outdated(const struct factory_login *login, const struct creds *fresh)
{
	return login->unsaved && login->file_token && fresh->access_token &&
		!strcmp(login->file_token, fresh->access_token);
}

static void forget_failures(struct factory_login *login)
{
	login->refused = login->unsaved = false;
	login->forced_again_s = 0;
	login->n_in_vain = 0;
}

static void adopt(struct factory_login *login, struct creds *fresh)
{
	char shown[120];

	if (login->creds && login->creds->form == fresh->form) {
		fresh->header = login->creds->header;
		fresh->header_worked = login->creds->header_worked;
	}
	if (fresh->others_can_read && (!login->creds || !login->creds->others_can_read)) {
		text_escape(shown, sizeof shown, login->path, strlen(login->path));
		log_warn("credentials can be read by others file=\"%s\" remedy=\"chmod 600\"",
			shown);
	}
	if (!login->creds || !creds_same_token(login->creds, fresh))
		forget_failures(login);
	creds_free(login->creds);
	login->creds = fresh;
	login->again_s = 0;
	login->n_failures = 0;
	set_file_token(login, fresh->access_token);
	login->read_only = fresh->form == CREDS_FIOCTL_YAML && !login->write_fioctl;
}

/* A file that is gone or broken leaves the credentials in memory as they are. */
static void read_if_changed(struct factory_login *login)
{
	struct wgh_error error = {""};
	struct creds *fresh;
	struct stamp stamp;

	if (!login->path)
		return;
	stamp = stamp_of(login->path);
	if (login->creds && same_stamp(&stamp, &login->stamp))
		return;
	if (creds_read(&fresh, login->path, now_s(), &error)) {
		if (!login->creds)
			snprintf(login->why, sizeof login->why, "no credentials: %s", error.text);
		else if (!same_stamp(&stamp, &login->stamp))
			log_warn("credentials kept why=\"%s\"", error.text);
		login->stamp = stamp;
		return;
	}
	login->stamp = stamp;
	if (is_outdated(login, fresh))
		creds_free(fresh);
	else
		adopt(login, fresh);
}

/* ---- the end of a renewal ---- */

static void unlock(struct factory_login *login)
{
	if (login->lock_fd >= 0)
		file_unlock(login->lock_fd);
	login->lock_fd = -1;
}

static void end(struct factory_login *login, enum factory_login_outcome outcome)
{
	factory_login_fn *done = login->done;

	unlock(login);
	login->done = NULL;
	done(login->arg, outcome, login->why);
}

/* The present token may serve a while yet; not if it is what was refused. */
static void end_without(struct factory_login *login, enum factory_login_outcome outcome)
{
	bool usable = login->creds && login->creds->access_token && !login->forced;

	end(login, usable ? LOGIN_READY : outcome);
}

static void fail_later(struct factory_login *login)
{
	if (login->n_failures == 0)
		log_warn("token not renewed why=\"%s\"", login->why);
	login->again_s = again_after_s(login->n_failures++);
	end_without(login, LOGIN_LATER);
}

static void fail_refused(struct factory_login *login)
{
	login->refused = true;
	log_error("login needed why=\"%s\" remedy=\"wghub login\"", login->why);
	end_without(login, LOGIN_NEEDED);
}

/* ---- WRITING ---- */

static void write_work(uv_work_t *work)
{
	struct factory_login *login = work->data;

	login->write_err =
		creds_write(login->creds, login->path, login->write_fioctl, &login->write_error);
}

static void on_written(uv_work_t *work, int status)
{
	struct factory_login *login = work->data;

	login->writing = false;
	if (status)
		login->write_err = status;
	login->unsaved = login->write_err != 0;
	if (login->write_err) {
		log_error("new token only in memory why=\"%s\"", login->write_error.text);
	} else {
		login->stamp = stamp_of(login->path);
		set_file_token(login, login->creds->access_token);
	}
	end(login, LOGIN_READY);
}

static void write_creds(struct factory_login *login)
{
	if (!login->path || login->read_only) {
		end(login, LOGIN_READY);
		return;
	}
	login->unsaved = true;
	login->write_error.text[0] = 0;
	login->work.data = login;
	login->writing = true;
	if (uv_queue_work(login->loop, &login->work, write_work, on_written)) {
		login->writing = false;
		end(login, LOGIN_READY);
	}
}

/* ---- ASKING ---- */

static void ask(struct factory_login *login);

static void hide_secrets(void *creds, char *text)
{
	creds_redact(creds, text);
}

/* Only what calls itself an error: the rest of the body may be tokens. */
static void say_refusal(struct factory_login *login, const struct https_answer *answer)
{
	const struct factory_error_rules rules = {
		.members_only = true, .hide = hide_secrets, .arg = login->creds};
	struct factory_error said;

	factory_error_parse(&said, answer->body, answer->body_bytes, &rules);
	snprintf(login->why, sizeof login->why, "%s/token: %u%s%s", login->oauth_url,
		answer->status, said.text[0] ? ": " : "", said.text);
}

static void on_token(void *arg, const struct https_answer *answer)
{
	struct factory_login *login = arg;
	struct wgh_error error = {""};

	if (answer->err) {
		snprintf(login->why, sizeof login->why, "%s: %s", login->oauth_url, answer->why);
		fail_later(login);
		return;
	}
	if (answer->status >= 400 && answer->status < 500 && answer->status != 408 &&
		answer->status != 429) {
		say_refusal(login, answer);
		login->last_status = answer->status;
		login->attempt++;
		ask(login);
		return;
	}
	if (answer->status != 200) {
		say_refusal(login, answer);
		fail_later(login);
		return;
	}
	if (creds_merge(login->creds, answer->body, answer->body_bytes, now_s(), &error)) {
		snprintf(login->why, sizeof login->why, "%s: %s", login->oauth_url, error.text);
		fail_later(login);
		return;
	}
	login->n_failures = 0;
	login->again_s = 0;
	if (login->forced)
		login->forced_again_s = again_after_s(login->n_in_vain++);
	log_info("token renewed");
	write_creds(login);
}

/* Where fioctl's file is only read, the way that takes nothing from it comes first: its last. */
static int make_request(struct creds_request *request, const struct factory_login *login)
{
	unsigned n = 0, attempt = login->attempt;

	if (login->read_only) {
		for (; !creds_refresh_request(request, login->creds, n); n++)
			creds_request_fini(request);
		if (attempt >= n)
			return -ENOENT;
		attempt = n - 1 - attempt;
	}
	return creds_refresh_request(request, login->creds, attempt);
}

static void ask(struct factory_login *login)
{
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
		"Accept: application/json", NULL};
	struct https_request request = {
		.method = "POST", .headers = headers, .answer_max_bytes = ANSWER_MAX};
	struct creds_request form;
	char url[2200];
	int err = make_request(&form, login);

	if (err == -ENOENT) {
		/* 400 and 401 mean these credentials; anything else may be the server's trouble. */
		if (login->last_status == 400 || login->last_status == 401)
			fail_refused(login);
		else
			fail_later(login);
		return;
	}
	if (!err) {
		snprintf(url, sizeof url, "%s%s", login->oauth_url, form.path);
		request.url = url;
		request.body = form.body;
		request.body_bytes = strlen(form.body);
		err = https_send(login->https, &request, on_token, login);
		creds_request_fini(&form);
	}
	if (err) {
		snprintf(login->why, sizeof login->why, "%s: %s", login->oauth_url, strerror(-err));
		fail_later(login);
	}
}

/* ---- LOCKING ---- */

static bool is_due(const struct factory_login *login)
{
	return login->creds && creds_can_refresh(login->creds) && !login->refused &&
		now_s() >= creds_refresh_at_s(login->creds) &&
		clock_s(CLOCK_BOOTTIME) >= login->again_s;
}

/* Under the lock, or where there is none to take: has another process been here? */
static void look_again(struct factory_login *login)
{
	struct stamp stamp = login->stamp;

	read_if_changed(login);
	if (!same_stamp(&stamp, &login->stamp) && !is_due(login)) {
		end(login, login->creds->access_token ? LOGIN_READY : LOGIN_LATER);
		return;
	}
	login->attempt = login->last_status = 0;
	ask(login);
}

static void on_lock_timer(uv_timer_t *timer)
{
	struct factory_login *login = timer->data;
	struct wgh_error error = {""};
	int err = file_lock(&login->lock_fd, login->path, 0, &error);

	if (err == -EAGAIN && ++login->n_lock_tries < LOCK_TRIES) {
		uv_timer_start(&login->timer, on_lock_timer, LOCK_RETRY_MS, 0);
		return;
	}
	if (err == -EAGAIN) {
		login->lock_fd = -1;
		snprintf(login->why, sizeof login->why, "%s", error.text);
		fail_later(login);
		return;
	}
	if (err) { /* a folder that cannot be written: nobody else writes there either */
		login->lock_fd = -1;
		log_debug("credentials without a lock why=\"%s\"", error.text);
	}
	look_again(login);
}

static void renew(struct factory_login *login, bool forced, factory_login_fn *done, void *arg)
{
	login->forced = forced;
	login->done = done;
	login->arg = arg;
	login->n_lock_tries = 0;
	if (login->path && !login->read_only)
		on_lock_timer(&login->timer);
	else
		look_again(login);
}

/* ---- what a request asks ---- */

void factory_login_ready(struct factory_login *login, factory_login_fn *done, void *arg)
{
	read_if_changed(login);
	if (!login->creds) {
		done(arg, LOGIN_NEEDED, login->why);
		return;
	}
	if (is_due(login)) {
		renew(login, false, done, arg);
		return;
	}
	if (login->unsaved && login->path && !login->read_only) {
		login->forced = false;
		login->done = done;
		login->arg = arg;
		if (file_lock(&login->lock_fd, login->path, 0, &login->write_error))
			login->lock_fd = -1;
		write_creds(login);
		return;
	}
	if (!login->creds->access_token) {
		done(arg, login->refused ? LOGIN_NEEDED : LOGIN_LATER, login->why);
		return;
	}
	done(arg, LOGIN_READY, "");
}

bool factory_login_may_renew(const struct factory_login *login)
{
	return login->creds && creds_can_refresh(login->creds) && !login->refused &&
		clock_s(CLOCK_BOOTTIME) >= login->again_s &&
		clock_s(CLOCK_BOOTTIME) >= login->forced_again_s;
}

void factory_login_renew(struct factory_login *login, factory_login_fn *done, void *arg)
{
	renew(login, true, done, arg);
}

void factory_login_hurry(struct factory_login *login)
{
	login->again_s = login->forced_again_s = 0;
}

void factory_login_worked(struct factory_login *login)
{
	login->forced_again_s = 0;
	login->n_in_vain = 0;
}

bool factory_login_is_needed(const struct factory_login *login)
{
	return login->refused || !login->creds;
}

struct creds *factory_login_creds(struct factory_login *login)
{
	return login->creds;
}

/* ---- life ---- */

int factory_login_new(struct factory_login **out, uv_loop_t *loop, struct https *https,
	const struct factory_http_options *o, struct wgh_error *error)
{
	struct factory_login *login = calloc(1, sizeof *login);
	int err = 0;

	*out = NULL;
	if (login && o->creds_path)
		login->path = strdup(o->creds_path);
	if (!login || (o->creds_path && !login->path)) {
		free(login);
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	login->loop = loop;
	login->https = https;
	login->lock_fd = -1;
	login->write_fioctl = o->write_fioctl;
	snprintf(login->why, sizeof login->why, "no credentials are given");
	if (o->creds_text)
		err = creds_parse(
			&login->creds, o->creds_text, strlen(o->creds_text), now_s(), error);
	else
		read_if_changed(login);
	if (err) {
		free(login);
		return err;
	}
	uv_timer_init(loop, &login->timer);
	login->timer.data = login;
	*out = login;
	return 0;
}

void factory_login_set_url(struct factory_login *login, char *oauth_url)
{
	login->oauth_url = oauth_url;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void ignore_outcome(void *arg, enum factory_login_outcome outcome, const char *why)
{
	(void)arg, (void)outcome, (void)why;
}

void factory_login_free(struct factory_login *login)
{
	if (!login)
		return;
	login->done = ignore_outcome;
	while (login->writing)
		uv_run(login->loop, UV_RUN_ONCE);
	unlock(login);
	creds_free(login->creds);
	set_file_token(login, NULL);
	free(login->oauth_url);
	free(login->path);
	uv_close((uv_handle_t *)&login->timer, on_closed);
}
