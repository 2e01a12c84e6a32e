/* doctor.c - `wghub doctor`: is this machine fit for a hub, and what would make it better? A table
 * of checks, printed for people or as JSON. */
#include "control/cli/doctor.h"

#include "control/cli/cli.h"
#include "control/cli/hubs.h"
#include "control/text.h"
#include "control/uapi_socket.h"
#include "wghub_bench.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_DEFAULT 51820
#define BUFFER_WANTED (7 << 20) /* what the hub asks for */
#define NEWEST_PAST 1767225600 /* 2026-01-01: this program is younger */
#define BENCH_ROUNDS 12
#define BENCH_BYTES 1420

static void say(
	struct finding *f, enum finding_state state, const char *meaning, const char *remedy)
{
	f->state = state;
	f->meaning = meaning;
	f->remedy = remedy;
}

static bool has_net_admin(void)
{
	return capng_get_caps_process() == 0 &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN);
}

/* 0 where the file says nothing. */
static uint64_t number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long n = 0;

	if (file) {
		if (fscanf(file, "%llu", &n) != 1)
			n = 0;
		fclose(file);
	}
	return n;
}

/* ---- the checks ---- */

static void check_kernel(struct finding *f, const struct doctor_options *options)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	(void)options;
	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		strcpy(name.release, "unknown");
	snprintf(f->found, sizeof f->found, "Linux %.60s on %.60s", name.release, name.machine);
	if (major < 5)
		say(f, FINDING_NOTE, "older than 5.0: no receive offload, and less of a sandbox",
			"a newer kernel makes the hub faster; it works with this one");
	else if (major < 6 || (major == 6 && minor < 2))
		say(f, FINDING_NOTE, "older than 6.2: no UDP segmentation at the TUN",
			"nothing needs to be done; UDP between the host and peers is slower");
}

static void check_tun(struct finding *f, const struct doctor_options *options)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)options;
	snprintf(f->found, sizeof f->found, "/dev/net/tun: %s", fd < 0 ? strerror(errno) : "opens");
	if (fd >= 0)
		close(fd);
	else
		say(f, FINDING_NOTE,
			"no interface can be made; peers still reach each other through the hub",
			"start it with --no-tun, or: modprobe tun; for containers, pass "
			"/dev/net/tun in");
}

static void check_capabilities(struct finding *f, const struct doctor_options *options)
{
	bool is_there = has_net_admin();

	(void)options;
	snprintf(f->found, sizeof f->found, "CAP_NET_ADMIN: %s", is_there ? "yes" : "no");
	if (!is_there)
		say(f, FINDING_NOTE, "whoever asks may not set up an interface",
			"as root, or with --no-tun, which needs no privilege");
}

static void check_buffers(struct finding *f, const struct doctor_options *options)
{
	uint64_t receive = number_in("/proc/sys/net/core/rmem_max");
	uint64_t send = number_in("/proc/sys/net/core/wmem_max");

	(void)options;
	snprintf(f->found, sizeof f->found, "rmem_max %llu, wmem_max %llu bytes",
		(unsigned long long)receive, (unsigned long long)send);
	if (has_net_admin()) /* the hub may go beyond them then */
		return;
	if (receive < BUFFER_WANTED || send < BUFFER_WANTED)
		say(f, FINDING_NOTE,
			"a hub without CAP_NET_ADMIN gets small socket buffers and loses bursts",
			"sysctl -w net.core.rmem_max=7340032 net.core.wmem_max=7340032 (not in a "
			"container: on its host)");
}

/* The interface of the default route, or NULL. */
static const char *default_interface(char name[32])
{
	FILE *file = fopen("/proc/net/route", "re");
	unsigned long to, gateway;
	unsigned flags;
	bool found = false;
	char line[256];

	while (file && !found && fgets(line, sizeof line, file))
		found = sscanf(line, "%31s %lx %lx %x", name, &to, &gateway, &flags) == 4 && !to &&
			(flags & 1);
	if (file)
		fclose(file);
	return found ? name : NULL;
}

static void check_mtu(struct finding *f, const struct doctor_options *options)
{
	char name[32], path[80];
	uint64_t mtu;

	(void)options;
	if (!default_interface(name)) {
		snprintf(f->found, sizeof f->found, "no IPv4 default route");
		say(f, FINDING_NOTE, "peers beyond the local networks are not reached over IPv4",
			"ip route; nothing to do where that is meant");
		return;
	}
	snprintf(path, sizeof path, "/sys/class/net/%s/mtu", name);
	mtu = number_in(path);
	snprintf(f->found, sizeof f->found, "%s, of the default route, has %llu bytes", name,
		(unsigned long long)mtu);
	if (mtu && mtu < 1500)
		say(f, FINDING_NOTE, "full inner packets of the default MTU 1420 become fragments",
			"give the hub and its peers an MTU 80 less than this: --mtu, MTU = in "
			"files");
}

