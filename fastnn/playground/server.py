"""The page over HTTP, for browsers on this machine alone: the package's files, and JSON for sessions."""

import http.server
import json
import os
import pathlib
import socket
import threading
from http import HTTPStatus
from typing import Any

from fastnn.playground.worker import UnknownSessionError, Worker

HOST = "127.0.0.1"
FOLDER = pathlib.Path(__file__).with_name("page")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_BYTES = 4096  # of a request's body
MOST_CONNECTIONS = 32
SECONDS_OF_SILENCE = 30
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(http.server.ThreadingHTTPServer):
    """Serves one page and its sessions on 127.0.0.1; port 0 takes a free one."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # where it would let two servers share a port

    def __init__(self, port: int = 0) -> None:
        # All that can ever be served, read once: no request names a file.
        self.files = {f"/{file.name}": (KINDS[file.suffix], file.read_bytes()) for file in FOLDER.iterdir()}
        self.files["/"] = self.files["/page.html"]
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.worker = Worker()
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}/"

    def server_bind(self) -> None:
        """As the base class, without asking a name server for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(self.allow_reuse_address))
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, if there are not too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""

    def server_close(self) -> None:
        """End the worker, too."""
        super().server_close()
        self.worker.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fastnn", ""
    timeout = SECONDS_OF_SILENCE
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """One of the page's files."""
        if not self._is_ours():
            return
        found = self.server.files.get(self.path.partition("?")[0])
        if found is None:
            self._say(HTTPStatus.NOT_FOUND, "there is nothing here")
        else:
            self._send(HTTPStatus.OK, *found)

    def do_POST(self) -> None:
        """A request of a session, in JSON."""
        if not self._is_ours():
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        elif len(length) > 9 or int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_BYTES} bytes")
        elif self.path != "/session":
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif self.headers.get_content_type() != "application/json":  # which other sites' pages may not send
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        else:
            self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        try:
            answer = self.server.worker.answer(json.loads(body))
        except UnknownSessionError as error:
            self._say(HTTPStatus.GONE, str(error))
        except (TypeError, ValueError, RecursionError) as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._send(HTTPStatus.OK, "application/json", answer)

    def _is_ours(self) -> bool:
        """Whether a page of ours asks: another site's name for this address, or another site's page, is refused."""
        hosts = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if host in hosts and origin in (None, f"http://{host}"):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, f"expected a request for {self.server.url} by its own page")
        return False

    def _refuse(self, status: HTTPStatus, problem: str) -> None:
        """Refuse a request without reading its body, which ends the connection."""
        self.close_connection = True
        self._say(status, problem)

    def _say(self, status: HTTPStatus, problem: str) -> None:
        self._send(status, "application/json", json.dumps({"error": problem}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each request."""
