/* hex.c - see hex.h. */
#include "tests/lib/hex.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static void refuse(const char *hex)
{
	fprintf(stderr, "bad test vector: %s\n", hex);
	abort();
}

static uint8_t digit(char c, const char *hex)
{
	if (!isxdigit((unsigned char)c))
		refuse(hex);
	return (uint8_t)(isdigit((unsigned char)c) ? c - '0'
						   : tolower((unsigned char)c) - 'a' + 10);
}

size_t hex_bytes(uint8_t *out, size_t out_bytes, const char *hex)
{
	size_t n = 0;

	for (const char *p = hex; *p; p++) {
		if (isspace((unsigned char)*p))
			continue;
		if (n == out_bytes)
			refuse(hex);
		out[n] = (uint8_t)(digit(p[0], hex) << 4);
		out[n++] |= digit(*++p, hex);
	}
	return n;
}
