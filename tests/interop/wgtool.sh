#!/bin/bash
# wgtool.sh - wg(8) shows, sets and synchronises a running hub as it does any WireGuard; the socket
# speaks the UAPI's grammar; ten thousand peers take seconds.
. "$(dirname "$0")/lib.sh"

key_a=
key_b=
# A hub without peers, and two public keys.
hub_alone() {
	new_ns hub
	make_key hub
	hub_start hub0
	key_a=$(wg genkey | wg pubkey)
	key_b=$(wg genkey | wg pubkey)
}

uapi() { printf '%b' "$1" | timeout 60 socat -t 60 - UNIX-CONNECT:/run/wireguard/hub0.sock; }
hex() { base64 -d <<<"$1" | od -An -v -tx1 | tr -d ' \n'; }
show_peer() { wg show hub0 dump | awk -v k="$key_a" '$1 == k' | tr '\t' ' '; }

test_show_of_a_fresh_hub() {
	hub_alone
	equal "$(wg show interfaces)" hub0
	equal "$(wg show hub0)" "interface: hub0"
	equal "$(wg show hub0 dump | tr '\t' ' ')" "(none) (none) 0 off"
}

test_set_of_every_interface_key() {
	hub_alone
	wg set hub0 private-key $T/hub.key listen-port 12345 fwmark 0x77
	equal "$(wg show hub0 private-key)" "$(cat $T/hub.key)"
	equal "$(wg show hub0 public-key)" "$(pub hub)"
	equal "$(wg show hub0 listen-port)" 12345
	equal "$(wg show hub0 fwmark)" 0x77
	wg set hub0 fwmark 0 private-key /dev/null
	equal "$(wg show hub0 dump | tr '\t' ' ')" "(none) (none) 12345 off"
}

test_set_of_every_peer_key() {
	hub_alone
	(umask 077; wg genpsk >$T/psk)
	wg set hub0 private-key $T/hub.key peer "$key_a" preshared-key $T/psk endpoint 192.0.2.9:33 \
		persistent-keepalive 25 allowed-ips 10.1.0.0/16,fd01::/32
	equal "$(show_peer)" \
		"$key_a $(cat $T/psk) 192.0.2.9:33 10.1.0.0/16,fd01::/32 0 0 0 25"
	wg set hub0 peer "$key_a" preshared-key /dev/null endpoint '[2001:db8::5]:44' \
		persistent-keepalive off allowed-ips 10.2.0.1/32
	equal "$(show_peer)" "$key_a (none) [2001:db8::5]:44 10.2.0.1/32 0 0 0 off"
	wg set hub0 peer "$key_a" allowed-ips ''
	equal "$(wg show hub0 allowed-ips)" "$key_a	(none)"
	wg set hub0 peer "$key_a" remove
	equal "$(wg show hub0 peers)" ""
}

test_listen_port_moves_while_it_is_up() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	wg set hub0 listen-port 51999
	wg set wg1 peer "$(pub hub)" endpoint 10.99.1.1:51999
	ping_ok p1 "$(inner4 0)"
	must_not "the old port is still open" listens hub -u 51820
}

test_setconf_addconf_syncconf_showconf() {
	hub_alone
	(umask 077; printf '[Interface]\nPrivateKey = %s\nListenPort = 5555\nFwMark = 0x9\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.1.0.0/24\nEndpoint = 192.0.2.1:1\nPersistentKeepalive = 9\n' \
		"$(cat $T/hub.key)" "$key_a" >$T/a.conf)
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.2.0.0/24, fd02::/64\n' "$key_b" >$T/b.conf
	wg setconf hub0 $T/a.conf
	equal "$(wg show hub0 peers)" "$key_a"
	equal "$(wg show hub0 listen-port)" 5555
	wg addconf hub0 $T/b.conf
	equal "$(wg show hub0 peers | wc -l)" 2
	wg showconf hub0 >$T/shown.conf
	wg setconf hub0 $T/shown.conf # what it shows, it takes
	wg showconf hub0 >$T/again.conf
	equal "$(sort $T/again.conf)" "$(sort $T/shown.conf)" "showconf after setconf of itself"
	wg syncconf hub0 $T/a.conf
	equal "$(wg show hub0 peers)" "$key_a"
	wg setconf hub0 $T/b.conf
	equal "$(wg show hub0 peers)" "$key_b"
	equal "$(wg show hub0 listen-port) $(wg show hub0 fwmark) $(wg show hub0 private-key)" \
		"0 off (none)" "after setconf of a file without [Interface]"
}

