/* unit.c - see unit.h. The API token, if that is what the hub has, goes into a file of its own: a
 * unit is read by all. */
#include "control/cli/unit.h"

#include "control/file.h"
#include "control/uapi_socket.h"
#include "control/unit_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT_BYTES_MAX (64u << 10)
#define WORDS_MAX (2 * FACTORY_GIVEN_MAX + 12)

struct install {
	const struct factory_options *o;
	char name[UNIT_NAME_CHARS], path[4096];
	char program[4096], key[4096], creds[4096], token[4200];
	char hosts_dir[4096], creds_dir[4096], clients_dir[4096];
	const char *words[WORDS_MAX], *writable[6];
	unsigned n_words;
	char *given[FACTORY_GIVEN_MAX];
	bool changed; /* unit or token differ from what was there */
};

/* ---- paths ---- */

static bool find_program(char out[4096])
{
	ssize_t n = readlink("/proc/self/exe", out, 4095);

	if (n < 1)
		return false;
	out[n] = 0;
	return access(out, X_OK) == 0; /* " (deleted)" is no program */
}

static bool folder_of(char out[4096], const char *path)
{
	char *slash;

	if (!factory_absolute(out, path))
		return false;
	slash = strrchr(out, '/');
	slash[slash == out] = 0;
	return true;
}

static bool find_paths(struct install *in)
{
	const struct factory_options *o = in->o;
	const char *creds = o->factory.poll.http.creds_path;
	const char *sockets = uapi_socket_default_dir();
	unsigned n = 0;

	unit_name(in->name, o->name);
	if (!find_program(in->program) || !factory_absolute(in->key, o->key_path) ||
		snprintf(in->path, sizeof in->path, "%s/%s", o->unit_dir ? o->unit_dir : UNIT_DIR,
			in->name) >= (int)sizeof in->path)
		return false;
	snprintf(in->token, sizeof in->token, "%s/%s.apitoken", o->state_folder, o->name);
	if (creds) {
		if (!factory_absolute(in->creds, creds) || !folder_of(in->creds_dir, creds))
			return false;
		in->writable[n++] = in->creds_dir;
	}
	/* Folders: a file bound into the service's view would be the old one after another program
	 * has replaced it. */
	if (!folder_of(in->clients_dir, o->factory.clients_path))
		return false;
	in->writable[n++] = in->clients_dir;
	if (o->factory.hosts_path) {
		if (!folder_of(in->hosts_dir, o->factory.hosts_path))
			return false;
		in->writable[n++] = in->hosts_dir;
	}
	if (o->state_dir)
		in->writable[n++] = o->state_folder;
	if (!sockets || strcmp(o->hub.daemon.socket_dir, sockets))
		in->writable[n++] = o->hub.daemon.socket_dir;
	in->writable[n] = NULL;
	return true;
}

/* ---- the unit's text ---- */

static void add_word(struct install *in, const char *word)
{
	in->words[in->n_words++] = word;
	in->words[in->n_words] = NULL;
}

static void add_option(struct install *in, const char *option, const char *value)
{
	add_word(in, option);
	add_word(in, value);
}

/* Options of the command line that the daemon knows, too, as --name or --name=value. */
static bool make_given(struct install *in)
{
	for (unsigned i = 0; i < in->o->n_given; i++) {
		const char *value = in->o->given[i].value;

		if (asprintf(&in->given[i], "--%s%s%s", in->o->given[i].name, value ? "=" : "",
			    value ? value : "") < 0) {
			in->given[i] = NULL;
			return false;
		}
	}
	return true;
}

/* creds: a file, or NULL where systemd hands the token over. */
static void make_words(struct install *in, const char *creds)
{
	in->n_words = 0;
	add_word(in, in->program);
	add_option(in, "--factory", in->o->name);
	if (creds)
		add_option(in, "--oauthcreds", creds);
	add_option(in, "--privatekey", in->key);
	add_option(in, "--intf-name", in->o->ifname);
	for (unsigned i = 0; i < in->o->n_given; i++)
		add_word(in, in->given[i]);
	add_word(in, "daemon");
}

/* ---- files ---- */

