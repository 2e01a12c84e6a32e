#!/bin/bash
# inside.sh tun|notun - runs as root on a booted Debian 12 that deb.sh has made, and may do there what it likes.
# Prints "ok NAME" or "not ok NAME: why", and "done" at the end.
mode=$1
. /tests/lib.sh
unit=wghub@hub
[ "$mode" = tun ] || unit=wghub-notun@hub

files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /dev -o -path /var/log -o \
		-path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/lib/apt -o -path /debs -o -path /tests \) \
		-prune -o -print | grep -v '^/etc/\(passwd\|group\|shadow\|gshadow\)-$\|__pycache__\|^/var/tmp/\|ld.so.cache' | sort
}
main_pid() { systemctl show -P MainPID "$unit"; }

test_packages_install() {
	files >$T/before
	dpkg -i /debs/wghub_*.deb /debs/libwghub1_*.deb /debs/libwghub-dev_*.deb
	equal "$(dpkg -l wghub libwghub1 libwghub-dev | grep -c '^ii')" 3
	equal "$(stat -c %U:%G:%a /etc/wghub)" root:wghub:750
	equal "$(getent passwd wghub | cut -d: -f6,7)" /nonexistent:/usr/sbin/nologin
	wghub --version
	dpkg -L wghub libwghub-dev | grep -c '/man[135]/.*gz$' | grep -qx 3
	ldconfig -p | grep -q libwghub.so.1
}

make_conf() {
	local n
	(
		umask 077
		for n in hub p1; do [ -e $T/$n.key ] || wghub genkey >$T/$n.key; done
	)
	{
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = 10.42.42.1/24\n' "$(cat $T/hub.key)"
		printf '[Peer]\n# p1\nPublicKey = %s\nAllowedIPs = 10.42.42.2/32\n' "$(wghub pubkey <$T/p1.key)"
		for n in "$@"; do
			printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.42.42.%s/32\n' "$(wghub genkey | wghub pubkey)" "$n"
		done
	} >$T/hub.conf
	install -m 640 -g wghub $T/hub.conf /etc/wghub/hub.conf
}

test_service_starts_without_root() {
	make_conf
	systemctl start "$unit"
	equal "$(systemctl is-active "$unit")" active
	equal "$(ps -o user= -p "$(main_pid)")" wghub
	equal "$(status_of "$(main_pid)" NoNewPrivs)" 1
	equal "$(status_of "$(main_pid)" Seccomp)" 2
	case $mode in
	tun) equal "$(status_of "$(main_pid)" CapPrm)" 0000000000001000 ;;
	notun) equal "$(status_of "$(main_pid)" CapPrm)" 0000000000000000 ;;
	esac
	journalctl -q -u "$unit" --no-pager | grep -q 'sandbox on'
	if journalctl -q -u "$unit" --no-pager | grep 'sandbox incomplete'; then fail "it is not complete"; fi
	systemctl show -P StatusText "$unit" | grep -q 'hub: UDP port 51820, 1 peers'
	wg show hub | grep -q 'listening port: 51820'
}

# A stock peer, in a network of its own, behind a cable.
test_peer_is_served() {
	[ -c /dev/net/tun ] || { make_tunless_check; return; }
	ip netns add p1
	ip link add to-p1 type veth peer name cable netns p1
	ip addr add 10.99.1.1/24 dev to-p1
	ip -n p1 addr add 10.99.1.2/24 dev cable
	ip link set to-p1 up
	ip -n p1 link set cable up
	ip netns exec p1 wireguard-go wg1 >$T/wggo.log 2>&1
	wait_for 60 wg show wg1
	wg set wg1 private-key $T/p1.key peer "$(wghub pubkey <$T/hub.key)" allowed-ips 10.42.42.0/24 endpoint 10.99.1.1:51820
	ip -n p1 addr add 10.42.42.2/24 dev wg1
	ip -n p1 link set wg1 up
	wait_for 60 ip netns exec p1 ping -c 1 -W 1 10.42.42.1 || fail "it cannot ping the hub"
}
make_tunless_check() { wghub show --socket-dir /run/wireguard hub | grep -q p1; }

test_reload_keeps_sessions() {
	local pid before
	pid=$(main_pid)
	before=$(wg show hub latest-handshakes | head -1)
	make_conf 7 8
	systemctl reload "$unit"
	wait_for 60 eval '[ "$(wg show hub peers | wc -l)" = 3 ]' || fail "the file was not read again"
	equal "$(main_pid)" "$pid"
	wg show hub latest-handshakes | grep -qF "$before" || fail "a session was lost"
	systemctl is-active "$unit"
}

