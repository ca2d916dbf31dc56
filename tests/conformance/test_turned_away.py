"""What the clients make of a peer that lets nobody in, and of what is too long."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from shoal import errors
from shoal.cli.outcome import REFUSED, code_of
from shoal.client import Client
from shoal.client.coroutines import Network
from shoal.client.news import News
from shoal.client.table import Table
from shoal.client.verbs import Verbs
from shoal.core.machine import Address
from tests.conformance.answering import answering, hang_up


def turns_away(wire: socket.socket) -> None:
    wire.sendall(b"-BUSY 3 connections are open; try later\r\n")
    hang_up(wire)


def table(address: Address) -> None:
    with closing(Table(address, 5)) as asking:
        asking.put("k", "v")


def verbs(address: Address) -> None:
    with closing(Verbs(address, 5)) as asking:
        asking.put(b"k", b"v")


def news(address: Address) -> None:
    News(address, [b"k"], 5)


def pages(address: Address) -> None:
    with Client(address, timeout_s=5) as net:
        net.status()


def coroutines(address: Address) -> None:
    async def main() -> None:
        async with Network(Client(address, timeout_s=5)) as net:
            await asyncio.sleep(0.1)  # It is told before anything is asked.
            await net.table.put("k", "v")

    asyncio.run(main())


@pytest.mark.parametrize("asks", [table, verbs, news, pages, coroutines])
def test_a_full_house_is_too_much_and_nobodys_mistake(
    asks: Callable[[Address], None],
) -> None:
    with (
        answering(turns_away, turns_away) as address,
        pytest.raises(errors.Overloaded, match="are open; try later") as told,
    ):
        asks(address)
    assert code_of(told.value) == REFUSED


@pytest.mark.parametrize(
    "asks",
    [
        lambda asking: asking.put(b"k", bytes(17 << 20)),
        lambda asking: asking.put(bytes(17 << 20), b"v"),
        lambda asking: asking.get(bytes(17 << 20)),
        lambda asking: asking.delete(bytes(17 << 20)),
    ],
    ids=["value", "key", "get", "delete"],
)
def test_what_is_too_long_for_a_frame_is_a_mistake(
    asks: Callable[[Verbs], object],
) -> None:
    with pytest.raises(errors.Misuse, match="the longest have"):
        asks(Verbs(Address("127.0.0.1:1"), 5))
