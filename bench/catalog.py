"""What updates and questions cost our catalog, beside quoted figures of the genuine.

The genuine server cannot be installed here. Its figures were taken on another machine,
with updates of the same sizes, and stand here as they were noted: a ratio to them is no
ratio of one run. What costs processor time says most; ours is of the serving process.
"""

import json
import socket
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from bench.comparison import START_S, US, Child, Row, less_is_better, more_is_better
from shoal.catalog.intake import BUFFER_BYTES

QUOTED = "quoted: genuine, another machine"

# Measured of the genuine server with 1,000 and 5,000 records of both sizes.
SMALL, MEDIUM = 151, 791
TABLES = [(SMALL, 1000), (SMALL, 5000), (MEDIUM, 1000), (MEDIUM, 5000)]
GENUINE = {
    "UDP rate": (44024, 47562, 12892, 12755),
    "UDP CPU": (12, 12, 77, 76),
    "TCP rate": (7494, 7120, 4157, 4387),
    "/query.json p50": (8.8, 57.3, 38.0, 194.2),
    "/query.json p95": (15.7, 75.2, 53.8, 211.8),
    "2 % p50": (1.4, 9.1, 2.3, 18.1),
    "2 % p95": (3.1, 11.5, 2.6, 26.7),
    "/ p50": (2.9, 22.6, 5.7, 77.4),
    "/ p95": (4.2, 28.8, 7.8, 89.1),
    "/query.text p50": (3.7, 31.6, 20.8, 121.5),
    "/query.text p95": (7.5, 39.4, 23.4, 143.0),
    "readers": (167, 30, 52, 10),
}
BURST, GENUINE_LOST = 20_000, 0.56 * 20_000
GENUINE_BUFFER = 212_992

READERS, QUESTIONS = 8, 30
WITHIN_S = 30.0
_SO_RCVBUFFORCE = 33


