"""A catalog in this process, on disks that fail, on both loops."""

import asyncio
import json
import math
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from shoal.catalog import connection, writer
from shoal.catalog import service as service_module
from shoal.catalog.answers import Answer
from shoal.catalog.history import History
from shoal.catalog.ports import bind_catalog
from shoal.catalog.service import CatalogService
from shoal.catalog.shares import Work
from shoal.sim.disk import SimulatedDisk
from tests.end_to_end.working import LOOPS, Loop


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = request.param
    return factory


@asynccontextmanager
async def running(disk: SimulatedDisk) -> AsyncIterator[tuple[CatalogService, int]]:
    failures: list[Exception] = []
    sockets = bind_catalog("127.0.0.1", 0)
    service = CatalogService(fail=failures.append, disk=disk)
    await service.open(*sockets)
    try:
        yield service, sockets[0].getsockname()[1]
    finally:
        await service.close()
    assert failures == []


async def tell(port: int, *records: bytes) -> None:
    for record in records:
        reader, writer = await asyncio.open_connection("127.0.0.1", port + 1)
        writer.write(record)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def until(service: CatalogService, count: int) -> None:
    async with asyncio.timeout(20):
        while len(service.catalog.entries) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_a_crowd_that_only_stands_there_makes_room(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_INSIDE", 10)

    async def main() -> None:
        async with running(SimulatedDisk()) as (service, port):
            standing = []
            for n in range(60):
                where = ("127.0.0.1", port + n % 2)
                standing.append(await asyncio.open_connection(*where))
            await tell(port, record(1))
            await until(service, 1)
            reader, talker = await asyncio.open_connection("127.0.0.1", port)
            talker.write(b"GET /query.json HTTP/1.1\r\n\r\n")
            assert b'"port":1' in await reader.read()
            for _, writer in [*standing, (reader, talker)]:
                writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_who_is_shown_out_holds_no_answer(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their answer may be ready in the same round of the loop."""
    monkeypatch.setattr(connection, "MAX_OF_HOST", 5)

    async def ask(port: int) -> None:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /query/dHJ1ZQ== HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()

    async def main() -> None:
        async with running(SimulatedDisk()) as (service, port):
            await tell(port, *(record(n) for n in range(300)))
            await until(service, 300)
            for _ in range(15):
                await asyncio.gather(*(ask(port) for _ in range(40)))
            await asyncio.sleep(0.05)
            assert not service._rooms[0]._reading
            assert not service._rooms[0].unsent_bytes

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def record(port: int) -> bytes:
    return b'{"type":"x","port":%d}' % port


def test_what_was_told_before_the_end_is_there_after_it(loop: Loop) -> None:
    disk = SimulatedDisk()

    async def main() -> None:
        for n in range(3):
            async with running(disk) as (service, port):
                assert len(service.catalog.entries) == n * 5
                await tell(port, *map(record, range(n * 5, n * 5 + 5)))
                await until(service, n * 5 + 5)
            disk.crash("torn", Random(n))  # All was synced at the end.

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert len(History(disk).recover()) == 15


def test_a_full_disk_costs_history_and_nothing_else(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    disk = SimulatedDisk()

    async def main() -> None:
        async with running(disk) as (service, port):
            await tell(port, *map(record, range(5)))
            await until(service, 5)
            disk.capacity_bytes = 0
            await tell(port, *map(record, range(5, 10)))
            await until(service, 10)
            await asyncio.sleep(0.2)  # It tries meanwhile, in vain.
            disk.capacity_bytes = math.inf
            disk.failing_syncs = 1
            await tell(port, record(10))
            await until(service, 11)
            async with asyncio.timeout(20):
                while len(History(disk).at(2e10)) < 11:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert len(History(disk).recover()) == 11


class LosingDisk(SimulatedDisk):
    """Names files that are gone when they are read."""

    lost = False

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        if self.lost:
            raise FileNotFoundError(2, "no such file", name)
        return super().read(name, start, size)


def test_many_who_ask_for_all_while_it_changes_share_an_answer(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, answering = [0], CatalogService._answering

    def counted(self: CatalogService, *asked: Any) -> Work[Answer]:
        made[0] += 1
        return answering(self, *asked)

    monkeypatch.setattr(CatalogService, "_answering", counted)

    async def change(service: CatalogService) -> None:
        while True:
            service._take(record(1), "127.0.0.1")
            await asyncio.sleep(0)

    async def ask(port: int) -> None:
        reader, talker = await asyncio.open_connection("127.0.0.1", port)
        talker.write(b"GET /query.text HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        talker.close()

    async def main() -> None:
        async with running(SimulatedDisk()) as (service, port):
            for n in range(3000):
                service.catalog.offer(record(n), "127.0.0.1", None, time.time())
            changing = asyncio.create_task(change(service))
            await asyncio.gather(*(ask(port) for _ in range(40)))
            changing.cancel()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert made[0] < 10


def test_long_records_for_people_do_not_stop_the_loop(loop: Loop) -> None:
    gaps, letters = list[float](), ["\u202e" * 16] * 19_000
    update = json.dumps({"says": letters}, ensure_ascii=False).encode()

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - before)

    async def ask(port: int) -> None:
        reader, talker = await asyncio.open_connection("127.0.0.1", port)
        talker.write(b"GET /detail/10.1.2.3:0:lab1 HTTP/1.1\r\n\r\n")
        assert len(await reader.read()) > 500_000
        talker.close()

    async def main() -> None:
        async with running(SimulatedDisk()) as (service, port):
            service.catalog.offer(update, "10.1.2.3", "lab1", time.time())
            watching = asyncio.create_task(watch())
            await asyncio.gather(*(ask(port) for _ in range(30)))
            watching.cancel()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert max(gaps) < sum(gaps) / 4


class SlowDisk(SimulatedDisk):
    """Counts who reads at once, for a good while each."""

    readers = most = reads = 0

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        self.readers, self.reads = self.readers + 1, self.reads + 1
        self.most = max(self.most, self.readers)
        time.sleep(0.05)
        self.readers -= 1
        return super().read(name, start, size)


def test_who_asks_for_the_past_and_goes_has_no_others_read_beside_them(
    loop: Loop,
) -> None:
    disk = SlowDisk()

    async def main() -> None:
        async with running(disk) as (service, port):
            await tell(port, record(1))
            await until(service, 1)
            for _ in range(10):
                begun = disk.reads
                _, talker = await asyncio.open_connection("127.0.0.1", port)
                talker.write(b"GET /history/20000000000/ HTTP/1.1\r\n\r\n")
                async with asyncio.timeout(20):
                    while disk.reads == begun:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
                linger = struct.pack("ii", 1, 0)  # A reset.
                own = talker.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                talker.transport.abort()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert disk.most == 1


def test_a_history_that_goes_while_it_is_asked_for_is_empty(loop: Loop) -> None:
    disk = LosingDisk()

    async def main() -> bytes:
        async with running(disk) as (service, port):
            await tell(port, record(1))
            await until(service, 1)
            disk.lost = True
            reader, talker = await asyncio.open_connection("127.0.0.1", port)
            talker.write(b"GET /history/20000000000/query.json HTTP/1.1\r\n\r\n")
            found = await reader.read()
            talker.close()
            return found

    with asyncio.Runner(loop_factory=loop) as runner:
        answer = runner.run(main())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"[\n\n]\n")
