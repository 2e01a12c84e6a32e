# sandbox.sh - runs a bash script in mount, network and process namespaces of its own.
#
#   sandbox "$@"     once, at the top; afterwards the script is process 1 of a small machine
#
# Inside, /run is empty and private: network namespaces (ip netns), UAPI sockets and temporary files
# live there. Nothing has to be cleaned up: when the script ends, fails, or is interrupted, the
# kernel ends every process and forgets every namespace with it. Two of them never meet.
# Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN).

sandbox() {
	if [ "${1-}" = --inside ] && [ $$ = 1 ]; then
		mount -t tmpfs -o mode=755 sandbox /run
		[ /var/run -ef /run ] || mount --bind /run /var/run
		mkdir -m 755 -p /run/netns /run/wireguard /run/tmp
		ip link set lo up
		return
	fi
	# The script proper is a child, so that this shell can end it: process 1 has to be killed.
	setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc \
		"$BASH" "$0" --inside "$@" &
	local child=$!
	trap 'kill -KILL $child 2>/dev/null; echo "$0: interrupted; nothing is left behind" >&2; exit 130' \
		INT TERM HUP
	wait $child
	exit
}

# wait_for SECONDS COMMAND...: again and again until it succeeds; false when time is up.
wait_for() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ ${EPOCHREALTIME/./} -lt $end ] || return 1
		sleep 0.05
	done
}
