/* main.c - the program wghub: the table of its subcommands, help and version. A first word that is
 * no subcommand is the name of an interface, because scripts made for wireguard-go start it that
 * way; words that begin with options of factory-wireguard.py mean that program. */
#include "control/cli/factory_options.h"

#include "control/text.h"
#include "control/uapi_socket.h"
#include "wghub_device.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command *const commands[] = {&command_up, &command_down, &command_show,
	&command_top, &command_daemon, &command_sync, &command_status, &command_devices,
	&command_device, &command_policy, &command_why, &command_client, &command_enable,
	&command_enable_run, &command_update_endpoint, &command_login, &command_server,
	&command_genkey, &command_genpsk, &command_pubkey, &command_bench, &command_doctor, NULL};

static const char introduction[] =
	"wghub - a WireGuard hub in user space: no kernel module, no ip_forward, no iptables.\n"
	"\n"
	"Usage:\n"
	"  wghub COMMAND ...         see below; wghub help COMMAND tells more\n"
	"  wghub [-f] [OPTIONS] NAME start an empty hub, to be configured with wg(8), as a drop-in "
	"for\n"
	"                            wireguard-go; see wghub help run\n"
	"  wghub --factory F (--apitoken T | --oauthcreds FILE) --privatekey K enable|daemon|...\n"
	"                            a FoundriesFactory's hub; see wghub help enable\n"
	"  wghub --version\n"
	"\n"
	"Commands:\n";

static const char conclusion[] =
	"\n"
	"A first hub:\n"
	"  wghub genkey > key; wghub pubkey < key       its keys\n"
	"  chmod 600 hub.conf; wghub up hub.conf        hub.conf as for wg-quick(8)\n"
	"  wghub show hub; wghub down hub\n"
	"Without root: wghub up --no-tun hub.conf       peers reach each other through the hub\n"
	"\n"
	"Exit codes: 0 all is well, 1 it failed and standard error says why, 2 wrong usage.\n";

static bool said_error;

void say_error(const char *format, ...)
{
	va_list args;

	said_error = true;
	fputs("wghub: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int say_usage(const struct command *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "wghub %s: ", command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; see: wghub help %s\n", command->name);
	return EXIT_USAGE;
}

int say_bad_option(const struct command *command, char *const *argv, int option)
{
	const char *word = argv[optind - 1];
	char shown[64];

	if (option == '?' && optopt > 0x20 && optopt < 0x7f)
		snprintf(shown, sizeof shown, "-%c", optopt);
	else
		text_escape(shown, sizeof shown, word, strlen(word));
	return say_usage(
		command, option == ':' ? "%s needs a value" : "there is no option %s", shown);
}

const char *socket_dir_or_default(const char *asked)
{
	const char *dir = asked ? asked : uapi_socket_default_dir();

	if (!dir)
		say_error("no place for the hub's socket: set XDG_RUNTIME_DIR or give --socket-dir "
			  "DIR; for root's hubs, be root");
	return dir;
}

bool name_from_argument(char name[16], const char *argument)
{
	const char *slash = strrchr(argument, '/'), *base = slash ? slash + 1 : argument, *why;
	size_t n = strlen(base);
	char shown[80];

	if (n > 5 && !strcmp(base + n - 5, ".conf"))
		n -= 5;
	why = text_ifname(base, n);
	if (why) {
		text_escape(shown, sizeof shown, argument, strlen(argument));
		say_error("%s: %s", shown, why);
		return false;
	}
	memcpy(name, base, n);
	name[n] = 0;
	return true;
}

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; commands[i]; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static int print_introduction(FILE *out)
{
	fputs(introduction, out);
	for (unsigned i = 0; commands[i]; i++)
		fprintf(out, "  %-16s%s\n", commands[i]->name, commands[i]->summary);
	fputs(conclusion, out);
	return 0;
}

static int print_version(void)
{
	const char *const *names = wgh_aead_names();

	printf("wghub %s, AEAD %s", WGHUB_VERSION, names[0] ? names[0] : "none");
	for (unsigned i = 1; names[0] && names[i]; i++)
		printf("%s%s", i == 1 ? " (--aead also: " : ", ", names[i]);
	puts(names[0] && names[1] ? ")" : "");
	return 0;
}

static int print_help(int argc, char **argv)
{
	const struct command *command;
	char shown[40];

	if (argc < 2)
		return print_introduction(stdout);
	command = strcmp(argv[1], "run") ? find_command(argv[1]) : &command_run;
	if (!command) {
		text_escape(shown, sizeof shown, argv[1], strlen(argv[1]));
		say_error("there is no command %s; see: wghub --help", shown);
		return EXIT_USAGE;
	}
	printf("%s\n\n%s", command->summary, command->help);
	return 0;
}

/* "wghub shwo" must not start an interface called shwo. */
static const struct command *meant_command(const char *word)
{
	for (unsigned i = 0; commands[i]; i++) {
		if (strlen(commands[i]->name) >= 4 && text_is_near(word, commands[i]->name))
			return commands[i];
	}
	return NULL;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

/* Whoever closed one of 0, 1 and 2 would have a socket or a file of ours in its place. Reading the
 * one and writing the others stays an error. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return; /* no /dev here: as it was */
	}
}

/* An answer that did not arrive is no success. */
static int finish(int code)
{
	int lost = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !lost)
		return code;
	if (!said_error && errno)
		say_error("the answer could not be written: %s", strerror(errno));
	else if (!said_error)
		say_error("the answer could not be written");
	return code ? code : EXIT_FAILED;
}

/* Keys must not end up in a core file or another process's debugger. */
static void forbid_dumps(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
	!defined(__SANITIZE_THREAD__) /* LeakSanitizer attaches itself */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int run(int argc, char **argv)
{
	const struct command *command;

	forbid_dumps();
	if (secret_init()) {
		say_error("the system gives no random numbers");
		return EXIT_FAILED;
	}
	if (argc < 2) {
		say_error("nothing to do; see: wghub --help");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return print_introduction(stdout);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return print_version();
	if (!strcmp(argv[1], "help"))
		return print_help(argc - 1, argv + 1);
	command = find_command(argv[1]);
	if (command) {
		argc--;
		argv++;
	} else if (argc == 2 && argv[1][0] != '-' && meant_command(argv[1])) {
		char shown[40];

		text_escape(shown, sizeof shown, argv[1], strlen(argv[1]));
		say_error("there is no command %s; did you mean %s?", shown,
			meant_command(argv[1])->name);
		return EXIT_USAGE;
	} else if (is_factory_command_line(argc, argv)) {
		command = factory_command_find(argc, argv);
		if (!command)
			command = &command_daemon; /* which says what is missing */
	} else {
		command = &command_run;
	}
	if (wants_help(argc, argv)) {
		printf("%s\n\n%s", command->summary, command->help);
		return 0;
	}
	return command->run(argc, argv);
}

int main(int argc, char **argv)
{
	opterr = 0;
	fill_standard_descriptors();
	return finish(run(argc, argv));
}
