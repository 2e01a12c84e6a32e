#!/bin/bash
# run.sh - runs tests that are built already, prints the name and verdict of each, and ends with one
# line: "N passed, N failed" (", N skipped" may follow). Exit: 0 if nothing failed.
#
#   tests/run.sh [--variant V] [SUITE...]           default: layers manual units count library fuzz interop factory reach
#
#   layers    tests/layers.sh
#   manual    tests/manual.sh: build/V/wghub, its manual pages and completion agree
#   units     the cmocka programs build/V/tests/*/test_*; those for aarch64 by qemu-user where need be
#   count     bench/count.sh: instructions for each packet, of build/V/bench/core; needs valgrind
#   fuzz      the fuzz targets build/fuzz/tests/fuzz/fuzz_*, each for FUZZ_SECONDS (default 5)
#             from FUZZ_SEED on (default 1; 0 is another one each time)
#   library   tests/library: the installed library, its promises, and the examples
#   interop   the scripts of tests/interop against build/V/wghub; needs root
#   factory   tests/factory: the test Factory itself, and build/V/wghub following it; needs root
#   reach     tests/reach: who reaches whom through build/V/wghub, policy and NAT; needs root
#
# V is release unless --variant or SUITE:V says otherwise: units:asan, interop:tsan. What is not
# built, a missing tool, and a program that ends early are failures. The scripts mostly wait, so up
# to INTEROP_JOBS (default 3) run at a time, and the one that takes minutes (rekey) begins before
# everything else. Of unit tests and fuzz targets UNIT_JOBS (default: as many as there are processors)
# run at a time.
set -u
cd "$(dirname "$0")/.." || exit 1

FUZZ_SECONDS=${FUZZ_SECONDS:-5}
FUZZ_SEED=${FUZZ_SEED:-1}
INTEROP_JOBS=${INTEROP_JOBS:-3}
UNIT_SECONDS=${UNIT_SECONDS:-1800}
UNIT_JOBS=${UNIT_JOBS:-$(nproc)}
variant=release
suites=()
n_passed=0
n_failed=0
n_skipped=0
failures=()
work=$(mktemp -d "${TMPDIR:-/tmp}/wghub-tests.XXXXXX") || exit 1

end() {
	# Only what still runs: the number of a process that has ended is soon another's.
	local running
	running=$(jobs -rp)
	[ -z "$running" ] || { pkill -P "${running//$'\n'/,}"; kill $running; } 2>/dev/null
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

# A reason of several lines is printed below the verdict.
passed() {
	n_passed=$((n_passed + 1))
	echo "ok $1"
}
failed() {
	n_failed=$((n_failed + 1))
	failures+=("$1: $2")
	echo "not ok $1: $2"
}
skipped() {
	n_skipped=$((n_skipped + 1))
	echo "skipped $1"
}
print_log() { [ ! -s "$1" ] || tail -60 "$1" | sed 's/^/#   /'; }

# ---- suites ----

run_layers() {
	if tests/layers.sh "build/$1" >"$work/layers" 2>&1; then
		passed "layers"
	else
		failed "layers" "see below"
		print_log "$work/layers"
	fi
	if tests/faults.sh >"$work/faults"; then
		passed "factory-faults.md names tests that exist"
	else
		failed "factory-faults.md" "see below"
		print_log "$work/faults"
	fi
	if tests/events.sh >"$work/events"; then
		passed "EVENTS.md names the events that there are"
	else
		failed "EVENTS.md" "see below"
		print_log "$work/events"
	fi
}

# judge SUITE SCRIPT: by the lines "ok NAME" and "not ok WHY" that it left in $work/SUITE.
judge() {
	local line n=0
	while IFS= read -r line; do
		n=$((n + 1))
		case $line in
		"ok "*) passed "$1/${line#ok }" ;;
		*) failed "$1" "${line#not ok }" ;;
		esac
	done <"$work/$1"
	[ $n != 0 ] || failed "$1" "$2 says nothing"
	print_log "$work/$1.err"
}

