"""Who watches a key at any peer is told each change once, in order; or is cut off."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from itertools import chain

from shoal.client.news import Change, News
from shoal.core.machine import Address, PeerId
from shoal.sim.disk import SimulatedDisk
from shoal.table.outbox import UNHEARD_BYTES
from shoal.table.redis.replies import Push, encode
from shoal.table.routes import HOPELESS, NOBODY
from tests.conformance.fleet import LIMIT_S, Fleet, at, fleet, hear, looped, say, told
from tests.conformance.tables import Wire, log_on


def push(*items: bytes | None) -> bytes:
    return encode(Push(list(items)), 2)


def feed(key: bytes, value: bytes | None) -> bytes:
    return push(b"feed", key, value)


def change(key: bytes, value: bytes | None) -> bytes:
    return push(b"change", key, value)


async def heard(wire: Wire, expected: bytes) -> None:
    assert await hear(wire, len(expected)) == expected


async def is_cut_off(wire: Wire) -> None:
    """At once or later, and nothing is told before."""
    async with asyncio.timeout(LIMIT_S):
        try:
            assert await wire[0].read(1) == b""
        except ConnectionError:
            return


async def until_nobody_watches(ours: Fleet, owner: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while ours.shops[owner].service.table.feed:  # noqa: ASYNC110 - it is no event.
            await asyncio.sleep(0.01)


@looped
async def test_any_peer_tells_of_any_key() -> None:
    async with fleet() as ours:
        writer = await at(ours, "c")
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"old"))
        watching = [await at(ours, name) for name in "abc"]
        for each in watching:
            expected = feed(b"b1", b"old") + feed(b"c1", None)
            await told(each, expected, (b"FEED", b"b1", b"c1"))
        for n in range(100):
            value = b"%d" % n
            await told(writer, b"+OK\r\n", (b"SET", b"b1", value))
        await told(writer, b":1\r\n", (b"DEL", b"b1"))
        for each in watching:
            for n in range(100):
                await heard(each, change(b"b1", b"%d" % n))
            await heard(each, change(b"b1", None))
        # Only now: of keys of two owners nobody says which was first.
        await told(writer, b"+OK\r\n", (b"SET", b"c1", b"last"))
        for each in watching:
            await heard(each, change(b"c1", b"last"))


@looped
async def test_who_comes_amidst_changes_misses_none_of_those_that_follow() -> None:
    async with fleet(seed=3, storages={"b": log_on(SimulatedDisk())}) as ours:
        writer = await at(ours, "b")
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"0000"))

        async def write() -> None:
            """Many at once, so that some are always seen and not safe yet."""
            for n in range(1, 2001, 10):
                some = [(b"SET", b"b1", b"%04d" % k) for k in range(n, n + 10)]
                await told(writer, b"+OK\r\n" * 10, *some)

        writing = asyncio.create_task(write())
        for _ in range(10):
            wire = await at(ours, "a")
            await say(wire, (b"FEED", b"b1"))
            size = len(feed(b"b1", b"0000"))
            first = await hear(wire, size)
            present = int(first[-6:-2])
            assert first == feed(b"b1", b"%04d" % present)
            for n in range(present + 1, min(present + 30, 2001)):
                await heard(wire, change(b"b1", b"%04d" % n))
            wire[1].close()
        await writing
        await until_nobody_watches(ours, "b")


@looped
async def test_who_comes_later_is_not_told_of_what_was_before() -> None:
    async with fleet() as ours:
        first, second = await at(ours, "a"), await at(ours, "a")
        writer = await at(ours, "b")
        await told(first, feed(b"b1", None), (b"FEED", b"b1"))
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"1"))
        await told(second, feed(b"b1", b"1"), (b"FEED", b"b1"))
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"2"))
        await heard(first, change(b"b1", b"1") + change(b"b1", b"2"))
        await heard(second, change(b"b1", b"2"))
        first[1].close()
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"3"))
        await heard(second, change(b"b1", b"3"))
        second[1].close()
        await until_nobody_watches(ours, "b")
        third = await at(ours, "a")
        await told(third, feed(b"b1", b"3"), (b"FEED", b"b1"))


@looped
async def test_many_keys_of_all_peers_are_answered_in_their_order() -> None:
    async with fleet() as ours:
        keys = [b"%c%d" % (b"abc"[n % 3], n) for n in range(5000)]
        wire = await at(ours, "a")
        expected = b"".join(feed(key, None) for key in keys)
        await told(wire, expected + push(b"pong", b""), (b"FEED", *keys), (b"PING",))
        writer = await at(ours, "c")
        await told(writer, b"+OK\r\n", (b"SET", keys[4999], b"1"))
        await heard(wire, change(keys[4999], b"1"))


@looped
async def test_who_watches_is_cut_off_when_the_owner_changes() -> None:
    async with fleet() as ours:
        near, far = await at(ours, "b"), await at(ours, "a")
        await told(near, feed(b"b1", None), (b"FEED", b"b1"))
        await told(far, feed(b"b1", None), (b"FEED", b"b1"))
        ours.hand_over("b", PeerId("c"))
        await is_cut_off(far)
        await is_cut_off(near)
        again = await at(ours, "a")
        await told(again, feed(b"b1", None), (b"FEED", b"b1"))
        writer = await at(ours, "b")
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"1"))
        await heard(again, change(b"b1", b"1"))


@looped
async def test_who_watches_is_cut_off_when_the_link_breaks() -> None:
    async with fleet() as ours:
        wire, other = await at(ours, "a"), await at(ours, "a")
        await told(wire, feed(b"b1", None), (b"FEED", b"b1"))
        await told(other, feed(b"c1", None), (b"FEED", b"c1"))
        ours.sea.torn.add("b")
        await is_cut_off(wire)
        ours.sea.torn.clear()
        again = await at(ours, "a")
        await told(again, feed(b"b1", None), (b"FEED", b"b1"))
        writer = await at(ours, "b")
        await told(writer, b"+OK\r\n", (b"SET", b"b1", b"1"))
        await told(writer, b"+OK\r\n", (b"SET", b"c1", b"1"))
        await heard(again, change(b"b1", b"1"))
        await heard(other, change(b"c1", b"1"))


@looped
async def test_who_begins_waits_for_an_owner_while_there_is_patience() -> None:
    async with fleet() as ours:
        ours.hand_over("b", NOBODY)
        wire = await at(ours, "a")
        await say(wire, (b"FEED", b"b1", b"a1"))
        await asyncio.sleep(0.1)
        ours.hand_over("b", PeerId("a"))
        await heard(wire, feed(b"b1", None) + feed(b"a1", None))
        await told(await at(ours, "c"), b"+OK\r\n", (b"SET", b"b1", b"1"))
        await heard(wire, change(b"b1", b"1"))


@looped
async def test_who_begins_without_an_owner_is_refused() -> None:
    async with fleet() as ours:
        ours.hand_over("c", HOPELESS)
        ours.sea.gone.add("b")
        wire = await at(ours, "a")
        for key in (b"b1", b"c1"):
            await say(wire, (b"FEED", key))
            async with asyncio.timeout(LIMIT_S):
                assert (await wire[0].readline()).startswith(b"-CLUSTERDOWN NOQUORUM")


@looped
async def test_who_is_asked_for_what_is_elsewhere_says_so() -> None:
    """Peers may believe different things for a while."""
    async with fleet() as ours:
        ours.charts["a"].learn("b", PeerId("c"))
        wire = await at(ours, "a")
        await say(wire, (b"FEED", b"b1"))
        await asyncio.sleep(0.1)
        ours.charts["a"].learn("b", PeerId("b"))
        await heard(wire, feed(b"b1", None))


@looped
async def test_a_peer_that_does_not_listen_is_told_no_more() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(wire, feed(b"b1", None), (b"FEED", b"b1"))
        ours.sea.slowest_s = LIMIT_S / 2
        writer = await at(ours, "b")
        value = bytes(4 << 20)
        for _ in range(2 + UNHEARD_BYTES // len(value)):
            await told(writer, b"+OK\r\n", (b"SET", b"b1", value))
        await until_nobody_watches(ours, "b")


@looped
async def test_a_peer_that_is_gone_is_forgotten() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(wire, feed(b"b1", None), (b"FEED", b"b1"))
        ours.sea.gone.add("b")
        await is_cut_off(wire)
        await until_nobody_watches(ours, "b")


@looped
async def test_our_client_begins_again_and_tells_what_is_another_value() -> None:
    async with fleet() as ours:
        address = Address(f"127.0.0.1:{ours.shops['a'].port}")
        keys = [b"b1", b"b2", b"a1"]
        news = await asyncio.to_thread(News, address, keys, LIMIT_S)
        changes = chain.from_iterable(news)
        with closing(news):
            writer = await at(ours, "c")
            await told(writer, b"+OK\r\n", (b"SET", b"b1", b"1"))
            assert await next_of(changes) == (b"b1", b"1")
            await told(await at(ours, "b"), b"+OK\r\n", (b"SET", b"b2", b"theirs"))
            assert await next_of(changes) == (b"b2", b"theirs")
            # Here b1 has the same again, and b2 something else.
            ours.charts["c"].learn("b", PeerId("c"))
            await told(writer, b"+OK\r\n", (b"SET", b"b1", b"1"))
            await told(writer, b"+OK\r\n", (b"SET", b"b2", b"2"))
            ours.hand_over("b", PeerId("c"))
            assert await next_of(changes) == (b"b2", b"2")
            await told(writer, b"+OK\r\n", (b"SET", b"b1", b"3"))
            assert await next_of(changes) == (b"b1", b"3")
            await told(writer, b"+OK\r\n", (b"SET", b"a1", b"4"))
            assert await next_of(changes) == (b"a1", b"4")


async def next_of(changes: Iterator[Change]) -> Change:
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.to_thread(next, changes)


@looped
async def test_who_watches_at_one_peer_is_told_as_one_after_the_other() -> None:
    """Two clients of one peer, who come and go while the key changes."""
    async with fleet(seed=5) as ours:
        writer, stays = await at(ours, "b"), await at(ours, "a")
        await told(stays, feed(b"b1", None), (b"FEED", b"b1"))
        for n in range(50):
            value = b"%02d" % n
            comes = await at(ours, "a")
            await told(writer, b"+OK\r\n", (b"SET", b"b1", value))
            await told(comes, feed(b"b1", value), (b"FEED", b"b1"))
            comes[1].close()
        await heard(stays, b"".join(change(b"b1", b"%02d" % n) for n in range(50)))
