"""The API behind the gateways: it answers each request with what it received.

`/events` streams two lines, the second one when `release` is set. An upgrade to WebSocket gets its first message back.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WEBSOCKET_ID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def read_frame(stream) -> bytes:
    """The payload of a short frame of RFC 6455, with or without a mask."""
    length = stream.read(2)[1]
    mask = stream.read(4) if length & 0x80 else bytes(4)
    payload = stream.read(length & 0x7F)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self) -> None:
        api = self.server
        # `http.server` replaces `//` at the beginning.
        self.path = self.requestline.split(" ")[1]
        api.received.append(self.path)
        api.methods.add(self.command)
        upgrades = [(self.command, value) for name in ["upgrade", "http2-settings"] for value in self.headers.get_all(name, [])]
        api.upgrades += upgrades
        if self.headers.get("upgrade", "").lower() == "websocket":
            return self.echo_message()
        if self.path == "/events":
            return self.stream()
        body = self.body()
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        text = json.dumps(seen).encode()
        # An API refuses requests for reasons of its own; its answers must arrive unchanged.
        self.send_response(int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_CONNECT = do_TRACE = answer

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"8\r\nfirst: 1\r\n")
        self.wfile.flush()
        self.server.release.wait(timeout=30)
        self.wfile.write(b"9\r\nsecond: 2\r\n0\r\n\r\n")

    def echo_message(self) -> None:
        accept = base64.b64encode(hashlib.sha1(self.headers["sec-websocket-key"].encode() + WEBSOCKET_ID).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        # The API says who is connected.
        self.send_header("Demo-Key-Id", self.headers.get("claviger-key-id", ""))
        self.end_headers()
        payload = read_frame(self.rfile)
        self.wfile.write(bytes([0x81, len(payload)]) + payload)
        self.close_connection = True


class DemoApi(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[str] = []
        self.methods: set[str] = set()
        # The method and the value of each header that asks for another protocol.
        self.upgrades: list[tuple[str, str]] = []
        self.release = threading.Event()
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_arguments: object) -> None:
        """Gateways close connections at any time. What the API did not answer is seen by the checks."""
