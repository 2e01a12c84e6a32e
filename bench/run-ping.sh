#!/bin/bash
# run-ping.sh - one packet at a time through idle hubs, side by side: bench/lone. As root.
#
# lib/common.sh says where everything runs and what HUBS and WGHUB do; arguments go to bench/lone.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

bench_begin
hubs_start
load_run lone "$@" | report ping "A lone packet through an idle hub, there and back"
