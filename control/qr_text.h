/* qr_text.h - a text as a QR code for a terminal: two modules to a character, one above the other.
 * libqrencode makes the code. Threads: any; no state.
 */
#ifndef CONTROL_QR_TEXT_H
#define CONTROL_QR_TEXT_H

#include "crypto/secret.h"

#include <stdio.h>

/* Light modules are drawn, dark ones are left, with a light edge of four around them: with colours
 * (ANSI) white on black whatever the terminal has; without, for a terminal that is dark. -EFBIG:
 * too long for any code (2953 bytes); -ENOMEM; -EIO: out does not take it. */
MUST_CHECK int qr_text(FILE *out, const char *text, size_t n, bool colours);

#endif
