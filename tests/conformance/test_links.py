"""Links and streams between peers on real sockets."""

import asyncio
import hashlib
import os
from typing import Any

import pytest
from msgspec import Raw

from shoal.core import hello
from shoal.core.address import join
from shoal.core.frames import FrameReader, framed
from shoal.core.handshake import LINK
from shoal.core.machine import PeerId
from shoal.errors import (
    Misuse,
    Overloaded,
    Refused,
    Stranger,
    Unanswered,
    Unreachable,
)
from shoal.net.dialler import ask_invitation, newcomer
from shoal.net.stream import Stream
from tests.conformance.hosts import LOOPS, Host, Loop, echo, hosts, run, until

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def test_a_request_is_answered_over_a_link_opened_for_it(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            assert not a.links.connected()
            answer = await a.links.ask(b.name, "echo", b"\x05hello"[:1], within_s=5)
            assert bytes(answer) == b"\x05"
            a.links.serve("back", lambda peer, body: b"\x07")
            assert bytes(await b.links.ask(a.name, "back", b"\1", within_s=5)) == b"\7"
            # The second went over the first's link: it serves both ways.
            assert len(a.links.connected()[b.name]) == 1
            assert b.reception.inside == 1
            assert a.reception.inside == 0

    run(loop, main())


def test_many_requests_share_a_link_and_each_gets_its_own_answer(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            bodies = [b"\xce" + n.to_bytes(4) for n in range(3000)]
            asked = [a.links.ask(b.name, "echo", each, within_s=9) for each in bodies]
            assert [bytes(each) for each in await asyncio.gather(*asked)] == bodies
            assert len(a.links.connected()[b.name]) == 1

    run(loop, main())


def test_outcomes_are_told_apart(loop: Loop) -> None:
    async def refuse(*_: Any) -> bytes:
        raise Overloaded("disk: full; free some")

    async def dawdle(*_: Any) -> bytes:
        await asyncio.sleep(60)
        return b"\0"

    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("refuse", refuse)
            b.links.serve("dawdle", dawdle)
            with pytest.raises(Overloaded, match="disk: full"):
                await a.links.ask(b.name, "refuse", b"\0", within_s=5)
            with pytest.raises(Misuse, match="does not serve"):
                await a.links.ask(b.name, "unheard-of", b"\0", within_s=5)
            with pytest.raises(Unanswered, match="may have acted"):
                await a.links.ask(b.name, "dawdle", b"\0", within_s=0.2)
            asked = a.links.ask(b.name, "dawdle", b"\0", within_s=9)
            await asyncio.sleep(0)
            await until(lambda: b.links.connected())
            await b.stop(rudely=True)
            with pytest.raises(Unreachable, match="may have acted"):
                await asked
            with pytest.raises(Unreachable, match="never asked"):
                await a.links.ask(PeerId("nobody"), "echo", b"\0", within_s=5)

    run(loop, main())


def test_a_closed_connection_with_a_refused_redial_is_told_at_once(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            await a.links.ask(b.name, "echo", b"\0", within_s=5)
            await b.stop(rudely=True)
            await until(lambda: a.gone == [b.name])

    run(loop, main())


def test_a_goodbye_is_not_a_death(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            await a.links.ask(b.name, "echo", b"\0", within_s=5)
            await b.stop()
            await until(lambda: not a.links.connected())
            await asyncio.sleep(0.05)
            assert a.gone == []

    run(loop, main())


def test_peers_that_dial_each_other_at_once_agree_on_one_link(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            a.links.serve("echo", echo)
            b.links.serve("echo", echo)
            await asyncio.gather(
                *(a.links.ask(b.name, "echo", b"\1", within_s=5) for _ in range(9)),
                *(b.links.ask(a.name, "echo", b"\2", within_s=5) for _ in range(9)),
            )
            ours = a.links.connected()[b.name][0].transport
            theirs = b.links.connected()[a.name][0].transport
            assert ours.get_extra_info("sockname") == theirs.get_extra_info("peername")

    run(loop, main())


def test_another_network_a_wrong_token_and_a_stolen_name_are_refused(
    loop: Loop,
) -> None:
    async def main() -> None:
        async with hosts(1) as [a]:
            foreign = Host(2, b"another secret!!")
            await foreign.start()
            with pytest.raises(Stranger, match="is of network"):
                await foreign.links.dialler.dial(a.address, LINK)
            liar = Host(3, b"another secret!!")
            await liar.start()
            object.__setattr__(liar.membership, "network", a.membership.network)
            with pytest.raises(Stranger, match="does not know the token"):
                await liar.links.dialler.dial(a.address, LINK)
            thief = Host(4)
            await thief.start()
            thief.identity.peer = Host(5).name
            theirs = await thief.links.dialler.dial(a.address, LINK)
            await until(lambda: theirs.closed)  # Its proof came after ours: too late.
            twin = Host(1)
            await twin.start()
            with pytest.raises(Stranger, match="our own name"):
                await twin.links.dialler.dial(a.address, LINK)
            assert not a.links.connected()
            for each in (foreign, liar, thief, twin):
                await each.stop()

    run(loop, main())


def test_a_recorded_greeting_opens_nothing(loop: Loop) -> None:
    """Everything a dialler once sent, sent again, finds another nonce."""

    async def main() -> None:
        async with hosts(2) as [a, b]:
            said = bytearray()
            server = await asyncio.start_server(
                lambda reader, writer: eavesdrop(reader, writer, b.port, said),
                "127.0.0.1",
                0,
            )
            port = server.sockets[0].getsockname()[1]
            link = await a.links.dialler.dial(join("127.0.0.1", port), LINK)
            await until(lambda: len(said) > 200 and b.links.connected())
            link.close("recorded")
            await until(lambda: not b.links.connected())
            reader, writer = await b.visit()
            writer.write(bytes(said))
            heard = await reader.read()
            last = FrameReader().feed(heard)[-1]
            assert isinstance(hello.decode(last), hello.Decline)
            assert not b.links.connected()
            server.close()

    run(loop, main())


async def eavesdrop(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    port: int,
    said: bytearray,
) -> None:
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, tape: bytearray
    ) -> None:
        while data := await source.read(4096):
            tape += data
            sink.write(data)
        sink.close()

    await asyncio.gather(
        pump(reader, there_writer, said), pump(there_reader, writer, bytearray())
    )


def test_an_open_network_invites_and_a_closed_one_does_not(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [closed]:
            guest = Host(9)
            here = join("127.0.0.1", 1)
            introduction = newcomer(here, guest.identity.public, guest.name)
            with pytest.raises(Stranger, match="not open to newcomers"):
                await ask_invitation(closed.address, introduction)
            generous = Host(2)
            await generous.start(inviting=True)
            got = await ask_invitation(generous.address, introduction)
            assert got.secret == generous.membership.secret
            await generous.stop()
            with pytest.raises(Unreachable, match="nobody listens"):
                await ask_invitation(generous.address, introduction)

    run(loop, main())


def test_who_cannot_be_dialled_is_reached_over_a_neighbour(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(3, know=False) as [a, b, middle]:
            for each in (a, b):  # They can dial the middle one; nobody can dial them.
                each.book = {middle.name: middle.address}
                each.relaying = [middle.name]
                each.links.serve("echo", echo)
                each.links.hold([middle.name])
            await until(lambda: len(middle.links.connected()) == 2)
            for one, other in ((a, b), (b, a)):
                answer = await one.links.ask(other.name, "echo", b"\x2a", within_s=5)
                assert bytes(answer) == b"\x2a"
            assert b.name not in a.links.connected()
            await b.stop()
            with pytest.raises(Unreachable):
                await a.links.ask(b.name, "echo", b"\x2a", within_s=5)

    run(loop, main())


def test_a_stream_brings_every_byte_and_holds_back_the_fast(loop: Loop) -> None:
    size, sent, received = 40 << 20, hashlib.blake2b(), hashlib.blake2b()

    async def give(stream: Stream) -> None:
        for _ in range(0, size, 1 << 18):
            chunk = os.urandom(1 << 18)
            sent.update(chunk)
            await stream.send(chunk)
        await stream.end()

    async def main() -> None:
        async with hosts(2) as [a, b]:
            opened = asyncio.Event()

            async def take(stream: Stream, head: Raw) -> None:
                assert bytes(head) == b"\x2a"
                await opened.wait()
                async for chunk in stream.chunks():
                    received.update(chunk)
                await stream.send(b"thanks")
                await stream.end()

            b.streams.serve("give", take)
            stream = await a.streams.open(b.name, "give", b"\x2a")
            giving = asyncio.ensure_future(give(stream))
            await asyncio.sleep(0.3)
            # The reader has not begun: the giver must wait.
            assert stream.sent_bytes < size / 2
            opened.set()
            await giving
            assert [chunk async for chunk in stream.chunks()] == [b"thanks"]
            assert received.digest() == sent.digest()
            stream.close()

    run(loop, main(), 30)


def test_who_cannot_be_dialled_dials_for_a_stream(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2, know=False) as [a, b]:
            b.book = {a.name: a.address}  # b can dial a; a cannot dial b.
            heard = bytearray()

            async def take(stream: Stream, head: Raw) -> None:
                async for chunk in stream.chunks():
                    heard.extend(chunk)
                await stream.send(b"thanks")
                await stream.end()

            b.streams.serve("give", take)
            b.links.hold([a.name])
            await until(lambda: a.links.connected())
            stream = await a.streams.open(b.name, "give", b"\0")
            await stream.send(b"a fish" * 1000)
            await stream.end()
            assert b"".join([each async for each in stream.chunks()]) == b"thanks"
            assert heard == b"a fish" * 1000
            b.book = {}
            with pytest.raises(Unreachable, match="open its port"):
                await a.streams.open(b.name, "give", b"\0")

    run(loop, main())


def test_a_broken_stream_is_told_to_both_sides(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            ended: list[Exception] = []

            async def take(stream: Stream, head: Raw) -> None:
                try:
                    async for _ in stream.chunks():
                        pass
                except Unreachable as error:
                    ended.append(error)

            b.streams.serve("give", take)
            stream = await a.streams.open(b.name, "give", b"\0")
            await stream.send(b"half")
            await asyncio.sleep(0.05)
            stream.abort()
            await until(lambda: ended)
            with pytest.raises(Unreachable):
                await stream.send(b"more")

    run(loop, main())


def test_junk_after_the_greeting_ends_the_link_and_nothing_else(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            await a.links.ask(b.name, "echo", b"\0", within_s=5)
            link = a.links.connected()[b.name][0]
            link.transport.write(framed(b"\x93\xc1junk"))
            await until(lambda: link.closed)
            assert bytes(await a.links.ask(b.name, "echo", b"\1", within_s=5)) == b"\1"

    run(loop, main())


def test_more_than_its_share_under_way_is_refused(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(2) as [a, b]:
            b.links.serve("echo", echo)
            asked = [
                a.links.ask(b.name, "echo", b"\0", within_s=9) for _ in range(12_000)
            ]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            refused = [each for each in outcomes if isinstance(each, Refused)]
            assert 0 < len(refused) < 5000
            assert all("ask more slowly" in str(each) for each in refused)

    run(loop, main())
