"""The door on real sockets: every dialect, every way to stand in it."""

import asyncio
import os
import struct

import pytest

from shoal.core.frames import framed
from shoal.net import door
from tests.conformance.hosts import LOOPS, Host, Loop, hosts, run, until

pytestmark = pytest.mark.parametrize("loop", LOOPS)

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(host: Host) -> Wire:
    return await host.visit()


async def answer(wire: Wire) -> bytes:
    (size,) = struct.unpack(">I", await wire[0].readexactly(4))
    return await wire[0].readexactly(size)


async def ask(wire: Wire, request: bytes) -> bytes:
    wire[1].write(framed(request))
    return await answer(wire)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_0_5_a_frame_in_single_bytes_is_answered_and_delays_nobody(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            slow, quick = await dial(host), await dial(host)
            for byte in framed(b"put abc def"):
                slow[1].write(bytes([byte]))
                await slow[1].drain()
                # Another client is served between any two bytes.
                assert await ask(quick, b"get nothing") == b"NONE"
            assert await answer(slow) == b"SUCCESS"
            assert await ask(quick, b"get abc") == b"def"

    run(loop, main())


def test_0_6_two_frames_in_one_send_are_answered_in_order(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            wire = await dial(host)
            wire[1].write(framed(b"put k v") + framed(b"get k"))
            assert [await answer(wire), await answer(wire)] == [b"SUCCESS", b"v"]

    run(loop, main())


def test_0_15_an_excessive_length_is_refused_and_closed(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            for head in (b"\xff\xff\xff\xff", b"\0\xff\xff\xffput"):
                wire = await dial(host)
                wire[1].write(head + b"x" * 1000)
                said = await wire[0].read()
                assert b"ERR" in said
                assert wire[0].at_eof()

    run(loop, main())


def test_0_16_who_dies_in_mid_frame_leaks_nothing(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            before = descriptors()
            for n in range(1000):
                _, writer = await dial(host)
                writer.write(framed(b"put key value")[: n % 17])
                writer.transport.abort()
            await until(lambda: host.reception.inside == 0)
            await until(lambda: descriptors() <= before)
            assert await ask(await dial(host), b"get key") == b"NONE"

    run(loop, main(), 60)


def test_ten_thousand_connects_and_aborts_leak_nothing(loop: Loop) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            before = descriptors()
            for _ in range(200):
                wires = await asyncio.gather(*(dial(host) for _ in range(50)))
                for _, writer in wires:
                    writer.transport.abort()
            await until(lambda: host.reception.inside == 0)
            await until(lambda: descriptors() <= before)

    run(loop, main(), 60)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"*1\r\n$4\r\nPING\r\n", b"does not speak resp"),
        (b'{"method": "size"}\n', b"does not speak json"),
        (b"\x16\x03\x01", b"does not speak tls"),
        (b"PING\r\n", b"does not speak resp"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"does not speak http"),
        (b"\x01\x02\x03", b"neither HTTP, RESP, JSON nor a frame"),
        (b"x" * 9000, b"first line is longer"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6000, b"head is longer"),
        (b"\0\0\x10\0\x93" + b"x" * 4096, b""),
    ],
)
def test_what_cannot_be_served_gets_one_line_and_is_closed(
    loop: Loop, said: bytes, heard: bytes
) -> None:
    async def main() -> None:
        async with hosts(1) as [host]:
            reader, writer = await dial(host)
            writer.write(said)
            assert heard in await reader.read()

    run(loop, main())


def test_who_says_nothing_is_shown_out(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "FIRST_BYTE_S", 0.1)
    monkeypatch.setattr(door, "FIRST_REQUEST_S", 0.2)

    async def main() -> None:
        async with hosts(1) as [host]:
            settled = await dial(host)
            assert await ask(settled, b"get k") == b"NONE"
            silent, half, head = [await dial(host) for _ in range(3)]
            half[1].write(framed(b"get k")[:7])
            head[1].write(b"GET / HT")
            for reader, _ in (silent, half, head):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await reader.readexactly(1)
            # Who has spoken once may idle.
            assert await ask(settled, b"get k") == b"NONE"

    run(loop, main())


def test_beyond_the_limit_somebody_is_told_to_come_later(loop: Loop) -> None:
    async def main() -> None:
        host = Host(1)
        await host.start(limit=3)
        wires = [await dial(host) for _ in range(3)]
        for wire in wires:
            assert await ask(wire, b"get k") == b"NONE"
        late, _ = await dial(host)
        assert await late.read() == b"-BUSY 3 connections are open; try later\r\n"
        wires[0][1].close()
        await until(lambda: host.reception.inside == 2)
        assert await ask(await dial(host), b"get k") == b"NONE"
        await host.stop()

    run(loop, main())
