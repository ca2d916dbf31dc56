"""Catalogs, ours or CCTools', as a program asks them: with its own sockets, waiting.

The first that answers is believed. One that did not is asked last from then on, and all
again, ever more slowly, until the time is up.
"""

import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, sleep, time
from typing import Any

from shoal.core.address import join, parse
from shoal.core.filters.meaning import Filter
from shoal.core.machine import Address
from shoal.errors import MalformedMessage, Unreachable

# As CCTools' own programs have them.
SERVER_S = 5.0
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 16.0

# A dead host says nothing; one across the world answers in a third of a second.
DIAL_S = 2.0

# Ten thousand records of a manager, doubled.
MAX_ANSWER_BYTES = 64 << 20

# Peers announce themselves so often; who missed three is gone, whatever catalogs say.
INTERVAL_S = 60.0
MISSED = 3

Record = dict[str, Any]


class Catalogs:
    """Some catalogs, in the order in which they are asked."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._order = list(addresses)

    def query(self, text: str = "true", *, within_s: float) -> list[Record]:
        """The records that a filter means; `BadExpression` where it is unclear."""
        meant = Filter(text, strict=True)
        path = f"/query/{b64encode(text.encode()).decode()}"
        found = self._first(lambda address, s: fetch(address, path, s), within_s)
        return [each for each in found if meant.means(each)]

    def find(self, text: str, *, within_s: float) -> list[Record]:
        """Those who are there now, the one heard from last first."""
        oldest = time() - MISSED * INTERVAL_S
        records = self.query(text, within_s=within_s)
        present = [each for each in records if _heard(each) > oldest]
        staying = [each for each in present if not each.get("leaving")]
        return sorted(staying, key=_heard, reverse=True)

    def peers_of(self, project: str, *, within_s: float) -> list[Record]:
        """The peers of a project that are there now, the one heard from last first."""
        quoted = json.dumps(project, ensure_ascii=False)
        text = f'type=="hashtable" and project=={quoted}'
        return self.find(text, within_s=within_s)

    def _first(
        self, ask: Callable[[Address, float], list[Record]], within_s: float
    ) -> list[Record]:
        end, pause_s = monotonic() + within_s, FIRST_PAUSE_S
        while True:
            causes = []
            for address in list(self._order):
                left_s = end - monotonic()
                if left_s <= 0:
                    break
                try:
                    return ask(address, min(SERVER_S, left_s))
                except (OSError, MalformedMessage) as error:
                    text = getattr(error, "strerror", None) or str(error)
                    causes.append(f"{address}: {text.lower() or 'no answer'}")
                    self._order.remove(address)
                    self._order.append(address)
            if monotonic() + pause_s >= end:
                why = "; ".join(causes) or "no answer in time"
                raise Unreachable(f"catalog {why}; check CATALOG_HOST, or --catalog")
            sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)


def those_there(records: Sequence[Record], *, within_s: float) -> Iterator[Address]:
    """Those that can be dialled; what a catalog says may be minutes old."""
    end = monotonic() + within_s
    for record in records:
        port = record.get("port")
        for host in (record.get("address"), record.get("name")):
            left_s = end - monotonic()
            if not isinstance(host, str) or type(port) is not int or left_s <= 0:
                continue
            try:
                socket.create_connection((host, port), min(DIAL_S, left_s)).close()
            except (OSError, OverflowError, UnicodeError):
                continue
            yield join(host, port)
            break


def fetch(address: Address, path: str, within_s: float) -> list[Record]:
    """A list of records; an `OSError`, or `MalformedMessage`, if there is none."""
    host, port = parse(address)
    request = (
        f"GET {path} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n"
        "User-Agent: Mozilla/5.0 (compatible; shoal)\r\n\r\n"
    )
    head, body = _split(_ask(host, port, request.encode(), within_s))
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] != b"200":
        line = head.partition(b"\n")[0].strip().decode(errors="replace")
        raise MalformedMessage(f"it says {line[:80]!r}")
    try:
        found = json.loads(body.decode(errors="replace"), object_pairs_hook=_first_wins)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("what it says is no JSON") from error
    if not isinstance(found, list):
        raise MalformedMessage("what it says is no list")
    return [each for each in found if isinstance(each, dict)]


def _ask(host: str, port: int, request: bytes, within_s: float) -> bytes:
    """All that comes before the end, or before as much as the head promises."""
    end, answer = monotonic() + within_s, bytearray()
    with socket.create_connection((host, port), within_s) as connection:
        connection.sendall(request)
        while True:
            left_s = end - monotonic()
            if left_s <= 0:
                raise TimeoutError("no whole answer in time")
            connection.settimeout(left_s)
            piece = connection.recv(1 << 18)
            answer += piece
            if not piece:
                return bytes(answer)
            if len(answer) > MAX_ANSWER_BYTES:
                raise MalformedMessage(f"more than {MAX_ANSWER_BYTES:,} bytes")


def _split(answer: bytes) -> tuple[bytes, bytes]:
    """Head and body: lines end as HTTP has it, or as genuine catalogs do."""
    for blank in (b"\r\n\r\n", b"\n\n"):
        head, found, body = answer.partition(blank)
        if found and b"\n\n" not in head:
            return head, body
    raise MalformedMessage("what it says is no HTTP")


def _first_wins(pairs: list[tuple[str, Any]]) -> Record:
    """A genuine catalog puts its own word before what the sender claims."""
    found: Record = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _heard(record: Record) -> float:
    heard = record.get("lastheardfrom")
    return float(heard) if isinstance(heard, int | float) else 0.0