# Under all that the unit forbids: the command runs, and the file is rotated as the package says.
test_events_are_written_handed_over_and_rotated() {
	printf '#!/bin/sh\ncat >>/var/log/wghub/told\n' >/etc/wghub/on-event
	chmod 755 /etc/wghub/on-event
	cp /etc/default/wghub $T/default
	echo 'WGHUB_OPTIONS="--events /var/log/wghub/hub.json --events-command '"'exec /etc/wghub/on-event'"'"' >>/etc/default/wghub
	systemctl restart "$unit"
	equal "$(stat -c %U:%a /var/log/wghub)" wghub:750
	wait_for 60 grep -q peer_added /var/log/wghub/told || fail "$(journalctl -q -u "$unit" -n 3)"
	cmp /var/log/wghub/told /var/log/wghub/hub.json
	mv /var/log/wghub/hub.json /var/log/wghub/hub.json.1
	sh -c "$(sed -n '/postrotate/,/endscript/{//!p}' /etc/logrotate.d/wghub)"
	wait_for 60 test -e /var/log/wghub/hub.json
	cp $T/default /etc/default/wghub
	systemctl restart "$unit"
	rm /etc/wghub/on-event
	wait_for 60 grep -q hub_end /var/log/wghub/hub.json
	grep -q hub_end /var/log/wghub/told
}

test_watchdog_restarts_a_hub_that_hangs() {
	local pid
	mkdir -p "/run/systemd/system/$unit.service.d"
	printf '[Service]\nWatchdogSec=2\n' >"/run/systemd/system/$unit.service.d/fast.conf"
	systemctl daemon-reload
	systemctl restart "$unit"
	pid=$(main_pid)
	sleep 5
	equal "$(main_pid)" "$pid" "although it lives"
	kill -STOP "$pid"
	wait_for 60 eval '[ "$(main_pid)" != 0 ] && [ "$(main_pid)" != '"$pid"' ]' || fail "it was not started again"
	rm -r "/run/systemd/system/$unit.service.d"
	systemctl daemon-reload
	systemctl restart "$unit"
}

test_socket_unit_hands_its_sockets_over() {
	[ "$mode" = tun ] || return 0
	systemctl stop "$unit"
	systemctl start wghub@hub.socket
	wg show hub >/dev/null # the first question starts it
	equal "$(systemctl is-active "$unit")" active
	equal "$(ss -Hlnu 'sport = :51820' | wc -l)" 2
	wait_for 60 ip netns exec p1 ping -c 1 -W 1 10.42.42.1 || fail "the peer cannot ping the hub"
	systemctl stop "$unit"
	[ -S /run/wireguard/hub.sock ] || fail "the socket went with the service"
	systemctl stop wghub@hub.socket
	[ ! -e /run/wireguard/hub.sock ]
	systemctl start "$unit"
}

# What `wghub enable` writes begins as root; there is no Factory here that it could ask.
test_unit_of_a_factorys_hub() {
	[ "$mode" = tun ] || return 0
	local unit=factory-vpn-acme pid
	mkdir -p -m 700 /etc/wireguard
	(
		umask 077
		wghub genkey >/etc/wireguard/acme.key
		echo tokentokentokentokentoken >/etc/wireguard/acme.creds
	)
	cp /debs/$unit.service /etc/systemd/system/
	systemctl daemon-reload
	systemctl start $unit
	pid=$(main_pid)
	equal "$(ps -o user= -p "$pid")" wghub
	equal "$(status_of "$pid" CapPrm)" 0000000000001000
	if journalctl -q -u $unit --no-pager | grep 'sandbox incomplete'; then fail "its sandbox is not complete"; fi
	(umask 077; echo "$(wghub pubkey <$T/p1.key) 10.42.42.253 bench" >/etc/wireguard/factory-clients.conf)
	wait_for 60 eval 'wghub status | grep -q "^clients: *0 of 1"' || fail "the clients file is not read"
	wait_for 60 test -s /var/lib/wghub/acme.json || fail "its state is not written"
	systemctl reload $unit
	equal "$(main_pid)" "$pid"
	equal "$(systemctl is-active $unit)" active
	systemctl stop $unit
	if ip link show fioacme; then fail "the interface is still there"; fi
	rm -r /etc/wireguard/* /etc/systemd/system/$unit.service
	systemctl daemon-reload
}

test_upgrade_restarts_what_runs_and_keeps_the_administrators_files() {
	local pid
	pid=$(main_pid)
	echo '# mine' >>/etc/default/wghub
	dpkg -i /debs/next/wghub_*.deb /debs/next/libwghub1_*.deb /debs/next/libwghub-dev_*.deb
	dpkg -l wghub | grep -q '+next'
	grep -q '# mine' /etc/default/wghub
	[ -s /etc/wghub/hub.conf ]
	wait_for 60 eval '[ "$(main_pid)" != 0 ] && [ "$(main_pid)" != '"$pid"' ]' || fail "the old program still runs"
	equal "$(systemctl is-active "$unit")" active
}

test_purge_leaves_nothing() {
	dpkg --purge libwghub-dev libwghub1 wghub
	wait_for 60 eval '! pgrep -x wghub'
	[ -s /etc/wghub/hub.conf ] || fail "the administrator's file is gone"
	rm -r /etc/wghub
	files >$T/after
	diff $T/before $T/after >$T/diff || fail "$(grep '^[<>]' $T/diff | head -5 | tr '\n' ' ')"
	if getent passwd wghub; then fail "the user is still there"; fi
}

run_tests "$0"
