#!/usr/bin/env bash
# The suites that are too long for every change: the process suite again and again.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-20}
for round in $(seq 1 "$rounds"); do
  echo "soak: round $round of $rounds"
  cargo test --locked -p mesh-suite --no-fail-fast
done
