"""Any client at any peer for any key: what others answer stands in its place."""

import asyncio
import json
from random import Random

import pytest

from shoal.core.frames import framed
from shoal.core.machine import PeerId
from shoal.sim.disk import SimulatedDisk
from shoal.table.messages import MAX_VALUE_BYTES
from shoal.table.recovery import Remains
from shoal.table.routes import HOPELESS, NOBODY
from shoal.table.storage import Log
from tests.conformance.fleet import LIMIT_S, at, fleet, hear, line, looped, say, told
from tests.conformance.tables import StubbornDisk, log_on


@looped
async def test_any_peer_answers_for_any_key() -> None:
    async with fleet() as ours:
        for name in "abc":
            await told(await at(ours, name), b"+OK\r\n", (b"SET", b"b1", name.encode()))
        for name in "abc":
            await told(await at(ours, name), b"$1\r\nc\r\n", (b"GET", b"b1"))
        assert ours.held("b") == {b"b1": b"c"}
        assert ours.held("a") == ours.held("c") == {}


@looped
async def test_answers_keep_the_order_of_the_questions() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(
            wire,
            b"+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n+PONG\r\n$1\r\n3\r\n$-1\r\n:3\r\n:4\r\n",
            (b"SET", b"a1", b"1"),
            (b"SET", b"b1", b"2"),
            (b"GET", b"a1"),
            (b"SET", b"c1", b"3"),
            (b"PING",),
            (b"GET", b"c1"),
            (b"GET", b"b2"),
            (b"INCR", b"b1"),
            (b"INCR", b"c1"),
        )


@pytest.mark.parametrize("seed", range(20))
@looped
async def test_a_client_sees_its_own_writes_in_order(seed: int) -> None:
    """Whatever overtakes whatever: against one table that does all in turn."""
    rng = Random(seed)
    async with fleet(seed) as ours:
        wire, model, expected = await at(ours, "a"), dict[bytes, int](), b""
        for _ in range(8):
            asked: list[tuple[bytes, ...]] = []
            for _ in range(rng.randrange(1, 30)):
                key = rng.choice([b"a1", b"b1", b"b2", b"c1"])
                match rng.randrange(4):
                    case 0:
                        number = rng.randrange(100)
                        asked.append((b"SET", key, b"%d" % number))
                        model[key] = number
                        expected += b"+OK\r\n"
                    case 1:
                        asked.append((b"INCR", key))
                        model[key] = model.get(key, 0) + 1
                        expected += b":%d\r\n" % model[key]
                    case 2:
                        asked.append((b"DEL", key, b"b1"))
                        gone = {key, b"b1"} & set(model)
                        for each in gone:
                            del model[each]
                        both = 2 if key == b"b1" else 0
                        expected += b":%d\r\n" % min(len(gone), both or len(gone))
                    case _:
                        asked.append((b"MGET", key, b"a1"))
                        expected += b"*2\r\n" + _bulk(model, key) + _bulk(model, b"a1")
            await say(wire, *asked)
            await asyncio.sleep(rng.choice([0, 0.001]))
        assert await hear(wire, len(expected)) == expected


def _bulk(model: dict[bytes, int], key: bytes) -> bytes:
    if key not in model:
        return b"$-1\r\n"
    text = b"%d" % model[key]
    return b"$%d\r\n%b\r\n" % (len(text), text)


@looped
async def test_keys_of_several_peers_in_one_command() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(
            wire,
            b"+OK\r\n*4\r\n$1\r\n3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n:2\r\n:2\r\n:1\r\n",
            (b"MSET", b"a1", b"1", b"b1", b"2", b"c1", b"3"),
            (b"MGET", b"c1", b"a1", b"b9", b"b1"),
            (b"EXISTS", b"a1", b"c1", b"c9"),
            (b"DEL", b"a1", b"b1", b"b9"),
            (b"TOUCH", b"a1", b"c1"),
        )
        assert ours.held("c") == {b"c1": b"3"}


@looped
async def test_what_the_owner_refuses_is_told() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        assert await line(wire, b"SET", b"b1", b"x") == b"+OK\r\n"
        assert b"not an integer" in await line(wire, b"INCR", b"b1")
        assert b"wrong number" in await line(wire, b"MSET", b"a1", b"1", b"b1")
        long = bytes(MAX_VALUE_BYTES + 1)
        assert b"the longest are" in await line(wire, b"SET", b"b1", long)
        assert b"the longest are" in await line(wire, b"MSET", b"a1", b"", b"b1", long)
        assert ours.held("b") == {b"b1": b"x"}


@looped
async def test_the_longest_values_travel() -> None:
    async with fleet() as ours:
        wire, value = await at(ours, "a"), bytes(MAX_VALUE_BYTES)
        keys = [b"b1", b"b2", b"b3"]
        pairs = [word for key in keys for word in (key, value)]
        await told(wire, b"+OK\r\n", (b"MSET", *pairs))
        bulk = b"$%d\r\n%b\r\n" % (len(value), value)
        await told(wire, b"*3\r\n" + 3 * bulk, (b"MGET", *keys))
        await told(wire, 3 * bulk, *[(b"GET", key) for key in keys])


