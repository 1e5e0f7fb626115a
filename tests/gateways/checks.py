"""What must hold behind each gateway. A check is a function of this file whose name begins with `check_`; they run in order."""

import base64
import hashlib
import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from demo_api import DemoApi, read_frame
from gateways import Gateway
from service import Claviger, wait_until
from visitor import TIMEOUT_S, Answer, Visitor

IDENTITY = [
    "Claviger-Key-Id",
    "Claviger-Key-Name",
    "Claviger-Org-Id",
    "Claviger-Org-External-Id",
    "Claviger-User-Id",
    "Claviger-External-Id",
    "Claviger-Permissions",
    "Claviger-Permissions-Truncated",
    "Claviger-Metadata",
    "Claviger-Metadata-Truncated",
]
# What a visitor may try to be another one. Frameworks that follow CGI read `_` in a header's name as `-`.
FORGED = [(name, "forged") for name in IDENTITY]
FORGED += [(name.replace("-", "_"), "forged") for name in IDENTITY]
FORGED += [("claviger-key_id", "forged"), ("CLAVIGER-KEY-ID", "forged"), ("Claviger-Gateway", "secret=forged")]

# What a visitor may try to be seen with another address, method or path.
OVERRIDES = ["Forwarded", "X-Real-IP", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]
OVERRIDES += ["X-Original-URL", "X-Rewrite-URL"]
OVERRIDES += [name.replace("-", "_") for name in OVERRIDES if "-" in name]


class Case:
    """A gateway between an API and a Claviger."""

    def __init__(self, gateway: Gateway, claviger: Claviger, api: DemoApi) -> None:
        self.gateway, self.claviger, self.api = gateway, claviger, api
        self.key = claviger.create_key(name="Büro 1", external_id="customer-42")
        self.addresses = iter(f"127.0.0.{number}" for number in range(20, 250))

    def visitor(self) -> Visitor:
        """A visitor with an address of its own."""
        return Visitor(self.gateway.port, next(self.addresses))

    def require_refused(self, answer: Answer, status: int, reason: str) -> None:
        assert answer.status == status, f"{answer.status} instead of {status}: {answer.body!r}"
        assert answer.reason() == reason, f"reason {answer.reason()!r} instead of {reason!r}"
        assert answer.headers["claviger-deny-reason"] == reason, answer.headers.items()


def require(answer: Answer, status: int = 200) -> Answer:
    assert answer.status == status, f"{answer.status} instead of {status}: {dict(answer.headers)} {answer.body!r}"
    return answer


def require_same_reason(answer: Answer) -> None:
    """An answer of the gateway itself, whose body may have a reason: then the header has it, too."""
    reason = answer.json().get("reason") if answer.body.startswith(b"{") else None
    assert answer.headers["claviger-deny-reason"] == reason, f"{answer.headers.items()} with {answer.body!r}"


def require_not_forged(answer: Answer) -> None:
    forged = [header for header in require(answer).json()["headers"] if "forged" in header[1]]
    assert not forged, f"forged headers reached the API: {forged}"


def check_valid_key(case: Case) -> None:
    secret = case.key["key"]
    for answer in [
        case.visitor().send("/files/1?a=b%20c&permission=files:read", secret),
        case.visitor().send("/files/1?a=b%20c&permission=files:read", headers=[("Authorization", f"Bearer {secret}")]),
    ]:
        seen = require(answer).json()
        assert (seen["method"], seen["path"]) == ("GET", "/files/1?a=b%20c&permission=files:read"), seen
        assert answer.seen("claviger-key-id") == [case.key["id"]], seen
        assert answer.seen("claviger-org-id") == [case.claviger.org], seen
        assert answer.seen("claviger-external-id") == ["customer-42"], seen
        assert answer.seen("claviger-permissions")[0].split() == ["files:read", "files:write"], seen
        assert unquote(answer.seen("claviger-key-name")[0]) == "Büro 1", seen
        assert answer.seen("claviger-user-id") == [], seen
        secrets = [header for header in seen["headers"] if secret in header[1] or header[0] == "claviger-gateway"]
        assert not secrets, f"the API received {secrets}"


def check_large_identity(case: Case) -> None:
    """The longest name and external id, more permissions than fit, and visitors who leave no room for them."""
    permissions = ["files:read", *(f"collection-of-customer-{number}:read" for number in range(100, 300))]
    name, external_id = "🔑" * 100, "🗝" * 255
    secret = case.claviger.create_key(name=name, external_id=external_id, permissions=permissions)["key"]
    visitor = case.visitor()
    passed = 0
    for kilobytes in range(0, 70, 2):
        answer = visitor.send(key=secret, headers=[(f"Filler-{number}", "x" * 1_000) for number in range(kilobytes)])
        if answer.status not in (400, 413, 431, 500):
            passed += 1
            place = f"beside {kilobytes} KB of the visitor"
            assert answer.seen("claviger-key-name"), f"no name {place}"
            assert unquote(answer.seen("claviger-key-name")[0]) == name, place
            assert answer.seen("claviger-external-id"), f"no external id {place}"
            assert unquote(answer.seen("claviger-external-id")[0]) == external_id, place
            assert answer.seen("claviger-permissions"), f"no permissions {place}"
            assert 3500 < len(answer.seen("claviger-permissions")[0]) <= 4096, place
            assert answer.seen("claviger-permissions-truncated") == ["true"], place
    assert passed > 4, f"only {passed} requests passed"


def check_no_key(case: Case) -> None:
    answer = case.visitor().send()
    case.require_refused(answer, 401, "missing_credential")
    assert answer.headers.get_all("www-authenticate") == ['Bearer realm="api"'], answer.headers.items()


def check_bad_key(case: Case) -> None:
    answer = case.visitor().send(key="no-key")
    case.require_refused(answer, 401, "invalid_key")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"], answer.headers.items()
    assert len(answer.headers.get_all("www-authenticate")) == 1, answer.headers.items()


def check_two_keys(case: Case) -> None:
    other = case.claviger.create_key()
    answer = case.visitor().send(key=case.key["key"], headers=[("Authorization", f"Bearer {other['key']}")])
    assert answer.status == 401, answer.status
    answer = case.visitor().send(key=case.key["key"], headers=[("X-Api-Key", other["key"])])
    # nginx before 1.23 knows only the first of two headers.
    if case.gateway.name == "nginx" and answer.status == 200:
        assert answer.seen("claviger-key-id") == [other["id"]], answer.body
        assert answer.seen("x-api-key") == [], answer.body
    else:
        assert answer.status == 401, answer.status


def check_missing_permission(case: Case) -> None:
    secret = case.claviger.create_key(permissions=["files:read"])["key"]
    visitor = case.visitor()
    require(visitor.send(key=secret))
    require(visitor.send(key=secret, method="HEAD"))
    for method in ["PUT", "POST", "DELETE", "PATCH"]:
        case.require_refused(visitor.send(key=secret, method=method, body=b"{}"), 403, "insufficient_permissions")
    # A visitor cannot choose the method that is checked.
    for header in ["X-Forwarded-Method", "X-HTTP-Method-Override", "X_Forwarded_Method"]:
        answer = visitor.send(key=secret, method="PUT", body=b"{}", headers=[(header, "OPTIONS")])
        case.require_refused(answer, 403, "insufficient_permissions")
        case.require_refused(visitor.send(headers=[(header, "OPTIONS")]), 401, "missing_credential")


def check_paths_of_visitors(case: Case) -> None:
    visitor = case.visitor()
    for path in ["/", "//", "/a/../b", "/..%2f..%2fany", "/forward-auth/any", "/_claviger", "/?permission=", "/a?cost=0&x"]:
        answer = visitor.send(path)
        assert answer.status in (400, 401, 404), f"{path}: {answer.status}"
    before = len(case.api.received)
    for path in ["/", "/a%2Fb", "/a?cost=0&on_limit=403&b", "/a/?x=%26secret=1"]:
        assert require(visitor.send(path, case.key["key"])).json()["path"] == path
    assert len(case.api.received) == before + 4


