#!/bin/bash
# badinput.sh - whatever is wrong, the program says it in one line that names what and where, ends
# with 1 (2 for wrong usage), and a hub that runs is not disturbed. What needs no privilege and no
# network is in tests/control/test_cli.c.
. "$(dirname "$0")/lib.sh"

# refused CODE WORD COMMAND...: that exit code, one line, and WORD in it.
refused() {
	local wanted=$1 word=$2 code=0
	shift 2
	in_ns hub timeout 60 "$@" >$T/refused.out 2>$T/refused || code=$?
	equal "$code" "$wanted" "exit code of $*: $(cat $T/refused)"
	equal "$(wc -l <$T/refused)" 1 "lines of $*: $(cat $T/refused)"
	must "'$*' does not name '$word': $(cat $T/refused)" grep -qF -- "$word" $T/refused
	must_not "'$*' says a key" grep -qF -- "$(cat $T/hub.key)" $T/refused
}

# A hub with a peer that talks; afterwards nothing about it may have changed.
before=
hub_that_runs() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	before=$(wg showconf hub0)
}
undisturbed() {
	kill -0 $hub_pid || fail "the hub ended"
	equal "$(wg showconf hub0)" "$before" "configuration of the hub that runs"
	ping_ok p1 "$(inner4 0)"
	equal "$(ls /run/wireguard)" "$(printf 'hub0.sock\nwg1.sock')" "sockets"
	must_not "an interface is left over: $(ip -n hub -br link)" \
		grep -qE '^(hub9|bad)' <<<"$(ip -n hub -br link)"
}

