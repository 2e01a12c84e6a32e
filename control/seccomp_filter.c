/* seccomp_filter.c - see seccomp_filter.h. A name that an architecture does not have is passed
 * over: lists hold the old and the new name of the same thing, and those of 32 bit machines. The
 * filter's cost: the kernel (5.11) remembers which calls are always allowed, so those of packets
 * cost nothing measurable. */
#include "control/seccomp_filter.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>

#ifndef TUNGETIFF
#error "linux/if_tun.h is too old"
#endif

/* What every thread of libc does. */
static const char *const basics[] = {"read", "write", "readv", "writev", "close", "futex",
	"futex_time64", "munmap", "mremap", "madvise", "brk", "rt_sigprocmask", "rt_sigreturn",
	"sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group", "getrandom",
	"clock_gettime", "clock_gettime64", "gettimeofday", "time", "clock_nanosleep",
	"clock_nanosleep_time64", "nanosleep", "sched_yield", "sched_getaffinity", "getcpu",
	"gettid", "getpid", "tgkill", "rseq", "set_robust_list", "membarrier", "fstat", "fstat64",
	NULL};

static const char *const packets[] = {"recvmsg", "recvmmsg", "recvmmsg_time64", "recvfrom", "recv",
	"sendmsg", "sendmmsg", "sendto", "send", "poll", "ppoll", "ppoll_time64", "epoll_wait",
	"epoll_pwait", "epoll_pwait2", "epoll_ctl", NULL};

static const char *const files[] = {"open", "openat", "openat2", "pread64", "pwrite64", "preadv",
	"pwritev", "lseek", "_llseek", "fcntl", "fcntl64", "flock", "fsync", "fdatasync",
	"ftruncate", "ftruncate64", "fallocate", "newfstatat", "fstatat64", "stat", "stat64",
	"lstat", "lstat64", "statx", "fstatfs", "fstatfs64", "statfs", "statfs64", "access",
	"faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getdents", "getdents64",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "fchmod", "fchown", "fchown32",
	"umask", "geteuid", "geteuid32", "getegid", "getegid32", "getuid", "getuid32", "getgid",
	"getgid32", NULL};

static const char *const main_only[] = {"mkdir", "mkdirat", "link", "linkat", "dup", "dup2", "dup3",
	"pipe", "pipe2", "eventfd2", "epoll_create", "epoll_create1", "inotify_init",
	"inotify_init1", "inotify_add_watch", "inotify_rm_watch", "select", "_newselect",
	"pselect6", "pselect6_time64", "chdir", "preadv2", "pwritev2", "close_range", "sendfile",
	"sendfile64", "copy_file_range",
	/* sockets */
	"socketpair", "connect", "bind", "listen", "accept", "accept4", "getsockname",
	"getpeername", "getsockopt", "setsockopt", "shutdown", "socketcall",
	/* memory that must not be swapped out */
	"mlock", "mlock2", "munlock", "mincore", "msync",
	/* threads, signals, time */
	"set_tid_address", "rt_sigaction", "rt_sigtimedwait", "rt_sigtimedwait_time64",
	"rt_sigpending", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
	"sched_get_priority_max", "sched_get_priority_min", "setpriority", "getpriority", "wait4",
	"waitid", "waitpid", "clock_getres", "clock_getres_time64", "times", "getrusage",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "futex_waitv", "get_robust_list",
	/* who and where am I */
	"getppid", "getpgid", "getpgrp", "getresuid", "getresuid32", "getresgid", "getresgid32",
	"getgroups", "getgroups32", "capget", "prctl", "arch_prctl", "uname", "sysinfo",
	"getrlimit", "ugetrlimit", NULL};

static const unsigned long ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ,
	TIOCOUTQ, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFCONF, SIOCGIFADDR,
	SIOCGIFNETMASK, TUNGETIFF};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* -EDOM: the call does not exist under this name here, or has nothing to compare. */
static int passed_over(int err)
{
	return err == -EDOM || err == -EEXIST ? 0 : err;
}

static int rule(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	return number == __NR_SCMP_ERROR ? 0
					 : passed_over(seccomp_rule_add(ctx, action, number, 0));
}

static int rules(scmp_filter_ctx ctx, const char *const *names)
{
	int err = 0;

	for (unsigned i = 0; names[i] && !err; i++)
		err = rule(ctx, SCMP_ACT_ALLOW, names[i]);
	return err;
}

/* Where (argument & mask) is value. */
static int rule_if(
	scmp_filter_ctx ctx, const char *name, unsigned argument, uint64_t mask, uint64_t value)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR)
		return 0;
	return passed_over(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
		SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value)));
}

static int plain_memory(scmp_filter_ctx ctx)
{
	int err = rule_if(ctx, "mmap", 2, PROT_EXEC, 0);

	if (!err)
		err = rule_if(ctx, "mmap2", 2, PROT_EXEC, 0);
	return err ? err : rule_if(ctx, "mprotect", 2, PROT_EXEC, 0);
}

/* Of files that cannot be written at the same time: libc loads modules for names. */
static int code_from_files(scmp_filter_ctx ctx)
{
	static const char *const names[] = {"mmap", "mmap2"};
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		if (number != __NR_SCMP_ERROR)
			err = passed_over(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 2,
				SCMP_CMP(2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
				SCMP_CMP(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0)));
	}
	return err;
}

static int data_path(scmp_filter_ctx ctx)
{
	int err = rules(ctx, packets);

	if (!err) /* libuv makes what it watches non-blocking */
		err = rule_if(ctx, "ioctl", 1, UINT32_MAX, FIONBIO);
	if (!err)
		err = rule(ctx, SCMP_ACT_KILL_PROCESS, "execve");
	return err ? err : rule(ctx, SCMP_ACT_KILL_PROCESS, "execveat");
}

static int main_thread(scmp_filter_ctx ctx)
{
	int err = rules(ctx, packets);

	if (!err)
		err = rules(ctx, files);
	if (!err)
		err = rules(ctx, main_only);
	if (!err)
		err = code_from_files(ctx);
	for (unsigned i = 0; i < sizeof ioctls / sizeof *ioctls && !err; i++)
		err = rule_if(ctx, "ioctl", 1, UINT32_MAX, ioctls[i]);
	for (unsigned i = 0; i < sizeof families / sizeof *families && !err; i++)
		err = rule_if(ctx, "socket", 0, UINT32_MAX, (uint64_t)families[i]);
	if (!err)
		err = rule_if(ctx, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	/* Its flags lie in memory, where a filter does not look; libc then takes clone(). */
	if (!err)
		err = rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3");
	/* Limits are read, not set. */
	return err ? err : rule_if(ctx, "prlimit64", 2, UINT64_MAX, 0);
}

static int keeper(scmp_filter_ctx ctx)
{
	int err = rules(ctx, packets);

	return err ? err : rules(ctx, files);
}

int seccomp_filter_enter(enum seccomp_for kind)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!ctx)
		return -ENOMEM;
	err = rules(ctx, basics);
	if (!err)
		err = plain_memory(ctx);
	if (!err)
		err = kind == SECCOMP_FOR_DATA_PATH ? data_path(ctx)
			: kind == SECCOMP_FOR_MAIN  ? main_thread(ctx)
						    : keeper(ctx);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}
