/* target.c - see target.h. */
#include "bench/lib/target.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_PORT 51820
#define INNER_NETWORK 0x0a4d0000 /* 10.77.0.0/16: .0.1 is the hub's own, peers follow */
#define IDLE_NETWORK 0x0a800000 /* 10.128.0.0/9 */
#define IDLE_MAX 1000000
#define SLEEP_MS 1
#define SESSION_MAX_NS (60 * UINT64_C(1000000000)) /* half of what makes a peer renew it */

static pid_t ksoftirqd;

static bool complain(const struct target *t, const char *what)
{
	fprintf(stderr, "hub: %s: %s: %s\n", t->label, what, strerror(errno));
	return false;
}

static bool word_parse(struct target *t, const char *word)
{
	if (!strcmp(word, "shared"))
		return t->shared = true;
	if (!strncmp(word, "idle=", 5))
		t->n_idle = (uint32_t)strtoul(word + 5, NULL, 10);
	else if (!strncmp(word, "pairs=", 6))
		t->n_pairs = (uint32_t)strtoul(word + 6, NULL, 10);
	else
		return false;
	return t->n_idle <= IDLE_MAX && t->n_pairs <= IDLE_MAX;
}

bool target_parse(struct target *t, char *text)
{
	char *address, *pid;

	*t = (struct target){.label = strsep(&text, ","), .poll_fd = -1};
	t->ifname = strsep(&text, ",");
	address = strsep(&text, ",");
	pid = strsep(&text, ",");
	t->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(LISTEN_PORT)};
	if (!pid || inet_pton(AF_INET, address, &t->address.sin_addr) != 1)
		return false;
	while (text) {
		if (!word_parse(t, strsep(&text, ",")))
			return false;
	}
	t->pid = (pid_t)strtol(pid, NULL, 10);
	return t->pid > 0;
}

/* ---- UAPI ---- */

static void hex_write(FILE *f, const char *name, const uint8_t bytes[32])
{
	fprintf(f, "%s=", name);
	for (int i = 0; i < 32; i++)
		fprintf(f, "%02x", bytes[i]);
	fputc('\n', f);
}

static void peer_write(FILE *f, const uint8_t public_key[32], uint32_t a)
{
	hex_write(f, "public_key", public_key);
	fprintf(f, "replace_allowed_ips=true\nallowed_ip=%u.%u.%u.%u/32\n", a >> 24, a >> 16 & 255,
		a >> 8 & 255, a & 255);
}

static void set_write(FILE *f, const struct target *t)
{
	uint8_t nobody[32];

	fprintf(f, "set=1\n");
	hex_write(f, "private_key", t->secret.bytes);
	fprintf(f, "listen_port=%d\nreplace_peers=true\n", LISTEN_PORT);
	for (size_t i = 0; i < t->n_peers; i++)
		peer_write(f, t->peers[i].identity.public_key.bytes, t->peers[i].inner_address);
	for (uint32_t i = 0; i < t->n_idle; i++) {
		secret_random(nobody, sizeof nobody);
		peer_write(f, nobody, IDLE_NETWORK + i);
	}
	fprintf(f, "\n");
}

static bool configure(const struct target *t)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[64] = "";
	bool ok;
	FILE *f;

	snprintf(path.sun_path, sizeof path.sun_path, "/var/run/wireguard/%s.sock", t->ifname);
	if (fd < 0 || connect(fd, (struct sockaddr *)&path, sizeof path) < 0) {
		complain(t, path.sun_path);
		if (fd >= 0)
			close(fd);
		return false;
	}
	f = fdopen(fd, "r+");
	if (!f) {
		close(fd);
		return complain(t, "fdopen");
	}
	set_write(f, t);
	ok = fflush(f) == 0 && fgets(answer, sizeof answer, f) && !strcmp(answer, "errno=0\n");
	fclose(f);
	if (!ok)
		fprintf(stderr, "hub: %s: the hub refuses its configuration: %s\n", t->label,
			answer);
	return ok;
}