test_syncconf_keeps_the_session_of_a_peer_that_did_not_change() {
	world 2
	hub 2
	peer 1
	ping_ok p1 "$(inner4 0)"
	must "p1 loses pings" in_ns p1 ping -n -q -c 5 -i 0.05 -s 1000 -W 5 "$(inner4 0)" >/dev/null
	local before
	before=$(received_from hub0 p1)
	wg showconf hub0 >$T/hub.conf
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.0/24\n' "$(wg genkey | wg pubkey)" >>$T/hub.conf
	wg syncconf hub0 $T/hub.conf
	equal "$(wg show hub0 peers | wc -l)" 3
	ping_ok p1 "$(inner4 0)"
	must "p1 was made anew" [ "$(received_from hub0 p1)" -ge "$before" ]
}

test_prefix_that_moves_is_moved_and_logged_with_both_peers() {
	hub_alone
	wg set hub0 peer "$key_a" allowed-ips 10.1.0.0/24,10.3.0.0/24
	wg set hub0 peer "$key_b" allowed-ips 10.1.0.0/24
	equal "$(wg show hub0 allowed-ips | grep -F "$key_a")" "$key_a	10.3.0.0/24"
	equal "$(wg show hub0 allowed-ips | grep -F "$key_b")" "$key_b	10.1.0.0/24"
	wait_for 60 grep -q "route moved prefix=10.1.0.0/24 from=${key_a:0:8} to=${key_b:0:8}" \
		$T/hub0.log || fail "the log does not tell of it: $(cat $T/hub0.log)"
}

test_uapi_removes_single_prefixes_and_updates_only_known_peers() {
	hub_alone
	local hex_a
	hex_a=$(hex "$key_a")
	equal "$(uapi "set=1\npublic_key=$hex_a\nupdate_only=true\nallowed_ip=10.9.0.0/24\n\n")" errno=0
	equal "$(wg show hub0 peers)" "" "update_only made a peer"
	equal "$(uapi "set=1\npublic_key=$hex_a\nallowed_ip=10.9.0.0/24\nallowed_ip=10.8.0.0/24\n\n")" errno=0
	equal "$(uapi "set=1\npublic_key=$hex_a\nallowed_ip=-10.9.0.0/24\n\n")" errno=0
	equal "$(wg show hub0 allowed-ips)" "$key_a	10.8.0.0/24"
	must "get does not answer" grep -q "^public_key=$hex_a" <<<"$(uapi 'get=1\n\n')"
}

test_a_wrong_set_changes_nothing_and_names_its_error() {
	hub_alone
	local hex_a before words
	hex_a=$(hex "$key_a")
	wg set hub0 private-key $T/hub.key listen-port 4444 peer "$key_b" allowed-ips 10.1.0.0/24
	before=$(wg show hub0 dump)
	for words in 'nonsense=1' 'listen_port=65536' 'listen_port=' 'fwmark=x' 'private_key=00' \
		'replace_peers=false' "public_key=$hex_a\nallowed_ip=10.0.0.0/33" \
		"public_key=$hex_a\nendpoint=host:1" \
		"public_key=$hex_a\npersistent_keepalive_interval=65536" 'public_key=zz' \
		"public_key=$hex_a\nprotocol_version=2" 'endpoint=192.0.2.1:1' 'update_only=true'; do
		must "set with $words gives $(uapi "set=1\nlisten_port=4445\n$words\n\n")" \
			grep -q '^errno=-\?[1-9]' <<<"$(uapi "set=1\nlisten_port=4445\n$words\n\n")"
		equal "$(wg show hub0 dump)" "$before" "after a set with $words"
	done
}

