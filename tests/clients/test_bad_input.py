"""Requests that are wrong: an answer in the right shape, nothing left behind, and no key in the output."""

import json
import time

import pytest

from raw import CHAT, HELLO, Connection, ask, refused, request

TENANTS = {"main": {"limits": ["100M tokens/day per key", "1000 concurrent per key"]}}
MAX_BODY = 64 * 1024
LIMITS = {
    "max_body": "64KiB",
    "max_buffered": "256KiB",
    "max_header_bytes": "16KiB",
}


@pytest.fixture(autouse=True)
def still_serves(gateway, mock):
    """After every test the gateway answers the next client."""
    yield
    assert ask(gateway.port, request("POST", CHAT, gateway.secret(), HELLO)).status == 200


def send_body(port, secret, body, path=CHAT):
    return ask(port, request("POST", path, secret, body))


# Bodies.


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"{",
        b'{"model": "fast", "messages": [',
        b'{"model": "fast"} trailing',
        b"[]",
        b"null",
        b'"fast"',
        b"\xff\xfe\x00\x01",
        b'{"model": "fast", "messages": [{"role": "user", "content": "\xff\xc3\x28"}]}',
        b'{"model": "fa\x00st", "messages": []}',
        b'{"model": "fast", "messages": [{"role": "user", "content": "a\x00b"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "hi"}]}',
        b'{"model": "fast", "model": "spare", "messages": [{"role": "user", "content": "hi"}]}',
        b'{"model": "fast", "messages": [], "messages": [{"role": "user", "content": "hi"}]}',
        b'{"model": "fast", "messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"model": "fast", "messages": ' + b"[" * 10_000,
        b'{"model": "fast", "messages": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b"[" * 60_000,
        b'{"model": "fast", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1e999}',
        b'{"model": "fast", "messages": [{"role": "user", "content": "hi"}], "max_tokens": -1}',
        b'{"model": "fast", "messages": [{"role": "user", "content": "hi"}], "n": 99999999999999999999999}',
    ],
    ids=range(21),
)
def test_bodies_that_are_no_request(port, secret, mock, body):
    answer = send_body(port, secret, body)
    assert answer.status == 400, answer.body
    assert answer.error()["type"] == "invalid_request_error"
    assert mock.requests() == []


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (CHAT, {"model": 7}, "model"),
        (CHAT, {"model": None}, "model"),
        (CHAT, {"model": ["fast"]}, "model"),
        (CHAT, {"messages": "hi"}, "messages"),
        (CHAT, {"messages": {}}, "messages"),
        (CHAT, {"messages": None}, "messages"),
        (CHAT, {"stream": 1}, "stream"),
        (CHAT, {"max_tokens": "5"}, "max_tokens"),
        (CHAT, {"max_completion_tokens": 1.5}, "max_completion_tokens"),
        (CHAT, {"n": "two"}, "n"),
        ("/v1/completions", {"prompt": {"a": 1}}, "prompt"),
        ("/v1/embeddings", {"model": "embed", "input": {"a": 1}}, "input"),
    ],
)
def test_wrong_types_name_the_field(port, secret, mock, path, fields, param):
    answer = send_body(port, secret, HELLO | fields, path)
    assert answer.status == 400, answer.body
    assert answer.error()["param"] == param
    assert mock.requests() == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"messages": HELLO["messages"]}, "model"),
        (CHAT, {"model": "fast"}, "messages"),
        ("/v1/completions", {"model": "fast"}, "prompt"),
        ("/v1/embeddings", {"model": "embed"}, "input"),
    ],
)
def test_missing_fields_are_named(port, secret, path, body, param):
    answer = send_body(port, secret, body, path)
    assert answer.status == 400, answer.body
    assert answer.error()["param"] == param


def test_an_empty_body(port, secret):
    answer = ask(port, request("POST", CHAT, secret, headers=["content-length: 0"]))
    assert answer.status == 400
    answer.error()


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "a\x00b \x07 <|endoftext|> <|im_start|>"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"unheard": json.loads("[" * 500 + "]" * 500)},
        {"messages": [{"role": "user", "content": "a" * 60_000}]},
        {"messages": [{"role": "user", "content": " " * 60_000}]},
    ],
    ids=["escaped-nul", "parts", "deep-unknown-field", "one-letter", "spaces"],
)
def test_odd_but_valid(port, secret, fields):
    assert send_body(port, secret, HELLO | fields).status == 200


def test_ten_thousand_nested_arrays_in_an_unknown_field(port, secret):
    """Not ours to judge: it may pass to the provider or be refused."""
    body = json.dumps(HELLO)[:-1].encode() + b', "unheard": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    assert send_body(port, secret, body).status in (200, 400)


# Who and where.


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["authorization: Bearer"],
        ["authorization: Bearer "],
        ["authorization: Bearer sk-wrong"],
        ["authorization: Basic c2s6eA=="],
        ["authorization: Bearer \xff\xfe\xfd"],
        ["x-api-key: sk-wrong"],
        ["authorization: Bearer " + "k" * 8000],
    ],
)
def test_no_key_or_a_wrong_one(port, mock, headers):
    answer = ask(port, request("POST", CHAT, body=HELLO, headers=headers))
    assert answer.status == 401
    assert answer.error()["code"] == "invalid_api_key"
    assert mock.requests() == []


