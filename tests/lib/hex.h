/* hex.h - test vectors are written in hex, as their sources print them. */
#ifndef TESTS_LIB_HEX_H
#define TESTS_LIB_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Blanks and newlines are skipped. Returns the bytes written; anything else than hex, half a byte
 * or more than out_bytes ends the program, because a wrong vector is a wrong test. */
size_t hex_bytes(uint8_t *out, size_t out_bytes, const char *hex);

#endif
