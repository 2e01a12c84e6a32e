#!/bin/bash
# container.sh - runs as root of an unprivileged container that deb.sh has made: root here is nobody outside.
# The hub as people start it there, without systemd. Prints as inside.sh does.
. /tests/lib.sh
mkdir -p /run/wireguard

hub_conf() {
	umask 077
	for key in hub p1; do [ -e $T/$key.key ] || wghub genkey >$T/$key.key; done
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = 10.42.42.1/24\n[Peer]\n# p1\nPublicKey = %s\nAllowedIPs = 10.42.42.2/32\n' \
		"$(cat $T/hub.key)" "$(wghub pubkey <$T/p1.key)" >$T/hub.conf
}
sandboxed() {
	wait_for 60 wg show hub
	pid=$(pgrep -o -x wghub)
	equal "$(ps -o user= -p "$pid")" wghub
	equal "$(status_of "$pid" Seccomp)" 2
	equal "$(status_of "$pid" CapPrm)" "$1"
	# Read again, through the keeper: the file is root's.
	kill -HUP "$pid"
	wait_for 60 grep -q 'conf applied added=0' $T/log || fail "it does not read its file again"
}
end() {
	wghub down hub
	wait_for 60 eval '! pgrep -x wghub'
}

test_packages_install() {
	[ "$(awk '{print $2}' /proc/self/uid_map)" != 0 ] || fail "this container is privileged"
	dpkg -i /debs/wghub_*.deb
	hub_conf
}

test_hub_without_tun() {
	wghub up --foreground --no-tun $T/hub.conf >$T/log 2>&1 &
	sandboxed 0000000000000000
	wghub show hub | grep -q p1
	end
}

test_hub_with_tun() {
	ip link add to-p1 type veth peer name cable
	ip addr add 10.99.1.1/24 dev to-p1
	ip link set to-p1 up
	wghub up --foreground $T/hub.conf >$T/log 2>&1 &
	sandboxed 0000000000001000
	ip addr show hub | grep -q '10.42.42.1/24'
	ping -c 1 -W 2 10.42.42.1
	end
	if ip link show hub; then fail "the interface is still there"; fi
}

test_container_without_the_device_is_told_what_to_do() {
	mount -t tmpfs none /dev/net
	if wghub up --foreground $T/hub.conf >$T/log 2>&1; then fail "it started"; fi
	grep -q -- '--no-tun' $T/log
}

run_tests "$0"
