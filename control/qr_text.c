/* qr_text.c - see qr_text.h. */
#include "control/qr_text.h"

#include <errno.h>
#include <qrencode.h>

#define EDGE 4 /* modules; ISO/IEC 18004 asks for it */
#define BYTES_MAX 2953 /* of version 40, level L */

static bool is_dark(const QRcode *code, int x, int y)
{
	if (x < 0 || y < 0 || x >= code->width || y >= code->width)
		return false;
	return code->data[y * code->width + x] & 1;
}

/* The row below the last one is outside the code and its edge: nothing is drawn there. */
static bool is_light(const QRcode *code, int x, int y)
{
	return y < code->width + EDGE && !is_dark(code, x, y);
}

static void put_row(FILE *out, const QRcode *code, int y, bool colours)
{
	static const char *const halves[2][2] = {{" ", "\u2584"}, {"\u2580", "\u2588"}};

	fputs(colours ? "\033[97;40m" : "", out);
	for (int x = -EDGE; x < code->width + EDGE; x++)
		fputs(halves[is_light(code, x, y)][is_light(code, x, y + 1)], out);
	fputs(colours ? "\033[0m\n" : "\n", out);
}

int qr_text(FILE *out, const char *text, size_t n, bool colours)
{
	QRcode *code;

	if (n > BYTES_MAX)
		return -EFBIG;
	code = QRcode_encodeData((int)n, (const unsigned char *)text, 0, QR_ECLEVEL_L);
	if (!code)
		return errno == ERANGE ? -EFBIG : -ENOMEM;
	for (int y = -EDGE; y < code->width + EDGE; y += 2)
		put_row(out, code, y, colours);
	secret_wipe(code->data, (size_t)code->width * (size_t)code->width);
	QRcode_free(code);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
