"""A running mesh-double, as an outside client sees it."""

import json
import os
import pathlib
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORLD = ROOT / "tests" / "double" / "worlds" / "maip.json"
EAST, WEST, WITNESS = "us-east-1", "us-west-2", "eu-central-1"
ZONE = "ZMAIP0000000000"
NAME = "api.maip.example.com."
PRIMARY, REPLICA = "maip-prod-postgres", "maip-prod-postgres-replica"
EAST_ALB = "maip-prod-alb.us-east-1.elb.amazonaws.com."
WEST_ALB = "maip-prod-dr-alb.us-west-2.elb.amazonaws.com."
EAST_ALB_ZONE, WEST_ALB_ZONE = "Z35SXDOTRQ7X7K", "Z1H1FL5HABSF5"
START_SECONDS = 20
WAIT_SECONDS = 20

# Short, but long enough that a test sees every state in between.
SETTINGS = {
    "promotion_ms": 600,
    "backing_up_ms": 300,
    "reboot_ms": 400,
    "modify_ms": 300,
    "security_group_ms": 300,
    "route53_insync_ms": 500,
    "route53_requests_per_second": 0,
    "health_check_interval_ms": 50,
    "metric_period_ms": 100,
    "lost_reply_ms": 50,
}


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return os.environ.get("MESH_DOUBLE", os.path.join(target, "debug", "mesh-double"))


class Double:
    def __init__(self, directory, world=None):
        self.world = world or json.loads(WORLD.read_text())
        self.world["settings"] = {**SETTINGS, **self.world.get("settings", {})}
        world_file, ready = directory / "world.json", directory / "ready.json"
        world_file.write_text(json.dumps(self.world))
        self.process = subprocess.Popen(
            [binary(), "--world", str(world_file), "--ready-file", str(ready), "--until-stdin-closes"],
            stdin=subprocess.PIPE,
        )
        self._await_ready(ready)
        self.addresses = json.loads(ready.read_text())
        self.aws = self.addresses["aws"]

    def _await_ready(self, ready):
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError("mesh-double ended before it was ready")
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("mesh-double was not ready in time")
            time.sleep(0.01)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def client(self, service, region=EAST, key="test", secret="test", attempts=1, read_timeout=10):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.aws,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": attempts}, connect_timeout=5, read_timeout=read_timeout),
        )

    def inside(self, service, region):
        """A client whose caller stands in the region."""
        key = next(key for key in self.world["access_keys"] if key.get("region") == region)
        return self.client(service, region, key["id"], key["secret"])

    # The control API.

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.aws}/_double/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())

    def effects(self, operation=None):
        return [one for one in self.control("GET", "effects") if operation in (None, one["operation"])]

    def activities(self, operation):
        return [one for one in self.control("GET", "activities") if one["operation"] == operation]

    def fault(self, **fault):
        return self.control("POST", "faults", fault)["id"]

    def release(self, fault):
        self.control("DELETE", f"faults/{fault}")

    def region(self, region, state):
        self.control("POST", f"regions/{region}", {"state": state})

    def settings(self, **settings):
        return self.control("POST", "settings", settings)

    def instance(self, region, instance):
        all_of_them = self.control("GET", "state")["instances"]
        return next(one for one in all_of_them if one["region"] == region and one["id"] == instance)

    # What clients of the service itself do.

    def http(self, region, path="/actuator/health", body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.addresses['apps'][region]}{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=3) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def session(self, region, instance):
        return Session(self.addresses["databases"][f"{region}/{instance}"])

    def resolve(self, name, kind="A", tcp=False):
        return query(self.addresses["dns"], name, kind, tcp)

    def app_ip(self, region):
        return self.addresses["apps"][region].split(":")[0]


class Session:
    """A session with a database: a line asks, a line answers."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rw", newline="\n")

    def ask(self, line):
        """The answer, or None where the session has ended."""
        try:
            self.file.write(line + "\n")
            self.file.flush()
            answer = self.file.readline()
        except OSError:
            return None
        return answer.strip() or None

    def list(self):
        ids, line = [], self.ask("LIST")
        while line != ".":
            ids.append(line)
            line = self.file.readline().strip()
        return ids

    def close(self):
        self.socket.close()


KINDS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "TXT": 16, "AAAA": 28}


def query(address, name, kind, tcp=False):
    """(rcode, [(name, type, ttl, value)]) of the answer section."""
    host, port = address.split(":")
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    message = struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", KINDS[kind], 1)
    if tcp:
        with socket.create_connection((host, int(port)), timeout=5) as stream:
            stream.sendall(struct.pack(">H", len(message)) + message)
            file = stream.makefile("rb")
            (length,) = struct.unpack(">H", file.read(2))
            reply = file.read(length)
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(5)
            datagrams.sendto(message, (host, int(port)))
            reply = datagrams.recv(4096)
    return parse(reply)


def parse(reply):
    _, flags, questions, answers, _, _ = struct.unpack(">HHHHHH", reply[:12])
    at = 12
    for _ in range(questions):
        _, at = read_name(reply, at)
        at += 4
    found = []
    for _ in range(answers):
        name, at = read_name(reply, at)
        kind, _, ttl, length = struct.unpack(">HHIH", reply[at : at + 10])
        at += 10
        data = reply[at : at + length]
        if kind == 1:
            value = socket.inet_ntoa(data)
        elif kind in (2, 5):
            value, _ = read_name(reply, at)
        elif kind == 16:
            value = data[1 : 1 + data[0]].decode()
        else:
            value = data.hex()
        found.append((name, kind, ttl, value))
        at += length
    return flags & 15, found


def read_name(message, at):
    labels, after = [], None
    while message[at]:
        if message[at] & 0xC0 == 0xC0:
            after = after or at + 2
            at = struct.unpack(">H", message[at : at + 2])[0] & 0x3FFF
        else:
            labels.append(message[at + 1 : at + 1 + message[at]].decode())
            at += message[at] + 1
    return ".".join(labels) + ".", after or at + 1


def eventually(condition, what):
    """Waits for a condition, never for a time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")
