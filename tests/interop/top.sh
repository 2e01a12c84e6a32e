#!/bin/bash
# top.sh - `wghub top` beside a hub with stock peers and traffic: as plain text its numbers are those of the hub;
# in a terminal (screen.py) it draws within the edges, follows its window, and leaves all as it was.
. "$(dirname "$0")/lib.sh"

# The program as TESTS see it: no terminal, plain text.
top() { "$wghub" top "$@"; }

# screen ROWSxCOLS [OPTION...] <STEPS: the program on a terminal.
screen() {
	local size=$1
	shift
	TERM=xterm python3 tests/interop/screen.py "$size" "$wghub" top "$@"
}
# With its complaint as the reason.
on_screen() { screen "$@" 2>$T/screen.log || fail "$(head -1 $T/screen.log)"; }

# hub0 from a file, so that its N peers have names.
named_hub() {
	local n
	install -m 600 /dev/null $T/hub0.conf
	{
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24, %s/64\n' \
			"$(cat $T/hub.key)" "$(inner4 0)" "$(inner6 0)"
		for ((n = 1; n <= $1; n++)); do
			printf '[Peer]\n# printer-%s\nPublicKey = %s\nAllowedIPs = %s/32, %s/128\n' \
				"$n" "$(pub "p$n")" "$(inner4 "$n")" "$(inner6 "$n")"
		done
	} >$T/hub0.conf
	hub_run
}
hub_run() {
	ip netns exec hub "$wghub" up -f $T/hub0.conf >>$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 listens hub -u 51820 || fail "the hub does not start: $(tail -3 $T/hub0.log)"
	wait_for 60 wg show hub0 || fail "the hub does not answer"
}

# A peer's columns in the plain text: line NAME
line() { grep "^$1 " $T/top; }
# Bytes as top writes them.
bytes() {
	awk -v n="$1" 'BEGIN { split("B KiB MiB GiB", unit); u = 1
		while (n >= 1023.5) { n /= 1024; u++ }
		f = u == 1 || n >= 99.95 ? "%.0f %s" : n >= 9.995 ? "%.1f %s" : "%.2f %s"
		printf f, n, unit[u] }'
}
transfer() { wg show hub0 transfer | awk -v k="$(pub "$1")" -v c="$2" '$1 == k { print $c }'; }

test_plain_text_has_the_hubs_numbers() {
	world 3
	named_hub 3
	peer 1
	peer 2
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
	random_file file 8
	send_tcp p1 p2 "$(inner4 2)" $T/file
	in_ns p1 ping -n -q -c 3 -i 0.2 -W 1 10.42.42.99 >/dev/null || true # nobody's address
	# Keepalives may come between two looks.
	numbers_agree() {
		local n
		top hub0 --once --interval 0 >$T/top
		for n in 1 2; do
			grep -q " $(bytes "$(transfer p$n 2)") " <(line printer-$n) || return
			grep -q " $(bytes "$(transfer p$n 3)")$" <(line printer-$n) || return
		done
		grep -q "^ *$(hub_drops hub0 no_route) *-  no_route " $T/top
	}
	wait_for 60 numbers_agree || fail "other numbers: $(cat $T/top; wg show hub0 transfer)"
	must_not "there are control characters" grep -q '[[:cntrl:]]' <(tr -d '\n' <$T/top)
	must "the hub: $(head -1 $T/top)" grep -q '^hub0  up .*  port 51820  AEAD ' $T/top
	must "its peers: $(cat $T/top)" grep -q '^Peers   2 of 3 online ' $T/top
	local n
	for n in 1 2; do
		must "printer-$n address" grep -q " $(inner4 $n), $(inner6 $n) " <(line printer-$n)
		must "printer-$n endpoint" grep -q " $(endpoint_of hub0 p$n) *online " <(line printer-$n)
		must "printer-$n has a rate after one answer" grep -q ' -  *-  ' <(line printer-$n)
	done
	must "printer-3" grep -q ' offline      never ' <(line printer-3)
	# Without an interface's name, and named by its option.
	must "the only hub" grep -q '^hub0 ' <(top -i 0 --once)
	must "by option" grep -q '^hub0 ' <(top -i 0 --once -n hub0)
}

# What top says of p1's traffic lies within what came between a look before and one after.
test_rates_are_those_of_the_traffic() {
	world 2
	named_hub 2
	peer 1
	peer 2
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
	in_ns p1 ping -n -q -s 1000 -i 0.01 -W 1 "$(inner4 0)" >/dev/null &
	local pinging=$! before after rate
	# The first ones may still be on their way to a busy hub, all may come in a part of the second, and p2
	# keeps its session alive.
	rates_fit() {
		before=$(transfer p1 2)
		top hub0 --interval 1 >$T/top
		after=$(transfer p1 2)
		rate=$(line printer-1 | awk '{ for (i = 1; i <= NF; i++) if ($i == "online") {
			n = $(i + 3) ~ /^[0-9.]+[kMG]?$/ ? $(i + 3) : $(i + 2)
			k = n ~ /k$/ ? 1000 : n ~ /M$/ ? 1000000 : 1
			sub(/[kM]$/, "", n); printf "%d", n * k } }')
		[ "$rate" -gt 0 ] && [ "$rate" -le $(((after - before) * 8 * 102 / 100)) ] &&
			grep -qE ' online .* 0 +0 ' <(line printer-2)
	}
	wait_for 60 rates_fit ||
		fail "$rate bit/s, and $((after - before)) bytes came; or printer-2 is not silent: $(cat $T/top)"
	kill $pinging
	must "the busiest is not first: $(cat $T/top)" grep -q -A 1 '^PEER' $T/top
	equal "$(grep -A 1 '^PEER' $T/top | tail -1 | cut -d' ' -f1)" printer-1
	must "totals" grep -qE '^In +[1-9]' $T/top
}

