"""moto, three coordinators, six agents and an application in each region, as an operator would set them up."""

import http.server
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
import botocore.config

from names import Names

REGIONS = ["us-east-1", "us-west-2", "eu-central-1"]
OLD, NEW = "us-east-1", "us-west-2"
BINARIES = pathlib.Path(os.environ["MESH_BINARIES"])
WITHIN = 90


def wait_for(what, reached):
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        found = reached()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {WITHIN} s")


def free_port(ip):
    """Below the ports that the kernel gives to outgoing connections: nobody takes it before its process is up."""
    for _ in range(100):
        with socket.socket() as probe:
            port = random.randrange(20_000, 32_000)
            try:
                probe.bind((ip, port))
                return port
            except OSError:
                pass
    raise AssertionError("no free port")


class App:
    """Says which region it is of."""

    def __init__(self, region, ip, port=0):
        body = json.dumps({"status": "UP", "region": region}, separators=(",", ":")).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()


class Stand:
    def __init__(self, dir):
        self.dir = pathlib.Path(dir)
        self.processes = []
        self.stops = []
        try:
            self.raise_moto()
            self.raise_apps()
            self.raise_mesh()
        except BaseException:
            self.stop()
            raise

    def start(self, name, command):
        log = open(self.dir / f"{name}.log", "wb")
        child = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append((name, child))

    def stop(self):
        for _, child in self.processes:
            child.kill()
        for _, child in self.processes:
            child.wait()
        for stop in self.stops:
            stop()

    def client(self, service, region=OLD):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.aws,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(retries={"max_attempts": 0}),
        )

    def raise_moto(self):
        port = free_port("127.0.0.1")
        self.aws = f"http://127.0.0.1:{port}"
        self.start("moto", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])

        def up():
            try:
                return urllib.request.urlopen(self.aws + "/moto-api/", timeout=1).status == 200
            except OSError:
                return False

        wait_for("moto answers", up)
        self.names = Names(self.client("route53"))
        self.stops.append(self.names.stop)

    def raise_apps(self):
        east = App(OLD, "127.0.0.1")
        west = App(NEW, "127.0.0.2", east.port)
        self.port = east.port
        self.stops += [east.stop, west.stop]

    def ctl(self, *args, code=0, json_output=False):
        command = [BINARIES / "meshctl", "--profile", self.profile]
        if json_output:
            command.append("--json")
        done = subprocess.run([*command, *args], capture_output=True, text=True, timeout=180)
        assert done.returncode == code, f"meshctl {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if json_output else done.stdout + done.stderr

    def issue(self, role, region, name, *more):
        pki = self.dir / "pki"
        out = self.dir / name
        out.mkdir(exist_ok=True)
        command = ["pki", "issue", "--dir", pki, "--role", role, "--region", region, "--name", name, "--hours", "24"]
        made = subprocess.run(
            [BINARIES / "meshctl", "--json", *command, "--out", out, *more], capture_output=True, text=True, timeout=60
        )
        assert made.returncode == 0, made.stderr
        files = json.loads(made.stdout)
        return f'certificate = "{files["certificate"]}"\nkey = "{files["key"]}"\nauthorities = "{pki / "ca.pem"}"\n'

    def raise_mesh(self):
        pki = self.dir / "pki"
        subprocess.run(
            [BINARIES / "meshctl", "pki", "init", "--dir", pki, "--mesh", "moto"], check=True, capture_output=True
        )
        addresses = [f"127.0.0.1:{free_port('127.0.0.1')}" for _ in REGIONS]
        listed = json.dumps(addresses)
        founders = "".join(
            f'[[bootstrap]]\nid = {n}\naddress = "{address}"\nregion = "{region}"\n'
            for n, (address, region) in enumerate(zip(addresses, REGIONS), 1)
        )
        for n, (address, region) in enumerate(zip(addresses, REGIONS), 1):
            name = f"coordinator-{n}"
            tls = self.issue("coordinator", region, name, "--san", "127.0.0.1")
            config = self.dir / f"{name}.toml"
            config.write_text(
                f'mesh = "moto"\nnode_id = {n}\nregion = "{region}"\nlisten = "{address}"\nadvertise = "{address}"\n'
                f'data_dir = "{self.dir / name / "data"}"\n{founders}[tls]\n{tls}'
            )
            self.start(name, [BINARIES / "mesh-coordinator", "--config", config])
        for region in REGIONS:
            for letter in "ab":
                self.raise_agent(f"{region}-{letter}", region, listed)
        tls = self.issue("admin", "eu-central-1", "ada")
        self.profile = self.dir / "profile.toml"
        self.profile.write_text(f'mesh = "moto"\ncoordinators = {listed}\n[tls]\n{tls}')
        wait_for("a leader and six agents", self.whole)

    def raise_agent(self, name, region, coordinators):
        tls = self.issue("agent", region, name)
        config = self.dir / f"{name}.toml"
        config.write_text(
            f'mesh = "moto"\nagent = "{name}"\nregion = "{region}"\ncoordinators = {coordinators}\n'
            f'data_dir = "{self.dir / name / "data"}"\n[tls]\n{tls}'
            f'[aws]\nendpoint_url = "{self.aws}"\naccess_key_id = "test"\nsecret_access_key = "test"\n'
            f'[dns]\nnameservers = ["{self.names.address}"]\nroute53_nameservers = ["{self.names.address}"]\n'
        )
        self.start(name, [BINARIES / "mesh-agent", "--config", config])

    def whole(self):
        for name, child in self.processes:
            assert child.poll() is None, f"{name} ended: {(self.dir / f'{name}.log').read_text()[-2000:]}"
        try:
            status = self.ctl("--timeout", "2", "status", json_output=True)
        except AssertionError:
            return False
        return sum(agent["connected"] for agent in status["agents"]) == 6
