/* policy_words.h - the words of a line of policy_file.h: names, marks, ports. For its parser.
 * Threads: any; pure. Cost: no allocation but for a name.
 */
#ifndef CONTROL_POLICY_WORDS_H
#define CONTROL_POLICY_WORDS_H

#include "control/policy_file.h"
#include "control/slice.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

enum word_kind {
	WORD_END,
	WORD,
	WORD_QUOTED, /* "a name", without its marks */
	WORD_COMMA,
	WORD_EQUALS, /* between blanks: a key ends in = */
	WORD_ARROW,
	WORD_BROKEN, /* a quotation mark without its end */
};

struct word {
	enum word_kind kind;
	struct slice text;
};

struct words {
	struct slice rest;
};

struct word words_next(struct words *w);
struct word words_peek(const struct words *w);
/* Takes the next word if it is of this kind. */
bool words_take(struct words *w, enum word_kind kind);
/* The line up to a # that begins a word and is in no quotation marks. */
struct slice words_without_comment(struct slice line);

/* Who this is; a group of the file's own is still a WHO_NAME that may_be_group. NULL, or what is
 * wrong. */
MUST_CHECK const char *policy_word_who(struct policy_who *who, const struct word *word);
/* True for any, client, device, peer and host, also as plurals. */
MUST_CHECK bool policy_word_group(struct policy_who *who, struct slice text);
/* "22". False also for 0. */
MUST_CHECK bool policy_port(uint16_t *port, struct slice text);
/* "22" or "80-90". */
MUST_CHECK bool policy_ports(uint16_t *first, uint16_t *last, struct slice text);

/* Adds to the file what this line of it says. NULL, or what is wrong, which may be in why_room. */
#define POLICY_WHY_CHARS 200
MUST_CHECK const char *policy_line_read(
	struct policy_file *file, unsigned line, char why_room[POLICY_WHY_CHARS]);

#endif
