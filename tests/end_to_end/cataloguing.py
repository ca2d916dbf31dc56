"""A catalog in a process of its own, and how to talk with it in bytes."""

import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.end_to_end.cluster import Cluster, wait_until

PATIENCE_S = 20.0

# As the programs of CCTools ask.
REQUEST = (
    "GET {path} HTTP/1.1\r\n"
    "Connection: close\r\n"
    "Host: 127.0.0.1\r\n"
    "User-Agent: Mozilla/5.0 (compatible; CCTools 8.0.0 DEVELOPMENT)\r\n"
    "\r\n"
)


class Reached:
    """A catalog on this machine, whoever runs it."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cast(self, data: bytes) -> None:
        """An update by UDP."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, ("127.0.0.1", self.port))

    def tell(self, data: bytes) -> bytes:
        """An update by TCP; what is said back until the end."""
        with self.connect(1) as connection:
            connection.sendall(data)
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError as error:  # Shown out while the last of it was on its way.
                raise ConnectionResetError(*error.args) from error
            return read_all(connection)

    def connect(self, beside: int = 0) -> socket.socket:
        where = ("127.0.0.1", self.port + beside)
        return socket.create_connection(where, PATIENCE_S)

    def say(self, data: bytes) -> bytes:
        """Whatever bytes, and all that is answered."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        head, _, body = self.say(REQUEST.format(path=path).encode()).partition(
            b"\r\n\r\n"
        )
        return int(head.split()[1]), body

    def records(self, text: str = "") -> list[dict[str, Any]]:
        path = f"/query/{b64encode(text.encode()).decode()}" if text else "/query.json"
        status, body = self.get(path)
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)
        return found

    def wait_records(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.records()) == count, PATIENCE_S, f"{count} records")
        return self.records()


class Catalog(Reached):
    """One that runs in a process of its own."""

    def __init__(self, port: int, process: Popen[str]) -> None:
        super().__init__(port)
        self.process = process


def read_all(connection: socket.socket) -> bytes:
    found = bytearray()
    while piece := connection.recv(1 << 16):
        found += piece
    return bytes(found)


@contextmanager
def serving(user: Cluster, *options: str, port: int = 0) -> Iterator[Catalog]:
    process = user.begin("catalog", "serve", "--port", str(port), "--json", *options)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, f"the catalog ended with {process.wait(PATIENCE_S)}"
        yield Catalog(json.loads(line)["port"], process)
        process.terminate()
        code = process.wait(PATIENCE_S)
        assert code in (0, -9), f"the catalog ended with {code}"
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def written(history: Path) -> bytes:
    """All that files of a catalog's history say."""
    return b"".join(each.read_bytes() for each in history.iterdir())
