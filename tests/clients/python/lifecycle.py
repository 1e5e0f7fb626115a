"""The lifecycle of a key (see README.md in the folder above), with a client of openapi-python-client."""

import sys

from claviger_client import AuthenticatedClient, Client
from claviger_client.api.keys import create_api_key, delete_api_key, get_api_key, list_api_keys, rotate_api_key
from claviger_client.api.live_kit import sign_up
from claviger_client.api.permission_sets import create_permission_set, update_permission_set
from claviger_client.api.verification import verify_api_key
from claviger_client.models import (
    ApiError,
    CreateApiKeyRequest,
    CreatePermissionSetRequest,
    RotateApiKeyRequest,
    SignUpRequest,
    UpdatePermissionSetRequest,
    VerifyApiKeyRequest,
)

MONTH = 30 * 24 * 3_600_000


def main(base_url: str) -> None:
    request = SignUpRequest(user_name="Pat Python", user_email="pat@example.com", org_name="Lifecycle")
    account = sign_up.sync(client=Client(base_url=base_url), body=request).data
    client, org = AuthenticatedClient(base_url=base_url, token=account.api_key), account.org_id

    new = CreateApiKeyRequest(name="metered", permissions=["files:read"], remaining=5, refill_amount=5)
    new.refill_interval, new.rate_limit_max, new.rate_limit_window = MONTH, 100, MONTH
    created = create_api_key.sync(org, client=client, body=new)
    found = next(key for key in list_api_keys.sync(org, client=client) if key.id == created.id)
    assert (found.refill_interval, found.rate_limit_window) == (MONTH, MONTH)

    def verify(secret: str, *permissions: str):
        question = VerifyApiKeyRequest(key=secret, permissions=list(permissions))
        return verify_api_key.sync(client=client, body=question)

    held = verify(created.key, "files:read")
    assert held.valid and held.remaining == 4 and held.rate_limit.limit == 100
    lacked = verify(created.key, "files:write")
    assert not lacked.valid and lacked.code == "INSUFFICIENT_PERMISSIONS"

    new_set = CreatePermissionSetRequest(name="readers", permissions=["files:read"])
    permission_set = create_permission_set.sync(org, client=client, body=new_set)
    change = UpdatePermissionSetRequest(name="viewers")
    renamed = update_permission_set.sync(org, permission_set.id, client=client, body=change)
    assert renamed.name == "viewers" and renamed.permissions == ["files:read"]

    rotated = rotate_api_key.sync(org, created.id, client=client, body=RotateApiKeyRequest(grace_seconds=0))
    assert rotated.id == created.id and rotated.key != created.key
    assert verify(created.key).code == "INVALID_API_KEY"
    assert verify(rotated.key).remaining == 3
    assert delete_api_key.sync(org, created.id, client=client).message == "API key deleted successfully"
    gone = get_api_key.sync(org, created.id, client=client)
    assert isinstance(gone, ApiError) and gone.code == 404 and gone.reason == "not_found"
    assert verify(rotated.key).code == "INVALID_API_KEY"
    print("openapi-python-client: the lifecycle of a key works")


main(sys.argv[1])
