"""What the client does about a peer that goes, dawdles, or talks nonsense."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from shoal import errors
from shoal.client import Client, pipeline
from shoal.client.coroutines import Network
from shoal.client.pipeline import Answer
from shoal.client.table import Table
from shoal.core.machine import Address
from tests.conformance.answering import Play, answering, dawdles, hang_up, hears, says

Outcome = bytes | bool | None | errors.ShoalError
Call = Callable[[Address, str, bool, float], Outcome]


def blocking(address: Address, verb: str, retry: bool, timeout_s: float) -> Outcome:
    with Client(address, timeout_s=timeout_s) as net:
        try:
            if verb == "get":
                return net.table.get("k")
            return net.table.put("k", "v", retry=retry)
        except errors.ShoalError as error:
            return error


def concurrent(address: Address, verb: str, retry: bool, timeout_s: float) -> Outcome:
    async def main() -> Outcome:
        try:
            async with Network(Client(address, timeout_s=timeout_s)) as net:
                if verb == "get":
                    return await net.table.get("k")
                return await net.table.put("k", "v", retry=retry)
        except errors.ShoalError as error:
            return error

    return asyncio.run(main())


FACES = pytest.mark.parametrize("call", [blocking, concurrent])
FOUND, OK = says(b"$1\r\nv\r\n"), says(b"+OK\r\n")


@FACES
@pytest.mark.parametrize(
    ("verb", "retry", "plays", "outcome"),
    [
        ("get", False, [FOUND], b"v"),
        ("get", False, [hears, FOUND], b"v"),
        ("get", False, [hears, hears, FOUND], errors.Unreachable),
        ("put", False, [OK], True),
        ("put", False, [hears, OK], errors.Unreachable),
        ("put", True, [hears, OK], True),
        ("put", True, [hears, hears, OK], errors.Unreachable),
        ("get", False, [dawdles], errors.Unanswered),
        ("put", True, [dawdles], errors.Unanswered),
        ("get", False, [says(b"HTTP/1.1 400 What?\r\n")], errors.Misuse),
        ("put", False, [says(b"-NOSPACE nothing was written\r\n")], errors.Refused),
        ("put", False, [says(b"-CLUSTERDOWN NOQUORUM\r\n")], errors.Refused),
        ("put", False, [says(b"-UNKNOWN it may be\r\n")], errors.Unknown),
        ("put", False, [says(b"-NOAUTH who are you?\r\n")], errors.Unauthorized),
        ("get", False, [says(b"-ERR no\r\n")], errors.Misuse),
    ],
)
def test_who_asks_again_and_what_is_known(
    call: Call, verb: str, retry: bool, plays: list[Play], outcome: object
) -> None:
    with answering(*plays) as address:
        got = call(address, verb, retry, 0.5)
    if isinstance(outcome, type):
        assert type(got) is outcome
        assert str(got).startswith(f"peer {address}: ")
    else:
        assert got == outcome


@FACES
def test_nobody_is_there(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = Address(f"127.0.0.1:{free.getsockname()[1]}")
    error = call(address, "put", True, 5)
    assert isinstance(error, errors.Unreachable)
    assert "connection refused" in str(error).lower()
    assert "may have been done" not in str(error)


def test_a_change_is_not_sent_to_where_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer that was restarted in the meantime costs no outcome."""
    monkeypatch.setattr("shoal.client.wire.IDLE_S", -1.0)
    with answering(OK, OK) as address:
        table = Table(address, 5)
        assert table.put("k", "v")
        time.sleep(0.05)  # It hangs up; nothing here can hear of that.
        assert table.put("k", "v")
        table.close()


def test_one_deadline_for_a_reply_in_drops() -> None:
    def drips(wire: socket.socket) -> None:
        wire.recv(1 << 20)
        for byte in b"$100\r\n" + bytes(40):
            time.sleep(0.05)
            try:
                wire.sendall(bytes([byte]))
            except OSError:
                return

    with answering(drips) as address:
        table = Table(address, 0.3)
        begun = time.monotonic()
        with pytest.raises(errors.Unanswered):
            table.get("k")
        assert time.monotonic() - begun < 1.5
        table.close()


