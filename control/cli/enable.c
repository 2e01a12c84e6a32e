/* enable.c - `wghub ... enable`, `enable_run` and `update_endpoint`: this host made a factory's
 * hub, with the Python daemon's command line and its container's environment. */
#include "control/cli/factory_options.h"
#include "control/cli/publish.h"
#include "control/cli/unit.h"

#include "control/ctl_client.h"
#include "control/log.h"
#include "control/uapi_socket.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYNC_TIMEOUT_S 180 /* two rounds of a slow API */

static int code_of(enum published outcome)
{
	return outcome == PUBLISHED ? 0 : outcome == PUBLISH_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static void say_published(const struct factory_options *o, const struct publish_result *result)
{
	char endpoint[SERVER_ENDPOINT_CHARS], address[TEXT_ADDR_CHARS];

	server_file_endpoint_text(endpoint, &result->file);
	text_from_addr(address, &result->file.address);
	if (result->key_is_new)
		printf("private key: made in %s; keep a copy: with another key all devices have "
		       "to come again\n",
			o->key_path);
	printf("%s: endpoint %s, inner address %s%s\n",
		result->changed ? "published" : "published already", endpoint, address,
		result->changed ? "; devices follow within 5 minutes" : "");
	fflush(stdout);
}

/* The hub that runs here takes over at once what is published: another port, for instance. */
static void sync_hub(const struct factory_options *o)
{
	const char *dir = o->hub.daemon.socket_dir;
	struct ctl_answer answer;
	struct wgh_error error = {""};
	int err = dir ? ctl_ask(&answer, dir, o->ifname, "sync", NULL, 0, SYNC_TIMEOUT_S, &error)
		      : -ENOENT;

	if (err == -ENOENT || err == -ECONNREFUSED) {
		printf("no hub called %s runs here; one elsewhere follows with its next sync\n",
			o->ifname);
		return;
	}
	if (err) {
		say_error("the hub that runs here could not be told, and follows with its next "
			  "sync: %s",
			error.text);
		return;
	}
	printf("the hub %s, which runs here, has followed\n", o->ifname);
	ctl_answer_fini(&answer);
}

/* ---- enable ---- */

/* The unit outlives this process and its environment; and all can read it. */
static int check_unit_can_have(const struct factory_options *o)
{
	if (o->n_headers)
		return say_usage(o->command,
			"--header may hold a secret, and all can read the unit; after enabling: "
			"systemctl edit factory-vpn-%s",
			o->name);
	if (!o->token && o->factory.poll.http.creds_path == o->creds_path)
		return say_usage(o->command,
			"systemd's credentials are this process's own; the unit needs "
			"--oauthcreds FILE");
	return 0;
}

static int enable(int argc, char **argv)
{
	struct factory_options o;
	struct publish_result result;
	bool restarted;
	int code = factory_options_read(&o, &command_enable, FOR_ENABLE, argc, argv);

	if (!code)
		code = factory_find_hub(&o);
	if (!code)
		code = check_unit_can_have(&o);
	if (!code)
		code = code_of(publish(&o, &result));
	if (!code) {
		say_published(&o, &result);
		code = unit_install(&o, result.file.port, result.anew, &restarted);
		if (!code && !restarted && result.changed)
			sync_hub(&o);
		else if (!code && !restarted)
			printf("the hub runs already, and nothing has changed\n");
		if (result.no_credentials)
			code = EXIT_FAILED;
	}
	factory_options_fini(&o);
	return code;
}

/* ---- enable_run ---- */

/* In a container everything that must outlive it is in one volume, the state's folder. */
static int default_key(struct factory_options *o)
{
	if (o->key_path)
		return 0;
	if (snprintf(o->key_path_made, sizeof o->key_path_made, "%s/%s.key", o->state_folder,
		    o->name) >= (int)sizeof o->key_path_made) {
		say_error("--state-dir: the path is too long");
		return EXIT_FAILED;
	}
	o->key_path = o->key_path_made;
	return 0;
}

/* As process 1 of a container it would get no signal that it has no handler for. */
static void on_signal(int number)
{
	_exit(128 + number);
}

static void end_at_once(bool yes)
{
	signal(SIGTERM, yes ? on_signal : SIG_DFL);
	signal(SIGINT, yes ? on_signal : SIG_DFL);
}

/* In a process of its own: the hub gives up root before it has any thread, and keeps nothing of a
 * login in its memory. */
static enum published publish_apart(struct factory_options *o)
{
	struct publish_result result;
	enum published outcome;
	pid_t pid, parent = getpid();
	int status;

	fflush(NULL);
	end_at_once(true);
	pid = fork();
	if (pid == 0) {
		end_at_once(false);
		/* Who was told to stop publishes nothing any more. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit((int)PUBLISH_FAILED);
		outcome = publish(o, &result);
		if (outcome == PUBLISHED)
			say_published(o, &result);
		factory_options_fini(o);
		exit((int)outcome);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		say_error("cannot publish: %s", pid < 0 ? strerror(errno) : "the process ended");
		return PUBLISH_FAILED;
	}
	end_at_once(false);
	return (enum published)WEXITSTATUS(status);
}

static int publish_or_go_on(struct factory_options *o)
{
	enum published outcome = publish_apart(o);

	/* A hub that was one before serves its peers whatever the API does. */
	if (outcome != PUBLISH_UNREACHABLE || access(o->key_path, F_OK) ||
		access(o->state_path, F_OK))
		return code_of(outcome);
	log_warn("not published now note=\"the hub runs with what it knows\"");
	return 0;
}

static int enable_run(int argc, char **argv)
{
	struct factory_options o;
	int code = factory_options_read(&o, &command_enable_run, FOR_ENABLE_RUN, argc, argv);

	if (!code)
		code = factory_find_hub(&o);
	if (!code)
		code = default_key(&o);
	if (!code)
		code = publish_or_go_on(&o);
	if (!code)
		code = factory_run_hub(&o);
	factory_options_fini(&o);
	return code;
}

/* ---- update_endpoint ---- */

static int update_endpoint(int argc, char **argv)
{
	struct factory_options o;
	struct publish_result result;
	int code =
		factory_options_read(&o, &command_update_endpoint, FOR_UPDATE_ENDPOINT, argc, argv);

	log_set_level(LEVEL_WARN);
	if (!code)
		code = factory_find_creds(&o);
	if (!code)
		code = factory_find_ifname(&o);
	if (!code && access(o.key_path ? o.key_path : "", F_OK))
		code = o.key_path ? factory_read_key(&o)
				  : say_usage(o.command, "--privatekey FILE is missing");
	if (!code && !o.endpoint && !o.port)
		code = say_usage(
			o.command, "what is new? --endpoint HOST (or auto), --port N, or both");
	if (!code) {
		if (!o.hub.daemon.socket_dir)
			o.hub.daemon.socket_dir = uapi_socket_default_dir();
		code = code_of(publish(&o, &result));
	}
	if (!code) {
		say_published(&o, &result);
		if (result.changed)
			sync_hub(&o);
	}
	factory_options_fini(&o);
	return code;
}

#define PUBLISH_HELP                                                                               \
	"  -k, --privatekey FILE  text of wghub genkey; must be readable by its owner only\n"      \
	"  -n, --intf-name NAME   the interface (fio and the factory's name)\n"                    \
	"  -e, --endpoint HOST    name or address at which devices reach this host; auto: asks "   \
	"a web page\n"                                                                             \
	"                         (--address-url URL, " ADDRESS_URL_TEXT                           \
	"), to be confirmed on a "                                                                 \
	"terminal\n"                                                                               \
	"  -p, --port PORT        UDP (as published, else 5555)\n"                                 \
	"  --no-check-ip          do not look whether port, address and interface are free here\n" \
	"  --code-stdin           the code of a login comes from standard "                        \
	"input\n" FACTORY_API_HELP
#define ADDRESS_URL_TEXT "https://api.ipify.org"

const struct command command_enable = {"enable", enable,
	"make this host a FoundriesFactory's hub: publish it, write its unit, start it",
	"Usage: wghub --factory F (--apitoken T | --oauthcreds FILE) --privatekey K [OPTIONS] "
	"enable\n"
	"              --endpoint HOST [--port P] [--vpnaddr A]\n"
	"\n"
	"Makes the private key if the file is not there, shows what will change in the factory's "
	"config\n"
	"(wireguard-server), changes it if it differs, reads it back, writes\n"
	"/etc/systemd/system/factory-vpn-F.service and starts it. A second time nothing happens "
	"that is not needed.\n"
	"The options of `wghub daemon` may be given, too, and go into the unit. Where the "
	"credentials are not\n"
	"there, or may read only, a person has to log in: a link and a code.\n"
	"  -v, --vpnaddr ADDRESS  the hub's inner address (as published, else 10.42.42.1)\n"
	"  --take-over            also if another hub is published: all its devices come to this "
	"one\n"
	"  --unit-dir DIR         for the unit, instead of /etc/systemd/system\n" PUBLISH_HELP};

const struct command command_enable_run = {"enable_run", enable_run,
	"publish this hub as enable does, then run it in the foreground, as in a container",
	"Usage: wghub --factory F (--apitoken T | --oauthcreds FILE) --privatekey K [OPTIONS] "
	"enable_run\n"
	"              --endpoint HOST [--port P] [--vpnaddr A] [--interval S]\n"
	"\n"
	"See wghub help enable and wghub help daemon: publishes, if that is needed, and runs; no "
	"unit. A hub that\n"
	"has run before runs also while the API does not answer. Without --privatekey the key is "
	"F.key "
	"in the\n"
	"state's folder, so that a container needs one volume: /var/lib/wghub.\n"
	"Environment, for what is not given as an option, as in the old container: FACTORY, "
	"APITOKEN, ENDPOINT,\n"
	"PORT, VPNADDR, INTERVAL, INTERF, NOCHECKIP, NOUSESYSCTL (the last two: not empty).\n"
	"  -v, --vpnaddr ADDRESS  the hub's inner address (as published, else 10.42.42.1)\n"
	"  --take-over            also if another hub is published: all its devices come to this "
	"one\n" PUBLISH_HELP};

const struct command command_update_endpoint = {"update_endpoint", update_endpoint,
	"publish another address or port of this hub, and nothing else",
	"Usage: wghub --factory F (--apitoken T | --oauthcreds FILE) --privatekey K [OPTIONS] "
	"update_endpoint\n"
	"              [--endpoint HOST] [--port P]\n"
	"\n"
	"The published hub must be this one. What is not given stays. The running hub follows a "
	"new port by itself.\n" PUBLISH_HELP};
