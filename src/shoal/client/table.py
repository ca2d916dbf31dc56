"""The table, to a program that waits for each answer.

Keys and values are bytes; strings are encoded as UTF-8, and bytes come back. A read is
asked once more by itself when the connection breaks. A change is not, since it may have
been made, unless the caller says `retry=True`: then it may be made twice, which `cas`
with values that are never used again makes harmless.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, TypeVar, overload

from shoal.client import requests
from shoal.client.documents import Documents
from shoal.client.news import Change, News
from shoal.client.requests import Text
from shoal.client.wire import Wire
from shoal.core.machine import Address
from shoal.errors import Unknown

# Requests sent together: their replies wait where the system keeps them meanwhile.
MANY = 1000
MANY_BYTES = 64 << 10

Default = TypeVar("Default")


class Table:
    """What everybody knows, by key. Every call ends within `timeout_s`.

    One for many keys, or all, asks for some at a time: each time within `timeout_s`.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._wire = Wire(address, timeout_s)
        self._ask = self._wire.ask
        self.json = Documents(self)

    def close(self) -> None:
        """Give the connection back; the next call makes another."""
        self._wire.close()

    # One key

    @overload
    def get(self, key: Text, *, timeout_s: float | None = None) -> bytes | None: ...

    @overload
    def get(
        self, key: Text, default: Default, *, timeout_s: float | None = None
    ) -> bytes | Default: ...

    def get(
        self, key: Text, default: object = None, *, timeout_s: float | None = None
    ) -> object:
        """What a key has, or the default."""
        value = self._ask(requests.get(key), timeout_s=timeout_s)
        return default if value is None else value

    def put(
        self,
        key: Text,
        value: Text,
        *,
        ttl_s: float | None = None,
        if_absent: bool = False,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key have that, for so long; False if it was to have nothing before."""
        request = requests.put(key, value, ttl_s, if_absent=if_absent)
        return self._ask(request, again=retry, timeout_s=timeout_s) is not None

    def delete(
        self, key: Text, *, retry: bool = False, timeout_s: float | None = None
    ) -> bool:
        """Let a key have nothing; False if it had nothing."""
        return bool(self._ask(requests.delete(key), again=retry, timeout_s=timeout_s))

    def cas(
        self,
        key: Text,
        expected: Text | None,
        value: Text,
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key have that if it has what is expected; None expects nothing."""
        request = requests.cas(key, expected, value)
        return bool(self._ask(request, again=retry, timeout_s=timeout_s))

    def incr(
        self,
        key: Text,
        by: int = 1,
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> int:
        """Count on, from nought if there is nothing; the new number."""
        return int(self._ask(requests.incr(key, by), again=retry, timeout_s=timeout_s))

    def expire(
        self,
        key: Text,
        ttl_s: float | None,
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key end after so long, or never (None); False if it had nothing."""
        request = requests.expire(key, ttl_s)
        return bool(self._ask(request, again=retry, timeout_s=timeout_s))

    def __getitem__(self, key: Text) -> bytes:
        value: bytes | None = self._ask(requests.get(key))
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Text, value: Text) -> None:
        self.put(key, value)

    def __delitem__(self, key: Text) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: Text) -> bool:
        return bool(self._ask(requests.contains(key)))

    def command(
        self, *words: Text, retry: bool = False, timeout_s: float | None = None
    ) -> Any:  # noqa: ANN401 - it is whatever the reply is.
        """Any other of Redis's commands, and its reply as it is."""
        request = requests.words_of(*map(requests.plain, words))
        return self._ask(request, again=retry, timeout_s=timeout_s)

    # Many keys: each by itself, so that a failure leaves some done.

    def get_many(
        self, keys: Iterable[Text], *, timeout_s: float | None = None
    ) -> list[bytes | None]:
        """What each has, in their order; None for nothing."""
        asked = map(requests.get, keys)
        return self._ask_many(asked, again=True, timeout_s=timeout_s)

    def put_many(
        self,
        values: Mapping[Any, Text],
        *,
        ttl_s: float | None = None,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Let each key have its value."""
        asked = (requests.put(key, value, ttl_s) for key, value in values.items())
        self._ask_many(asked, again=retry, timeout_s=timeout_s)

    def delete_many(
        self,
        keys: Iterable[Text],
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> int:
        """Let each have nothing; how many had something."""
        asked = map(requests.delete, keys)
        return sum(self._ask_many(asked, again=retry, timeout_s=timeout_s))

    def _ask_many(
        self, asked: Iterable[bytes], *, again: bool, timeout_s: float | None
    ) -> list[Any]:
        found: list[Any] = []
        for batch, count in requests.batches(asked, MANY, MANY_BYTES):
            found += self._wire.ask_all(batch, count, again=again, timeout_s=timeout_s)
        return found

    def watch(self, *keys: Text, timeout_s: float | None = None) -> Iterator[Change]:
        """Each change of these from now on, in order: the key, and what it has then.

        It begins again by itself after a fault: values between may be missing then,
        and the last never is. `Unreachable` when nobody can be asked any more.
        """
        patience_s = timeout_s or self._wire.timeout_s
        named = [requests.key_of(key) for key in keys]
        return _each(News(self._wire.address, named, patience_s))

    # All keys

    def scan(
        self, pattern: Text = "*", *, timeout_s: float | None = None
    ) -> Iterator[bytes]:
        """Every key that fits: * ? [a-z]. One that is there all the while is found.

        Each peer is asked for its own; those of one that does not answer are missing.
        """
        yield from self._scan_here(pattern, timeout_s)
        for other in self._others(timeout_s):
            with closing(other), suppress(Unknown):
                yield from other._scan_here(pattern, timeout_s)

    def _others(self, timeout_s: float | None) -> list["Table"]:
        listed = self._ask(requests.nodes(), timeout_s=timeout_s)
        addresses = requests.others(listed)
        return [Table(each, self._wire.timeout_s) for each in addresses]

    def _scan_here(self, pattern: Text, timeout_s: float | None) -> Iterator[bytes]:
        cursor = b"0"
        while True:
            cursor, keys = self._ask(
                requests.scan(cursor, pattern), timeout_s=timeout_s
            )
            yield from keys
            if cursor == b"0":
                return

    def __iter__(self) -> Iterator[bytes]:
        return self.scan()

    def __len__(self) -> int:
        count = int(self._ask(requests.size()))
        for other in self._others(None):
            with closing(other), suppress(Unknown):
                count += int(other._ask(requests.size()))
        return count

    def __bool__(self) -> bool:
        return True  # A table is one, even if it is empty.


def _each(news: News) -> Iterator[Change]:
    with closing(news):
        for told in news:
            yield from told
