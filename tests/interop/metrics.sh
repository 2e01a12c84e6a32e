#!/bin/bash
# metrics.sh - the hub's counters over HTTP: checked by promtool, scraped by a real Prometheus, and kept from
# those who may not read them.
. "$(dirname "$0")/lib.sh"

get() { in_ns hub curl -s -m 60 "$@"; }
status_of() { get -o /dev/null -w '%{http_code}' "$@"; }

# conf N: $T/hub0.conf with N peers whose names are p1, p2, ...
conf() {
	local n
	(
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24\n' \
			"$(cat $T/hub.key)" "$(inner4 0)"
		for ((n = 1; n <= $1; n++)); do
			printf '[Peer]\n# p%s\nPublicKey = %s\nAllowedIPs = %s/32\n' \
				"$n" "$(pub "p$n")" "$(inner4 "$n")"
		done
	) >$T/hub0.conf
	chmod 600 $T/hub0.conf
}

# up N [OPTION...]: a hub with N peers in the foreground.
up() {
	conf "$1"
	shift
	rm -f $T/hub0.log # what a hub before it said does not count
	ip netns exec hub "$wghub" up -f --no-tun "$@" $T/hub0.conf >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 grep -q 'hub runs' $T/hub0.log || fail "the hub does not start: $(cat $T/hub0.log)"
}

# refused WORDS OPTION...: it does not start, and says why in these words.
refused() {
	local words=$1 code=0
	shift
	in_ns hub "$wghub" up -f --no-tun "$@" $T/hub0.conf >$T/second.log 2>&1 || code=$?
	must "it starts with $*" [ $code != 0 ]
	grep -q -e "$words" $T/second.log || fail "$(cat $T/second.log)"
}

test_promtool_has_nothing_to_say() {
	world 1
	up 1 --metrics 127.0.0.1:9586 --events $T/events --events-command 'cat >/dev/null'
	peer 1
	ping_ok p1 "$(inner4 0)"
	get http://127.0.0.1:9586/metrics >$T/metrics
	promtool check metrics <$T/metrics >$T/said 2>&1 || fail "$(cat $T/said)"
	equal "$(cat $T/said)" ""
	grep -q '^wghub_peers_connected{interface="hub0"} 1$' $T/metrics || fail "$(grep connected $T/metrics)"
	value() { sed -n "s/^$1 //p" $T/metrics; }
	must "no memory" [ "$(value process_resident_memory_bytes)" -gt 1000000 ]
	must "no room in the system" [ "$(value 'wghub_udp_queue_limit_bytes{interface="hub0"}')" -gt 100000 ]
	must "no lines" [ "$(value 'wghub_event_lines_total{interface="hub0",to="file"}')" -ge 2 ]
	must "no lines for the command" [ "$(value 'wghub_event_lines_total{interface="hub0",to="command"}')" -ge 2 ]
	must "no queue for the command" [ "$(value 'wghub_event_command_failures_total{interface="hub0"}')" = 0 ]
}

# Answers of the real Prometheus, its value alone.
# A scrape that took more than its second is none, and then there is nothing for a moment.
is_answer() { wait_for 60 eval "[ \"\$(query '$2')\" = '$1' ]" || fail "'$(query "$2")' is not '$1': $2"; }
query() { get --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query | grep -o '"[^"]*"\]' | tr -d '"]'; }

test_prometheus_scrapes_it_and_answers_an_existing_dashboard() {
	world 2
	up 2 --metrics 127.0.0.1:9586
	peer 1
	ping_ok p1 "$(inner4 0)"
	cat >$T/prometheus.yml <<-'EOT'
		global: {scrape_interval: 1s, scrape_timeout: 1s}
		scrape_configs:
		  - job_name: wireguard
		    static_configs: [{targets: ["127.0.0.1:9586"]}]
	EOT
	ip netns exec hub prometheus --config.file=$T/prometheus.yml --storage.tsdb.path=$T/tsdb \
		--web.listen-address=127.0.0.1:9090 >$T/prometheus.out 2>&1 &
	wait_for 60 eval '[ "$(query "up{job=\"wireguard\"}")" = 1 ]' || fail "$(tail -3 $T/prometheus.out)"
	# Wanted by dashboards made for MindFlavor's exporter.
	is_answer 1 'count(sum by (friendly_name) (wireguard_received_bytes_total{interface="hub0",friendly_name="p1"}) > 0)'
	is_answer 1 'count(time() - wireguard_latest_handshake_seconds{allowed_ips="10.42.42.2/32"} < 180)'
	is_answer 2 'count(wireguard_sent_bytes_total{interface="hub0"})'
	traffic_is_seen() {
		in_ns p1 ping -n -q -c 2 -i 0.2 "$(inner4 0)" || true
		query 'rate(wireguard_sent_bytes_total{friendly_name="p1"}[30s]) > 0' | grep .
	}
	wait_for 60 traffic_is_seen || fail "no rate"
	is_answer 0 'sum(wghub_dropped_packets_total{reason="replay"})'
}

