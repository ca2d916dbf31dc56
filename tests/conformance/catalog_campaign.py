"""Everything hostile that a catalog can meet, at a process of its own, and a watcher.

`python -m tests.conformance.catalog_campaign [--times N] [--seed N]`: prints a line an
attack: how many, what was refused, how long the watching client waited, how much memory
the catalog took. Ends with 1 if an answer was wrong, the memory beyond its limit, or an
answer (but in a small share) took longer than a tenth of a second.
"""

import argparse
import asyncio
import json
import math
import resource
import socket
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from tests.conformance import catalog_corpora as corpora
from tests.conformance.catalog_watch import Seen, Watcher, steady, watching
from tests.end_to_end.cataloguing import Catalog, serving
from tests.end_to_end.cluster import Cluster, wait_until

MAX_ANONYMOUS_BYTES = 200 << 20
MAX_WAIT_MS = 100.0

# Records that are there all the time.
STEADY = 200

# Descriptors for a crowd at both ends, on one machine.
CROWD_FILES = 12_000

AT_ONCE = 40
STRANGER = "127.0.0.2"
PATIENCE_S = 60.0


class Target:
    """A catalog, and how it is attacked."""

    def __init__(self, catalog: Catalog, seed: int, *, times: int) -> None:
        self.catalog = catalog
        self.rng = Random(seed)
        self.times = times  # How often what is small is done.
        self.refused = 0

    async def visit(self, beside: int, said: bytes, *, end: bool = True) -> bytes:
        """Say it by TCP, and hear all that is said back; nothing if shown out."""
        # Whoever asks much is at another address than the client that watches.
        here = None if beside else (STRANGER, 0)
        reader, writer = await asyncio.open_connection(
            *("127.0.0.1", self.catalog.port + beside), limit=1 << 22, local_addr=here
        )
        try:
            writer.write(said)
            if end:
                writer.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        except OSError:  # Shown out while it was still talking.
            self.refused += 1
            return b""
        finally:
            writer.transport.abort()

    async def all_of(self, sayings: list[tuple[int, bytes]]) -> None:
        """Many visits, some of them at once."""
        for n in range(0, len(sayings), AT_ONCE):
            some = sayings[n : n + AT_ONCE]
            await asyncio.gather(*(self.visit(beside, it) for beside, it in some))

    def cast(self, data: bytes) -> None:
        with suppress(OSError):  # No datagram is so long.
            self.catalog.cast(data)


Attack = Callable[[Target], Coroutine[None, None, int]]


async def junk(target: Target) -> int:
    """No records: by UDP and by TCP, small and large."""
    texts = corpora.junk(target.rng)
    for _ in range(target.times):
        for text in texts:
            target.cast(text)
        await target.all_of([(1, text) for text in texts])
    large = corpora.large_junk()
    for text in large:
        target.cast(text)
    await target.all_of([(1, text) for text in large * min(target.times, 10)])
    return target.times * len(texts) * 2 + len(large) * min(target.times, 10)


async def bombs(target: Target) -> int:
    """What unpacks to a thousand times its size, and to a million times."""
    texts = [corpora.bomb(50 << 20), corpora.bomb(900 << 20), corpora.bomb_of_bombs()]
    for _ in range(min(target.times, 30)):
        target.cast(texts[0])
        target.cast(texts[2])
        await target.all_of([(1, text) for text in texts])
    return min(target.times, 30) * 5


async def mutations(target: Target) -> int:
    """Updates of which something is changed: records, or none, and never a stop."""
    rng = target.rng
    for n in range(target.times):
        base = corpora.usual(n % 100)
        texts = [corpora.changed(base, rng) for _ in range(AT_ONCE)]
        for text in texts:
            target.cast(text)
        await target.all_of([(1, text) for text in texts])
    return target.times * AT_ONCE * 2


async def curiosities(target: Target) -> int:
    """What is odd is kept as it must be, or not at all."""
    said = corpora.curious(50_000)
    await target.all_of([(1, data) for data, _ in said])
    kept = [fields for _, fields in said if fields is not None]
    found = target.catalog.records('type=="curious"')
    for each in found:
        assert (each.pop("name"), each.pop("address")) == ("localhost", "127.0.0.1")
        assert abs(each.pop("lastheardfrom") - time.time()) < PATIENCE_S
    found.sort(key=_port)
    assert found == kept, [(a, b) for a, b in zip(found, kept, strict=False) if a != b]
    return len(said)


def _port(fields: dict[str, Any]) -> int:
    port: int = fields["port"]
    return port


async def questions(target: Target) -> int:
    """Requests of every kind, of which many are none."""
    for _ in range(target.times):
        some = [(0, corpora.any_request(target.rng)) for _ in range(AT_ONCE)]
        await target.all_of(some)
    return target.times * AT_ONCE


async def costs(target: Target) -> int:
    """Filters that take long, many at a time."""
    paths = [f"/query/{b64encode(t.encode()).decode()}" for t in corpora.COSTLY]
    asked = [(0, f"GET {path} HTTP/1.1\r\n\r\n".encode()) for path in paths]
    times = max(1, min(target.times, 3))
    await target.all_of(asked * times)
    return len(asked) * times