static void peers_free(struct target *t)
{
	for (size_t i = 0; i < t->n_peers; i++)
		played_fini(&t->peers[i]);
	free(t->peers);
	t->peers = NULL;
	t->n_peers = 0;
	if (t->poll_fd >= 0)
		close(t->poll_fd);
	t->poll_fd = -1;
}

static bool poll_prepare(struct target *t)
{
	t->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->poll_fd < 0)
		return complain(t, "epoll");
	for (size_t i = 1; i < t->n_peers; i += 2) {
		struct epoll_event e = {.events = EPOLLIN};

		if (epoll_ctl(t->poll_fd, EPOLL_CTL_ADD, t->peers[i].fd, &e) < 0)
			return complain(t, "epoll");
	}
	return true;
}

void target_sleep(const struct target *t)
{
	struct epoll_event e;

	(void)epoll_wait(t->poll_fd, &e, 1, SLEEP_MS);
}

bool target_configure(struct target *t, size_t n_peers)
{
	uint8_t random[32];

	peers_free(t);
	secret_random(random, sizeof random);
	x25519_secret_from_random(&t->secret, random);
	IGNORE_RESULT(x25519_public_from_secret(&t->public_key, &t->secret)); /* never zero */
	t->peers = calloc(n_peers, sizeof *t->peers);
	if (!t->peers)
		return complain(t, "peers");
	for (; t->n_peers < n_peers; t->n_peers++) {
		if (!played_init(&t->peers[t->n_peers], &t->address,
			    INNER_NETWORK + 2 + (uint32_t)t->n_peers))
			return false;
	}
	if (!configure(t) || (t->shared && !poll_prepare(t)))
		return false;
	for (size_t i = 0; i < n_peers; i++) {
		if (!played_handshake(&t->peers[i], &t->public_key)) {
			fprintf(stderr, "hub: %s: peer %zu of %zu\n", t->label, i + 1, n_peers);
			return false;
		}
	}
	return true;
}

bool target_refresh(struct target *t)
{
	for (size_t i = 0; i < t->n_peers; i++) {
		struct played *p = &t->peers[i];
		bool old = clock_now_ns() - p->session_born_ns > SESSION_MAX_NS;

		if (old ? !played_handshake(p, &t->public_key) : !played_keepalive(p))
			return false;
	}
	return true;
}

bool target_segments(const struct target *t, unsigned n)
{
	char number[16];
	const char *command[] = {
		"ip", "link", "set", "dev", t->ifname, "gso_max_segs", number, NULL};
	int status = -1;
	pid_t pid;

	snprintf(number, sizeof number, "%u", n);
	if (posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)command, environ) ||
		waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "hub: ip link set dev %s gso_max_segs %u: no success\n", t->ifname,
			n);
		return false;
	}
	return true;
}

void target_fini(struct target *t)
{
	peers_free(t);
	secret_wipe(&t->secret, sizeof t->secret);
}

/* ---- CPU time ---- */

/* Of all threads, also those that have ended: clock_getcpuclockid(3). */
static bool cpu_ns(pid_t pid, uint64_t *ns)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return false;
	*ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return true;
}

void target_core_set(unsigned core)
{
	char wanted[32], path[300], name[32];
	DIR *d = opendir("/proc");

	snprintf(wanted, sizeof wanted, "ksoftirqd/%u\n", core);
	for (struct dirent *e; d && (e = readdir(d));) {
		FILE *f;

		snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
		f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fgets(name, sizeof name, f) && !strcmp(name, wanted))
			ksoftirqd = (pid_t)strtol(e->d_name, NULL, 10);
		fclose(f);
	}
	if (d)
		closedir(d);
}

bool target_cpu_ns(const struct target *t, uint64_t *process_ns, uint64_t *softirq_ns)
{
	if (!ksoftirqd || !cpu_ns(ksoftirqd, softirq_ns))
		*softirq_ns = 0;
	if (!cpu_ns(t->pid, process_ns))
		return complain(t, "the hub has ended");
	return true;
}
