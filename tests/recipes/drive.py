"""Runs a recipe and checks what it answers:

    tests/recipes/drive.py axum http://127.0.0.1:8080 target/debug/claviger-recipe-axum

The address is that of a service with sign-up. The recipe asks it through a `FailingProxy`, which can also fail in several ways.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

# How long anything may take. The recipes refuse after two seconds.
LIMIT_SECONDS = 60


class FailingProxy:
    """A TCP proxy to the service that counts the connections it accepts. `mode` is how it treats a request: `open` passes it on,
    `silent` never answers, `endless` sends an answer that never ends, and bytes are the answer."""

    def __init__(self, target: str) -> None:
        url = urllib.parse.urlsplit(target)
        self.target = (url.hostname, url.port)
        self.mode: str | bytes = "open"
        self.accepted = 0
        self.connections: list[socket.socket] = []
        self.ended = threading.Event()
        self.listen(0)

    def listen(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def close(self) -> None:
        """Nothing listens from now on, and all connections are closed."""
        for one in [self.listener, *self.connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.connections.clear()

    def serve(self, connection: socket.socket) -> None:
        try:
            with connection, socket.create_connection(self.target) as service:
                threading.Thread(target=self.pass_on, args=[service, connection], daemon=True).start()
                received = b""
                while data := connection.recv(65536):
                    if self.mode == "open":
                        service.sendall(data)
                        continue
                    received += data
                    # The body is one JSON object.
                    if self.mode != "silent" and received.endswith((b"}", b"}\r\n0\r\n\r\n")):
                        received = b""
                        self.answer(connection)
        except OSError:
            pass

    def answer(self, connection: socket.socket) -> None:
        if isinstance(self.mode, bytes):
            connection.sendall(self.mode)
            return
        connection.sendall(answer("200 OK", "", "Content-Type: application/json\r\nX-Endless: 1").replace(b": 0", b": 9999"))
        while not self.ended.wait(0.2):
            connection.sendall(b" ")

    def pass_on(self, service: socket.socket, connection: socket.socket) -> None:
        try:
            while data := service.recv(65536):
                connection.sendall(data)
            # The service closes a connection that is idle. The other modes leave that to the recipe.
            if self.mode == "open":
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answer(status: str, body: str, header: str = "Content-Type: application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str | None:
        return json.loads(self.body)["code"]


class Recipe:
    """A recipe that runs, and an organization with the service key that the recipe uses."""

    def __init__(self, service: str, command: list[str], log: Any) -> None:
        self.service = service
        self.secrets: list[str] = []
        signed_up = self.call("POST", "/auth/create-key", {
            "user_name": "Rita Recipe", "org_name": "Recipes", "user_email": f"rita-{os.getpid()}@example.com",
        })["data"]
        self.admin, self.org = signed_up["api_key"], signed_up["org_id"]
        self.service_key = self.create(["api_keys:verify"], name="Files service", can_manage=True)
        self.proxy = FailingProxy(service)
        self.log = log
        environment = {"CLAVIGER_URL": f"http://127.0.0.1:{self.proxy.port}", "CLAVIGER_KEY": self.service_key["key"], "PORT": "0"}
        self.process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        self.port = int(self.wait_until("it listens", lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.output()))[1])

    def output(self) -> str:
        with open(self.log.name, encoding="utf-8") as file:
            return file.read()

    def wait_until(self, what: str, condition: Any) -> Any:
        end = time.monotonic() + LIMIT_SECONDS
        while not (result := condition()):
            assert self.process.poll() is None and time.monotonic() < end, f"not so: {what}\n{self.output()}"
            time.sleep(0.05)
        return result

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Calls the service as the administrator."""
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "admin"):
            headers["Authorization"] = f"Bearer {self.admin}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.service + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as response:
            return json.load(response)

    def create(self, permissions: list[str], **settings: Any) -> Any:
        body = {"name": "Laptop", "permissions": permissions, "can_manage": False} | settings
        created = self.call("POST", f"/orgs/{self.org}/api_keys", body)
        self.secrets.append(created["key"])
        return created

    def send(self, key: str | None = None, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """A request of a visitor. A key is sent as `Authorization: Bearer`."""
        all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            all_headers["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_SECONDS)
        try:
            connection.request(method, "/files", body, all_headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


def require(actual: Answer, status: int, code: str | None = None) -> Answer:
    assert actual.status == status, f"{actual.status} instead of {status}: {actual.body!r}"
    if status != 200:
        assert actual.code == code, f"{actual.code} instead of {code}"
        assert actual.headers["Cache-Control"] == "no-store"
        assert actual.headers["Content-Type"].startswith("application/json")
    challenge = actual.headers["WWW-Authenticate"]
    if status != 401:
        assert challenge is None, challenge
    elif code == "MISSING_API_KEY":
        assert challenge == 'Bearer realm="api"', challenge
    else:
        assert challenge == 'Bearer realm="api", error="invalid_token"', challenge
    return actual


def valid_keys_and_their_identity(recipe: Recipe) -> None:
    created = recipe.create(["files:read"], external_id="customer-42")
    key = created["key"]
    identity = {"customer": "customer-42", "key_id": created["id"], "name": "Laptop"}
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer {key}"},
        {"x_api_key": key},
        {"x_api_key": key, "Authorization": f"Bearer {key}"},
        {"x_api_key": key, "Authorization": "Basic am9objpqb2hu"},
    ):
        answered = require(recipe.send(**headers), 200)
        assert json.loads(answered.body) == identity, answered.body
        assert answered.headers["RateLimit"] is None


def requests_without_a_valid_key(recipe: Recipe) -> None:
    require(recipe.send(), 401, "MISSING_API_KEY")
    require(recipe.send(Authorization="Basic am9objpqb2hu"), 401, "MISSING_API_KEY")
    require(recipe.send("cvg_unknown"), 401, "INVALID_API_KEY")
    assert recipe.send(method="HEAD").status in (401, 405)
    # The key is checked before the body was received.
    connection = http.client.HTTPConnection("127.0.0.1", recipe.port, timeout=LIMIT_SECONDS)
    connection.putrequest("POST", "/files")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()
    key, other = (recipe.create(["files:read"])["key"] for _ in range(2))
    require(recipe.send(key, x_api_key=other), 401, "INVALID_API_KEY")
    for wrong in (f'"{key}"', f"Bearer {key}", f"{key} {key}", f"{key},", key[:-1], "\xe9" + key, "x" * 513, "x" * 4000):
        require(recipe.send(wrong), 401, "INVALID_API_KEY")
        require(recipe.send(x_api_key=wrong), 401, "INVALID_API_KEY")
    # The server can refuse such a head, and close the connection before it was sent.
    with contextlib.suppress(OSError):
        assert recipe.send("x" * 100_000).status in (400, 401, 431)


def missing_permissions(recipe: Recipe) -> None:
    key = recipe.create(["files:list"])["key"]
    require(recipe.send(key), 403, "INSUFFICIENT_PERMISSIONS")
    key = recipe.create(["files:read"])["key"]
    require(recipe.send(key, "POST", b"x"), 403, "INSUFFICIENT_PERMISSIONS")


def uses_are_counted_exactly(recipe: Recipe) -> None:
    key = recipe.create(["files:read"], remaining=3)["key"]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: recipe.send(key), range(12)))
    valid = [one for one in answers if one.status == 200]
    assert len(valid) == 3, [one.status for one in answers]
    for one in answers:
        if one.status != 200:
            require(one, 429, "USAGE_EXCEEDED")
            assert one.headers["Retry-After"] is None
    key = recipe.create(["files:read"], remaining=1)["key"]
    # What is refused for another reason takes nothing.
    require(recipe.send(key, "POST", b"x"), 403, "INSUFFICIENT_PERMISSIONS")
    require(recipe.send(key), 200)
    require(recipe.send(key), 429, "USAGE_EXCEEDED")


