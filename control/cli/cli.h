/* cli.h - what the subcommands share: the table's shape, exit codes, one way to say what is wrong.
 */
#ifndef CONTROL_CLI_H
#define CONTROL_CLI_H

#include "crypto/secret.h"

/* 0 is success. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
	const char *summary; /* one line */
	const char *help; /* begins with "Usage: " */
};

extern const struct command command_run, command_up, command_down, command_show, command_genkey,
	command_genpsk, command_pubkey, command_daemon, command_bench, command_sync, command_enable,
	command_enable_run, command_update_endpoint, command_login, command_server, command_status,
	command_devices, command_client, command_device, command_policy, command_why,
	command_doctor, command_top;
/* Are these words, which begin with an option, the command line of factory-wireguard.py, global
 * options first? */
MUST_CHECK bool is_factory_command_line(int argc, char **argv);

/* "wghub: ..." on standard error. Give it text_escape()d words only. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, with where to read on. Gives EXIT_USAGE. */
int say_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* For what getopt_long() answered, '?' or ':'; it prints nothing itself (opterr is 0). */
int say_bad_option(const struct command *command, char *const *argv, int option);

/* The directory of the sockets: as asked for, or the default. NULL: there is none, the error is
 * said. */
const char *socket_dir_or_default(const char *asked);
/* "wg0", "./wg0.conf" and "/etc/wireguard/wg0.conf" name wg0. False: the error is said. */
MUST_CHECK bool name_from_argument(char name[16], const char *argument);

#endif
