"""What becomes of clients that leave, dawdle or do not read, on real sockets."""

import asyncio
import json
import logging

import pytest

from shoal.table import connection
from tests.conformance.hosts import LOOPS, Loop, run, until
from tests.conformance.tables import StubbornDisk, command, log_on, shop

OK = b"+OK\r\n"


@pytest.mark.parametrize("loop", LOOPS)
def test_who_reads_nothing_is_not_read_from_and_then_cut_off(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.2)

    async def main() -> None:
        async with shop() as opened:
            good, slow = await opened.visit(), await opened.visit()
            assert await opened.ask(good, b"SET", b"big", bytes(1 << 20)) == OK
            slow[1].write(command(b"GET", b"big") * 100)
            await until(lambda: "cut off" in caplog.text)
            assert await opened.ask(good, b"GET", b"none") == b"$-1\r\n"

    with caplog.at_level(logging.WARNING):
        run(loop, main())
    assert "read nothing" in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_who_reads_slowly_gets_everything(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.5)

    async def main() -> None:
        async with shop() as opened:
            slow = await opened.visit()
            assert await opened.ask(slow, b"SET", b"big", bytes(1 << 20)) == OK
            slow[1].write(command(b"GET", b"big") * 20)
            reply = b"$1048576\r\n" + bytes(1 << 20) + b"\r\n"
            for _ in range(20):
                await asyncio.sleep(0.05)
                assert await slow[0].readexactly(len(reply)) == reply

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_2_2_clients_leave_in_every_way(loop: Loop) -> None:
    """Before, during and after a request, by a reset, and by half."""

    async def main() -> None:
        async with shop(log_on(StubbornDisk())) as opened:
            stays = await opened.visit()
            for said in (b"", b"*2\r\n$3\r\nGET\r\n$", command(b"SET", b"k", b"v")):
                for rudely in (False, True):
                    _, writer = await opened.visit()
                    writer.write(said)
                    await writer.drain()
                    if rudely:
                        writer.transport.abort()
                    else:
                        writer.close()
                    assert await opened.ask(stays, b"PING") == b"+PONG\r\n"
            reader, writer = await opened.visit()
            writer.write(command(b"SET", b"half", b"1") + command(b"GET", b"half"))
            writer.write_eof()
            assert await reader.read() == OK + b"$1\r\n1\r\n"
            await until(lambda: len(opened.service.redis.clients) == 1)

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_many_keys_that_end_together_are_gone_soon(loop: Loop) -> None:
    """Ten portions a second were all there was: fewer than a busy client makes."""

    async def main() -> None:
        async with shop() as opened:
            table = opened.service.table
            for n in range(30_000):
                table.put(b"%d" % n, b"", 1000)
            wire = await opened.visit()
            assert await opened.ask(wire, b"PING") == b"+PONG\r\n"
            await until(lambda: not table.size, within_s=5)

    run(loop, main())


def test_2_3_half_a_request_keeps_nobody_waiting() -> None:
    async def main() -> None:
        async with shop() as opened:
            _, stalls = await opened.visit()
            stalls.write(b'{"method":"insert","key":"zebra","val')
            reader, writer = await opened.visit()
            writer.write(b'{"method":"size"}\n')
            assert json.loads(await reader.readline())["result"] == 0
            stalls.write(b'ue":1}\n')
            await until(lambda: opened.service.table.size == 1)

    run(asyncio.new_event_loop, main())


def test_a_full_disk_refuses_writes_and_serves_reads() -> None:
    async def main() -> None:
        disk = StubbornDisk()
        async with shop(log_on(disk)) as opened:
            wire, other = await opened.visit(), await opened.visit()
            assert await opened.ask(wire, b"SET", b"k", b"old") == OK
            disk.full = True
            wire[1].write(command(b"SET", b"k", b"new") + command(b"GET", b"k"))
            for _ in range(2):  # The read saw what was then taken back.
                assert (await wire[0].readline()).startswith(b"-NOSPACE nothing")
            assert await opened.ask(other, b"GET", b"k") == b"$3\r\n"
            assert await other[0].readline() == b"old\r\n"
            disk.full = False
            assert await opened.ask(wire, b"SET", b"k", b"new") == OK
            assert opened.service.table.size == 1

    run(asyncio.new_event_loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_who_only_reads_on_gets_all_answers_and_then_the_end(loop: Loop) -> None:
    async def main() -> None:
        async with shop(log_on(StubbornDisk())) as opened:
            reader, writer = await opened.visit()
            assert await opened.ask((reader, writer), b"SET", b"big", bytes(1 << 20))
            writer.write(command(b"GET", b"big") * 20 + command(b"SET", b"k", b"v"))
            writer.write_eof()
            reply = b"$1048576\r\n" + bytes(1 << 20) + b"\r\n"
            assert await reader.read() == reply * 20 + OK
            await until(lambda: not opened.service.redis.clients)

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_carried_out_after_the_end(loop: Loop) -> None:
    async def main() -> None:
        async with shop(log_on(StubbornDisk())) as opened:
            wire = await opened.visit()
            assert await opened.ask(wire, b"PING") == b"+PONG\r\n"
            (client,) = opened.service.redis.clients.values()
            assert isinstance(client.caller, connection.Connection)
            last = command(b"SET", b"k", b"v") + command(b"QUIT")
            client.caller.data_received(last)
            client.caller.data_received(command(b"SET", b"l", b"v"))
            await until(lambda: not opened.service.redis.clients)
            assert opened.service.table.size == 1

    run(loop, main())
