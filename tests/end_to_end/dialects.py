"""The table's dialects, as a program of its own would write them: bare sockets."""

import json
import socket
from typing import Any, Self

from shoal.core.address import parse
from tests.end_to_end.cluster import Node


class Dialect:
    """A socket that waits no longer than a test should."""

    def __init__(self, node: Node) -> None:
        self.socket = socket.create_connection(parse(node.address), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the peer hung up"
            data += more
        return data


class Frames(Dialect):
    """Four bytes of length, and a verb."""

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(
            b"".join(len(each).to_bytes(4, "big") + each for each in requests)
        )

    def reply(self) -> bytes:
        return self.exactly(int.from_bytes(self.exactly(4), "big"))

    def ask(self, request: bytes) -> bytes:
        self.send(request)
        return self.reply()


class Lines(Dialect):
    """A JSON object a line."""

    def say(self, line: bytes) -> dict[str, Any]:
        self.socket.sendall(line + b"\n")
        return self.reply()

    def reply(self) -> dict[str, Any]:
        data = b""
        while not data.endswith(b"\n"):
            data += self.exactly(1)
        reply: dict[str, Any] = json.loads(data)
        return reply

    def ask(self, method: str, **parts: Any) -> dict[str, Any]:
        return self.say(json.dumps({"method": method, **parts}).encode())
