/* landlock.c - see landlock.h. Numbers from the kernel's include/uapi/linux/landlock.h: those of
 * Debian 12 know only the first of them. */
#include "control/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_REFER (1ULL << 13) /* second version of the interface */
#define FS_TRUNCATE (1ULL << 14) /* third */
#define FS_IOCTL_DEV (1ULL << 15) /* fifth */
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* sixth */
#define SCOPE_SIGNAL (1ULL << 1)

/* The kernel's struct as of the sixth version; older ones take the beginning of it. */
struct attributes {
	uint64_t handled_fs, handled_net, scoped;
};

static int version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return v < 0 ? -errno : (int)v;
}

/* All that this kernel can forbid. */
static uint64_t handled_fs(int v)
{
	uint64_t all = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1; /* the last one of the first version */

	return all | (v >= 2 ? FS_REFER : 0) | (v >= 3 ? FS_TRUNCATE : 0) |
		(v >= 5 ? FS_IOCTL_DEV : 0);
}

int landlock_begin(void)
{
	int v = version();
	struct attributes a = {0};
	long fd;

	if (v < 0)
		return v;
	a.handled_fs = handled_fs(v);
	/* Signals stay within: no other process of the same user can be disturbed. */
	a.scoped = v >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0;
	fd = syscall(SYS_landlock_create_ruleset, &a, v >= 6 ? sizeof a : sizeof a.handled_fs, 0);
	return fd < 0 ? -errno : (int)fd;
}

static uint64_t access_of(unsigned rights, bool folder)
{
	uint64_t access = 0;

	if (rights & LANDLOCK_READ)
		access |= LANDLOCK_ACCESS_FS_READ_FILE | (folder ? LANDLOCK_ACCESS_FS_READ_DIR : 0);
	if (rights & LANDLOCK_WRITE)
		access |= LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;
	if (rights & LANDLOCK_MAKE && folder)
		access |= LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return access & handled_fs(version());
}

int landlock_allow(int ruleset, const char *path, unsigned rights)
{
	struct landlock_path_beneath_attr rule = {0};
	struct stat st;
	int err = 0, fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	rule.parent_fd = fd;
	rule.allowed_access = access_of(rights, S_ISDIR(st.st_mode));
	if (!err &&
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		err = -errno;
	close(fd);
	return err;
}

int landlock_enter(int ruleset)
{
	int err = syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;

	close(ruleset);
	return err;
}