def test_the_key_in_x_api_key(port, secret):
    assert ask(port, request("POST", CHAT, body=HELLO, headers=[f"x-api-key: {secret}"])).status == 200


def test_a_key_is_never_written_down(port, secret):
    """Keys where they do not belong; the end of the module looks for them in the output."""
    ask(port, request("GET", f"/v1/models?api_key={secret}", secret))
    ask(port, request("GET", f"/v1/models/{secret}", secret))
    ask(port, request("GET", f"/{secret}", secret))
    ask(port, request("POST", CHAT, secret, HELLO | {"model": secret}))
    ask(port, request("POST", CHAT, secret, HELLO | {"user": secret}))
    ask(port, request("POST", CHAT, f"{secret}x", HELLO))
    ask(port, request("POST", CHAT, secret, f"{{{secret}".encode()))
    ask(port, request("POST", CHAT, body=HELLO, headers=[f"authorization: Basic {secret}"]))
    ask(port, request("GET", "/v1/models", headers=[f"x-request-id: {secret}", f"x-other: {secret}", "broken"]))
    ask(port, f"{secret} / HTTP/1.1\r\n\r\n".encode())


def test_an_unknown_model(port, secret, mock):
    answer = send_body(port, secret, HELLO | {"model": "x" * 5000})
    assert answer.status == 404
    assert answer.error()["code"] == "model_not_found"
    assert mock.requests() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("POST", "/v1/responses/unheard/of"),
        ("GET", "/v1/chat"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "//v1/chat/completions"),
        ("POST", "/v1/../v1/chat/completions"),
        ("GET", "/v1/models/a/b/c"),
        ("GET", "/metrics"),
        ("GET", "/levels"),
        ("GET", "/config"),
        ("GET", "/%00"),
        ("GET", "/v1/models/%ff%00"),
        ("GET", "/" + "a" * 4000),
    ],
)
def test_unknown_paths(port, secret, method, path):
    answer = ask(port, request(method, path, secret, HELLO if method == "POST" else b""))
    assert answer.status == 404
    answer.error()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", CHAT), ("DELETE", CHAT), ("PUT", "/v1/embeddings"), ("POST", "/v1/models"), pytest.param("BREW", CHAT, marks=pytest.mark.front)]
)
def test_wrong_methods(port, secret, method, path):
    answer = ask(port, request(method, path, secret))
    assert answer.status in (404, 405)
    answer.error()


def test_the_admin_listener_takes_nonsense(gateway):
    refused(ask(gateway.admin_port, b"\x00\x01\x02\r\n\r\n"))
    assert ask(gateway.admin_port, request("GET", "/nothing")).status == 404


# Sizes.


def test_a_body_over_the_cap_is_refused_by_its_length(port, secret, mock):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=[f"content-length: {MAX_BODY * 50}"]))
        answer = connection.answer()
    assert answer.status == 413, "said before the body is sent"
    assert answer.error()["code"] == "request_too_large"
    assert mock.requests() == []


@pytest.mark.front
def test_expect_continue_of_what_will_be_refused(port, secret):
    headers = ["expect: 100-continue", f"content-length: {MAX_BODY + 1}"]
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=headers))
        assert connection.head()[0] == 413


def test_a_chunked_body_over_the_cap(port, secret, mock):
    with Connection(port) as connection:
        connection.send(request("POST", CHAT, secret, headers=["transfer-encoding: chunked"]))
        for _ in range(64):
            if not connection.send(b"1000\r\n" + b"a" * 4096 + b"\r\n"):
                break
        answer = connection.answer()
    refused(answer, 413)
    assert mock.requests() == []


def test_a_body_at_the_cap(port, secret):
    body = json.dumps(HELLO | {"pad": ""}).encode()
    whole = json.dumps(HELLO | {"pad": "a" * (MAX_BODY - len(body))}).encode()
    assert len(whole) == MAX_BODY
    assert send_body(port, secret, whole).status == 200


def test_all_bodies_together_have_a_cap(port, secret):
    body = json.dumps(HELLO | {"pad": "a" * (MAX_BODY - 1000)}).encode()
    connections = [Connection(port) for _ in range(8)]
    for connection in connections:
        connection.send(request("POST", CHAT, secret, body)[:-10])
    time.sleep(0.3)
    for connection in connections:
        connection.send(body[-10:])
    answers = [connection.answer() for connection in connections]
    for connection in connections:
        connection.sock.close()
    full = [answer for answer in answers if answer and answer.status == 503]
    assert full, [answer and answer.status for answer in answers]
    assert all(answer.headers["retry-after"] and answer.error() for answer in full)
    assert [answer for answer in answers if answer and answer.status == 200], "those that fit are served"


@pytest.mark.parametrize(
    "headers",
    [["x-big: " + "a" * 100_000], [f"x-{n}: {'a' * 100}" for n in range(500)], ["a" * 70_000 + ": 1"]],
    ids=["one-value", "many", "one-name"],
)
def test_huge_headers(port, secret, mock, headers):
    refused(ask(port, request("POST", CHAT, secret, HELLO, headers=headers)), 431)
    assert mock.requests() == []


def test_a_huge_request_line(port, secret):
    answer = ask(port, request("GET", "/" + "a" * 100_000, secret))
    assert answer is None or answer.status in (404, 414, 431)
