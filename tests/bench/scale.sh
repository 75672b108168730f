#!/usr/bin/env bash
# What years of operation cost: one JSON line a figure, each beside the same mesh with a tenth of the history.
# SERVICES (default 100) and RUNS (default 10000) make some 40 audit records a run. Needs about 60 KB of disk a run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SCALE_SERVICES=${SERVICES:-100} SCALE_RUNS=${RUNS:-10000}
cargo test --locked --release -q -p mesh-coordinator --test scale -- --nocapture | grep '^{'
