#!/bin/bash
# migrate.sh - what ran the Python daemon runs wghub: its container's environment, its unit with the
# program's path changed; and two factories on one host. Comments name the rows of
# tests/factory-faults.md.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/host.sh

# container [VARIABLE=VALUE...] -- [OPTION...]: enable_run with this environment and nothing else.
container() {
	local variables=()
	while [ "$1" != -- ]; do
		variables+=("$1")
		shift
	done
	ip netns exec hub env -i "PATH=$PATH" "ASAN_OPTIONS=${ASAN_OPTIONS-}" "${variables[@]}" "$wghub" \
		enable_run "${api[@]}" --no-hosts --state-dir $T/volume --no-tun "${@:2}" \
		</dev/null >>$T/container.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
}

test_the_old_containers_environment_works_with_one_volume() { # rows 25, 36, 39
	begin
	local before
	ctl devices '{"generate": 3, "first_ip": "10.8.8.2"}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" PORT=5557 VPNADDR=10.8.8.1 \
		INTERVAL=1 INTERF=hub0 ENDPOINT=hub.example.net NOCHECKIP=1 NOUSESYSCTL=1 --
	wait_for 60 hub_listens 5557 || fail "it does not run: $(cat $T/container.log)"
	wait_for 60 peers_are hub0 3 || fail "no devices: $(cat $T/container.log)"
	file_is "$(key_pub "$T/volume/$FACTORY_NAME.key")" hub.example.net:5557 10.8.8.1
	equal "$(stat -c %a "$T/volume/$FACTORY_NAME.key")" 600
	must_not "the token is in argv" grep -qF "$FACTORY_TOKEN" /proc/$hub_pid/cmdline
	must_not "the token is in the environment" grep -qF "$FACTORY_TOKEN" /proc/$hub_pid/environ
	# The next container of the same volume is the same hub, also while the API is away.
	before=$(wg show hub0 allowed-ips | sort)
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	ctl listen '{"on": false}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 --
	wait_for 60 hub_listens 5557 || fail "it does not run again: $(cat $T/container.log)"
	equal "$(wg show hub0 allowed-ips | sort)" "$before"
	must "not said" grep -q 'not published now' $T/container.log
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	ctl listen '{"on": true}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 --
	wait_for 60 hub_listens 5557 || fail "it does not run again: $(cat $T/container.log)"
	equal "$(n_patches)" 1
	no_secret_in $T/container.log
}

test_a_container_that_is_stopped_publishes_nothing_any_more() {
	begin
	ctl fault '{"do": "hold", "match": "GET */config/", "times": -1}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 ENDPOINT=hub.example.net --
	wait_for 60 eval "[ \$(factory_ctl holding | factory_get \"j['holding']\") = 1 ]" || fail "nobody asks"
	kill -TERM $hub_pid
	code=0
	wait $hub_pid || code=$?
	hub_pids=()
	equal $code 143
	wait_for 20 eval '! pgrep -x wghub' || fail "a process goes on: $(pgrep -a -x wghub)"
	ctl clear
	equal "$(n_patches)" 0
}

test_a_wrong_environment_is_said_and_nothing_runs() {
	begin
	local case
	for case in "FACTORY=|--factory NAME is missing" "FACTORY=a/b|FACTORY=a/b in the environment" \
		"PORT=x|PORT=x in the environment: a port is" "VPNADDR=1.2.3.4|VPNADDR=1.2.3.4" \
		"INTERVAL=0|INTERVAL=0" "INTERF=a/b|INTERF=a/b" "ENDPOINT=|where do devices reach"; do
		container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 \
			ENDPOINT=hub.example.net "${case%%|*}" --
		code=0
		wait $hub_pid || code=$?
		hub_pids=()
		equal $code 2 "$case: $(cat $T/container.log)"
		must "$case: $(tail -1 $T/container.log)" grep -qF -- "${case#*|}" <<<"$(tail -1 $T/container.log)"
	done
	container FACTORY="$FACTORY_NAME" INTERF=hub0 ENDPOINT=hub.example.net --
	code=0
	wait $hub_pid || code=$?
	hub_pids=()
	equal $code 2
	must "no word of credentials" grep -q 'credentials are missing' $T/container.log
	equal "$(n_patches)" 0
}

peers_are() { [ "$(wg show "$1" peers | wc -l)" = "$2" ]; }

# What the Python daemon's enable wrote, with the program's path changed and nothing else; every
# default is what it is on a host: addresses of the service, /etc/hosts, /var/lib.
old_unit() { # CREDENTIALS...
	cat >"$T/units/factory-vpn-$FACTORY_NAME.service" <<END
[Unit]
Description=Factory VPN Daemon
After=network.target

[Service]
Type=simple
User=root
WorkingDirectory=$T/old
ExecStart=/usr/bin/python3 $T/old/factory-wireguard.py -n hub0 -f $FACTORY_NAME $* -k factory.key daemon
Restart=always

[Install]
WantedBy=multi-user.target
END
	sed -i "s|/usr/bin/python3 $T/old/factory-wireguard.py|$wghub|" \
		"$T/units/factory-vpn-$FACTORY_NAME.service"
}

