#!/usr/bin/env python3
"""Patroni with etcd on a PostgreSQL pair of this machine: from the loss of the primary to the first write of the other one.

    tests/bench/patroni.py [--runs N] [--settings defaults,fastest]

One JSON line a setting. The primary's Patroni and all of its PostgreSQL are killed at once, as when their machine is lost; a
writer tries the other server every 20 ms. Needs Debian's patroni, etcd-server, postgresql and python3-psycopg2, and root
(PostgreSQL runs as postgres). wal_retrieve_retry_interval is 100 ms, as in the mesh's benches.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SETTINGS = {
    # Patroni's own.
    "defaults": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10},
    # The least that it takes: ttl >= 20, loop_wait >= 1, retry_timeout >= 3.
    "fastest": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
}
RECOVERED_WITHIN = 120
UP_WITHIN = 90


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def missing():
    if os.geteuid() != 0:
        return "it needs root"
    for program, package in [("patroni", "patroni"), ("etcd", "etcd-server"), ("setpriv", "util-linux")]:
        if not shutil.which(program):
            return f"{program} is not installed (apt-get install --no-install-recommends {package})"
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        return "PostgreSQL is not installed (apt-get install postgresql)"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed (apt-get install python3-psycopg2, and run this with /usr/bin/python3)"
    return None


class Stand:
    """Three etcds, two Patronis. Everything ends with it."""

    def __init__(self, setting):
        self.dir = tempfile.mkdtemp(prefix="mesh-patroni-")
        shutil.chown(self.dir, "postgres", "postgres")
        self.setting = setting
        self.processes = []
        ports = free_ports(10)
        self.etcd = list(zip(ports[0:3], ports[3:6]))
        self.rest, self.pg = ports[6:8], ports[8:10]
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]

    def __enter__(self):
        cluster = ",".join(f"e{i}=http://127.0.0.1:{peer}" for i, (_, peer) in enumerate(self.etcd))
        for i, (client, peer) in enumerate(self.etcd):
            self.start(
                f"etcd{i}",
                ["etcd", "--name", f"e{i}", "--data-dir", f"{self.dir}/etcd{i}",
                 "--listen-client-urls", f"http://127.0.0.1:{client}",
                 "--advertise-client-urls", f"http://127.0.0.1:{client}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-cluster", cluster, "--logger", "zap"],
            )
        self.until(lambda: all(self.healthy(client) for client, _ in self.etcd), "etcd is up")
        self.patroni(0)
        self.until(lambda: self.role(0) in ("master", "primary"), "the first server leads")
        self.patroni(1)
        self.until(lambda: self.role(1) == "replica" and self.streams(), "the second server streams")
        self.sql(0, "CREATE TABLE ledger (id bigserial PRIMARY KEY)")
        return self

    def __exit__(self, *_):
        for _, process in reversed(self.processes):
            end(process, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, name, command, user=False):
        log = open(f"{self.dir}/{name}.log", "ab")
        prefix = ["setpriv", "--pdeathsig", "KILL"]
        if user:
            prefix += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        # Of its own session: what it starts can be found by that.
        process = subprocess.Popen(prefix + ["--"] + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   cwd="/", start_new_session=True)
        self.processes.append((name, process))
        return process

    def patroni(self, i):
        hosts = ",".join(f"127.0.0.1:{client}" for client, _ in self.etcd)
        dcs = dict(self.setting, maximum_lag_on_failover=1048576)
        config = f"""scope: bench
name: p{i}
restapi: {{listen: '127.0.0.1:{self.rest[i]}', connect_address: '127.0.0.1:{self.rest[i]}'}}
etcd3: {{hosts: '{hosts}'}}
bootstrap:
  dcs:
    ttl: {dcs['ttl']}
    loop_wait: {dcs['loop_wait']}
    retry_timeout: {dcs['retry_timeout']}
    maximum_lag_on_failover: {dcs['maximum_lag_on_failover']}
    postgresql: {{use_pg_rewind: true, parameters: {{wal_retrieve_retry_interval: 100ms, wal_log_hints: 'on'}}}}
  initdb: [{{encoding: UTF8}}, data-checksums]
