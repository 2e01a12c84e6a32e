/* log.c - see log.h. A line is built in one buffer and written by one write(), so that lines of
 * several processes on one terminal do not mix. A line that cannot be written is lost: logging
 * never blocks or ends the hub. */
#include "control/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static enum log_level wanted = LEVEL_INFO;

bool log_level_from_text(enum log_level *level, const char *text)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {{"silent", LEVEL_SILENT}, {"error", LEVEL_ERROR}, {"warn", LEVEL_WARN},
		{"info", LEVEL_INFO}, {"verbose", LEVEL_DEBUG}, {"debug", LEVEL_DEBUG}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!strcmp(text, words[i].word)) {
			*level = words[i].level;
			return true;
		}
	}
	return false;
}

void log_set_level(enum log_level level)
{
	wanted = level;
}

static bool wants(enum log_level level)
{
	return level <= wanted;
}

/* Is standard error the journal's own socket? (systemd.exec(5), JOURNAL_STREAM) */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void write_line(enum log_level level, const char *format, va_list args)
{
	static const char *const names[] = {"", "error", "warn", "info", "debug"};
	static const char priorities[] = "03467"; /* sd-daemon(3) */
	char line[1024];
	size_t n;
	int len;

	if (to_journal()) {
		n = (size_t)snprintf(line, sizeof line, "<%c>", priorities[level]);
	} else {
		struct timespec now;
		struct tm tm;
		char stamp[32];

		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm);
		n = (size_t)snprintf(line, sizeof line, "%s %-5s ", stamp, names[level]);
	}
	len = vsnprintf(line + n, sizeof line - n, format, args);
	if (len < 0)
		return;
	n += (size_t)len;
	if (n > sizeof line - 2)
		n = sizeof line - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nowhere left to say so */
}

#define WRITE_LINE(level)                                                                          \
	do {                                                                                       \
		va_list args;                                                                      \
		if (!wants(level))                                                                 \
			return;                                                                    \
		va_start(args, format);                                                            \
		write_line(level, format, args);                                                   \
		va_end(args);                                                                      \
	} while (0)

void log_error(const char *format, ...)
{
	WRITE_LINE(LEVEL_ERROR);
}

void log_warn(const char *format, ...)
{
	WRITE_LINE(LEVEL_WARN);
}

void log_info(const char *format, ...)
{
	WRITE_LINE(LEVEL_INFO);
}

/* So many lines a second: a flood must not fill a disk. */
struct allowance {
	enum log_level level;
	unsigned per_s, in_second, left_out;
	time_t second;
};

static bool allowed(struct allowance *a)
{
	struct timespec now;
	unsigned n = a->left_out;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != a->second) {
		a->second = now.tv_sec;
		a->in_second = a->left_out = 0;
		if (n && a->level == LEVEL_INFO)
			log_info("flow lines left out n=%u", n);
		else if (n)
			log_debug("log lines left out n=%u", n);
	}
	if (a->in_second >= a->per_s) {
		a->left_out++;
		return false;
	}
	a->in_second++;
	return true;
}

/* Whatever a sender without a key can cause is logged at this level only. */
void log_debug(const char *format, ...)
{
	static struct allowance debug = {.level = LEVEL_DEBUG, .per_s = LOG_DEBUG_PER_S};

	if (!wants(LEVEL_DEBUG) || !allowed(&debug))
		return;
	WRITE_LINE(LEVEL_DEBUG);
}

void log_flow(const char *format, ...)
{
	static struct allowance flows = {.level = LEVEL_INFO, .per_s = LOG_FLOWS_PER_S};

	if (!wants(LEVEL_INFO) || !allowed(&flows))
		return;
	WRITE_LINE(LEVEL_INFO);
}
