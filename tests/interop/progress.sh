#!/bin/bash
# progress.sh - commands that wait for a hub say so on a terminal, leave nothing behind, and are silent elsewhere.
. "$(dirname "$0")/lib.sh"

# A hub that thinks for SECONDS about whatever it is asked: slow_hub SECONDS
slow_hub() {
	printf 'outcome=ok\ndevices=2\nerrno=0\n\n' >$T/answer
	rm -f /run/wireguard/slow.sock
	socat UNIX-LISTEN:/run/wireguard/slow.sock,fork SYSTEM:"head -c 12 >/dev/null; sleep $1; cat $T/answer" &
	wait_for 60 test -S /run/wireguard/slow.sock
}

# What a terminal gets of a command, control characters shown: on_terminal WORD...
on_terminal() { TERM=xterm script -qec "$wghub $*" /dev/null </dev/null | cat -v >$T/seen; }

test_waiting_is_shown_each_second_and_taken_away() {
	slow_hub 3
	on_terminal sync -n slow
	must "it does not count: $(cat $T/seen)" grep -q '\^M\^\[\[Kthe hub asks the Factory, 1 s.*, 2 s' $T/seen
	# The last thing on that line is the answer.
	must "the line is left: $(cat $T/seen)" grep -q '\^M\^\[\[Ksynced: 2 devices' $T/seen
	on_terminal show slow
	must "show: $(cat $T/seen)" grep -q 'waiting for the hub, 2 s' $T/seen
}

test_no_terminal_gets_no_progress() {
	slow_hub 2
	equal "$("$wghub" sync -n slow 2>&1)" "synced: 2 devices, 0 clients; 0 added, 0 changed, 0 removed"
	TERM=dumb script -qec "$wghub sync -n slow" /dev/null </dev/null >$T/seen
	equal "$(tr -d '\r' <$T/seen)" "synced: 2 devices, 0 clients; 0 added, 0 changed, 0 removed"
}

run_tests "$@"
