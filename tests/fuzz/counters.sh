#!/usr/bin/env bash
# RUSTC_WORKSPACE_WRAPPER: compiles the mesh's libraries, and the guided program, so that libFuzzer sees what is reached.
# Programs that run while others are built would miss its functions.
set -euo pipefail
name='' kind=''
previous=''
for argument in "$@"; do
  case $previous in
    --crate-name) name=$argument ;;
    --crate-type) kind=$argument ;;
  esac
  previous=$argument
done
counted=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
if [ "$kind" = lib ] || [ "$name" = mesh_fuzz_guided ]; then
  exec "$@" "${counted[@]}"
fi
exec "$@"