# many_keys N; many_peers: peers in wg's file format, from a list of keys.
many_keys() {
	# 42 characters of base64 are 252 bits; the last four of a key end in two zero bits.
	head -c $(($1 * 40)) /dev/urandom | base64 -w 0 | fold -w 42 | head -"$1" |
		awk 'BEGIN { srand(); s = "AEIMQUYcgkosw048" }
			{ print $0 substr(s, 1 + int(rand() * 16), 1) "=" }'
}
many_peers() {
	awk '{ a = int(NR / 256); b = NR % 256
		printf "[Peer]\nPublicKey = %s\nAllowedIPs = 10.%d.%d.%d/32, fd00::%x/128\n", $1, 1 + a / 256, a % 256, b, NR
		if (NR % 3 == 0) printf "Endpoint = 198.51.100.%d:%d\n", NR % 250, 1024 + NR
		if (NR % 5 == 0) printf "PersistentKeepalive = 25\n" }'
}
# One line for each peer, whatever the order of peers and of a peer's prefixes.
normal() {
	awk -F ' = ' '/^\[Peer\]/ { if (p) print p; p = "" }
		/^PublicKey/ { p = $2 p }
		/^AllowedIPs/ { n = split($2, a, /, */); if (n == 2 && a[1] > a[2]) $2 = a[2] "," a[1]
			gsub(/, /, ",", $2); p = p " a=" $2 }
		/^Endpoint/ { e[NR] = 1; p = p " e=" $2 }
		/^PersistentKeepalive/ { p = p " k=" $2 }
		END { if (p) print p }' "$1" | awk '{ k = $1; $1 = ""; n = split($0, w, " "); asort_(w, n); s = k
			for (i = 1; i <= n; i++) s = s " " w[i]; print s }
		function asort_(w, n, i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && w[j-1] > w[j]; j--) {
			t = w[j]; w[j] = w[j-1]; w[j-1] = t } }' | sort
}
# What the hub has used of a processor so far, in ms: unlike a clock it does not say how busy others are.
hub_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / hz) }' /proc/$hub_pid/stat; }
# seconds_at_most N COMMAND...: of the hub's
seconds_at_most() {
	local limit=$1 begin
	begin=$(hub_ms)
	shift
	"$@"
	local took=$(($(hub_ms) - begin))
	echo "$1 $2: $took ms"
	must "$1 $2 took $took ms" [ $took -le $((limit * 1000)) ]
}
show_into() { wg showconf hub0 >"$1"; }

test_ten_thousand_peers_by_syncconf_and_back_by_showconf() {
	hub_alone
	many_keys 10000 >$T/keys
	many_peers <$T/keys >$T/many.conf
	equal "$(grep -c '^\[Peer' $T/many.conf)" 10000
	seconds_at_most 10 wg syncconf hub0 $T/many.conf
	seconds_at_most 10 show_into $T/back.conf
	normal $T/many.conf >$T/wanted
	normal $T/back.conf >$T/got
	must "what comes back differs: $(diff $T/wanted $T/got | head -4)" cmp -s $T/wanted $T/got
	# The same again is no change; a tenth fewer and some different ones is a small one.
	seconds_at_most 10 wg syncconf hub0 $T/many.conf
	head -9000 $T/keys >$T/fewer
	many_keys 500 >>$T/fewer
	many_peers <$T/fewer >$T/fewer.conf
	seconds_at_most 10 wg syncconf hub0 $T/fewer.conf
	show_into $T/back.conf
	normal $T/fewer.conf >$T/wanted
	normal $T/back.conf >$T/got
	must "after a second sync: $(diff $T/wanted $T/got | head -4)" cmp -s $T/wanted $T/got
	equal "$(wg show hub0 peers | wc -l)" 9500
	: >$T/empty.conf
	seconds_at_most 10 wg syncconf hub0 $T/empty.conf
	equal "$(wg show hub0 peers)" ""
}

test_traffic_flows_while_ten_thousand_peers_come_and_go() {
	world 2
	hub 2
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	many_keys 10000 | many_peers >$T/many.conf
	wg showconf hub0 >$T/few.conf
	cat $T/few.conf $T/many.conf >$T/all.conf
	flow_begin p1 "$(inner4 2)" -i 0.01
	wg syncconf hub0 $T/all.conf
	wg syncconf hub0 $T/few.conf
	local n=$(($(flow_last) + 1))
	[ $n -ge 400 ] || n=400
	flow_end $n
	must "$lost of $n pings were lost" [ $((lost * 100)) -le $n ]
}

run_tests "$@"
