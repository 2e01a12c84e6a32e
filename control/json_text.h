/* json_text.h - JSON from outside, under limits: checked before jansson builds anything of it.
 *
 * Limits: JSON_DEPTH_MAX levels, JSON_CONTAINERS_MAX arrays and objects, JSON_VALUES_MAX values in
 * all, so that a hostile text of 16 MiB costs about 200 MiB of memory at the most and not
 * gigabytes. Strings must be valid UTF-8 without zero bytes; of duplicate members the last counts;
 * bytes after the value are an error. In what is only read, an escaped zero byte or half of a
 * surrogate pair becomes U+FFFD: the API passes on what a device wrote, and one device must not
 * make the list of all unreadable. Memory that jansson gives back is wiped (tokens pass through
 * it), process wide, from json_text_init() on. Threads: any, after the first call.
 */
#ifndef CONTROL_JSON_TEXT_H
#define CONTROL_JSON_TEXT_H

#include "crypto/secret.h"
#include "wghub_device.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 32
#define JSON_CONTAINERS_MAX 300000
#define JSON_VALUES_MAX 3000000

enum json_text_numbers {
	JSON_NUMBERS_REAL, /* all as doubles: no number is too large */
	JSON_NUMBERS_AS_WRITTEN, /* integers stay integers: for a text that is written again */
};

/* json_text_load() calls it; call it before any other use of jansson where secrets are written. */
void json_text_init(void);
/* -EINVAL: *error says where (never what); -E2BIG: a limit; -ENOMEM. json_decref() the root. */
MUST_CHECK int json_text_load(json_t **root, const char *text, size_t n,
	enum json_text_numbers numbers, struct wgh_error *error);
/* Indented by two, members in their order. NULL: no memory. Free with json_text_free(). */
MUST_CHECK char *json_text_dump(const json_t *root, size_t *n);
void json_text_free(char *text); /* wipes */

/* Members; NULL or the alternative where it is missing or of another type. root may be anything. */
const char *json_text_string(const json_t *object, const char *member);
double json_text_number(const json_t *object, const char *member, double otherwise);

#endif
