"""Names of hosts: whoever has none, or a slow name server, delays nobody else."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from shoal.catalog import hosts as module
from shoal.catalog.hosts import MAX_LOOKUPS, Hosts
from tests.end_to_end.cluster import wait_until

Told = list[tuple[str, str | None]]


class Asker:
    """Asks, and remembers what it is told."""

    def __init__(self) -> None:
        self.hosts, self.told = Hosts(), Told()

    def ask(self, address: str, size_bytes: int = 100) -> None:
        self.hosts.ask(
            address, size_bytes, lambda name: self.told.append((address, name))
        )

    async def wait_told(self, count: int) -> Told:
        async with asyncio.timeout(20):
            while len(self.told) < count:  # noqa: ASYNC110 - nothing tells of it.
                await asyncio.sleep(0.005)
        return self.told


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Names of 10.9.0.0/16 are known when this is set, and waited for one second."""
    release = threading.Event()

    def name_of(address: str) -> str | None:
        if address.startswith("10.9."):
            release.wait(20)
            return "late"
        return f"host-{address}"

    monkeypatch.setattr(module, "_name_of", name_of)
    monkeypatch.setattr(module, "LOOKUP_S", 1.0)
    yield release
    release.set()
    wait_until(lambda: "hosts" not in _threads(), 10, "threads to end")


def test_a_slow_name_server_delays_its_own_alone(slow: threading.Event) -> None:
    async def main() -> None:
        asker = Asker()
        for n in range(5):
            asker.ask(f"10.9.0.{n}")
        asker.ask("10.1.0.1")
        asker.ask("10.1.0.1")
        assert await asker.wait_told(2) == [("10.1.0.1", "host-10.1.0.1")] * 2
        asker.ask("10.1.0.1")  # It is known now.
        assert len(asker.told) == 3
        told = await asker.wait_told(8)
        assert {name for it, name in told if it.startswith("10.9.")} == {None}
        assert asker.hosts._waiting_bytes == 0
        asker.hosts.close()

    asyncio.run(main())


def test_invented_addresses_and_large_updates_wait_for_no_name(
    slow: threading.Event,
) -> None:
    async def main() -> None:
        asker = Asker()
        asker.ask("10.1.0.2", 1 << 40)
        assert asker.told == [("10.1.0.2", None)]
        slow.set()
        for n in range(MAX_LOOKUPS + 10):
            asker.ask(f"10.{n % 7 + 20}.{n // 250}.{n % 250}")
        assert len(asker.told) >= 1 + 9
        await asker.wait_told(1 + MAX_LOOKUPS + 10)
        asker.hosts.close()

    asyncio.run(main())
