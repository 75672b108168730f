#!/usr/bin/env bash
# All tests. Installs into a Python venv under the target directory (or $MESH_VENV) what the boto3 suite needs, and says so first.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=${MESH_VENV:-$target/venv}
skipped=0

echo "make test uses: cargo, python3 with venv; it installs into $venv: $(cat tests/boto3/requirements.txt tests/moto/requirements.txt | sort -u | tr '\n' ' ')"

if ! PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "make test installs iproute2, for the tests of regions far apart"
  apt-get install --yes --quiet iproute2 >/dev/null || echo "iproute2 cannot be installed"
fi

postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
if ! postgres && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "make test installs postgresql (and no cluster of it), for the tests with real servers"
  mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/mesh-tests.conf
  { apt-get install --yes --quiet postgresql || { apt-get update --quiet && apt-get install --yes --quiet postgresql; }; } >/dev/null ||
    echo "postgresql cannot be installed"
fi
if ! postgres; then
  echo "SKIPPED: the tests with real PostgreSQL servers need it (Debian: postgresql); without root it is not installed"
  skipped=$((skipped + 1))
fi

cargo build --locked --workspace --bins
if ! why=$(unshare --net -- "$target/debug/mesh-wan-port" --check 2>&1); then
  echo "SKIPPED: tests of regions far apart need root, network namespaces and TUN devices: $why"
  skipped=$((skipped + 1))
fi
# Gigabytes that the build has just written would be written out under the first tests, whose meshes wait for fsync.
sync
if command -v cargo-nextest >/dev/null; then
  cargo nextest run --locked --workspace --no-fail-fast --profile whole --test-threads $((2 * $(nproc)))
else
  cargo test --locked --workspace --no-fail-fast
fi

# A workspace of its own: docs/simulation.md says why.
(cd tests/whole && CARGO_TARGET_DIR="$target/whole" cargo test --locked)

# Seeds of 30 simulated minutes, most with five regions, as `make simulate SEEDS=10000` plays them: built for speed, in less time than
# that spares.
cargo build --locked --release -p mesh-sim
"$target/release/mesh-sim" swarm --seeds "${MESH_SIM_SEEDS:-10000}"

if command -v python3 >/dev/null && { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; }; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/boto3/requirements.txt
  MESH_DOUBLE="$target/debug/mesh-double" "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/boto3
else
  echo "SKIPPED: the boto3 suite needs python3 with venv (Debian: python3-venv)"
  skipped=$((skipped + 1))
fi
if [ -x "$venv/bin/python" ]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/moto/requirements.txt
  MESH_BINARIES="$target/debug" "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/moto
else
  echo "SKIPPED: the suite against moto needs python3 with venv (Debian: python3-venv)"
  skipped=$((skipped + 1))
fi

if command -v systemd-analyze >/dev/null; then
  tests/systemd.sh
else
  echo "SKIPPED: the check of the systemd units needs systemd-analyze (Debian: systemd)"
  skipped=$((skipped + 1))
fi
echo "suites skipped: $skipped"
