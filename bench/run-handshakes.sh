#!/bin/bash
# run-handshakes.sh - handshakes, side by side: how many a second (bench/handshakes), and what
# remains of forwarding while bad ones pour in (bench/flood). As root.
#
# lib/common.sh says where everything runs and what HUBS and WGHUB do.
#   bench/run-handshakes.sh [handshakes|flood] [ARGUMENTS...]   both without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

which=all
case ${1-} in handshakes | flood)
	which=$1
	shift
	;;
esac
bench_begin
hubs_start
[ $which = flood ] || load_run handshakes "$@" | report handshakes "Completed handshakes, hub on one core"
[ $which = handshakes ] || load_run flood "$@" |
	report flood "Forwarding under 50,000 bad initiations a second"
