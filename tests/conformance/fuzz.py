"""Hostile bytes at a real door: whole, cut, flipped, doubled, too long, or random.

`python -m tests.conformance.fuzz --inputs 100000` for a campaign.
"""

import argparse
import asyncio
import resource
import struct
import sys
from collections.abc import Callable
from random import Random

from msgspec import Raw

from shoal.core import hello, links
from shoal.core.flight import Request
from shoal.core.frames import framed
from shoal.core.links import Post
from shoal.net.dialler import newcomer
from shoal.net.door import HTTP
from shoal.web.guard import Guard
from shoal.web.server import Web
from tests.conformance.hosts import Host

Change = Callable[[bytes], bytes]

# What a peer may grow by under fire: buffers of the loop, code warmed up.
MAX_GROWTH_BYTES = 64 << 20


def corpus(host: Host, nonce: bytes) -> list[bytes]:
    """One of everything that makes sense."""
    guest = Host(77)
    mine = guest.membership.hello(host.address, nonce, "link")
    proof = guest.membership.prove(mine, mine)
    stranger = newcomer(host.address, guest.identity.public, guest.name)
    return [
        framed(b"put key value") + framed(b"get key"),
        framed(hello.encode(mine)) + framed(hello.encode(proof)),
        framed(hello.encode(stranger)),
        framed(hello.encode(mine))
        + framed(links.encode([Request(1, "echo", 1000, Raw(b"\xc0"))])),
        framed(links.encode([Post("members", Raw(b"\x91\x01"))])),
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Authorization: Bearer \xff\r\nOrigin: http://[\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: [\r\nAuthorization: Bearer \xff\r\n\r\n",
        b"POST /api/down HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhalf",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
        b'{"method": "insert", "key": "k", "value": 1}\n',
        b"\x16\x03\x01\x00\xa5\x01",
        b"PING\r\n",
        b"",
    ]


def mutate(data: bytes, rng: Random) -> bytes:
    """Something close to what makes sense."""
    changes: list[Change] = [
        lambda text: text,
        lambda text: text[: rng.randrange(len(text) + 1)],
        lambda text: text * rng.randrange(1, 4),
        lambda text: text + rng.randbytes(rng.randrange(200)),
        lambda text: rng.randbytes(rng.randrange(300)),
        lambda text: _flip(text, rng),
        lambda text: _splice(text, rng),
        lambda text: struct.pack(">I", rng.getrandbits(24)) + text,
        lambda text: text.replace(b"\r\n", b"\r\n" * rng.randrange(50)),
    ]
    for _ in range(rng.randrange(1, 4)):
        data = rng.choice(changes)(data)
    return data[: 1 << 16]


def _flip(data: bytes, rng: Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        if flipped:
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
    return bytes(flipped)


def _splice(data: bytes, rng: Random) -> bytes:
    one, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:one] + data[other:]


async def attack(inputs: int, seed: int) -> int:
    """Say so many things at a door; how many bytes the process grew by."""
    rng, host = Random(seed), Host(1)
    await host.start()
    web = Web(Guard("token", "127.0.0.1", ()), host.bugs.append)
    host.reception.dialects = {
        **host.reception.dialects,
        HTTP: lambda _: web.protocol(),
    }
    host.links.serve("echo", lambda _, body: bytes(body))
    texts = corpus(host, rng.randbytes(16))
    before = 0
    for n in range(0, inputs, 20):
        said = [mutate(rng.choice(texts), rng) for _ in range(20)]
        await asyncio.gather(*(_say(host, each, rng.random()) for each in said))
        if n < inputs // 4:
            before = _peak_bytes()
    reader, writer = await host.visit()
    writer.write(framed(b"put a b"))
    assert await reader.readexactly(11) == b"\0\0\0\x07SUCCESS"
    await host.stop()
    await web.close()
    assert not host.bugs, host.bugs
    return _peak_bytes() - before


async def _say(host: Host, text: bytes, manner: float) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        for part in (text[: int(len(text) * manner)], text[int(len(text) * manner) :]):
            writer.write(part)
            await asyncio.sleep(0)
        if manner < 0.3:
            writer.transport.abort()
            return
        if manner < 0.6:
            writer.write_eof()
        async with asyncio.timeout(0.05):
            await reader.read(1 << 16)
    except (OSError, TimeoutError):
        pass  # Shown out, or still listened to: both are well.
    finally:
        if "writer" in locals():
            writer.transport.abort()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    grown = asyncio.run(attack(chosen.inputs, chosen.seed))
    print(f"{chosen.inputs} inputs: no crash, no hang, grew by {grown >> 20} MiB")
    return 0 if grown < MAX_GROWTH_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
