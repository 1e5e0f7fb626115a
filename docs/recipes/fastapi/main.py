"""An API with FastAPI that only answers requests with a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response

import claviger
from claviger import ApiKey, requires


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await claviger.client.aclose()


app = FastAPI(lifespan=lifespan)
readers = APIRouter(route_class=requires("files:read"))
writers = APIRouter(route_class=requires("files:write"))


@readers.get("/files")
async def list_files(key: ApiKey) -> dict[str, str | None]:
    return {"customer": key["external_id"], "key_id": key["key_id"], "name": key["name"]}


@writers.post("/files")
async def store_file(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


app.include_router(readers)
app.include_router(writers)
