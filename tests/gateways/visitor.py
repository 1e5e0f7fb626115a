"""What a visitor of the API sends, from an address of 127.0.0.0/8."""

import http.client
import json
import socket
from typing import NamedTuple

TIMEOUT_S = 30


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def reason(self) -> str:
        """Why a request was refused."""
        return self.json().get("reason", "")

    def seen(self, name: str) -> list[str]:
        """The values of a header that the API received, without empty ones."""
        return [value for header, value in self.json()["headers"] if header == name and value]


class Visitor:
    def __init__(self, port: int, address: str) -> None:
        self.port = port
        self.address = address

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S, source_address=(self.address, 0))

    def send(
        self,
        path: str = "/files/1",
        key: str | None = None,
        *,
        method: str = "GET",
        headers: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        chunked: bool = False,
    ) -> Answer:
        """Sends one request on a connection of its own. `key` is sent in `X-Api-Key`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, source_address=(self.address, 0))
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or []) + ([("X-Api-Key", key)] if key else []):
                connection.putheader(name, value)
            if body is not None:
                connection.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))))
            connection.endheaders()
            if ("Expect", "100-continue") in (headers or []):
                # A client waits for the answer 100 before it sends the body.
                connection.sock.recv(1, socket.MSG_PEEK)
            try:
                if body and chunked:
                    for start in range(0, len(body), 65536):
                        part = body[start : start + 65536]
                        connection.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    connection.send(b"0\r\n\r\n")
                elif body:
                    connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # A gateway may answer a refused upload before it has read all of it.
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
