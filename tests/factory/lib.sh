# lib.sh - the test Factory for shell tests; source it.
#
#   factory_start [OPTION...]   a server in the background; sets and exports FACTORY_... (server.py)
#   factory_stop                ends it; nothing is left
#   factory_ctl NAME [JSON]     an operation of its control; prints the JSON answer
#   factory_get EXPRESSION      reads a JSON text from stdin, prints a Python expression of it (j)
#   factory_call METHOD PATH [CURL-OPTION...]
#                               a request to FACTORY_URL with the credentials in factory_auth (at first
#                               the API token); sets $status (000: none), $curl_code, $head, $body
#   factory_body EXPRESSION     factory_get of $body
# factory_start and factory_call are for the network namespace that the server is in; the rest works
# in any.

factory_here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

factory_start() {
	local lines
	lines=$("$factory_here/server.py" --background "$@") || return 1
	eval "$lines"
	export ${!FACTORY_*}
	factory_auth=(-H "OSF-TOKEN: $FACTORY_TOKEN")
}

factory_stop() {
	factory_ctl stop >/dev/null
	# It is nobody's child that we could wait for.
	while [ -e "/proc/$FACTORY_PID/exe" ]; do sleep 0.02; done
}

factory_ctl() {
	curl -sS --fail-with-body --max-time 120 --unix-socket "$FACTORY_SOCKET" \
		"http://factory/_control/$1" -d "${2:-{\}}"
}

factory_get() {
	/usr/bin/python3 -c 'import json, sys
j = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"
}

factory_call() {
	local method=$1 url=$2
	shift 2
	case $url in /*) url=$FACTORY_URL$url ;; esac
	rm -f "$FACTORY_DIR/curl.head" "$FACTORY_DIR/curl.body"
	curl_code=0
	status=$(curl -sS --max-time "${FACTORY_CALL_SECONDS:-120}" --cacert "$FACTORY_CA" -X "$method" \
		-D "$FACTORY_DIR/curl.head" -o "$FACTORY_DIR/curl.body" -w '%{http_code}' \
		"${factory_auth[@]}" "$@" "$url" 2>"$FACTORY_DIR/curl.error") || curl_code=$?
	head=$(tr -d '\r' 2>/dev/null <"$FACTORY_DIR/curl.head") || head=
	body=$(head -c 65536 "$FACTORY_DIR/curl.body" 2>/dev/null) || body=
}

factory_body() { factory_get "$1" <<<"$body"; }
