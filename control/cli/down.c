/* down.c - `wghub down NAME`: ends a running hub. */
#include "control/cli/cli.h"
#include "control/ctl_client.h"
#include "control/progress.h"

#include <getopt.h>

static int down(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"socket-dir", required_argument, NULL, 'd'}, {0}};
	struct wgh_error error = {""};
	const char *dir = NULL;
	char name[16];
	int option, err;

	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option != 'd')
			return say_bad_option(&command_down, argv, option);
		dir = optarg;
	}
	if (argc - optind != 1)
		return say_usage(
			&command_down, argc > optind ? "more than one name" : "which hub?");
	dir = socket_dir_or_default(dir);
	if (!dir || !name_from_argument(name, argv[optind]))
		return EXIT_FAILED;
	progress_begin("waiting for the hub to end");
	err = ctl_stop(dir, name, &error);
	progress_end();
	if (err) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	return 0;
}

const struct command command_down = {"down", down, "end a hub: wghub down NAME|FILE.conf",
	"Usage: wghub down [--socket-dir DIR] NAME|FILE.conf\n"
	"\n"
	"Ends the hub of that name and returns when its interface is gone. It works by removing "
	"the hub's\n"
	"socket, so it ends every user-space WireGuard that keeps to this custom, wireguard-go "
	"too.\n"};
