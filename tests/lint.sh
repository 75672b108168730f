#!/usr/bin/env bash
# Formatting, clippy, and the rules that no compiler checks.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
# Its features differ, so that everything beneath is checked a second time; what `make test` has built there is not built again.
(
  cd tests/whole
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/whole"
  cargo fmt --check -p mesh-whole -p mesh-providers -p validit
  cargo clippy --locked -p mesh-whole -p mesh-providers -p validit --lib --bins --tests -- -D warnings
)

fail=0
complain() { echo "lint: $*" >&2; fail=1; }

# The core decides and does nothing else; clippy.toml bans the calls, this the dependencies.
allowed='^(serde|thiserror)$'
while read -r dependency; do
  [[ $dependency =~ $allowed ]] || complain "mesh-core depends on $dependency: it may use std, serde and thiserror only"
done < <(cargo tree --locked -p mesh-core -e normal --depth 1 --prefix none | tail -n +2 | cut -d' ' -f1)

# One module names openraft, one sled, one each SDK.
grep -rlE '\bopenraft::' --include='*.rs' coordinator agent cli crates proto | grep -vE '^coordinator/(src|tests)/(consensus|store|raft)' &&
  complain "openraft is named outside the consensus and store modules"
grep -rlE '\bsled::' --include='*.rs' coordinator agent cli crates proto | grep -vE '^coordinator/(src|tests)/(store|raft)' &&
  complain "sled is named outside the store"
grep -rlE '\baws_sdk_' --include='*.rs' coordinator agent cli proto crates/core crates/runtime crates/manifest &&
  complain "an AWS SDK is named outside crates/providers"

# One TLS provider, one HTTP stack.
for banned in ring openssl-sys native-tls; do
  if cargo tree --locked --workspace -e normal -i "$banned" >/dev/null 2>&1 &&
    [ -n "$(cargo tree --locked --workspace -e normal -i "$banned" 2>/dev/null)" ]; then
    complain "$banned is in the dependency tree"
  fi
done

git grep -nE '#\[ignore' -- '*.rs' && complain "an ignored test"
git grep -nE '\b(todo|unimplemented)!\(' -- '*.rs' && complain "an unfinished function"

if command -v cargo-deny >/dev/null; then
  cargo deny --offline check bans licenses sources
else
  echo "lint: cargo-deny is not installed, licence and source rules skipped (cargo install cargo-deny --locked)"
fi
[ "$fail" = 0 ]
echo "lint: clean"
