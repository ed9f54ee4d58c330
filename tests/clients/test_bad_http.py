"""Connections that are wrong: slow, cut, half-closed, or no HTTP at all. They end, and nothing is left behind."""

import json
import random
import socket
import time

import pytest

from raw import CHAT, HELLO, Connection, ask, refused, request

TENANTS = {"main": {"limits": ["100M tokens/day per key", "1000 concurrent per key"]}}
LIMITS = {"max_header_bytes": "16KiB", "header_timeout": "1s", "body_timeout": "1s", "idle_timeout": "2s"}
# The longest timeout above and a slow machine.
PATIENCE = 8

@pytest.fixture(autouse=True)
def still_serves(gateway, mock):
    """After every test the gateway answers the next client."""
    yield
    assert ask(gateway.port, request("POST", CHAT, gateway.secret(), HELLO)).status == 200


# Time.


@pytest.mark.front
def test_a_head_that_never_ends(port):
    with Connection(port, PATIENCE) as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: sluice\r\nx-slow: ")
        assert connection.closed_after() < PATIENCE


@pytest.mark.front
def test_a_connection_that_says_nothing(port):
    with Connection(port, PATIENCE) as connection:
        assert connection.closed_after() < PATIENCE


@pytest.mark.parametrize("authorized", [True, False])
def test_a_body_that_never_ends(port, secret, mock, authorized):
    with Connection(port, PATIENCE) as connection:
        connection.send(request("POST", CHAT, secret if authorized else None, headers=["content-length: 1000"]) + b"{")
        answer = connection.answer()
        if authorized:
            refused(answer, 408)
        else:
            assert answer is None or answer.status in (401, 408)
        assert connection.closed_after() < PATIENCE
    assert mock.requests() == []


def test_a_body_that_drips(port, secret):
    """Each byte comes in time, the whole does not."""
    with Connection(port, PATIENCE) as connection:
        connection.send(request("POST", CHAT, secret, headers=["content-length: 1000"]))
        began = time.monotonic()
        while connection.send(b" "):
            assert time.monotonic() - began < PATIENCE, "still reading"
            time.sleep(0.1)


@pytest.mark.front
def test_a_head_that_drips(port):
    with Connection(port, PATIENCE) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nx-slow: ")
        began = time.monotonic()
        while connection.send(b"a"):
            assert time.monotonic() - began < PATIENCE, "still reading"
            time.sleep(0.1)


@pytest.mark.front
def test_an_idle_connection_is_closed(port, secret):
    with Connection(port, PATIENCE) as connection:
        connection.send(request("GET", "/v1/models", secret))
        assert connection.answer().status == 200
        assert connection.closed_after() < PATIENCE


def test_a_stream_outlives_the_idle_timeout(port, secret):
    body = HELLO | {"stream": True, "mock": {"tokens": 3, "token_ms": 1500}}
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, body))
        assert connection.answer().body.endswith(b"data: [DONE]\n\n")


# Sockets that end early.


def test_a_socket_half_closed_after_the_request(port, secret):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, HELLO))
        connection.half_close()
        refused(connection.answer(), 200)


@pytest.mark.parametrize("cut", [5, 30, 120, -3])
def test_a_socket_half_closed_inside_the_request(port, secret, mock, cut):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, HELLO)[:cut])
        connection.half_close()
        refused(connection.answer())
    assert mock.requests() == []


@pytest.mark.parametrize("after", ["nothing", "head", "chunk"])
def test_a_socket_reset_during_a_stream(port, secret, gateway, after):
    body = HELLO | {"stream": True, "mock": {"tokens": 500, "token_ms": 20, "first_token_ms": 100}}
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, body))
        if after != "nothing":
            connection.head()
        if after == "chunk":
            next(connection.chunks())
        # Linger 0: close with a reset instead of a FIN.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gateway.wait_settled()


# HTTP.


def test_pipelined_requests_are_answered_in_order(port, secret):
    slow = HELLO | {"mock": {"text": "slow", "first_token_ms": 300}}
    with Connection(port) as connection:
        connection.send(
            request("POST", CHAT, secret, slow)
            + request("GET", "/v1/models/spare", secret)
            + request("GET", "/v1/models/none", secret)
            + request("GET", "/v1/models", secret)
        )
        answers = [connection.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 404, 200]
    assert json.loads(answers[0].body)["choices"][0]["message"]["content"] == "slow"
    assert json.loads(answers[1].body)["id"] == "spare"
    assert json.loads(answers[3].body)["object"] == "list"


def test_keep_alive_after_an_error(port, secret):
    with Connection(port) as connection:
        for _ in range(3):
            connection.send(request("POST", CHAT, secret, b"no json"))
            assert connection.answer().status == 400
        connection.send(request("POST", CHAT, secret, HELLO))
        assert connection.answer().status == 200


