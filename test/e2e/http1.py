"""HTTP/1.1 by hand: exactly the bytes that a test wants to send, and the answer taken apart."""
import dataclasses
import socket


@dataclasses.dataclass
class Answer:
    version: str
    status: int
    headers: list  # (lower-case name, value), in order
    body: bytes

    def header(self, name):
        """The value of a header that may come once; None if it is not there."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class Connection:
    def __init__(self, port, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def answer(self, head=False):
        """The next response; None if the peer closed without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                assert not self.buffer, f"a torn response: {self.buffer!r}"
                return None
        block, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = block.decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        headers = []
        for line in lines[1:]:
            name, value = line.split(":", 1)
            assert name == name.strip() and name, f"a bad header line: {line!r}"
            headers.append((name.lower(), value.strip()))
        answer = Answer(version, int(status), headers, b"")
        length = answer.header("content-length")
        if head or answer.status in (204, 304):
            return answer
        assert length is not None, "a response without Content-Length"
        while len(self.buffer) < int(length):
            assert self._more(), f"the body ends {int(length) - len(self.buffer)} bytes early"
        answer.body, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
        return answer

    def closed(self):
        """True once the peer has closed and nothing is left over."""
        while self._more():
            pass
        return self.buffer == b""


def request(method, path, version="HTTP/1.1", host="localhost", headers=(), body=b""):
    lines = [f"{method} {path} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask(port, data, head=False):
    """One request as bytes, its response, and whether the connection was closed after it."""
    with Connection(port) as connection:
        connection.send(data)
        return connection.answer(head)


def get(port, path="/metrics", method="GET", **headers):
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return ask(port, request(method, path, headers=pairs), head=method == "HEAD")
