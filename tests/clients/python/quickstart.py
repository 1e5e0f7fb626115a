"""The quick start, with a client that is generated from the OpenAPI document."""

import sys

from claviger_client import AuthenticatedClient, Client
from claviger_client.api.athena import create_athena_key, verify_athena_key
from claviger_client.api.keys import create_api_key, delete_api_key, list_api_keys
from claviger_client.api.live_kit import check_api_key, sign_up
from claviger_client.api.members import add_member
from claviger_client.api.organizations import update_organization
from claviger_client.api.permission_sets import create_permission_set
from claviger_client.api.sessions_and_tokens import (
    close_session,
    create_token,
    get_jwks,
    get_me,
    get_revoked_tokens,
    open_session,
)
from claviger_client.models import (
    AddMemberRequest,
    ApiError,
    ApiKey,
    AthenaCreateKeyRequest,
    AthenaVerifyKeyRequest,
    CreateApiKeyRequest,
    CreatePermissionSetRequest,
    CreateTokenRequest,
    LiveKitError,
    SignUpRequest,
    UpdateOrganizationRequest,
)


def main(base_url: str) -> None:
    request = SignUpRequest(user_name="Pia Python", user_email="pia@example.com", org_name="Snakes")
    data = sign_up.sync(client=Client(base_url=base_url), body=request).data
    admin = AuthenticatedClient(base_url=base_url, token=data.api_key)

    new = CreateApiKeyRequest(name="Reader", permissions=["read"])
    created = create_api_key.sync(data.org_id, client=admin, body=new)
    assert created.expires_at is None and created.created_by.type_ == "key"
    reader = AuthenticatedClient(base_url=base_url, token=created.key)

    listed = list_api_keys.sync(data.org_id, client=reader)
    assert {key.id for key in listed} == {data.key_id, created.id}
    assert all(isinstance(key, ApiKey) for key in listed)

    refused = create_api_key.sync(data.org_id, client=reader, body=new)
    assert isinstance(refused, ApiError) and refused.code == 403

    deleted = delete_api_key.sync(data.org_id, created.id, client=admin)
    assert deleted.message == "API key deleted successfully"
    gone = check_api_key.sync(client=reader)
    assert isinstance(gone, LiveKitError) and gone.success is False

    metered = create_athena_key.sync(client=admin, body=AthenaCreateKeyRequest(remaining=2, rate_limit_max="5"))
    verdict = verify_athena_key.sync(client=admin, body=AthenaVerifyKeyRequest(key=metered.key))
    assert verdict.valid and verdict.key.remaining == 1 and verdict.error is None

    by_id = create_permission_set.sync(data.org_id, client=admin, body=CreatePermissionSetRequest("readers", ["files:read"]))
    new = AddMemberRequest(permissions=[], user_name="Jo", user_email="jo@example.com")
    new.permission_sets = [by_id.id]
    member = add_member.sync(data.org_id, client=admin, body=new)
    assert member.user_email == "jo@example.com" and member.permission_sets == [by_id.id]
    renamed = update_organization.sync(data.org_id, client=admin, body=UpdateOrganizationRequest(name="Typed"))
    assert renamed.name == "Typed" and renamed.external_id is None

    me = get_me.sync(client=admin)
    assert me.credential == "api_key" and me.organization.permissions == ["*"]
    opened = open_session.sync_detailed(client=admin)
    cookie = opened.headers["set-cookie"].split(";")[0]
    page = Client(base_url=base_url, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert get_me.sync(client=page).credential == "session"
    assert close_session.sync(client=page).message == "Signed out"
    assert get_me.sync(client=page).code == 401
    token = create_token.sync(client=admin, body=CreateTokenRequest(audience="storage", permissions=["files:read"]))
    assert token.token_type == "Bearer" and token.permissions == ["files:read"]
    anyone = Client(base_url=base_url)
    assert get_jwks.sync(client=anyone).keys[0].crv == "Ed25519"
    assert get_revoked_tokens.sync(client=anyone).jwt.count(".") == 2
    print("Python client: the quick start works")


main(sys.argv[1])