def check_one_connection(case: Case) -> None:
    """Nothing of one request is left for the next one of the same connection."""
    other = case.claviger.create_key(name="Desk")
    connection = http.client.HTTPConnection("127.0.0.1", case.gateway.port, timeout=TIMEOUT_S)
    for key in [case.key, None, other, None, {"key": "no-key"}, case.key]:
        connection.request("GET", "/files/1", headers={"X-Api-Key": key["key"]} if key else {})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if key and "id" in key:
            assert require(answer).seen("claviger-key-id") == [key["id"]], answer.body
        else:
            assert answer.status == 401, answer.status
    connection.close()


def check_used_up(case: Case) -> None:
    secret = case.claviger.create_key(remaining=1)["key"]
    visitor = case.visitor()
    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(lambda _: visitor.send(key=secret), range(4)))
    assert sorted(answer.status for answer in answers) == [200, 429, 429, 429], [answer.status for answer in answers]
    for answer in answers:
        if answer.status == 429:
            case.require_refused(answer, 429, "usage_exceeded")


def check_rate_limit(case: Case) -> None:
    secret = case.claviger.create_key(rate_limit_max=2, rate_limit_window=60_000)["key"]
    visitor = case.visitor()
    for _ in range(2):
        answer = require(visitor.send(key=secret))
        if case.gateway.name != "caddy":
            assert answer.headers["ratelimit"] and answer.headers["ratelimit-policy"], answer.headers.items()
    answer = visitor.send(key=secret)
    case.require_refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60, answer.headers.items()


def check_forged_identity(case: Case) -> None:
    visitor = case.visitor()
    answer = visitor.send(key=case.key["key"], headers=FORGED)
    require_not_forged(answer)
    assert answer.seen("claviger-key-id") == [case.key["id"]], answer.body
    assert visitor.send(headers=FORGED).status == 401
    # A preflight request of a browser has no key.
    answer = visitor.send(method="OPTIONS", headers=[*FORGED, ("Origin", "https://example.com")])
    require_not_forged(answer)
    for name in IDENTITY:
        assert answer.seen(name.lower()) == [], answer.body


def check_overrides(case: Case) -> None:
    """Headers that frameworks take for another address, method or path."""
    visitor = case.visitor()
    headers = [(name, "forged") for name in OVERRIDES]
    require_not_forged(visitor.send(key=case.key["key"], headers=headers))
    require_not_forged(visitor.send(method="OPTIONS", headers=headers))


def check_connection_header(case: Case) -> None:
    """`Connection` names headers for one hop only (RFC 9110, section 7.6.1). A visitor must not remove those of the gateway."""
    visitor = case.visitor()
    secret = case.claviger.create_key(name="Desk", external_id="customer-7", allowed_addresses=[f"{visitor.address}/32"])["key"]
    names = [*IDENTITY, "Claviger-Gateway", "X-Forwarded-For", "X-Forwarded-Method"]
    for value in [f"close, {', '.join(names)}", ",".join(names).upper()]:
        answer = visitor.send(key=secret, headers=[("Connection", value)])
        if answer.status == 400 and case.gateway.name.startswith("envoy"):
            continue  # Envoy refuses such a header.
        require(answer)
        identity = {"claviger-key-name": "Desk", "claviger-external-id": "customer-7", "claviger-org-id": case.claviger.org}
        for name, expected in identity.items():
            assert answer.seen(name) == [expected], f"{name} was removed: {answer.body!r}"


