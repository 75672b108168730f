#!/usr/bin/env bash
# One JSON line a figure. `run_overhead`: the wall time of the demo's failover beside the time that the provider itself
# needed in the same run, over RUNS runs (default 5).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
runs=${RUNS:-5}
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for _ in $(seq 1 "$runs"); do
  "$target/debug/meshctl" demo --scenario failover --json 2>/dev/null >>"$lines"
done
python3 - "$lines" <<'PY'
import json, statistics, sys

runs = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
if not all(run["held"] for run in runs):
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