def test_one_deadline_for_a_request_that_is_read_in_sips() -> None:
    def sips(wire: socket.socket) -> None:
        while wire.recv(64 << 10):
            time.sleep(0.05)

    with answering(sips) as address:
        table = Table(address, 0.3)
        begun = time.monotonic()
        with pytest.raises(errors.Unanswered):
            table.put("k", bytes(8 << 20))
        assert time.monotonic() - begun < 0.6
        table.close()


def test_one_deadline_for_the_turn_and_the_call() -> None:
    with answering(dawdles, dawdles) as address:
        table = Table(address, 10)
        took: list[float] = []

        def ask() -> None:
            begun = time.monotonic()
            with pytest.raises(errors.Unanswered):
                table.get("k", timeout_s=0.6)
            took.append(time.monotonic() - begun)

        with table._wire._lock:
            second = threading.Thread(target=ask)
            second.start()
            time.sleep(0.4)
        second.join()
        assert took[0] < 0.9
        table.close()


def test_one_deadline_for_asking_twice() -> None:
    def goes_later(wire: socket.socket) -> None:
        wire.recv(1 << 20)
        time.sleep(0.4)
        hang_up(wire)

    with answering(goes_later, dawdles) as address:
        table = Table(address, 0.6)
        begun = time.monotonic()
        with pytest.raises(errors.Unanswered, match=r"0\.6 s"):
            table.get("k")
        assert time.monotonic() - begun < 0.9
        table.close()


