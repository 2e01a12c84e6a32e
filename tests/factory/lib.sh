# lib.sh - the test Factory for shell tests; source it.
#
#   factory_start [OPTION...]   a server in the background; sets the FACTORY_... variables of server.py
#   factory_stop                ends it; nothing is left
#   factory_ctl NAME [JSON]     an operation of its control; prints the JSON answer
#   factory_get EXPRESSION      reads a JSON text from stdin, prints a Python expression of it (j)
# All but factory_start work in any network namespace; the server itself is where it was started.

factory_here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

factory_start() {
	local lines
	lines=$("$factory_here/server.py" --background "$@") || return 1
	eval "$lines"
	export ${!FACTORY_*}
}

factory_stop() {
	factory_ctl stop >/dev/null
	# It is nobody's child that we could wait for.
	while [ -e "/proc/$FACTORY_PID" ]; do sleep 0.02; done
}

factory_ctl() {
	curl -sS --fail-with-body --max-time 20 --unix-socket "$FACTORY_SOCKET" \
		"http://factory/_control/$1" -d "${2:-{\}}"
}

factory_get() {
	/usr/bin/python3 -c 'import json, sys
j = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"
}
