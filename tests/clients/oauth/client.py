"""OAuth 2.0 with Authlib, tokens that PyJWT validates offline, and introspection as Spring Security does it."""

import datetime
import sys
from urllib.parse import urlparse

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session

BASE = sys.argv[1]
person = {"user_name": "Otto", "user_email": "otto@example.com"}
data = requests.post(f"{BASE}/auth/create-key", json=person, timeout=30).json()["data"]
ADMIN = {"Authorization": f"Bearer {data['api_key']}"}
METADATA = requests.get(f"{BASE}/.well-known/oauth-authorization-server", timeout=30).json()


def create(permissions):
    new = {"name": "storage client", "permissions": permissions}
    response = requests.post(f"{BASE}/orgs/{data['org_id']}/api_keys", json=new, headers=ADMIN, timeout=30)
    response.raise_for_status()
    return response.json()


class OpaqueTokenIntrospector:
    """What `SpringOpaqueTokenIntrospector` of Spring Security sends and requires: a form with HTTP Basic, 200 with JSON, and
    claims of the types that it converts."""

    def __init__(self, uri, client_id, client_secret):
        self.uri, self.credentials = uri, (client_id, client_secret)

    def introspect(self, token):
        accept = {"Accept": "application/json"}
        response = requests.post(self.uri, data={"token": token}, auth=self.credentials, headers=accept, timeout=30)
        assert response.status_code == 200 and response.headers["Content-Type"].startswith("application/json"), response.text
        claims = response.json()
        if claims["active"] is not True:
            return None
        for name in ("exp", "iat", "nbf"):
            if name in claims:
                assert isinstance(claims[name], int)
                claims[name] = datetime.datetime.fromtimestamp(claims[name], datetime.UTC)
        assert urlparse(claims["iss"]).scheme in ("http", "https") and isinstance(claims["client_id"], str)
        if isinstance(claims.get("aud"), str):
            claims["aud"] = [claims["aud"]]
        return claims["sub"], [f"SCOPE_{scope}" for scope in claims["scope"].split(" ")], claims


key = create(["files:read", "files:write"])
verifier = create(["api_keys:verify"])
spring = OpaqueTokenIntrospector(METADATA["introspection_endpoint"], verifier["id"], verifier["key"])
jwks = jwt.PyJWKClient(METADATA["jwks_uri"])
for method in ("client_secret_basic", "client_secret_post"):
    session = OAuth2Session(key["id"], key["key"], token_endpoint_auth_method=method, scope="files:read",
                            revocation_endpoint_auth_method=method)
    token = session.fetch_token(METADATA["token_endpoint"], grant_type="client_credentials", audience="storage")
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 300, "files:read"), token
    text = token["access_token"]
    signing_key = jwks.get_signing_key_from_jwt(text)
    claims = jwt.decode(text, signing_key, algorithms=["EdDSA"], audience="storage", issuer=METADATA["issuer"])
    assert (claims["client_id"], claims["scope"]) == (key["id"], "files:read")
    try:
        jwt.decode(text, signing_key, algorithms=["EdDSA"], audience="other", issuer=METADATA["issuer"])
        raise AssertionError("another audience is not accepted")
    except jwt.InvalidAudienceError:
        pass
    name, authorities, found = spring.introspect(text)
    assert (name, authorities, found["aud"]) == (key["id"], ["SCOPE_files:read"], ["storage"])
    name, authorities, found = spring.introspect(key["key"])
    assert (name, authorities, found["org_id"]) == (key["id"], ["SCOPE_files:read", "SCOPE_files:write"], data["org_id"])
    assert session.revoke_token(METADATA["revocation_endpoint"], token=text).status_code == 200
    assert spring.introspect(text) is None and spring.introspect("nonsense") is None
print("Authlib, PyJWT and Spring's introspection: tokens are issued, validated and revoked")
