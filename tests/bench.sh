#!/usr/bin/env bash
# One JSON line a figure, each beside a peer or a floor of the same run; docs/benchmarks.md says what they mean.
#   tests/bench.sh [commit] [leader_kill] [footprint] [run_overhead] [false_failovers] [many_agents] [switchover_gap] [region_loss] [patroni]   default: all
# The peer is Debian's etcd: `apt-get install etcd-server`. fsyncs are counted with perf: `apt-get install linux-perf`.
# Without them the figures come without the peer or the count, and the line says so. The mesh runs as release builds, which
# are built here first; the AWS double as the debug build that every test uses.
# region_loss and switchover_gap need PostgreSQL, root and TUN devices; RUNS, RTT, LEADER and SIDE_BY_SIDE choose their runs,
# BUILD=debug takes the debug builds. patroni needs Debian's patroni; its runs are RUNS_PATRONI.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
benches=${*:-commit leader_kill footprint run_overhead false_failovers many_agents switchover_gap region_loss patroni}
build=${BUILD:-release}
skipped=0

release() {
  [ "${release_built:-}" ] && return
  cargo build --locked --release -p mesh-coordinator -p mesh-agent -p meshctl -p mesh-bench
  release_built=1
}

# Noise in the core simulator that must move nothing: EPISODES, a million unless told otherwise.
false_failovers() {
  cargo build --locked --release -p mesh-sim
  "$target/release/mesh-sim" noise --episodes "${EPISODES:-1000000}"
}

mesh_bench() {
  local status=0
  release
  # A killed bench must not leave its processes: they end with it.
  timeout 900 "$target/release/mesh-bench" --programs "$target/release" --double "$target/debug/mesh-double" \
    --scratch "$target/bench" "$@" || status=$?
  rm -rf "$target/bench"
  return "$status"
}

# A PostgreSQL pair through a mesh in regions far apart: each run is mostly waiting.
far_apart() {
  local packages=(-p mesh-coordinator -p mesh-agent -p meshctl -p mesh-bench -p mesh-wan)
  if [ "$build" = debug ]; then
    cargo build --locked "${packages[@]}"
  else
    cargo build --locked --release "${packages[@]}"
  fi
  mkdir -p "$target/bench"
  timeout "${FAR_APART_MAX:-7200}" "$target/$build/mesh-bench" --programs "$target/$build" \
    --double "$target/debug/mesh-double" --scratch "$target/bench" "$@"
  rm -rf "$target/bench"
}

region_loss() {
  far_apart region-loss --runs "${RUNS:-30}" --rtt "${RTT:-60,100,150}" --leader "${LEADER:-elsewhere,lost}" \
    --side-by-side "${SIDE_BY_SIDE:-4}" ${EACH:+--each}
}

switchover_gap() {
  far_apart switchover-gap --runs "${RUNS:-10}" --rtt "${RTT:-0,60,100,150}" ${EACH:+--each}
}

# The wall time of the demo's failover beside the time that the provider itself needed in the same run.
run_overhead() {
  local runs=${RUNS:-5} lines programs
  release
  lines=$(mktemp)
  programs=$(mktemp -d "$target/bench-XXXXXX")
  ln "$target"/release/{meshctl,mesh-agent,mesh-coordinator} "$target/debug/mesh-double" "$programs/"
  for _ in $(seq 1 "$runs"); do
    timeout 300 "$programs/meshctl" demo --scenario failover --json 2>/dev/null >>"$lines"
  done
  python3 - "$lines" <<'PY'
import json, statistics, sys

runs = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
if not runs or not all(run["held"] for run in runs):
    sys.exit("a run did not hold: " + json.dumps([run["failures"] for run in runs]))
overhead = statistics.median(run["overhead_ms"] for run in runs)
floor = statistics.median(run["floor_ms"] for run in runs)
wall = statistics.median(run["run_ms"] for run in runs)
print(json.dumps({
    "bench": "run_overhead", "value": overhead, "unit": "ms", "peer": "the provider's own time in the same runs",
    "peer_value": floor, "ratio": round(wall / floor, 3) if floor else None, "runs": len(runs),
    "all": [run["overhead_ms"] for run in runs],
}))
PY
  rm -rf "$lines" "$programs"
}

if ! command -v etcd >/dev/null; then
  echo "bench: etcd is not installed, its figures are skipped (apt-get install etcd-server)" >&2
  skipped=$((skipped + 1))
fi
if ! command -v perf >/dev/null; then
  echo "bench: perf is not installed, fsyncs are not counted (apt-get install linux-perf)" >&2
  skipped=$((skipped + 1))
fi
for bench in $benches; do
  case $bench in
    commit) mesh_bench commit ;;
    leader_kill) mesh_bench leader-kill ;;
    footprint) mesh_bench footprint ;;
    false_failovers) false_failovers ;;
    # Sizes: AGENTS=3,300. Each agent is a connection and an open file of two processes: ulimit -Hn above the largest.
    many_agents) mesh_bench many-agents --agents "${AGENTS:-3,100,1000,10000}" ;;
    run_overhead) run_overhead ;;
    region_loss) region_loss ;;
    switchover_gap) switchover_gap ;;
    patroni) /usr/bin/python3 tests/bench/patroni.py --runs "${RUNS_PATRONI:-5}" ;;
    *) echo "bench: no bench is named $bench" >&2; exit 2 ;;
  esac
done
echo "bench: $skipped skipped" >&2
