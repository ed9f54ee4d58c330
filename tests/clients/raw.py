"""A client that writes any bytes to a socket and reads HTTP/1 answers off it."""

import json
import socket
import time

CHAT = "/v1/chat/completions"
HELLO = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}


class Answer:
    """One HTTP response."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def error(self):
        """The error object, checked for OpenAI's shape."""
        assert self.headers.get("content-type", "").startswith("application/json"), self.headers
        error = json.loads(self.body)["error"]
        assert {"message", "type", "param", "code"} <= set(error), error
        assert isinstance(error["message"], str) and error["message"], error
        return error


class Connection:
    """A socket to the gateway. Reading returns None where the connection was closed."""

    def __init__(self, port, timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.settimeout(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """Whether the peer still took it."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def fill(self):
        """Whether more bytes came before the connection was closed; a silent peer raises TimeoutError."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.buffer += data
        return bool(data)

    def closed_after(self):
        """Seconds until the peer closes the connection, whatever it says before that."""
        began = time.monotonic()
        while self.fill():
            pass
        return time.monotonic() - began

    def head(self):
        """Status and headers of the next answer, 1xx included; None where the connection was closed."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return None
        text, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(status), headers

    def answer(self):
        """The next whole answer, past any 1xx; None where the connection was closed."""
        while True:
            head = self.head()
            if head is None:
                return None
            status, headers = head
            if status >= 200:
                return Answer(status, headers, self.body(headers))

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self.chunks())
        if "content-length" in headers:
            return self.exactly(int(headers["content-length"]))
        while self.fill():
            pass
        whole, self.buffer = self.buffer, b""
        return whole

    def chunks(self):
        while True:
            size = int(self.line().split(b";")[0], 16)
            data = self.exactly(size)
            self.line()
            if size == 0:
                return
            yield data

    def line(self):
        while b"\r\n" not in self.buffer:
            assert self.fill(), "cut inside an answer"
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, size):
        while len(self.buffer) < size:
            assert self.fill(), "cut inside an answer"
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


def request(method, path, secret=None, body=b"", headers=(), version="1.1"):
    """The bytes of a request."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/{version}", "host: sluice"]
    if secret:
        lines.append(f"authorization: Bearer {secret}")
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += list(headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask(port, data):
    """One exchange over a connection of its own; None where the connection was closed without an answer."""
    with Connection(port) as connection:
        connection.send(data)
        return connection.answer()


def refused(answer, status=400):
    """Closed without an answer, or answered with that status."""
    assert answer is None or answer.status == status, (answer.status, answer.body)
