#!/bin/bash
# test_examples.sh - each example of dataplane/examples, built as its first comment says, with the
# installed library and nothing else, and run. The peers of those with sockets are tests/demo/peer, on
# loopback. Needs no privilege.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/sandbox.sh
. tests/library/lib.sh

peer=$tree/build/$variant/tests/demo/peer
wghub=$tree/build/$variant/wghub
cp dataplane/examples/* "$src"
try make -s VARIANT="$variant" "build/$variant/tests/demo/peer" || { echo "peer: $reason" >&2; exit 1; }
for name in hub one two; do
	(umask 077; "$wghub" genkey >"$src/$name.key")
	"$wghub" pubkey <"$src/$name.key" >"$src/$name.pub"
done

# The command in the example's comment, with warnings.
build() { compile gcc -Wall -Wextra -Werror "$1.c" $(pkg --cflags --libs wghub) -o "$1"; }

free_port() {
	for port in $(shuf -i 20000-60000 -n 50); do
		grep -qi ":$(printf %04X "$port") " /proc/net/udp /proc/net/udp6 || return 0
	done
	reason="no free UDP port"
	return 1
}

# begin NAME ARGUMENTS... <config: in the background, what it says in $work/NAME.log.
begin() {
	LD_LIBRARY_PATH=$root/usr/lib "$src/$1" "${@:2}" <&0 >"$work/$1.log" 2>&1 &
}
# call NAME ADDRESS [ping TARGET COUNT]: a peer of 10.77.0.1.
call() { "$peer" "$src/$1.key" "$(cat "$src/hub.pub")" "$port" "${@:2}"; }
# The same in the background; for ever, if it has nothing to ping, and answers pings. Its pid is in $calling.
calling() {
	"$peer" "$src/$1.key" "$(cat "$src/hub.pub")" "$port" "${@:2}" >/dev/null 2>"$work/$1.log" &
	calling=$!
}
says() { grep -q "$2" "$work/$1.log"; }

test_memory_a_hub_and_two_peers_in_memory() {
	build memory || return
	[ "$(wc -l <dataplane/examples/memory.c)" -lt 150 ] || { reason="it has 150 lines or more"; return 1; }
	try env LD_LIBRARY_PATH="$root/usr/lib" "$src/memory" || return
	[ "$(grep -c hears: "$work/log")" = 2 ] || { reason="$(cat "$work/log")"; return 1; }
}

test_epoll_a_hub_on_a_loop_of_ones_own() {
	build epoll && free_port || return
	begin epoll "$port" 10.77.0.1 < <(cat "$src/hub.key"; echo "$(cat "$src/one.pub") 10.77.0.2"; echo "$(cat "$src/two.pub") 10.77.0.3")
	calling one 10.77.0.2
	try wait_for 60 says epoll "session with $(cat "$src/one.pub")" || { reason="no session: $(cat "$work/epoll.log")"; return 1; }
	try call two 10.77.0.3 ping 10.77.0.1 2 && try call two 10.77.0.3 ping 10.77.0.2 2
}

test_filter_a_policy_of_ones_own() {
	build filter && free_port || return
	begin filter "$port" 10.77.0.1 < <(cat "$src/hub.key"; echo "$(cat "$src/one.pub") 10.77.0.2 2"; echo "$(cat "$src/two.pub") 10.77.0.3 1")
	calling one 10.77.0.2
	# An engineer reaches a device, a device no engineer.
	try call two 10.77.0.3 ping 10.77.0.2 2 || return
	says filter refused && { reason="it refused a ping it should not"; return 1; }
	kill $calling
	calling two 10.77.0.3
	calling one 10.77.0.2 ping 10.77.0.3 1
	try wait_for 60 says filter "refused so far: 1" || { reason="it let a device ping an engineer: $(cat "$work/filter.log")"; return 1; }
}

test_python_a_hub_from_ctypes() {
	try python3 "$src/hub.py" "$root/usr/lib/libwghub.so.1" || return
	grep -q "hello back" "$work/log" || { reason="$(cat "$work/log")"; return 1; }
}

test_every_example_is_listed_in_the_readme() {
	local name
	for name in dataplane/examples/*.{c,py}; do
		grep -q "${name##*/}" dataplane/examples/README.md || { reason="${name##*/} is not"; return 1; }
	done
}

run_tests
