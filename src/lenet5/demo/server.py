"""A web server for the page alone, which only this machine can reach."""

import http.server
import os
import socketserver
from typing import Any

from ..arguments import check_integer
from .assembly import page

_HOST = "127.0.0.1"
_LARGEST_PORT = 65535
_DEFAULT_PORT = 80  # of http, which browsers leave out
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # what the page's own policy cannot say
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serve the page to draw on at 127.0.0.1.

    Requests for any other path are answered with 404. Requests under any other host name are refused, so that no web
    site can reach the server by a name of its own (DNS rebinding). Call `serve_forever`, and `shutdown` from a
    different thread; as a context manager, the server is closed at the end.

    Parameters
    ----------
    port
        Port from 1 to 65535; 0 for a free one.

    Raises
    ------
    ValueError
        `port` is out of range.
    OSError
        The port is in use, or not allowed.

    Examples
    --------
    >>> with lenet5.demo.Server() as server:
    ...     server.address.startswith("http://127.0.0.1:")
    True
    """

    allow_reuse_address: bool = os.name != "nt"  # Windows would let two servers share the port
    daemon_threads = True

    address: str
    """The address of the page."""

    hosts: frozenset[str]
    """The host names, with the port, that requests may give."""

    content: bytes
    """The page, encoded."""

    def __init__(self, port: int = 0) -> None:
        port = check_integer("port", port, least=0)
        if port > _LARGEST_PORT:
            raise ValueError(f"port is {port}; expected at most {_LARGEST_PORT}")
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            raise OSError(
                f"port {port} cannot be opened: {error.strerror}; choose a different port, or 0 for a free one"
            ) from error
        number = self.server_address[1]
        self.address = f"http://{_HOST}:{number}/"
        suffix = "" if number == _DEFAULT_PORT else f":{number}"
        self.hosts = frozenset(f"{name}{suffix}" for name in (_HOST, "localhost"))
        self.content = page().encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closes its connection."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    timeout = 30  # seconds to wait for a request
    server_version, sys_version = "lenet5", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if (self.headers.get("Host") or "").lower() not in self.server.hosts:
            self.send_error(403, explain=f"The page is at {self.server.address}")
        elif self.path.partition("?")[0] != "/":
            self.send_error(404, explain=f"The page is at {self.server.address}")
        else:
            self.send_response(200)
            for name, value in {**_HEADERS, "Content-Length": str(len(self.server.content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(self.server.content)

    def log_message(self, *_: Any) -> None:
        """Print nothing: libraries return."""
