"""Raw conversations: what is sent, and every byte that comes back, reply by reply."""

import socket
from dataclasses import dataclass
from typing import Any

Words = list[bytes]

_MANY = b"*~>"
_TEXT = b"+-:,#("


@dataclass(frozen=True)
class Error:
    """An error's line."""

    text: bytes


def resp(words: Words) -> bytes:
    """A request as libraries write it."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)


def value_at(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The reply that begins there, and where it ends; IndexError if it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise IndexError
    kind, line, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind in _TEXT:
        if kind == b"-":
            return Error(line), at
        return (int(line) if kind == b":" else line), at
    if kind == b"_" or line == b"-1":
        return None, at
    if kind in b"$=":
        end = at + int(line)
        if len(data) < end + 2:
            raise IndexError
        return data[at + 4 * (kind == b"=") : end], end + 2
    count = int(line) * (2 if kind == b"%" else 1)
    assert kind in _MANY + b"%", data[:100]
    items = []
    for _ in range(count):
        item, at = value_at(data, at)
        items.append(item)
    return items, at


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def replies_until(self, mark: bytes) -> list[bytes]:
        """Each raw reply before the one to PING mark, or before the end."""
        pong = b"$%d\r\n%b\r\n" % (len(mark), mark)
        ends = (pong, b"*2\r\n$4\r\npong\r\n" + pong)
        found: list[bytes] = []
        while True:
            reply = self._reply()
            if not reply or reply in ends:
                return found
            found.append(reply)

    def ask(self, *words: bytes) -> Any:
        """One command's reply, as a value."""
        self.send(resp(list(words)))
        return value_at(self._reply())[0]

    def close(self) -> None:
        self._socket.close()

    def _reply(self) -> bytes:
        """The next raw reply; nothing if the connection ended before."""
        while True:
            try:
                _, end = value_at(self._data)
            except IndexError:
                end = 0
            if end:
                reply, self._data = self._data[:end], self._data[end:]
                return reply
            try:
                more = self._socket.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                self.closed = True
                return b""
            self._data += more
