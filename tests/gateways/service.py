"""A Claviger with a database of its own, and the requests of its administrator."""

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

WAIT_S = 60


def wait_until(what: str, condition, seconds: float = WAIT_S):
    """Repeats `condition` until it is true, and returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.02)
    return value


class Claviger:
    def __init__(self, binary: Path, directory: Path, port: int, grpc_port: int, settings: dict[str, str]) -> None:
        self.binary, self.directory, self.port, self.grpc_port = binary, directory, port, grpc_port
        directory.mkdir(parents=True)
        # No setting of the surrounding shell.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CLAVIGER_")}
        self.environment |= {
            "CLAVIGER_DATABASE_URL": f"sqlite://{directory}/claviger.db",
            "CLAVIGER_EXT_AUTHZ_LISTEN": f"127.0.0.1:{grpc_port}",
        } | settings
        self.start()
        sign_up = {"user_name": "T", "org_name": "Acme", "user_email": "t@example.com"}
        answer = self.call("POST", "/auth/create-key", sign_up)
        self.org = answer["data"]["org_id"]
        self.admin = answer["data"]["api_key"]

    def start(self) -> None:
        with open(self.directory / "log", "ab") as log:
            command = [self.binary, "serve", "--listen", f"127.0.0.1:{self.port}"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        try:
            wait_until(f"Claviger is ready, {self.directory}/log", self.is_ready)
        except BaseException:
            self.stop()
            raise

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"Claviger has ended: {(self.directory / 'log').read_text()}"
        try:
            self.call("GET", "/health/ready")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(timeout=WAIT_S)

    def stall(self) -> None:
        """Connections are still accepted, by the operating system, but nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "admin"):
            headers["Authorization"] = f"Bearer {self.admin}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        assert response.status == 200, f"{method} {path}: {response.status} {text!r}"
        return json.loads(text) if text else {}

    def create_key(self, **settings: object) -> dict:
        """The new key, with its secret in `key`. By default it may read and write files."""
        body = {"name": "Laptop", "permissions": ["files:read", "files:write"], "can_manage": False} | settings
        return self.call("POST", f"/orgs/{self.org}/api_keys", body)

    def revoke(self, key: dict) -> None:
        self.call("DELETE", f"/orgs/{self.org}/api_keys/{key['id']}")
