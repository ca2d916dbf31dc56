"""A client in a process of its own that asks a catalog while it is under fire."""

import json
import multiprocessing
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Two questions that a client could have; the first must look at every record.
QUESTIONS = ('owner=="steady"', 'type=="steady"')

PAUSE_S = 0.02
PATIENCE_S = 60.0


@dataclass
class Seen:
    """What the client saw in a while."""

    times_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    anonymous_bytes: int = 0

    def quantile_ms(self, part: float) -> float:
        """So long an answer took at most, in that part of all."""
        ranked = sorted(self.times_s)
        return 1e3 * ranked[min(int(len(ranked) * part), len(ranked) - 1)]


def steady(count: int) -> list[dict[str, Any]]:
    """What is told first, and must be there to the end."""
    return [{"type": "steady", "owner": "steady", "port": -n} for n in range(1, count)]


@contextmanager
def watching(port: int, pid: int, wanted: list[dict[str, Any]]) -> Iterator["Watcher"]:
    """Somebody who watches while the block runs."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=_watch, args=(port, pid, wanted, theirs))
    process.start()
    try:
        yield Watcher(mine)
    finally:
        mine.close()
        process.join(PATIENCE_S)
        process.kill()


class Watcher:
    """The other end of the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def report(self) -> Seen:
        """What was seen since it was asked last, and one answer more."""
        self._connection.send("report")
        if not self._connection.poll(2 * PATIENCE_S):
            raise TimeoutError("the watching client says nothing")
        seen: Seen = self._connection.recv()
        return seen


def _watch(
    port: int, pid: int, wanted: list[dict[str, Any]], asked: Connection
) -> None:
    told = {str(each): 1 for each in wanted}
    seen, turn = Seen(), 0
    while True:
        turn += 1
        seen.anonymous_bytes = max(seen.anonymous_bytes, anonymous_bytes(pid))
        began = time.perf_counter()
        why = _wrong(port, QUESTIONS[turn % len(QUESTIONS)], told)
        seen.times_s.append(time.perf_counter() - began)
        if why:
            seen.wrong.append(why)
        try:
            if asked.poll(PAUSE_S):
                asked.recv()
                asked.send(seen)
                seen = Seen()
        except (EOFError, OSError):
            return


def _wrong(port: int, question: str, told: dict[str, int]) -> str:
    """What is wrong with an answer; nothing if all is well."""
    try:
        status, body = ask(port, question)
        found = json.loads(body)
    except (OSError, ValueError, IndexError) as error:
        return f"{question}: {error!r}"
    if status != 200:
        return f"{question}: {status}"
    for each in found:
        for ours in ("name", "lastheardfrom", "address"):
            each.pop(ours)
    if {str(each): 1 for each in found} != told or len(found) != len(told):
        return f"{question}: {len(found)} records, not the {len(told)} that were told"
    return ""


def ask(port: int, question: str) -> tuple[int, bytes]:
    """A filter's status and answer."""
    path = f"/query/{b64encode(question.encode()).decode()}"
    where = ("127.0.0.1", port)
    with socket.create_connection(where, PATIENCE_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        found = bytearray()
        while piece := connection.recv(1 << 16):
            found += piece
    head, _, body = bytes(found).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def anonymous_bytes(pid: int) -> int:
    """Memory of its own that a process has; nothing once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(e.split()[1]) << 10 for e in lines if e.startswith("RssAnon"))
