#!/usr/bin/env bash
# The long run: tests/fuzz.sh MINUTES [TARGET...]; each target for so long, all of them without one.
#
# The mesh's own crates are built with counters of the edges and comparisons that were reached (LLVM's sanitizer
# coverage, which stable rustc has behind -C), their dependencies as always; libFuzzer keeps what reaches new ones.
# What is new goes to TARGET_DIR/fuzz/corpus/TARGET. KEEP=1 merges it, minimised, into tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-1}
shift || true
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$CARGO_TARGET_DIR/fuzz

command -v c++ >/dev/null || { echo "fuzz: libFuzzer is C++ and needs a compiler (Debian: g++)" >&2; exit 1; }
cargo build --locked --quiet -p mesh-fuzz --bin mesh-fuzz
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/counters.sh \
  cargo build --locked --quiet -p mesh-fuzz --bin mesh-fuzz-guided --features guided
plain=$CARGO_TARGET_DIR/debug/mesh-fuzz
guided=$CARGO_TARGET_DIR/debug/mesh-fuzz-guided

targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <("$plain" list | cut -d' ' -f1)
failed=()
for target in "${targets[@]}"; do
  corpus=$work/corpus/$target seeds=$work/seeds/$target found=$work/$target
  rm -rf "$seeds"
  mkdir -p "$corpus" "$seeds" "$found"
  "$plain" seeds "$target" "$seeds" >/dev/null
  kept=()
  for dir in "tests/fuzz/corpus/$target" "tests/fuzz/regressions/$target"; do
    if [ -d "$dir" ]; then kept+=("$dir"); fi
  done
  echo "fuzz: $target for $minutes min"
  MESH_FUZZ_TARGET=$target "$guided" "$corpus" "$seeds" "${kept[@]}" -max_total_time=$((minutes * 60)) \
    -max_len="$("$plain" length "$target")" -timeout=30 -rss_limit_mb=4096 -reload=0 -print_final_stats=1 \
    -verbosity=1 -artifact_prefix="$found/" 2>"$found/log" || failed+=("$target")
  grep -E '^stat::number_of_executed|^stat::average_exec|DONE|panicked at|SUMMARY|Test unit written' "$found/log" || tail -5 "$found/log"
  if [ "${KEEP:-0}" = 1 ]; then
    into=tests/fuzz/corpus/$target
    mkdir -p "$into"
    # Only what reaches something that the seeds and the kept inputs do not.
    mkdir -p "$work/merged"
    rm -rf "$work/merged/$target"
    cp -r "$into" "$work/merged/$target"
    MESH_FUZZ_TARGET=$target "$guided" -merge=1 -max_len=4096 "$into" "$seeds" "$corpus" >"$found/merge.log" 2>&1 || true
  fi
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "fuzz: a rule was broken in: ${failed[*]}; the inputs are in $work/TARGET" >&2
  exit 1
fi
echo "fuzz: no rule was broken"