@looped
async def test_silence_is_kept() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(
            wire,
            b"$1\r\n1\r\n",
            (b"CLIENT", b"REPLY", b"SKIP"),
            (b"SET", b"b1", b"1"),
            (b"GET", b"b1"),
        )


@looped
async def test_an_answer_is_in_the_version_that_its_client_chose() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await say(wire, (b"GET", b"b1"), (b"HELLO", b"3"), (b"GET", b"b1"))
        assert await hear(wire, 5) == b"$-1\r\n"
        async with asyncio.timeout(LIMIT_S):
            assert (await wire[0].readuntil(b"_\r\n")).startswith(b"%7\r\n")


@looped
async def test_verbs_and_lines_are_forwarded_too() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        asked = [b"put b1 x y", b"get b1", b"find b1", b"get c1", b"rem b1", b"rem b1"]
        wire[1].write(b"".join(map(framed, asked)))
        answers = [b"SUCCESS", b"x y", b"=x y", b"NONE", b"SUCCESS", b"FAILURE"]
        expected = b"".join(map(framed, answers))
        assert await hear(wire, len(expected)) == expected

        wire = await at(ours, "a")
        for request, answer in (
            ({"method": "insert", "key": "c1", "value": [1, "é"]}, None),
            ({"method": "query", "key": "c1"}, True),
            ({"method": "lookup", "key": "c1"}, [1, "é"]),
            ({"method": "remove", "key": "c1"}, [1, "é"]),
            ({"method": "query", "key": "c1"}, False),
        ):
            wire[1].write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(LIMIT_S):
                reply = json.loads(await wire[0].readline())
            assert reply == {"status": "OK", "result": answer}
        wire[1].write(b'{"method":"lookup","key":"b9"}\n')
        async with asyncio.timeout(LIMIT_S):
            assert json.loads(await wire[0].readline())["type"] == "KeyError"


@looped
async def test_many_clients_share_messages() -> None:
    async with fleet() as ours:
        wires = [await at(ours, "a") for _ in range(50)]
        for n, wire in enumerate(wires):
            await told(wire, b"+OK\r\n", (b"SET", b"b%d" % n, b"%d" % n))
        before = ours.sea.asked
        for n, wire in enumerate(wires):
            await say(wire, *[(b"GET", b"b%d" % n)] * 100)
        for n, wire in enumerate(wires):
            bulk = b"$%d\r\n%d\r\n" % (len(str(n)), n)
            assert await hear(wire, 100 * len(bulk)) == 100 * bulk
        assert ours.sea.asked - before < 500, "5,000 requests, and not a message each"


# When it cannot be


@looped
async def test_an_owner_that_cannot_be_reached_is_named() -> None:
    async with fleet() as ours:
        ours.charts["a"].patience_s = 0.0
        ours.sea.gone.add("b")
        wire = await at(ours, "a")
        answer = await line(wire, b"SET", b"b1", b"1")
        assert answer.startswith(b"-CLUSTERDOWN NOQUORUM the way to b broke")
        assert await line(wire, b"SET", b"c1", b"1") == b"+OK\r\n"
        ours.sea.gone.clear()
        assert await line(wire, b"SET", b"b1", b"1") == b"+OK\r\n"


@pytest.mark.parametrize("acted", [True, False])
@looped
async def test_nobody_knows_whether_a_lost_change_was_made(acted: bool) -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        (ours.sea.torn if acted else ours.sea.deaf).add("b")
        assert (await line(wire, b"INCR", b"b1")).startswith(b"-UNKNOWN ")
        ours.sea.torn.clear()
        ours.sea.deaf.clear()
        assert ours.held("b") == ({b"b1": b"1"} if acted else {}), "done once at most"
        await told(wire, b"$1\r\n1\r\n" if acted else b"$-1\r\n", (b"GET", b"b1"))


@looped
async def test_a_lost_read_is_asked_again() -> None:
    async with fleet() as ours:
        wire = await at(ours, "a")
        await told(wire, b"+OK\r\n", (b"SET", b"b1", b"1"))
        ours.sea.torn.add("b")
        await say(wire, (b"GET", b"b1"))
        await asyncio.sleep(0.2)
        ours.sea.torn.clear()
        assert await hear(wire, 7) == b"$1\r\n1\r\n"


@looped
async def test_a_part_that_was_done_is_not_hidden() -> None:
    async with fleet() as ours:
        ours.charts["a"].patience_s = 0.0
        ours.sea.gone.add("c")
        wire = await at(ours, "a")
        answer = await line(wire, b"MSET", b"a1", b"1", b"b1", b"2", b"c1", b"3")
        assert answer.startswith(b"-UNKNOWN 2 of 3 keys are as asked")
        assert (await line(wire, b"MGET", b"a1", b"c1")).startswith(b"-CLUSTERDOWN")


# Whose a key is may change