static void check_clock(struct finding *f, const struct doctor_options *options)
{
	struct timex state = {0};
	time_t now = time(NULL);
	bool synced = adjtimex(&state) != TIME_ERROR && !(state.status & STA_UNSYNC);
	struct tm tm;

	(void)options;
	strftime(f->found, sizeof f->found - 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	strcat(f->found, synced ? ", synchronised" : ", not synchronised");
	if (now < NEWEST_PAST)
		say(f, FINDING_BAD,
			"the clock is wrong: peers refuse handshakes older than the last they saw",
			"set it (timedatectl set-ntp true), then start the hub");
	else if (!synced)
		say(f, FINDING_NOTE,
			"nobody keeps the clock right, as far as the kernel knows; one that jumps "
			"back "
			"locks peers out",
			"install chrony or systemd-timesyncd; in a container it is its host's "
			"business");
}

/* Does a hub that runs here have this port? */
static bool is_hubs(uint16_t port, const char *dir, char found[16])
{
	char(*names)[16] = NULL;
	bool is = false;
	size_t n = 0;

	if (!dir || hubs_list(&names, &n, dir))
		return false;
	for (size_t i = 0; i < n && !is; i++) {
		struct ctl_answer answer;
		struct show_section hub;
		struct wgh_error error;
		size_t at;

		if (ctl_get(&answer, dir, names[i], &error))
			continue;
		show_hub_section(&hub, &answer, &at);
		is = show_number(&hub, "listen_port") == port;
		memcpy(found, names[i], sizeof names[i]);
		ctl_answer_fini(&answer);
	}
	free(names);
	return is;
}

static void check_port(struct finding *f, const struct doctor_options *options)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
	char name[16];

	if (fd >= 0)
		close(fd);
	if (err == EADDRINUSE && is_hubs(options->port, options->socket_dir, name)) {
		snprintf(f->found, sizeof f->found, "UDP %u is the hub %s's", options->port, name);
		return;
	}
	snprintf(f->found, sizeof f->found, "UDP %u: %s", options->port,
		err ? strerror(err)
		    : "free; only a peer outside can tell whether firewalls let it in");
	if (err == EADDRINUSE)
		say(f, FINDING_BAD, "another program has the port, so a hub cannot open it",
			"ss -ulnp shows which one; choose another with ListenPort = and ask with "
			"--port");
	else if (err)
		say(f, FINDING_BAD, "the hub may not open this port",
			"as root, with CAP_NET_BIND_SERVICE, or a port above 1023");
}

/* The first line of `wg --version`. */
static bool ask_wg(char *line, size_t size)
{
	char *const argv[] = {"wg", "--version", NULL}, *const none[] = {NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], status = 1;
	ssize_t n = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	if (posix_spawnp(&pid, "wg", &actions, NULL, argv, none) == 0) {
		close(fds[1]);
		fds[1] = -1;
		n = read(fds[0], line, size - 1);
		waitpid(pid, &status, 0);
	}
	posix_spawn_file_actions_destroy(&actions);
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	if (n <= 0 || status)
		return false;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	return true;
}

static void check_tools(struct finding *f, const struct doctor_options *options)
{
	char line[100];

	(void)options;
	if (ask_wg(line, sizeof line)) {
		char *web = strstr(line, " - ");

		if (web)
			*web = 0;
		text_escape(f->found, sizeof f->found, line, strlen(line));
	} else {
		snprintf(f->found, sizeof f->found, "there is no wg");
		say(f, FINDING_NOTE,
			"a hub can only be configured by files and wghub's own commands",
			"apt-get install wireguard-tools (not wireguard, which brings kernel "
			"modules)");
	}
}

