# common.sh - what the scripts bench/run-*.sh share: programs, namespaces, hubs, tables. Sourced in
# the project's root, as root, with "set -euo pipefail".
#
# Each hub runs in a network namespace of its own, pinned to core 0, with a TUN device; the load
# generator in another one, wgb-load, pinned to core 1; a veth pair joins it to each hub. The
# wireguard-go hubs forward through the kernel (ip_forward=1), wghub does not.
#
# Hubs: ./wghub, the wireguard-go 0.0.20231211 of bookworm-backports (fetched into build/bench/ by
# an apt configuration of its own: the system is not touched) and the system's wireguard-go.
#   HUBS="wghub backports debian"   which ones, in this order; the first is compared with the rest
#   WGHUB=path                      another wghub
#   WGHUB_OPTIONS="--aead sodium"   for it
#   WGHUB_BEFORE=path               the hub "before" in HUBS: an older wghub, to tell what a change gave
# Everything that is made (namespaces wgb-*, processes, sockets) goes away at the end and on Ctrl-C.
# One script runs at a time: they would only measure each other.

build=build/bench
out=bench/out
wghub=${WGHUB:-./wghub}
hubs=${HUBS:-wghub backports debian}
namespaces=()
pids=()
sockets=()
targets=()

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }
# A line that the next one replaces, where a person looks at it.
progress() { [ -t 2 ] && printf '\r\033[K%s' "$*" >&2 || true; }

cleanup() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	for name in "${sockets[@]}"; do rm -f "/var/run/wireguard/$name.sock"; done
	for ns in "${namespaces[@]}"; do ip netns del "$ns" 2>/dev/null || true; done
}

bench_begin() {
	[ "$(id -u)" = 0 ] || die "needs root, for network namespaces"
	[ "$(nproc)" -ge 2 ] || die "needs two cores: one for the hub, one for the load"
	mkdir -p "$build" "$out" /var/run/wireguard
	exec 9>"$build/lock"
	flock -n 9 || { say "waiting for another benchmark"; flock 9; }
	trap cleanup EXIT
	trap 'exit 130' INT TERM
}

# ---- programs ----

# Unpacks the newer wireguard-go; prints its path, or nothing where it cannot be had.
backports_program() {
	local dir=$PWD/$build/apt program=$PWD/$build/wireguard-go/usr/bin/wireguard-go mirror
	[ -x "$program" ] && { echo "$program"; return; }
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 debian || true)
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"${mirror:-http://deb.debian.org/debian} bookworm-backports main" >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-END
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$dir/lists";
		Dir::Cache "$dir/cache";
		APT::Update::Post-Invoke-Success "";
		APT::Sandbox::User "root";
	END
	(
		cd "$dir"
		export APT_CONFIG=$dir/apt.conf
		apt-get -q update && apt-get -q download wireguard-go/bookworm-backports
		dpkg -x wireguard-go_*.deb ../wireguard-go
	) >"$dir/log" 2>&1 || say "bookworm-backports cannot be reached, see $build/apt/log"
	[ -x "$program" ] && echo "$program"
	return 0
}

# program_of HUB: sets label and program (words); false where this hub cannot be had.
program_of() {
	case $1 in
	wghub)
		label=wghub
		program=("$wghub" --workers 1 ${WGHUB_OPTIONS:-}) # one core, one worker
		;;
	sodium | avx2)
		label="wghub $1"
		program=("$wghub" --workers 1 --aead "$1")
		;;
	before)
		label="wghub before"
		program=("${WGHUB_BEFORE:?names no older wghub}" --workers 1 ${WGHUB_OPTIONS:-})
		;;
	backports)
		label="wireguard-go 0.0.20231211"
		program=("$(backports_program)")
		[ -n "${program[0]}" ]
		;;
	debian)
		program=("$(command -v wireguard-go)") || die "no wireguard-go here: apt-get install wireguard-go"
		label="wireguard-go $("${program[0]}" --version | sed -n '1s/.* v\?//p')"
		;;
	*) die "unknown hub $1: wghub, sodium, avx2, before, backports or debian" ;;
	esac
}

# ---- namespaces and hubs ----

namespace_add() {
	ip netns add "$1"
	namespaces+=("$1")
	ip -n "$1" link set lo up
}

# tunnel_start NAMESPACE INTERFACE CORE PROGRAM...: sets pid. Ready when it returns.
tunnel_start() {
	local ns=$1 name=$2 core=$3
	shift 3
	sockets+=("$name")
	WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error ip netns exec "$ns" \
		taskset -c "$core" "$@" -f "$name" >"$build/$name.log" 2>&1 9>&- &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 50); do
		[ -S "/var/run/wireguard/$name.sock" ] && return
		kill -0 "$pid" 2>/dev/null || die "$1 has ended: $(cat "$build/$name.log")"
		sleep 0.1
	done
	die "$1 does not start: $(cat "$build/$name.log")"
}

# hub_start HUB: as hub_place, unless this hub cannot be had.
hub_start() {
	program_of "$1" || return 0
	hub_place "$1" 0
}

# hub_place NAME CORES [WORDS]: label and program in a namespace with a link, TUN up; adds it to
# targets, with the words that bench/hub knows.
hub_place() {
	local i=${#namespaces[@]} name=wgb-$1 cores=$2 words=${3-} forward=1
	namespace_add "$name"
	ip link add "$name" netns wgb-load type veth peer name outer netns "$name"
	ip -n wgb-load addr add "198.18.$i.2/24" dev "$name"
	ip -n "$name" addr add "198.18.$i.1/24" dev outer
	ip -n wgb-load link set "$name" up
	ip -n "$name" link set outer up
	[ "$label" = "${label#wghub}" ] || forward=0
	# Peers are on one link in the kernel's eyes; it need not tell them so with each packet.
	ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=$forward \
		net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
	tunnel_start "$name" "$name" "$cores" "${program[@]}"
	ip -n "$name" addr add 10.77.0.1/16 dev "$name"
	ip -n "$name" link set "$name" mtu 1420 up
	targets+=(--target "$label,$name,198.18.$i.1,$pid${words:+,$words}")
}

hubs_start() {
	namespace_add wgb-load
	for hub in $hubs; do hub_start "$hub"; done
}

# load_run PROGRAM ARGUMENTS...: one of build/release/bench against the hubs.
load_run() {
	local program=$1
	shift
	ip netns exec wgb-load "build/release/bench/$program" --core 1 --hub-core 0 "${targets[@]}" "$@"
}

# ---- figures ----

# cpu_ns PID: what its threads have used.
cpu_ns() {
	cat "/proc/$1/task/"*/schedstat 2>/dev/null | awk '{sum += $1} END {printf "%.0f\n", sum}'
}

# report NAME TITLE: reads lines "metric unit higher|lower hub round value", separated by tabs;
# prints the table, writes bench/out/NAME.json.
report() {
	awk -f bench/lib/report.awk -v topic="$1" -v title="$2" -v json="$out/$1.json" \
		-v date="$(date -u +%F)" -v kernel="$(uname -r)" -v cores="$(nproc)" \
		-v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
	say "also in $out/$1.json"
}