async def standing(target: Target) -> int:
    """Five thousand who say nothing, or half, or drop by drop; all at once."""
    count = min(5000, 50 * target.times)
    crowd = await asyncio.gather(
        *(_stand(target, n) for n in range(count)), return_exceptions=True
    )
    writers = [each for each in crowd if isinstance(each, asyncio.StreamWriter)]
    for _ in range(min(target.times, 20)):
        for writer in writers:
            if not writer.is_closing():
                writer.write(b" ")
        await asyncio.sleep(0.05)  # Their pace, not ours: a drop, then another.
    target.refused += count - sum(not writer.is_closing() for writer in writers)
    for writer in writers:
        writer.transport.abort()
    return count


async def _stand(target: Target, n: int) -> asyncio.StreamWriter:
    where = ("127.0.0.1", target.catalog.port + n % 2)
    _, writer = await asyncio.open_connection(*where, local_addr=(STRANGER, 0))
    halves = (b"", b"GET /query.json HT", b'{"type":"half","port":1')
    writer.write(halves[n % 3])
    return writer


async def slow_readers(target: Target) -> int:
    """They ask for everything, and read none of it."""
    count = min(1000, 10 * target.times)
    readers = []
    for n in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((STRANGER, 0))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", target.catalog.port))
        text = b"true" if n % 2 else b"port!=%d" % -n
        path = f"/query/{b64encode(text).decode()}" if n % 3 else "/query.text"
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\n\r\n".encode())
        readers.append(sock)
    await target.visit(0, b"GET /query.json HTTP/1.1\r\n\r\n")
    for sock in readers:
        sock.close()
    return count


async def half_updates(target: Target) -> int:
    """A hundred updates of nearly a megabyte whose end does not come; one that ends."""
    half = b'{"type":"half","port":1,"a":"' + b"x" * 1_000_000
    writers = []
    for _ in range(min(100, 4 * target.times)):
        _, writer = await asyncio.open_connection("127.0.0.1", target.catalog.port + 1)
        writer.write(half)
        writers.append(writer)
    await target.visit(1, corpora.usual(-1_000_000, "between"))
    wait_until(
        lambda: len(target.catalog.records('owner=="between"')) == 1,
        *(PATIENCE_S, "an update between those that stand"),
    )
    for writer in writers:
        writer.transport.abort()
    return len(writers)


async def crowd(target: Target) -> int:
    """As many records as there is room for, and more: of three kilobytes each."""
    count = 300 * target.times
    for n in range(0, count, AT_ONCE):
        texts = [
            b'{"type":"crowd","port":%d,"a":"%b"}' % (1_000_000 + n + m, b"x" * 3000)
            for m in range(AT_ONCE)
        ]
        await target.all_of([(1, text) for text in texts])
    return count


ATTACKS: tuple[Attack, ...] = (
    *(junk, bombs, mutations, curiosities, questions, costs, standing),
    *(slow_readers, half_updates, crowd, slow_readers, costs, questions, standing),
)


def run(root: Path, *, times: int, seed: int, in_time: bool) -> list[str]:
    """All attacks, one after the other; what went wrong."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = hard if hard != resource.RLIM_INFINITY else CROWD_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, raised), hard))
    failed: list[str] = []
    options = ("--history", str(root / "history"))
    with serving(Cluster(root), *options) as catalog:
        told = steady(STEADY)
        for each in told:
            catalog.tell(json.dumps(each).encode())
        catalog.wait_records(len(told))
        target = Target(catalog, seed, times=times)
        pid = catalog.process.pid
        with watching(catalog.port, pid, told) as watcher:
            watcher.report()  # It is awake.
            for attack in ATTACKS:
                failed += _play(attack, target, watcher, in_time=in_time)
                assert catalog.process.poll() is None, "the catalog has ended"
        _check_all(catalog)
    if catalog.process.returncode:
        failed.append(f"it ended with {catalog.process.returncode}")
    return failed


def _play(
    attack: Attack, target: Target, watcher: Watcher, *, in_time: bool
) -> list[str]:
    target.refused, began = 0, time.perf_counter()
    name = attack.__name__
    failed = []
    try:
        count = asyncio.run(attack(target))
    except AssertionError as error:
        count, failed = 0, [f"{name}: {str(error)[:500]}"]
    seen = watcher.report()
    print(
        f"{name:14} {count:6} in {time.perf_counter() - began:5.1f} s, "
        f"{target.refused:5} shown out; the client waited {seen.quantile_ms(0.5):5.1f} "
        f"ms, {seen.quantile_ms(0.99):6.1f} p99, {seen.quantile_ms(1):6.1f} at most, "
        f"of {len(seen.times_s)}; {seen.anonymous_bytes >> 20} MiB",
        flush=True,
    )
    wait_ms = MAX_WAIT_MS if in_time else math.inf
    return failed + [f"{name}: {why}" for why in _faults(seen, wait_ms)]


def _faults(seen: Seen, wait_ms: float) -> list[str]:
    found = seen.wrong[:3]
    if seen.anonymous_bytes > MAX_ANONYMOUS_BYTES:
        found.append(f"it took {seen.anonymous_bytes >> 20} MiB")
    if seen.quantile_ms(1) > wait_ms:
        found.append(f"an answer took {seen.quantile_ms(1):.0f} ms")
    return found


def _check_all(catalog: Catalog) -> None:
    """Whatever is there is well-formed, and says where it came from."""
    for each in catalog.records():
        assert each["address"] in ("127.0.0.1", STRANGER)
        assert abs(each["lastheardfrom"] - time.time()) < 1800
        assert "\0" not in json.dumps(each, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        failed = run(Path(root), times=chosen.times, seed=chosen.seed, in_time=True)
    for each in failed:
        print(f"FAILED, seed {chosen.seed}: {each}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
