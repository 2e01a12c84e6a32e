/* hub_options.h - the options and environment that the commands share which run a hub: `wghub
 * NAME`, `wghub up FILE` and `wghub daemon`.
 */
#ifndef CONTROL_HUB_OPTIONS_H
#define CONTROL_HUB_OPTIONS_H

#include "control/cli/cli.h"
#include "control/daemon.h"

#include <limits.h>

#define HUB_ADDRESSES_MAX 64
#define HUB_MTU_DEFAULT 1420

struct hub_options {
	struct daemon_options daemon;
	struct wgh_prefix addresses[HUB_ADDRESSES_MAX];
	size_t n_addresses;
	char policy_path[PATH_MAX];
};

/* What getopt_long() gives for those without a letter. */
enum hub_option {
	HUB_OPT_NO_TUN = 256,
	HUB_OPT_ADDRESS,
	HUB_OPT_MTU,
	HUB_OPT_WORKERS,
	HUB_OPT_DELIVER,
	HUB_OPT_NO_OFFLOAD,
	HUB_OPT_AEAD,
	HUB_OPT_USER,
	HUB_OPT_NO_SANDBOX,
	HUB_OPT_POLICY,
	HUB_OPT_METRICS,
	HUB_OPT_EVENTS,
	HUB_OPT_EVENTS_COMMAND,
	HUB_OPT_METRICS_TOKEN,
	HUB_OPT_DIR,
	N_HUB_OPTIONS,
};

void hub_options_init(struct hub_options *options);
/* 'f' or an enum hub_option. NULL, or what is wrong with the value. */
MUST_CHECK const char *hub_options_take(struct hub_options *options, int option, const char *value);
/* The environment, and what must fit together. As hub_options_read(). */
MUST_CHECK int hub_options_finish(struct hub_options *options, const struct command *command);

/* Reads the options and the environment, takes the environment's variables away and sets the log's
 * level. The one other argument goes to *word. 0, or the exit code: the error is said. */
MUST_CHECK int hub_options_read(struct hub_options *options, const struct command *command,
	int argc, char **argv, const char **word);

#define HUB_OPTIONS_HELP                                                                           \
	"Options:\n"                                                                               \
	"  -f, --foreground       stay in the foreground; without it the command returns when "    \
	"the hub is\n"                                                                             \
	"                         ready: interface, socket and threads are there\n"                \
	"  --no-tun               no TUN device and no privilege: peers reach each other through " \
	"the hub,\n"                                                                               \
	"                         which itself answers ping only\n"                                \
	"  --address ADDR[/LEN]   the hub's own inner address with --no-tun; may be repeated\n"    \
	"  --mtu BYTES            of inner packets, 576 to 65440 (1420)\n"                         \
	"  --workers N            threads for packets (one per core, at most 4)\n"                 \
	"  --deliver own|all      packets of peers that no peer owns: only those for the hub's "   \
	"own\n"                                                                                    \
	"                         addresses go to the TUN (own), or all of them, so that the "     \
	"kernel may\n"                                                                             \
	"                         route them on (all); default: own\n"                             \
	"  --no-offload[=KINDS]   without segmentation offload, all or some of "                   \
	"udp-gro,udp-gso,tun-tso,\n"                                                               \
	"                         tun-uso\n"                                                       \
	"  --aead NAME            an AEAD back end of wghub --version instead of the fastest\n"    \
	"  --policy FILE          who may start what to whom, NAT, port forwards: wghub help "     \
	"policy;\n"                                                                                \
	"                         SIGHUP reads it again\n"                                         \
	"  --metrics PLACE        counters for Prometheus at http://PLACE/metrics: ADDRESS:PORT "  \
	"or "                                                                                      \
	"unix:/PATH\n"                                                                             \
	"  --metrics-token FILE   who asks for them must bring the token in FILE; needed where "   \
	"other\n"                                                                                  \
	"                         machines reach PLACE\n"                                          \
	"  --events FILE|-        what happens, as JSON lines: appended to FILE, or to standard "  \
	"output\n"                                                                                 \
	"  --events-command CMD   CMD gets them, a line or several at a time, on standard "        \
	"input: curl ..\n"                                                                         \
	"  --socket-dir DIR       where NAME.sock is made (root: /var/run/wireguard, where wg(8) " \
	"looks;\n"                                                                                 \
	"                         others: $XDG_RUNTIME_DIR/wireguard)\n"                           \
	"  --user NAME            whom to become instead of root once all is open (wghub; where "  \
	"there is\n"                                                                               \
	"                         none: nobody)\n"                                                 \
	"  --no-sandbox           stay root, without limits on files and system calls\n"           \
	"\n"                                                                                       \
	"Environment: LOG_LEVEL silent, error, warn, info, verbose or debug (info with -f, else "  \
	"warn); in\n"                                                                              \
	"the background there is a log only if it is set.\n"

#endif