# conf NAME LINE...: a file with a good [Interface] and those lines.
conf() {
	local name=$1
	shift
	(
		umask 077
		printf '[Interface]\nPrivateKey = %s\n' "$(cat $T/hub.key)" >"$T/$name.conf"
		[ $# = 0 ] || printf '%s\n' "$@" >>"$T/$name.conf"
	)
}

test_wrong_usage() {
	hub_that_runs
	refused 2 --nonsense "$wghub" --nonsense hub9
	refused 2 --workers "$wghub" --workers 0 hub9
	refused 2 --mtu "$wghub" --mtu 100 hub9
	refused 2 --no-offload "$wghub" --no-offload=magic hub9
	refused 2 --aead "$wghub" --aead rot13 hub9
	refused 2 --address "$wghub" --no-tun --address 10.0.0.0.0 hub9
	refused 2 help "$wghub"
	refused 2 name "$wghub" -f
	refused 2 name "$wghub" hub9 hub8
	undisturbed
}

test_wrong_names() {
	hub_that_runs
	refused 2 hub-with-a-name-too-long "$wghub" -f hub-with-a-name-too-long
	refused 2 ../hub9 "$wghub" -f ../hub9
	refused 1 hub9 "$wghub" show hub9
	refused 1 hub9 "$wghub" down hub9
	refused 1 hub0 "$wghub" -f hub0
	refused 1 lo "$wghub" -f lo
	refused 1 to-p1 "$wghub" -f to-p1
	undisturbed
}

test_wrong_files() {
	hub_that_runs
	refused 1 /no/such.conf "$wghub" up /no/such.conf
	refused 1 "$T" "$wghub" up $T
	conf hub9
	chmod 644 $T/hub9.conf
	refused 1 hub9.conf "$wghub" up $T/hub9.conf
	chmod 600 $T/hub9.conf
	printf 'PrivateKey = short\n' >>$T/hub9.conf
	refused 1 hub9.conf:3 "$wghub" up $T/hub9.conf
	conf hub9 '[Peer]' 'PublicKey = nonsense'
	refused 1 hub9.conf:4 "$wghub" up $T/hub9.conf
	conf hub9 '[Peer]' "PublicKey = $(pub p1)" 'AllowedIPs = 10.0.0.0/33'
	refused 1 hub9.conf:5 "$wghub" up $T/hub9.conf
	conf hub9 '[Peer]' "PublicKey = $(pub p1)" 'Endpoint = nowhere'
	refused 1 hub9.conf:5 "$wghub" up $T/hub9.conf
	conf hub9 'ListenPort = 65536'
	refused 1 hub9.conf:3 "$wghub" up $T/hub9.conf
	conf hub9 'PostUp = rm -rf /'
	refused 1 hub9.conf:3 "$wghub" up $T/hub9.conf
	conf hub9 'Colour = blue'
	refused 1 hub9.conf:3 "$wghub" up $T/hub9.conf
	conf hub9 '[Peer]' "PublicKey = $(pub p1)" 'AllowedIPs = 10.7.0.0/24' \
		'[Peer]' "PublicKey = $(pub hub)" 'AllowedIPs = 10.7.0.5/24'
	refused 1 8 "$wghub" up $T/hub9.conf
	must "it does not name the first line: $(cat $T/refused)" grep -q 5 $T/refused
	head -c 3000 /dev/urandom >$T/hub9.conf
	refused 1 hub9.conf "$wghub" up $T/hub9.conf
	undisturbed
}

test_port_in_use() {
	hub_that_runs
	conf hub9 'ListenPort = 51820' 'Address = 10.99.77.1/24'
	refused 1 51820 "$wghub" up $T/hub9.conf
	in_ns hub socat -u UDP-RECV:40404 /dev/null &
	wait_for 60 listens hub -u 40404
	local code=0
	wg set hub0 listen-port 40404 2>$T/refused || code=$?
	must "wg could take a port in use" [ $code != 0 ]
	undisturbed
}

test_address_in_use() {
	hub_that_runs
	conf hub9 'ListenPort = 51999' 'Address = 10.99.77.1/24' '[Peer]' "PublicKey = $(pub p1)" 'AllowedIPs = 10.99.1.0/24'
	# A route that is there already belongs to somebody else: the hub says so or leaves it alone.
	local route
	route=$(ip -n hub route show 10.99.1.0/24)
	in_ns hub "$wghub" up $T/hub9.conf >/dev/null 2>&1 && in_ns hub "$wghub" down hub9
	equal "$(ip -n hub route show 10.99.1.0/24)" "$route" "the route to p1"
	undisturbed
}

test_no_tun_device() {
	hub_that_runs
	# The hub's namespace, with a /dev without net/tun.
	in_ns hub unshare -m bash -c "mount -t tmpfs none /dev && exec '$wghub' -f hub9" \
		2>$T/refused && fail "a hub without a TUN device"
	equal "$(wc -l <$T/refused)" 1 "lines: $(cat $T/refused)"
	must "it does not name the device: $(cat $T/refused)" grep -q /dev/net/tun $T/refused
	undisturbed
}

test_no_permission() {
	hub_that_runs
	local code=0
	install -m 755 "$wghub" $T/wghub
	in_ns hub setpriv --reuid=nobody --regid=nogroup --clear-groups $T/wghub -f hub9 2>$T/refused || code=$?
	equal $code 1
	equal "$(wc -l <$T/refused)" 1 "lines: $(cat $T/refused)"
	code=0
	setpriv --reuid=nobody --regid=nogroup --clear-groups $T/wghub show --socket-dir /run/wireguard hub0 2>$T/refused || code=$?
	equal $code 1 "exit code of show for nobody"
	equal "$(wc -l <$T/refused)" 1 "lines: $(cat $T/refused)"
	must "it does not say that it lacks permission: $(cat $T/refused)" \
		grep -qi -e 'permission' -e 'not allowed' -e root $T/refused
	undisturbed
}

test_directory_of_the_socket_that_cannot_be_made() {
	hub_that_runs
	: >$T/file
	refused 1 $T/file "$wghub" -f --socket-dir $T/file/dir hub9
	undisturbed
}

run_tests "$@"
