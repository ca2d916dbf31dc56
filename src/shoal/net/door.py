"""One port for everybody: the first bytes tell which dialect is spoken.

  0x00  a frame: of another peer if its body is a msgpack array or map, else text
  0x16  TLS          *  Redis's protocol          {  lines of JSON
  otherwise a line: HTTP if it ends in HTTP/1.x, else Redis's protocol typed by hand

Nobody may stand in the door: the first byte is waited for 30 s, the first request
10 s more. After that a connection belongs to its dialect, and may idle.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from typing import cast

FIRST_BYTE_S = 30.0
FIRST_REQUEST_S = 10.0

MAX_LINE_BYTES = 8 << 10
MAX_HEAD_BYTES = 32 << 10

FRAMES, TEXT, TLS, RESP, JSON, HTTP = "frames", "text", "tls", "resp", "json", "http"

_BY_FIRST_BYTE = {0x16: TLS, ord("*"): RESP, ord("{"): JSON}
_MAPS_AND_ARRAYS = frozenset([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
_HTTP_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.[0-9]\r?\Z")

# So many may wait to be let in.
BACKLOG = 4096

# A dialect is a protocol made for one connection. It is told how to say that the
# first request was whole.
Settled = Callable[[], None]
Dialect = Callable[[Settled], asyncio.Protocol]


class Reception:
    """Everybody who has come in, and what dialects are spoken here."""

    def __init__(self, dialects: Mapping[str, Dialect], limit: int) -> None:
        self.dialects = dialects
        self.limit = limit
        self._inside: dict[asyncio.Transport, None] = {}
        self._servers: list[asyncio.Server] = []
        self._count_at = 64
        self.turned_away = 0

    @property
    def inside(self) -> int:
        """How many connections are open."""
        self._count()
        return len(self._inside)

    def door(self) -> "Door":
        """For one more connection."""
        return Door(self)

    async def open(self, listening: socket.socket) -> None:
        """Let in whoever comes there."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.door, sock=listening, backlog=BACKLOG)
        self._servers.append(server)

    def shut(self) -> None:
        """Let nobody more in."""
        for server in self._servers:
            server.close()

    def admit(self, transport: asyncio.Transport) -> bool:
        """Let one more in, unless there are too many."""
        # A dialect takes over its connection whole, its end included, so the closed
        # ones are counted out now and then: at most every second entry is looked at.
        if len(self._inside) >= min(self._count_at, self.limit):
            self._count()
            self._count_at = max(64, 2 * len(self._inside))
        if len(self._inside) >= self.limit:
            return False
        self._inside[transport] = None
        return True

    def close(self) -> None:
        """Show everybody out."""
        for transport in self._inside:
            if not transport.is_closing():  # asyncio's fails where it is closed.
                transport.abort()

    def _count(self) -> None:
        self._inside = {each: None for each in self._inside if not each.is_closing()}


class Door(asyncio.Protocol):
    """One connection until it is known what it speaks."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._head = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is at the door."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(FIRST_BYTE_S, self._transport.abort)
        if not self._reception.admit(self._transport):
            limit = self._reception.limit
            self._refuse(f"{limit} connections are open; try later", "BUSY")

    def data_received(self, data: bytes) -> None:
        """Listen until the dialect is clear, and hand over."""
        if not self._head:
            self._timer.cancel()
            self._timer = self._loop.call_later(FIRST_REQUEST_S, self._transport.abort)
        self._head += data
        dialect = self._recognise()
        if dialect:
            self._hand_over(dialect)

    def connection_lost(self, error: Exception | None) -> None:
        """It went before it said anything of interest."""
        self._timer.cancel()

    def _recognise(self) -> str | None:
        head = self._head
        if head[0] == 0:
            return _frame_dialect(head)
        if head[0] in _BY_FIRST_BYTE:
            return _BY_FIRST_BYTE[head[0]]
        if not (head[0:1].isalnum() or head[0:1] in b"\r\n"):
            self._refuse("this is neither HTTP, RESP, JSON nor a frame")
            return None
        line, newline, _ = head.partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            self._refuse(f"the first line is longer than {MAX_LINE_BYTES} bytes")
            return None
        if not newline:
            return None
        return self._recognise_http() if _HTTP_LINE.match(line) else RESP

    def _recognise_http(self) -> str | None:
        # The head is waited for here, so that who never finishes one costs no more
        # than its bytes.
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            return HTTP
        if len(self._head) > MAX_HEAD_BYTES:
            self._refuse(f"the head is longer than {MAX_HEAD_BYTES} bytes")
        return None

    def _hand_over(self, dialect: str) -> None:
        make = self._reception.dialects.get(dialect)
        if make is None:
            self._refuse(f"this peer does not speak {dialect}")
            return
        if dialect == HTTP:
            self._timer.cancel()
        protocol = make(self._timer.cancel)
        head, self._head = self._head, b""
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(head)

    def _refuse(self, why: str, kind: str = "ERR") -> None:
        self._reception.turned_away += 1
        self._transport.write(f"-{kind} {why}\r\n".encode())
        self._transport.close()


def _frame_dialect(head: bytes) -> str | None:
    if len(head) < 4:
        return None
    if head[:4] == b"\0\0\0\0":
        return TEXT
    if len(head) < 5:
        return None
    return FRAMES if head[4] in _MAPS_AND_ARRAYS else TEXT
