# lib.sh - what the scripts share that run inside a Debian of their own, as its root.
T=/run/test
mkdir -p $T
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
unit=

fail() {
	echo "$*" >$T/reason
	exit 1
}
equal() { [ "$1" = "$2" ] || fail "'$1' is not '$2' ${3-}"; }
# wait_for SECONDS COMMAND...
wait_for() {
	local n=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $((n--)) -gt 0 ] || return 1
		sleep 0.05
	done
}
# A line of /proc/PID/status
status_of() { sed -n "s/^$2:[ \t]*//p" "/proc/$1/status"; }

try() {
	rm -f $T/reason
	(
		set -eE
		trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
		"$1"
	) >$T/out 2>&1
	if [ $? = 0 ]; then
		echo "ok $1"
		return
	fi
	echo "not ok $1: $(cat $T/reason 2>/dev/null)"
	tail -20 $T/out | sed 's/^/#   /'
	[ -z "$unit" ] || journalctl -q -n 20 -u "$unit" --no-pager 2>/dev/null | sed 's/^/#   /'
}

# run_tests SCRIPT: its functions test_*, in their order; each goes on where the one before ended.
run_tests() {
	local name
	for name in $(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$1"); do try "$name"; done
	echo "done"
}