BODY = json.dumps(HELLO).encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.front
@pytest.mark.parametrize(
    ("headers", "body", "version"),
    [
        (["content-length: 4", f"content-length: {len(BODY)}"], BODY, "1.1"),
        ([f"content-length: {len(BODY)}, 4"], BODY, "1.1"),
        (["content-length: -1"], BODY, "1.1"),
        (["content-length: +5"], BODY, "1.1"),
        (["content-length: 0x10"], BODY, "1.1"),
        (["content-length: 99999999999999999999999"], BODY, "1.1"),
        (["transfer-encoding: chunked, identity"], CHUNKED, "1.1"),
        (["transfer-encoding: xchunked"], CHUNKED, "1.1"),
        (["transfer-encoding: chunked"], CHUNKED, "1.0"),
        (["transfer-encoding : chunked"], CHUNKED, "1.1"),
    ],
    ids=range(10),
)
def test_conflicting_lengths(port, secret, mock, headers, body, version):
    """Refused, and what follows is not taken for a second request."""
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=headers, version=version) + body)
        connection.send(request("GET", "/v1/models", secret))
        answer = connection.answer()
        assert answer is None or answer.status in (400, 413, 501), answer.status
        assert connection.answer() is None, "the connection stayed open"
    assert mock.requests() == []


@pytest.mark.parametrize("length", [4, len(CHUNKED)])
@pytest.mark.parametrize("length_first", [True, False])
def test_a_length_beside_chunks(port, secret, mock, length, length_first):
    """RFC 9112, section 6.1: the chunks count, and the connection is closed after the answer."""
    headers = [f"content-length: {length}", "transfer-encoding: chunked"]
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=headers if length_first else headers[::-1]) + CHUNKED)
        connection.send(request("GET", "/v1/models", secret))
        answer = connection.answer()
        assert answer is None or answer.status in (200, 400), answer.status
        assert connection.answer() is None, "the connection stayed open"
    assert len(mock.requests()) <= 1, "what follows was taken for a second request"


@pytest.mark.front
@pytest.mark.parametrize(
    "chunks", [b"zz\r\nabc\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"5\r\nabcdefghij\r\n", b"5;" + b"x" * 100_000]
)
def test_broken_chunks(port, secret, mock, chunks):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=["transfer-encoding: chunked"]) + chunks)
        refused(connection.answer())
    assert mock.requests() == []


def test_a_chunked_body(port, secret):
    assert ask(port, request("POST", CHAT, secret, headers=["transfer-encoding: chunked"]) + CHUNKED).status == 200


@pytest.mark.front
@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"\r\n" * 5000,
        b"GET\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\n\r\n",
        b"GET /v1/mod\x00els HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-nul: a\x00b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-cr: a\rb: c\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\n: nameless\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 512,
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x41" * 200,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ],
    ids=range(14),
)
def test_bytes_that_are_no_request(port, data):
    with Connection(port, PATIENCE) as connection:
        connection.send(data)
        assert connection.closed_after() < PATIENCE
        assert not connection.buffer.startswith(b"HTTP/1.1 2")


def test_noise(port):
    noise = random.Random(1)
    for _ in range(50):
        with Connection(port) as connection:
            connection.send(noise.randbytes(noise.randrange(1, 5000)))


def test_absolute_form_does_not_choose_the_host(port, secret, mock):
    answer = ask(port, request("POST", f"http://127.0.0.1:1{CHAT}", secret, HELLO))
    assert answer.status in (200, 400, 404)
    assert len(mock.requests()) == (answer.status == 200)


def test_expect_continue(port, secret):
    body = json.dumps(HELLO).encode()
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=["expect: 100-continue", f"content-length: {len(body)}"]))
        assert connection.head()[0] == 100
        connection.send(body)
        assert connection.answer().status == 200


@pytest.mark.front
@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0(port, secret, stream):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, HELLO | {"stream": stream}, version="1.0"))
        answer = connection.answer()
        assert answer.status == 200
        assert "transfer-encoding" not in answer.headers
        assert connection.answer() is None
    assert answer.body.endswith(b"data: [DONE]\n\n") if stream else json.loads(answer.body)["choices"]


def test_http_2_without_tls(port):
    with Connection(port) as connection:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        while len(connection.buffer) < 9:
            assert connection.fill()
        assert connection.buffer[3] == 4, "a SETTINGS frame"


def test_head_and_options(port, secret):
    for method in ("HEAD", "OPTIONS"):
        with Connection(port) as connection:
            connection.send(request(method, "/v1/models", secret))
            status, _ = connection.head()
            assert status in (200, 204, 404, 405)
