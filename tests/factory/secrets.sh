#!/bin/bash
# secrets.sh - no token, refresh token or private key is seen in a log, in the arguments or the
# environment of a process, in a file that others can read, or in a core file; whatever the command,
# and at LOG_LEVEL=debug.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/world.sh

header_value=header.$RANDOM$RANDOM$RANDOM
python=/usr/bin/python3

# Every secret there is so far, a line each: also a key as hex (UAPI) and a token as base64 (header).
# The server's own files and the devices' are in $T/f, which nobody but the test reads.
secrets() {
	{
		factory_ctl secrets | factory_get '"\n".join(j)'
		echo $header_value
		cat $T/*.key
	} | "$python" -c 'import base64, sys
for line in sys.stdin.read().split():
    print(line)
    print(base64.b64encode(line.encode()).decode())
    if len(line) == 44 and line.endswith("="):
        print(base64.b64decode(line).hex())' >$T/f/secrets
	must "that is not all" [ "$(wc -l <$T/f/secrets)" -ge 10 ]
}

# nothing_in WHAT FILE...
nothing_in() {
	local what=$1
	shift
	must_not "a secret is in $what: $(grep -hnoF -f $T/f/secrets "$@" | head -3)" \
		grep -qF -f $T/f/secrets "$@"
}

# Of the hub and all that it started.
nothing_in_processes() {
	local pid
	for pid in "$1" $(pgrep -P "$1" || true); do
		for file in cmdline environ; do
			tr '\0' '\n' <"/proc/$pid/$file" >$T/seen
			nothing_in "$file" $T/seen
		done
	done
}

files_others_can_read() { find $T /run/wireguard -path $T/f -prune -o -type f -perm /077 -print; }
nothing_in_files() {
	local files
	mapfile -t files < <(files_others_can_read)
	must "no such file is there" [ ${#files[@]} -ge 3 ]
	nothing_in "a file that others can read" "${files[@]}"
}

log_in() { # SECONDS that the token lives
	ctl set "{\"expires_in\": $1}"
	factory_ctl login | (umask 077 && factory_get "json.dumps(j | {'created': __import__('time').time()})" >$creds)
}

# A server that repeats what it is sent, in the shapes that errors have.
echoing_faults() {
	local secret shape
	for secret in $(factory_get 'j["access_token"] + " " + j["refresh_token"]' <$creds) $header_value; do
		for shape in "{\\\"message\\\": \\\"no $secret\\\"}" "<p>$secret</p>" \
			"{\\\"error\\\": \\\"$secret\\\", \\\"access_token\\\": \\\"$secret\\\"}"; do
			echo "{\"do\": \"body\", \"status\": $1, \"body\": \"$shape\"}"
		done
	done
}

test_what_the_daemon_does_and_leaves_has_no_secret() {
	local fault n=0
	creds=$T/creds
	empty_world
	chmod 600 $T/clients # which will have a secret
	log_in 1
	daemon --header "X-Key: $header_value"
	wait_for 60 grep -q 'token renewed' $T/hub0.log || fail "no token is renewed"
	device 1
	engineer 3 $engineer_ip
	log_in 3600
	a_round
	while read -r fault; do
		ctl fault "$fault"
		kill -HUP $hub_pid
		wait_for 60 faults_are_met || fail "nobody asks: $fault"
		n=$((n + 1))
	done < <(echoing_faults 500; echoing_faults 403)
	must "only $n faults" [ $n = 18 ]
	wait_for 60 grep -q '403: no \*\*\*\*' $T/hub0.log || fail "they are not repeated"
	ctl clear
	ctl fault '{"do": "status", "status": 202, "match": "POST *", "json": {"access_token": "access.z", "refresh_token": "refresh.z"}}'
	echo "$(cat $T/p6.key)" >>$T/clients # the wrong half, and without an address
	wait_for 60 grep -q 'client left out' $T/hub0.log || fail "the line is taken"
	log_in 1
	wait_for 60 grep -q 'token not renewed' $T/hub0.log || fail "no 202 is seen"
	secrets
	nothing_in "the log" $T/hub0.log
	must_not "a token of an answer is in the log" grep -qF -e access.z -e refresh.z $T/hub0.log
	nothing_in_processes $hub_pid
	nothing_in_files
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	chmod 755 $T/state
	nothing_in_files
	nothing_in "the log" $T/hub0.log
}

# start WORD...: the daemon with these words for its credentials.
start() {
	ip netns exec hub env -u FACTORY_TOKEN LOG_LEVEL=debug "$wghub" --factory "$FACTORY_NAME" --privatekey $T/hub.key \
		--intf-name hub0 --api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" --state-dir $T/state \
		--no-hosts --clients-file $T/clients "$@" daemon >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 wg show hub0 || fail "the hub does not start: $(cat $T/hub0.log)"
}
ends() {
	nothing_in_processes $hub_pid
	nothing_in "the log" $T/hub0.log
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
}

header_arrives() { [ "$(factory_ctl requests | factory_get 'j[-1]["headers"]["x-key"]')" = $header_value ]; }

test_secrets_among_the_words_and_in_the_environment_are_wiped() {
	empty_world
	secrets
	start -t "$FACTORY_TOKEN" --header "X-Key: $header_value"
	wait_for 60 header_arrives || fail "the header does not arrive"
	ends
	start "--apitoken=$FACTORY_TOKEN" "--header=X-Key: $header_value"
	ends
	export APITOKEN=$FACTORY_TOKEN
	start
	unset APITOKEN
	ends
}

nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
# closed PID: no core file, and nothing for another process of the same user.
closed() {
	must "$1 may leave a core file" grep -qE '^Max core file size +0 +0 ' "/proc/$1/limits"
	case $wghub in *asan* | *tsan*) return ;; esac # a sanitizer attaches itself
	must_not "$1 can be looked into" "${nobody[@]}" cat "/proc/$1/environ" >/dev/null 2>&1
	must_not "$1 can be read" "${nobody[@]}" head -c 1 "/proc/$1/maps" >/dev/null 2>&1
}

test_no_core_file_and_no_look_from_outside() {
	local dir=$T/nobody pid
	empty_world
	mkdir $dir
	cp $T/hub.key $T/token $dir
	printf '[Interface]\nPrivateKey = %s\nAddress = 10.42.42.1/24\n' "$(cat $T/hub.key)" >$dir/hub1.conf
	chown -R 65534:65534 $dir
	chmod -R go= $dir
	chmod 755 $T/f $FACTORY_CA
	mkfifo $T/waits
	ulimit -c unlimited 2>/dev/null || true
	"${nobody[@]}" sleep 1000 &
	pid=$!
	wait_for 60 "${nobody[@]}" cat /proc/$pid/environ || fail "a process of nobody's is not like that"
	kill $pid
	ip netns exec hub "${nobody[@]}" "$wghub" -f "$FACTORY_NAME" \
		-a $dir/token -k $dir/hub.key -n hub0 --no-tun --state-dir $dir --socket-dir $dir \
		--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" daemon >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 grep -q 'hub runs' $T/hub0.log || fail "$(cat $T/hub0.log)"
	closed $hub_pid
	"${nobody[@]}" "$wghub" up -f --no-tun --socket-dir $dir $dir/hub1.conf >$T/hub1.log 2>&1 &
	hub_pids+=($!)
	wait_for 60 grep -q 'hub runs' $T/hub1.log || fail "$(cat $T/hub1.log)"
	closed $!
	"${nobody[@]}" "$wghub" pubkey <$T/waits >/dev/null &
	pid=$!
	exec 7>$T/waits
	wait_for 60 grep -qE '^Max core file size +0 +0 ' /proc/$pid/limits || fail "pubkey may leave a core file"
	closed $pid
	exec 7>&-
	wait $pid || true
}

commands() { "$wghub" --help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }'; }

# call COMMAND: as people use it, beside the hub hub0 and the interface hub1; with secrets to betray.
# What makes keys says them, and nothing else does.
call() {
	local api=(-f "$FACTORY_NAME" --api-url "$FACTORY_URL" --ca-file "$FACTORY_CA")
	local publish=(-t "$FACTORY_TOKEN" -k $T/hub.key "${api[@]}" --endpoint 10.99.0.1 --no-check-ip)
	case $1 in
	up) run up --no-tun --socket-dir $T $T/hub1.conf ;;
	show) run show --socket-dir $T hub1 --json && run show hub0 ;;
	top) run top hub0 --once --interval 0 ;;
	down) run down --socket-dir $T hub1 ;;
	daemon | enable_run) ;; # the tests above; enable_run is enable and daemon
	genkey | genpsk) ! "$wghub" "$1" | grep -qF -f $T/f/secrets ;;
	pubkey) run pubkey <$T/p1.key ;;
	sync) run sync ;;
	enable) run "${publish[@]}" -n hub0 --state-dir $T/state --no-hosts --clients-file $T/clients --unit-dir $T/units enable ;;
	update_endpoint) run "${publish[@]}" -n hub0 --port 5555 update_endpoint ;;
	login)
		ctl set '{"device_grant": false}'
		factory_ctl code | factory_get 'j["code"]' | run login "${api[@]}" -a $T/fresh --code-stdin
		;;
	status | devices) run "$1" --json && run "$1" ;;
	device) run device enable press-9 -a $T/token && run device show press-9 -a $T/token ;;
	client) client_calls ;;
	policy) run policy test $engineer_ip host && run policy check $T/policy ;;
	why) ip netns exec hub "$wghub" why $engineer_ip host >>$T/said 2>&1 || true ;; # it is not online
	doctor) ip netns exec hub env LOG_LEVEL=debug "$wghub" doctor >>$T/said 2>&1 || true ;; # it may find something
	server) run server show "${api[@]}" -t "$FACTORY_TOKEN" -k $T/hub.key --json ;;
	bench) ;; # knows no secret but its own
	*) fail "no call of wghub $1 in this test: add one" ;;
	esac
}
run() {
	echo "+ $1" >>$T/said
	ip netns exec hub env -u FACTORY_TOKEN LOG_LEVEL=debug "$wghub" "$@" >>$T/said 2>&1 || fail "$* says $(tail -3 $T/said)"
}

# A new client's private key is said to whoever asked for the client, and to nobody else.
client_calls() {
	local word
	ip netns exec hub env LOG_LEVEL=debug "$wghub" client add laptop9 --qr 2>>$T/said >$T/new.conf || fail "client add"
	chmod 600 $T/new.conf
	sed -n 's/^PrivateKey = //p' $T/new.conf | (umask 077 && cat >$T/laptop9.key)
	must "no private key" [ -s $T/laptop9.key ]
	for word in list "list --json" "check laptop9" pending "pending --json" "approve $(pub p5)"; do
		"$wghub" client $word >>$T/said 2>&1 || true # it is not online, nobody has called
	done
	run client remove laptop9
}

test_no_command_says_a_secret_or_hands_it_on() {
	local command
	empty_world
	make_key extra
	printf '[Interface]\nPrivateKey = %s\nAddress = 10.42.42.1/24\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.42.42.7/32\n' \
		"$(cat $T/extra.key)" "$(pub p1)" "$(wg genpsk | (umask 077 && tee $T/psk.key))" >$T/hub1.conf
	chmod 600 $T/hub1.conf
	mkdir -p $T/bin $T/units /run/systemd/system
	printf '#!/bin/bash\n{ echo "$@"; env; } >>%s/child\n' $T >$T/bin/systemctl
	chmod 755 $T/bin/systemctl
	PATH=$T/bin:$PATH
	echo 'deny client -> client' >$T/policy
	ctl device '{"name": "press-9", "raw": "enabled=0\n\npubkey='"$(pub p4)"'"}'
	daemon
	secrets
	must "the commands are not known" [ "$(commands | wc -l)" -ge 10 ]
	# The hub "up" makes is there for the others, and gone with "down".
	for command in up $(commands | grep -vxE 'up|down') down; do
		echo "$command"
		APITOKEN=$FACTORY_TOKEN call "$command"
	done
	secrets
	nothing_in "what commands say" $T/said
	must "nobody called systemctl" [ -s $T/child ]
	nothing_in "what another program is given" $T/child
	nothing_in_files
}

run_tests "$@"