def test_an_interrupted_call_leaves_no_reply_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the next call would take it for its own."""
    with answering(says(b"$5\r\nwrong\r\n"), says(b"$5\r\nright\r\n")) as address:
        table = Table(address, 5)
        wire = table._wire
        wire._connect(5, time.monotonic() + 5)
        receive = wire._receive

        def interrupted(size: int, flags: int = 0) -> bytes:
            receive(size, flags)
            raise KeyboardInterrupt

        wire._receive = interrupted
        with pytest.raises(KeyboardInterrupt):
            table.get("k")
        assert table.get("k") == b"right"
        table.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own() -> None:
    with answering(says(b"+OK\r\n", b"$1\r\nv\r\n"), FOUND) as address:
        table = Table(address, 5)
        assert table.put("k", "v")
        with table._wire._lock:  # As if another thread were in the middle of a call.
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if table.get("k") == b"v" else 1
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
        assert table.get("k") == b"v"
        table.close()


def test_threads_take_turns() -> None:
    def echoes(wire: socket.socket) -> None:
        while request := wire.recv(1 << 20):
            key = request.split(b"\r\n")[4]
            wire.sendall(b"$%d\r\n%b\r\n" % (len(key), key))

    wrong: list[bytes | None] = []
    with answering(echoes) as address:
        table = Table(address, 10)

        def ask(name: bytes) -> None:
            for number in range(50):
                key = b"%b-%d" % (name, number)
                if (found := table.get(key)) != key:
                    wrong.append(found)

        threads = [threading.Thread(target=ask, args=[b"%d" % n]) for n in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        table.close()
    assert wrong == []


def run(
    main: Callable[[Network], Awaitable[None]], *plays: Play, timeout_s: float = 5
) -> None:
    async def begin(address: Address) -> None:
        async with Network(Client(address, timeout_s=timeout_s)) as net:
            await main(net)

    with answering(*plays) as address:
        asyncio.run(begin(address))


def test_calls_of_one_turn_leave_together_and_are_answered_in_order() -> None:
    seen: list[bytes] = []

    def play(wire: socket.socket) -> None:
        seen.append(wire.recv(1 << 20))
        for reply in (b"$1\r\na\r\n$1", b"\r\nb\r\n-ERR no\r\n$1\r\n", b"d\r\n"):
            wire.sendall(reply)
            time.sleep(0.02)

    async def main(net: Network) -> None:
        calls = [net.table.get(key) for key in "abcd"]
        a, b, c, d = await asyncio.gather(*calls, return_exceptions=True)
        assert (a, b, d) == (b"a", b"b", b"d")
        assert isinstance(c, errors.Misuse)

    run(main, play)
    assert seen[0].count(b"GET") == 4


def test_a_cancelled_call_keeps_its_place() -> None:
    def play(wire: socket.socket) -> None:
        asked = b""
        while asked.count(b"GET") < 2:
            asked += wire.recv(1 << 20) or b"GET" * 9  # It hung up: no more to hear.
        wire.sendall(b"$5\r\nfirst\r\n$6\r\nsecond\r\n")

    async def main(net: Network) -> None:
        first = asyncio.ensure_future(net.table.get("a"))
        await asyncio.sleep(0.02)
        first.cancel()
        assert await net.table.get("b") == b"second"

    run(main, play)


def test_each_call_has_its_deadline() -> None:
    async def main(net: Network) -> None:
        begun = time.monotonic()
        slow = asyncio.ensure_future(net.table.get("a"))
        await asyncio.sleep(0)
        with pytest.raises(errors.Unanswered, match=r"0\.2 s"):
            await net.table.get("b", timeout_s=0.2)
        assert time.monotonic() - begun < 2
        assert not slow.done()
        slow.cancel()

    run(main, dawdles, timeout_s=30)


def test_a_lost_connection_is_made_again_for_all() -> None:
    def echo_three(wire: socket.socket) -> None:
        asked = b""
        while asked.count(b"GET") < 3:
            asked += wire.recv(1 << 20) or b"GET" * 9
        wire.sendall(b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n")

    async def main(net: Network) -> None:
        assert await net.table.get_many("abc") == [b"a", b"b", b"c"]

    run(main, hears, echo_three)


def test_a_path_that_died_in_silence_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.client.pipeline.LOOK_S", 0.01)

    async def main(net: Network) -> None:
        puts = [net.table.put("k", "v") for _ in range(2)]
        told = await asyncio.gather(*puts, return_exceptions=True)
        assert [type(each) for each in told] == [errors.Unanswered] * 2
        assert await net.table.get("k") == b"v"

    run(main, dawdles, FOUND, timeout_s=0.2)


def test_no_more_is_held_unsent_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many call in one turn, and whatever one call asks for."""
    most, limit = 0, 1 << 20
    monkeypatch.setattr(pipeline, "MAX_UNSENT_BYTES", limit)
    monkeypatch.setattr(pipeline, "AT_ONCE_BYTES", limit // 2)
    send = pipeline.Pipeline.send

    def watched(self: pipeline.Pipeline, request: bytes, patience_s: float) -> Answer:
        nonlocal most
        answer = send(self, request, patience_s)
        buffered = self._transport.get_write_buffer_size()
        most = max(most, self._unsent_bytes + buffered)
        return answer

    monkeypatch.setattr(pipeline.Pipeline, "send", watched)

    def reads_and_agrees(wire: socket.socket) -> None:
        with suppress(BrokenPipeError):  # What was agreed to late, nobody hears.
            while data := wire.recv(1 << 16):
                wire.sendall(b"+OK\r\n" * data.count(b"*"))

    async def main(net: Network) -> None:
        value = b"v" * (limit // 4)
        await asyncio.gather(*(net.table.put(b"%d" % n, value) for n in range(40)))
        await net.table.put_many({b"%d" % n: value for n in range(40)})

    run(main, reads_and_agrees, timeout_s=10)
    assert most <= 2 * limit


def test_too_much_in_the_middle_of_a_list_says_what_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "AT_ONCE", 2)
    many = {b"%d" % n: b"v" for n in range(4)}

    async def main(net: Network) -> None:
        first = asyncio.ensure_future(net.table.put_many(many))
        await asyncio.sleep(0)
        held = [asyncio.ensure_future(net.table.get("k")) for _ in range(3)]
        await asyncio.sleep(0)
        monkeypatch.setattr(pipeline, "MAX_WAITING", 4)
        with pytest.raises(errors.Overloaded, match="only the first 2 were"):
            await first
        for each in held:
            each.cancel()
        with pytest.raises(errors.Overloaded, match="this was not asked"):
            await net.table.put_many(many)

    run(main, says_and_waits(b"+OK\r\n" * 2))


def says_and_waits(reply: bytes) -> Play:
    def play(wire: socket.socket) -> None:
        wire.recv(1 << 20)
        wire.sendall(reply)
        wire.recv(1 << 20)

    return play
