# lib.sh - what the interoperation tests share: a small world of namespaces, the hub, stock peers.
#
# A script of tests/interop sources this file, defines functions test_*, and ends with
# `run_tests "$@"`. Each test starts with an empty world in the script's sandbox and prints
# "ok NAME" or "not ok NAME: why". Inside a test any command that fails ends it; `fail WHY` says more.
# At its end the hubs it started get SIGTERM and must end well.
#
# The world: namespace "hub" has a cable to each of "p1", "p2", ...
#   outer  hub 10.99.N.1 fd99:N::1   pN 10.99.N.2 fd99:N::2    (port 51820 at the hub)
#   inner  hub 10.42.42.1 fd42::1    pN 10.42.42.(N+1) fd42::(N+1)
# WGHUB names another program than ./wghub; TESTBIN another folder of test programs.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
. tests/lib/sandbox.sh
sandbox "$@"
[ "${1-}" != --inside ] || shift

wghub=$PWD/wghub
[ -z "${WGHUB-}" ] || wghub=$(realpath "$WGHUB")
bin=$(realpath "${TESTBIN:-build/release/tests/interop}")
T=/run/tmp
TEST_SECONDS=${TEST_SECONDS:-600} # nothing takes that long, but a busy machine may be slow
export LC_ALL=C WG_HIDE_KEYS=never
# A sanitizer's report ends the program, and its text is in the log that a failed test prints.
export ASAN_OPTIONS=abort_on_error=0:detect_stack_use_after_return=1
export TSAN_OPTIONS=halt_on_error=0
hub_pids=()

# ---- results ----

# The first reason counts: what fails afterwards is a consequence.
fail() {
	[ -e $T/reason ] || echo "$*" >$T/reason
	exit 1
}

# must WHY COMMAND...
must() {
	local why=$1
	shift
	"$@" || fail "$why"
}

# must_not WHY COMMAND...
must_not() {
	local why=$1
	shift
	! "$@" || fail "$why"
}

equal() { [ "$1" = "$2" ] || fail "'$1' is not '$2'${3:+ ($3)}"; }

# ---- the world ----

in_ns() {
	local ns=$1
	shift
	ip netns exec "$ns" "$@"
}

# inner4 N, inner6 N: of pN, 0 is the hub.
inner4() { echo "10.42.42.$(($1 + 1))"; }
inner6() { echo "fd42::$(($1 + 1))"; }

make_key() {
	(umask 077; wg genkey >"$T/$1.key")
	wg pubkey <"$T/$1.key" >"$T/$1.pub"
}
pub() { cat "$T/$1.pub"; }

new_ns() {
	ip netns add "$1"
	ip -n "$1" link set lo up
}

cable() {
	ip link add "to-p$1" netns hub type veth peer name cable netns "p$1"
	ip -n hub addr add "10.99.$1.1/24" dev "to-p$1"
	ip -n hub addr add "fd99:$1::1/64" dev "to-p$1" nodad
	ip -n "p$1" addr add "10.99.$1.2/24" dev cable
	ip -n "p$1" addr add "fd99:$1::2/64" dev cable nodad
	ip -n hub link set "to-p$1" up
	ip -n "p$1" link set cable up
}

# world N: the hub's namespace and those of N peers, keys for all. The hub's kernel forwards nothing.
world() {
	local n
	new_ns hub
	in_ns hub sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	make_key hub
	for ((n = 1; n <= $1; n++)); do
		new_ns "p$n"
		cable "$n"
		make_key "p$n"
	done
}

# ---- the hub ----

# conf_file FILE N: for `wghub up`, with N peers whose names are p1, p2, ...; for its owner only.
conf_file() {
	local n
	(
		umask 077
		exec >"$1"
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24, %s/64\n' \
			"$(cat $T/hub.key)" "$(inner4 0)" "$(inner6 0)"
		for ((n = 1; n <= $2; n++)); do
			printf '[Peer]\n# p%s\nPublicKey = %s\nAllowedIPs = %s/32, %s/128\n' \
				"$n" "$(pub "p$n")" "$(inner4 "$n")" "$(inner6 "$n")"
		done
	)
}

# hub_start NAME [OPTION...]: in the foreground of namespace $hub_ns, log in $T/NAME.log; pid in
# $hub_pid.
hub_ns=hub
hub_start() {
	local name=$1
	shift
	ip netns exec $hub_ns "$wghub" -f "$@" "$name" >"$T/$name.log" 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 60 wg show "$name" || fail "the hub does not start: $(tail -3 "$T/$name.log")"
}

# hub_set_up [NAME]: key, port, addresses, link.
hub_set_up() {
	local name=${1:-hub0}
	wg set "$name" private-key $T/hub.key listen-port 51820
	ip -n hub addr add "$(inner4 0)/24" dev "$name"
	ip -n hub addr add "$(inner6 0)/64" dev "$name" nodad
	ip -n hub link set "$name" up
	wait_for 60 eval "ip -n hub -6 route show table local | grep -q '^local $(inner6 0) '"
}

