/* run.c - `wghub NAME`: an empty hub that wg(8) configures, started the way wireguard-go is. */
#include "control/cli/hub_options.h"
#include "control/text.h"

#include <string.h>

static int run(int argc, char **argv)
{
	struct hub_options o;
	const char *word, *why;
	char shown[64];
	int err = hub_options_read(&o, &command_run, argc, argv, &word);

	if (err)
		return err;
	why = text_ifname(word, strlen(word));
	if (why) {
		text_escape(shown, sizeof shown, word, strlen(word));
		return say_usage(&command_run, "%s: %s", shown, why);
	}
	o.daemon.device.ifname = word;
	if (!o.daemon.device.mtu_bytes && o.daemon.device.tun_fd < 0)
		o.daemon.device.mtu_bytes = HUB_MTU_DEFAULT;
	return daemon_run(&o.daemon);
}

const struct command command_run = {"run", run, "start an empty hub to be configured with wg(8)",
	"Usage: wghub [-f] [OPTIONS] NAME\n"
	"\n"
	"Makes the interface NAME and the socket NAME.sock, goes to the background and waits to "
	"be\n"
	"configured with wg(8), ip(8) or wg-quick(8):\n"
	"  WG_QUICK_USERSPACE_IMPLEMENTATION=wghub wg-quick up wg0\n"
	"The hub ends with SIGTERM, with `wghub down NAME`, or when its interface or socket is "
	"removed.\n"
	"\n" HUB_OPTIONS_HELP "WG_PROCESS_FOREGROUND=1, WG_TUN_FD, WG_UAPI_FD and WG_TUN_NAME_FILE "
	"are as for wireguard-go.\n"};
