/* show.h - the two ways in which `wghub show` prints a hub's answer.
 */
#ifndef CONTROL_SHOW_H
#define CONTROL_SHOW_H

#include "control/ctl_client.h"

/* The lines about the hub, or about one peer. */
struct show_section {
	const struct ctl_line *lines;
	size_t n;
};

/* The hub's section; *at is where the peers begin. */
void show_hub_section(struct show_section *section, const struct ctl_answer *answer, size_t *at);
/* The next peer's, which begins with public_key. False: no more. */
bool show_next_peer(struct show_section *section, const struct ctl_answer *answer, size_t *at);
/* The first value of that key, or NULL. */
const char *show_value(const struct show_section *section, const char *key);
uint64_t show_number(const struct show_section *section, const char *key);
/* base64 of a key that is hex in the answer; "(wrong)" if it is not. */
#define SHOW_KEY_CHARS 45
void show_key(char out[SHOW_KEY_CHARS], const struct show_section *section, const char *key);

void show_text(const char *ifname, const struct ctl_answer *answer);
/* A new JSON object (json_t), or NULL: no memory. */
void *show_json(const struct ctl_answer *answer);

#endif