# hub_add N [WG-SET-WORDS...]: pN as a peer of hub0.
hub_add() {
	local n=$1
	shift
	wg set hub0 peer "$(pub "p$n")" allowed-ips "$(inner4 "$n")/32,$(inner6 "$n")/128" "$@"
}

# hub N [OPTION...]: all of it: a hub hub0 with its N peers.
hub() {
	local n peers=$1
	shift
	hub_start hub0 "$@"
	hub_set_up
	for ((n = 1; n <= peers; n++)); do hub_add "$n"; done
}

# One counter of `wghub show --json`, 0 if it is not there: hub_drops hub0 no_route
hub_drops() {
	"$wghub" show "$1" --json | sed -n "s/.*\"$2\": *\([0-9]*\).*/\1/p" | head -1 | grep . || echo 0
}

# ---- stock peers ----

# wggo N [PORT]: wireguard-go in pN, interface wgN, addresses, up; no peer yet.
wggo() {
	in_ns "p$1" wireguard-go "wg$1" >"$T/wg$1.log" 2>&1
	wait_for 60 wg show "wg$1" || fail "wireguard-go does not start"
	wg set "wg$1" private-key "$T/p$1.key" listen-port "${2:-0}"
	ip -n "p$1" addr add "$(inner4 "$1")/24" dev "wg$1"
	ip -n "p$1" addr add "$(inner6 "$1")/64" dev "wg$1" nodad
	# While the machine lets it wait, nothing is lost in front of it.
	ip -n "p$1" link set "wg$1" txqueuelen 10000 up
	# The kernel takes an IPv6 address into service a moment after the link is up.
	wait_for 60 eval "ip -n p$1 -6 route show table local | grep -q '^local $(inner6 "$1") '"
}

# peer N [WG-SET-WORDS...]: the same, with the hub as its peer. Once more for the same N: the session
# is forgotten and begins anew.
peer() {
	local n=$1
	shift
	if [ -S "/run/wireguard/wg$n.sock" ]; then
		wg set "wg$n" peer "$(pub hub)" remove
	else
		wggo "$n"
	fi
	wg set "wg$n" peer "$(pub hub)" allowed-ips 10.42.42.0/24,fd42::/64 \
		endpoint "10.99.$n.1:51820" "$@"
}

# Last handshake of a peer at an interface, in seconds since 1970: handshake_at hub0 p1
# What a hub or interface received from a peer since it has it. A peer that is made anew begins at 0;
# the time of the handshake says less, because wireguard-go may repeat one that has succeeded.
received_from() { wg show "$1" transfer | awk -v k="$(pub "$2")" '$1 == k { print $2 }'; }
handshake_at() { wg show "$1" latest-handshakes | awk -v k="$(pub "$2")" '$1 == k { print $2 }'; }
has_handshake() { [ "$(handshake_at "$1" "$2")" -gt 0 ]; }
# same_sessions AFTER BEFORE BEGIN: two looks at the times of handshakes are equal, the first one at
# $SECONDS = BEGIN. After two minutes they may be renewed, which a busy machine may need for a test.
same_sessions() { [ $((SECONDS - $3)) -ge 100 ] || equal "$1" "$2" "times of handshakes"; }
endpoint_of() { wg show "$1" endpoints | awk -v k="$(pub "$2")" '$1 == k { print $2 }'; }

# ---- traffic ----

# ping_ok NS ADDRESS [PING-OPTION...]: there is an answer (the first packets may wait for a handshake).
ping_ok() { wait_for 60 in_ns "$1" ping -n -q -c 1 -W 2 "${@:3}" "$2" || fail "$1 cannot ping $*"; }
# ping_says NS ADDRESS PATTERN [PING-OPTION...]: what ping says of it comes to have such a line.
ping_says() {
	says_it() {
		in_ns "$1" ping -n -c 1 -W 2 "${@:4}" "$2" >$T/ping.log 2>&1 || true
		grep -q "$3" $T/ping.log
	}
	wait_for 60 says_it "$@" || fail "$1 is not told of $2: $(cat $T/ping.log)"
}
# hops NS ADDRESS HOP...: the way there leads by these.
hops() {
	lead_there() {
		local n=0 hop
		in_ns "$1" traceroute -n -q 1 -w 3 -m 3 "$2" >$T/trace.log 2>&1 || return
		for hop in "${@:3}"; do
			n=$((n + 1))
			grep -q "^ *$n  $hop " $T/trace.log || return
		done
	}
	wait_for 60 lead_there "$@" || fail "from $1 to $2 these are no hops: ${*:3}: $(cat $T/trace.log)"
}
# For what must not pass: on a busy machine one that must may come late.
ping_once() { in_ns "$1" ping -n -q -c 1 -W 1 "$2" >/dev/null; }