test_screen_follows_its_window_and_q_leaves_it_clean() {
	world 2
	named_hub 2
	peer 1
	ping_ok p1 "$(inner4 0)"
	LC_ALL=C.UTF-8 on_screen 24x80 hub0 -i 0.2 <<-'STEPS'
		wait printer-1
		wait 1 of 2 online
		wait HANDSHAKE
		wait peak
		resize 40x200
		wait ENDPOINT
		wait printer-2
		resize 3x10
		wait PEER
		resize 1x1
		wait h
		resize 2x200
		wait AEAD
		resize 24x40
		wait printer-1
		keys ?
		wait Ctrl-C
		keys x
		wait printer-1
		keys /r-2\r
		gone printer-1
		wait printer-2
		keys \x1b
		wait printer-1
		keys sss
		wait sort: handshake
		keys p
		wait PAUSED
		keys p\x1b[B\x1b[6~
		gone PAUSED
		keys q
		exit 0
	STEPS
}

test_signals_leave_the_terminal_as_it_was() {
	world 1
	named_hub 1
	local name
	for name in TERM INT HUP QUIT; do
		on_screen 24x80 hub0 <<-STEPS
			wait printer-1
			signal $name
			exit 0
		STEPS
	done
	on_screen 24x80 hub0 <<-'STEPS'
		wait printer-1
		keys \x03
		exit 0
	STEPS
	on_screen 24x80 hub0 -i 0.2 <<-'STEPS'
		wait printer-1
		signal TSTP
		stopped
		resize 12x60
		signal CONT
		wait printer-1
		signal TSTP
		stopped
		signal CONT
		wait printer-1
		keys q
		exit 0
	STEPS
}

test_hub_that_dies_is_waited_for() {
	world 1
	named_hub 1
	peer 1 persistent-keepalive 1
	ping_ok p1 "$(inner4 0)"
	on_screen 24x80 hub0 -i 0.2 <<-STEPS
		wait 1 of 1 online
		run kill -KILL $hub_pid
		wait no hub called hub0 runs here
		wait printer-1
		wait waiting: 
		run ip netns exec hub "$wghub" up -f $T/hub0.conf >>$T/hub0.log 2>&1 & echo \$! >$T/hub0.pid
		gone waiting: 
		wait printer-1
		run kill -STOP \$(cat $T/hub0.pid)
		keys ?
		wait any key ends it
		keys xq
		exit 0
		run kill -CONT \$(cat $T/hub0.pid)
	STEPS
	"$wghub" down hub0
	hub_pids=()
}

# Whoever holds the socket, and however peers are called.
test_no_answer_can_write_to_the_terminal() {
	{
		printf 'version=\e[2J\naead=\x9b1;1H\nlisten_port=1\noffload=\e]0;owned\a\ndrop=\e[31mred 1\nuptime_ms=1\n'
		printf 'public_key=%064d\nname=\e[5;5Hevil\x07\n' 1
		printf 'allowed_ip=\e(0\nendpoint=\rback\b\b\nrx_bytes=\e[1m\n'
		printf 'public_key=%064d\nname=日本語\xe2\x80\xae\xcc\x81\n' 2
		printf 'errno=0\n\n'
	} >$T/answer
	socat UNIX-LISTEN:/run/wireguard/evil.sock,fork SYSTEM:"head -c 11 >/dev/null; cat $T/answer" &
	wait_for 60 test -S /run/wireguard/evil.sock
	local locale
	for locale in C C.UTF-8; do
		LC_ALL=$locale on_screen 24x160 evil -i 0.2 <<-'STEPS'
			wait \x1b[5;5Hevil\x07
			wait \x1b[31mred
			keys q
			exit 0
		STEPS
		LC_ALL=$locale top evil -i 0 >$T/top
		must_not "control characters in plain text: $(cat -v $T/top)" grep -qP '[\x00-\x09\x0b-\x1f\x7f\x9b]' $T/top
	done
	kill $!
}

test_dumb_terminal_and_no_hub_get_plain_words() {
	local code=0
	top hub7 2>$T/said || code=$?
	equal $code 1 "exit code"
	equal "$(wc -l <$T/said)" 1 "lines: $(cat $T/said)"
	must "what it says: $(cat $T/said)" grep -q 'no hub called hub7 runs here' $T/said
	world 1
	named_hub 1
	TERM=dumb python3 tests/interop/screen.py 24x80 "$wghub" top hub0 -i 0.2 2>$T/screen.log >$T/dumb <<-'STEPS' ||
		exit 0
		print
	STEPS
		fail "$(head -1 $T/screen.log)"
	must "no plain text: $(cat $T/dumb)" grep -q '^printer-1 .*offline' $T/dumb
	NO_COLOR=1 on_screen 24x80 hub0 <<-'STEPS'
		wait printer-1
		keys q
		exit 0
	STEPS
}

run_tests "$@"
