"""Fetching one file over the network: over https alone, within limits of size and time, whole or not at all."""

import contextlib
import socket
import threading
from typing import IO, TYPE_CHECKING, Any

from fastnn.errors import DatasetError
from fastnn.system.progress import Progress

if TYPE_CHECKING:
    import http.client

CHUNK_BYTES = 2**16
LARGEST = 2**26  # bytes; the largest file of MNIST has 1e7
SECONDS_OF_SILENCE = 30.0
SECONDS_IN_ALL = 600.0  # 17 kB/s for that file


def fetch(url: str, label: str) -> bytes:
    """The content of `url`, with a line of progress that begins with `label`.

    Raises DatasetError if the file is too large or incomplete, takes too long, or the server redirects to an address
    that is not https; OSError, http.client.HTTPException for the network's own errors.
    """
    import http.client  # here and below: slow to import, and needed once

    deadline = _Deadline(SECONDS_IN_ALL)
    with deadline:
        try:
            with _opener(deadline).open(url, timeout=SECONDS_OF_SILENCE) as response:
                content = _read(response, label)
        except (OSError, http.client.HTTPException, DatasetError) as error:
            if not deadline.passed:
                raise
            raise deadline.error() from error
    if deadline.passed:  # and the server had named no length, so that the content looked whole
        raise deadline.error()
    return content


def _read(response: "http.client.HTTPResponse", label: str) -> bytes:
    content = bytearray()
    promised = response.length  # None where the server does not say
    with Progress(promised or 0, label, unit="bytes") as progress:
        while chunk := response.read1(CHUNK_BYTES):  # whatever has arrived, without waiting for more
            content += chunk
            progress.update(len(chunk))
            if len(content) > LARGEST:
                raise DatasetError(f"expected at most {LARGEST} bytes, got more")
    if response.length:  # bytes that a connection that ended early left out; reading does not complain
        raise DatasetError(f"expected {promised} bytes, got {len(content)}")
    return bytes(content)


class _Deadline:
    """Ends the connections that it watches once the time is up, whatever they are waiting for.

    A limit for each wait does not limit them all: a server that sends a byte now and then would hold the program
    forever.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._seconds = seconds
        self._connections: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def error(self) -> DatasetError:
        return DatasetError(f"expected the whole file within {self._seconds:g} s, got only a part of it")

    def watch(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        if self.passed:
            self._end()

    def _end(self) -> None:
        self.passed = True
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it has ended already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # the bare connection, below its encryption


def _opener(deadline: _Deadline) -> Any:
    """An opener of addresses that heeds the environment's proxies and reports its connections to `deadline`."""
    import http.client
    import urllib.request

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    class Encrypted(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, request)

    class EncryptedHandler(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Encrypted, request)

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(
            self,
            request: urllib.request.Request,
            file: IO[bytes],
            code: int,
            message: str,
            headers: http.client.HTTPMessage,
            address: str,
        ) -> urllib.request.Request | None:
            file.close()  # a redirect's body may be endless, and would be read
            if not address.lower().startswith("https://"):
                raise DatasetError(f"expected an https address, got a redirect to {address}")
            return super().redirect_request(request, file, code, message, headers, address)

    return urllib.request.build_opener(PlainHandler, EncryptedHandler, Redirects)
