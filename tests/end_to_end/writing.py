"""A client that writes to a peer's table, and knows what it was told.

Write number n gives a key its n-th value; a value tells its number in every part, so
that a torn one shows.
"""

import socket
from dataclasses import dataclass, field
from select import select

import hiredis

from shoal.core.address import parse
from shoal.core.machine import Address

# Longer than any answer takes on a busy machine.
PATIENCE_S = 30.0


class Wire:
    """A connection that speaks Redis's protocol, and nothing between."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(parse(address), timeout=PATIENCE_S)
        self._reader = hiredis.Reader()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def over(self) -> bool:
        """Has the peer closed it? What can be read from an idle one is its end."""
        return bool(select([self._socket], [], [], 0)[0])

    def send(self, *commands: tuple[bytes, ...]) -> None:
        packed = [hiredis.pack_command(words) for words in commands]  # type: ignore[arg-type]
        self._socket.sendall(b"".join(packed))

    def receive(self) -> object:
        """The next answer; an error is given, not raised."""
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the peer has closed the connection")
            self._reader.feed(data)
        return answer

    def ask(self, *words: bytes) -> object:
        self.send(words)
        return self.receive()


@dataclass
class Ledger:
    """Who wrote what: of each key the last write sent and the last acknowledged."""

    keys: int
    value_bytes: int
    sent: dict[bytes, int] = field(default_factory=dict)
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    writes: int = 0
    acknowledgements: int = 0

    def key(self, n: int) -> bytes:
        return b"key-%d" % (n % self.keys)

    def value(self, n: int) -> bytes:
        return (b"%d." % n) * (1 + (n * 7919) % (self.value_bytes // 8))

    def write(self, wire: Wire, count: int) -> None:
        """So many at once."""
        first = self.writes
        self.writes += count
        numbers = range(first, first + count)
        for n in numbers:
            self.sent[self.key(n)] = n
        wire.send(*((b"SET", self.key(n), self.value(n)) for n in numbers))
        for n in numbers:
            answer = wire.receive()
            assert answer == b"OK", answer
            self.acknowledged[self.key(n)] = n
            self.acknowledgements += 1

    def check(self, wire: Wire) -> None:
        """Is all that was acknowledged there, and nothing torn?"""
        keys = list(self.sent)
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            wire.send(*((b"GET", key) for key in some))
            for key in some:
                self._check(key, wire.receive())

    def _check(self, key: bytes, value: object) -> None:
        least = self.acknowledged.get(key)
        if value is None:
            assert least is None, (
                f"{key!r}: write {least} was acknowledged, and is lost"
            )
            return
        assert isinstance(value, bytes), value
        n = int(value.partition(b".")[0])
        assert value == self.value(n), f"{key!r} has a torn value: {value[:80]!r}"
        assert (-1 if least is None else least) <= n <= self.sent[key], (
            f"{key!r} has write {n}; acknowledged was {least}, sent {self.sent[key]}"
        )
        # Who has read it may count on it.
        self.acknowledged[key] = n