static bool is_same(const char *path, const char *text, mode_t mode)
{
	struct wgh_error ignored;
	struct file_text file;
	bool same;

	if (file_read(&file, path, UNIT_BYTES_MAX, &ignored))
		return false;
	same = file.n == strlen(text) && ct_equal(file.bytes, text, file.n) && file.mode == mode;
	file_text_fini(&file);
	return same;
}

static int put_file(struct install *in, const char *path, const char *text, mode_t mode)
{
	struct wgh_error error = {""};

	if (is_same(path, text, mode))
		return 0;
	in->changed = true;
	if (!file_replace(path, text, strlen(text), mode, 0, &error))
		return 0;
	say_error("%s", error.text);
	return EXIT_FAILED;
}

static int put_token(struct install *in)
{
	char *line;
	int code;

	if (asprintf(&line, "%s\n", in->o->token) < 0) {
		say_error("out of memory");
		return EXIT_FAILED;
	}
	code = put_file(in, in->token, line, 0600);
	secret_wipe(line, strlen(line));
	free(line);
	if (!code)
		printf("API token: %s, for root only\n", in->token);
	return code;
}

static int put_unit(struct install *in, uint16_t port)
{
	const struct factory_options *o = in->o;
	const struct unit unit = {.factory = o->name,
		.words = in->words,
		.token_path = o->token ? in->token : NULL,
		.state_dir = o->state_dir,
		.writable = in->writable,
		.low_port = port < 1024,
		.no_tun = o->hub.daemon.device.no_tun};
	struct wgh_error error = {""};
	char *text;
	int code;

	make_words(in, o->token ? NULL : in->creds);
	if (unit_text(&text, &unit, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	code = put_file(in, in->path, text, 0644);
	free(text);
	if (!code)
		printf("unit: %s\n", in->path);
	return code;
}

/* ---- systemd ---- */

/* Its exit status; -1: it could not be started. */
static int systemctl(const char *verb, const char *option, const char *unit)
{
	const char *argv[] = {"systemctl", verb, option, unit, NULL};
	int status;
	pid_t pid;

	if (!option)
		argv[2] = unit, argv[3] = NULL;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int restart(const struct install *in, bool anew, bool *restarted)
{
	static const char *const verbs[] = {"daemon-reload", "enable", "restart"};

	if (!in->changed && !anew && systemctl("is-active", "--quiet", in->name) == 0) {
		*restarted = false;
		return 0;
	}
	for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (!systemctl(verbs[i], NULL, i ? in->name : NULL))
			continue;
		say_error("systemctl %s %s failed: everything is in place, but the hub does not "
			  "run; see: journalctl -u %s",
			verbs[i], i ? in->name : "", in->name);
		return EXIT_FAILED;
	}
	printf("the hub runs: wghub show %s; journalctl -u %s\n", in->o->ifname, in->name);
	return 0;
}

/* As a person would type it: what is no plain word is left to them to quote. */
static void say_command(struct install *in)
{
	make_words(in, in->o->token ? in->token : in->creds);
	printf("systemd does not run here. The hub runs in the foreground with:\n ");
	for (unsigned i = 0; i < in->n_words; i++)
		printf(" %s", in->words[i]);
	printf("\n");
}

static int install(struct install *in, uint16_t port, bool anew, bool *restarted)
{
	struct stat st;
	bool systemd = stat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
	int code = in->o->token ? put_token(in) : 0;

	/* In a container there is nobody to read a unit. */
	if (!code && (systemd || in->o->unit_dir || stat(UNIT_DIR, &st) == 0))
		code = put_unit(in, port);
	if (code)
		return code;
	if (systemd)
		return restart(in, anew, restarted);
	say_command(in);
	return 0;
}

int unit_install(const struct factory_options *o, uint16_t port, bool anew, bool *restarted)
{
	static struct install in;
	int code = EXIT_FAILED;

	*restarted = true;
	in = (struct install){.o = o};
	if (!find_paths(&in) || !make_given(&in))
		say_error("a path is too long, or this program's file is gone");
	else
		code = install(&in, port, anew, restarted);
	for (unsigned i = 0; i < o->n_given; i++)
		free(in.given[i]);
	return code;
}