def check_address_of_visitors(case: Case) -> None:
    visitor = case.visitor()
    spoofed = [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "203.0.113.9")]
    spoofed += [("X_Forwarded_For", "203.0.113.9")]
    elsewhere = case.claviger.create_key(allowed_addresses=["203.0.113.0/24"])["key"]
    here = case.claviger.create_key(allowed_addresses=[f"{visitor.address}/32"])["key"]
    case.require_refused(visitor.send(key=elsewhere, headers=spoofed), 403, "address_not_allowed")
    answer = require(visitor.send(key=here, headers=spoofed))
    assert answer.seen("x-forwarded-for")[-1].split(",")[-1].strip() == visitor.address, answer.body
    assert answer.seen("x_forwarded_for") == [], answer.body


def check_upload(case: Case) -> None:
    body = os.urandom(1_000_000)
    visitor = case.visitor()
    for headers, chunked in [([], False), ([], True), ([("Expect", "100-continue")], False)]:
        answer = require(visitor.send(key=case.key["key"], method="PUT", body=body, chunked=chunked, headers=headers))
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest(), f"{answer.json()['length']} bytes arrived"
    before = len(case.api.received)
    assert visitor.send(key="no-key", method="PUT", body=body).status == 401
    assert len(case.api.received) == before


def check_streaming(case: Case) -> None:
    with case.visitor().connect() as connection:
        connection.sendall(
            f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{case.gateway.port}\r\nX-Api-Key: {case.key['key']}\r\n\r\n".encode()
        )
        received = b""
        while b"first: 1" not in received:
            part = connection.recv(4096)
            assert part, received
            received += part
        assert b"second" not in received
        case.api.release.set()
        while b"second: 2" not in received:
            part = connection.recv(4096)
            assert part, received
            received += part


def check_answers_of_the_api(case: Case) -> None:
    for status in [400, 401, 403, 404, 429, 500, 503]:
        answer = require(case.visitor().send(f"/status/{status}", case.key["key"]), status)
        assert answer.json()["path"] == f"/status/{status}", "the gateway replaced an answer of the API"


def check_websocket(case: Case) -> None:
    handshake = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{case.gateway.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
    )
    with case.visitor().connect() as connection, connection.makefile("rb") as answers:
        connection.sendall(f"{handshake}X-Api-Key: {case.key['key']}\r\n\r\n".encode())
        status = answers.readline()
        assert b" 101 " in status, status
        headers = b"".join(iter(answers.readline, b"\r\n")).decode().lower()
        assert f"demo-key-id: {case.key['id']}" in headers, headers
        connection.sendall(b"\x81\x85\0\0\0\0hello")
        assert read_frame(answers) == b"hello"
    before = len(case.api.received)
    with case.visitor().connect() as connection:
        connection.sendall(f"{handshake}\r\n".encode())
        assert b" 401 " in connection.recv(4096)
    assert len(case.api.received) == before


