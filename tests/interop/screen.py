#!/usr/bin/env python3
"""A small strict terminal with a program in it, driven by lines of standard input.

    screen.py ROWSxCOLS PROGRAM [ARGUMENT...] <steps

    wait TEXT       until the screen has it
    gone TEXT       until the screen has it no more
    keys TEXT       typed; Python's escapes
    resize RxC      the window
    signal NAME     to the program
    run COMMAND     by the shell
    stopped         until the program has stopped itself; then it must have left the terminal as it was
    exit CODE       until the program ends with it; the same
    print           the screen, to standard output

It knows the few sequences that `wghub top` may use and takes anything else for garbage: other control
characters, other sequences, text beyond an edge. Exit: 0; 1 with one line on standard error, and the screen.
"""
import codecs
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

SECONDS = 60  # for a step; a machine with much else to do may need many
SEQUENCE = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")


class Garbage(Exception):
    pass


class Screen:
    def __init__(self, rows, cols):
        self.modes = {"1049": False, "25": True, "7": True}  # alternate, cursor, wrap
        self.styled = False
        self.resize(rows, cols)

    def resize(self, rows, cols):
        self.rows, self.cols = rows, cols
        self.old = True  # what comes may still be meant for the old size, until it is cleared
        self.at = (0, 0)
        self.clear()

    def clear(self):
        self.lines = [[" "] * self.cols for _ in range(self.rows)]

    def sequence(self, private, params, final):
        if private and params in self.modes and final in "hl":
            self.modes[params] = final == "h"
        elif final == "m" and not private:
            self.styled = params not in ("", "0")
        elif final == "H" and not private:
            row, col = (int(n) for n in (params or "1;1").split(";"))
            self.at = (row - 1, col - 1)
        elif final == "J" and params == "2":
            self.clear()
            self.old = False
        else:
            raise Garbage(f"sequence {private or ''}{params}{final}")

    def put(self, char):
        row, col = self.at
        if unicodedata.category(char) == "Cc" or char == "\x1b":
            raise Garbage(f"control character {char!r}")
        wide = 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if self.old:
            return
        if row >= self.rows or col + wide > self.cols:
            raise Garbage(f"{char!r} beyond the edge, at {row + 1},{col + 1} of {self.rows}x{self.cols}")
        for i in range(wide):
            self.lines[row][col + i] = char if i == 0 else ""
        self.at = (row, col + wide)

    def text(self):
        return "\n".join("".join(line) for line in self.lines)


class Terminal:
    def __init__(self, rows, cols, program):
        self.screen = Screen(rows, cols)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.rest = ""
        self.status = None
        self.outside = ""  # what was written outside the alternate screen
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.kill(os.getpid(), signal.SIGSTOP)  # until the window has its size
            os.execvp(program[0], program)
        os.waitpid(self.pid, os.WUNTRACED)
        self.before = termios.tcgetattr(self.fd)
        self.resize(rows, cols)
        os.kill(self.pid, signal.SIGCONT)

    def resize(self, rows, cols):
        self.screen.resize(rows, cols)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def take(self, text):
        self.rest += text
        while self.rest:
            if self.rest[0] == "\x1b":
                found = SEQUENCE.match(self.rest)
                if found is None:
                    if len(self.rest) > 16:
                        raise Garbage(repr(self.rest[:16]))
                    return
                self.screen.sequence(*found.groups())
                self.rest = self.rest[found.end() :]
                continue
            if self.screen.modes["1049"]:
                self.screen.put(self.rest[0])
            else:
                self.outside += self.rest[0]
            self.rest = self.rest[1:]

    def read(self, seconds):
        """Whether there is more to come."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.take(self.decoder.decode(data))
        return bool(data)

    def until(self, what, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                raise Garbage(f"{what}: not within {SECONDS} s")
            if not self.read(0.05):
                time.sleep(0.05)

    def has_changed(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid:
            self.status = status
        return pid != 0

    def is_left(self):
        return self.screen.modes == {"1049": False, "25": True, "7": True}

    def is_as_before(self):
        # What it wrote at last may still be on its way through the terminal.
        self.until("modes or a style are left", lambda: self.is_left() and not self.screen.styled and not self.rest)
        while select.select([self.fd], [], [], 0.1)[0] and self.read(0):
            pass
        if not self.is_left() or self.screen.styled or self.rest:
            raise Garbage("it goes on writing")
        # The kernel sets PENDIN itself where canonical mode comes back.
        after = termios.tcgetattr(self.fd)
        after[3] &= ~termios.PENDIN
        self.before[3] &= ~termios.PENDIN
        if after != self.before:
            raise Garbage("the terminal's settings are not as before")

    def step(self, line):
        word, _, rest = line.partition(" ")
        if word == "wait":
            self.until(line, lambda: rest in self.screen.text())
        elif word == "gone":
            self.until(line, lambda: rest not in self.screen.text())
        elif word == "keys":
            os.write(self.fd, codecs.decode(rest, "unicode_escape").encode("latin-1"))
        elif word == "resize":
            self.resize(*(int(n) for n in rest.split("x")))
        elif word == "signal":
            os.kill(self.pid, getattr(signal, "SIG" + rest))
        elif word == "run":
            subprocess.run(rest, shell=True, check=True)
        elif word == "stopped":
            self.until(line, self.has_changed)
            if not os.WIFSTOPPED(self.status):
                raise Garbage(f"it has ended: {self.status}")
            self.is_as_before()
        elif word == "exit":
            self.until(line, lambda: self.has_changed() and not os.WIFCONTINUED(self.status))
            if self.status != int(rest) << 8:
                raise Garbage(f"{line}: its status is {self.status}, it said: {self.outside}")
            self.is_as_before()
        elif word == "print":
            print(self.screen.text() if self.screen.modes["1049"] else self.outside)
        else:
            raise Garbage(f"no such step: {line}")


def main():
    rows, cols = (int(n) for n in sys.argv[1].split("x"))
    terminal = Terminal(rows, cols, sys.argv[2:])
    line = "start"
    try:
        for line in sys.stdin.read().splitlines():
            terminal.step(line)
    except (Garbage, UnicodeDecodeError, subprocess.CalledProcessError) as error:
        print(f"{shlex.quote(line)}: {error}\n{terminal.screen.text()}\n{terminal.outside}", file=sys.stderr)
        os.kill(terminal.pid, signal.SIGKILL)
        sys.exit(1)


main()
