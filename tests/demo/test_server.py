"""The server answers this machine's browser, and nobody else."""

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

import lenet5
from lenet5.demo import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(
    server: Server, method: str = "GET", path: str = "/", host: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a request, under any host name; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    try:
        connection.request(method, path, headers={} if host is None else {"Host": host})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_server_sends_the_page(server: Server) -> None:
    status, headers, body = request(server)
    assert (status, body.decode()) == (200, lenet5.demo.page())
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert request(server, path="/?from=bookmark")[0] == 200


def test_head_has_the_headers_alone(server: Server) -> None:
    status, headers, body = request(server, "HEAD")
    assert (status, body, int(headers["Content-Length"])) == (200, b"", len(lenet5.demo.page().encode()))


@pytest.mark.parametrize("path", ["/favicon.ico", "/index.html", "/..", "/../../etc/passwd", "/%2e%2e/x", "*"])
def test_there_is_nothing_but_the_page(server: Server, path: str) -> None:
    status, _, body = request(server, path=path)
    assert status == 404
    assert server.address.encode() in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent(server: Server, method: str) -> None:
    assert request(server, method)[0] == 501


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_other_host_names_are_refused(server: Server, host: str) -> None:
    status, _, body = request(server, host=host.format(port=server.server_address[1]))
    assert status == 403
    assert b"LeNet" not in body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_own_host_names_are_accepted(server: Server, host: str) -> None:
    assert request(server, host=host.format(port=server.server_address[1]))[0] == 200


def test_server_listens_on_the_loopback_address_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_address[1]}/"


def test_closed_connection_and_bad_requests_are_silent(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for data in (b"", b"GET / HTTP/1.1\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as connection:
            connection.sendall(data)
    assert request(server)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_busy_port_is_named(server: Server) -> None:
    number = server.server_address[1]
    with pytest.raises(OSError, match=rf"port {number} cannot be opened: .+; choose a different port, or 0"):
        Server(number)


@pytest.mark.parametrize(("port", "message"), [(-1, "integer of at least 0"), (65536, "65535"), ("80", "'80'")])
def test_ports_out_of_range_are_refused(port: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Server(port)
