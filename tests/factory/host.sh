# host.sh - a host that becomes a factory's hub, for the tests of that; source it after lib.sh. systemd
# is a script here that notes what it is asked and starts ExecStart as it stands (unit.py). Standard
# input is no terminal, so nothing may ask.

ctl() { factory_ctl "$@" >/dev/null; }
state() { factory_ctl state | factory_get "$1"; }
published() { state "next(f['value'] for f in j['config'][0]['files'] if f['name'] == 'wireguard-server')"; }
count() { factory_ctl counts | factory_get "j.get('$1', 0)"; }
n_patches() { count "PATCH /ota/factories/$FACTORY_NAME/config/"; }
n_token_requests() { echo $(($(count 'POST /oauth/token') + $(count 'POST /oauth/token/'))); }
file_is() { # PUBKEY ENDPOINT [ADDRESS]
	equal "$(published)" "endpoint=$2
server_address=${3:-10.42.42.1}
pubkey=$1"
}

# One more Factory, whose variables count from then on.
factory_in_hub() { # DIRECTORY [SERVER-OPTION...]
	local lines
	lines=$(in_ns hub tests/factory/server.py --background --dir "$@")
	eval "$lines"
	export ${!FACTORY_*}
	api=(--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA")
}

# A Factory, and a systemd that runs here.
begin() { # [SERVER-OPTION...]
	new_ns hub
	ip -n hub addr add 10.99.0.1/32 dev lo
	factory_in_hub $T/f "$@"
	mkdir -p /run/systemd/system $T/bin $T/units $T/state
	: >$T/asked
	cat >$T/bin/systemctl <<'END'
#!/bin/bash
T=/run/tmp
echo "$*" >>$T/asked
unit=${@: -1}
runs() { [ -e "$T/$unit.pid" ] && kill -0 "$(cat "$T/$unit.pid")" 2>/dev/null; }
stop() {
	runs || return
	kill -TERM "$(cat "$T/$unit.pid")"
	while runs; do sleep 0.02; done
}
case $1 in
is-active) runs ;;
stop) stop ;;
restart)
	stop
	rm -f "$T/units/$unit.ready"
	setsid $T/bin/unit.py "$T/units/$unit" </dev/null >>$T/unit.log 2>&1 &
	echo $! >"$T/$unit.pid"
	grep -qx Type=notify "$T/units/$unit" || exit 0
	until [ -e "$T/units/$unit.ready" ]; do # as systemctl does
		runs || { echo "Job for $unit failed" >&2; exit 1; }
		sleep 0.02
	done
	;;
esac
END
	chmod +x $T/bin/systemctl
	cp tests/factory/unit.py $T/bin/unit.py
	PATH=$T/bin:$PATH
	places=(--state-dir $T/state --clients-file $T/clients --no-hosts --unit-dir $T/units)
}
asked() { grep -c "^$1" $T/asked || true; }

# try WORD...: wghub in the hub's namespace; $code, $T/out, $T/err.
try() {
	code=0
	timeout 60 ip netns exec hub "$wghub" "$@" </dev/null >$T/out 2>$T/err || code=$?
	! grep -q 'Sanitizer\|runtime error' $T/err || fail "a sanitizer complains: $(cat $T/err)"
}
good() {
	try "$@"
	equal $code 0 "$* says $(cat $T/err)"
}
bad() { # CODE TEXT WORD...
	local wanted=$1 text=$2
	shift 2
	try "$@"
	equal $code "$wanted" "$* says $(cat $T/out $T/err)"
	must "$* says $(cat $T/err)" grep -qF -- "$text" $T/err
}
with_token=()
enable() { # [OPTION...]
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}")
	good "${with_token[@]}" "${places[@]}" enable "$@"
}
key_pub() { wg pubkey <"${1:-$T/key}"; }
unit() { cat "$T/units/factory-vpn-$FACTORY_NAME.service"; }
hub_listens() { [ "$(wg show hub0 listen-port 2>/dev/null)" = "$1" ]; }
unit_ends() {
	in_ns hub systemctl stop "factory-vpn-$FACTORY_NAME.service"
	! grep -q 'Sanitizer\|runtime error' $T/unit.log || fail "a sanitizer complains"
}
no_secret_in() { # FILE...: neither a token nor the private key
	factory_ctl secrets | factory_get "'\n'.join(j)" >$T/secrets
	[ ! -e $T/key ] || cat $T/key >>$T/secrets
	must_not "a secret is in one of $*" grep -qFf $T/secrets "$@"
}

another_hub() {
	ctl config "{\"value\": \"endpoint=other.example.net:5555\nserver_address=10.42.42.1\npubkey=$1${2-}\"}"
}