static void check_aead(struct finding *f, const struct doctor_options *options)
{
	const struct wgh_bench_options work = {
		.n_peers = 2, .n_active = 2, .burst_packets = 64, .packet_bytes = BENCH_BYTES};
	const char *const *names = wgh_aead_names();
	struct wgh_bench_cost cost, best = {0};
	struct wgh_bench *bench = NULL;
	size_t used = 0;
	int err = wgh_bench_new(&bench, &work);

	(void)options;
	for (unsigned i = 0; !err && i < BENCH_ROUNDS; i++) {
		err = wgh_bench_round(bench, &cost);
		if (!err && (i == 0 || cost.path < best.path))
			best = cost;
	}
	if (bench)
		wgh_bench_free(bench);
	for (unsigned i = 0; names[i] && used < sizeof f->found - 60; i++)
		used += (size_t)snprintf(
			f->found + used, sizeof f->found - used, "%s%s", i ? ", " : "", names[i]);
	if (err) {
		say(f, FINDING_BAD, "the back end that would be chosen fails its self-test",
			"--aead sodium, and tell the authors about this processor");
		return;
	}
	snprintf(f->found + used, sizeof f->found - used,
		"; one core opens, routes and seals %.1f Gbit/s", BENCH_BYTES * 8 / best.path);
	if (!names[1])
		say(f, FINDING_NOTE, "only the portable one runs here",
			"a processor with AVX2 or AVX-512 is several times as fast; wghub bench "
			"measures");
}

/* ---- printing ---- */

static const struct {
	const char *name;
	doctor_check *check;
} checks[] = {{"kernel", check_kernel}, {"tun", check_tun}, {"capabilities", check_capabilities},
	{"buffers", check_buffers}, {"mtu", check_mtu}, {"offload", doctor_offload},
	{"clock", check_clock}, {"port", check_port}, {"wireguard-tools", check_tools},
	{"aead", check_aead}};

static const char *const states[] = {
	[FINDING_OK] = "ok", [FINDING_NOTE] = "note", [FINDING_BAD] = "bad"};

static void print_finding(const char *name, const struct finding *f)
{
	printf("%-5s %-16s %s\n", states[f->state], name, f->found);
	if (f->state != FINDING_OK)
		printf("      %-16s %s\n      %-16s do: %s\n", "", f->meaning, "", f->remedy);
}

static int add_json(json_t *list, const char *name, const struct finding *f)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s}", "name", name, "state", states[f->state],
		"found", f->found, "meaning", f->meaning, "remedy", f->remedy);

	return object ? json_array_append_new(list, object) : -1;
}

static int examine(const struct doctor_options *options, bool as_json)
{
	json_t *list = as_json ? json_array() : NULL;
	bool healthy = true;
	int failed = as_json && !list;

	for (unsigned i = 0; i < sizeof checks / sizeof *checks; i++) {
		struct finding f = {.meaning = "", .remedy = ""};

		checks[i].check(&f, options);
		healthy &= f.state != FINDING_BAD;
		if (as_json)
			failed |= add_json(list, checks[i].name, &f);
		else
			print_finding(checks[i].name, &f);
	}
	if (!as_json) {
		puts(healthy ? "This machine can run a hub."
			     : "A hub would not work here as it is.");
		return healthy ? 0 : EXIT_FAILED;
	}
	if (failed) {
		json_decref(list);
		say_error("out of memory");
		return EXIT_FAILED;
	}
	failed = hub_print_json(json_pack("{s:b,s:o}", "healthy", healthy, "findings", list), true);
	return failed ? failed : healthy ? 0 : EXIT_FAILED;
}

static int doctor(int argc, char **argv)
{
	static const struct option long_options[] = {{"socket-dir", required_argument, NULL, 'd'},
		{"port", required_argument, NULL, 'p'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct doctor_options options = {.port = PORT_DEFAULT};
	const char *dir = NULL, *why;
	bool as_json = false;
	int option;

	while ((option = getopt_long(argc, argv, ":p:", long_options, NULL)) != -1) {
		if (option == 'd') {
			dir = optarg;
		} else if (option == 'j') {
			as_json = true;
		} else if (option == 'p') {
			why = text_port(&options.port, optarg, strlen(optarg));
			if (why)
				return say_usage(&command_doctor, "--port: %s", why);
		} else {
			return say_bad_option(&command_doctor, argv, option);
		}
	}
	if (argc > optind)
		return say_usage(&command_doctor, "it takes no arguments");
	options.socket_dir = dir ? dir : uapi_socket_default_dir();
	return examine(&options, as_json);
}

const struct command command_doctor = {"doctor", doctor,
	"is this machine fit for a hub, and what would make it better",
	"Usage: wghub doctor [--port PORT] [--json] [--socket-dir DIR]\n"
	"\n"
	"Looks at the kernel, TUN, capabilities, socket buffers, MTU, segmentation offload (a "
	"buffer of\n"
	"datagrams through loopback and back), the clock, the hub's UDP port (51820), "
	"wireguard-tools, "
	"and\n"
	"the AEAD back ends with what one core carries. Each finding is ok, a note (it works, but "
	"slower "
	"or\n"
	"without something) or bad (it does not work), and says what that means and what to do. "
	"Nothing "
	"is\n"
	"changed. Exit code: 0 nothing is bad, 1 something is.\n"};
