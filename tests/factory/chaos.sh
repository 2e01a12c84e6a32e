#!/bin/bash
# chaos.sh - the hub against a Factory on its worst day, for as long as somebody likes.
#
#   tests/factory/chaos.sh [SECONDS]        default 20; CHAOS_SEED repeats a day, the file
#                                           CHAOS_REPORT gets its figures
#
# Tokens live for a second, refresh tokens are good for one use, and a fifth of all requests is hit by
# a fault, drawn from all there are but for a list without devices, which the hub would rightly
# believe when it came twice. Certificates change, the API goes away and comes back, devices and
# engineers come and go. Whoever loses the refresh token logs in again, as a person would. Meanwhile
# two pings at 100 Hz lose nothing, the credentials file is valid whenever somebody reads it, and the
# counters of those who stay only grow. In the end the hub is what the Factory says, has leaked
# nothing (asan), and has told nobody a secret.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/world.sh

case ${1-} in [0-9]*) CHAOS_SECONDS=$1 && shift ;; esac
CHAOS_SECONDS=${CHAOS_SECONDS:-20}
CHAOS_SEED=${CHAOS_SEED:-$((RANDOM))}
TEST_SECONDS=$((CHAOS_SECONDS + 600))
RANDOM=$CHAOS_SEED
creds=$T/creds

faults='[
	{"do": "status", "status": 401}, {"do": "status", "status": 403, "message": "Missing scope"},
	{"do": "status", "status": 404}, {"do": "status", "status": 429, "retry_after": 3600},
	{"do": "status", "status": 500}, {"do": "status", "status": 503, "retry_after": 1},
	{"do": "status", "status": 204}, {"do": "status", "status": 202, "json": {"x": 1}},
	{"do": "status", "status": 302}, {"do": "status", "status": 500, "apply": true},
	{"do": "html"}, {"do": "html", "status": 502}, {"do": "body", "body": ""},
	{"do": "body", "body": "[[[[[["}, {"do": "body", "body": "{\"config\": 7}"},
	{"do": "truncate"}, {"do": "short"}, {"do": "huge"}, {"do": "huge", "chunked": true},
	{"do": "silent", "seconds": 1}, {"do": "slow", "chunk": 64, "ms": 20}, {"do": "delay", "ms": 700},
	{"do": "drop"}, {"do": "reset"}, {"do": "drop", "apply": true}, {"do": "hold", "seconds": 1},
	{"do": "redirect", "to": "other"}, {"do": "redirect", "to": "http", "status": 308},
	{"do": "redirect", "to": "main", "status": 307}, {"do": "redirect", "to": "main", "status": 303},
	{"do": "next", "to": "other", "match": "GET */config/"}]'

# A person who logs in: the file whole and at once, as every tool does it.
log_in() {
	factory_ctl login | (umask 077 && factory_get \
		'json.dumps({k: j[k] for k in ("access_token", "refresh_token")} |
		{"expires_in": 1, "created": __import__("time").time()})' >$creds.mine)
	mv $creds.mine $creds
}

# storm JSON-LIST: from now on a fifth of all requests. The OAuth server has its bad hours only, or the
# hub, which asks it ever more rarely, would see nothing but 401.
storm() { ctl chaos "{\"percent\": 20, \"seed\": $RANDOM, \"faults\": $1}"; }
api_faults=${faults//\{\"do\"/\{\"match\": \"GET *\", \"do\"}

# Until it is killed; a line for each thing that is wrong, and how often it has looked.
watch_creds() {
	exec /usr/bin/python3 - "$creds" "$1" <<'END'
import json, os, signal, sys, time
path, out = sys.argv[1:]
looks = 0
def end(*args):
    open(out, "a").write("looks %d\n" % looks)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    looks += 1
    try:
        with open(path) as file:
            mode, text = os.fstat(file.fileno()).st_mode & 0o777, file.read()
        creds = json.loads(text)
        assert mode == 0o600, "mode %o" % mode
        assert creds["access_token"].startswith("access."), "access_token"
        assert creds["refresh_token"].startswith("refresh."), "refresh_token"
        assert creds["created"] > 0
    except Exception as error:
        open(out, "a").write("bad %s: %r\n" % (type(error).__name__, error))
    time.sleep(0.001)
END
}

# Those who stay, with bytes received and sent, in the order of their names.
counters() {
	wg show hub0 transfer >$T/transfer || return 1
	local key
	for key in $stable; do grep -F "$key" $T/transfer || echo "$key is gone"; done
}
# A session that was dropped, and a peer that was made anew, begin again at zero.
counters_only_grow() {
	local now
	now=$(counters) || fail "the hub does not answer"
	[ -z "${counters_then-}" ] || must "a session was dropped: $counters_then, then $now" \
		awk 'NR == FNR { rx[$1] = $2; tx[$1] = $3; next }
			!($1 in rx) || $2 < rx[$1] || $3 < tx[$1] || NF != 3 { bad = 1 } END { exit bad }' \
		<(echo "$counters_then") <(echo "$now")
	counters_then=$now
}

# One thing that happens to somebody else.
something_happens() {
	case $((RANDOM % 15)) in
	0) ctl tls '{"cert": "untrusted", "times": 2}' ;;
	1) ctl tls '{"cert": "wrongname", "times": 2}' ;;
	2) ctl tls '{"cert": "garbage", "times": 1}' ;;
	3) ctl listen '{"on": false}' && sleep 0.3 && ctl listen '{"on": true}' ;;
	4) ctl set "{\"omit_expires_in\": $(one_of true false false false), \"report_expires_in\": $(one_of 0 1 1 1 2)}" ;;
	5) ctl set "{\"rotate\": $(true_or_false), \"error_shape\": \"$(one_of list map message oauth text)\"}" ;;
	6) ctl devices "{\"generate\": 5, \"prefix\": \"gen$((n_made++))-\", \"first_ip\": \"$(made_up_ip)\"}" ;;
	7) [ $n_made = $n_unmade ] || ctl devices "{\"remove_prefix\": \"gen$((n_unmade++))-\"}" ;;
	8) ctl device "{\"name\": \"press-2\", \"enabled\": $(true_or_false)}" ;;
	9) echo "$(wg genkey | wg pubkey) 10.42.43.$((RANDOM % 200 + 1)) passing" >>$T/clients ;;
	10) one_of x '# y' 'AAAA= 10.42.42.9' "$(wg genkey | tee -a $T/pasted)" >>$T/clients ;;
	11) storm "$faults" ;;
	12 | 13) storm "$api_faults" ;;
	14) cp $T/clients.mine $T/clients.new && mv $T/clients.new $T/clients ;;
	esac
}
made_up_ip() { echo "10.42.$((50 + n_made / 40 % 30)).$((n_made % 40 * 6 + 1))"; }
true_or_false() { one_of true false; }
one_of() { local all=("$@"); echo "${all[RANDOM % $#]}"; }

