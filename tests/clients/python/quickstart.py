"""The quick start, by a client that is generated from the document alone."""

import sys

from claviger_client import AuthenticatedClient, Client
from claviger_client.api.athena import athena_create_api_key, athena_verify_api_key
from claviger_client.api.live_kit import check_key, create_key
from claviger_client.api.organizations import create_api_key, delete_api_key, list_api_keys
from claviger_client.models import ApiKey, AthenaCreate, AthenaVerify, CreateApiKey, EnvelopeError, Error, SignUp


def main(base_url: str) -> None:
    sign_up = SignUp(user_name="Pia Python", user_email="pia@example.com", org_name="Snakes")
    data = create_key.sync(client=Client(base_url=base_url), body=sign_up).data
    admin = AuthenticatedClient(base_url=base_url, token=data.api_key)

    new = CreateApiKey(name="Reader", permissions=["read"])
    created = create_api_key.sync(data.org_id, client=admin, body=new)
    assert created.expires_at is None and created.created_by.type_ == "key"
    reader = AuthenticatedClient(base_url=base_url, token=created.key)

    listed = list_api_keys.sync(data.org_id, client=reader)
    assert {key.id for key in listed} == {data.key_id, created.id}
    assert all(isinstance(key, ApiKey) for key in listed)

    refused = create_api_key.sync(data.org_id, client=reader, body=new)
    assert isinstance(refused, Error) and refused.code == 403

    deleted = delete_api_key.sync(data.org_id, created.id, client=admin)
    assert deleted.message == "API key deleted successfully"
    gone = check_key.sync(client=reader)
    assert isinstance(gone, EnvelopeError) and gone.success is False

    metered = athena_create_api_key.sync(client=admin, body=AthenaCreate(remaining=2, rate_limit_max="5"))
    verdict = athena_verify_api_key.sync(client=admin, body=AthenaVerify(key=metered.key))
    assert verdict.valid and verdict.key.remaining == 1 and verdict.error is None
    print("Python client: the quick start works")


main(sys.argv[1])