test_a_unit_of_the_old_daemon_runs_with_the_programs_path_changed() {
	printf '127.0.0.1 localhost\n127.0.0.1 api.foundries.io app.foundries.io\n' >$T/etc-hosts
	mount --bind $T/etc-hosts /etc/hosts # no rename is possible, as in a container
	mount -t tmpfs old /var/lib
	[ ! -d /etc/wireguard ] || mount -t tmpfs old /etc/wireguard
	begin --port 443 --dns api.foundries.io --dns app.foundries.io
	install -m 644 "$FACTORY_CA" $T/ca-certificates.crt # the service is not root for long
	mount --bind $T/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
	mkdir $T/old
	wg genkey >$T/old/factory.key
	chmod 644 $T/old/factory.key
	another_hub "$(key_pub $T/old/factory.key)"
	ctl devices '{"generate": 2}'
	# With an API token in it.
	old_unit -t "$FACTORY_TOKEN"
	in_ns hub systemctl restart "factory-vpn-$FACTORY_NAME.service"
	wait_for 60 hub_listens 5555 || fail "it does not run: $(cat $T/unit.log)"
	wait_for 60 peers_are hub0 2 || fail "no devices: $(cat $T/unit.log)"
	wait_for 60 grep -qF '10.42.42.2	press-00000' /etc/hosts || fail "$(cat /etc/hosts)"
	equal "$(stat -c %a $T/old/factory.key)" 600
	unit_ends
	# With the file of its login, as it left it: the token is over, and is renewed.
	factory_ctl login | factory_get 'json.dumps({k: j[k] for k in ("access_token", "refresh_token",
		"expires_in")} | {"created": 1700000000.25}, indent=2)' >$T/old/factory.creds
	chmod 644 $T/old/factory.creds
	old_unit -a factory.creds
	ctl devices '{"generate": 2, "prefix": "more-", "first_ip": "10.42.42.20"}'
	in_ns hub systemctl restart "factory-vpn-$FACTORY_NAME.service"
	wait_for 60 peers_are hub0 4 || fail "no devices: $(cat $T/unit.log)"
	equal "$(stat -c %a $T/old/factory.creds)" 600
	equal "$(n_token_requests)" 1
	unit_ends
	umount /etc/hosts /var/lib /etc/ssl/certs/ca-certificates.crt # other tests are on this machine, too
}

test_two_factories_have_a_hub_each_on_one_host() {
	begin
	echo "127.0.0.1 localhost" >$T/hosts
	local places=(--state-dir $T/state --clients-file $T/clients --hosts-file $T/hosts --unit-dir $T/units)
	enable -e hub.example.net -i 1
	ctl devices '{"generate": 2}'
	local first=$FACTORY_NAME first_socket=$FACTORY_SOCKET
	factory_in_hub $T/f2 --factory bakery
	ctl devices '{"generate": 3, "prefix": "oven-", "first_ip": "10.43.43.2"}'
	local second=(-f bakery -t "$FACTORY_TOKEN" -k $T/key2 -n hub1 "${api[@]}" "${places[@]}")
	wait_for 60 hub_listens 5555
	# What the first one has is not free.
	bad 1 'UDP port 5555 is in use' "${second[@]}" enable -e hub.example.net -v 10.43.43.1
	bad 1 'that of the interface hub0' "${second[@]}" enable -e hub.example.net -p 5556
	good "${second[@]}" enable -e hub.example.net -p 5556 -v 10.43.43.1 -i 1
	file_is "$(key_pub $T/key2)" hub.example.net:5556 10.43.43.1
	wait_for 60 peers_are hub0 2 || fail "devices of the first: $(cat $T/unit.log)"
	wait_for 60 peers_are hub1 3 || fail "devices of the second: $(cat $T/unit.log)"
	equal "$(wg show hub1 listen-port)" 5556
	wait_for 60 grep -qF '10.43.43.4	oven-00002' $T/hosts || fail "$(cat $T/hosts)"
	must "the first one's block: $(cat $T/hosts)" grep -qF '10.42.42.3	press-00001' $T/hosts
	equal "$(grep -c '^## ' $T/hosts)" 4
	equal "$(ls $T/state/*.json $T/units/*.service | wc -l)" 4
	# One ends; the other one does not notice, nor does its block.
	in_ns hub systemctl stop factory-vpn-$first.service
	must_not "hub0 is there" wg show hub0
	ctl devices '{"generate": 1, "prefix": "shelf-", "first_ip": "10.43.43.9"}'
	wait_for 60 peers_are hub1 4 || fail "the second follows no more"
	wait_for 60 grep -qF '10.43.43.9	shelf-00000' $T/hosts || fail "$(cat $T/hosts)"
	must "the first one's block is gone" grep -qF '10.42.42.3	press-00001' $T/hosts
	unit_ends
}

run_tests "$@"