test_token_is_asked_for_and_nothing_but_metrics_is_there() {
	world 1
	(umask 077; echo 0123456789abcdef >$T/token)
	up 1 --metrics 10.99.1.1:9586 --metrics-token $T/token
	local url=http://10.99.1.1:9586/metrics
	equal "$(status_of $url)" 401
	equal "$(status_of -H 'Authorization: Bearer 0123456789abcdeF' $url)" 401
	equal "$(status_of -H 'Authorization: Bearer 0123456789abcde' $url)" 401
	equal "$(status_of -H 'Authorization: Bearer ' $url)" 401
	equal "$(status_of -H "Authorization: Bearer $(printf '%600s' | tr ' ' a)" $url)" 401
	equal "$(status_of -H 'Authorization: Bearer 0123456789abcdef' $url)" 200
	equal "$(status_of -H 'Authorization: Bearer 0123456789abcdef' http://10.99.1.1:9586/)" 404
	equal "$(status_of -H 'Authorization: Bearer 0123456789abcdef' -d x=y $url)" 405
	must_not "the token is in the log" grep -q 0123456789abcdef $T/hub0.log
}

test_without_a_token_only_this_machine_is_served() {
	world 1
	conf 1
	refused 'give --metrics-token FILE' --metrics 10.99.1.1:9586
	refused 'give --metrics-token FILE' --metrics 0.0.0.0:9586
	(umask 022; echo 0123456789abcdef >$T/open)
	refused 'chmod 600' --metrics 0.0.0.0:9586 --metrics-token $T/open
	(umask 077; echo short >$T/short)
	refused 'openssl rand' --metrics 0.0.0.0:9586 --metrics-token $T/short
	refused 'a place is ADDRESS:PORT' --metrics localhost
	refused 'Address already in use' --metrics unix:$T/hub0.conf
	must "a file that is no socket was removed" [ -s $T/hub0.conf ]
}

test_unix_socket_is_its_owners_and_goes_with_the_hub() {
	world 1
	up 1 --metrics unix:$T/metrics.sock
	equal "$(stat -c %a $T/metrics.sock)" 600
	get --unix-socket $T/metrics.sock http://hub/metrics | grep -q '^wghub_peers{interface="hub0"} 1$'
	kill -KILL $hub_pid
	wait $hub_pid || true
	must "nothing was left" [ -S $T/metrics.sock ]
	up 1 --metrics unix:$T/metrics.sock
	equal "$(status_of --unix-socket $T/metrics.sock http://hub/metrics)" 200
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	must "the socket is still there" [ ! -e $T/metrics.sock ]
}

test_dashboard_asks_for_metrics_that_exist() {
	local name names
	world 1
	up 1 --metrics 127.0.0.1:9586
	get http://127.0.0.1:9586/metrics >$T/metrics
	names=$(grep -oE '\b(wghub|wireguard)_[a-z_]+' packaging/grafana.json | sort -u)
	must "it asks for nothing" [ "$(echo "$names" | wc -l)" -gt 5 ]
	for name in $names; do
		grep -q "^# TYPE $name " $T/metrics || fail "there is no $name"
	done
	python3 -c 'import json; assert len(json.load(open("packaging/grafana.json"))["panels"]) == 10'
}

# The 17th client waits outside, and none of them keeps the hub from its work.
test_silent_clients_do_no_harm() {
	world 1
	up 1 --metrics 127.0.0.1:9586
	in_ns hub python3 - <<-'EOT' >$T/clients.out 2>&1 &
		import socket, time
		held = []
		for i in range(30):
		    s = socket.create_connection(("127.0.0.1", 9586))
		    s.send(b"GET /metrics HTTP/1.1\r\nX: ")
		    held.append(s)
		print("held", flush=True)
		time.sleep(60)
	EOT
	wait_for 60 grep -q held $T/clients.out
	peer 1
	ping_ok p1 "$(inner4 0)"
	wait_for 60 eval '[ "$(status_of http://127.0.0.1:9586/metrics)" = 200 ]' || fail "nobody is served any more"
}

# hidden LIBRARY COMMAND...: as if the library were not installed.
hidden() {
	local file
	file=$(ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }')
	must "there is no $1" [ -e "$file" ]
	shift
	unshare -m sh -c 'mount --bind /dev/null "$0" && exec "$@"' "$(realpath "$file")" "$@"
}

# Most of a hub's memory at rest were these and what they need.
test_libraries_of_http_are_only_where_they_are_needed() {
	world 1
	up 1
	# Nor what libc would ask for a user.
	must_not "a hub without metrics has them" \
		grep -E 'libcurl|libmicrohttpd|libgnutls|libcrypto|libnss' /proc/$hub_pid/maps
	kill -TERM $hub_pid
	wait $hub_pid
	up 1 --metrics 127.0.0.1:9586
	must "what serves them?" grep -q libmicrohttpd /proc/$hub_pid/maps
	must_not "a hub without a Factory has libcurl" grep libcurl /proc/$hub_pid/maps
}

test_a_library_that_is_not_installed_is_named() {
	local code=0
	world 1
	conf 1
	hidden libmicrohttpd.so.12 "$wghub" up -f --no-tun --metrics 127.0.0.1:9586 $T/hub0.conf >$T/said 2>&1 || code=$?
	equal $code 1 "$(cat $T/said)"
	grep -q 'libmicrohttpd.so.12.*apt-get install libmicrohttpd12' $T/said || fail "$(cat $T/said)"
	(umask 077; echo 0123456789abcdef >$T/token)
	code=0
	hidden libcurl.so.4 "$wghub" --factory acme --oauthcreds $T/token -k $T/hub.key --intf-name hub0 --no-tun \
		--state-dir $T/state daemon >$T/said 2>&1 || code=$?
	equal $code 1 "$(cat $T/said)"
	grep -q 'libcurl.so.4.*apt-get install libcurl4' $T/said || fail "$(cat $T/said)"
	equal "$(wc -l <$T/said)" 1 "$(cat $T/said)"
}

run_tests "$@"