def rate_limits(recipe: Recipe) -> None:
    key = recipe.create(["files:read"], rate_limit_max=2, rate_limit_window=600_000)["key"]
    for remaining in (1, 0, 0):
        answered = recipe.send(key)
        limit = {name: answered.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")}
        reset = limit["Reset"]
        assert limit == {"Limit": "2", "Remaining": str(remaining), "Reset": reset} and 1 <= int(reset) <= 600, limit
        assert answered.headers["RateLimit-Policy"] == '"rate";q=2'
        assert answered.headers["RateLimit"] == f'"rate";r={remaining};t={reset}'
    require(answered, 429, "RATE_LIMITED")
    assert answered.headers["Retry-After"] == reset


def revoked_keys(recipe: Recipe) -> None:
    created = recipe.create(["files:read"])
    require(recipe.send(created["key"]), 200)
    path = f"/orgs/{recipe.org}/api_keys/{created['id']}"
    recipe.call("PATCH", path, {"enabled": False})
    require(recipe.send(created["key"]), 401, "KEY_DISABLED")
    recipe.call("PATCH", path, {"enabled": True})
    require(recipe.send(created["key"]), 200)
    recipe.call("DELETE", path)
    require(recipe.send(created["key"]), 401, "INVALID_API_KEY")


def addresses(recipe: Recipe) -> None:
    key = recipe.create(["files:read"], allowed_addresses=["127.0.0.1"])["key"]
    require(recipe.send(key), 200)
    key = recipe.create(["files:read"], allowed_addresses=["203.0.113.7"])["key"]
    require(recipe.send(key), 403, "ADDRESS_NOT_ALLOWED")
    # Headers that a visitor writes change nothing.
    forged = {"X_Forwarded_For": "203.0.113.7", "X_Real_IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
    require(recipe.send(key, **forged), 403, "ADDRESS_NOT_ALLOWED")


def bodies_are_not_changed(recipe: Recipe) -> None:
    key = recipe.create(["files:write"])["key"]
    body = b'{"a": 1,  "not": JSON\x00\xff' * 1000
    for content_type in ("application/json", "application/x-www-form-urlencoded", "image/png"):
        assert require(recipe.send(key, "POST", body, Content_Type=content_type), 200).body == body
    assert require(recipe.send(key, "POST", iter([body, body])), 200).body == body + body


def connections_are_shared(recipe: Recipe) -> None:
    key = recipe.create(["files:read"])["key"]
    before = recipe.proxy.accepted
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: recipe.send(key), range(400)))
    assert all(one.status == 200 for one in answers)
    # Eight at once. Some clients open a few more than they need.
    opened = recipe.proxy.accepted - before
    assert opened <= 40, f"{opened} connections for 400 requests"


