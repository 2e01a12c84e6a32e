/* progress.c - see progress.h. */
#include "control/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_CLEAR "\r\033[K"

static struct {
	unsigned depth; /* of begins without their end */
	bool runs;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool ended; /* under the mutex */
	const char *what;
} progress = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool is_seen(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");
}

void progress_say(const char *format, ...)
{
	va_list args;

	if (!is_seen())
		return;
	fputs(LINE_CLEAR, stderr);
	if (format) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
	}
	fflush(stderr);
}

static void *tell(void *arg)
{
	struct timespec next;
	unsigned seconds = 0;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&progress.mutex);
	while (!progress.ended) {
		next.tv_sec++;
		while (!progress.ended &&
			!pthread_cond_timedwait(&progress.changed, &progress.mutex, &next))
			;
		if (!progress.ended)
			progress_say("%s, %u s", progress.what, ++seconds);
	}
	pthread_mutex_unlock(&progress.mutex);
	if (seconds)
		progress_say(NULL);
	return NULL;
}

void progress_begin(const char *what)
{
	pthread_condattr_t steady;
	sigset_t all, before;

	if (progress.depth++ || !is_seen())
		return;
	progress.what = what;
	progress.ended = false;
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_cond_init(&progress.changed, &steady);
	pthread_condattr_destroy(&steady);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	progress.runs = !pthread_create(&progress.thread, NULL, tell, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_end(void)
{
	if (--progress.depth || !progress.runs)
		return;
	pthread_mutex_lock(&progress.mutex);
	progress.ended = true;
	pthread_cond_signal(&progress.changed);
	pthread_mutex_unlock(&progress.mutex);
	pthread_join(progress.thread, NULL);
	pthread_cond_destroy(&progress.changed);
	progress.runs = false;
}