# flow_begin NS ADDRESS [PING-OPTION...], flow_end N: pings until the Nth or a later one is answered; then
# $lost says how many of the first N were not. ping's own count is no good: it does not wait for the
# last answers longer than twice what others took.
flow_begin() {
	in_ns "$1" stdbuf -oL ping -n "${@:3}" "$2" >$T/flow.out 2>&1 &
	flow_pid=$!
}
flow_answers() { sed -n 's/.*icmp_seq=\([0-9]*\) \(ttl\|hlim\).*/\1/p' $T/flow.out; }
flow_last() { flow_answers | tail -1 | grep . || echo 0; }
flow_reached() { [ "$(flow_last)" -ge "$1" ]; }
flow_end() {
	wait_for 200 flow_reached "$1" || fail "ping $1 is not answered: $(tail -1 $T/flow.out)"
	kill -TERM $flow_pid
	wait $flow_pid 2>/dev/null || true
	lost=$(flow_answers | awk -v n="$1" '$1 <= n && !seen[$1]++ { got++ } END { print n - got }')
}

port=4000
# send_tcp FROM TO ADDRESS FILE: ADDRESS is TO's. The bytes must arrive as they are.
send_tcp() {
	local copy=$T/received family=4
	[ "${3//:/}" = "$3" ] || family=6
	port=$((port + 1))
	rm -f "$copy"
	in_ns "$2" timeout 60 socat -u "TCP$family-LISTEN:$port" "CREATE:$copy" &
	local receiver=$!
	wait_for 60 listens "$2" -t $port || fail "the receiver does not listen"
	in_ns "$1" timeout 60 socat -u "FILE:$4" "TCP$family:${3/#*:*/[$3]}:$port" ||
		fail "TCP from $1 to $3 failed"
	wait $receiver || fail "the receiver of $1's TCP stream failed"
	same_file "$4" "$copy"
}

# The same with datagrams (flow.c repeats lost ones); OPTION may be gso.
send_udp() {
	local copy=$T/received
	port=$((port + 1))
	rm -f "$copy"
	in_ns "$2" timeout 60 "$bin/flow" receive $port "$copy" &
	local receiver=$!
	wait_for 60 listens "$2" -u $port || fail "the receiver does not listen"
	in_ns "$1" timeout 60 "$bin/flow" send "$3" $port "$4" ${5-} || fail "UDP from $1 to $3 failed"
	wait $receiver || fail "the receiver of $1's datagrams failed"
	same_file "$4" "$copy"
}

listens() { in_ns "$1" ss -Hln "$2" "sport = :$3" | grep -q .; }
same_file() { equal "$(sha256sum <"$2")" "$(sha256sum <"$1")" "SHA-256 of what was received"; }
# random_file NAME MIB
random_file() { head -c $(($2 << 20)) /dev/urandom >"$T/$1"; }

# ---- running ----

# The hubs of a test end on request and without a complaint of a sanitizer.
hubs_end() {
	local pid
	for pid in "${hub_pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in "${hub_pids[@]}"; do
		wait "$pid" || fail "a hub ended with code $?"
	done
	! grep -slE 'Sanitizer|runtime error' $T/*.log || fail "a sanitizer complains"
}

one_test() {
	set -eE
	trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
	"$1"
	hubs_end
}

# Everything a test left, also when it was ended in the middle. This is process 1 of the sandbox:
# "all" are the processes of this script.
clean() {
	[ $$ = 1 ] || exit 1
	kill -KILL -1 2>/dev/null
	wait 2>/dev/null
	ip -all netns delete 2>/dev/null
	rm -rf /run/wireguard/* "${T:?}"/*
}

run_tests() {
	local name code n_failed=0
	[ "${1-}" != --inside ] || shift
	for name in ${*:-$(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$0")}; do
		(one_test "$name") >$T/test.out 2>&1 &
		local test=$!
		(
			sleep "$TEST_SECONDS"
			echo "it takes longer than $TEST_SECONDS s" >$T/reason
			kill -KILL $test
		) 2>/dev/null &
		disown
		wait $test
		code=$?
		if [ $code = 0 ]; then
			echo "ok $name"
		else
			n_failed=$((n_failed + 1))
			echo "not ok $name: $(cat $T/reason 2>/dev/null || echo "exit code $code")"
			for log in $T/test.out $T/*.log; do
				[ -e "$log" ] && grep -qv '[│┌└]' "$log" || continue # wireguard-go's greeting
				echo "# ${log##*/}:"
				grep -v '[│┌└]' "$log" | if grep -q 'Sanitizer:' "$log"; then
					grep -m 1 -A 60 'Sanitizer:'
				else
					tail -25
				fi | sed 's/^/#   /'
			done
		fi
		clean
	done
	[ $n_failed = 0 ]
	exit
}
