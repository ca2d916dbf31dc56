"""Twenty thousand records at once: every answer, a restart, and the end of all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from shoal.catalog import service as service_module
from shoal.catalog.page.listing import PAGE_ROWS
from shoal.catalog.service import CatalogService
from shoal.sim.disk import SimulatedDisk
from tests.conformance.test_catalog_service import running
from tests.end_to_end.working import LOOPS

COUNT = 20_000


class Pulse:
    """How long the loop was held up at most, since it was asked last."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    async def beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self._longest_s, last = max(self._longest_s, now - last), now

    def tell(self, deed: str) -> None:
        print(f"{deed:24} held the loop for {self._longest_s * 1e3:5.1f} ms at most")
        self._longest_s = 0.0


@asynccontextmanager
async def beating() -> AsyncIterator[Pulse]:
    pulse = Pulse()
    task = asyncio.get_running_loop().create_task(pulse.beat())
    try:
        yield pulse
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    found = bytearray()
    while piece := await reader.read(1 << 18):
        found += piece
    writer.close()
    head, _, body = bytes(found).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert head.startswith(b"HTTP/1.1 200")
    return body


def fill(service: CatalogService) -> None:
    now = time.time()
    for n in range(COUNT):
        data = b'{"type":"many","owner":"o%d","port":%d}' % (n % 50, n)
        host = f"Host{n % 777}"
        service._keep(service.catalog.offer(data, f"10.0.{n % 200}.1", host, now))


FORMS: list[tuple[str, Callable[[bytes], int]]] = [
    ("/query.json", lambda body: len(json.loads(body))),
    (
        f"/query/{'b3duZXI9PSJvNyI='}",  # owner=="o7"
        lambda body: 50 * len(json.loads(body)),
    ),
    ("/query.text", lambda body: body.count(b"\n\n")),
    ("/query.newclassads", lambda body: body.count(b"\n]\n")),
    ("/", lambda body: COUNT // PAGE_ROWS * body.count(b"/detail/")),
]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_twenty_thousand_are_shown_kept_and_let_go(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimulatedDisk()

    async def main() -> None:
        await first(disk)
        await second(disk)

    monkeypatch.setattr(service_module, "TICK_S", 0.01)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


async def first(disk: SimulatedDisk) -> None:
    """All forms of all records; then they are written down."""
    async with running(disk) as (service, port), beating() as pulse:
        fill(service)
        names = [entry.name.lower() for entry in service.catalog.in_order()]
        assert names == sorted(names)
        await all_forms(service, port, pulse)


async def all_forms(service: CatalogService, port: int, pulse: Pulse) -> None:
    await asyncio.sleep(0)
    pulse.tell("filling")
    for path, count in FORMS:
        body = await get(port, path)
        pulse.tell(path)
        assert count(body) == COUNT
        await asyncio.sleep(0)
        pulse.tell("(our own counting)")


async def second(disk: SimulatedDisk) -> None:
    """They are taken up from the history; then all end at once."""
    async with beating() as pulse, running(disk) as (service, port):
        pulse.tell("taking up")
        assert len(service.catalog.entries) == COUNT
        far = time.time() + 1800 + 60
        for entry in service.catalog.entries.values():
            assert entry.expires < far
        await end_of_all(service, port, pulse)


async def end_of_all(service: CatalogService, port: int, pulse: Pulse) -> None:
    now = time.time()
    for entry in list(service.catalog.entries.values()):
        entry.expires = now
        service.catalog._look_then(entry, now)
    await asyncio.sleep(0)
    pulse.tell("(our own changes)")
    assert await get(port, "/query.json") == b"[\n\n]\n"
    pulse.tell("the end of all")
    assert service.catalog.deadline > now
