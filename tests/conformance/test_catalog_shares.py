"""Who gets the processor, and who makes room, in a catalog."""

import asyncio
from time import perf_counter
from typing import cast

import pytest

from shoal.catalog import connection, shares
from shoal.catalog.answers import Answer
from shoal.catalog.connection import Room
from shoal.catalog.shares import MAX_BEGUN, Shares, Work
from shoal.errors import OutOfTime


def busy(turns: int, name: str, ended: list[str]) -> Work[str]:
    """Takes some fifty microseconds a turn."""
    for _ in range(turns):
        end = perf_counter() + 50e-6
        while perf_counter() < end:
            pass
        yield
    ended.append(name)
    return name


def test_who_asks_for_little_is_served_before_those_who_came_first() -> None:
    async def main() -> None:
        mine, ended = Shares(), list[str]()
        long = [mine.carry_out(busy(300, "long", ended), "h") for _ in range(20)]
        short = mine.carry_out(busy(2, "short", ended), "h")
        other = mine.carry_out(busy(2, "other", ended), "another")
        assert list(await asyncio.gather(short, other)) == ["short", "other"]
        assert ended == ["other", "short"]
        assert await asyncio.gather(*long) == ["long"] * 20
        assert not mine._lines
        assert not mine._begun

    asyncio.run(main())


def test_who_asks_for_much_waits_for_the_other_hosts_not_for_all_they_ask() -> None:
    async def main() -> None:
        mine, ended = Shares(), list[str]()
        theirs = [mine.carry_out(busy(100, "theirs", ended), "h") for _ in range(20)]
        await asyncio.sleep(0.01)  # It has taken something already.
        ours = mine.carry_out(busy(100, "ours", ended), "another")
        assert await ours == "ours"
        assert len(ended) < 5  # Of twenty, who had a tenth of their time before.
        assert await asyncio.gather(*theirs) == ["theirs"] * 20
        assert not mine._lines
        assert not mine._waiting
        assert not mine._begun

    asyncio.run(main())


def test_a_host_that_begins_much_has_nobody_else_refused() -> None:
    async def main() -> None:
        mine, ended = Shares(), list[str]()
        crowd = [
            mine.carry_out(busy(400, "one of many", ended), "h")
            for _ in range(3 * MAX_BEGUN)
        ]
        await asyncio.sleep(0.01)
        assert await mine.carry_out(busy(1000, "alone", ended), "another") == "alone"
        for each in crowd:
            asyncio.ensure_future(each).cancel()
        await asyncio.sleep(0)
        assert not mine._begun

    asyncio.run(main())


def test_those_who_have_gone_count_against_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares, "PATIENCE_S", 0.2)

    async def main() -> None:
        mine, ended = Shares(), list[str]()
        long = mine.carry_out(busy(1000, "long", ended), "h")
        for _ in range(2000):
            asyncio.ensure_future(mine.carry_out(busy(9, "gone", ended), "h")).cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(mine._lines["h"].works) < 100
        short = mine.carry_out(busy(2, "short", ended), "h")
        assert list(await asyncio.gather(short, long)) == ["short", "long"]
        assert ended == ["short", "long"]

    asyncio.run(main())


def test_what_takes_too_long_or_most_of_all_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares, "PATIENCE_S", 0.02)

    async def main() -> None:
        mine, ended = Shares(), list[str]()
        with pytest.raises(OutOfTime):
            await mine.carry_out(busy(10**6, "endless", ended), "h")
        crowd = [
            mine.carry_out(busy(20, "one of many", ended), "h")
            for _ in range(MAX_BEGUN + 30)
        ]
        came = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(isinstance(each, OutOfTime) for each in came) < len(came)
        assert not mine._begun
        assert not mine._waiting

    asyncio.run(main())


def test_who_no_longer_waits_and_what_fails_cost_nobody_else() -> None:
    def broken() -> Work[str]:
        yield
        raise ZeroDivisionError

    async def main() -> None:
        mine, ended = Shares(), list[str]()
        gone = asyncio.ensure_future(mine.carry_out(busy(10**6, "gone", ended), "h"))
        gone.cancel()
        with pytest.raises(ZeroDivisionError):
            await mine.carry_out(broken(), "h")
        assert await mine.carry_out(busy(1, "last", ended), "h") == "last"
        assert ended == ["last"]

    asyncio.run(main())


class Visitor(asyncio.Transport):
    """Somebody inside."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_the_host_with_most_inside_makes_room() -> None:
    room, alone = Room(10), Visitor()
    room.enter(alone, "a")
    crowd = [Visitor() for _ in range(30)]
    for each in crowd:
        room.enter(each, "b")
    assert not alone.aborted
    assert [each.aborted for each in crowd] == [True] * 21 + [False] * 9


def test_one_host_has_no_more_inside_than_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_OF_HOST", 4)
    room, crowd = Room(100), [Visitor() for _ in range(12)]
    for n, each in enumerate(crowd):
        room.enter(each, "ab"[n % 2])
    assert [each.aborted for each in crowd] == [True] * 4 + [False] * 8


def test_who_reads_longest_makes_room_for_another_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT_BYTES", 1000)
    room, readers = Room(100), [Visitor() for _ in range(8)]
    shared = Answer(b"", before=(b"x" * 600,))
    for n, each in enumerate(readers):
        room.enter(each, "h")
        room.read(each, shared if n < 4 else Answer(b"", before=(b"x" * 300,)))
    assert room.unsent_bytes <= 1000
    assert [each.aborted for each in readers] == [True] * 4 + [True] + [False] * 3
    assert not room.make_room(2000, but=readers[-1])
    for each in readers:
        room.leave(cast("asyncio.Transport", each))
    assert room.unsent_bytes == 0


def test_a_page_that_is_not_read_makes_room_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT_BYTES", 1000)
    room, readers = Room(100), [Visitor() for _ in range(8)]
    for n, each in enumerate(readers):
        room.enter(each, "h")
        room.read(each, Answer(b"x" * (300 if n else 10)))
    assert room.unsent_bytes <= 1000
    assert [each.aborted for each in readers] == [False] + [True] * 4 + [False] * 3


def test_the_oldest_half_of_an_update_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_UNFINISHED_BYTES", 1000)
    room, tellers = Room(100), [Visitor() for _ in range(5)]
    for each in tellers:
        room.enter(each, "h")
        room.keep(each, 300)
    assert [each.aborted for each in tellers] == [True, True, False, False, False]
    room.forget(tellers[2])
    assert room.unfinished_bytes == 600
