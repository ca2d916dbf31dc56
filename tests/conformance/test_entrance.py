"""An entrance on real sockets, on both loops: who is let in, and in what order."""

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import cast

import pytest

from shoal.net import entrance as entrance_module
from shoal.net.entrance import LET_IN_AT_ONCE, Entrance
from tests.end_to_end.working import LOOPS, Loop

CROWD, OTHER = "127.0.0.2", "127.0.0.3"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has come is taken, so that the order is known."""
    monkeypatch.setattr(entrance_module, "TAKEN_AT_ONCE", 1000)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = request.param
    return factory


class Guests:
    """Who was let in, in order; each is told so."""

    def __init__(self) -> None:
        self.ports: list[tuple[str, int]] = []

    def make(self) -> asyncio.Protocol:
        return _Guest(self)

    async def count(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.ports) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


class _Guest(asyncio.Protocol):
    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._guests.ports.append(transport.get_extra_info("peername")[:2])
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"welcome")
        self._transport.close()


@asynccontextmanager
async def opened(limit: int) -> AsyncIterator[tuple[Guests, int, Entrance]]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.setblocking(False)
    guests = Guests()
    entrance = Entrance(listening, guests.make, limit)
    try:
        yield guests, listening.getsockname()[1], entrance
    finally:
        entrance.close()


@contextmanager
def come(port: int, *hosts: str) -> Iterator[list[socket.socket]]:
    """So many connect, one after the other, while the loop stands still."""
    with ExitStack() as all_of_them:
        socks = []
        for host in hosts:
            sock = all_of_them.enter_context(socket.socket())
            sock.bind((host, 0))
            sock.settimeout(PATIENCE_S)
            sock.connect(("127.0.0.1", port))
            socks.append(sock)
        yield socks


def names(socks: list[socket.socket]) -> list[tuple[str, int]]:
    return [sock.getsockname() for sock in socks]


def heard(sock: socket.socket) -> bytes:
    try:
        return sock.recv(100)
    except ConnectionResetError:
        return b""


def test_whoever_comes_behind_a_crowd_does_not_wait_for_it(loop: Loop) -> None:
    async def main() -> None:
        async with opened(1000) as (guests, port, _):
            with come(port, *[CROWD] * 60, OTHER) as socks:
                await guests.count(61)
                assert guests.ports.index(socks[-1].getsockname()) < 2
                assert sorted(guests.ports) == sorted(names(socks))
                assert {heard(each) for each in socks} == {b"welcome"}

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_of_one_host_the_last_is_first(loop: Loop) -> None:
    async def main() -> None:
        async with opened(1000) as (guests, port, _):
            count = LET_IN_AT_ONCE
            with come(port, *[CROWD] * count) as socks:
                await guests.count(count)
                assert guests.ports == names(socks)[::-1]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_of_too_many_the_first_of_the_largest_crowd_are_turned_away(
    loop: Loop,
) -> None:
    async def main() -> None:
        async with opened(20) as (guests, port, _):
            with come(port, OTHER, OTHER, *[CROWD] * 50) as socks:
                await guests.count(20)
                wanted = names(socks)[:2] + names(socks)[-18:]
                assert sorted(guests.ports) == sorted(wanted)
                assert [heard(each) for each in socks[2:34]] == [b""] * 32

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_more_hosts_than_may_wait_leave_it_open(loop: Loop) -> None:
    async def main() -> None:
        async with opened(10) as (guests, port, _):
            hosts = [f"127.0.1.{n}" for n in range(1, 31)]
            with come(port, *hosts):
                await guests.count(10)
            with come(port, OTHER) as [late]:
                await guests.count(11)
                assert guests.ports[-1] == late.getsockname()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_without_descriptors_they_wait_until_there_are_some(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(1000) as (guests, port, _):
            with come(port, *[CROWD] * 5) as socks, few_descriptors() as more:
                with caplog.at_level(logging.WARNING, entrance_module.__name__):
                    await asyncio.sleep(0.3)
                assert guests.ports == []
                assert len(caplog.records) == 1
                assert os.strerror(errno.EMFILE) in caplog.text
                more()
                await guests.count(len(socks))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@contextmanager
def few_descriptors() -> Iterator[Callable[[], None]]:
    """None are left in the block, until there are more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = max(map(int, os.listdir("/proc/self/fd"))) + 1

    def more() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    with ExitStack() as taken:
        try:
            while True:
                taken.enter_context(open(os.devnull))
        except OSError:
            pass
        try:
            yield more
        finally:
            more()


def test_the_end_turns_away_who_waits(loop: Loop) -> None:
    async def main() -> None:
        async with opened(1000) as (guests, port, entrance):
            with come(port, *[CROWD] * 200) as socks:
                await asyncio.sleep(0)
                entrance.close()
                await asyncio.sleep(0.05)
                came = {heard(each) for each in socks}
                assert came == {b""} or len(guests.ports) < len(socks)
                with pytest.raises(ConnectionRefusedError), come(port, OTHER):
                    pass

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
