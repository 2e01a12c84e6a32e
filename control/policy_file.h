/* policy_file.h - a file of rules: who may start what to whom. Text to struct policy_file.
 *
 *	allow client -> device tcp 22,80-90 udp 53      allow, deny or ping (echo requests only)
 *	deny  laptop1, key:BASE64 -> device
 *	group lab = press-1, "bench laptop"
 *	nat   press-2 = never                           auto, always or never
 *	forward 8883/tcp -> press-07:8883 from device   a port of the hub's own address
 *	probe-address 10.42.42.254
 *	nat-ports 61000-65535
 *	clamp-mss
 *	log-flows off
 *	flows 65536
 *	flows-per-peer 4096
 *
 * The first rule that fits decides. Somebody is any, client, device, peer or host, a group of the
 * file, or a peer by name, key or address; a name between quotation marks, or after name:, is never
 * a group. Who a name is, policy_plan.h finds out. Every line is checked before any is used; what
 * is wrong is one note a line, "FILE:LINE: what, and what to do". Threads: any; pure but for _read.
 * Bounds: those below; a line beyond them is an error.
 */
#ifndef CONTROL_POLICY_FILE_H
#define CONTROL_POLICY_FILE_H

#include "control/conf.h"
#include "control/notes.h"
#include "wghub_device.h"

#define POLICY_BYTES_MAX (1u << 20)
#define POLICY_LINE_MAX 800 /* it is sent whole to those who ask the running hub */
#define POLICY_LINES_MAX 4096 /* that say something */
#define POLICY_GROUPS_MAX 24 /* of the file's own */
#define POLICY_GROUP_CHARS 32
#define POLICY_PIECES_MAX 65536 /* rules after lists were taken apart */

enum policy_who_kind { WHO_ANY, WHO_GROUP, WHO_OWN_GROUP, WHO_NAME, WHO_KEY, WHO_ADDR };

/* Somebody, as a line says it. */
struct policy_who {
	enum policy_who_kind kind;
	unsigned group; /* WHO_GROUP: enum wgh_group; WHO_OWN_GROUP: index in the file's groups */
	char *name; /* WHO_NAME: printable as in names.h, else NULL */
	bool may_be_group; /* WHO_NAME: as it was written */
	struct wgh_public_key key;
	struct wgh_addr addr;
};

struct policy_rule {
	struct policy_who from, to;
	uint8_t proto; /* 0 any, 1 ICMP of either family, 6, 17 */
	uint16_t port_first, port_last;
	enum wgh_verdict verdict;
	unsigned line; /* index in lines */
};

struct policy_member {
	struct policy_who who; /* a peer, not a group */
	unsigned group; /* of is_own: index in the file's groups; else WGH_GROUP_CLIENT, _DEVICE */
	bool is_own;
	unsigned line;
};

struct policy_nat {
	struct policy_who who;
	enum wgh_nat nat;
	unsigned line;
};

struct policy_forward {
	struct wgh_addr addr; /* of the hub; WGH_UNSPEC: whichever it has */
	struct policy_who to, from;
	uint8_t proto;
	uint16_t port, to_port;
	unsigned line;
};

/* A line that says something. */
struct policy_line {
	unsigned number; /* in the file; 0: an option of the command line */
	char *text; /* without comment, printable */
};

struct policy_file {
	char *path; /* for people; "" if there is no file */
	struct policy_line *lines;
	char (*groups)[POLICY_GROUP_CHARS + 1];
	struct policy_rule *rules;
	struct policy_member *members;
	struct policy_nat *nats;
	struct policy_forward *forwards;
	size_t n_lines, n_groups, n_rules, n_members, n_nats, n_forwards;
	size_t lines_cap, groups_cap, rules_cap, members_cap, nats_cap, forwards_cap;
	struct wgh_addr probe4, probe6; /* WGH_UNSPEC: nothing said */
	bool probe_off;
	bool clamp_mss;
	bool log_flows, log_flows_said;
	uint16_t nat_port_first, nat_port_last; /* 0: nothing said */
	uint32_t flows_max, flows_per_peer_max; /* 0: nothing said */
	unsigned settings; /* which of the single ones were given */
	struct notes errors; /* of n 0: the file may be used */
	struct notes notes; /* what looks like a mistake */
};

/* An empty one: nothing but what is built in. path may be "". NULL: no memory. */
MUST_CHECK struct policy_file *policy_file_new(const char *path);
/* Adds a line: number 0 for an option, which says it like a line. What is wrong is in errors.
 * -ENOMEM. */
MUST_CHECK int policy_file_add(
	struct policy_file *file, unsigned number, const char *text, size_t n);
/* After the last line: what only the whole shows. -ENOMEM. */
MUST_CHECK int policy_file_finish(struct policy_file *file);
/* All of it. 0 also where errors says something. -ENOMEM. */
MUST_CHECK int policy_file_parse(
	struct policy_file **file, const char *path, const char *text, size_t n);
/* 0 also where errors says something; others: it cannot be read, *error says why. */
MUST_CHECK int policy_file_read(
	struct policy_file **file, const char *path, struct wgh_error *error);
void policy_file_free(struct policy_file *file);

/* Somebody, as on a line: for `wghub policy test`. NULL, or what is wrong; *who is then untouched.
 * policy_who_fini() it. file may be NULL: no groups of its own. */
MUST_CHECK const char *policy_who_parse(
	struct policy_who *who, const struct policy_file *file, const char *text);
void policy_who_fini(struct policy_who *who);
MUST_CHECK bool policy_who_copy(struct policy_who *out, const struct policy_who *who);
bool policy_who_equal(const struct policy_who *a, const struct policy_who *b);
#define POLICY_WHO_CHARS (CONF_NAME_BYTES + 8)
void policy_who_text(
	char out[POLICY_WHO_CHARS], const struct policy_file *file, const struct policy_who *who);
extern const char policy_out_of_memory[];
/* "any", "icmp", "tcp", "udp". False: none of them. */
MUST_CHECK bool policy_proto(uint8_t *proto, const char *text, size_t n);
/* "auto", "always", "never"; "client", "device", "peer", "host". */
const char *policy_nat_name(enum wgh_nat nat);
const char *policy_group_name(unsigned group);

#endif
