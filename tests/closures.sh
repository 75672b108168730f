#!/usr/bin/env bash
# Is there a closure in the programs, or in a crate that they use, that rustc 1.95 miscompiles in a release build?
# docs/decisions/0007 says what it is about. Compiles nothing to machine code; some minutes on two cores.
#   tests/closures.sh [PACKAGE...]        default: the three programs and the AWS double
set -euo pipefail
if [ "${CLOSURES_OUT:-}" ] && [ $# -gt 0 ]; then
  # As cargo's RUSTC_WRAPPER: the compiler and its arguments.
  name=
  for ((at = 1; at < $#; at++)); do
    next=$((at + 1))
    if [ "${!at}" = --crate-name ]; then name=${!next}; fi
  done
  case "$name,$*" in
    ,* | ___,* | build_script_*,* | *"--crate-type proc-macro"*) exec "$@" ;;
  esac
  mir=$CLOSURES_OUT/$name-$$
  "$@" --emit=mir="$mir"
  sed -n "s/.* as Fn[A-Za-z]*<\(.*\)>>::call[_a-z]*(\(.*\)) -> .*/$name\t\1\t\2/p" "$mir" >"$mir.calls"
  wc -l <"$mir" >"$mir.lines"
  rm "$mir"
  exit
fi

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/closures
rm -rf "$target"
mkdir -p "$target/mir"
packages=()
for package in ${*:-mesh-coordinator mesh-agent meshctl mesh-double}; do packages+=(-p "$package"); done
CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$target CLOSURES_OUT=$target/mir RUSTC_WRAPPER=$PWD/tests/closures.sh \
  cargo check --locked --release "${packages[@]}" --lib --bins
status=0
python3 - "$target/mir" <<'PY' || status=$?
import collections, pathlib, re, sys

# Looked at, each: of no size or passed in a register, and without a destructor. What is shared there no callee can change.
harmless = re.compile(
    r"\(\)$|\((\(\)|&.*|Option<&.*|(.*::)?(AccessError|BudgetExhausted|CriticalSection<'_>|DecodeError|InvalidDnsNameError"
    r"|InvalidHeaderValue"
    r"|OutputLengthError|ParseBoolError|ParseLevelError|PatternID|ProtocolVersion|TryFromIntError|Unspecified)),\)$")
found, crates, calls, lines = collections.Counter(), 0, 0, 0
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.calls")):
    crates += 1
    lines += int(file.with_suffix(".lines").read_text())
    for line in file.read_text().splitlines():
        crate, types, arguments = line.split("\t")
        calls += 1
        # The closure itself comes first; a constant one may hold commas.
        last = re.match(r"(?:copy|move) [^,]*, (.*)$", arguments)
        last = last[1] if last else arguments[arguments.rfind(", ") + 2:]
        if not last.startswith("move _") and not harmless.match(types):
            found[f"{crate}: {types} of {last}"] += 1
for what, count in sorted(found.items()):
    print(f"closures: {what}: the argument is not moved ({count} times)", file=sys.stderr)
print(f"closures: {calls} calls in {lines} lines of MIR of {crates} crates, {len(found)} in doubt")
sys.exit(bool(found))
PY
rm -rf "$target"
exit "$status"
