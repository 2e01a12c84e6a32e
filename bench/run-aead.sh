#!/bin/bash
# run-aead.sh - wghub with slower AEAD back ends against wireguard-go: libsodium, which is there on
# every machine, and a machine that has AVX2 but no AVX-512. As root; arguments go to bench/hub.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

bench_begin
namespace_add wgb-load
program_of backports || die "without wireguard-go from bookworm-backports there is nothing to compare with"
for hub in backports sodium avx2; do hub_start "$hub"; done
load_run hub --over-first --sizes 1420 --json "$out/backends.json" "$@"
