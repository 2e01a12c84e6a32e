#!/bin/bash
# run-hub.sh - wghub and wireguard-go side by side under the load of bench/hub, as root.
#
# lib/common.sh says where everything runs and what HUBS, WGHUB and WGHUB_OPTIONS do. Arguments go
# to bench/hub:
#   bench/run-hub.sh --bursts 64 --sizes 64,1420 --rounds 11 --json bench/out/hub.json
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

bench_begin
hubs_start
load_run hub "$@"
