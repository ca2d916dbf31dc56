"""The classic cluster: N peers that know nothing of each other, K of which have a key.

The client alone keeps the copies: a key lies at SHA-256(key) mod N and the K - 1 peers
after that. It writes all K, one after the other, and each again until it works; it
reads any one. So one peer that is away stops no read, and a write that touches it
waits. Two clients that write one key at the same time may leave different copies: who
needs more takes a network's own table.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from shoal.client.lines import Lines
from shoal.core.classic_rings import InvalidRing, successors
from shoal.core.machine import Address
from shoal.errors import Unknown

# How long until a peer that did not answer is asked again.
RETRY_S = 5.0

Result = TypeVar("Result")


class ClusterClient:
    """Documents under keys, at the peers `name-0` to `name-(N - 1)`."""

    def __init__(
        self,
        name: str,
        servers: int,
        copies: int,
        *,
        peers: Sequence[str],
        timeout_s: float = 10.0,
        patience_s: float = 60.0,
        retry_s: float = RETRY_S,
    ) -> None:
        """`peers`: their addresses, in the order of their numbers.

        Each is waited for `timeout_s`; who does not answer is asked again every
        `retry_s` until `patience_s` are over.
        """
        if not 1 <= copies <= servers or len(peers) != servers:
            raise InvalidRing(
                f"cluster {name}: {copies} copies on {servers} servers, {len(peers)} "
                "addresses; name each server, and take 1 to that many copies"
            )
        self.name = name
        self._copies = copies
        self._servers = [Lines(Address(each), timeout_s) for each in peers]
        self._patience_s = patience_s
        self._retry_s = retry_s

    def close(self) -> None:
        """Give the connections back."""
        for each in self._servers:
            each.close()

    def places(self, key: str) -> list[int]:
        """The numbers of the peers that have a key, first to last."""
        data = key.encode(errors="surrogatepass")
        return successors(data, len(self._servers), self._copies)

    def insert(self, key: str, value: Any) -> None:  # noqa: ANN401 - any document.
        """Let a key have that, everywhere."""
        until = self._until()
        for place in self.places(key):
            self._insist(
                place, until, lambda at: at.ask("insert", key=key, value=value)
            )

    def lookup(self, key: str) -> Any:  # noqa: ANN401
        """What a key has; `KeyError` if it has nothing."""
        until = self._until()
        while True:
            for place in self.places(key):
                try:
                    return self._servers[place].ask("lookup", key=key)
                except Unknown as error:
                    cause = error
            self._wait(until, cause)

    def remove(self, key: str) -> Any:  # noqa: ANN401
        """Let a key have nothing, and say what it had; `KeyError` if it had nothing."""
        until, found = self._until(), list[Any]()

        def remove(at: Lines) -> None:
            with suppress(KeyError):  # It may have done so when it was last asked.
                found.append(at.ask("remove", key=key))

        for place in self.places(key):
            self._insist(place, until, remove)
        if not found:
            raise KeyError(key)
        return found[0]

    def scan(self, regex: str) -> list[tuple[str, Any]]:
        """Every key that fits, once, and what it has.

        Who does not answer is waited for only if its keys may lie nowhere else.
        """
        until = self._until()
        found: dict[str, Any] = {}
        missing = list(range(len(self._servers)))
        while True:
            for place in list(missing):
                try:
                    pairs = self._servers[place].ask("scan", regex=regex)
                except Unknown as error:
                    cause = error
                else:
                    missing.remove(place)
                    found = {**dict(map(tuple, pairs)), **found}
            if not self._hides(missing):
                return list(found.items())
            self._wait(until, cause)

    def _hides(self, missing: list[int]) -> bool:
        """May all copies of some key lie with these?"""
        count = len(self._servers)
        return any(
            all((first + step) % count in missing for step in range(self._copies))
            for first in range(count)
        )

    def _insist(
        self, place: int, until: float, ask: Callable[[Lines], Result]
    ) -> Result:
        """Ask again until it answers: what is asked may be done twice."""
        while True:
            try:
                return ask(self._servers[place])
            except Unknown as error:
                self._wait(until, error)

    def _until(self) -> float:
        return time.monotonic() + self._patience_s

    def _wait(self, until: float, cause: Unknown) -> None:
        if time.monotonic() + self._retry_s > until:
            raise cause
        time.sleep(self._retry_s)
