#!/bin/bash
# test_matrix.sh - who can start to whom: client, stock device, wide device and the hub's host, each
# to each, by TCP, UDP, UDP in fragments and ping, over IPv4 and IPv6, with and without TUN, with the
# default policy and with one that allows everything; and what the receiver sees as the sender.
. "$(dirname "$0")/lib.sh"

members=(c1 c2 s1 s2 w1 w2)
BYTES=${BYTES:-300000}

# FROM: TO and what is expected: no, the sender's own address (self), or the hub's (hub).
# By default a client starts to devices and to the host, the host to all.
default_table="
c1: c2=no s1=hub w1=self
s1: c1=no s2=no w1=no
w1: c1=no s1=no w2=no
"
# A stock device's packets to others do not even leave it, whatever the hub allows.
open_table="
c1: c2=self s1=hub w1=self
s1: c1=no s2=no w1=no
w1: c1=self s1=hub w2=self
"

# row FROM WHO=WHAT...: to all at once, by both families
row() {
	local from=$1 who to what addr words=() wanted= got
	shift
	for who in "$@"; do
		to=${who%=*} what=${who#*=}
		for addr in addr4 addr6; do
			case $what in
			no) wanted+="$to/$addr no"$'\n' ;;
			hub) wanted+="$to/$addr yes $($addr hub)"$'\n' ;;
			self) wanted+="$to/$addr yes $($addr "$from")"$'\n' ;;
			esac
			[ "$what" = no ] || what=yes
			words+=("$to/$addr $($addr "$to") $what")
			what=${who#*=}
		done
	done
	got=$(in_ns "$(ns_of "$from")" "$traffic" cells "$BYTES" "${words[@]}") || fail "$from: traffic.py ends with $?"
	equal "$got" "$(sort <<<"${wanted%$'\n'}")" "from $from"
}

# The hub is the first hop, the receiver the second; whether its address was translated or not.
two_hops() {
	local addr
	for addr in addr4 addr6; do
		hops "$(ns_of "$1")" "$($addr "$2")" "$($addr hub)" "$($addr "$2")"
	done
}

table() {
	local from rest
	while IFS=: read -r from rest; do
		# shellcheck disable=SC2086
		[ -z "$from" ] || row "$from" $rest
	done <<<"$1"
}

begin() { # [HUB-OPTION...]
	people "${members[@]}"
	hub_up "$@"
	everybody_is_there "${members[@]}"
}

test_by_default_clients_reach_every_device_as_it_is() {
	policy
	begin
	table "$default_table"
	two_hops c1 s1
	two_hops c1 w1
	row hub c1=self s1=self w1=self
	ping_ok p3 "$(addr4 hub)"
	BYTES=50000000 row c1 s1=hub # 100 MB each way
}

test_what_is_allowed_reaches_all_but_what_dies_in_a_stock_device() {
	policy 'allow any -> any'
	begin
	table "$open_table"
	two_hops w1 s1
	two_hops w1 c1
}

test_without_a_tun_the_same_holds() {
	policy
	begin --no-tun
	table "$default_table"
	two_hops c1 s1
	ping_ok p3 "$(addr4 hub)"
	ping_ok p5 "$(addr6 hub)"
}

test_without_a_tun_what_is_allowed_reaches_all() {
	policy 'allow any -> any'
	begin --no-tun
	table "$open_table"
}

run_tests "$@"
