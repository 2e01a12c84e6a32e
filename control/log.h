/* log.h - one line for each thing that happened, to standard error.
 *
 * A line is "event words key=value ...": `peer up peer=Xk3f9a2c endpoint=192.0.2.7:51820`. A peer
 * is its first 8 base64 characters (text_from_peer()). error: someone must act; warn: degraded;
 * info: a state changed; debug: for finding faults, rate limited. Never a key, never bytes from
 * outside that text_escape() has not seen. Under systemd's journal (JOURNAL_STREAM) each line
 * carries its priority, elsewhere its time and level. Threads: the main thread only.
 */
#ifndef CONTROL_LOG_H
#define CONTROL_LOG_H

#include "crypto/secret.h"

enum log_level { LEVEL_SILENT, LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

/* The words of LOG_LEVEL, those of wireguard-go included: silent, error, warn, info, verbose,
 * debug. */
MUST_CHECK bool log_level_from_text(enum log_level *level, const char *text);
void log_set_level(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What peers cause, as often as they like: at most LOG_FLOWS_PER_S lines a second; how many were
 * left out is said with the next one. */
void log_flow(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define LOG_FLOWS_PER_S 100
/* At most LOG_DEBUG_PER_S lines a second; how many were left out is said with the next one. */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define LOG_DEBUG_PER_S 50

#endif
