#!/bin/bash
# deps.sh - installs what building, demonstration and tests need and this machine lacks.
#
#   tests/deps.sh build|demo|check|deb|arm    (make deps: all but the last two)
#   tests/deps.sh libraries                   only says what is linked, for tests/arm_root.sh
#
# As root on Debian and its relatives: apt-get, only for what is missing, saying what it does.
# Otherwise: says which command to give. Exit: 0 nothing is missing (any more), 1 something is.
set -u

libraries="libsodium-dev libuv1-dev libmnl-dev liburcu-dev libjansson-dev libcurl4-openssl-dev libseccomp-dev libcap-ng-dev libqrencode-dev libmicrohttpd-dev"
build="make gcc libc6-dev pkg-config $libraries"
# Intel's multi-buffer library is there on x86 only; without it the hub is built without it.
[ "$(uname -m)" != x86_64 ] || build="$build libipsec-mb-dev"
demo="bash python3 openssl curl util-linux procps iproute2 iputils-ping traceroute iperf3 wireguard-go wireguard-tools"
check="clang g++ libclang-rt-dev libcmocka-dev scdoc binutils tcpdump socat valgrind zbar-tools prometheus"
arm="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
deb="scdoc debhelper dpkg-dev fakeroot lintian debootstrap systemd-container"

case ${1-} in
deb) wanted="$build $deb" ;;
arm) wanted="$build $arm" ;;
libraries) echo "$libraries"; exit 0 ;;
build) wanted=$build ;;
demo) [ "$(id -u)" = 0 ] && wanted="$build $demo" || wanted="$build python3 openssl curl util-linux procps" ;;
check) wanted="$build $demo $check" ;;
*) echo "usage: $0 build|demo|check|deb|arm|libraries" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "deps: this is not a Debian system; needed are (by Debian's names): $wanted" >&2
	exit 0 # perhaps they are there: the build will tell
fi

missing=()
for package in $wanted; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
		missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing: ${missing[*]}" >&2
	echo "deps: as root, give: apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
echo "deps: installing with apt-get: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -o DPkg::Lock::Timeout=300"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if ! { $apt update && $apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -20 "$log" >&2
	echo "deps: apt-get failed; its last words are above" >&2
	exit 1
fi
echo "deps: done"
