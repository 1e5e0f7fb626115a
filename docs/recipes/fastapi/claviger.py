"""Asks Claviger whether the key of a request is valid, and refuses the request if not.

CLAVIGER_URL is the address of Claviger, CLAVIGER_KEY the key of this service, with the permission `api_keys:verify`.
"""

import asyncio
import ipaddress
import logging
import os
import re
from typing import Annotated, Any

import httpx
from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

TIMEOUT_SECONDS = 2
# A verdict with another code means 401.
STATUSES = {"ADDRESS_NOT_ALLOWED": 403, "INSUFFICIENT_PERMISSIONS": 403, "RATE_LIMITED": 429, "USAGE_EXCEEDED": 429}

# One client for all requests, which keeps its connections open. It uses no proxy and no .netrc of the environment.
client = httpx.AsyncClient(
    base_url=os.environ["CLAVIGER_URL"],
    headers={"Authorization": f"Bearer {os.environ['CLAVIGER_KEY']}"},
    timeout=TIMEOUT_SECONDS,
    limits=httpx.Limits(max_connections=100, max_keepalive_connections=100),
    trust_env=False,
)


def requires(permission: str) -> type[APIRoute]:
    """Routes that need a key with the permission: `APIRouter(route_class=requires("files:read"))`.

    Counts one use of the key, before the body is read. Handlers get the key as a parameter of the type `ApiKey`.
    """

    class ProtectedRoute(APIRoute):
        def get_route_handler(self):
            handle = super().get_route_handler()

            async def protected(request: Request) -> Response:
                key, refusal = key_of(request)
                if key is None:
                    return refusal
                try:
                    verdict = await verify(key, address_of(request), permission)
                # TimeoutError: of all steps together; httpx has one for each. ValueError: no JSON.
                except (httpx.HTTPError, TimeoutError, ValueError) as error:
                    logging.getLogger(__name__).error("Claviger cannot be asked: %r", error)
                    return refuse(503, "UNAVAILABLE", {"Retry-After": "5"})
                if not verdict["valid"]:
                    return refuse_verdict(verdict)
                request.state.api_key = verdict
                response = await handle(request)
                response.headers.update(limit_headers(verdict))
                return response

            return protected

    return ProtectedRoute


def api_key(request: Request) -> dict[str, Any]:
    return request.state.api_key


# The key of a request: its key_id, name, org_id, external_id, permissions, metadata and limits.
ApiKey = Annotated[dict[str, Any], Depends(api_key)]


def key_of(request: Request) -> tuple[str, None] | tuple[None, Response]:
    """The secret that was sent, or the response if there is none."""
    keys = set(request.headers.getlist("x-api-key"))
    for value in request.headers.getlist("authorization"):
        if bearer := re.fullmatch(r"bearer +(.+)", value, re.IGNORECASE):
            keys.add(bearer[1])
    if not keys:
        return None, refuse(401, "MISSING_API_KEY", {"WWW-Authenticate": 'Bearer realm="api"'})
    key = keys.pop()
    if keys or not re.fullmatch(r"[!-~]{1,512}", key):
        return None, refuse_key("INVALID_API_KEY")
    return key, None


def address_of(request: Request) -> str | None:
    """The visitor's address, without the zone of IPv6."""
    try:
        return str(ipaddress.ip_address(request.client.host.split("%")[0])) if request.client else None
    except ValueError:
        return None


async def verify(key: str, ip: str | None, permission: str) -> dict[str, Any]:
    """The verdict. Without a second attempt, because the first one may have counted a use."""
    body = {"key": key, "permissions": [permission], "context": {"ip": ip}}
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answer = await client.post("/api_keys/verify", json=body)
    verdict = answer.json() if answer.status_code == 200 else None
    if not isinstance(verdict, dict) or not isinstance(verdict.get("valid"), bool):
        raise ValueError(f"status {answer.status_code}, not a verdict")
    return verdict


def refuse_verdict(verdict: dict[str, Any]) -> Response:
    status = STATUSES.get(verdict["code"])
    if status is None:
        return refuse_key(verdict["code"])
    headers = limit_headers(verdict)
    if verdict["rate_limit"]:
        headers["Retry-After"] = str(verdict["rate_limit"]["reset"])
    return refuse(status, verdict["code"], headers)


def refuse_key(code: str) -> Response:
    return refuse(401, code, {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'})


def refuse(status: int, code: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"code": code}, status, headers | {"Cache-Control": "no-store"})


def limit_headers(verdict: dict[str, Any]) -> dict[str, str]:
    """The rate limit of the key, as draft-ietf-httpapi-ratelimit-headers has it, and in the older form."""
    if not (window := verdict["rate_limit"]):
        return {}
    limit, remaining, reset = window["limit"], window["remaining"], window["reset"]
    return {
        "RateLimit-Policy": f'"rate";q={limit}',
        "RateLimit": f'"rate";r={remaining};t={reset}',
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }
