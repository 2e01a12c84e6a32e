/* hubs.h - which hubs run here, and asking a Factory's hub: what its commands share.
 */
#ifndef CONTROL_HUBS_H
#define CONTROL_HUBS_H

#include "control/cli/cli.h"
#include "control/cli/show.h"

/* Names of the sockets in the directory; the caller frees them. -ENOENT: there is no directory, so
 * no hub. */
int hubs_list(char (**names)[16], size_t *n, const char *path);

/* Options of the commands that ask a Factory's hub. */
enum { HUB_ASK_JSON = 1 << 0, HUB_ASK_CLIENT = 1 << 1 };

struct hub_ask {
	const struct command *command;
	const char *socket_dir, *ifname; /* ifname: NULL, or --intf-name */
	bool json;
	const char *public_key, *address; /* of HUB_ASK_CLIENT */
	bool qr;
	char **words; /* behind the options */
	int n_words;
	char found[16];
};

/* 0 or the exit code, and then what is wrong is said. allowed: which options besides those that say
 * which hub. */
MUST_CHECK int hub_ask_read(struct hub_ask *ask, const struct command *command, unsigned allowed,
	int argc, char **argv);
/* Asks the hub of that name, or the one Factory's hub that runs here. 0 or the exit code, and then
 * what is wrong is said. ctl_answer_fini() the answer. */
MUST_CHECK int hub_ask(struct hub_ask *ask, struct ctl_answer *answer, const char *verb,
	const struct ctl_line *params, size_t n_params, unsigned timeout_s);

/* The same, but says nothing where no hub answers. */
MUST_CHECK int hub_ask_quietly(
	struct hub_ask *ask, struct ctl_answer *answer, const char *verb, unsigned timeout_s);

/* The hub that is meant, Factory's or not: the one asked for, or the only one that runs here, which
 * answers get=wghub. 0 or the exit code, and then what is wrong is said. ctl_answer_fini() it. */
MUST_CHECK int hub_any(
	char name[16], struct ctl_answer *answer, const char *dir, const char *asked);

/* The lines before the first section, and then each section, which begins with this key. */
void hub_head(struct show_section *section, const struct ctl_answer *answer, const char *begin,
	size_t *at);
bool hub_next(struct show_section *section, const struct ctl_answer *answer, const char *begin,
	size_t *at);

/* Prints the first lines of this key, behind a label, and how many more there are. */
#define HUB_LINES_MAX 20
void hub_print_lines(const struct show_section *section, const char *key, const char *label);

/* "12 s", "3 min", "2 h", "5 d": how long ago, or how long yet. */
#define HUB_SPAN_CHARS 32
void hub_span(char out[HUB_SPAN_CHARS], int64_t seconds);
/* The value escaped, "" if there is none. */
#define HUB_VALUE_CHARS 512
const char *hub_value(
	char out[HUB_VALUE_CHARS], const struct show_section *section, const char *key);
bool hub_is(const struct show_section *section, const char *key, const char *value);

/* A table, or an array of objects; of sections that begin with "peer". The exit code. */
int hub_print_peers(const struct ctl_answer *answer, bool as_json);
/* The lines of this key as a json_t array: of texts, or for "trouble" of objects. */
void *hub_list_json(const struct show_section *section, const char *key);
/* Prints the json_t if it is wanted, and lets go of it. The exit code. */
int hub_print_json(void *json, bool wanted);

#define HUB_ASK_HELP                                                                               \
	"  -n, --intf-name NAME   which hub, where several Factories' run here\n"                  \
	"  --socket-dir DIR       where its socket is (/var/run/wireguard)\n"

#endif