run_manual() {
	tests/manual.sh "build/$1/wghub" >"$work/manual" 2>"$work/manual.err"
	judge manual tests/manual.sh
}

# What those for another machine are started with: "make check-aarch64" on x86.
emulator=
emulate() {
	[ "$1" = aarch64 ] && [ "$(uname -m)" != aarch64 ] || return 0
	emulator=qemu-aarch64
	export WGHUB_EMULATOR=$emulator QEMU_LD_PREFIX=$PWD/build/arm-root
}

# It knows neither seccomp, SO_MARK, SO_MEMINFO nor PR_SET_CHILD_SUBREAPER, nor what a mapping is
# advised to be.
emulator_cannot() {
	case $1 in
	test_data_path_thread_* | test_protocol_thread_*) ;;
	test_fwmark_needs_the_right_to_change | test_what_waits_in_the_system_is_told_*) ;;
	test_command_that_hangs_is_ended_* | test_what_a_command_leaves_in_the_background_*) ;;
	test_secret_pages_are_*) ;;
	*) return 1 ;;
	esac
}

# beside NAME COMMAND...: in the background, as soon as fewer than UNIT_JOBS of these run; what it says is in
# $work/NAME and $work/NAME.err, its exit code in $work/NAME.code: the shell forgets that of a process
# whose number is another's by now.
declare -A pid_of
beside() {
	local name=$1 pid n
	shift
	while :; do
		n=0
		for pid in $(jobs -rp); do [ "$pid" = "$early_pid" ] || n=$((n + 1)); done
		[ $n -ge "$UNIT_JOBS" ] || break
		sleep 0.05
	done
	{
		"$@" >"$work/$name" 2>"$work/$name.err"
		echo $? >"$work/$name.code"
	} &
	pid_of[$name]=$!
}

# Waits for it and gives its exit code, 137 if it was killed with the shell that wrote it.
code_of() { # NAME VARIABLE
	wait "${pid_of[$1]}" 2>/dev/null
	[ -e "$work/$1.code" ] || echo 137 >"$work/$1.code"
	read -r "$2" <"$work/$1.code"
}

# In a network of its own, where nobody else has a port; only root may.
alone_in_net() {
	if [ "$(id -u)" = 0 ]; then
		timeout -k 10 "$UNIT_SECONDS" unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
	else
		timeout -k 10 "$UNIT_SECONDS" "$@"
	fi
}

unit_begin() { CMOCKA_MESSAGE_OUTPUT=TAP beside "$1" alone_in_net $emulator "build/$1"; }

# One program in TAP; cmocka prints a skipped test as "not ok N # SKIP name".
unit_end() {
	local title=$2 out=$work/$1 code=0 n_planned=0 n_seen=0 n_bad=0 n_beyond=0 line name
	code_of "$1" code
	while IFS= read -r line; do
		name=${line#* - }
		case $line in
		1..*) n_planned=$((n_planned + ${line#1..})) ;; # one for each group
		"ok "*)
			passed "$title $name"
			n_seen=$((n_seen + 1))
			;;
		"not ok "*"# SKIP"*)
			skipped "$title ${line##*# SKIP }"
			n_seen=$((n_seen + 1))
			;;
		"not ok "*)
			n_seen=$((n_seen + 1))
			if [ -n "$emulator" ] && emulator_cannot "$name"; then
				skipped "$title $name"
				n_beyond=$((n_beyond + 1))
			else
				failed "$title $name" "see below"
				n_bad=$((n_bad + 1))
			fi
			;;
		"#"*) [ $n_bad -eq 0 ] || echo "$line" ;;
		esac
	done <"$out"
	if [ $code = 124 ] || [ $code = 137 ]; then
		failed "$title" "takes longer than $UNIT_SECONDS s"
	elif [ $n_seen != "$n_planned" ] || [ $n_seen = 0 ]; then
		failed "$title" "ended with code $code after $n_seen of $n_planned tests"
	elif [ $code != 0 ] && [ $n_bad = 0 ] && [ $n_beyond = 0 ]; then
		failed "$title" "all tests passed, but it ended with code $code"
	fi
	[ $code = 0 ] || print_log "$out.err"
}

