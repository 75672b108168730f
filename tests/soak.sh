#!/usr/bin/env bash
# The suites that are too long for every change. Says at the end what ran; the first failure ends it.
#   RUNS=200     failovers with random kills of leaders and executors, SERVICES (8) at a time
#   CUTS=60      power cuts of a coordinator's disk (root and qemu-storage-daemon, else skipped)
#   HISTORIES=25 histories of what clients are answered under faults, judged by two checkers (docs/linearizability.md)
#   STORMS=25    storms between regions far apart: cuts, losses, kills, stops, several at a time (root and TUN devices, else skipped)
#   SEEDS=100000 seeds of the core simulator, 80 a second on two cores
#   ROUNDS=3     the whole-mesh suite again and again
#   SEED=…       where the seeds begin; by default the date
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-200} services=${SERVICES:-8} cuts=${CUTS:-60} histories=${HISTORIES:-25} storms=${STORMS:-25} seeds=${SEEDS:-100000} rounds=${ROUNDS:-3} seed=${SEED:-$(date +%Y%m%d)}
waves=$(((runs + services - 1) / services))
cargo build --locked --workspace --bins

if ! compgen -G '/usr/lib*/faketime/libfaketimeMT.so.1' >/dev/null && ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null &&
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "make soak installs libfaketime, for the rows with clocks that are stepped"
  apt-get install --yes --quiet libfaketime >/dev/null || echo "libfaketime cannot be installed"
fi

suite() { cargo test --locked -p mesh-suite "$@"; }

echo "soak: $((waves * services)) runs with random kills: MESH_SOAK_SEED=$seed MESH_SOAK_WAVES=$waves MESH_SOAK_SERVICES=$services"
MESH_SOAK_SEED=$seed MESH_SOAK_WAVES=$waves MESH_SOAK_SERVICES=$services suite --test random_kills -- --nocapture

echo "soak: $cuts power cuts: MESH_SOAK_SEED=$seed MESH_SOAK_CUTS=$cuts MESH_SOAK_COMMITS=400"
MESH_SOAK_SEED=$seed MESH_SOAK_CUTS=$cuts MESH_SOAK_COMMITS=400 suite --test power_cut -- --nocapture

echo "soak: $histories histories: MESH_SOAK_SEED=$seed MESH_SOAK_HISTORIES=$histories"
MESH_SOAK_SEED=$seed MESH_SOAK_HISTORIES=$histories suite --test histories -- --nocapture

echo "soak: $storms storms: MESH_SOAK_SEED=$seed MESH_SOAK_STORMS=$storms"
MESH_SOAK_SEED=$seed MESH_SOAK_STORMS=$storms suite --test storms -- --nocapture

echo "soak: the rows of docs/failure-model.md: MESH_SOAK_ROWS=all"
MESH_SOAK_ROWS=all suite --test partitions --test losses -- --nocapture

echo "soak: all pairs of faults of the runbook's plan: MESH_EXHAUSTIVE=pairs"
MESH_EXHAUSTIVE=pairs cargo test --locked -p mesh-models --test exhaustive -- --nocapture pairs

echo "soak: every planted bug is found: MESH_SOAK_PLANTED=all"
MESH_SOAK_PLANTED=all cargo test --locked --release -p mesh-sim --test planted -- --nocapture

echo "soak: $seeds seeds of the core simulator, and 500 with and without what rests: MESH_SOAK_RESTING=500"
cargo build --locked --release -p mesh-sim
"${CARGO_TARGET_DIR:-target}/release/mesh-sim" swarm --seeds "$seeds"
MESH_SOAK_RESTING=500 cargo test --locked --release -p mesh-sim --test resting

echo "soak: 1,000 whole-system seeds: MESH_WHOLE_SEEDS=1000"
(cd tests/whole && MESH_WHOLE_SEEDS=1000 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/whole" cargo test --locked)

for round in $(seq 1 "$rounds"); do
  echo "soak: round $round of $rounds of the whole-mesh suite"
  suite --no-fail-fast
done
echo "soak: $((waves * services)) runs with random kills, $cuts power cuts, $histories histories, $storms storms, the rows of the failure model, $seeds seeds of the core, $rounds rounds of the suite: all passed"