peers_by_factory() {
	factory_ctl state | factory_get '"\n".join(sorted(i["pubkey"] for i in j["ips"] if i["enabled"]))'
}
same_as_the_factory() {
	[ "$(wg show hub0 peers | sort)" = "$({ peers_by_factory; cut -d' ' -f1 $T/clients; } | sort)" ]
}
good_answers() {
	factory_ctl requests | factory_get 'sum(r["status"] == 200 and not r["fault"] and
		r["path"].endswith("/wireguard-ips/") for r in j)'
}

renewals() { grep -c 'token renewed' $T/hub0.log || true; }
was_a_day() { [ "$(good_answers)" -ge $((CHAOS_SECONDS / 5)) ] && [ "$(renewals)" -ge 3 ]; }

test_a_bad_day_disturbs_nobody() {
	echo "CHAOS_SEED=$CHAOS_SEED"
	local end n_made=0 n_unmade=0 n_logins=0 n_good
	empty_world
	ctl set '{"expires_in": 1}'
	log_in
	daemon
	for n in $stock; do device $n; done
	device 4 wide
	engineer 3 $engineer_ip
	wide_ip=$(address_of press-4)
	stock_ip=$(address_of press-1)
	ping_ok p3 $wide_ip
	cp $T/clients $T/clients.mine
	cp $T/hub.key $T/pasted
	stable="$($dev key press-1) $($dev key press-4) $($dev key press-5) $(pub p3)"
	watch_creds $T/watched &
	local watcher=$!
	ping_begins
	storm "$api_faults"
	end=$((SECONDS + CHAOS_SECONDS))
	# On a busy machine a day is longer: something has to have happened.
	while [ $SECONDS -lt $end ] || { [ $SECONDS -lt $((end + 100)) ] && ! was_a_day; }; do
		something_happens
		kill -HUP $hub_pid || fail "the hub is dead: $(tail -5 $T/hub0.log)"
		counters_only_grow
		if [ "$(grep -c 'login needed' $T/hub0.log)" -gt $n_logins ]; then
			n_logins=$(grep -c 'login needed' $T/hub0.log)
			log_in
		fi
		sleep 0.$((RANDOM % 4 + 1))
	done
	n_good=$(good_answers)
	ctl clear
	ctl listen '{"on": true}'
	cp $T/clients.mine $T/clients
	log_in
	kill -HUP $hub_pid
	wait_for 60 synced_since "$(rounds)" || fail "no sync after the storm: $(tail -5 $T/hub0.log)"
	wait_for 60 same_as_the_factory || fail "the hub is not what the Factory says"
	counters_only_grow
	ping_ends $((CHAOS_SECONDS * 50))
	kill -TERM $watcher && wait $watcher
	must "the credentials were looked at: $(tail -1 $T/watched)" grep -q 'looks [0-9]\{3\}' $T/watched
	must_not "the credentials were not valid: $(head -3 $T/watched)" grep -q bad $T/watched
	must "only $n_good good answers" [ $n_good -ge $((CHAOS_SECONDS / 5)) ]
	must "tokens were not renewed" [ "$(renewals)" -ge 3 ]
	factory_ctl secrets | factory_get '"\n".join(j)' >$T/f/secrets
	must_not "a secret is in the log" grep -qF -f $T/f/secrets $T/hub0.log
	must_not "a private key is in the log" grep -qF -f $T/hub.key -f $T/pasted $T/hub0.log
	echo "renewals $(renewals), logins $n_logins, good answers $n_good, syncs with changes" \
		"$(grep -c 'peers synced' $T/hub0.log), looks at the credentials $(sed -n 's/looks //p' $T/watched)"
	cp $T/test.out "${CHAOS_REPORT:-/dev/null}"
}

run_tests "$@"