def run(*, quick: bool) -> list[Row]:
    """Every size, then a burst."""
    rows: list[Row] = []
    for column, (size, count) in enumerate(TABLES[:1] if quick else TABLES):
        with serving() as server:
            rows += Table(server, size, count, column, quick=quick).rows()
    with serving() as server:
        rows += burst(server, BURST // 10 if quick else BURST)
    return rows


class Server:
    """A catalog in a process of its own."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.connect(("127.0.0.1", port))

    def cast(self, data: bytes) -> None:
        """By UDP."""
        self._sender.send(data)

    def tell(self, data: bytes) -> None:
        """By TCP, until the server has read it."""
        where = ("127.0.0.1", self.port + 1)
        with socket.create_connection(where, WITHIN_S) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        found = bytearray()
        where = ("127.0.0.1", self.port)
        with socket.create_connection(where, WITHIN_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            while piece := connection.recv(1 << 18):
                found += piece
        return bytes(found.partition(b"\r\n\r\n")[2])

    def wait_taken(self, turn: int) -> None:
        """Until all that was cast before has its place: datagrams keep their order."""
        self.cast(b'{"type":"last","port":-1,"turn":%d}' % turn)
        path, deadline = asked(f'type=="last" and turn=={turn}'), time.time() + WITHIN_S
        while len(self.get(path)) < 10:
            if time.time() > deadline:
                raise TimeoutError("the last of the updates is not there")
            time.sleep(0.002)


@contextmanager
def serving() -> Iterator[Server]:
    """A catalog while the block runs."""
    command = ("-m", "shoal", "catalog", "serve", "--port", "0", "--json")
    child = Child(sys.executable, *command)
    try:
        server = Server(child, child.hear(START_S)["port"])
        server.tell(b'{"type":"last","port":-1}')
        server.wait_taken(-1)  # From now on it knows our name.
        yield server
    finally:
        child.end()


def asked(text: str) -> str:
    """A filter's path."""
    return f"/query/{b64encode(text.encode()).decode()}"


def update(size: int, number: int, turn: int) -> bytes:
    """An update of exactly that size; each turn it says something else."""
    fields: dict[str, str | int] = {
        "type": "hashtable",
        "owner": f"ada{number % 50:02}",
        "port": number,
        "project": "weather",
        "load": 1000 + turn,
    }
    for n in range(max(0, (size - SMALL) // 22)):
        fields[f"tasks_{n:02}"] = 100_000_000 + turn + n
    short = len(_encoded({**fields, "pad": ""}))
    return _encoded({**fields, "pad": "x" * (size - short)})


def _encoded(fields: dict[str, str | int]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


class Table:
    """So many records of one size at one server."""

    def __init__(
        self, server: Server, size: int, count: int, column: int, *, quick: bool
    ) -> None:
        self._server = server
        self._size, self._count, self._column = size, count, column
        self._turn = 0
        self._rounds = 1 if quick else 3
        self._questions = 5 if quick else QUESTIONS
        self._name = f"{count:,} of {size} B"

    def rows(self) -> list[Row]:
        """All of its figures; it is filled first."""
        self._all(self._server.cast, changed=True)
        return [*self._updates(), *self._answers(), *self._many_readers()]

    def _genuine(self, figure: str) -> float:
        return GENUINE[figure][self._column]

    def _all(
        self, send: Callable[[bytes], None], *, changed: bool
    ) -> tuple[float, ...]:
        """Each record once: updates a second, and the processor's us for each."""
        self._turn += changed
        texts = [update(self._size, n, self._turn) for n in range(self._count)]
        self._server.wait_taken(2 * self._turn)
        before, began = self._server.child.cpu_s, time.perf_counter()
        for text in texts:
            send(text)
        self._server.wait_taken(2 * self._turn + 1)
        took_s = time.perf_counter() - began
        cpu_s = self._server.child.cpu_s - before
        return self._count / took_s, cpu_s / self._count * US

    def _updates(self) -> list[Row]:
        server, rows = self._server, []
        for way, send in (("UDP", server.cast), ("TCP", server.tell)):
            for changed in (True, False):
                found = [self._all(send, changed=changed) for _ in range(self._rounds)]
                rate, cost = map(statistics.median, zip(*found, strict=True))
                title = f"{self._name}: {'' if changed else 'unchanged, '}{way}"
                rival = self._genuine(f"{way} rate")
                rows.append(more_is_better(title, "1/s", rate, QUOTED, rival))
                if way == "UDP":
                    rival = self._genuine("UDP CPU")
                    rows.append(
                        less_is_better(f"{title}, CPU each", "us", cost, QUOTED, rival)
                    )
        return rows

    def _answers(self) -> list[Row]:
        """Each after a change, so that it is made anew."""
        few = asked(f'type=="hashtable" and owner=="ada{7:02}"')
        paths = {"/query.json": "/query.json", "2 %": few, "/": "/"}
        rows = []
        for name, path in {**paths, "/query.text": "/query.text"}.items():
            times, before = [], self._server.child.cpu_s
            for n in range(self._questions):
                self._server.tell(update(self._size, n, self._turn + 1))
                began = time.perf_counter()
                assert len(self._server.get(path)) > self._size
                times.append((time.perf_counter() - began) * 1e3)
            cpu_ms = (self._server.child.cpu_s - before) / self._questions * 1e3
            times.sort()
            for part, at in (("p50", 0.5), ("p95", 0.95)):
                title, rival = f"{self._name}: {name} {part}", f"{name} {part}"
                figure = times[int(len(times) * at)]
                rows.append(
                    less_is_better(title, "ms", figure, QUOTED, self._genuine(rival))
                )
            title, rival = f"{self._name}: {name} CPU, an update too", f"{name} p50"
            rows.append(
                less_is_better(
                    title, "ms", cpu_ms, f"{QUOTED}: p50", self._genuine(rival)
                )
            )
        return rows

    def _many_readers(self) -> list[Row]:
        def read(_: int) -> None:
            self._server.get("/query.json")

        rows = []
        for changing in (False, True):
            questions = READERS * self._questions
            began = time.perf_counter()
            with ThreadPoolExecutor(READERS) as readers:
                answers = readers.map(read, range(questions))
                for n, _ in enumerate(answers):
                    if changing:
                        self._server.cast(update(self._size, n, self._turn + 2))
            rate = questions / (time.perf_counter() - began)
            title = f"{self._name}: {READERS} readers of /query.json"
            title += ", an update each" if changing else ""
            rival = self._genuine("readers")
            rows.append(more_is_better(title, "1/s", rate, QUOTED, rival))
        return rows


def burst(server: Server, count: int) -> list[Row]:
    """As many datagrams as fast as they can be sent: how many are lost?"""
    texts = [update(SMALL, n, 0) for n in range(count)]
    for text in texts:
        server.cast(text)
    server.wait_taken(1)
    found = len(json.loads(server.get(asked('type=="hashtable"'))))
    lost, title = count - found, f"burst of {count:,} datagrams of {SMALL} B"
    rival = GENUINE_LOST * count / BURST
    return [
        # One more at both, since nothing cannot be divided by.
        less_is_better(f"{title}: lost, and one", "", lost + 1, QUOTED, rival + 1),
        more_is_better(
            "receive buffer obtained",
            "KiB",
            _buffer_bytes() / 1024,
            "the system's default",
            GENUINE_BUFFER / 1024,
        ),
    ]


def _buffer_bytes() -> int:
    """What the system gives to whoever asks for as much as our catalog does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            with suppress(OSError):
                tried.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
                break
        return tried.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