def failures_of_the_service(recipe: Recipe) -> None:
    key = recipe.create(["files:read"])["key"]
    proxy = recipe.proxy

    def require_unavailable(what: str) -> None:
        answered = recipe.send(key)
        assert answered.status == 503, f"{what}: {answered.status}"
        assert require(answered, 503, "UNAVAILABLE").headers["Retry-After"] == "5"

    proxy.close()
    require_unavailable("nothing listens")
    proxy.listen(proxy.port)
    recipe.wait_until("it asks again", lambda: recipe.send(key).status == 200)
    other = FailingProxy(recipe.service)
    wrong = json.dumps({"message": "no", "code": 401, "reason": "invalid_credential"})
    redirect = f"Content-Type: text/plain\r\nLocation: http://127.0.0.1:{other.port}/api_keys/verify"
    for mode in (
        "silent",
        "endless",
        answer("200 OK", "{}"),
        answer("200 OK", "null"),
        answer("200 OK", '{"valid": "yes", "code": "VALID"}'),
        answer("200 OK", "<html>", "Content-Type: text/html"),
        answer("204 No Content", ""),
        answer("401 Unauthorized", wrong),
        answer("500 Internal Server Error", ""),
        answer("503 Service Unavailable", '{"valid": true, "code": "VALID"}'),
        answer("307 Temporary Redirect", "", redirect),
        b"not HTTP\r\n\r\n",
    ):
        proxy.mode = mode
        require_unavailable(str(mode))
        # Without asking.
        require(recipe.send(), 401, "MISSING_API_KEY")
    proxy.mode = "open"
    proxy.ended.set()
    assert other.accepted == 0, "a redirect was followed"
    other.close()
    recipe.wait_until("it asks again", lambda: recipe.send(key).status == 200)
    recipe.call("DELETE", f"/orgs/{recipe.org}/api_keys/{recipe.service_key['id']}")
    require_unavailable("the service key was revoked")


def no_key_is_logged(recipe: Recipe) -> None:
    output = recipe.output()
    assert "Claviger cannot be asked" in output, output
    found = [secret[:12] for secret in recipe.secrets if secret[4:] in output]
    assert found == [], f"{found} in the log"


def main(name: str, service: str, command: list[str]) -> None:
    with tempfile.NamedTemporaryFile() as log:
        recipe = Recipe(service, command, log)
        try:
            for check in (
                valid_keys_and_their_identity,
                requests_without_a_valid_key,
                missing_permissions,
                uses_are_counted_exactly,
                rate_limits,
                revoked_keys,
                addresses,
                bodies_are_not_changed,
                connections_are_shared,
                failures_of_the_service,
                no_key_is_logged,
            ):
                try:
                    check(recipe)
                except Exception:
                    print(f"{name}: {check.__name__} failed. Its output:\n{recipe.output()[-4000:]}", file=sys.stderr)
                    raise
        finally:
            recipe.process.terminate()
            recipe.process.wait(LIMIT_SECONDS)
    print(f"{name}: the recipe works")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
