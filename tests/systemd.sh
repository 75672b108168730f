#!/usr/bin/env bash
# systemd's own check of the units, with the programs where the units expect them: unknown or misspelt settings, wrong
# values, missing binaries. And its judgement of the sandbox: an exposure above the bound is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
EXPOSURE_MAX=30 # of 100, by `systemd-analyze security`; 96 is a unit without any restriction
if ! command -v systemd-analyze >/dev/null; then
  echo "skipped: systemd units (no systemd-analyze on this machine)"
  exit 0
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/bin" "$root/etc/systemd/system" "$root/usr/lib/systemd/system"
cp deploy/systemd/*.service "$root/etc/systemd/system/"
for program in mesh-agent mesh-coordinator; do cp "$target/debug/$program" "$root/usr/bin/$program"; done
# What the units refer to: as on any machine with systemd.
for unit in network-online.target multi-user.target sysinit.target basic.target shutdown.target; do
  for dir in /usr/lib/systemd/system /lib/systemd/system; do
    [ -e "$dir/$unit" ] && cp "$dir/$unit" "$root/usr/lib/systemd/system/" && break
  done
done
failed=0
for unit in deploy/systemd/*.service; do
  name=$(basename "$unit")
  said=$(systemd-analyze verify --root="$root" --man=no --recursive-errors=no "/etc/systemd/system/$name" 2>&1) || failed=1
  # Warnings do not fail `verify`; a misspelt key is one.
  if grep -F "$name" <<<"$said"; then failed=1; fi
  if ! systemd-analyze security --offline=true --root="$root" --no-pager --threshold="$EXPOSURE_MAX" "$name" >"$root/said" 2>&1; then
    tail -n 1 "$root/said"
    echo "$name: exposed more than $EXPOSURE_MAX of 100"
    failed=1
  fi
done
[ "$failed" = 0 ] && echo "systemd units: good"
exit "$failed"
