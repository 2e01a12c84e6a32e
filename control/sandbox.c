/* sandbox.c - see sandbox.h. Identity and capabilities belong to a thread in Linux, so each thread
 * drops its own by bare system calls: libc's setuid() would reach into threads that must not do
 * that any more. */
#include "control/sandbox.h"

#include "control/error.h"
#include "control/keeper.h"
#include "control/landlock.h"
#include "control/log.h"
#include "control/seccomp_filter.h"
#include "control/text.h"

#include <cap-ng.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAVE_SANITIZER 1
#endif
#endif
#ifndef HAVE_SANITIZER
#define HAVE_SANITIZER 0
#endif

#ifdef SYS_setresuid32 /* where the plain name has 16 bits */
#define SET_UIDS SYS_setresuid32
#define SET_GIDS SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_UIDS SYS_setresuid
#define SET_GIDS SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

/* Set by sandbox_begin(), before there are threads; then only read. */
static struct {
	struct sandbox_options options;
	bool on, changes_user;
	uid_t uid;
	gid_t gid;
	char user[40];
} sandbox;

/* ---- who to be ---- */

/* Valid until the next one. */
static const struct passwd *find_local(const char *name)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file)) && strcmp(entry->pw_name, name))
		;
	if (file)
		fclose(file);
	return entry;
}

/* Our own choice is looked for in /etc/passwd first: a name that is not there would be asked of
 * every other source, which may be a network away, and leaves its libraries in our memory. */
static int find_user(struct wgh_error *error)
{
	const char *asked = sandbox.options.user;
	const char *const names[] = {asked ? asked : "wghub", asked ? asked : "nobody"};
	const struct passwd *entry = NULL;
	char shown[40];

	for (unsigned i = 0; i < 2 && !entry && !asked; i++)
		entry = find_local(names[i]);
	for (unsigned i = 0; i < 2 && !entry; i++)
		entry = getpwnam(names[i]);
	if (!entry) {
		text_escape(shown, sizeof shown, names[0], strlen(names[0]));
		error_set(error,
			"there is no user %s to become instead of root: adduser --system %s, or "
			"give "
			"--user NAME",
			shown, shown);
		return -EINVAL;
	}
	sandbox.uid = entry->pw_uid;
	sandbox.gid = entry->pw_gid;
	snprintf(sandbox.user, sizeof sandbox.user, "%s", entry->pw_name);
	return 0;
}

/* Has this user namespace such a number? In one of a single user there is only one. */
static bool is_mapped(const char *map, unsigned long id)
{
	unsigned long inside, outside, n;
	FILE *file = fopen(map, "re");
	bool found = false;

	while (file && !found && fscanf(file, "%lu %lu %lu", &inside, &outside, &n) == 3)
		found = id >= inside && id - inside < n;
	if (file)
		fclose(file);
	return found;
}

static int choose_user(struct wgh_error *error)
{
	int err;

	if (geteuid() != 0)
		return 0;
	err = find_user(error);
	if (err)
		return err;
	sandbox.changes_user = sandbox.uid != 0 &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) &&
		is_mapped("/proc/self/uid_map", sandbox.uid) &&
		is_mapped("/proc/self/gid_map", sandbox.gid);
	return 0;
}

/* ---- giving up ---- */

static int change_user(void)
{
	prctl(PR_SET_KEEPCAPS, 1);
	if (syscall(SET_GROUPS, 0, NULL) < 0 ||
		syscall(SET_GIDS, sandbox.gid, sandbox.gid, sandbox.gid) < 0 ||
		syscall(SET_UIDS, sandbox.uid, sandbox.uid, sandbox.uid) < 0)
		return -errno;
	prctl(PR_SET_KEEPCAPS, 0);
	return 0;
}

