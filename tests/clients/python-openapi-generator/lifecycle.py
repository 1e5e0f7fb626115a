"""The lifecycle of a key (see README.md in the folder above), with the Python client of openapi-generator."""

import sys
from datetime import datetime, timedelta, timezone

from claviger_client import (
    ApiClient,
    AthenaApi,
    AthenaVerifyKeyRequest,
    Configuration,
    CreateApiKeyRequest,
    CreatePermissionSetRequest,
    KeysApi,
    LiveKitApi,
    PermissionSetsApi,
    RotateApiKeyRequest,
    SignUpRequest,
    UpdatePermissionSetRequest,
    VerificationApi,
    VerifyApiKeyRequest,
)
from claviger_client.exceptions import NotFoundException

MONTH = 30 * 24 * 3_600_000


def main(base_url: str) -> None:
    anonymous = LiveKitApi(ApiClient(Configuration(host=base_url)))
    request = SignUpRequest(user_name="Olga Python", user_email="olga@example.com", org_name="Lifecycle")
    account = anonymous.sign_up(request).data
    client, org = ApiClient(Configuration(host=base_url, access_token=account.api_key)), account.org_id
    keys, sets = KeysApi(client), PermissionSetsApi(client)

    new = CreateApiKeyRequest(name="metered", permissions=["files:read"], remaining=5, refill_amount=5)
    new.refill_interval, new.rate_limit_max, new.rate_limit_window = MONTH, 100, MONTH
    created = keys.create_api_key(org, new)
    found = next(key for key in keys.list_api_keys(org) if key.id == created.id)
    assert (found.refill_interval, found.rate_limit_window) == (MONTH, MONTH)
    # A time is sent with its offset.
    hour = datetime.now(timezone.utc) + timedelta(hours=1)
    assert keys.list_api_keys(org, expires_before=hour) == []

    def verify(secret: str, permissions=None):
        return VerificationApi(client).verify_api_key(VerifyApiKeyRequest(key=secret, permissions=permissions))

    held = verify(created.key, ["files:read"])
    assert held.valid and held.remaining == 4 and held.rate_limit.limit == 100
    lacked = verify(created.key, ["files:write"])
    assert not lacked.valid and lacked.code == "INSUFFICIENT_PERMISSIONS"
    question = AthenaVerifyKeyRequest(key=created.key, permissions={"files": ["write"]})
    lacked = AthenaApi(client).verify_athena_key(question)
    assert not lacked.valid and lacked.error.code == "INSUFFICIENT_PERMISSIONS"

    permission_set = sets.create_permission_set(org, CreatePermissionSetRequest(name="readers", permissions=["files:read"]))
    renamed = sets.update_permission_set(org, permission_set.id, UpdatePermissionSetRequest(name="viewers"))
    assert renamed.name == "viewers" and renamed.permissions == ["files:read"]

    rotated = keys.rotate_api_key(org, created.id, RotateApiKeyRequest(grace_seconds=0))
    assert rotated.id == created.id and rotated.key != created.key
    assert verify(created.key).code == "INVALID_API_KEY"
    assert verify(rotated.key).remaining == 3
    assert keys.delete_api_key(org, created.id).message == "API key deleted successfully"
    try:
        keys.get_api_key(org, created.id)
        raise AssertionError("a deleted key was returned")
    except NotFoundException as error:
        assert error.data.reason == "not_found"
    assert verify(rotated.key).code == "INVALID_API_KEY"
    print("openapi-generator, Python: the lifecycle of a key works")


main(sys.argv[1])
