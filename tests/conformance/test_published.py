"""What is published at one peer is told at every other, at most once."""

from shoal.table.messages import MAX_VALUE_BYTES
from shoal.table.redis.replies import Push, encode
from tests.conformance.fleet import at, fleet, hear, looped, say, told


@looped
async def test_who_listens_anywhere_is_told_once() -> None:
    async with fleet() as ours:
        ours.sea.slowest_s = 0.0
        listeners = [await at(ours, name) for name in "abc"]
        for each in listeners:
            await told(each, push(b"subscribe", b"news", 1), (b"SUBSCRIBE", b"news"))
        wire = await at(ours, "a")
        await told(
            wire,
            b"+OK\r\n:1\r\n:1\r\n",
            (b"SET", b"b1", b"1"),
            (b"PUBLISH", b"news", b"one"),
            (b"PUBLISH", b"news", b"two"),
        )
        expected = push(b"message", b"news", b"one") + push(b"message", b"news", b"two")
        for each in listeners:
            assert await hear(each, len(expected)) == expected
        for each in listeners:
            await told(each, push(b"pong", b""), (b"PING",))


@looped
async def test_what_is_published_follows_what_was_set() -> None:
    """Who is told of a change finds it, wherever both were asked for."""
    async with fleet() as ours:
        listener, reader = await at(ours, "c"), await at(ours, "b")
        await told(listener, push(b"subscribe", b"news", 1), (b"SUBSCRIBE", b"news"))
        wire = await at(ours, "a")
        for n in range(20):
            number = b"%02d" % n
            await say(wire, (b"SET", b"b1", number), (b"PUBLISH", b"news", number))
            message = push(b"message", b"news", number)
            assert await hear(listener, len(message)) == message
            await told(reader, b"$2\r\n%b\r\n" % number, (b"GET", b"b1"))


@looped
async def test_who_cannot_be_told_delays_nobody() -> None:
    async with fleet() as ours:
        ours.sea.gone.add("b")
        ours.sea.slowest_s = 5.0
        wire = await at(ours, "a")
        message = bytes(MAX_VALUE_BYTES)
        for _ in range(6):
            await told(wire, b":0\r\n", (b"PUBLISH", b"news", message))
        assert ours.sea.asked == 6 + 3, "c is told what 32 MiB hold, the rest is lost"
        await told(wire, b"+OK\r\n", (b"SET", b"a1", b"1"))


def push(*items: bytes | int) -> bytes:
    return encode(Push(list(items)), 2)