# What the thread sanitizer is for: everything else has one thread and would only take minutes.
is_threaded() {
	case $1 in
	tests/io/* | tests/core/test_ring.c | tests/core/test_session.c | tests/core/test_timers.c | tests/core/test_worker.c) ;;
	tests/core/test_flow_threads.c | tests/core/test_decide_threads.c) ;;
	*) return 1 ;;
	esac
}

run_units() {
	local source name suffix= begun=()
	[ "$1" = release ] || suffix=" [$1]"
	emulate "$1"
	for source in tests/*/test_*.c; do
		[ "$1" != tsan ] || is_threaded "$source" || continue
		name=$1/${source%.c}
		if [ -x "build/$name" ]; then
			mkdir -p "$(dirname "$work/$name")"
			unit_begin "$name"
			begun+=("$name")
		else
			failed "build/$name" "is not built"
		fi
	done
	for name in "${begun[@]}"; do unit_end "$name" "${name#"$1"/tests/}$suffix"; done
}

run_count() {
	BENCH_CORE=build/$1/bench/core bench/count.sh >"$work/count" 2>"$work/count.err"
	judge count bench/count.sh
}

run_fuzz() {
	local source name program code begun=()
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		program=build/fuzz/tests/fuzz/$name
		if [ ! -x "$program" ]; then
			failed "$program" "is not built"
			continue
		fi
		mkdir -p "$work/$name.found"
		beside "$name" "$program" -max_total_time="$FUZZ_SECONDS" -seed="$FUZZ_SEED" -timeout=60 \
			-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
			"$work/$name.found" "tests/fuzz/corpus/${name#fuzz_}"
		begun+=("$name")
	done
	for name in "${begun[@]}"; do
		code_of "$name" code
		if [ "$code" = 0 ]; then
			passed "fuzz/$name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.err") inputs)"
		else
			failed "fuzz/$name" "the input is in build/fuzz/$name-*"
			print_log "$work/$name.err"
		fi
	done
}

# ---- scripts with namespaces: interop, factory, reach ----

scripts_tools() {
	local tool n_missing=0
	for tool in ip wg wg-quick wireguard-go ping traceroute iperf3 socat ss sysctl setpriv unshare \
		timeout sha256sum pgrep script curl openssl python3 zbarimg; do
		command -v $tool >/dev/null || {
			failed "$1" "$tool is not installed: make deps"
			n_missing=$((n_missing + 1))
		}
	done
	[ "$(id -u)" = 0 ] || {
		failed "$1" "needs root, for network namespaces"
		n_missing=1
	}
	[ -c /dev/net/tun ] || {
		failed "$1" "needs /dev/net/tun"
		n_missing=1
	}
	[ $n_missing = 0 ]
}

# script_begin FOLDER VARIANT NAME: in the background, output to a file.
script_begin() {
	WGHUB=build/$2/wghub TESTBIN=build/$2/tests/interop "tests/$1/$3.sh" >"$work/$1-$2-$3" 2>&1 &
}

script_end() {
	local line name suffix= n=0 file=$work/$1-$2-$3
	[ "$2" = release ] || suffix=" [$2]"
	while IFS= read -r line; do
		name=${line#ok }
		case $line in
		"ok "*)
			passed "$1/$3$suffix $name"
			n=$((n + 1))
			;;
		"not ok "*)
			name=${line#not ok }
			failed "$1/$3$suffix ${name%%: *}" "${name#*: }"
			n=$((n + 1))
			;;
		*) echo "$line" ;;
		esac
	done <"$file"
	local n_wanted
	n_wanted=$(grep -c '^test_[a-z0-9_]*()' "tests/$1/$3.sh")
	[ $n = "$n_wanted" ] || failed "$1/$3$suffix" "$n of $n_wanted tests ran"
}

