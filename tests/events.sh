#!/bin/bash
# events.sh - control/EVENTS.md, the manual page and the code name the same events, and each one is asked for by
# a test. Prints what is wrong.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

names() { grep -oE '"[a-z]+(_[a-z]+)*"' | tr -d '"' | sort -u; }
# Of calls that tell one; a call may go on in the next lines, and name one of three.
told=$(cat control/*.c | tr '\n' ' ' |
	grep -oE 'journal_(say|peer)\( *[^;]*' | sed 's/, *"{.*//; s/, *&.*//' | names; echo events_lost)
told=$(echo "$told" | sort -u)
listed=$(sed -n '/^|/s/^| \([^|]*\)|.*/\1/p' control/EVENTS.md | grep -oE '`[a-z_]+`' | tr -d '`' | sort -u)
manual=$(sed -n '/^# EVENTS/,/^# [^E]/p' packaging/man/wghub.1.scd | grep -oE '^\*[a-z_\*, ]+' | grep -oE '[a-z]+(_[a-z]+)*' | sort -u)
n_wrong=0

compare() {
	local differences
	differences=$(comm -3 <(echo "$2") <(echo "$3") | tr -d '\t' | tr '\n' ' ')
	[ -n "$2" ] && [ -z "$differences" ] && return
	echo "$1: $differences"
	n_wrong=$((n_wrong + 1))
}

compare "not both in EVENTS.md and in the code" "$listed" "$told"
compare "not both in EVENTS.md and in wghub.1" "$listed" "$manual"
for name in $listed; do
	grep -qE "said $name|\"$name\"|\\\\\"$name\\\\\"" tests/interop/*.sh tests/factory/*.sh tests/control/test_*.c || {
		echo "no test asks for $name"
		n_wrong=$((n_wrong + 1))
	}
done
[ $n_wrong = 0 ]
