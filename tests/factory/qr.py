#!/usr/bin/python3
"""qr.py - the QR code that `wghub client add --qr` printed, from standard input to a picture (PGM) on
standard output, for zbarimg: a character is two modules, one above the other; drawn is light."""

import re
import sys

SCALE = 6
HALVES = {" ": (0, 0), "▄": (0, 255), "▀": (255, 0), "█": (255, 255)}

lines = [re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip("\n")) for line in sys.stdin]
lines = [line for line in lines if line and all(c in HALVES for c in line)]
rows = []
for line in lines:
    for half in (0, 1):
        rows.append([HALVES[c][half] for c in line])
if not rows:
    sys.exit("qr.py: no code in the input")
size = len(rows[0])
rows = rows[:size]  # below the last one nothing is drawn
print("P2\n%d %d\n255" % (size * SCALE, size * SCALE))
for row in rows:
    text = " ".join(" ".join([str(c)] * SCALE) for c in row)
    for _ in range(SCALE):
        print(text)
