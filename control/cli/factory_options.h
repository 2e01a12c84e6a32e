/* factory_options.h - the command line that the Factory's commands share, the Python daemon's:
 * global options, then a subcommand and its options, in any order here; what the environment adds
 * to it.
 *
 * Everything that is wrong is said, and gives an exit code. Secrets: -t and the values of --header
 * are starred out of argv; they and the key are wiped by factory_options_fini().
 */
#ifndef CONTROL_FACTORY_OPTIONS_H
#define CONTROL_FACTORY_OPTIONS_H

#include "control/cli/hub_options.h"
#include "control/text.h"

#define FACTORY_HEADERS_MAX 16
#define FACTORY_RANGES_MAX 16
#define FACTORY_GIVEN_MAX 64

/* Which commands take an option. */
enum factory_who {
	FOR_DAEMON = 1 << 0,
	FOR_ENABLE = 1 << 1,
	FOR_ENABLE_RUN = 1 << 2,
	FOR_UPDATE_ENDPOINT = 1 << 3,
	FOR_LOGIN = 1 << 4,
	FOR_SERVER = 1 << 5,
	FOR_DEVICE = 1 << 6,
	FOR_HUB = FOR_DAEMON | FOR_ENABLE | FOR_ENABLE_RUN,
	FOR_PUBLISH = FOR_ENABLE | FOR_ENABLE_RUN | FOR_UPDATE_ENDPOINT,
	FOR_ALL = (1 << 7) - 1,
};

/* An option that the daemon takes, too: for the unit that runs it. */
struct factory_given {
	const char *name, *value; /* value: NULL, or absolute where it is a path */
};

struct factory_options {
	const struct command *command;
	unsigned who;
	struct hub_options hub;
	struct factory_hub_options factory; /* poll.http: where and how to ask the API */
	const char *name, *key_path, *state_dir;
	char *token; /* -t or the environment; ours, wiped */
	char *headers[FACTORY_HEADERS_MAX + 1]; /* ours, wiped */
	unsigned n_headers;
	struct wgh_prefix ranges[FACTORY_RANGES_MAX];
	bool no_hosts, token_in_argv;
	char ifname[TEXT_IFNAME_CHARS];
	char creds_path[4096], state_path[4096], state_folder[4096], key_path_made[4096];
	char **words; /* behind the subcommand */
	int n_words;
	/* publishing */
	const char *endpoint, *address_url, *unit_dir;
	uint16_t port; /* 0: not given */
	struct wgh_addr vpn_address; /* WGH_UNSPEC: not given */
	bool no_check_ip, take_over;
	/* login, server show */
	const char *client_id;
	bool browser, code_stdin, json;
	struct factory_given given[FACTORY_GIVEN_MAX];
	unsigned n_given;
};

/* Options, the subcommand's name unless argv[0] is it, and the words behind, which not every
 * command takes. 0 or the exit code. */
MUST_CHECK int factory_options_read(struct factory_options *options, const struct command *command,
	unsigned who, int argc, char **argv);
void factory_options_fini(struct factory_options *options);
/* Is the word "--option" or "--option=..." one that no other hub has? */
bool factory_owns_option(const char *word);
/* The subcommand among these words, or NULL: a command line that begins with an option. */
const struct command *factory_command_find(int argc, char **argv);

/* Takes a token over and stars it out where it stood. NULL, or what is wrong with it. */
MUST_CHECK const char *factory_take_token(struct factory_options *options, char *text);
/* As if the option had been given. NULL, or what is wrong with the value. */
MUST_CHECK const char *factory_take_option(
	struct factory_options *options, const char *name, char *value);
/* The old container's variables, where the option was not given. 0 or the exit code. */
MUST_CHECK int factory_take_environment(struct factory_options *options);
/* The rest of what a command needs, each 0 or the exit code. */
MUST_CHECK int factory_find_creds(struct factory_options *options);
MUST_CHECK int factory_find_ifname(struct factory_options *options);
MUST_CHECK int factory_read_key(struct factory_options *options);
/* The same, or a new key where there is no such file; which is written later, and never over
 * another one. */
MUST_CHECK int factory_read_or_make_key(struct factory_options *options, bool *is_new);
MUST_CHECK int factory_write_key(const struct factory_options *options);
/* All of it, but for the key, for a hub that will run. */
MUST_CHECK int factory_find_hub(struct factory_options *options);
/* With its key, until its end: the exit code. */
MUST_CHECK int factory_run_hub(struct factory_options *options);

/* "/working/directory/path" for "path". False: too long, which is said. */
MUST_CHECK bool factory_absolute(char out[4096], const char *path);

#define FACTORY_CLIENTS_FOLDER "/etc/wireguard"
#define FACTORY_CLIENTS_PATH FACTORY_CLIENTS_FOLDER "/factory-clients.conf"
#define FACTORY_HOSTS_PATH "/etc/hosts"

#define FACTORY_API_HELP                                                                           \
	"  -f, --factory NAME     the factory\n"                                                   \
	"  -a, --oauthcreds FILE  credentials, by content: the Python daemon's or fioctl's "       \
	"(JSON, "                                                                                  \
	"YAML), or an\n"                                                                           \
	"                         API token on one line; without it and -t: oauthcreds or "        \
	"apitoken in\n"                                                                            \
	"                         $CREDENTIALS_DIRECTORY, or $APITOKEN\n"                          \
	"  -t, --apitoken TOKEN   works, but the process list shows it for a moment\n"             \
	"  --api-url URL, --oauth-url URL, --ca-file FILE\n"                                       \
	"                         another Factory (of one URL follows the other: api. and app.); " \
	"only this\n"                                                                              \
	"                         file's authorities are trusted then\n"                           \
	"  --header \"NAME: VALUE\" in each request to the API; may be repeated\n"                 \
	"  --write-fioctl         write renewed tokens into a fioctl YAML, which is only read "    \
	"otherwise\n"

#endif
