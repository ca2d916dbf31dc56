"""What once wedged a link, lost an answer or grew without bound, one test each."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw

from shoal.core import links as wire
from shoal.core.flight import Request
from shoal.core.frames import framed
from shoal.core.handshake import LINK
from shoal.core.links import NoWay, Post, Relayed
from shoal.core.machine import PeerId
from shoal.errors import Misuse
from shoal.net import links as net_links
from shoal.net.asking import MAX_BODY_BYTES
from tests.conformance.hosts import LOOPS, Host, Loop, echo, hosts, run, until

pytestmark = pytest.mark.parametrize("loop", LOOPS)


async def meet(one: Host, other: Host) -> None:
    other.links.serve("echo", echo)
    assert bytes(await one.links.ask(other.name, "echo", b"\1", within_s=5)) == b"\1"


def test_a_neighbour_that_knows_no_way_does_not_close_the_direct_one(
    loop: Loop,
) -> None:
    async def main() -> None:
        async with hosts(3) as [a, b, c]:
            await meet(a, b)
            await meet(a, c)
            c.links.connected()[a.name][0].write(NoWay(b.name))
            await meet(a, c)  # It has come by now.
            await meet(a, b)

    run(loop, main())


def test_the_lesser_twin_stays_when_the_better_has_died(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_links, "TWIN_S", 0.2)

    async def main() -> None:
        async with hosts(2) as [a, b]:
            await meet(a, b)
            await a.links.dialler.dial(b.address, LINK)
            twins = a.links.connected()[b.name]
            assert len(twins) == 2
            twins[0].transport.abort()
            await asyncio.sleep(0.3)
            await meet(a, b)
            assert len(a.links.connected()[b.name]) == 1

    run(loop, main())


def test_an_answer_finds_its_asker_though_its_link_has_closed(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            gate = asyncio.Event()

            async def slow(*_: Any) -> bytes:
                await gate.wait()
                return b"\7"

            await meet(a, b)
            b.links.serve("slow", slow)
            asked = a.links.ask(b.name, "slow", b"\0", within_s=5)
            await asyncio.sleep(0.05)
            old = a.links.connected()[b.name][0]
            await a.links.dialler.dial(b.address, LINK)
            await until(lambda: len(b.links.connected()[a.name]) == 2)
            old.close("the twin serves")
            await until(lambda: len(b.links.connected()[a.name]) == 1)
            gate.set()
            assert bytes(await asked) == b"\7"

    run(loop, main())


def test_who_greets_and_hangs_up_is_not_dialled_without_end(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            greeted = 0

            def hang_up(link: Any, _: bytes) -> None:
                nonlocal greeted
                greeted += 1
                link.transport.abort()

            b.links.trusted = hang_up  # type: ignore[method-assign, assignment]
            a.links.hold([b.name])
            await asyncio.sleep(1)
            assert 1 < greeted < 8

    run(loop, main())


def test_invented_names_leave_nothing_behind(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            await meet(a, b)
            link = b.links.connected()[a.name][0]
            body = Raw(wire.encode([Post("members", Raw(b"\xc0"))]))
            for name in ("invented", a.name):
                link.write(Relayed(PeerId(name), a.name, body))
            await meet(a, b)
            assert a.links._relays == {}

    run(loop, main())


def test_junk_over_a_neighbour_is_not_held_against_it(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(3, know=False) as [a, b, middle]:
            for each in (a, b):
                each.book = {middle.name: middle.address}
                await meet(each, middle)
            junk = Relayed(a.name, b.name, Raw(b"\x93\1\2\3"))
            a.links.connected()[middle.name][0].write(junk)
            await asyncio.sleep(0.1)
            assert not b.links.connected()[middle.name][0].closed

    run(loop, main())


def test_what_is_too_long_is_refused_and_not_lost(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            long = bytes(MAX_BODY_BYTES + 1)
            await meet(a, b)
            b.links.serve("long", lambda *_: long)
            with pytest.raises(Misuse, match="too long"):
                await a.links.ask(b.name, "long", b"\0", within_s=5)
            with pytest.raises(Misuse, match="too long"):
                a.links.ask(b.name, "echo", long, within_s=5)
            with pytest.raises(Misuse, match="too long"):
                a.links.post(b.name, "echo", long)
            await meet(a, b)

    run(loop, main())


def test_who_asks_and_never_reads_is_cut_off(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.net.link.BRIM_BYTES", 1 << 22)

    async def main() -> None:
        async with hosts(2) as [a, b]:
            await meet(a, b)
            b.links.serve("long", lambda *_: bytes(1 << 18))
            link = a.links.connected()[b.name][0]
            theirs = b.links.connected()[a.name][0]
            link.transport.pause_reading()
            request = Request(1, "long", 9000, Raw(b"\0"))
            for _ in range(60):
                if not link.closed:
                    link.transport.write(framed(wire.encode([request] * 2)))
                await asyncio.sleep(0)
            await until(lambda: theirs.closed)

    run(loop, main())
