"""The same verbs for programs that do other things while they wait."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import closing, suppress
from typing import Any, overload

from shoal.client import documents, requests
from shoal.client.pages import Pages
from shoal.client.pipeline import Pipelines
from shoal.client.requests import Text
from shoal.client.table import Default
from shoal.core.machine import Address
from shoal.errors import Unknown


class Network:
    """A network, by way of one of its peers: `async with shoal.open() as net`."""

    def __init__(self, pages: Pages) -> None:
        self.address = pages.address
        self._pages = pages
        self.table: AsyncTable

    async def members(self) -> list[dict[str, Any]]:
        """Who is in the network, since when, and who says so."""
        return await asyncio.to_thread(self._pages.members)

    async def status(self) -> dict[str, Any]:
        """How this peer is."""
        return await asyncio.to_thread(self._pages.status)

    async def __aenter__(self) -> "Network":
        self.table = AsyncTable(self.address, self._pages.timeout_s)
        await self.table.connect()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.table.close()


class AsyncTable:
    """What everybody knows, by key; as in `Table`, with `await`."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._lines = Pipelines(address, timeout_s)
        self._ask, self._ask_all = self._lines.ask, self._lines.ask_all
        self.json = AsyncDocuments(self)

    async def connect(self) -> None:
        """Find out at once whether somebody is there."""
        await self._lines.ready()

    def close(self) -> None:
        """Give the connection back."""
        self._lines.close()

    @overload
    async def get(
        self, key: Text, *, timeout_s: float | None = None
    ) -> bytes | None: ...

    @overload
    async def get(
        self, key: Text, default: Default, *, timeout_s: float | None = None
    ) -> bytes | Default: ...

    async def get(
        self, key: Text, default: object = None, *, timeout_s: float | None = None
    ) -> object:
        """What a key has, or the default."""
        value = await self._ask(requests.get(key), timeout_s=timeout_s)
        return default if value is None else value

    async def put(
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
        return await self._ask(request, again=retry, timeout_s=timeout_s) is not None

    async def delete(
        self, key: Text, *, retry: bool = False, timeout_s: float | None = None
    ) -> bool:
        """Let a key have nothing; False if it had nothing."""
        request = requests.delete(key)
        return bool(await self._ask(request, again=retry, timeout_s=timeout_s))

    async def cas(
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
        return bool(await self._ask(request, again=retry, timeout_s=timeout_s))

    async def incr(
        self,
        key: Text,
        by: int = 1,
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> int:
        """Count on, from nought if there is nothing; the new number."""
        request = requests.incr(key, by)
        return int(await self._ask(request, again=retry, timeout_s=timeout_s))

    async def expire(
        self,
        key: Text,
        ttl_s: float | None,
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key end after so long, or never (None); False if it had nothing."""
        request = requests.expire(key, ttl_s)
        return bool(await self._ask(request, again=retry, timeout_s=timeout_s))

    async def contains(self, key: Text, *, timeout_s: float | None = None) -> bool:
        """Has a key anything?"""
        return bool(await self._ask(requests.contains(key), timeout_s=timeout_s))

    async def command(
        self, *words: Text, retry: bool = False, timeout_s: float | None = None
    ) -> Any:  # noqa: ANN401 - it is whatever the reply is.
        """Any other of Redis's commands, and its reply as it is."""
        request = requests.words_of(*map(requests.plain, words))
        return await self._ask(request, again=retry, timeout_s=timeout_s)

    async def get_many(
        self, keys: Iterable[Text], *, timeout_s: float | None = None
    ) -> list[bytes | None]:
        """What each has, in their order; None for nothing."""
        asked = map(requests.get, keys)
        return await self._ask_all(asked, again=True, timeout_s=timeout_s)

    async def put_many(
        self,
        values: Mapping[Any, Text],
        *,
        ttl_s: float | None = None,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Let each key have its value; each by itself."""
        asked = [requests.put(key, value, ttl_s) for key, value in values.items()]
        await self._ask_all(asked, again=retry, timeout_s=timeout_s)

    async def delete_many(
        self,
        keys: Iterable[Text],
        *,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> int:
        """Let each have nothing; how many had something."""
        asked = map(requests.delete, keys)
        return sum(await self._ask_all(asked, again=retry, timeout_s=timeout_s))

    async def scan(
        self, pattern: Text = "*", *, timeout_s: float | None = None
    ) -> AsyncIterator[bytes]:
        """Every key that fits: * ? [a-z]. One that is there all the while is found.

        Each peer is asked for its own; those of one that does not answer are missing.
        """
        async for key in self._scan_here(pattern, timeout_s):
            yield key
        for other in await self._others(timeout_s):
            with closing(other), suppress(Unknown):
                async for key in other._scan_here(pattern, timeout_s):
                    yield key

    async def _others(self, timeout_s: float | None) -> list["AsyncTable"]:
        listed = await self._ask(requests.nodes(), timeout_s=timeout_s)
        addresses = requests.others(listed)
        return [AsyncTable(each, self._lines.timeout_s) for each in addresses]

    async def _scan_here(
        self, pattern: Text, timeout_s: float | None
    ) -> AsyncIterator[bytes]:
        cursor = b"0"
        while True:
            request = requests.scan(cursor, pattern)
            cursor, keys = await self._ask(request, timeout_s=timeout_s)
            for each in keys:
                yield each
            if cursor == b"0":
                return

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.scan()

    async def size(self, *, timeout_s: float | None = None) -> int:
        """How many keys there are, at all peers that answer."""
        count = int(await self._ask(requests.size(), timeout_s=timeout_s))
        for other in await self._others(timeout_s):
            with closing(other), suppress(Unknown):
                count += int(await other._ask(requests.size(), timeout_s=timeout_s))
        return count


class AsyncDocuments:
    """The table's values as documents; everything else is the table's."""

    def __init__(self, table: AsyncTable) -> None:
        self._table = table

    async def get(
        self,
        key: Text,
        default: Any = None,  # noqa: ANN401
        *,
        timeout_s: float | None = None,
    ) -> Any:  # noqa: ANN401 - it is whatever JSON says.
        """The document a key has, or the default."""
        value = await self._table.get(key, timeout_s=timeout_s)
        return default if value is None else documents.decoded(value)

    async def put(
        self,
        key: Text,
        document: object,
        *,
        ttl_s: float | None = None,
        if_absent: bool = False,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key have a document, for so long; False if it was to have nothing."""
        return await self._table.put(
            key,
            documents.encoded(document),
            ttl_s=ttl_s,
            if_absent=if_absent,
            retry=retry,
            timeout_s=timeout_s,
        )

    async def get_many(
        self, keys: Iterable[Text], *, timeout_s: float | None = None
    ) -> list[Any]:
        """The document each has, in their order; None for nothing."""
        values = await self._table.get_many(keys, timeout_s=timeout_s)
        return [None if each is None else documents.decoded(each) for each in values]

    async def put_many(
        self, values: Mapping[Any, object], *, timeout_s: float | None = None
    ) -> None:
        """Let each key have its document; each by itself."""
        encoded = {key: documents.encoded(each) for key, each in values.items()}
        await self._table.put_many(encoded, timeout_s=timeout_s)