/* Those of n that the thread has; all others go. */
static int keep_capabilities(const unsigned *wanted, unsigned n)
{
	bool keep[CAP_LAST_CAP + 1] = {false};

	if (capng_get_caps_process())
		return -EPERM;
	for (unsigned i = 0; i < n; i++)
		keep[wanted[i]] = capng_have_capability(CAPNG_PERMITTED, wanted[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned i = 0; i < n; i++) {
		if (keep[wanted[i]])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, wanted[i]);
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

/* With no_new_privs nothing could come back through it; but people look there. */
static void empty_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static int drop_rights(const unsigned *capabilities, unsigned n)
{
	int err;

	empty_bounding_set();
	err = sandbox.changes_user ? change_user() : 0;
	return err ? err : keep_capabilities(capabilities, n);
}

/* ---- files ---- */

/* The folder path is in; where that is not there yet, the nearest one above that is. */
static void folder_of(char folder[PATH_MAX], const char *path)
{
	char *slash;

	snprintf(folder, PATH_MAX, "%s", path);
	do {
		slash = strrchr(folder, '/');
		if (!slash)
			strcpy(folder, ".");
		else
			slash[slash == folder] = 0;
	} while (slash > folder && access(folder, F_OK) < 0);
}

/* A file is replaced by another one in its folder; where we may not write there, in place. */
static int allow_path(int ruleset, const char *path, bool write)
{
	char folder[PATH_MAX];
	int err = 0;

	folder_of(folder, path);
	if (write && access(folder, W_OK) == 0)
		return landlock_allow(
			ruleset, folder, LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_MAKE);
	if (write)
		err = landlock_allow(ruleset, path, LANDLOCK_READ | LANDLOCK_WRITE);
	return err ? err : landlock_allow(ruleset, folder, LANDLOCK_READ);
}

static int allow_files(int ruleset, bool may_write)
{
	unsigned n;
	const struct kept_file *files = keeper_files(&n);
	char real[PATH_MAX];
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		bool write = files[i].right != KEEPER_READ && may_write;

		err = allow_path(ruleset, files[i].path, write);
		/* A link leads elsewhere. */
		if (!err && realpath(files[i].path, real))
			err = allow_path(ruleset, real, write);
	}
	return err;
}

/* What libc needs for names, and OpenSSL for certificates. */
static int allow_system(int ruleset)
{
	static const char *const read[] = {"/etc", "/usr", "/lib", "/lib64", "/opt", "/run/nscd",
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman",
		"/proc/sys", "/proc/net", "/sys/devices/system", "/dev/urandom", "/dev/random"};
	int err = landlock_allow(ruleset, "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE);

	for (unsigned i = 0; i < sizeof read / sizeof *read && !err; i++)
		err = landlock_allow(ruleset, read[i], LANDLOCK_READ);
	return err;
}

/* Opened as long as we are root, because folders may be closed to others. */
static int prepare_landlock(bool system, bool may_write)
{
	int err, ruleset = landlock_begin();

	if (ruleset < 0)
		return ruleset;
	err = system ? allow_system(ruleset) : 0;
	if (!err)
		err = allow_files(ruleset, may_write);
	if (!err)
		return ruleset;
	close(ruleset);
	return err;
}

/* ---- public ---- */

int sandbox_begin(const struct sandbox_options *options, struct wgh_error *error)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	int err;

	memset(&sandbox, 0, sizeof sandbox);
	sandbox.options = *options;
	if (options->off)
		log_info("sandbox off why=\"--no-sandbox\"");
	if (HAVE_SANITIZER)
		log_debug("sandbox off why=\"a sanitizer's build\"");
	if (options->off || HAVE_SANITIZER)
		return 0;
	err = choose_user(error);
	if (err)
		return err;
	sandbox.on = true;
	/* Root needed no limit for memory that keys are locked in. */
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		error_set(error, "no_new_privs: %s; or give --no-sandbox", strerror(errno));
		return -errno;
	}
	return sandbox.changes_user ? keeper_start(error) : 0;
}

static int allow(const char *path, enum keeper_right right, struct wgh_error *error)
{
	int err = sandbox.on && path ? keeper_allow(path, right) : 0;

	if (err)
		error_set(error, "cannot keep the right to a file: %s; or give --no-sandbox",
			strerror(-err));
	return err;
}

int sandbox_allow_file(const char *path, bool write, struct wgh_error *error)
{
	return allow(path, write ? KEEPER_WRITE : KEEPER_READ, error);
}

int sandbox_allow_append(const char *path, struct wgh_error *error)
{
	return allow(path, KEEPER_APPEND, error);
}

static void log_state(int landlock_err, int seccomp_err)
{
	if (landlock_err)
		log_warn("sandbox incomplete missing=landlock why=\"%s\"", strerror(-landlock_err));
	if (seccomp_err)
		log_warn("sandbox incomplete missing=seccomp why=\"%s\"", strerror(-seccomp_err));
	log_info("sandbox on user=%s", sandbox.changes_user ? sandbox.user : "as-started");
}

int sandbox_enter(struct wgh_error *error)
{
	unsigned capabilities[2], n = 0;
	int ruleset, err, landlock_err;

	if (!sandbox.on)
		return 0;
	if (sandbox.options.net_admin)
		capabilities[n++] = CAP_NET_ADMIN;
	if (sandbox.options.bind_service)
		capabilities[n++] = CAP_NET_BIND_SERVICE;
	ruleset = prepare_landlock(true, !sandbox.changes_user);
	err = keeper_close_list();
	if (!err)
		err = drop_rights(capabilities, n);
	if (err) {
		error_set(error, "cannot give up root's rights: %s; or give --no-sandbox",
			strerror(-err));
		return err;
	}
	prctl(PR_SET_DUMPABLE, 0); /* another user is another matter for the kernel */
	landlock_err = ruleset < 0 ? ruleset : landlock_enter(ruleset);
	log_state(landlock_err, seccomp_filter_enter(SECCOMP_FOR_MAIN));
	return 0;
}

void sandbox_thread(void)
{
	if (!sandbox.on)
		return;
	/* What fails here fails in main as well, which says so. */
	IGNORE_RESULT(drop_rights(NULL, 0));
	IGNORE_RESULT(seccomp_filter_enter(SECCOMP_FOR_DATA_PATH));
}

int sandbox_enter_keeper(void)
{
	static const unsigned capabilities[] = {
		CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_CHOWN};
	int err, ruleset = prepare_landlock(false, true);

	empty_bounding_set();
	err = keep_capabilities(capabilities, sizeof capabilities / sizeof *capabilities);
	if (ruleset >= 0 && landlock_enter(ruleset))
		err = err ? err : -EPERM;
	IGNORE_RESULT(seccomp_filter_enter(SECCOMP_FOR_KEEPER));
	return err;
}

int sandbox_enter_hook(void)
{
	if (!sandbox.on)
		return 0;
	prctl(PR_SET_DUMPABLE, 0);
	return drop_rights(NULL, 0);
}

void sandbox_end(void)
{
	keeper_stop();
	sandbox.on = false;
}