postgresql:
  listen: '127.0.0.1:{self.pg[i]}'
  connect_address: '127.0.0.1:{self.pg[i]}'
  data_dir: {self.dir}/data{i}
  bin_dir: {self.bin}
  pgpass: {self.dir}/pgpass{i}
  authentication:
    superuser: {{username: postgres, password: bench}}
    replication: {{username: replicator, password: bench}}
  parameters: {{unix_socket_directories: {self.dir}}}
  pg_hba: [host all all 127.0.0.0/8 trust, host replication all 127.0.0.0/8 trust, local all all trust]
"""
        path = f"{self.dir}/p{i}.yml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        shutil.chown(path, "postgres", "postgres")
        return self.start(f"p{i}", [shutil.which("patroni"), path], user=True)

    def healthy(self, port):
        return '"true"' in str(get(f"http://127.0.0.1:{port}/health"))

    def role(self, i):
        answer = get(f"http://127.0.0.1:{self.rest[i]}/patroni")
        return json.loads(answer).get("role") if answer else None

    def streams(self):
        return self.sql(0, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1

    def connect(self, i, timeout=2):
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self.pg[i], user="postgres", password="bench",
                                      dbname="postgres", connect_timeout=timeout)
        connection.autocommit = True
        return connection

    def sql(self, i, statement):
        connection = self.connect(i)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    def until(self, holds, what):
        deadline = time.monotonic() + UP_WITHIN
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
            except Exception:  # It is not up yet.
                pass
            time.sleep(0.1)
        tail = subprocess.run(f"tail -n 5 {self.dir}/*.log", shell=True, capture_output=True, text=True).stdout
        raise RuntimeError(f"never came to: {what}\n{tail}")

    def lose(self, i):
        """Seconds from the loss of server i to the first write of the other; None: not within two minutes."""
        with open(f"{self.dir}/data{i}/postmaster.pid", encoding="utf-8") as file:
            postmaster = int(file.readline())
        process = next(process for name, process in reversed(self.processes) if name == f"p{i}")
        lost = time.monotonic()
        process.kill()
        os.killpg(os.getpgid(postmaster), signal.SIGKILL)
        connection = None
        while time.monotonic() - lost < RECOVERED_WITHIN:
            try:
                connection = connection or self.connect(1 - i)
                connection.cursor().execute("INSERT INTO ledger DEFAULT VALUES")
                return time.monotonic() - lost
            except Exception as error:
                if "read-only" not in str(error):
                    connection = None
                time.sleep(0.02)
        return None


def end(process, how):
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        pass
    process.wait()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()
    except OSError:
        return None


def version():
    said = subprocess.run(["patroni", "--version"], capture_output=True, text=True).stdout.strip()
    return said or "patroni"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--settings", default="defaults,fastest")
    args = parser.parse_args()
    why = missing()
    if why:
        print(f"bench: Patroni is skipped: {why}", file=sys.stderr)
        return
    for name in args.settings.split(","):
        seconds, lost = [], 0
        for _ in range(args.runs):
            with Stand(SETTINGS[name]) as stand:
                # The leader's key was renewed at some time in its turn: not always at the same one.
                time.sleep(SETTINGS[name]["loop_wait"] * (0.5 + len(seconds) % 5 / 5))
                took = stand.lose(0)
            if took is None:
                lost += 1
            else:
                seconds.append(round(took * 1000))
            print(f"bench: patroni {name}: {took}", file=sys.stderr)
        print(json.dumps({
            "bench": "patroni_primary_loss", "value": statistics.median(seconds) if seconds else None, "unit": "ms",
            "peer": f"{version()} with etcd, {name}", "setting": SETTINGS[name], "runs": args.runs, "not_recovered": lost,
            "all": seconds,
        }), flush=True)


if __name__ == "__main__":
    main()
