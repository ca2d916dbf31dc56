"""Whom a newcomer on the local network joins, whatever is said there."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shoal.core.machine import Address, PeerId
from shoal.net import lan as lan_module
from shoal.net.lan import MAX_ASKED, Lan, Neighbour

REAL = ["10.0.0.9:1", "10.0.0.9:2"]

Answer = Callable[[list[Address]], Awaitable[list[Address]]]


class Quiet(Lan):
    """One that is heard by nobody, and hears what a test says."""

    def __init__(self, peer: str = "m") -> None:
        super().__init__(None, PeerId(peer), "p", "10.0.0.1")  # type: ignore[arg-type]

    async def _say(self, network: str, address: Address) -> None:
        pass

    def hear(self, address: str, network: str, peer: str = "") -> None:
        name = peer or address
        self._seen[name] = Neighbour(name, "p", network, Address(address))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK_S", 0.2), ("FOUND_S", 0.5), ("STEP_S", 0.01)):
        monkeypatch.setattr(lan_module, name, seconds)


def answering(*peers: str, after_s: float = 0.0) -> Answer:
    async def among(asked: list[Address]) -> list[Address]:
        await asyncio.sleep(after_s)
        return [each for each in asked if each in peers]

    return among


def find(lan: Quiet, among: Answer, network: str = "") -> list[Address]:
    async def main() -> list[Address]:
        async with asyncio.timeout(20):
            return await lan.find(network, among)

    return asyncio.run(main())


def test_of_two_networks_the_first_by_name_is_joined() -> None:
    lan = Quiet()
    for address, network in ((REAL[0], "b"), ("10.0.0.8:1", "a"), (REAL[1], "b")):
        lan.hear(address, network)
    assert find(lan, answering(*REAL, "10.0.0.8:1")) == ["10.0.0.8:1"]
    assert find(lan, answering(*REAL, "10.0.0.8:1"), "b") == REAL


def test_a_thousand_lures_of_one_network_hide_no_other() -> None:
    lan = Quiet()
    for n in range(1000):
        lan.hear(f"10.0.0.1:{n + 1}", "a")
    lan.hear(REAL[0], "z")
    assert find(lan, answering(*REAL)) == REAL[:1]


def test_a_lure_that_moves_is_not_followed_for_ever() -> None:
    lan, asked = Quiet(), list[Address]()

    async def among(some: list[Address]) -> list[Address]:
        asked.extend(some)
        lan.hear(f"10.0.0.1:{len(asked) + 1}", "a", "lure")
        return []

    lan.hear("10.0.0.1:1", "a", "lure")
    assert find(lan, among) == []
    assert len(asked) == MAX_ASKED


def test_two_who_start_beside_slow_lures_found_one_network() -> None:
    lans = {name: Quiet(name) for name in "mn"}
    for lan in lans.values():
        for n in range(20):
            lan.hear(f"10.0.0.1:{n + 1}", "a")
    lans["m"].hear("10.0.0.3:0", "", "n")
    lans["n"].hear("10.0.0.2:0", "", "m")
    slow = answering(REAL[0], after_s=0.3)

    async def found() -> list[Address]:
        there = await lans["m"].find("", slow)
        await asyncio.sleep(0.1)  # It is up.
        lans["n"].hear(REAL[0], "m's", "m")
        return there

    async def main() -> None:
        there = await asyncio.gather(found(), lans["n"].find("", slow))
        assert list(there) == [[], REAL[:1]]

    asyncio.run(main())