# run_scripts FOLDER VARIANT NAME...: beside those that run already.
run_scripts() {
	local folder=$1 of=$2 next=0 names
	shift 2
	names=("$@")
	while [ $next -lt ${#names[@]} ]; do
		if [ "$(jobs -rp | wc -l)" -lt "$INTEROP_JOBS" ]; then
			script_begin "$folder" "$of" "${names[next]}"
			next=$((next + 1))
		else
			wait -n
		fi
	done
	wait
}

interop_is_built() {
	local name
	for name in "build/$1/wghub" "build/$1/tests/interop/flow" "build/$1/tests/interop/garbage"; do
		[ -x "$name" ] || { failed "$name" "is not built"; return 1; }
	done
}

run_interop() {
	local name names=(protocol forward) # the longest first
	[ "$early" = "$1" ] || return # it was said why
	for name in tests/interop/*.sh; do
		name=$(basename "$name" .sh)
		[ "$name" = lib ] || [ "$name" = rekey ] || [[ " ${names[*]} " = *" $name "* ]] || names+=("$name")
	done
	run_scripts interop "$1" "${names[@]}"
	for name in rekey "${names[@]}"; do script_end interop "$1" "$name"; done
}

run_library() {
	local name names=(test_library test_examples)
	run_scripts library "$1" "${names[@]}"
	for name in "${names[@]}"; do script_end library "$1" "$name"; done
}

run_reach() {
	local name names=(test_reach) # the longest first
	for name in tests/reach/test_*.sh; do
		name=$(basename "$name" .sh)
		[ "$name" = test_reach ] || names+=("$name")
	done
	scripts_tools reach && interop_is_built "$1" || return
	run_scripts reach "$1" "${names[@]}"
	for name in "${names[@]}"; do script_end reach "$1" "$name"; done
}

run_factory() {
	local name names=(e2e chaos clients enable events login migrate secrets) # the longest first
	for name in tests/factory/test_*.sh; do names+=("$(basename "$name" .sh)"); done
	scripts_tools factory && interop_is_built "$1" || return
	run_scripts factory "$1" "${names[@]}"
	for name in "${names[@]}"; do script_end factory "$1" "$name"; done
}

# ---- all of it ----

while [ $# -gt 0 ]; do
	case $1 in
	--variant)
		variant=${2:?"--variant needs a value"}
		shift
		;;
	layers | manual | units | count | library | fuzz | interop | factory | reach | library:* | layers:* | units:* | interop:* | factory:* | reach:*)
		suites+=("$1")
		;;
	*)
		echo "usage: tests/run.sh [--variant V] [layers|manual|units|count|library|fuzz|interop|factory|reach[:VARIANT]]..." >&2
		exit 2
		;;
	esac
	shift
done
[ ${#suites[@]} -gt 0 ] || suites=(layers manual units count library fuzz interop factory reach)

variant_of() { [ "${1#*:}" = "$1" ] && echo "$variant" || echo "${1#*:}"; }

early=
early_pid=
for suite in "${suites[@]}"; do
	of=$(variant_of "$suite")
	[ "${suite%%:*}" = interop ] && [ -z "$early" ] || continue
	scripts_tools interop && interop_is_built "$of" && early=$of &&
		script_begin interop "$of" rekey && early_pid=$!
done
for suite in "${suites[@]}"; do
	of=$(variant_of "$suite")
	echo "== ${suite%%:*} ($of)"
	"run_${suite%%:*}" "$of"
done

if [ $n_failed -gt 0 ]; then
	echo "== failed"
	printf '%s\n' "${failures[@]}"
fi
line="$n_passed passed, $n_failed failed"
[ $n_skipped = 0 ] || line="$line, $n_skipped skipped"
echo "$line"
[ $n_failed = 0 ]