def check_other_upgrades(case: Case) -> None:
    """An API that changes to another protocol makes the gateway a tunnel, in which no further request is checked."""
    visitor = case.visitor()
    settings = ("HTTP2-Settings", "AAMAAABkAAQAAP__")
    several = [["h2c, websocket"], ["websocket, h2c"], ["h2c", "websocket"]]
    for method, key in [("OPTIONS", None), ("GET", case.key["key"]), ("POST", case.key["key"])]:
        for tokens in [["h2c"], ["foo"], ["TLS/1.0"], *several, ["websocket"], []]:
            # Of several tokens a gateway may choose the one that is allowed.
            may_pass = method == "GET" and "websocket" in ",".join(tokens)
            if method == "GET" and tokens == ["websocket"]:
                continue
            headers = [("Connection", "Upgrade, HTTP2-Settings"), *(("Upgrade", token) for token in tokens), settings]
            headers += [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Sec-WebSocket-Version", "13")]
            before = len(case.api.upgrades)
            visitor.send(key=key, method=method, headers=headers, body=b"" if method == "POST" else None)
            passed = {upgrade for upgrade in case.api.upgrades[before:] if not (may_pass and upgrade == ("GET", "websocket"))}
            assert not passed, f"upgrades reached the API, with {tokens}: {passed}"


def check_methods_of_proxies(case: Case) -> None:
    """An API that answers CONNECT with 200 makes the gateway a tunnel."""
    visitor = case.visitor()
    # Gateways refuse another authority than that of `Host`.
    for method, path in [("CONNECT", f"127.0.0.1:{case.gateway.port}"), ("CONNECT", "/files/1"), ("TRACE", "/files/1")]:
        for key in [None, case.key["key"]]:
            answer = visitor.send(path, key, method=method)
            assert 400 <= answer.status < 500, f"{method}: {answer.status}"
    assert not case.api.methods & {"CONNECT", "TRACE"}, case.api.methods


def check_revoked_key(case: Case) -> None:
    key = case.claviger.create_key()
    visitor = case.visitor()
    for _ in range(3):
        require(visitor.send(key=key["key"]))
    case.claviger.revoke(key)
    wait_until("the revoked key is refused", lambda: visitor.send(key=key["key"]).status == 401, seconds=2)
    case.require_refused(visitor.send(key=key["key"]), 401, "invalid_key")


def check_too_many_failures(case: Case) -> None:
    attacker, other = case.visitor(), case.visitor()
    for attempt in range(200):
        answer = attacker.send(key=f"no-key-{attempt}")
        if answer.status != 401:
            break
    case.require_refused(answer, 429, "too_many_failures")
    assert 90 <= attempt, f"refused after {attempt} failures"
    # A key that Claviger has not cached: those are refused first.
    secret = case.claviger.create_key()["key"]
    require(other.send(key=secret))
    case.require_refused(other.send(key="no-key"), 401, "invalid_key")
    case.require_refused(other.send(), 401, "missing_credential")


def check_gateway_command(case: Case) -> None:
    def run(port: int) -> subprocess.CompletedProcess:
        command = [case.claviger.binary, "check-gateway", f"http://127.0.0.1:{port}", "--key", case.key["key"]]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = run(case.gateway.port)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"claviger check-gateway: {done.returncode}\n{done.stdout}{done.stderr}"
    assert lines and all(line.startswith("ok ") for line in lines), done.stdout
    # Without the gateway the API is open.
    done = run(case.api.port)
    assert done.returncode == 1, f"claviger check-gateway, without a gateway: {done.returncode}\n{done.stdout}{done.stderr}"


def check_stalled_service(case: Case) -> None:
    before = len(case.api.received)
    case.claviger.stall()
    try:
        answer = case.visitor().send(key=case.key["key"])
    finally:
        case.claviger.resume()
    assert answer.status == 503, f"{answer.status} while Claviger is stalled"
    require_same_reason(answer)
    assert len(case.api.received) == before
    wait_until("requests pass again", lambda: case.visitor().send(key=case.key["key"]).status == 200)


def check_stopped_service(case: Case) -> None:
    before = len(case.api.received)
    case.claviger.stop()
    for secret in [case.key["key"], "no-key", None]:
        answer = case.visitor().send(key=secret)
        assert answer.status == 503, f"{answer.status} while Claviger is stopped: {answer.body!r}"
        require_same_reason(answer)
    assert len(case.api.received) == before, "requests passed while Claviger was stopped"
    case.claviger.start()
    wait_until("requests pass again", lambda: case.visitor().send(key=case.key["key"]).status == 200)
    assert case.visitor().send(key="no-key").status == 401


def permissions_of_paths(case: Case) -> None:
    """With the rules of the README, everything below /reports needs `reports:read`, and /status is public."""
    visitor = case.visitor()
    reports = case.claviger.create_key(permissions=["reports:read"])["key"]
    files = case.claviger.create_key(permissions=["files:read"])["key"]
    allowed = [("/status?x=/../a//b", None), ("/files/1", files), ("/files/a%20b.c/..d?x=%2f&y=/../", files)]
    allowed += [(path, reports) for path in ["/reports", "/reports/", "/reports/1?x=;", "/reports/a.b/.c"]]
    for path, key in allowed:
        assert require(visitor.send(path, key)).json()["path"] == path

    def require_path(path: str, key: str | None, expected: str) -> None:
        """The request is refused, or the API receives one that the rules allow."""
        before = len(case.api.received)
        visitor.send(path, key)
        for received in case.api.received[before:]:
            path_of_api = unquote(received.partition("?")[0])
            assert re.fullmatch(expected, path_of_api) and ".." not in path_of_api, f"{path} reached the API as {received}"

    require(visitor.send("/status"))
    public = ["/../status", "/..%2fstatus", "/..%2Fstatus", "%2f..%2fstatus", "/%2e%2e/status", "/..;/status"]
    public += ["\\..\\status", "/..%5cstatus"]
    others = ["/%73tatus", "//status", "/./status", "/STATUS", "/status/", "/status%2f", "/status%3f", "/status%00", "/status%3b"]
    others += ["/status/../files", "/status;/files", "/status#/files", "/status%23/files"]
    for path in [*(f"/files{path}" for path in public), *others]:
        require_path(path, None, "/status")
    others = ["/reports/x/../../files", "/reports/../files/1"]
    for path in [*(f"/reports{path}".replace("status", "files") for path in public), *others]:
        require_path(path, reports, "/reports(/.*)?")
    others = ["/reports", "/reports/1", "/REPORTS/1", "/%72eports/1", "/r%45ports/1", "/reports;x/1", "/reports%3bx/1"]
    others += ["/reports%2f1", "//reports/1", "/./reports/1", "/%2e/reports/1", "/%2freports", "/\\reports", "/%5creports"]
    others += ["/files/%252e%252e/reports"]
    for path in [*(f"/files{path}".replace("status", "reports/1") for path in public), *others]:
        require_path(path, files, "(?i)(?!.*reports).*")


def dynamic_metadata(case: Case) -> None:
    """What other filters of Envoy get."""
    log = case.gateway.directory / "metadata.log"

    def logged(field: str, value: str) -> dict | None:
        # A request without metadata is logged as "-".
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return next((entry for entry in entries if entry.get(field) == value), None)

    key = case.claviger.create_key(name="Büro 2", external_id="customer-7", rate_limit_max=5, rate_limit_window=60_000)
    require(case.visitor().send(key=key["key"]))
    entry = wait_until("the metadata of the key are logged", lambda: logged("key_id", key["id"]))
    expected = {"key_name": "Büro 2", "external_id": "customer-7", "org_id": case.claviger.org}
    assert expected.items() <= entry.items(), entry
    assert entry["permissions"] == ["files:read", "files:write"], entry
    assert (entry["rate_limit"]["limit"], entry["rate_limit"]["remaining"]) == (5, 4), entry
    assert case.visitor().send().status == 401
    wait_until("the reason of a refusal is logged", lambda: logged("deny_reason", "missing_credential"))


ALL = [check for name, check in globals().items() if name.startswith("check_")]
# What only these gateways have.
OF_GATEWAY = {"envoy-grpc": [dynamic_metadata]}
# What depends on how the gateway is trusted.
ABOUT_TRUST = [check_valid_key, check_no_key, check_missing_permission, check_forged_identity, check_address_of_visitors]
# With the rules for paths in the configuration.
ABOUT_PATHS = [permissions_of_paths, check_other_upgrades, check_overrides]


def run_checks(case: Case, checks: list[Callable[[Case], None]]) -> list[tuple[str, str | None, float]]:
    """The name of each check, what failed, and its seconds."""
    results = []
    for check in checks:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        started = time.monotonic()
        try:
            check(case)
            failure = None
        except Exception as error:  # noqa: BLE001, a check that fails must not prevent the others
            failure = f"{type(error).__name__}: {error}"
        results.append((name, failure, time.monotonic() - started))
    return results
