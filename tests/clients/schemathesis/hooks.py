"""Credentials and ids for Schemathesis, and the findings that are no faults (exclusions.toml).

Random ids exist nowhere, so random requests would only get 404. Three of four generated ids are replaced by ids of objects that
exist. The requests also delete and restrict the caller's own key, so the caller is replaced when it can no longer manage its
organization.
"""

import os
import re
import subprocess
import time
import tomllib
import uuid
from pathlib import Path

import requests
import schemathesis

BASE = os.environ["CLAVIGER_TEST_URL"]
PLATFORM = os.environ["CLAVIGER_TEST_CALLER"] == "platform"


def call(key, method, path, body=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.request(method, BASE + path, json=body, headers=headers, timeout=30)


class Caller:
    """A key with all permissions, an organization that it can manage, and ids of objects in this organization."""

    def __init__(self):
        self.checked = 0.0
        self.renew()

    def renew(self):
        email = f"{uuid.uuid4().hex}@example.com"
        answer = call(None, "POST", "/auth/create-key", {"user_name": "Sam Schema", "user_email": email})
        answer.raise_for_status()
        data = answer.json()["data"]
        self.key, org = data["api_key"], data["org_id"]
        if PLATFORM:
            again = [os.environ["CLAVIGER"], "bootstrap", "--again"]
            self.key = subprocess.run(again, check=True, capture_output=True, text=True).stdout.strip()

        def create(path, body):
            answer = call(self.key, "POST", f"/orgs/{org}/{path}", body)
            answer.raise_for_status()
            return answer.json()

        key = create("api_keys", {"name": "a key", "permissions": ["files:read"], "remaining": 100})
        permission_set = create("permission_sets", {"name": "readers", "permissions": ["files:read"]})
        member = {"user_name": "Max Member", "user_email": f"m{email}", "permissions": ["files:read"]}
        member = create("members", member)
        invitation = create("invitations", {"user_name": "Ina Invited", "permissions": ["files:read"]})
        self.ids = {"org_id": org, "key_id": key["id"], "set_id": permission_set["id"], "user_id": member["user_id"],
                    "invitation_id": invitation["id"]}
        self.secret = key["key"]

    def check(self):
        """Renews the caller if a request has deleted or restricted its key or its organization, or the objects in it."""
        if time.monotonic() - self.checked < 0.2:
            return
        self.checked = time.monotonic()
        org = f"/orgs/{self.ids['org_id']}"
        parts = {"api_keys": "key_id", "permission_sets": "set_id", "members": "user_id"}
        paths = ["/orgs", *(f"{org}/{part}/{self.ids[name]}" for part, name in parts.items())]
        if any(call(self.key, "GET", path).status_code != 200 for path in paths):
            self.renew()
            return
        probe = call(self.key, "POST", f"{org}/api_keys", {"name": "probe", "permissions": ["*"]})
        if probe.status_code != 200 or call(self.key, "DELETE", f"{org}/api_keys/{probe.json()['id']}").status_code != 200:
            self.renew()


CALLER = Caller()
IDEMPOTENCY_KEYS = set()
EXCLUSIONS = tomllib.loads(Path(__file__).with_name("exclusions.toml").read_text())["exclusion"]


# Replaces the reader of JSON, which Schemathesis also uses for `application/jwt`.
@schemathesis.deserializer("application/json")
def read(context, response):
    """A JWT is a text."""
    return response.text if response.headers["content-type"] == ["application/jwt"] else response.json()


@schemathesis.auth(refresh_interval=None)
class Bearer:
    """The key of the caller, as a bearer token."""

    def get(self, case, context):
        return CALLER.key

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context, case, kwargs):
    # A repeated key would get the stored response to an earlier request, whatever else the request has.
    key = str((case.headers or {}).get("Idempotency-Key", ""))
    if re.fullmatch(r"[!#-~]{1,255}", key) and key in IDEMPOTENCY_KEYS:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    IDEMPOTENCY_KEYS.add(key)
    # The stateful phase uses ids from responses.
    if case.meta is None or case.meta.phase.name.value == "stateful":
        return
    for name, value in (case.path_parameters or {}).items():
        try:
            generated = uuid.UUID(str(value))
        except ValueError:
            continue
        if name in CALLER.ids and generated.int % 4 and str(value) == str(generated):
            case.path_parameters[name] = CALLER.ids[name]


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code in (401, 403, 404):
        CALLER.check()


def sentences(response):
    """The message of an error, and each invalid field with its message."""
    try:
        error = response.json()
    except ValueError:
        return response.text, []
    if not isinstance(error, dict):
        return response.text, []
    fields = error.get("fields") or {}
    return str(error.get("message")), [f"{name}: {message}" for name, message in fields.items()]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    name = case.operation.definition.raw.get("operationId", "")
    known = [one for one in EXCLUSIONS if one["code"] == failure.code and re.search(one["operation"], name)]

    def is_known(sentence):
        return any(re.search(one["response"], sentence) for one in known)

    message, fields = sentences(response)
    return not (is_known(message) or (fields and all(is_known(field) for field in fields)))