@looped
async def test_who_waits_for_an_owner_is_served_when_there_is_one() -> None:
    async with fleet() as ours:
        ours.charts["a"].learn("b", NOBODY)
        wire = await at(ours, "a")
        await say(wire, (b"SET", b"b1", b"1"), (b"GET", b"b1"))
        await asyncio.sleep(0.05)
        ours.charts["a"].learn("b", PeerId("b"))
        assert await hear(wire, 12) == b"+OK\r\n$1\r\n1\r\n"
        assert ours.held("b") == {b"b1": b"1"}


@looped
async def test_nobody_is_waited_for_for_ever() -> None:
    async with fleet() as ours:
        ours.charts["a"].patience_s = 0.3
        ours.charts["a"].learn("b", NOBODY)
        wire = await at(ours, "a")
        assert b"-CLUSTERDOWN NOQUORUM nobody owns" in await line(wire, b"GET", b"b1")
        ours.charts["a"].patience_s = LIMIT_S
        ours.charts["a"].learn("b", HOPELESS)
        assert b"too few others" in await line(wire, b"GET", b"b1")


@looped
async def test_who_is_not_the_owner_does_nothing_and_says_so() -> None:
    async with fleet() as ours:
        ours.hand_over("b", PeerId("c"), all_know=False)
        wire = await at(ours, "a")
        await say(wire, (b"INCR", b"b1"), (b"INCR", b"b1"), (b"INCR", b"a1"))
        await asyncio.sleep(0.05)
        assert ours.held("b") == ours.held("c") == {}
        ours.charts["a"].learn("b", PeerId("c"))
        assert await hear(wire, 12) == b":1\r\n:2\r\n:1\r\n"
        assert ours.held("c") == {b"b1": b"2"}


@looped
async def test_what_becomes_ours_while_we_ask_is_done_here() -> None:
    async with fleet() as ours:
        ours.charts["b"].learn("b", PeerId("a"))
        wire = await at(ours, "a")
        await say(wire, (b"INCR", b"b1"), (b"SET", b"c1", b"1"), (b"INCR", b"b1"))
        await asyncio.sleep(0.05)
        ours.charts["a"].learn("b", PeerId("a"))
        assert await hear(wire, 13) == b":1\r\n+OK\r\n:2\r\n"
        assert ours.held("a") == {b"b1": b"2"}


# Disks


@looped
async def test_an_answer_waits_for_the_disk_of_its_owner() -> None:
    disk = SimulatedDisk()
    storages = {"b": Log(disk, PeerId("b"), Random(0))}
    async with fleet(storages=storages) as ours:
        wire = await at(ours, "a")
        await told(wire, b"+OK\r\n:2\r\n", (b"SET", b"b1", b"1"), (b"INCR", b"b1"))
        disk.crash("lost", Random(1))
        kept = Remains(Log(disk, PeerId("b"), Random(0)).recover()).entries
        assert kept[b"b1"].value == b"2"


@looped
async def test_a_full_disk_at_the_owner_refuses_what_it_does_and_no_more() -> None:
    disk = StubbornDisk()
    async with fleet(storages={"b": log_on(disk)}) as ours:
        wire = await at(ours, "a")
        await told(wire, b"+OK\r\n", (b"SET", b"b1", b"1"))
        disk.full = True
        await say(
            wire, (b"SET", b"a1", b"1"), (b"SET", b"b1", b"2"), (b"SET", b"c1", b"1")
        )
        async with asyncio.timeout(LIMIT_S):
            answers = [await wire[0].readline() for _ in range(3)]
        assert answers[0] == answers[2] == b"+OK\r\n"
        assert answers[1].startswith(b"-NOSPACE")
        await told(wire, b"$1\r\n1\r\n", (b"GET", b"b1"))
        disk.full = False
        await told(wire, b"+OK\r\n", (b"SET", b"b1", b"2"))


@looped
async def test_a_full_disk_here_refuses_what_is_done_here_and_no_more() -> None:
    disk = StubbornDisk()
    async with fleet(storages={"a": log_on(disk)}) as ours:
        wire = await at(ours, "a")
        disk.full = True
        await say(wire, (b"SET", b"a1", b"1"), (b"SET", b"b1", b"2"), (b"GET", b"a9"))
        async with asyncio.timeout(LIMIT_S):
            answers = [await wire[0].readline() for _ in range(3)]
        assert answers[1] == b"+OK\r\n"
        assert all(each.startswith(b"-NOSPACE") for each in (answers[0], answers[2]))
        assert ours.held("b") == {b"b1": b"2"}


@looped
async def test_who_goes_while_others_answer_harms_nobody() -> None:
    async with fleet() as ours:
        ours.sea.slowest_s = 0.05
        for _ in range(20):
            wire = await at(ours, "a")
            await say(wire, (b"INCR", b"b1"))
            wire[1].close()
        stays = await at(ours, "a")
        async with asyncio.timeout(LIMIT_S):
            while await line(stays, b"GET", b"b1") != b"$2\r\n":
                await stays[0].readline()
