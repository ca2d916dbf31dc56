"""A client of a cluster goes straight to whoever owns a key."""

import asyncio

from redis.asyncio.cluster import RedisCluster

from shoal.core.address import join
from shoal.core.machine import Address, PeerId
from shoal.table.messages import SLOTS
from shoal.table.routes import HERE, Range, Route
from shoal.table.slots import slot_of
from tests.conformance.fleet import Chart, Fleet, fleet, hear, looped, say

# Not one owner after the other, and neighbours that are one range.
UNIT = SLOTS // 8
OWNERS = "aabcabca"


class Slots(Chart):
    """Whose a key is by its slot."""

    def __init__(self, me: str, ours: Fleet) -> None:
        super().__init__(me, {})
        self.me = PeerId(me)
        self._fleet = ours

    def owner(self, key: bytes) -> Route:
        owner = PeerId(OWNERS[slot_of(key) // UNIT])
        return HERE if owner == self.me else owner

    def ranges(self) -> list[Range]:
        return [
            Range(n * UNIT, (n + 1) * UNIT - 1, PeerId(owner))
            for n, owner in enumerate(OWNERS)
        ]

    def address(self, peer: PeerId) -> Address | None:
        return join("127.0.0.1", self._fleet.shops[peer].port)


@looped
async def test_redis_py_asks_owners() -> None:
    async with fleet(chart=Slots) as ours:
        client = RedisCluster(host="127.0.0.1", port=ours.shops["a"].port)
        try:
            await client.initialize()
            assert len(client.get_nodes()) == 3
            for n in range(300):
                await client.set(f"key{n}", n)
            values = [await client.get(f"key{n}") for n in range(300)]
            assert values == [b"%d" % n for n in range(300)]
        finally:
            await client.aclose()
        assert ours.sea.asked == 0
        assert all(len(ours.held(name)) > 50 for name in "abc")


@looped
async def test_what_a_cluster_is_told_of() -> None:
    async with fleet(chart=Slots) as ours:
        wire = await ours.shops["b"].visit()
        port = ours.shops["a"].port
        await say(wire, (b"CLUSTER", b"SLOTS"))
        told = await hear(wire, 9)
        assert told == b"*7\r\n*3\r\n:"[:9], "seven ranges: the first two units are one"
        await wire[0].readuntil(b"$9\r\n127.0.0.1\r\n:%d\r\n" % port)
        other = await ours.shops["b"].visit()
        await say(other, (b"CLUSTER", b"NODES"))
        async with asyncio.timeout(10):
            size = int((await other[0].readline())[1:])
            lines = (await other[0].readexactly(size)).decode().splitlines()
        assert sum("myself,master" in line for line in lines) == 1
        assert sum(f"{port}@{port} master" in line for line in lines) == 1
        (first,) = [line for line in lines if f":{port}@" in line]
        assert first.endswith(
            f"0-{2 * UNIT - 1} {4 * UNIT}-{5 * UNIT - 1} {7 * UNIT}-{SLOTS - 1}"
        )
